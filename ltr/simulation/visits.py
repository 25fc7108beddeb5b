"""Who searches for what, and when: sessions of people and of bots.

A session is opened at an hour of the day, most in the evening, by one user on one device; it sees one production ranker
and goes on for a geometric number of searches. A bot makes some hundred searches in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.simulation.season import Season
from ltr.simulation.seeds import stream
from ltr.simulation.users import Flags, Floats

__all__ = ["BOTS", "People", "Visits", "people", "visits"]

# What a bot does with what it sees.
BOTS: Final = ("clicks nothing", "clicks everything")
_DEVICES: Final = {"mobile": 0.55, "desktop": 0.38, "tablet": 0.07}
# Searches of a session, of a person and of a bot over a whole simulation, on average.
_PER_SESSION: Final = 2.2
_PER_PERSON: Final = 12
_PER_BOT: Final = 2_000
_BOT_SESSION: Final = (100, 300)
_DAY_MS: Final = 86_400_000
# Knuth's multiplicative hash: odd, so that no two users share a number.
_SCRAMBLE: Final = 2_654_435_761


@dataclass(frozen=True, eq=False)
class People:
    """Everybody who searches; bots come last, but their ids do not tell.

    Args:
        user_ids: of each.
        devices: of each.
        humans: how many are no bots.
    """

    user_ids: pl.Series
    devices: pl.Series
    humans: int

    @property
    def bots(self) -> pl.DataFrame:
        """user_id and what the bot does."""
        mine = self.user_ids.slice(self.humans)
        return pl.DataFrame({"user_id": mine, "bot": [BOTS[place % 2] for place in range(len(mine))]})


@dataclass(frozen=True, eq=False)
class Visits:
    """Searches, session by session.

    Args:
        sizes: searches of each session.
        opened_ms: when each session opens, milliseconds after midnight.
        user: number of each session's user.
        bot: of each session: −1 a person, else the place in BOTS.
        variant: number of the production ranker of each session.
        query: number of each search's query.
        randomised: whether each search's list is.
    """

    sizes: NDArray[np.int64]
    opened_ms: NDArray[np.int64]
    user: NDArray[np.int64]
    bot: NDArray[np.int64]
    variant: NDArray[np.int64]
    query: NDArray[np.int64]
    randomised: Flags


def people(searches: int, season: Season, seed: int, *path: int) -> People:
    """As many people and bots as so many searches need."""
    humans = max(1, searches // _PER_PERSON)
    count = humans + (max(len(BOTS), round(searches * season.bots / _PER_BOT)) if season.bots else 0)
    scrambled = (np.arange(count, dtype=np.uint64) * np.uint64(_SCRAMBLE) + np.uint64(seed % 2**32)) % np.uint64(2**32)
    devices = stream(seed, *path).choice(len(_DEVICES), size=count, p=list(_DEVICES.values()))
    return People(
        pl.Series([f"u{number:08x}" for number in scrambled.tolist()]),
        pl.Series(list(_DEVICES)).gather(devices),
        humans,
    )


def visits(
    count: int, everybody: People, season: Season, popularity: Floats, *, variants: int, rng: np.random.Generator
) -> Visits:
    """A day's (or a part of a day's) searches.

    Args:
        count: how many.
        everybody: who may search.
        season: how many of them are bots' or randomised.
        popularity: of each query; people ask for the popular ones, bots for any.
        variants: how many production rankers there are.
        rng: where the luck comes from.
    """
    # Rounded at random, so that small parts have their share of bots too.
    made_by_bots = min(count, int(count * season.bots + rng.random()))
    own = _sessions(rng.geometric(1 / _PER_SESSION, size=count), count - made_by_bots)
    theirs = _sessions(rng.integers(*_BOT_SESSION, size=made_by_bots // _BOT_SESSION[0] + 1), made_by_bots)
    sizes = np.concatenate([own, theirs])
    machine = np.arange(len(sizes)) >= len(own)
    number = rng.integers(0, max(1, len(everybody.user_ids) - everybody.humans), size=len(sizes))
    hours = 1 + 0.8 * np.cos((np.arange(24) - 20) * 2 * np.pi / 24)
    hour = rng.choice(24, size=len(sizes), p=hours / hours.sum())
    asked = np.searchsorted(np.cumsum(popularity) / popularity.sum(), rng.random(count), side="right")
    anything = rng.integers(0, len(popularity), size=count)
    return Visits(
        sizes=sizes,
        opened_ms=np.where(
            machine,
            rng.integers(0, _DAY_MS, size=len(sizes)),
            hour * 3_600_000 + rng.integers(0, 3_600_000, size=len(sizes)),
        ),
        user=np.where(machine, everybody.humans + number, rng.integers(0, everybody.humans, size=len(sizes))),
        bot=np.where(machine, number % 2, -1),
        variant=rng.integers(0, variants, size=len(sizes)),
        query=np.where(np.repeat(machine, sizes), anything, np.minimum(asked, len(popularity) - 1)),
        randomised=rng.random(count) < season.randomised,
    )


def _sessions(lengths: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """As many of the lengths as ``count`` searches need, the last one cut."""
    if not count:
        return np.zeros(0, dtype=np.int64)
    ends = np.cumsum(lengths)
    needed = int(np.searchsorted(ends, count)) + 1
    sizes = lengths[:needed].astype(np.int64)
    sizes[-1] -= ends[needed - 1] - count
    return sizes
