"""Clicks of models in which they do not depend on one another: P(click) = a · e of the position."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.attraction import attracted
from ltr.judgments.priors import FittedPrior
from ltr.judgments.statistics import Impressions

__all__ = ["at_position", "predicted", "sampled"]

Floats = NDArray[np.float64]


class _Model(Protocol):
    @property
    def attraction(self) -> pl.DataFrame: ...
    @property
    def examination(self) -> Floats: ...
    @property
    def prior(self) -> FittedPrior: ...


def at_position(values: Floats, rows: pl.DataFrame) -> Floats:
    """The value of each row's position; positions beyond the last share its value."""
    position = rows["position"].to_numpy().astype(np.int64)
    at: Floats = values[np.minimum(position, len(values)) - 1]
    return at


def predicted(model: _Model, impressions: Impressions) -> Floats:
    """P(click) of each row, in the order received."""
    rows = impressions.lazy().select("query_id", "product_id", "position").collect()
    return np.minimum(attracted(rows, model.attraction, model.prior) * at_position(model.examination, rows), 1.0)


def sampled(model: _Model, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """The rows with ``clicked``, drawn."""
    drawn = np.random.default_rng(seed).random(lists.height)
    return lists.with_columns(clicked=pl.Series(drawn < predicted(model, lists)))
