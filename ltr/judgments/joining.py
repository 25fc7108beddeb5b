"""Rows of whole searches to impressions: lists, what was done on them, who searched; every record is accounted for.

A search's list are its impressions; where its application logs none, it is its result ids. A click, cart or purchase
belongs to the product of its list with the same id, whenever it came. What cannot be joined, and what a filter takes, is
counted by the first reason of ``report.DROPPED`` that holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from ltr.frames import SCHEMAS
from ltr.judgments.filters import Filters
from ltr.judgments.report import Counts
from ltr.judgments.rows import CART, CLICK, DERIVED, DOC, HIT, PURCHASE, SHOWN
from ltr.judgments.wording import query_keys

__all__ = ["COLUMNS", "Joined", "Plan", "join"]

_UTC: Final = pl.Datetime("us", "UTC")
_ACTIONS: Final = CLICK | CART | PURCHASE
_WHO: Final = ("session_id", "user_id", "device", "variant", "team")
_SECOND: Final = 1_000_000

# The columns of an impressions frame, in its schema's order.
COLUMNS: Final = SCHEMAS["impressions"].required | SCHEMAS["impressions"].optional


@dataclass(frozen=True)
class Plan:
    """What only the whole log tells.

    Args:
        firsts: application -> its first position, 0 or 1.
        listed: applications that log impressions.
        earliest, latest: µs; what lies outside is absurd.
        filters: the user's.
        bots, sessions: as ``visits.Visited`` has them.
    """

    firsts: Mapping[int, int]
    listed: frozenset[int]
    earliest: int
    latest: int
    filters: Filters
    bots: pl.DataFrame
    sessions: pl.DataFrame


@dataclass(frozen=True)
class Joined:
    """Impressions, the records that they were made of, and the searches and queries among them, queries by hash."""

    impressions: pl.DataFrame
    records: int
    searches: int
    queries: pl.Series


def join(rows: pl.DataFrame, tellings: pl.DataFrame, dwell: pl.DataFrame, plan: Plan, counts: Counts) -> Joined:
    """The impressions of the searches whose rows these are, all of each."""
    names = _Names(tellings)
    rows = _once(_dated(rows, plan, counts, names), counts, names)
    searches = _searches(rows, tellings, plan)
    rows = _of_kept_searches(rows, searches, counts, names)
    shown = _shown(rows, plan, counts, names)
    done, made = _done(rows, shown, dwell, counts, names)
    having = searches.join(shown.select("search").unique(), on="search", how="semi")
    docs = rows.filter(_has(DOC)).select("search")
    kept_docs = docs.join(having, on="search", how="semi")
    counts.drop("no_list", docs.height - kept_docs.height)
    counts.note("search_repeated", kept_docs.height - kept_docs["search"].n_unique())
    listed = shown.filter(_has(SHOWN)).height
    _note_searches(having, tellings, counts)
    impressions = _dressed(shown.join(done, on="pair", how="left"), having, counts)
    return Joined(impressions, listed + made + kept_docs.height, having.height, having["query_id"].unique().hash())


class _Names:
    """Search ids by hash, for examples."""

    def __init__(self, tellings: pl.DataFrame) -> None:
        self._tellings = tellings

    def of(self, rows: pl.DataFrame, column: str = "") -> list[str]:
        """The searches of the first rows, each with the value of a column."""
        first = rows.unique([column or "search", "search"], keep="first", maintain_order=True).head(3)
        named = []
        for row in first.iter_rows(named=True):
            search = self._tellings.filter(pl.col("search") == row["search"])["search_id"]
            told = f"search {search[0]}" if len(search) else "a search"
            named.append(f"{row[column]} in {told}" if column else told)
        return named


def _dated(rows: pl.DataFrame, plan: Plan, counts: Counts, names: _Names) -> pl.DataFrame:
    inside = pl.col("at").is_between(plan.earliest, plan.latest)
    absurd = rows.filter(~inside)
    if absurd.is_empty():
        return rows
    told = absurd.filter(_is_record).with_columns(day=pl.col("at").cast(pl.Datetime("us")).dt.strftime("%Y-%m-%d"))
    counts.drop("absurd_time", told.height, names.of(told, "day"))
    return rows.filter(inside)


def _once(rows: pl.DataFrame, counts: Counts, names: _Names) -> pl.DataFrame:
    named = rows["event"] > 0
    if not named.any():
        return rows
    again = (pl.col("event") > 0) & _is_record & ~pl.struct("event", "what", "pair").is_first_distinct()
    repeated = rows.filter(again)
    counts.drop("duplicate_id", repeated.height, names.of(repeated))
    return rows.filter(~again) if repeated.height else rows


def _searches(rows: pl.DataFrame, tellings: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """What is known of each search, and the reason for which its records are dropped, null where they are kept."""
    # A search's own record knows its text best, an event's message worst.
    order = pl.when(_has(DOC)).then(0).when(_has(DERIVED)).then(2).otherwise(1)
    known = [pl.col(name).drop_nulls().first() for name in ("search_id", "query", "client_id", *_WHO)]
    hashes = [pl.col(name).filter(pl.col(name) > 0).first() for name in ("visitor", "session")]
    searches = (
        tellings.sort(order, "at", maintain_order=True).group_by("search", maintain_order=True).agg(*known, *hashes)
    )
    listed = rows.filter(_has(SHOWN) | _is_list(plan)).select("search").unique().with_columns(listed=pl.lit(True))
    filters = plan.filters
    who = [pl.col("user_id"), pl.col("client_id"), pl.col("session_id")]
    internal = pl.any_horizontal(column.is_in(list(filters.internal)) for column in who)
    if filters.internal_pattern is not None:
        internal |= pl.any_horizontal(column.str.contains(filters.internal_pattern) for column in who)
    return (
        searches.with_columns(query_id=query_keys(searches["query"]))
        .join(listed, on="search", how="left")
        .join(plan.bots.rename({"reason": "bot"}), on="visitor", how="left")
        .join(plan.sessions.with_columns(long=pl.lit(True)), on="session", how="left")
        .with_columns(
            reason=pl.when(pl.col("listed").is_null())
            .then(pl.lit("no_list"))
            .when(pl.col("query_id").is_null())
            .then(pl.lit("no_query_text"))
            .when(internal)
            .then(pl.lit("internal"))
            .when(pl.col("bot").is_not_null())
            .then("bot")
            .when(pl.col("long").is_not_null())
            .then(pl.lit("long_session"))
        )
        .drop("listed", "visitor", "session", "bot", "long")
    )


def _of_kept_searches(rows: pl.DataFrame, searches: pl.DataFrame, counts: Counts, names: _Names) -> pl.DataFrame:
    refused = searches.filter(pl.col("reason").is_not_null()).select("search", "reason")
    if refused.is_empty():
        return rows
    dropped = rows.filter(_is_record).join(refused, on="search", maintain_order="left")
    for reason, count in sorted(dropped["reason"].value_counts().rows()):
        counts.drop(reason, count, names.of(dropped.filter(pl.col("reason") == reason)))
    return rows.join(refused, on="search", how="anti", maintain_order="left")


def _note_searches(kept: pl.DataFrame, tellings: pl.DataFrame, counts: Counts) -> None:
    told = tellings.filter(~_has(DERIVED)).drop_nulls("query").join(kept.select("search", first="query"), on="search")
    told = told.filter(pl.col("query") != pl.col("first"))
    # Capitals and blanks make no other query.
    differing = told.filter(query_keys(told["query"]).ne_missing(query_keys(told["first"])))
    differing = differing.unique("search", keep="first", maintain_order=True)
    examples = [f"{first!r} and {query!r}" for first, query in differing.select("first", "query").head(3).rows()]
    counts.note("query_differs", differing.height, examples)
    counts.note("no_session", kept.filter(pl.col("session_id").is_null() & pl.col("user_id").is_null()).height)


def _shown(rows: pl.DataFrame, plan: Plan, counts: Counts, names: _Names) -> pl.DataFrame:
    """``search``, ``pair``, ``what``, ``product_id``, ``position``, ``shown_at`` and ``propensity`` of each list."""
    shown = _unrepeated(rows.filter(_has(SHOWN)), counts, names)
    hits = rows.filter(_has(HIT) & _has(DERIVED)).unique("pair", keep="first", maintain_order=True)
    zero = [source for source, first in plan.firsts.items() if first == 0]
    from_zero = pl.col("source").is_in(zero)
    counts.note("zero_based", shown.select((from_zero & pl.col("place").is_not_null()).sum()).item())
    place = pl.col("place") + from_zero.cast(pl.Int32)
    ranks = hits.select("pair", rank="place", hit_propensity="propensity")
    shown = (
        shown.with_columns(position=pl.when(place >= 1).then(place))
        .join(ranks, on="pair", how="left")
        .with_columns(
            recovered=pl.col("position").is_null() & pl.col("rank").is_not_null(),
            position=pl.coalesce("position", "rank"),
            propensity=pl.coalesce("propensity", "hit_propensity"),
        )
    )
    counts.note("position_recovered", int(shown["recovered"].sum()))
    lost = shown.filter(pl.col("position").is_null())
    counts.drop("no_position", lost.height, names.of(lost, "product_id"))
    beyond = shown.filter(pl.col("position") > plan.filters.max_position)
    counts.drop("beyond_max_position", beyond.height, names.of(beyond, "position"))
    lists = hits.filter(_is_list(plan)).join(shown.select("search").unique(), on="search", how="anti")
    deep = lists.filter(pl.col("place") > plan.filters.max_position)
    counts.note("result_ids_beyond_max", deep.height)
    counts.note("list_from_result_ids", lists["search"].n_unique())
    acting = rows.filter(_has(_ACTIONS)).select("search").unique()
    counts.note("search_without_events", lists.join(acting, on="search", how="anti")["search"].n_unique())
    columns = ("search", "pair", "what", "product_id", "position", "shown_at", "propensity")
    both = [shown.rename({"at": "shown_at"}), lists.with_columns(position="place").rename({"at": "shown_at"})]
    return pl.concat([part.select(columns) for part in both]).filter(
        pl.col("position").is_between(1, plan.filters.max_position)
    )


def _unrepeated(shown: pl.DataFrame, counts: Counts, names: _Names) -> pl.DataFrame:
    """Each product once in its list: as it was first shown."""
    several = shown["pair"].is_duplicated()
    if not several.any():
        return shown
    multiple = shown.filter(several).sort("at", "number")
    first = pl.col("pair").is_first_distinct()
    exact = multiple.filter(~pl.struct("pair", "at", "place", "what").is_first_distinct())
    again = multiple.filter(~first)
    counts.drop("duplicate_event", exact.height, names.of(exact, "product_id"))
    counts.drop("shown_again", again.height - exact.height, names.of(again, "product_id"))
    return pl.concat([shown.filter(~several), multiple.filter(first)])


def _done(
    rows: pl.DataFrame, shown: pl.DataFrame, dwell: pl.DataFrame, counts: Counts, names: _Names
) -> tuple[pl.DataFrame, int]:
    """What was done on each pair that was shown, and how many records said so beside the impressions."""
    done = rows.filter(_has(_ACTIONS))
    alone = ~_has(SHOWN)
    exact = alone & ~pl.struct("pair", "what", "at").is_first_distinct()
    _drop(done.filter(exact), "duplicate_event", counts, names)
    done = done.filter(~exact)
    times = shown.select("pair", "shown_at")
    done = done.join(times, on="pair", how="left")
    # Result ids may be the engine's own, internal ones.
    inner = done.filter(pl.col("shown_at").is_null() & (pl.col("inner") > 0)).drop("pair", "shown_at")
    inner = inner.rename({"inner": "pair"}).join(times, on="pair")
    if inner.height:
        counts.note("internal_id", inner.height)
        others = done.join(inner, on="number", how="anti")
        done = pl.concat([others, inner.with_columns(inner=pl.col("pair")).select(done.columns)])
    lost = done.filter(pl.col("shown_at").is_null() & alone)
    _drop(lost, "not_shown", counts, names)
    counts.note("list_action_not_shown", lost.filter(~_is_record).height)
    done = done.filter(pl.col("shown_at").is_not_null()).sort("at", "number")
    again = (pl.col("what") & ~DERIVED == CLICK) & ~pl.struct("pair", "what").is_first_distinct()
    _drop(done.filter(again), "repeated_click", counts, names)
    done = done.filter(~again).join(dwell.select("number", looked="dwell_s"), on="number", how="left")
    # A row that tells of the impression and its click at once has the impression's time.
    clicked_at = pl.when(_has(SHOWN | DERIVED)).then("clicked_at").otherwise("at")
    wait = done.filter(_has(CLICK)).select(clicked_at - pl.col("shown_at")).to_series()
    counts.note("click_before_shown", int((wait < -_SECOND).sum()))
    counts.note("late_click", int((wait > 3_600 * _SECOND).sum()))
    made = done.filter(alone & _is_record).height
    return done.group_by("pair").agg(
        clicked=_has(CLICK).any(),
        add_to_cart=_has(CART).any(),
        purchase=_has(PURCHASE).any(),
        clicked_at=clicked_at.filter(_has(CLICK)).min(),
        dwell_s=pl.coalesce("dwell_s", "looked").max(),
        revenue=pl.when(pl.col("revenue").is_not_null().any()).then(pl.col("revenue").sum()),
    ), made


def _drop(rows: pl.DataFrame, reason: str, counts: Counts, names: _Names) -> None:
    """Count the records among them."""
    records = rows.filter(_is_record)
    counts.drop(reason, records.height, names.of(records, "product_id"))


def _dressed(pairs: pl.DataFrame, searches: pl.DataFrame, counts: Counts) -> pl.DataFrame:
    """Under the impressions' schema, list by list."""
    numbered = searches.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt64))
    placed = pairs.join(numbered.select("search", "row"), on="search", how="left")
    # One key of the list and the position in it, which is below 2^16.
    key = placed.select((pl.col("row") * 65_536 + pl.col("position").cast(pl.UInt64)).alias("key")).to_series()
    order = key.arg_sort()
    counts.note("same_position", int((key.gather(order).diff() == 0).sum()))
    placed = placed[order]
    told = numbered[placed["row"]].drop("search", "row")
    times = (
        pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias(name)
        for name in ("shown_at", "clicked_at")
    )
    flags = (pl.col(name).fill_null(False) for name in ("clicked", "add_to_cart", "purchase"))
    whole = pl.concat([placed.with_columns(*times, *flags), told], how="horizontal")
    return whole.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())


_is_record: Final = pl.col("what") & DERIVED == 0


def _is_list(plan: Plan) -> pl.Expr:
    """Result ids that stand for a list, as their application logs no impressions."""
    return _has(HIT) & _has(DERIVED) & ~pl.col("source").is_in(list(plan.listed))


def _has(bits: int) -> pl.Expr:
    return pl.col("what") & bits > 0
