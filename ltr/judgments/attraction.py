"""Attraction by pair where the examination is known: a Beta posterior over the examinations that are expected.

    a = (α + clicks) ÷ (α + β + x)

x counts an impression in full where it was clicked and else with P(examined | no click); for smoothed CTR it is every
impression. A pair that the log never showed has its prior's mean.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments import kernels
from ltr.judgments.priors import FittedPrior, Prior
from ltr.judgments.statistics import Cells, totals

__all__ = ["attracted", "by_examination", "table"]

Floats = NDArray[np.float64]


def by_examination(cells: Cells, examination: Floats, prior: Prior) -> tuple[pl.DataFrame, FittedPrior]:
    """The attraction table and the prior, by EM in each pair; ``examination`` by place."""
    shown, clicked = totals(cells)
    at = np.minimum(examination, 1.0)
    exposure = cells.of_pairs(cells.shown * at[cells.place])
    squares = cells.of_pairs(cells.shown * at[cells.place] ** 2)
    # Before any click is seen an impression is an examination with probability e, and the moments are unbiased in these.
    fitted = prior.fit(
        cells.pairs.with_columns(clicked=pl.Series(clicked), examined=pl.Series(np.maximum(exposure, 1e-9))), squares=squares
    )  # fmt: skip
    alpha = fitted.strength * fitted.of(cells.pairs)
    attraction, examined = np.empty(len(alpha)), np.empty(len(alpha))
    kernels.posterior(
        cells.bounds, cells.place, cells.shown, cells.clicked, at, alpha, fitted.strength - alpha, attraction, examined
    )
    return table(cells.pairs, attraction, shown, clicked, examined), fitted


def table(pairs: pl.DataFrame, attraction: Floats, shown: Floats, clicked: Floats, examined: Floats) -> pl.DataFrame:
    """query_id, product_id, attraction Float64, shown, clicked UInt32, examined Float64."""
    return pairs.with_columns(
        pl.Series("attraction", attraction),
        pl.Series("shown", shown).cast(pl.UInt32),
        pl.Series("clicked", clicked).cast(pl.UInt32),
        pl.Series("examined", examined),
    )


def attracted(rows: pl.DataFrame, attraction: pl.DataFrame, prior: FittedPrior, column: str = "attraction") -> Floats:
    """The attraction of each row's pair, or its prior's mean where the log never showed it."""
    pair = ["query_id", "product_id"]
    found = rows.select(pair).join(attraction.select(*pair, column), on=pair, how="left", maintain_order="left")[column]
    values: Floats = found.to_numpy()
    unknown = np.isnan(values) if found.null_count() else np.zeros(len(values), dtype=bool)
    return np.where(unknown, prior.of(rows), values) if unknown.any() else values
