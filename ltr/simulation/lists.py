"""Result lists as arrays: one after the other, top first, and the rows of any choice of them.

>>> shown = pl.DataFrame({"query_id": ["q", "q", "r"], "query": "shoe", "product_id": ["b", "a", "a"], "position": [2, 1, 1]})
>>> lists = lists_of(shown, [0.2, 0.1, 0.3])
>>> lists.attraction, lists.position, lists.offsets
(array([0.1, 0.2, 0.3]), array([1, 2, 1], dtype=uint16), array([0, 2, 3]))
>>> spread(lists, np.array([1, 0, 1]))
(array([2, 0, 1, 2]), array([1, 2, 1]))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ltr.errors import ConfigError, DataError
from ltr.simulation.users import Flags, Floats

__all__ = ["Lists", "kept", "lists_of", "spread"]

_COLUMNS: Final = ("query_id", "query", "product_id", "position")


@dataclass(frozen=True, eq=False)
class Lists:
    """Result lists, one after the other, top first.

    Args:
        order: row of ``shown`` of each of our rows.
        position: 1 to the list's size.
        attraction: of each row.
        offsets: list i has rows offsets[i] to offsets[i + 1].
        query: number of the query of each list, by first appearance; lists of one query stand together.
        query_ids: by that number.
    """

    order: NDArray[np.int64]
    position: NDArray[np.uint16]
    attraction: Floats
    offsets: NDArray[np.int64]
    query: NDArray[np.int64]
    query_ids: list[str]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each list."""
        return np.diff(self.offsets)


def lists_of(shown: pl.DataFrame, attraction: ArrayLike, *, page: int | None = None) -> Lists:
    """The lists in order, checked."""
    missing = [name for name in _COLUMNS if name not in shown.columns]
    if missing:
        raise DataError(f"the lists shown lack {missing}", hint=f"they have {shown.columns}")
    if not shown.schema["position"].is_integer() or any(shown[name].null_count() for name in _COLUMNS):
        raise DataError("the lists shown have empty fields, or positions that are no integers", hint="fill them first")
    given = np.asarray(attraction, dtype=np.float64)
    if given.shape != (shown.height,):
        raise DataError(f"{shown.height} rows are shown and attraction has {given.size}", hint="give one number a row")
    if not ((given >= 0) & (given <= 1)).all():
        raise DataError("an attraction is not a probability", hint="they are from 0 to 1; see attraction_of")
    if page is not None and page < 1:
        raise ConfigError(f"page is {page}", hint="show 1 product or more")
    keys = ["query_id", "variant"] if "variant" in shown.columns else ["query_id"]
    if shown.select(*keys, "product_id").is_duplicated().any():
        raise DataError("a list holds a product twice", hint="show each product once")
    numbers = shown.select(pl.col("query_id").unique(maintain_order=True)).with_row_index("number")
    ordered = (
        shown.select(*keys, "position")
        .with_row_index("row")
        .join(numbers, on="query_id", how="left")
        .sort("number", *keys[1:], "position", maintain_order=True)
    )
    first = ordered.select(pl.struct("number", *keys[1:]).rle_id()).to_series().to_numpy()
    offsets = np.concatenate([np.flatnonzero(np.diff(first, prepend=-1)), [len(first)]]).astype(np.int64)
    position = ordered["position"].cast(pl.Int64).to_numpy()
    if not np.array_equal(position, np.arange(len(position)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1):
        raise DataError("the positions of a list are not 1 to n", hint="give each of its rows its own place, from 1")
    rows = ordered["row"].to_numpy().astype(np.int64)
    lists = Lists(
        order=rows,
        position=position.astype(np.uint16),
        attraction=given[rows],
        offsets=offsets,
        query=ordered["number"].to_numpy()[offsets[:-1]].astype(np.int64),
        query_ids=numbers["query_id"].cast(pl.String).to_list(),
    )
    return kept(lists, np.ones(len(rows), dtype=np.bool_), page=page)


def kept(lists: Lists, rows: Flags, *, page: int | None) -> Lists:
    """The lists without the rows that are not wanted, those below them moved up, and cut at the page."""
    number = np.repeat(np.arange(len(lists.sizes)), lists.sizes)
    above: NDArray[np.int64] = np.cumsum(rows, dtype=np.int64) - rows
    place = above - np.repeat(np.append(above, 0)[lists.offsets[:-1]], lists.sizes) + 1
    limit = np.iinfo(np.uint16).max
    if page is None and place.max(initial=0) > limit:
        raise DataError(f"a list has {place.max()} products", hint=f"set page: {limit:,} positions at most")
    wanted = np.flatnonzero(rows & (place <= min(page or limit, limit)))
    sizes = np.bincount(number[wanted], minlength=len(lists.sizes))
    return replace(
        lists,
        order=lists.order[wanted],
        position=place[wanted].astype(np.uint16),
        attraction=lists.attraction[wanted],
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def spread(lists: Lists, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the lists of these numbers, one list after the other, and how many each has."""
    sizes = lists.sizes[which]
    ends = np.cumsum(sizes)
    shift = lists.offsets[which] - (ends - sizes)
    return np.arange(int(sizes.sum())) + np.repeat(shift, sizes), sizes
