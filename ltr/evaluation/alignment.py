"""A run beside its judgments, as flat arrays: what every measure is then a sum over.

Only a retrieved product that is judged (a hit) can add to a measure, so hits are all that is kept of a run. They are
found query by query in a hash table of the judged products, by 64-bit hashes, and the names are compared afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Aligned", "align", "condense", "ordinals"]

# 2⁶⁴ ÷ the golden ratio, odd: multiplying by it draws other leading bits from the same hash (Knuth, TAOCP 3, section 6.4).
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
# Rows of a run that are looked up at a time: their tables and temporaries (some 4 MiB) stay in cache.
_BLOCK: Final = 1 << 15
# Slots for each judged product. Of several that meet in one slot, all but one wait for the next round.
_SLOTS: Final = 3


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
    # Queries repeat from row to row, so all that is done by name is done once a stretch of rows.
    stretches = judgments["query_id"].rle().struct.unnest()
    query_ids = stretches["value"].unique().sort()
    numbers = pl.DataFrame({"query_id": query_ids}).with_row_index("query")
    judged_query = np.repeat(_numbered(stretches["value"], numbers), stretches["len"].to_numpy())
    grade = judgments["grade"].to_numpy().astype(np.int64)
    cells = np.bincount(judged_query * grades + grade, minlength=len(query_ids) * grades)
    product, judged_query, order = _by_query(judgments["product_id"], judged_query)

    lists = run["query_id"].rle().struct.unnest()
    known, lengths = _numbered(lists["value"], numbers), lists["len"].to_numpy().astype(np.int64)
    retrieved = np.zeros(len(query_ids), dtype=np.int64)
    retrieved[known[known >= 0]] = lengths[known >= 0]
    run_query, top = np.repeat(known, lengths), run.select("product_id", "rank")
    wanted = run_query >= 0
    if depth is not None:
        wanted &= top["rank"].to_numpy() <= depth
    if not wanted.all():
        run_query, top = run_query[wanted], top.filter(wanted)
    shown, run_query, listed = _by_query(top["product_id"], run_query)

    row, judgment = _pairs(run_query, shown, judged_query, product, queries=len(query_ids))
    return Aligned(
        query_ids=query_ids,
        judged=cells.reshape(len(query_ids), grades),
        retrieved=retrieved,
        query=run_query[row],
        rank=top["rank"].to_numpy()[row if listed is None else listed[row]].astype(np.int64),
        grade=grade[judgment if order is None else order[judgment]],
    )


def condense(aligned: Aligned) -> Aligned:
    """The lists without their unjudged products, whose places the judged ones below them take (Sakai, SIGIR 2007)."""
    hits = np.bincount(aligned.query, minlength=len(aligned)).astype(np.int64)
    return replace(aligned, retrieved=hits, rank=ordinals(hits))


def ordinals(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """1, 2, … within each of the groups that stand one after another.

    >>> ordinals(np.array([2, 0, 3]))
    array([1, 2, 1, 2, 3])
    """
    ends = np.cumsum(sizes)
    return np.arange(1, int(sizes.sum()) + 1) - np.repeat(ends - sizes, sizes)


def _numbered(query_ids: pl.Series, numbers: pl.DataFrame) -> NDArray[np.int64]:
    """The number of each query, −1 where it has none."""
    named = pl.DataFrame({"query_id": query_ids})
    found = named.join(numbers, on="query_id", how="left", maintain_order="left")["query"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def _by_query(
    product: pl.Series, query: NDArray[np.int64]
) -> tuple[pl.Series, NDArray[np.int64], NDArray[np.int64] | None]:
    """Rows in the order of their query's number, and what that order is, None for the one they have."""
    if np.all(query[1:] >= query[:-1]):
        return product, query, None
    order = np.argsort(query, kind="stable")
    return product.gather(order), query[order], order


def _pairs(
    left_query: NDArray[np.int64],
    left_product: pl.Series,
    right_query: NDArray[np.int64],
    right_product: pl.Series,
    *,
    queries: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of left and right that name the same pair, in the order of left; both stand by query, right without twins."""
    hashes = left_product.hash(seed=7).to_numpy(), right_product.hash(seed=7).to_numpy()
    found = _matched(left_query, hashes[0], right_query, hashes[1], queries=queries)
    row = np.flatnonzero(found >= 0)
    other = found[row]
    # Two products may share a hash: equal hashes are where to look, equal names are what counts.
    named = left_product if len(row) == len(left_product) else left_product.gather(row)
    if (named == right_product.gather(other)).all():
        return row, other
    return _joined(left_query, left_product, right_query, right_product)


def _joined(
    left_query: NDArray[np.int64], left_product: pl.Series, right_query: NDArray[np.int64], right_product: pl.Series
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same by names alone."""
    left = pl.DataFrame({"query": left_query, "product": left_product}).with_row_index("left")
    right = pl.DataFrame({"query": right_query, "product": right_product}).with_row_index("right")
    found = left.join(right, on=["query", "product"], how="inner").sort("left")
    return found["left"].to_numpy().astype(np.int64), found["right"].to_numpy().astype(np.int64)


def _matched(
    left_query: NDArray[np.int64],
    left_hash: NDArray[np.uint64],
    right_query: NDArray[np.int64],
    right_hash: NDArray[np.uint64],
    *,
    queries: int,
) -> NDArray[np.int64]:
    """For each row of left the row of right with its query and hash, −1 for none; both stand by query."""
    found = np.full(len(left_query), -1, dtype=np.int64)
    edges = np.arange(queries + 1)
    lefts, rights = np.searchsorted(left_query, edges), np.searchsorted(right_query, edges)
    first = 0
    while first < queries:
        # As many queries as a block holds, and at least one.
        last = max(first + 1, int(np.searchsorted(lefts, lefts[first] + _BLOCK, side="right")) - 1)
        left, right = slice(lefts[first], lefts[last]), slice(rights[first], rights[last])
        if left.start < left.stop:
            found[left] = _looked_up(
                left_query[left] - first, left_hash[left], right_query[right] - first, right_hash[right], last - first
            )
            found[left][found[left] >= 0] += right.start
        first = last
    return found


def _looked_up(
    left_query: NDArray[np.int64],
    left_hash: NDArray[np.uint64],
    right_query: NDArray[np.int64],
    right_hash: NDArray[np.uint64],
    queries: int,
) -> NDArray[np.int64]:
    """One block of ``_matched``: a table of right, where each query has slots of its own, and left looked up in it.

    In each round the products that lost their slot to another wait for the next, under other bits of their hashes; a row
    that finds an empty slot is not there at all, one that finds another product looks again.
    """
    width = np.bincount(right_query, minlength=queries).astype(np.uint64) * np.uint64(_SLOTS)
    width[width == 0] = 1
    start = np.cumsum(width) - width
    table = np.full(int(width.sum()), -1, dtype=np.int64)
    found = np.full(len(left_query), -1, dtype=np.int64)
    rows, waiting = np.arange(len(left_query)), np.arange(len(right_query))
    left_bits, right_bits = left_hash, right_hash

    def slots(query: NDArray[np.int64], bits: NDArray[np.uint64]) -> NDArray[np.int64]:
        slot: NDArray[np.uint64] = start[query] + (((bits >> _HALF) * width[query]) >> _HALF)
        return slot.view(np.int64)

    while len(waiting) and len(rows):
        slot = slots(right_query[waiting], right_bits[waiting])
        table[slot] = waiting
        seen = table[slots(left_query[rows], left_bits[rows])]
        rows, seen = rows[seen >= 0], seen[seen >= 0]
        same = left_hash[rows] == right_hash[seen]
        found[rows[same]] = seen[same]
        rows, waiting = rows[~same], waiting[table[slot] != waiting]
        table[slot] = -1
        left_bits, right_bits = left_bits * _SPREAD, right_bits * _SPREAD
    return found
