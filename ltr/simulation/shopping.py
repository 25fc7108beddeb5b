"""A shop over a season: sessions, trends, new products, bots and several production rankers, in Parquet parts.

Each part (a day, or so many searches of one) draws from a stream of its own, is in the order of time and is written before the
next begins, so that a log may be larger than memory. A session belongs to the day on which it opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from ltr.errors import ConfigError
from ltr.progress import bar
from ltr.simulation.clicking import Truth
from ltr.simulation.parts import impressions
from ltr.simulation.season import Season
from ltr.simulation.seeds import stream
from ltr.simulation.users import Users
from ltr.simulation.visits import people, visits
from ltr.simulation.world import lists_on, truth, world

if TYPE_CHECKING:
    from ltr.datasets import Dataset

__all__ = ["Simulated", "shoppers"]

# The streams of a seed; ``world`` has 1 and 2.
_PEOPLE, _VISITS = 0, 3

_COUNTS: Final = {
    "searches": pl.col("search_id").n_unique(),
    "impressions": pl.len(),
    "clicks": pl.col("clicked").sum(),
    "add_to_carts": pl.col("add_to_cart").sum(),
    "purchases": pl.col("purchase").sum(),
    "randomised": pl.col("search_id").filter(pl.col("propensity") < 1).n_unique(),
}


@dataclass(frozen=True, eq=False)
class Simulated:
    """What shoppers did, and the truth behind it, which no training reads.

    Args:
        impressions: the directory of Parquet parts, by name in the order of time.
        truth: attraction as the mean over the days on which the product was there.
        users: how lists were read.
        season: what happened besides.
        seed: of all luck.
        counts: searches, impressions, clicks, add_to_carts and purchases in the log; searches made by bots, and randomised.
    """

    impressions: Path
    truth: Truth
    users: Users
    season: Season
    seed: int
    counts: Mapping[str, int]

    @property
    def parts(self) -> list[Path]:
        """The Parquet parts."""
        return sorted(self.impressions.glob("*.parquet"))

    def scan(self) -> pl.LazyFrame:
        """All impressions (``ltr.frames``)."""
        return pl.scan_parquet(self.parts)


def shoppers(
    dataset: Dataset,
    rankings: Mapping[str, pl.DataFrame],
    *,
    users: Users,
    searches: int,
    seed: int,
    directory: Path,
    season: Season,
    gains: str | Sequence[float] | None = None,
    part: int = 50_000,
) -> Simulated:
    """Let users search a shop through a season.

    Args:
        dataset: its judgments decide attraction (a pair without one counts as grade 0), its ``popularity`` how often a query
            is asked (n^−.8 in a seeded order where it has none), its ``price`` the revenue.
        rankings: production ranker -> run; queries that each of them answers are asked.
        users: how lists are read.
        searches: in all, shared evenly among the days.
        seed: one seed is one log.
        directory: for the Parquet parts: empty, or not there.
        season: how long, and what else happens.
        gains: as ``attraction_of`` takes them; None = the dataset's.
        part: searches of one Parquet part at most: of 20 products each, the default needs some 400 MB.

    Raises:
        ConfigError: a number of searches that cannot be, or a directory that holds something or cannot be written.
        DataError: no query is answered by every ranking.
    """
    if min(searches, part) < 1:
        raise ConfigError(f"{searches} searches in parts of {part}", hint="ask for 1 or more")
    there = world(dataset, rankings, users, season, seed=seed, gains=gains)
    everybody = people(searches, season, seed, _PEOPLE)
    _make(directory)
    counts = dict.fromkeys((*_COUNTS, "by_bots"), 0)
    with bar("simulating searches", total=searches) as advance:
        for day, number, count in _parts(searches, season.days, part):
            if not number:
                lists = lists_on(there, season, day)
            rng = stream(seed, _VISITS, day, number)
            seen = visits(count, everybody, season, there.popularity, variants=there.variants, rng=rng)
            log = impressions(
                there,
                lists,
                seen,
                everybody,
                users=users,
                season=season,
                day=day,
                prefix=f"{seed}-{day}-{number}",
                rng=rng,
            )
            _write(log, directory / f"{season.date(day).isoformat()}-{number:04d}.parquet")
            for name, found in log.select(**_COUNTS).row(0, named=True).items():
                counts[name] += found
            counts["by_bots"] += int(seen.sizes[seen.bot >= 0].sum())
            advance(count)
    return Simulated(directory, truth(there, users, season, everybody), users, season, seed, counts)


def _parts(searches: int, days: int, most: int) -> list[tuple[int, int, int]]:
    """Day, number of the part in it, and searches of the part.

    >>> _parts(7, 2, 3)
    [(0, 0, 3), (0, 1, 1), (1, 0, 3)]
    """
    each = [searches // days + (day < searches % days) for day in range(days)]
    return [
        (day, number, min(most, count - number * most))
        for day, count in enumerate(each)
        for number in range(-(-count // most))
    ]


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        taken = next(directory.iterdir(), None)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror}", hint="choose another place") from error
    if taken is not None:
        raise ConfigError(f"{directory} holds {taken.name!r}", hint="give a directory that is empty, or not there")


def _write(log: pl.DataFrame, path: Path) -> None:
    try:
        log.write_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(
            f"{path} could not be written: {error}", hint="free some space, or choose another place"
        ) from error
