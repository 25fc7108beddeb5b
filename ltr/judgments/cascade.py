"""Models of a user who goes down the list: the counts they need, their EM, and the clicks that they expect.

From the top, a product that is examined attracts (a) or not. After a click the user stops with some probability, and else,
as without a click, goes on to the next product with probability γ. Up to the last click everything was examined, which is
counted once (``Passed``). Below it nobody knows: those rows are kept as ``Tails``, equal ones once with their number, and EM
weighs for each how far the user went (``kernels.backward``). Models differ in whose the probability of stopping is, and in
whether γ is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments import kernels
from ltr.judgments.acceleration import squarem
from ltr.judgments.attraction import table
from ltr.judgments.lists import Lists, last_click, lists_of, parts
from ltr.judgments.priors import FittedPrior, Prior
from ltr.judgments.statistics import POSITIONS, Counter, Impressions, opened, positions_of, totals

__all__ = ["Fitted", "Walk", "fit", "predicted", "sampled"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NEAR: Final = 1e-6  # probabilities keep this distance from 0 and 1
_TOLERANCE: Final = 1e-5
_STEPS: Final = 600

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Passed:
    """What is certain: by pair the impressions, those down to the last click (all, without one), clicks, and last clicks.

    ``stops`` and ``stopped`` are clicks and last clicks that were not on the last row, by pair and by position: only those
    tell whether the user stopped. ``moved`` counts the moves down to the last click, ``unclicked`` the impressions by pair in
    lists without a click.
    """

    pairs: pl.DataFrame
    shown: Floats
    read: Floats
    clicked: Floats
    at_pair: tuple[Floats, Floats]
    at_position: tuple[Floats, Floats]
    shown_at: Floats
    read_at: Floats
    moved: float
    unclicked: Floats


@dataclass(frozen=True)
class Tails:
    """Rows bounds[t] to bounds[t + 1] of ``pair`` and ``place``: a last click and what lies below, or a list without click."""

    bounds: Integers
    pair: NDArray[np.int32]
    place: NDArray[np.int32]
    clicked: NDArray[np.bool_]
    searches: Floats


@dataclass(frozen=True)
class Fitted:
    """Attraction by pair (with ``satisfaction`` where stopping is the pair's), stopping and its mean, γ, examination."""

    attraction: pl.DataFrame
    examination: Floats
    prior: FittedPrior
    stop: Floats
    halt: float
    continuation: float
    converged: bool


@dataclass(frozen=True)
class Walk:
    """One user model, row by row: attraction, the probability of stopping after a click, and γ."""

    attraction: Floats
    stop: Floats
    continuation: float


def fit(
    impressions: Impressions, *, by_pair: bool, continuation: float | None, prior: Prior, most: int = POSITIONS
) -> Fitted:
    """Fit by EM to a log with search_id.

    Args:
        impressions: search_id, query_id, product_id, position, clicked.
        by_pair: the probability of stopping is the pair's (satisfaction), else the position's.
        continuation: γ where it is known; None = estimated.
        prior: of attraction.
        most: positions below this one share their probability of stopping.
    """
    passed, tails = _counted(impressions, most)
    pairs, places = passed.pairs.height, len(passed.shown_at)
    clicks, last = passed.at_pair if by_pair else passed.at_position
    code = (tails.pair if by_pair else tails.place)[tails.bounds[:-1]]
    stop_of = np.where(tails.clicked, code, -1).astype(np.int32)
    counts = passed.pairs.with_columns(
        clicked=pl.Series(passed.clicked), examined=pl.Series(passed.read + passed.unclicked)
    )
    fitted = prior.fit(counts)
    alpha, strength = fitted.strength * fitted.of(passed.pairs), fitted.strength
    halt, worth = _stopping_prior(clicks, last)
    scratch = np.empty(int(np.diff(tails.bounds).max(initial=0)) + 1)

    def expected(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        examined, read, stopped, moves = np.zeros(pairs), np.zeros(places), np.zeros(len(clicks)), np.zeros(2)
        kernels.backward(
            tails.bounds, tails.pair, tails.place, tails.searches, stop_of, values[:pairs], values[pairs:-1], float(values[-1]),
            examined, read, stopped, moves, scratch,
        )  # fmt: skip
        return examined, read, stopped, moves

    def step(values: Floats) -> Floats:
        examined, _, stopped, moves = expected(values)
        following = np.empty_like(values)
        following[:pairs] = (alpha + passed.clicked) / (strength + passed.read + examined)
        following[pairs:-1] = (halt * worth + stopped) / (worth + clicks)
        made, possible = passed.moved + moves[0], passed.moved + moves[1]
        following[-1] = continuation if continuation is not None else made / possible if possible > 0 else 1.0
        return np.clip(following, _NEAR, 1.0 if continuation == 1.0 else 1 - _NEAR)

    # Where the papers' own counts end: the last click is taken for the end.
    start = np.concatenate([fitted.smoothed(counts), (halt * worth + last) / (worth + clicks), [continuation or 0.9]])
    settled = squarem(
        step, start, tolerance=_TOLERANCE, limit=_STEPS, within=(_NEAR, 1.0 if continuation == 1.0 else 1 - _NEAR)
    )
    examined, read, _, _ = expected(settled.values)
    attraction = table(passed.pairs, settled.values[:pairs], passed.shown, passed.clicked, passed.read + examined)
    stop = settled.values[pairs:-1]
    if by_pair:
        attraction = attraction.with_columns(satisfaction=pl.Series(stop))
    share = np.divide(read + passed.read_at, passed.shown_at, out=np.zeros(places), where=passed.shown_at > 0)
    return Fitted(attraction, share, fitted, stop, halt, float(settled.values[-1]), settled.converged)


def predicted(walk: Callable[[pl.DataFrame], Walk], impressions: Impressions, *, conditional: bool) -> Floats:
    """P(click) of each row as received: given the clicks above it (``conditional``), or over all there may be."""
    frame = impressions.lazy().collect()
    lists = lists_of(frame)
    rows = lists.ordered(frame)
    user = walk(rows)
    clicked = rows["clicked"].to_numpy() if conditional else None
    found = np.empty(frame.height)
    reach = np.ones(len(lists.bounds) - 1)
    for searches, at in lists.ranks():
        a, stop, on = user.attraction[at], user.stop[at], user.continuation
        click = a * reach[searches]
        found[lists.order[at]] = click
        if clicked is None:
            reach[searches] *= on * (1 - a * stop)
        else:
            unread = reach[searches] * (1 - a) / np.maximum(1 - click, 1e-300)
            reach[searches] = on * np.where(clicked[at], 1 - stop, unread)
    return found


def sampled(walk: Callable[[pl.DataFrame], Walk], lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """The rows as received with ``clicked``, drawn from the top of each list down."""
    order = lists_of(lists)
    user = walk(order.ordered(lists))
    rng = np.random.default_rng(seed)
    attracts, stops, moves = (rng.random(lists.height) for _ in range(3))
    clicked = np.zeros(lists.height, dtype=bool)
    there = np.ones(len(order.bounds) - 1, dtype=bool)
    for searches, at in order.ranks():
        click = there[searches] & (attracts[at] < user.attraction[at])
        clicked[order.order[at]] = click
        there[searches] &= ~(click & (stops[at] < user.stop[at])) & (moves[at] < user.continuation)
    return lists.with_columns(clicked=pl.Series(clicked))


def _stopping_prior(clicks: Floats, last: Floats) -> tuple[float, float]:
    """Mean and strength of the prior of stopping: all clicks' mean, worth two."""
    return (float(last.sum() / clicks.sum()) if clicks.sum() > 0 else 0.5), 2.0


def _counted(impressions: Impressions, most: int) -> tuple[Passed, Tails]:
    log = opened(impressions, "search_id")
    places = positions_of(log, most)
    counter = Counter(places)
    sums = _Sums(places)
    for part in parts(log):
        lists = lists_of(part)
        rows = lists.ordered(part)
        place = np.minimum(rows["position"].to_numpy().astype(np.int64), places) - 1
        counter.add(rows.select("query_id", "product_id", "clicked", place=pl.Series(place.astype(np.uint32))))
        sums.add(lists, counter.codes(rows), place, rows["clicked"].to_numpy(), counter.known)
    cells = counter.cells()
    order = np.argsort(counter.ranks())
    shown, clicked = totals(cells)
    by_pair, by_place = sums.by_pair(counter.known)[:, order], sums.by_place
    passed = Passed(
        cells.pairs, shown, by_pair[0], clicked, (by_pair[1], by_pair[2]), (by_place[1], by_place[2]),
        cells.of_places(cells.shown), by_place[0], sums.moved, by_pair[3],
    )  # fmt: skip
    return passed, sums.tails(counter.ranks())


class _Sums:
    """Sums over parts: of rows read, clicks above the last row, last clicks above it, and rows of lists without a click."""

    def __init__(self, places: int) -> None:
        self.by_place = np.zeros((4, places))
        self.moved = 0.0
        self._by_pair = np.zeros((4, 0))
        self._tails: list[tuple[Integers, Integers, Integers, NDArray[np.bool_], Integers]] = []

    def add(self, lists: Lists, pair: Integers, place: Integers, clicked: NDArray[np.bool_], known: int) -> None:
        last = last_click(lists, clicked)
        starts, ends = lists.bounds[:-1], lists.bounds[1:]
        at, sizes = np.arange(len(pair)), np.diff(lists.bounds)
        self.moved += float(np.sum(np.maximum(last - starts, 0)[last >= 0]))
        above = at < np.repeat(ends - 1, sizes)
        kinds = (
            at <= np.repeat(last, sizes),
            clicked & above,
            clicked & above & (at == np.repeat(last, sizes)),
            np.repeat(last < 0, sizes),
        )
        self._by_pair = self.by_pair(known)
        for kind, rows in enumerate(kinds):
            self._by_pair[kind] += np.bincount(pair[rows], minlength=known)
            self.by_place[kind] += np.bincount(place[rows], minlength=self.by_place.shape[1])
        self._tails.append(_tails(np.where(last >= 0, last, starts), ends, pair, place, last >= 0))

    def by_pair(self, known: int) -> Floats:
        """The sums by pair code, as many as are known."""
        return np.pad(self._by_pair, ((0, 0), (0, known - self._by_pair.shape[1])))

    def tails(self, ranks: Integers) -> Tails:
        """Those of all parts; pairs by their rank."""
        sizes, pair, place, clicked, searches = (np.concatenate(each) for each in zip(*self._tails, strict=True))
        return Tails(
            np.concatenate([[0], np.cumsum(sizes)]), ranks[pair].astype(np.int32), place.astype(np.int32), clicked,
            searches.astype(np.float64),
        )  # fmt: skip


def _tails(
    starts: Integers, ends: Integers, pair: Integers, place: Integers, clicked: NDArray[np.bool_]
) -> tuple[Integers, Integers, Integers, NDArray[np.bool_], Integers]:
    """Tails of one part, equal ones once: sizes, pairs, places, whether a click leads, searches."""
    sizes = ends - starts
    key = np.where(clicked, np.uint64(1), np.uint64(2))
    searches, rank = np.arange(len(sizes)), 0
    while len(searches := searches[sizes[searches] > rank]):
        row = starts[searches] + rank
        # Multiplying by an odd number and adding loses no bit; 64 of them keep different tails apart.
        key[searches] = (key[searches] ^ (pair[row] * np.int64(1_000_003) + place[row]).astype(np.uint64)) * _MIX
        key[searches] ^= key[searches] >> np.uint64(32)
        rank += 1
    _, one, times = np.unique(key, return_index=True, return_counts=True)
    rows = np.repeat(starts[one] - np.concatenate([[0], np.cumsum(sizes[one])[:-1]]), sizes[one]) + np.arange(
        sizes[one].sum()
    )
    return sizes[one], pair[rows], place[rows], clicked[one], times
