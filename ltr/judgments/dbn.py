"""Dynamic Bayesian network model: a user goes down the list until satisfied or tired.

    examined at r + 1 = examined at r, and not satisfied by a click there, and going on (γ)
    P(click | examined) = a(query, product),   P(satisfied | click) = s(query, product)

Chapelle & Zhang, "A Dynamic Bayesian Network Click Model for Web Search Ranking", WWW 2009. What they call relevance is
a · s. γ is estimated unless it is given. The EM runs on counts (``cascade``), not search by search.

>>> pairs = pl.DataFrame({"query_id": "q", "product_id": ["a", "b"], "attraction": [0.5, 0.5], "satisfaction": [0.8, 0.8]})
>>> lists = pl.DataFrame({"search_id": "s", "query_id": "q", "product_id": ["a", "b"], "position": [1, 2]})
>>> model = DBN(pairs, np.ones(2), FittedPrior(0.5, 1.0), satisfied=0.8, continuation=0.9)
>>> model.predict_clicks(lists).round(3).tolist()          # .5, and .9 · (1 − .5 · .8) · .5
[0.5, 0.27]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError
from ltr.judgments import cascade
from ltr.judgments.attraction import attracted
from ltr.judgments.priors import FROM_LOG, FittedPrior, Prior
from ltr.judgments.statistics import POSITIONS, Impressions

__all__ = ["DBN"]


@dataclass(frozen=True)
class DBN:
    """The dynamic Bayesian network model, fitted.

    Args:
        attraction: as of every model, and ``satisfaction``.
        examination: the share of impressions that were examined, by position.
        prior: of attraction.
        satisfied: of a product that was never clicked.
        continuation: γ.
        converged: whether EM settled within its steps.
    """

    attraction: pl.DataFrame
    examination: NDArray[np.float64]
    prior: FittedPrior
    satisfied: float
    continuation: float
    converged: bool = True

    @classmethod
    def fit(
        cls,
        impressions: Impressions,
        *,
        prior: Prior = FROM_LOG,
        continuation: float | None = None,
        most: int = POSITIONS,
    ) -> DBN:
        """Fit to a log with search_id; ``continuation`` is γ where it is known (1: the simplified model)."""
        if continuation is not None and not 0 < continuation <= 1:
            raise ConfigError(f"a continuation of {continuation:g} is no probability", hint="give γ in (0, 1]")
        found = cascade.fit(impressions, by_pair=True, continuation=continuation, prior=prior, most=most)
        return cls(
            found.attraction, found.examination, found.prior, found.halt, found.continuation, found.converged
        )  # fmt: skip

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> NDArray[np.float64]:
        """P(click) of each row: over all clicks above it, or with ``conditional`` given those there were."""
        return cascade.predicted(self._walk, impressions, conditional=conditional)

    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        """The rows with ``clicked``, drawn from the top of each list down."""
        return cascade.sampled(self._walk, lists, seed=seed)

    def _walk(self, rows: pl.DataFrame) -> cascade.Walk:
        satisfaction = FittedPrior(self.satisfied, 1.0)
        return cascade.Walk(
            attracted(rows, self.attraction, self.prior),
            attracted(rows, self.attraction, satisfaction, "satisfaction"),
            self.continuation,
        )
