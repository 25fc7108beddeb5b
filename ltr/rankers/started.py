"""A forest grown on top of an order that is there already: the first pass, or the best single feature.

    score(x) = scale · start(x) + forest(x)

With few judgments the forest has little to say; begun from a good order, it changes that order where the data make it,
instead of learning all of it anew (init_score in LightGBM, base_margin in XGBoost). The scale makes the start's deviation
within a list 1 on average, so that a tree's usual step moves neighbours in the list and not the whole of it. A value that is
missing counts as the mean of the fitted rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr import rankers
from ltr.errors import RankerError, suggestion
from ltr.rankers import Ranker, saved
from ltr.rankers.lists import Lists

__all__ = ["Start", "Started", "begin", "restore"]

VERSION: Final = "1"


@dataclass(frozen=True)
class Start:
    """A column of the features, its scale, and what stands for a missing value."""

    column: str
    scale: float
    missing: float

    def of(self, matrix: NDArray[np.float32], features: Sequence[str]) -> NDArray[np.float64]:
        """The score that each row begins with."""
        values = matrix[:, list(features).index(self.column)].astype(np.float64)
        return self.scale * np.where(np.isnan(values), self.missing, values)


def begin(column: str | None, lists: Lists, features: Sequence[str]) -> Start | None:
    """Scale a start on the lists to fit on; None where none is wanted.

    >>> lists = Lists(np.float32([[0], [4], [7], [7]]), np.int32([0, 1, 0, 1]), None, np.array([2, 2]), {})
    >>> begin("cosine", lists, ["cosine"])                                     # deviations 2 and 0: 1 on average
    Start(column='cosine', scale=1.0, missing=4.5)
    """
    if column is None:
        return None
    check(column, features)
    values = lists.matrix[:, list(features).index(column)].astype(np.float64)
    if np.isnan(values).all():
        raise RankerError(f"ranker.start = {column!r} is missing in every row", hint="start from another feature")
    mean = float(np.nanmean(values))
    values = np.where(np.isnan(values), mean, values)
    starts = np.cumsum(lists.sizes) - lists.sizes
    centres = np.add.reduceat(values, starts) / lists.sizes
    squared = np.add.reduceat(np.square(values - np.repeat(centres, lists.sizes)), starts) / lists.sizes
    deviation = float(np.sqrt(squared).mean())
    return Start(column, 1.0 / deviation if deviation > 0 else 1.0, mean)


def check(column: str | None, features: Sequence[str]) -> None:
    """Refuse a start that is no feature."""
    if column is not None and column not in features:
        raise RankerError(f"ranker.start = {column!r}", hint=suggestion(column, features, noun="the set's features"))


@dataclass(frozen=True)
class Started:
    """A ranker and the score that its rows begin with."""

    ranker: Ranker
    start: Start

    @property
    def features(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self.ranker.features

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row."""
        return self.start.of(matrix, self.features) + self.ranker.predict(matrix)

    def importance(self) -> dict[str, float]:
        """Of the forest alone."""
        return self.ranker.importance()

    def save(self, directory: Path) -> None:
        """Write the forest into a directory of its own, then ranker.txt and ranker.json."""
        self.ranker.save(directory / "forest")
        told = {**self.start.__dict__, "sha256": saved.header(directory / "forest")}
        saved.write(saved.Saved("started", VERSION, self.features, 1, json.dumps(told, indent=2) + "\n"), directory)


def restore(directory: Path, *, restore: Callable[[Path], Ranker] = rankers.restore) -> Started:
    """Load what ``save`` wrote, the forest by ``restore``; RankerError where it is not the one that was saved."""
    held = saved.read(directory)
    again = "fit it again, or restore the directory from a copy"
    try:
        told = json.loads(held.text)
        start, digest = Start(str(told["column"]), float(told["scale"]), float(told["missing"])), told["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise RankerError(f"{directory / 'ranker.txt'} names no start ({error!r})", hint=again) from error
    if saved.header(directory / "forest") != digest:
        raise RankerError(f"{directory / 'forest' / 'ranker.json'} is not the one that was saved", hint=again)
    return Started(restore(directory / "forest"), start)
