"""What each user of an A/B test did, by day: the sums that all its measures are ratios of.

    users        1 on the user's first day
    searches, impressions, clicks, purchases, revenue
    clicked_searches     with a click at least
    converted    1 on the day of the first purchase

Days are those of ``shown_at`` in UTC. Sums over days are those of the whole test, so that a look on any day is one too.

>>> day = pl.lit("2026-01-01T10:00:00Z").str.to_datetime(time_zone="UTC")
>>> shown = [("s1", "u1", "a", True, False), ("s1", "u1", "a", False, False), ("s2", "u1", "a", False, False)]
>>> columns = ["search_id", "user_id", "variant", "clicked", "purchase"]
>>> log = pl.DataFrame(shown, schema=columns, orient="row").with_columns(shown_at=day)
>>> totals(by_day(log).days).select("user_id", "searches", "impressions", "clicks", "clicked_searches").row(0)
('u1', 2, 3, 1, 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from ltr.errors import ConfigError, DataError

__all__ = ["SUMS", "UNITS", "Days", "by_day", "totals"]

UNITS: Final = ("user_id", "session_id", "search_id")
SUMS: Final = (
    *("users", "searches", "impressions", "clicks", "clicked_searches", "purchases", "converted", "revenue"),
)


@dataclass(frozen=True, eq=False)
class Days:
    """Users by day, and what is not among them.

    Args:
        days: the unit's id, variant, day and SUMS; revenue is null where the log tells none. The id stands first.
        several: users who saw more than one variant. They are left out: what they did belongs to neither.
        unknown: searches without a user or without a variant, left out too.
    """

    days: pl.DataFrame
    several: int
    unknown: int


def by_day(impressions: pl.DataFrame | pl.LazyFrame, *, unit: str = "user_id", variant: str = "variant") -> Days:
    """The sums of each user and day.

    Args:
        impressions: ``ltr.frames``, with ``variant`` and the unit's column.
        unit: what was assigned a variant, of UNITS.
        variant: the column that says which.

    Raises:
        ConfigError: no such unit.
        DataError: a column is missing, or no search has both a user and a variant.
    """
    if unit not in UNITS:
        raise ConfigError(f"unit {unit!r} is unknown", hint=f"units: {', '.join(UNITS)}")
    lazy = impressions.lazy()
    columns = lazy.collect_schema().names()
    needed = ("search_id", unit, variant, "clicked", "purchase", "shown_at")
    if lacking := [name for name in needed if name not in columns]:
        raise DataError(f"the impressions lack {lacking}", hint="log who searched, and which variant they saw")
    revenue = pl.col("revenue") if "revenue" in columns else pl.lit(None, dtype=pl.Float64)
    who = {"unit": pl.col(unit).first(), "variant": pl.col(variant).first()}
    searches = (
        lazy.group_by("search_id")
        .agg(
            **who,
            day=pl.col("shown_at").min().dt.date(),
            impressions=pl.len().cast(pl.Int64),
            clicks=pl.col("clicked").sum().cast(pl.Int64),
            purchases=pl.col("purchase").sum().cast(pl.Int64),
            revenue=pl.when(revenue.count() > 0).then(revenue.sum()),
        )
        .collect(engine="streaming")
    )
    known = searches.filter(pl.col("unit").is_not_null() & pl.col("variant").is_not_null())
    if known.is_empty():
        empty = [name for name, part in ((unit, "unit"), (variant, "variant")) if searches[part].is_null().all()]
        raise DataError(
            f"no search of the log has {' and '.join(empty or [unit, variant])}", hint="log who saw which variant"
        )
    mixed = known.group_by("unit").agg(pl.col("variant").n_unique()).filter(pl.col("variant") > 1).select("unit")
    kept = known.join(mixed, on="unit", how="anti")
    # A log that tells of revenue tells it of purchases alone.
    told = kept["revenue"].count() > 0
    days = (
        kept.with_columns(pl.col("revenue").fill_null(0.0) if told else pl.col("revenue"))
        .group_by("unit", "variant", "day")
        .agg(
            searches=pl.len().cast(pl.Int64),
            clicked_searches=(pl.col("clicks") > 0).sum().cast(pl.Int64),
            revenue=pl.col("revenue").sum() if told else pl.lit(None, dtype=pl.Float64),
            impressions=pl.col("impressions").sum(),
            clicks=pl.col("clicks").sum(),
            purchases=pl.col("purchases").sum(),
        )
        .sort("unit", "day")
        .with_columns(
            users=pl.col("unit").is_first_distinct().cast(pl.Int64),
            converted=((pl.col("purchases") > 0) & ((pl.col("purchases") > 0).cum_sum().over("unit") == 1)).cast(
                pl.Int64
            ),
        )
    )
    return Days(
        days.select(pl.col("unit").alias(unit), "variant", "day", *SUMS), mixed.height, searches.height - known.height
    )


def totals(days: pl.DataFrame, *, until: date | None = None) -> pl.DataFrame:
    """The sums of each user, over all days or those up to one and with it."""
    unit = days.columns[0]
    seen = days if until is None else days.filter(pl.col("day") <= until)
    sums = [pl.col(name).sum() for name in SUMS if name != "revenue"]
    revenue = pl.when(pl.col("revenue").count() > 0).then(pl.col("revenue").sum()).alias("revenue")
    return seen.group_by(unit).agg(pl.col("variant").first(), *sums, revenue).sort(unit)
