"""What a visitor does over all searches: who is no person, and how long a clicked product was looked at.

Dwell time is the time from a click to the session's next event that is about something else (Fox, Karnawat, Mydland, Dumais
& White, TOIS 2005), so that a cart event logged with the click does not end it; half an hour without an event ends a
session, and then it is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from ltr.judgments.filters import FLOOD, Filters
from ltr.judgments.rows import CART, CLICK, DERIVED, HIT, PURCHASE, SHOWN, pairs

__all__ = ["Visited", "visited"]

_HOUR: Final = 3_600_000_000
_ACTIONS: Final = CLICK | CART | PURCHASE
_LONGEST_DWELL: Final = 1_800 * 1_000_000


@dataclass(frozen=True)
class Visited:
    """What the visits say.

    Args:
        bots: ``visitor`` and the ``reason`` (of ``report.DROPPED``) for which all of its searches go.
        sessions: ``session``s that are too long.
        dwell: ``number`` of a click's record, its ``search``, ``dwell_s``.
    """

    bots: pl.DataFrame
    sessions: pl.DataFrame
    dwell: pl.DataFrame


def visited(visits: pl.DataFrame, filters: Filters) -> Visited:
    """Judge the visits of some visitors: all that each of them made, in any order."""
    lists = _lists(visits)
    return Visited(_bots(visits, lists, filters), _long_sessions(lists, filters), _dwell(visits))


def _bots(visits: pl.DataFrame, lists: pl.DataFrame, filters: Filters) -> pl.DataFrame:
    found = []
    if (most := filters.max_searches_per_hour) is not None:
        hours = lists.unique(["visitor", "hour", "search"]).group_by("visitor", "hour").len()
        fast = hours.filter(pl.col("len") > most).select("visitor").unique()
        found.append(fast.with_columns(reason=pl.lit("bot_rate")))
    if (least := filters.min_searches_per_click) is not None:
        searches = lists.unique(["visitor", "search"]).group_by("visitor").len()
        acting = visits.filter(_has(_ACTIONS)).select("visitor").unique()
        idle = searches.filter(pl.col("len") >= least).join(acting, on="visitor", how="anti").select("visitor")
        found.append(idle.with_columns(reason=pl.lit("bot_no_clicks")))
    if (flood := filters.max_clicks_per_search) is not None:
        clicks = visits.filter(_has(CLICK)).unique(["visitor", "search", "pair"]).group_by("visitor").len("clicks")
        each = lists.unique(["visitor", "search"]).group_by("visitor").len("searches").join(clicks, on="visitor")
        often = (pl.col("searches") >= FLOOD) & (pl.col("clicks") > flood * pl.col("searches"))
        found.append(each.filter(often).select("visitor", reason=pl.lit("bot_click_flood")))
    none = pl.DataFrame(schema={"visitor": pl.UInt64, "reason": pl.String})
    return pl.concat([none, *found]).unique("visitor", keep="first", maintain_order=True).sort("visitor")


def _long_sessions(lists: pl.DataFrame, filters: Filters) -> pl.DataFrame:
    if filters.max_session_searches is None:
        return pl.DataFrame(schema={"session": pl.UInt64})
    searches = lists.unique(["session", "search"]).group_by("session").len()
    return searches.filter(pl.col("len") > filters.max_session_searches).select("session").sort("session")


def _dwell(visits: pl.DataFrame) -> pl.DataFrame:
    ordered = visits.select("session", "at", "pair", "number", "search", "what")
    # A log is mostly in the order of time, and then one stable sort does.
    if not (ordered["at"].is_sorted() and ordered["number"].is_sorted()):
        ordered = ordered.sort("at", "number")
    ordered = ordered.sort("session", maintain_order=True)
    session, at, pair = (ordered[name].to_numpy() for name in ("session", "at", "pair"))
    if not len(at):
        return pl.DataFrame(schema={"number": pl.UInt64, "search": pl.UInt64, "dwell_s": pl.Float32})
    # Runs of events about one product in one session; the next run's first event ends the dwelling.
    begins = np.flatnonzero(np.r_[True, (session[1:] != session[:-1]) | (pair[1:] != pair[:-1])])
    ends = np.r_[at[begins[1:]], 0]
    same = np.r_[session[begins[1:]] == session[begins[:-1]], False]
    run = np.repeat(np.arange(len(begins)), np.diff(np.r_[begins, len(at)]))
    dwell = ends[run] - at
    # A row that tells of an impression, or of a search, and its click at once has the time of those.
    clicks = ordered["what"].to_numpy() & (CLICK | SHOWN | DERIVED) == CLICK
    known = same[run] & (dwell <= _LONGEST_DWELL) & clicks
    return ordered.select("number", "search", pl.Series("dwell_s", (dwell / 1e6).astype(np.float32))).filter(
        pl.Series(known)
    )


def _lists(visits: pl.DataFrame) -> pl.DataFrame:
    """``visitor``, ``session``, ``search`` and ``hour`` of each search that showed a list, once an hour."""
    shown = visits.filter(_has(SHOWN | HIT)).select("visitor", "session", "search", hour=pl.col("at") // _HOUR)
    said = np.zeros(shown.height, np.uint64)
    for name in shown.columns:
        said = pairs(said, shown[name].to_numpy().view(np.uint64))
    return shown.filter(pl.Series(said).is_first_distinct())


def _has(bits: int) -> pl.Expr:
    return pl.col("what") & bits > 0
