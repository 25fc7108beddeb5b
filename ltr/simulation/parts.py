"""One part of a log: what the visitors of a day do, as impressions in the order of time.

Times are whole milliseconds. A person reads a position in 1.5 s; a click on a product of attraction a holds them for a
dwell time that is log-normal about 8 s · (1 + 5 a); their next search follows some 12 s later. A bot needs none of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.simulation.lists import Lists, spread
from ltr.simulation.season import Season
from ltr.simulation.traffic import rearranged
from ltr.simulation.users import Flags, Floats, Users, shop
from ltr.simulation.visits import People, Visits
from ltr.simulation.world import World

__all__ = ["impressions"]

Integers = NDArray[np.int64]

_READING_MS: Final = 1_500
_LOADING_MS: Final = 1_000
_DWELL_MS: Final = 8_000
_LONGEST_MS: Final = 1_800_000
_PAUSE_MS: Final = 12_000
_BOT_MS: Final = 20
# σ of the log-normal times.
_SPREAD: Final = 0.8


@dataclass(frozen=True, eq=False)
class _Rows:
    """What happened, a value each row; search by search, the rows of one together, top first."""

    search: Integers
    place: Integers  # row of ``World.shown``
    position: NDArray[np.uint16]
    propensity: NDArray[np.float32]
    clicked: Flags
    carted: Flags
    bought: Flags
    clicked_ms: Integers  # after the search was shown
    dwell_ms: Integers


def impressions(
    there: World,
    lists: Lists,
    seen: Visits,
    everybody: People,
    *,
    users: Users,
    season: Season,
    day: int,
    prefix: str,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """What the visitors of a day do with the lists of that day (``ltr.frames``); ids begin with ``prefix``."""
    session = np.repeat(np.arange(len(seen.sizes)), seen.sizes)
    rows = _rows(there, lists, seen, session, users, season, rng)
    opened = season.midnight_ms(day) + seen.opened_ms[session]
    shown_ms = opened + _above(_lasts(rows, seen, session, rng), seen.sizes)
    order, moved = _in_time(shown_ms, rows.search)
    # Numbered in the order of time; a search whose products are all yet to come has no rows.
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    search, clicked = rows.search[moved], rows.clicked[moved]
    names = prefix + "-" + pl.int_range(len(order), eager=True).cast(pl.String).str.zfill(6)
    sessions = prefix + "-s" + pl.int_range(len(seen.sizes), eager=True).cast(pl.String)
    who, place = seen.user[session[search]], rows.place[moved]
    found = {
        "search_id": names.gather(rank[search]),
        **{name: there.shown[name].gather(place) for name in ("query_id", "query", "product_id")},
        "position": rows.position[moved],
        "shown_at": _instants(shown_ms[search]),
        "clicked": clicked,
        "add_to_cart": rows.carted[moved],
        "purchase": rows.bought[moved],
        "session_id": sessions.gather(session[search]),
        "user_id": everybody.user_ids.gather(who),
        "device": everybody.devices.gather(who),
        "variant": there.shown["variant"].gather(place),
        "clicked_at": _instants(shown_ms[search] + rows.clicked_ms[moved]),
        "dwell_s": (rows.dwell_ms[moved] / 1_000).astype(np.float32),
        "propensity": rows.propensity[moved],
    }
    log = pl.DataFrame(found).with_columns(
        pl.when("clicked").then(name).alias(name) for name in ("clicked_at", "dwell_s")
    )
    if there.shown["price"].null_count() == there.shown.height:
        return log
    price = there.shown["price"].fill_null(0.0).fill_nan(0.0).gather(place)
    return log.with_columns(revenue=pl.when("purchase").then(price).otherwise(0.0))


def _rows(
    there: World, lists: Lists, seen: Visits, session: Integers, users: Users, season: Season, rng: np.random.Generator
) -> _Rows:
    listed, sizes = spread(lists, seen.query * there.variants + seen.variant[session])
    position = lists.position[listed]
    shows, propensity = rearranged(position, sizes, seen.randomised, season, rng)
    listed = listed[shows]
    attraction = lists.attraction[listed]
    search = np.repeat(np.arange(len(sizes)), sizes)
    bot = seen.bot[session][search]
    clicked, carted, bought = shop(users, position, attraction, sizes, rng)
    clicked = np.where(bot < 0, clicked, bot == 1)
    dwell_ms = np.where(clicked, _dwell(attraction, bot, rng), 0)
    clicked_ms = _LOADING_MS + np.where(bot < 0, _READING_MS, _BOT_MS) * position + _above(dwell_ms, sizes)
    kept = rng.random((3, len(listed))) >= season.missing
    return _Rows(
        search=search,
        place=lists.order[listed],
        position=position,
        propensity=propensity,
        clicked=clicked & kept[0],
        carted=carted & (bot < 0) & kept[1],
        bought=bought & (bot < 0) & kept[2],
        clicked_ms=clicked_ms,
        dwell_ms=dwell_ms,
    )


def _dwell(attraction: Floats, bot: Integers, rng: np.random.Generator) -> Integers:
    times = _DWELL_MS * (1 + 5 * attraction) * rng.lognormal(0, _SPREAD, size=len(attraction))
    holds: Integers = np.where(bot < 0, np.minimum(times, _LONGEST_MS), _BOT_MS).astype(np.int64)
    return holds


def _lasts(rows: _Rows, seen: Visits, session: Integers, rng: np.random.Generator) -> Integers:
    """Milliseconds from each search to the next of its session."""
    count = len(session)
    ends = np.zeros(count, dtype=np.int64)
    at = np.flatnonzero(rows.dwell_ms)
    np.maximum.at(ends, rows.search[at], rows.clicked_ms[at] + rows.dwell_ms[at])
    read = np.maximum(ends, _LOADING_MS + _READING_MS * rng.geometric(0.3, size=count))
    pause = (_PAUSE_MS * rng.lognormal(0, _SPREAD, size=count)).astype(np.int64)
    hurried = np.maximum(ends, rng.integers(500, 1_500, size=count))
    lasts: Integers = np.where(seen.bot[session] < 0, read + pause, hurried)
    return lasts


def _above(values: Integers, sizes: Integers) -> Integers:
    """The sum of what stands above each row in its group.

    >>> _above(np.array([5, 1, 2, 7]), np.array([3, 1]))
    array([0, 5, 6, 0])
    """
    before = np.cumsum(values) - values
    filled = sizes[sizes > 0]
    above: Integers = before - np.repeat(before[np.cumsum(filled) - filled], filled)
    return above


def _in_time(shown_ms: Integers, search: Integers) -> tuple[Integers, Integers]:
    """The searches in the order of time, and the rows in that order, those of one search together."""
    order = np.argsort(shown_ms, kind="stable")
    sizes = np.bincount(search, minlength=len(shown_ms))
    first, ends = (np.cumsum(sizes) - sizes)[order], np.cumsum(sizes[order])
    return order, np.arange(len(search)) + np.repeat(first - (ends - sizes[order]), sizes[order])


def _instants(milliseconds: Integers) -> pl.Series:
    return pl.Series(milliseconds * 1_000).cast(pl.Datetime("us", "UTC"))
