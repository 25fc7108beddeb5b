"""Movers: the queries that gained or lost most between two rankers, and what changed in their lists.

>>> from ltr.frames import ranked
>>> lists = pl.DataFrame({"query_id": ["q"] * 3, "product_id": ["a", "b", "c"], "score": [3.0, 2.0, 1.0]})
>>> before, after = ranked(lists), ranked(lists.with_columns(score=pl.Series([1.0, 3.0, 2.0])))
>>> side_by_side(before, after, "q", 2).rows()                  # b was at rank 2, c at rank 3
[(1, 'a', 'b', 1), (2, 'b', 'c', 1)]
"""

from __future__ import annotations

import polars as pl

from ltr.errors import CandidateError, ConfigError
from ltr.evaluation.significance import matched

__all__ = ["moved", "side_by_side"]


def moved(before: pl.DataFrame, after: pl.DataFrame, measure: str, n: int = 10) -> pl.DataFrame:
    """The n queries whose value changed most, either way: query_id, before, after, difference.

    Largest change first, equal ones by query_id; queries without a change, or without a value in one, are left out.

    Args:
        before: a ranker's frame from ``evaluate``.
        after: the other's.
        measure: a column of both.
        n: how many at most.

    >>> a = pl.DataFrame({"query_id": ["x", "y", "z"], "RR": [0.5, 1.0, 1.0]})
    >>> moved(a, a.with_columns(RR=pl.Series([1.0, 0.25, 1.0])), "RR").rows()
    [('y', 1.0, 0.25, -0.75), ('x', 0.5, 1.0, 0.5)]
    """
    _check_count(n, "queries")
    both = matched(after, before, measure=measure, names=("after", "before"))
    difference = pl.col("value") - pl.col("value_baseline")
    changed = both.select("query_id", before="value_baseline", after="value", difference=difference)
    changed = changed.filter(pl.col("difference") != 0)
    # Equal changes differ in their last bits.
    return changed.sort(pl.col("difference").abs().round(12), "query_id", descending=[True, False]).head(n)


def side_by_side(
    before: pl.DataFrame, after: pl.DataFrame, query_id: str, k: int = 10, *, judgments: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Ranks 1 to k of a query's two lists: rank, before, after, moved, and with judgments before_grade and after_grade.

    ``moved`` is of the product in ``after``: how many ranks it rose (below 0: fell), null where it is new. A list that ends
    above k leaves nulls, and so does a product without a judgment.

    Args:
        before: a run.
        after: the other run.
        query_id: of at least one of them.
        k: the last rank.
        judgments: of the query, among others.
    """
    _check_count(k, "ranks")
    lists = [run.filter(pl.col("query_id") == query_id).select("product_id", "rank") for run in (before, after)]
    if not any(found.height for found in lists):
        raise CandidateError(f"neither run has a list for query {query_id!r}", hint="give a query_id of the runs")
    top = [found.filter(pl.col("rank") <= k) for found in lists]
    was = lists[0].rename({"rank": "was"})
    sides = [
        top[0].select("rank", before="product_id"),
        top[1].join(was, on="product_id", how="left").select(
            "rank", after="product_id", moved=pl.col("was").cast(pl.Int64) - pl.col("rank").cast(pl.Int64)
        ),
    ]  # fmt: skip
    table = sides[0].join(sides[1], on="rank", how="full", coalesce=True).sort("rank")
    if judgments is None:
        return table
    grades = judgments.filter(pl.col("query_id") == query_id).select("product_id", "grade")
    for side in ("before", "after"):
        named = grades.rename({"product_id": side, "grade": f"{side}_grade"})
        table = table.join(named, on=side, how="left", maintain_order="left")
    return table


def _check_count(count: int, noun: str) -> None:
    if count < 1:
        raise ConfigError(f"{count} {noun}", hint="give at least 1")
