"""Clicks over expected clicks: a product's clicks by what its positions alone would bring.

    COEC = clicks ÷ Σ shown at k · CTRₖ,   CTRₖ the click-through rate of position k over all products

Zhang & Jones, "Comparing Click Logs and Editorial Labels for Training Query Rewriting", WWW 2007. In the contract's terms the
examination is CTRₖ ÷ CTR₁ and the attraction COEC · CTR₁, smoothed. The position is only right where all positions show
equally attractive products: a good production ranker makes the curve too steep.

>>> log = pl.DataFrame({"query_id": "q", "product_id": ["a", "b", "a"], "position": [1, 2, 2], "clicked": [True, True, False]})
>>> COEC.fit(log).examination.tolist()
[1.0, 0.5]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError
from ltr.judgments.attraction import by_examination
from ltr.judgments.effects import LEAST, filled
from ltr.judgments.independent import predicted, sampled
from ltr.judgments.priors import FROM_LOG, FittedPrior, Prior
from ltr.judgments.statistics import POSITIONS, Impressions, by_position

__all__ = ["COEC"]


@dataclass(frozen=True)
class COEC:
    """COEC, fitted: the examination is the click-through rate by position, relative to the first."""

    attraction: pl.DataFrame
    examination: NDArray[np.float64]
    prior: FittedPrior

    @classmethod
    def fit(cls, impressions: Impressions, *, prior: Prior = FROM_LOG, most: int = POSITIONS) -> COEC:
        """Count clicks and impressions of each position and pair."""
        cells = by_position(impressions, most=most)
        shown, clicked = cells.of_places(cells.shown), cells.of_places(cells.clicked)
        if not clicked[0]:
            raise DataError(
                "nothing was clicked at position 1, which COEC measures by", hint="check that position 1 is the top"
            )
        rate = np.divide(clicked, shown, out=np.full(cells.places, np.nan), where=shown > 0)
        examination = np.maximum(filled(rate / rate[0]), LEAST)
        attraction, fitted = by_examination(cells, examination, prior)
        return cls(attraction, examination, fitted)

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> NDArray[np.float64]:
        """P(click) of each row; clicks above it change nothing."""
        return predicted(self, impressions)

    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        """The rows with ``clicked``."""
        return sampled(self, lists, seed=seed)
