"""Dependent click model: a user goes down the list and after a click at position k goes on with probability λₖ.

    P(click | examined) = a(query, product);   after a click at k on with λₖ, else always on

Guo, Liu & Wang, "Efficient Multiple-Click Models in Web Search", WSDM 2009, who count λₖ = 1 − last clicks ÷ clicks at k, a
bound; EM (``cascade``) starts there and weighs how many read on without another click.

>>> pairs = pl.DataFrame({"query_id": "q", "product_id": ["a", "b"], "attraction": [0.5, 0.5]})
>>> lists = pl.DataFrame({"search_id": "s", "query_id": "q", "product_id": ["a", "b"], "position": [1, 2]})
>>> model = DCM(pairs, np.ones(2), FittedPrior(0.5, 1.0), continuations=np.array([0.4, 0.4]))
>>> model.predict_clicks(lists).round(3).tolist()          # .5, and (1 − .5 · .6) · .5
[0.5, 0.35]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments import cascade
from ltr.judgments.attraction import attracted
from ltr.judgments.independent import at_position
from ltr.judgments.priors import FROM_LOG, FittedPrior, Prior
from ltr.judgments.statistics import POSITIONS, Impressions

__all__ = ["DCM"]


@dataclass(frozen=True)
class DCM:
    """The dependent click model, fitted; ``continuations`` is λ by position, ``examination`` the share examined."""

    attraction: pl.DataFrame
    examination: NDArray[np.float64]
    prior: FittedPrior
    continuations: NDArray[np.float64]
    converged: bool = True

    @classmethod
    def fit(cls, impressions: Impressions, *, prior: Prior = FROM_LOG, most: int = POSITIONS) -> DCM:
        """Fit to a log with search_id."""
        found = cascade.fit(impressions, by_pair=False, continuation=1.0, prior=prior, most=most)
        return cls(found.attraction, found.examination, found.prior, 1 - found.stop, found.converged)

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> NDArray[np.float64]:
        """P(click) of each row: over all clicks above it, or with ``conditional`` given those there were."""
        return cascade.predicted(self._walk, impressions, conditional=conditional)

    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        """The rows with ``clicked``, drawn from the top of each list down."""
        return cascade.sampled(self._walk, lists, seed=seed)

    def _walk(self, rows: pl.DataFrame) -> cascade.Walk:
        stop = at_position(1 - self.continuations, rows)
        return cascade.Walk(attracted(rows, self.attraction, self.prior), stop, 1.0)
