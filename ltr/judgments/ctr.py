"""Smoothed click-through rate: clicks by impressions, wherever the product stood.

    P(click) = a,   a = (α + clicks) ÷ (α + β + impressions)

Richardson, Dominowska & Ragno, "Predicting Clicks", WWW 2007, and the smoothing of Wang et al., 2011 (``priors``). It learns
the old ranking back, since what stands on top is clicked more: it is here to be compared with.

>>> log = pl.DataFrame({"query_id": "q", "product_id": ["a", "b"], "position": [1, 2], "clicked": [True, False]})
>>> CTR.fit(log, prior=Prior(mean=0.2, strength=3)).attraction["attraction"].round(3).to_list()
[0.4, 0.15]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.attraction import by_examination
from ltr.judgments.independent import predicted, sampled
from ltr.judgments.priors import FROM_LOG, FittedPrior, Prior
from ltr.judgments.statistics import POSITIONS, Impressions, by_position

__all__ = ["CTR"]


@dataclass(frozen=True)
class CTR:
    """Smoothed CTR, fitted: every position is examined."""

    attraction: pl.DataFrame
    examination: NDArray[np.float64]
    prior: FittedPrior

    @classmethod
    def fit(cls, impressions: Impressions, *, prior: Prior = FROM_LOG, most: int = POSITIONS) -> CTR:
        """Count clicks and impressions of each pair."""
        cells = by_position(impressions, most=most)
        examination = np.ones(cells.places)
        attraction, fitted = by_examination(cells, examination, prior)
        return cls(attraction, examination, fitted)

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> NDArray[np.float64]:
        """P(click) of each row; clicks above it change nothing."""
        return predicted(self, impressions)

    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        """The rows with ``clicked``."""
        return sampled(self, lists, seed=seed)
