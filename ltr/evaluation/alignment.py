"""A run beside its judgments, as flat arrays: what every measure is then a sum over.

Only a retrieved product that is judged (a hit) can add to a measure, so hits are all that is kept of a run. They are
found by a 64-bit key of query and product, far quicker than by their names, and the names are compared afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Aligned", "align"]

# 2⁶⁴ ÷ the golden ratio, odd: neighbouring query numbers land far apart (Knuth, TAOCP 3, section 6.4).
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Aligned:
    """Queries are numbered by query_ids; hits stand by query, then rank.

    Args:
        query_ids: those of the judgments, sorted.
        judged: int64[queries, grades], how many products of a query have a grade.
        retrieved: int64[queries], the length of its list.
        query: int64[hits], the query's number.
        rank: int64[hits], 1 = top.
        grade: int64[hits].
    """

    query_ids: pl.Series
    judged: NDArray[np.int64]
    retrieved: NDArray[np.int64]
    query: NDArray[np.int64]
    rank: NDArray[np.int64]
    grade: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many queries there are."""
        return len(self.query_ids)

    def total(self, weights: NDArray[np.float64], query: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sum by query, in the order given."""
        return np.bincount(query, weights, minlength=len(self)).astype(np.float64, copy=False)


def align(run: pl.DataFrame, judgments: pl.DataFrame, *, grades: int, depth: int | None) -> Aligned:
    """Find the hits of a run.

    Args:
        run: a checked run; its queries without judgments are left out.
        judgments: checked, with whole grades below ``grades``.
        grades: how many grades the scale has.
        depth: the last rank that any measure looks at, None = all.
    """
    query_ids = judgments["query_id"].unique().sort()
    numbers = pl.DataFrame({"query_id": query_ids}).with_row_index("query")

    lists = run["query_id"].rle()
    known = _numbered(lists.struct.field("value"), numbers)
    lengths = lists.struct.field("len").to_numpy().astype(np.int64)
    retrieved = np.zeros(len(query_ids), dtype=np.int64)
    retrieved[known[known >= 0]] = lengths[known >= 0]

    run_query, top = np.repeat(known, lengths), run.select("product_id", "rank")
    wanted = run_query >= 0
    if depth is not None:
        wanted &= top["rank"].to_numpy() <= depth
    if not wanted.all():
        run_query, top = run_query[wanted], top.filter(wanted)

    judged_query = _numbered(judgments["query_id"], numbers)
    grade = judgments["grade"].to_numpy().astype(np.int64)
    row, judgment = _pairs(run_query, top["product_id"], judged_query, judgments["product_id"])
    cells = np.bincount(judged_query * grades + grade, minlength=len(query_ids) * grades)
    return Aligned(
        query_ids=query_ids,
        judged=cells.reshape(len(query_ids), grades),
        retrieved=retrieved,
        query=run_query[row],
        rank=top["rank"].to_numpy()[row].astype(np.int64),
        grade=grade[judgment],
    )


def _numbered(query_ids: pl.Series, numbers: pl.DataFrame) -> NDArray[np.int64]:
    """The number of each query, −1 where it has none."""
    named = pl.DataFrame({"query_id": query_ids})
    found = named.join(numbers, on="query_id", how="left", maintain_order="left")["query"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def _pairs(
    left_query: NDArray[np.int64], left_product: pl.Series, right_query: NDArray[np.int64], right_product: pl.Series
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of left and right that name the same pair, in the order of left."""
    left = pl.LazyFrame({"key": _keys(left_query, left_product)}).with_row_index("left")
    right = pl.LazyFrame({"key": _keys(right_query, right_product)}).with_row_index("right")
    # Sorting the hits afterwards takes half the time of a join that keeps the order.
    found = left.join(right, on="key", how="inner").collect().sort("left")
    row, other = found["left"].to_numpy().astype(np.int64), found["right"].to_numpy().astype(np.int64)
    # Two pairs may share a key: equal keys are where to look, equal names are what counts.
    same = (left_query[row] == right_query[other]) & (left_product[row] == right_product[other]).to_numpy()
    return (row, other) if same.all() else (row[same], other[same])


def _keys(query: NDArray[np.int64], product: pl.Series) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = product.hash(seed=7).to_numpy() + query.astype(np.uint64) * _SPREAD
    return keys
