"""The rows of the table: one ranking of the same candidates each, retrieval first.

Best single feature: the feature, and its direction, whose order has the highest first measure on dev. Cosine: the
feature set's first feature of kind ``cosine`` alone. Ties keep the retrieval order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.features.definition import FeatureSet
from ltr.frames import ranked
from ltr.rankers import Ranker

__all__ = ["SingleFeature", "best_feature", "by_feature", "by_ranker", "by_retrieval", "by_shown", "first_cosine"]


@dataclass(frozen=True)
class SingleFeature:
    """A feature as a ranker; sign −1 puts its small values first."""

    name: str
    sign: int

    def __str__(self) -> str:
        """The feature's name; a minus where small is good."""
        return self.name if self.sign > 0 else f"−{self.name}"


def by_retrieval(pairs: pl.DataFrame) -> pl.DataFrame:
    """The order in which the candidates came."""
    position = pl.int_range(pl.len()).over("query_id")
    return ranked(pairs.select("query_id", "product_id", score=-position.cast(pl.Float32)))


def by_shown(pairs: pl.DataFrame, impressions: pl.LazyFrame) -> pl.DataFrame:
    """The order in which a log showed the candidates, by their mean position; what it never showed comes last."""
    shown = impressions.group_by("query_id", "product_id").agg(pl.col("position").mean().alias("score")).collect()
    placed = pairs.select("query_id", "product_id").join(
        shown, on=["query_id", "product_id"], how="left", maintain_order="left"
    )
    return ranked(placed.with_columns(score=-pl.col("score").cast(pl.Float32)))


def by_feature(pairs: pl.DataFrame, feature: SingleFeature) -> pl.DataFrame:
    """The order of one feature; a missing value comes last."""
    return ranked(pairs.select("query_id", "product_id", score=pl.col(feature.name) * feature.sign))


def by_ranker(pairs: pl.DataFrame, ranker: Ranker) -> pl.DataFrame:
    """The order of a fitted ranker."""
    return ranked(
        pairs.select("query_id", "product_id", score=pl.Series(ranker.predict(matrix(pairs, ranker.features))))
    )


def matrix(pairs: pl.DataFrame, features: Sequence[str]) -> NDArray[np.float32]:
    """The feature columns, float32[n, F]."""
    return pairs.select(features).to_numpy().astype(np.float32, copy=False)


def best_feature(pairs: pl.DataFrame, names: Sequence[str], value: Callable[[pl.DataFrame], float]) -> SingleFeature:
    """The feature and direction with the highest value on dev; of equals the first in the set."""
    choices = [SingleFeature(name, sign) for name in names for sign in (1, -1)]
    values = [value(by_feature(pairs, choice)) for choice in choices]
    return choices[int(np.argmax(np.nan_to_num(values, nan=-1.0)))]


def first_cosine(feature_set: FeatureSet) -> SingleFeature | None:
    """The set's first feature of kind cosine, if it has one."""
    return next((SingleFeature(f.name, 1) for f in feature_set.features if f.kind == "cosine"), None)
