"""Searches as lists, top first: what models that follow a user down the list go through, rank by rank and all at once.

>>> log = pl.DataFrame({"search_id": ["s", "t", "s"], "position": [2, 1, 1]})
>>> lists = lists_of(log)
>>> lists.order.tolist(), lists.bounds.tolist()
([2, 0, 1], [0, 2, 3])
>>> [(searches.tolist(), rows.tolist()) for searches, rows in lists.ranks()]
[([0, 1], [0, 2]), ([0], [1])]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.statistics import Impressions, opened

__all__ = ["Lists", "last_click", "lists_of", "parts"]

Integers = NDArray[np.int64]

# Rows of the log in memory at once, however long it is.
PART: Final = 4_000_000


@dataclass(frozen=True)
class Lists:
    """Rows order[bounds[i]:bounds[i + 1]] of a frame are search i, by position."""

    order: Integers
    bounds: Integers

    def ordered(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame's rows by search and position; itself where they stand so."""
        return frame if np.array_equal(self.order, np.arange(len(self.order))) else frame[self.order]

    def ranks(self) -> Iterator[tuple[Integers, Integers]]:
        """The searches with an r-th product and its place in ``order``, for each r from the top."""
        sizes = np.diff(self.bounds)
        searches = np.arange(len(sizes))
        for rank in range(int(sizes.max(initial=0))):
            searches = searches[sizes[searches] > rank]
            yield searches, self.bounds[searches] + rank

    @property
    def of_rows(self) -> Integers:
        """The search of each place in ``order``."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


def lists_of(frame: pl.DataFrame) -> Lists:
    """The lists of a frame with search_id and position; rows of equal position keep their order."""
    runs = frame["search_id"].rle()
    starts = np.concatenate([[0], np.cumsum(runs.struct.field("len").to_numpy())]).astype(np.int64)
    position = frame["position"].to_numpy().astype(np.int64)
    rises = np.diff(position) >= 0
    rises[starts[1:-1] - 1] = True
    if runs.struct.field("value").n_unique() == len(runs) and rises.all():
        return Lists(np.arange(frame.height), starts)  # as logs are mostly written
    rows = frame.select("search_id", "position").with_row_index("row")
    rows = rows.sort("search_id", "position", maintain_order=True)
    sizes = rows["search_id"].rle().struct.field("len").to_numpy()
    return Lists(rows["row"].to_numpy().astype(np.int64), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def last_click(lists: Lists, clicked: NDArray[np.bool_]) -> Integers:
    """Of each search, the place in ``order`` of its last click; −1 without one. ``clicked`` is in the lists' order."""
    last = np.full(len(lists.bounds) - 1, -1, dtype=np.int64)
    at = np.flatnonzero(clicked)
    last[lists.of_rows[at]] = at  # ascending: the last of a search stays
    return last


def parts(impressions: Impressions, *more: str) -> Iterator[pl.DataFrame]:
    """The log in parts of whole searches, by the hash of search_id, each small enough for memory."""
    log = opened(impressions, "search_id", *more)
    rows = log.select(pl.len()).collect(engine="streaming").item()
    count = -(-rows // PART)
    for part in range(count):
        of_part = log.filter(pl.col("search_id").hash(3) % count == part) if count > 1 else log
        frame = of_part.collect(engine="streaming")
        if frame.height:
            yield frame
