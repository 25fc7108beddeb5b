"""Position-based model: a click is an examination, which depends on the position, and an attraction, which on the pair.

    P(click) = e(position) · a(query, product)

Richardson, Dominowska & Ragno, "Predicting Clicks", WWW 2007; Craswell et al., "An Experimental Comparison of Click
Position-Bias Models", WSDM 2008. The examination is that of ``effects``, 1 at position 1, the attraction its posterior given
that curve. A curve that is known, from randomised traffic say, can be given instead: then pairs seen at one position count
too, and a log with one ranking suffices.

>>> log = pl.DataFrame({"query_id": "q", "product_id": ["a"] * 8, "position": [1] * 4 + [2] * 4, "clicked": [True] * 3 + [False] * 5})
>>> known = PBM.fit(log, examination=np.array([1.0, 0.5]), prior=Prior(mean=0.5, strength=1e-6))
>>> known.attraction.select("shown", "clicked").row(0), known.attraction["attraction"].round(3).item()
((8, 3), 0.578)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ltr.errors import DataError
from ltr.judgments.attraction import by_examination
from ltr.judgments.effects import DRAWN, effects, filled
from ltr.judgments.independent import predicted, sampled
from ltr.judgments.priors import FROM_LOG, FittedPrior, Prior
from ltr.judgments.statistics import POSITIONS, Cells, Impressions, by_position

__all__ = ["PBM", "known_curve"]


@dataclass(frozen=True)
class PBM:
    """The position-based model, fitted.

    Args:
        attraction: query_id, product_id, attraction, shown, clicked, examined; pairs seen, sorted.
        examination: by position, 1 at the first.
        prior: of attraction.
        tied: share of pairs seen at two positions or more; NaN where the curve was given.
    """

    attraction: pl.DataFrame
    examination: NDArray[np.float64]
    prior: FittedPrior
    tied: float = float("nan")

    @classmethod
    def fit(
        cls,
        impressions: Impressions,
        *,
        prior: Prior = FROM_LOG,
        examination: ArrayLike | None = None,
        most: int = POSITIONS,
    ) -> PBM:
        """Fit to a log.

        Args:
            impressions: query_id, product_id, position, clicked.
            prior: of attraction.
            examination: by position from the first, where it is known; the last holds below it too.
            most: positions below this one share its examination.

        Raises:
            DataError: an empty log, no click, or no pair that tells examination from attraction.
        """
        return cls.of(by_position(impressions, most=most), prior=prior, examination=examination)

    @classmethod
    def of(cls, cells: Cells, *, prior: Prior = FROM_LOG, examination: ArrayLike | None = None) -> PBM:
        """Fit to counts that are made already."""
        tied = float("nan")
        if examination is None:
            found = effects(cells, drawn=DRAWN)
            curve, tied = filled(found.examination), found.tied
        else:
            curve = known_curve(examination, cells.places)
        attraction, fitted = by_examination(cells, curve, prior)
        return cls(attraction, curve, fitted, tied)

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> NDArray[np.float64]:
        """P(click) of each row; clicks above it change nothing."""
        return predicted(self, impressions)

    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        """The rows with ``clicked``."""
        return sampled(self, lists, seed=seed)


def known_curve(examination: ArrayLike, places: int) -> NDArray[np.float64]:
    """A given curve by position, checked, and as long as the log's positions."""
    curve = np.asarray(examination, dtype=np.float64)
    if curve.ndim != 1 or not len(curve) or not (np.isfinite(curve) & (curve > 0)).all():
        raise DataError(
            f"the examination curve {curve.tolist()} is none",
            hint="give numbers above 0 by position, the first that of position 1",
        )
    return curve[np.minimum(np.arange(places), len(curve) - 1)]
