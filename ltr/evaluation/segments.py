"""Segments: the same figures for parts of the queries, such as head, torso and tail, or those of one term.

A segmentation is a frame with query_id and segment, of which any column of a queries frame can make one:
``queries.select("query_id", segment="intent")``. Segments stand in the order of an Enum's categories, else sorted. A query
that has none is in NONE, so that the parts make up the whole.

A difference that is looked for in many segments is found in some: ``compare_segments`` corrects over all of them.

>>> per_query = pl.DataFrame({"query_id": ["q1", "q2", "q3"], "RR": [1.0, 0.5, 0.0]})
>>> segments = by_length(pl.DataFrame({"query_id": ["q1", "q2"], "query": ["dress", "red dress"]}))
>>> {segment: part["RR"].to_list() for segment, part in by_segment(per_query, segments).items()}
{'1': [1.0], '2': [0.5], '(none)': [0.0]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

import polars as pl

from ltr.errors import ConfigError, DataError
from ltr.evaluation.bootstrap import Estimate, summarise
from ltr.evaluation.significance import ALPHA, Comparison, compare, holm

__all__ = [
    "NONE",
    "OTHER",
    "by_column",
    "by_length",
    "by_popularity",
    "by_segment",
    "by_unseen",
    "compare_segments",
    "summarise_segments",
    "unseen_share",
]

NONE: Final = "(none)"
OTHER: Final = "(other)"


def by_segment(per_query: pl.DataFrame, segments: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each segment that has any.

    Args:
        per_query: from ``evaluate``.
        segments: query_id, once each, and segment.
    """
    lacking = [column for column in ("query_id", "segment") if column not in segments.columns]
    if lacking:
        raise DataError(f"the segments lack {lacking}", hint=f"they have {segments.columns}")
    if segments["query_id"].is_duplicated().any():
        twice = segments.filter(segments["query_id"].is_duplicated())["query_id"][0]
        raise DataError(f"query {twice!r} is in two segments", hint="give each query one row of query_id and segment")
    named = segments.select(pl.col("query_id").cast(pl.String), pl.col("segment").cast(pl.String))
    known = per_query.join(named, on="query_id", how="left", maintain_order="left")
    parts = known.with_columns(pl.col("segment").fill_null(NONE)).partition_by(
        "segment", as_dict=True, include_key=False, maintain_order=True
    )
    dtype = segments.schema["segment"]
    order = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else sorted(str(key[0]) for key in parts)
    places = {segment: place for place, segment in enumerate(order) if segment != NONE}
    found = {str(key[0]): part for key, part in parts.items()}
    return {segment: found[segment] for segment in [*places, NONE] if segment in found}


def summarise_segments(
    per_query: pl.DataFrame, segments: pl.DataFrame, *, seed: int = 7, resamples: int = 10_000, level: float = 0.95
) -> dict[str, dict[str, Estimate]]:
    """Segment -> measure -> estimate, as ``summarise`` gives it."""
    parts = by_segment(per_query, segments)
    return {name: summarise(part, seed=seed, resamples=resamples, level=level) for name, part in parts.items()}


def compare_segments(
    per_query: Mapping[str, pl.DataFrame],
    segments: pl.DataFrame,
    *,
    baseline: str,
    measure: str,
    test: Literal["randomisation", "t", "wilcoxon", "bootstrap"] = "randomisation",
    seed: int = 7,
    permutations: int = 10_000,
    resamples: int = 10_000,
    level: float = 0.95,
) -> dict[str, list[Comparison]]:
    """Segment -> comparisons, as ``compare`` gives them, with p corrected over all rows of all segments."""
    parts = {ranker: by_segment(frame, segments) for ranker, frame in per_query.items()}
    lists = {
        segment: compare(
            {ranker: of_ranker.get(segment, per_query[ranker].clear()) for ranker, of_ranker in parts.items()},
            baseline=baseline,
            measure=measure,
            test=test,
            seed=seed,
            permutations=permutations,
            resamples=resamples,
            level=level,
        )
        for segment in dict.fromkeys(segment for of_ranker in parts.values() for segment in of_ranker)
    }
    corrected = iter(holm([row.p_value for rows in lists.values() for row in rows]))
    return {
        segment: [replace(row, p_holm=p, proven=p < ALPHA) for row, p in zip(rows, corrected, strict=False)]
        for segment, rows in lists.items()
    }


def by_length(queries: pl.DataFrame, *, longest: int = 4) -> pl.DataFrame:
    """Segments "1", "2", "3" and "4+" by how many terms, apart by blanks, a query has ("1" for an empty one).

    Args:
        queries: query_id and query.
        longest: from how many terms on queries are in one segment.
    """
    if longest < 1:
        raise ConfigError(f"a longest query of {longest} terms", hint="give at least 1")
    names = [*map(str, range(1, longest)), f"{longest}+"]
    terms = pl.col("query").str.count_matches(r"\S+").clip(1, longest)
    segment = terms.replace_strict(dict(enumerate(names, start=1)), return_dtype=pl.Enum(names))
    return queries.select("query_id", segment=segment)


def by_column(queries: pl.DataFrame, column: str, *, most: int = 20) -> pl.DataFrame:
    """Segments by a column's values, in their order: the ``most`` that have most queries, and the others as one, OTHER.

    Args:
        queries: query_id and the column; a query with a null has no segment.
        column: texts, booleans, or numbers of which there are few.
        most: how many values are segments of their own.

    >>> queries = pl.DataFrame({"query_id": ["a", "b", "c", "d"], "intent": ["buy", "buy", "ask", "go"]})
    >>> by_column(queries, "intent", most=2)["segment"].to_list()
    ['buy', 'buy', 'ask', '(other)']
    """
    _check_column(queries, column)
    dtype = queries.schema[column]
    if dtype.is_nested():
        raise DataError(f"column {column!r} holds {dtype}", hint="segments need one value a query")
    # Of as many queries, the value that comes first.
    counts = queries.drop_nulls(column).group_by(column).len().sort(pl.col("len"), column, descending=[True, False])
    if counts.height > most and dtype.is_numeric():
        raise DataError(
            f"column {column!r} has {counts.height:,} different numbers",
            hint=f"at most {most} can be segments: give the queries a column of ranges",
        )
    kept = counts.head(most)[column].sort().cast(pl.String).to_list()
    value = pl.col(column).cast(pl.String)
    names = [*dict.fromkeys([*kept, OTHER])]
    segment = pl.when(value.is_in(kept) | value.is_null()).then(value).otherwise(pl.lit(OTHER))
    return queries.select("query_id", segment=segment.cast(pl.Enum(names)))


def unseen_share(judgments: pl.DataFrame, fitted: pl.DataFrame, *, rel: float = 1) -> pl.DataFrame:
    """Of each query's relevant products, the share that a ranker was never shown: query_id and unseen, sorted.

    Args:
        judgments: of the queries in question; those without a relevant product are left out.
        fitted: the pairs that it was fitted on, by product_id; a product that no query needed was seen too.
        rel: the lowest grade that counts as relevant.

    >>> judged = pl.DataFrame({"query_id": ["q", "q", "q"], "product_id": ["a", "b", "c"], "grade": [2, 1, 0]})
    >>> unseen_share(judged, pl.DataFrame({"product_id": ["a", "c"]})).row(0)      # b, of a and b
    ('q', 0.5)
    """
    seen = fitted.select(pl.col("product_id").unique(), seen=True)
    relevant = judgments.filter(pl.col("grade") >= rel).join(seen, on="product_id", how="left")
    return relevant.group_by("query_id").agg(unseen=pl.col("seen").is_null().mean()).sort("query_id")


def by_unseen(shares: pl.DataFrame) -> pl.DataFrame:
    """Segments "all seen", "some unseen" and "all unseen" by which of a query's relevant products fitting had seen.

    Args:
        shares: query_id and unseen, from ``unseen_share`` or the mean of several splits; null has no segment.

    >>> by_unseen(pl.DataFrame({"query_id": ["a", "b", "c"], "unseen": [0.0, 0.2, 1.0]}))["segment"].to_list()
    ['all seen', 'some unseen', 'all unseen']
    """
    unseen = pl.col("unseen")
    segment = (
        pl.when(unseen.is_null()).then(None)
        .when(unseen == 0).then(pl.lit("all seen"))
        .when(unseen == 1).then(pl.lit("all unseen"))
        .otherwise(pl.lit("some unseen"))
    )  # fmt: skip
    return shares.select("query_id", segment=segment.cast(pl.Enum(["all seen", "some unseen", "all unseen"])))


def by_popularity(
    queries: pl.DataFrame, *, column: str = "popularity", head: float = 1 / 3, torso: float = 1 / 3
) -> pl.DataFrame:
    """Segments "head", "torso" and "tail" by share of the searches: few queries are the head, most are the tail.

    The queries are taken from the most popular down. Those that begin within the first ``head`` of all searches are the
    head, those that begin within the next ``torso`` the torso; equally popular ones are in the same segment.

    Args:
        queries: query_id and the column.
        column: how often a query is searched for, 0 or more.
        head: the share of searches, likewise ``torso``; the rest is the tail's.

    >>> queries = pl.DataFrame({"query_id": ["a", "b", "c", "d"], "popularity": [50, 30, 10, 10]})
    >>> by_popularity(queries)["segment"].to_list()                 # they begin at .00, .50, .80 and .80
    ['head', 'torso', 'tail', 'tail']
    """
    _check_column(queries, column)
    if not (head > 0 and torso >= 0 and head + torso <= 1):
        raise ConfigError(
            f"shares of head {head:g} and torso {torso:g}", hint="head is above 0, both at most 1 together"
        )
    searches = pl.col(column).cast(pl.Float64, strict=False)
    if not queries.select((searches.is_finite() & (searches >= 0)).fill_null(False).all()).item():
        raise DataError(f"column {column!r} is empty, negative or not finite in places", hint="fill it with 0 or more")
    levels = queries.group_by(searches.alias("searches")).agg(total=searches.sum()).sort("searches", descending=True)
    before = ((pl.col("total").cum_sum() - pl.col("total")) / pl.col("total").sum()).fill_nan(0.0)
    # Sums of shares differ in their last bits; a query that begins at the border is below it.
    segment = (
        pl.when(before < head - 1e-12).then(pl.lit("head")).when(before < head + torso - 1e-12).then(pl.lit("torso"))
    ).otherwise(pl.lit("tail"))
    levels = levels.select("searches", segment=segment.cast(pl.Enum(["head", "torso", "tail"])))
    named = queries.select("query_id", searches=searches)
    return named.join(levels, on="searches", how="left", maintain_order="left").select("query_id", "segment")


def _check_column(queries: pl.DataFrame, column: str) -> None:
    if column not in queries.columns:
        raise DataError(f"the queries have no column {column!r}", hint=f"they have {queries.columns}")
