"""Sufficient statistics of click models: impressions and clicks by query, product and place.

A place is what the examination depends on: the position, or for UBM the position with that of the click before. However long
the log, what is kept grows with the (query, product, place) cells alone, which the models hold in memory anyway: the log
streams past in batches and is counted in a hash table, a third of the time of a sorted or general group-by. Ids are compared
by 64-bit hashes; among 10 million cells two collide with a probability of 3 in a million.

>>> log = pl.DataFrame({"query_id": "q", "product_id": ["a", "b", "a"], "position": [1, 2, 2], "clicked": [True, False, True]})
>>> cells = by_position(log)
>>> cells.pairs["product_id"].to_list(), cells.bounds.tolist(), cells.place.tolist(), cells.clicked.tolist()
(['a', 'b'], [0, 2, 3], [0, 1, 1], [1.0, 1.0, 0.0])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError
from ltr.judgments import kernels

__all__ = ["POSITIONS", "Cells", "Counter", "Impressions", "by_position", "opened", "positions_of", "totals"]

Impressions = pl.LazyFrame | pl.DataFrame

# Positions below this one share its place: few look there, and a curve of 10,000 points says nothing.
POSITIONS: Final = 50
_BATCH: Final = 500_000
_LOAD: Final = 0.6  # of a table; fuller, and a search for a free slot is long
_TYPES: Final = {"position": pl.UInt16, "clicked": pl.Boolean, "propensity": pl.Float32}
_COLUMNS: Final = ("query_id", "product_id", "position", "clicked")


@dataclass(frozen=True)
class Cells:
    """Counts by pair and place: the cells of pair i are bounds[i] to bounds[i + 1], by ascending place.

    Args:
        pairs: query_id, product_id; sorted.
        bounds: int64[pairs + 1].
        place: int32[cells], from 0.
        shown: impressions of each cell.
        clicked: clicks of each cell.
        places: how many places there may be.
    """

    pairs: pl.DataFrame
    bounds: NDArray[np.int64]
    place: NDArray[np.int32]
    shown: NDArray[np.float64]
    clicked: NDArray[np.float64]
    places: int

    def of_pairs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of a cell's values by pair."""
        return np.add.reduceat(values, self.bounds[:-1]) if len(values) else np.zeros(0)

    def of_places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of a cell's values by place."""
        return np.bincount(self.place, values, self.places).astype(np.float64)

    @property
    def tied(self) -> float:
        """Share of the pairs that were seen at two places or more, which alone tell examination from attraction."""
        return float(np.mean(np.diff(self.bounds) > 1))

    def at_places(self, places: NDArray[np.bool_]) -> Cells:
        """The cells at some of the places, of the pairs that were seen at two of them or more and clicked there."""
        there = places[self.place]
        sizes = np.add.reduceat(there.astype(np.int64), self.bounds[:-1]) if len(there) else np.zeros(0, dtype=np.int64)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        found = Cells(self.pairs, bounds, self.place[there], self.shown[there], self.clicked[there], self.places)
        return found.told()

    def told(self) -> Cells:
        """The cells of the pairs that were clicked, and seen at two places or more."""
        enough = np.diff(self.bounds) > 1
        clicked = np.concatenate([[0.0], np.cumsum(self.clicked)])
        return self.kept(enough & (clicked[self.bounds[1:]] > clicked[self.bounds[:-1]]))

    def kept(self, pairs: NDArray[np.bool_]) -> Cells:
        """The cells of some of the pairs."""
        sizes = np.diff(self.bounds)
        cells = np.repeat(pairs, sizes)
        bounds = np.concatenate([[0], np.cumsum(sizes[pairs])])
        return Cells(
            self.pairs.filter(pl.Series(pairs)), bounds, self.place[cells], self.shown[cells], self.clicked[cells], self.places
        )  # fmt: skip


def opened(impressions: Impressions, *more: str) -> pl.LazyFrame:
    """The columns that models read, typed; refuses impressions that lack one, and an empty log.

    Raises:
        DataError: a column is missing, there is no row, or a position is 0.
    """
    log = impressions.lazy()
    known = log.collect_schema().names()
    needed = dict.fromkeys((*_COLUMNS, *more))
    if missing := [name for name in needed if name not in known]:
        raise DataError(f"the impressions lack {missing}", hint=f"they have {known}")
    log = log.select(pl.col(name).cast(_TYPES.get(name, pl.String)) for name in needed)
    least = log.select(pl.col("position").min()).collect(engine="streaming").item()
    if least is None:
        raise DataError("the log holds no impression", hint="give a log with at least one search and its products")
    if least < 1:
        raise DataError("a position is 0", hint="position 1 is the top: add 1 to each")
    return log


def positions_of(impressions: Impressions, most: int = POSITIONS) -> int:
    """Places that positions of this log take: its greatest position, or ``most``."""
    greatest = impressions.lazy().select(pl.col("position").max()).collect(engine="streaming").item()
    return min(int(greatest), most)


def by_position(impressions: Impressions, *, most: int = POSITIONS) -> Cells:
    """Impressions and clicks by query, product and position.

    Args:
        impressions: query_id, product_id, position (1 = top), clicked.
        most: positions below this one share its place.

    Raises:
        DataError: see ``opened``; or nothing was clicked.
    """
    log = opened(impressions)
    counter = Counter(positions_of(log, most))
    place = (pl.col("position").clip(1, most) - 1).cast(pl.UInt32)
    rows = log.select("query_id", "product_id", "clicked", place=place)
    for batch in _batches(rows):
        counter.add(batch)
    return counter.cells()


def totals(cells: Cells) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Impressions and clicks by pair."""
    return cells.of_pairs(cells.shown), cells.of_pairs(cells.clicked)


class Counter:
    """Counts that grow batch by batch (query_id, product_id, place UInt32, clicked) and become ``Cells``."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._keys = np.zeros(1024, dtype=np.uint64)
        self._cells = np.zeros((1024, 4), dtype=np.uint32)
        self._pair_keys = np.zeros(1024, dtype=np.uint64)
        self._codes = np.zeros(1024, dtype=np.int32)
        self._used, self._pairs = 0, 0
        self._names: list[pl.DataFrame] = []

    def add(self, batch: pl.DataFrame) -> None:
        """Count the rows of a batch."""
        self._widen(batch.height)
        fresh = np.empty(batch.height, dtype=np.int64)
        added, known = kernels.count(
            _array(_hashes(batch)), _array(batch["place"]), _array(batch["clicked"]), self._keys, self._cells, self._pair_keys,
            self._codes, self._pairs, fresh,
        )  # fmt: skip
        if known > self._pairs:
            self._names.append(batch.select("query_id", "product_id")[fresh[: known - self._pairs]])
        self._used, self._pairs = self._used + added, known

    def cells(self) -> Cells:
        """What was counted, by pair (in the order of their ids) and place.

        Raises:
            DataError: nothing was counted, or no row was clicked.
        """
        if not self._pairs:
            raise DataError("the log holds no impression", hint="give a log with at least one search and its products")
        pairs, rank = self._sorted()
        counts = self._cells[self._keys != 0]
        of_pair, place = rank[counts[:, 2]], counts[:, 3].astype(np.int64)
        order = np.argsort(of_pair * self._places + place, kind="stable")
        clicked = counts[order, 1].astype(np.float64)
        if not clicked.any():
            raise DataError(
                "nothing in the log was clicked", hint="a click model needs clicks: check how they are named in the log"
            )
        bounds = np.concatenate([[0], np.cumsum(np.bincount(of_pair, minlength=self._pairs))])
        return Cells(
            pairs, bounds, place[order].astype(np.int32), counts[order, 0].astype(np.float64),
            clicked, self._places,
        )  # fmt: skip

    @property
    def known(self) -> int:
        """Pairs met so far."""
        return self._pairs

    def codes(self, rows: pl.DataFrame) -> NDArray[np.int64]:
        """The number of each row's pair, in the order met; all are among those counted."""
        found = np.empty(rows.height, dtype=np.int64)
        kernels.look_up(_array(_hashes(rows)), self._pair_keys, self._codes, found)
        return found

    def ranks(self) -> NDArray[np.int64]:
        """By a pair's number its place among the sorted pairs."""
        return self._sorted()[1]

    def _sorted(self) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        pairs = pl.concat(self._names).with_row_index("code").sort("query_id", "product_id")
        rank = np.empty(self._pairs, dtype=np.int64)
        rank[pairs["code"].to_numpy()] = np.arange(self._pairs)
        return pairs.select("query_id", "product_id"), rank

    def _widen(self, rows: int) -> None:
        if self._used + rows > _LOAD * len(self._keys):
            size = 1 << int(np.ceil(np.log2(2 * (self._used + rows) / _LOAD)))
            keys, cells = np.zeros(size, dtype=np.uint64), np.zeros((size, 4), dtype=np.uint32)
            kernels.move(self._keys, self._cells, keys, cells)
            self._keys, self._cells = keys, cells
        if self._pairs + rows > _LOAD * len(self._pair_keys):
            size = 1 << int(np.ceil(np.log2(2 * (self._pairs + rows) / _LOAD)))
            keys, codes = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.int32)
            kernels.move_pairs(self._pair_keys, self._codes, keys, codes)
            self._pair_keys, self._codes = keys, codes


def _batches(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    yield from rows.collect_batches(chunk_size=_BATCH, maintain_order=True)


def _hashes(rows: pl.DataFrame) -> pl.Series:
    return rows.select(pl.col("query_id").hash(1) ^ pl.col("product_id").hash(2)).to_series()


def _array(column: pl.Series) -> NDArray[np.generic]:
    return np.ascontiguousarray(column.to_numpy())
