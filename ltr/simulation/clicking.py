"""Clicks on given result lists: each list searched so many times, all rows at once.

>>> shown = pl.DataFrame({"query_id": "q", "query": "shoe", "product_id": ["p1", "p2", "p3"], "position": [1, 2, 3]})
>>> log = clicks(shown, np.ones(3), users=Users("cascade", continuation=0), searches=2, seed=7)
>>> log.select("search_id", "product_id", "position", "clicked").rows()[:3]
[('7-0000000', 'p1', 1, True), ('7-0000000', 'p2', 2, False), ('7-0000000', 'p3', 3, False)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ltr.errors import ConfigError, DataError
from ltr.simulation.lists import Lists, lists_of, spread
from ltr.simulation.season import START
from ltr.simulation.seeds import stream
from ltr.simulation.users import Users, examined, shop

__all__ = ["Truth", "clicks", "examination", "truth_of"]


@dataclass(frozen=True)
class Truth:
    """What was behind the clicks, which no training reads.

    Args:
        attraction: query_id, product_id, attraction, query: P(click | examined), of trust users P(relevant).
        examination: position, examination, and of trust users P(click | examined) where ``relevant`` and ``irrelevant``. Of
            cascade and DBN users it is the mean over the lists shown: theirs depends on what stands above.
        products: of a season: product_id, the day that it arrives, and the factor of its attraction from the first day to the last.
        bots: of a season: user_id, and what the bot does.
    """

    attraction: pl.DataFrame
    examination: pl.DataFrame
    products: pl.DataFrame | None = None
    bots: pl.DataFrame | None = None


def clicks(
    shown: pl.DataFrame,
    attraction: ArrayLike,
    *,
    users: Users,
    searches: int | Mapping[str, int],
    seed: int,
    page: int | None = None,
    prices: ArrayLike | None = None,
    start: datetime = START,
) -> pl.DataFrame:
    """An impressions frame of what users do with the lists shown: by query as in ``shown``, then search, then position.

    Args:
        shown: query_id, query, product_id, position: one list a query, positions 1 to n; with a column ``variant`` one list a
            query and variant, and each search sees one of its query's variants with equal odds.
        attraction: P(click | examined) of each row of ``shown``; see ``attraction_of``.
        users: how they read.
        searches: of each query, or by query_id (a query that is not named has none).
        seed: one seed is one log.
        page: only positions up to this one are shown.
        prices: of each row of ``shown``; then there is ``revenue``, 0 where nothing is bought.
        start: of the first search; each begins a second after the one before.

    Raises:
        ConfigError: a number of searches, a page or a start that cannot be.
        DataError: lists whose positions are not 1 to n or that hold a product twice; attraction that is not a probability.
    """
    if start.tzinfo is None:
        raise ConfigError(f"start {start.isoformat()} has no time zone", hint="give one, such as datetime.UTC")
    if prices is not None and np.shape(prices) != (shown.height,):
        raise DataError(f"{shown.height} rows are shown and prices has {np.size(prices)}", hint="give one number a row")
    lists = lists_of(shown, attraction, page=page)
    rng = stream(seed)
    which = _drawn(lists, searches, rng)
    rows, sizes = spread(lists, which)
    position, attracts = lists.position[rows], lists.attraction[rows]
    clicked, carted, bought = shop(users, position, attracts, sizes, rng)
    search = np.repeat(np.arange(len(which), dtype=np.uint32), sizes)
    ids = pl.select(pl.format("{}-{}", seed, pl.int_range(len(which)).cast(pl.String).str.zfill(7))).to_series()
    seconds = int(start.timestamp()) + np.arange(len(which), dtype=np.int64)
    at = pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
    place = lists.order[rows]
    found = {
        "search_id": ids.gather(search),
        **{name: shown[name].cast(pl.String).gather(place) for name in ("query_id", "query", "product_id")},
        "position": position,
        "shown_at": at.gather(search),
        "clicked": clicked,
        "add_to_cart": carted,
        "purchase": bought,
    }
    if "variant" in shown.columns:
        found["variant"] = shown["variant"].cast(pl.String).gather(place)
    if prices is not None:
        found["revenue"] = np.where(bought, np.asarray(prices, dtype=np.float64)[place], 0.0)
    return pl.DataFrame(found)


def truth_of(
    shown: pl.DataFrame,
    attraction: ArrayLike,
    *,
    users: Users,
    page: int | None = None,
    searches: int | Mapping[str, int] = 1,
) -> Truth:
    """What is behind ``clicks`` on the same lists; ``searches`` only weights the lists of sequential users."""
    lists = lists_of(shown, attraction, page=page)
    pairs = shown.select(
        "query_id", "product_id", pl.Series("attraction", np.asarray(attraction, dtype=np.float64)), "query"
    )
    each = _searches(lists, searches) / np.maximum(np.bincount(lists.query, minlength=len(lists.query_ids)), 1)
    return Truth(
        pairs.unique(["query_id", "product_id"], maintain_order=True), examination(lists, users, each[lists.query])
    )


def examination(lists: Lists, users: Users, weights: NDArray[np.float64]) -> pl.DataFrame:
    """The truth of examination by position: of sequential users the mean over the lists, each with its weight."""
    deepest = int(lists.position.max(initial=0))
    weight = np.repeat(weights, lists.sizes)
    looks = examined(users, lists.position, lists.attraction, lists.sizes)
    total = np.bincount(lists.position, weight * looks, minlength=deepest + 1)[1:]
    shown = np.bincount(lists.position, weight, minlength=deepest + 1)[1:]
    table = pl.DataFrame(
        {
            "position": np.arange(1, deepest + 1, dtype=np.uint16),
            "examination": np.divide(total, shown, out=np.zeros(deepest), where=shown > 0),
        }
    )
    if users.kind == "trust":
        relevant, irrelevant = users.trusted(deepest)
        table = table.with_columns(relevant=pl.Series(relevant), irrelevant=pl.Series(irrelevant))
    return table


def _drawn(lists: Lists, searches: int | Mapping[str, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """The list that each search sees."""
    each = _searches(lists, searches)
    first = np.flatnonzero(np.diff(lists.query, prepend=-1))
    variants = np.diff(np.append(first, len(lists.query)))
    which = np.repeat(first, each)
    if (variants > 1).any():
        which = which + (rng.random(len(which)) * np.repeat(variants, each)).astype(np.int64)
    return which


def _searches(lists: Lists, searches: int | Mapping[str, int]) -> NDArray[np.int64]:
    if isinstance(searches, Mapping):
        each = np.array([searches.get(query_id, 0) for query_id in lists.query_ids], dtype=np.int64)
    else:
        each = np.full(len(lists.query_ids), searches, dtype=np.int64)
    if (each < 0).any():
        raise ConfigError(f"{each.min()} searches of a query", hint="search 0 times or more")
    return each
