"""What interleaved searches say: points by search, and the preference for one ranking with its interval and its p.

    Δ = (wins_B + ½ ties) ÷ (wins_A + wins_B + ties) − ½

over the searches with a point for either; the second ranking, B, is better where Δ > 0 (Chapelle, Joachims, Radlinski & Yue,
TOIS 2012, who have it the other way round). A search is won by the ranking with more points. Users are the unit that varies:
Δ is a ratio of sums over users (``ratios``), and all searches of a user are drawn together.

    t           of the linearised ratio, by the delta method
    bootstrap   of users; the interval is the percentile one
    sign        whether more users prefer the one or the other, exact (binomial); users without a preference are no evidence.
                Its interval is that of t

``team`` of the impressions is what ``Interleaved.teams`` says of the product: ``A``, ``B``, the ranks of a balanced list
such as ``2:5``, or nothing. A log with one text a search, as UBI's ``query_attributes.team``, holds a list's teams in
order with commas between: ``A,B,,B``.

>>> shown = [("s1", "u1", 1, "A", False), ("s1", "u1", 2, "B", True), ("s2", "u2", 1, "B", True), ("s2", "u2", 2, "A", False)]
>>> log = pl.DataFrame(shown, schema=["search_id", "user_id", "position", "team", "clicked"], orient="row")
>>> found = preference(by_search(log), test="sign")
>>> found.delta, found.wins_second, found.users, found.p_value
(0.5, 2, 2, 0.5)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from ltr.errors import ConfigError, DataError, suggestion
from ltr.evaluation.distributions import sign_p
from ltr.evaluation.interleaving import TEAMS
from ltr.evaluation.ratios import (
    Estimated,
    Floats,
    bootstrapped,
    bootstrapped_p,
    linearised,
    mean,
    percentiles,
)
from ltr.evaluation.significance import ALPHA

__all__ = ["TESTS", "Preference", "by_search", "by_unit", "preference", "ratio_of"]

TESTS: Final = ("t", "bootstrap", "sign")
_RANKS: Final = r"^\d*:\d*$"


@dataclass(frozen=True)
class Preference:
    """How much the second ranking is preferred.

    Args:
        delta: −½ to ½, NaN where no search has a point.
        low: of its interval.
        high: likewise.
        p_value: two-sided, of "neither is preferred".
        proven: p < .05, in either direction.
        wins_first: searches that the first ranking won.
        wins_second: those that the second did.
        ties: searches with as many points for both.
        searches: interleaved searches in all, those without a point too.
        users: those with a point.
        test: what p is of.
    """

    delta: float
    low: float
    high: float
    p_value: float
    proven: bool
    wins_first: int
    wins_second: int
    ties: int
    searches: int
    users: int
    test: str


def by_search(
    impressions: pl.DataFrame | pl.LazyFrame, *, unit: str = "user_id", teams: tuple[str, str] = TEAMS
) -> pl.DataFrame:
    """Points of each interleaved search: search_id, unit, shown_on (the day, where shown_at is known), first, second.

    Args:
        impressions: ``ltr.frames``, with ``team``; searches none of whose products has a team are left out.
        unit: who searches: user_id, session_id or search_id. Searches without one are left out.
        teams: what the log calls the first and the second ranking.

    Raises:
        DataError: no search is interleaved, a team is neither, or the log has but one team for each search.
    """
    lazy = impressions.lazy()
    columns = lazy.collect_schema().names()
    if lacking := [name for name in ("search_id", unit, "position", "team", "clicked") if name not in columns]:
        raise DataError(f"the impressions lack {lacking}", hint="log each product's team and who searched")
    when = pl.col("shown_at").dt.date() if "shown_at" in columns else pl.lit(None, dtype=pl.Date)
    rows = lazy.filter(pl.col("team").is_not_null(), pl.col(unit).is_not_null()).select(
        "search_id", unit, "position", "clicked", team=_own_team(), shown_on=when
    )
    _check(rows, teams)
    ranks = pl.col("team").str.split_exact(":", 1).struct
    ours, theirs = (ranks.field(f"field_{at}").cast(pl.Int64, strict=False) for at in (0, 1))
    balanced = pl.col("team").str.contains(":")
    rows = rows.with_columns(
        credited=pl.col("clicked") & pl.col("team").is_not_null(),
        first=pl.when(balanced).then(ours),
        second=pl.when(balanced).then(theirs),
    )
    lowest = (
        pl.min_horizontal("first", "second").sort_by("position").filter(pl.col("credited").sort_by("position")).last()
    )
    points = [
        (pl.col("credited") & ((pl.col("team") == name) | (pl.col(column) <= lowest)))
        .sum()
        .cast(pl.Int64)
        .alias(column)
        for name, column in zip(teams, ("first", "second"), strict=True)
    ]
    return (
        rows.group_by("search_id")
        .agg(pl.col(unit).first(), pl.col("shown_on").min(), *points)
        .sort("search_id")
        .collect()
    )


def by_unit(searches: pl.DataFrame) -> pl.DataFrame:
    """Of each user (whatever the unit is) with a point: net (searches won by B − by A) and decided (searches with a point)."""
    unit = searches.columns[1]
    return (
        searches.filter(pl.col("first") + pl.col("second") > 0)
        .group_by(unit)
        .agg(net=(pl.col("second") - pl.col("first")).sign().sum(), decided=pl.len().cast(pl.Int64))
        .sort(unit)
    )


def preference(
    searches: pl.DataFrame,
    *,
    test: Literal["t", "bootstrap", "sign"] = "t",
    seed: int = 7,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Preference:
    """The preference over the searches of ``by_search``.

    Args:
        searches: what each says.
        test: of TESTS; named before looking at what each would say.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of the interval.
    """
    if test not in TESTS:
        raise ConfigError(f"test {test!r} is unknown", hint=suggestion(test, TESTS, noun="tests"))
    won = (searches["second"] - searches["first"]).sign()
    pointed = (searches["first"] + searches["second"]) > 0
    users = by_unit(searches)
    net, decided = (users[name].to_numpy().astype(np.float64) for name in ("net", "decided"))
    low = high = float("nan")
    p = 1.0
    delta = float(net.sum() / (2 * decided.sum())) if len(net) else float("nan")
    if test == "bootstrap" and len(net):
        drawn = bootstrapped(net / 2, decided, seed=seed, resamples=resamples)
        (low, high), p = percentiles(drawn, level=level), bootstrapped_p(drawn)
    elif len(net):
        found = ratio_of(net, decided)
        low, high = (float(end) for end in found.interval(level))
        p = float(found.p_value()) if test == "t" else sign_p(int((net > 0).sum()), int((net != 0).sum()))
    return Preference(
        delta=delta,
        low=max(low, -0.5),
        high=min(high, 0.5),
        p_value=p,
        proven=p < ALPHA,
        wins_first=int((won < 0).sum()),
        wins_second=int((won > 0).sum()),
        ties=int(((won == 0) & pointed).sum()),
        searches=searches.height,
        users=users.height,
        test=test,
    )


def ratio_of(net: Floats, decided: Floats) -> Estimated:
    """Δ with its standard error, of users on the last axis.

    >>> float(ratio_of(np.array([1.0, 1.0, -1.0]), np.array([1.0, 2.0, 1.0])).value)       # 1 ÷ (2 · 4)
    0.125
    """
    return mean(linearised(net / 2, decided))


def _own_team() -> pl.Expr:
    """A product's own team, where one text says those of the whole list; null where it has none."""
    listed = pl.col("team").str.split(",").list.get(pl.col("position").cast(pl.Int64) - 1, null_on_oob=True)
    team = pl.when(pl.col("team").str.contains(",", literal=True)).then(listed).otherwise("team").str.strip_chars()
    return pl.when(team.str.len_bytes() > 0).then(team)


def _check(rows: pl.LazyFrame, teams: tuple[str, str]) -> None:
    known = pl.col("team").is_in(list(teams)) | pl.col("team").str.contains(_RANKS)
    found = rows.select(
        rows=pl.col("team").count(),
        stray=pl.col("team").filter(~known).unique().sort().head(3).implode(),
        kinds=pl.col("team").drop_nulls().n_unique(),
    ).collect()
    if not found["rows"].item():
        raise DataError("no search of the log is interleaved: team is empty throughout", hint="log each product's team")
    if len(stray := found["stray"].item()):
        raise DataError(f"the log has teams {list(stray)}", hint=f"teams are {list(teams)}, or ranks such as '2:5'")
    several = rows.group_by("search_id").agg(
        teams=pl.col("team").drop_nulls().n_unique(),
        rows=pl.col("team").count(),
        ranks=pl.col("team").str.contains(":").any(),
    )
    alike = several.select(((pl.col("teams") < 2) & (pl.col("rows") > 1)).all() & ~pl.col("ranks").any()).collect()
    if alike.item() and found["kinds"].item() > 1:
        raise DataError(
            "every search has one team for all its products",
            hint="where the log has one text a search, write the list's teams in order, as in 'A,B,,B'",
        )
