"""Coordinate ascent on nDCG (Metzler & Croft, Information Retrieval 10, 2007; RankLib's form of it).

    maximise  Σ_q w_q nDCG@k(order of q by X_q w) / Σ_q w_q    over w, |w|₂ = 1

A measure of orders has no gradient, but along one weight it is cheap to look: a sweep visits the weights in random
order, tries steps of several sizes to both sides and none at all, keeps the best, and scales w back to length 1, which
changes no order. Each start climbs by itself until a sweep gains less than ``tolerance``.

Products of equal score are taken with the lower gain first, so that nothing is gained by scoring products alike, and a
file that happens to be sorted by grade teaches nothing.

>>> objective = Objective(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]), np.array([2]), cutoff=1)
>>> objective(np.array([1.0])), objective(np.array([-1.0])), objective(np.array([0.0]))
(1.0, 0.0, 0.0)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.rankers.lists import padded

__all__ = ["Objective", "ascend", "mean_ndcg"]

# Of the length of w, which is 1; both signs.
_STEPS: Final = 0.01 * 2.0 ** np.arange(8)
# The low bits of a score's 64 make room for a place in the list: 10,000 rows, the longest list, need 14. The 38 that
# are left of the fraction still tell scores 4e-12 apart.
_PLACE: Final = np.int64((1 << 14) - 1)
_SIGN: Final = np.int64(0x7FFFFFFFFFFFFFFF)
# Values sorted at once, so that they stay in a core's cache.
_BLOCK: Final = 1 << 15


def mean_ndcg(
    scores: NDArray[np.float64], gain: NDArray[np.float64], sizes: NDArray[np.int64], *, cutoff: int
) -> float:
    """Mean nDCG@k of lists that all have a gain; products of equal score stay as they stand.

    >>> mean_ndcg(np.array([0.0, 1.0]), np.array([3.0, 0.0]), np.array([2]), cutoff=2)  # 1/log₂3
    0.6309297535714575
    """
    values = np.empty(len(sizes))
    done = 0
    for rows in padded(sizes):
        absent = rows < 0
        given = np.where(absent, 0.0, gain[rows])
        order = np.argsort(np.where(absent, np.inf, -scores[rows]), axis=1, kind="stable")
        discount = _discount(cutoff, rows.shape[1])
        found = np.take_along_axis(given, order[:, : len(discount)], axis=1) @ discount
        values[done : done + len(rows)] = found / (-np.sort(-given, axis=1)[:, : len(discount)] @ discount)
        done += len(rows)
    return float(values.mean())


@dataclass(frozen=True)
class _Part:
    """Lists of like length, gains ascending in each: rows [list, place] of the matrix, and gain/ideal, weighted."""

    rows: NDArray[np.int64]
    absent: NDArray[np.bool_]
    share: NDArray[np.float64]
    first: NDArray[np.int64]  # where each line of ``share`` starts when flat
    discount: NDArray[np.float64]


class Objective:
    """Mean nDCG@k as a function of the weights, quick to ask again along one weight.

    Args:
        matrix: standardised rows, list after list.
        gain: of each row, at least 0; lists without one count as 0.
        sizes: rows of each list.
        cutoff: the k of nDCG@k.
        weights: how much each list counts; None = all alike.
    """

    def __init__(
        self,
        matrix: NDArray[np.float64],
        gain: NDArray[np.float64],
        sizes: NDArray[np.int64],
        *,
        cutoff: int,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        weights = np.ones(len(sizes)) if weights is None else weights
        weights = weights / weights.sum()
        owner = np.repeat(np.arange(len(sizes)), sizes)
        # Gains ascending within each list, so that the place in the low bits settles ties against us.
        by_gain = np.lexsort((gain, owner))
        matrix, gain = matrix[by_gain], gain[by_gain]
        self.parts = [
            _part(rows[at : at + size], gain, owner, weights, cutoff)
            for rows in padded(sizes)
            for size in [max(1, _BLOCK // rows.shape[1])]
            for at in range(0, len(rows), size)
        ]
        order = np.concatenate([np.where(part.absent, 0, part.rows).ravel() for part in self.parts])
        # Feature after feature, in the padded order: what a line search reads is one stretch of memory.
        self.columns: NDArray[np.float64] = np.ascontiguousarray(matrix.T[:, order])
        self.width = len(self.columns)

    def __call__(self, weights: NDArray[np.float64]) -> float:
        """The measure of the orders that ``weights`` make."""
        return self.value(self.scores(weights))

    def scores(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The negated score of each padded row, for smaller numbers to sort first; never -0."""
        scores: NDArray[np.float64] = 0.0 - np.einsum("f,fr->r", weights, self.columns)
        return scores

    def value(self, negated: NDArray[np.float64], step: float = 0.0, feature: int = 0) -> float:
        """The measure, after ``step`` more of one feature's weight."""
        total, start = 0.0, 0
        for part in self.parts:
            stretch = slice(start, start := start + part.rows.size)
            keys = negated[stretch] - step * self.columns[feature, stretch]
            order: NDArray[np.int64] = keys.reshape(part.rows.shape).view(np.int64)
            # IEEE 754: with the other bits of negative numbers turned, doubles order as whole numbers do.
            order ^= (order >> 63) & _SIGN
            order &= ~_PLACE
            order |= np.arange(part.rows.shape[1])
            order[part.absent] = (_SIGN & ~_PLACE) | part.rows.shape[1]
            order.sort(axis=1)
            top = order[:, : len(part.discount)] & _PLACE
            total += float((part.share[top + part.first] @ part.discount).sum())
        return total


def ascend(
    objective: Objective,
    start: NDArray[np.float64],
    *,
    directions: Sequence[int],
    sweeps: int,
    tolerance: float,
    rng: np.random.Generator,
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """The weights after each sweep, and their measure, until a sweep gains less than ``tolerance``.

    Args:
        objective: what is maximised.
        start: weights that obey the directions.
        directions: by feature, the sign that its weight may have, 0 = any.
        sweeps: how many at most.
        tolerance: a gain in the measure.
        rng: the order of the features.
    """
    weights = _unit(start)
    for _ in range(sweeps):
        negated = objective.scores(weights)
        before = value = objective.value(negated)
        for feature in rng.permutation(objective.width).tolist():
            best, value = _search(objective, negated, weights[feature], feature, directions[feature], value)
            if best:
                weights[feature] += best
                length = float(np.sqrt(np.square(weights).sum()))
                if not length:
                    continue
                weights, negated = weights / length, (negated - best * objective.columns[feature]) / length
        yield weights.copy(), value
        if value - before < tolerance:
            return


def _search(
    objective: Objective, negated: NDArray[np.float64], weight: float, feature: int, direction: int, value: float
) -> tuple[float, float]:
    """The best step of one weight, 0 where none is better, and the measure after it."""
    best = 0.0
    steps = [-weight, *_STEPS, *-_STEPS]
    for refined in (False, True):
        if refined:
            if not best:
                break
            steps = [0.75 * best, 1.5 * best]
        for step in steps:
            if not step or direction * (weight + step) < 0:
                continue
            found = objective.value(negated, step, feature)
            # More than rounding: else equal orders are exchanged for ever.
            if found > value + 1e-12:
                best, value = step, found
    return best, value


def _part(
    rows: NDArray[np.int64],
    gain: NDArray[np.float64],
    owner: NDArray[np.int64],
    weights: NDArray[np.float64],
    cutoff: int,
) -> _Part:
    absent = rows < 0
    given = np.where(absent, 0.0, gain[rows])
    discount = _discount(cutoff, rows.shape[1])
    ideal = -np.sort(-given, axis=1)[:, : len(discount)] @ discount
    scale = np.divide(weights[owner[rows[:, 0]]], ideal, out=np.zeros(len(rows)), where=ideal > 0)
    # One more column of 0: absent rows sort last, under the place beyond the list.
    width = rows.shape[1] + 1
    share = np.zeros((len(rows), width))
    share[:, :-1] = given * scale[:, None]
    return _Part(rows, absent, share.ravel(), np.arange(len(rows))[:, None] * width, discount)


def _discount(cutoff: int, longest: int) -> NDArray[np.float64]:
    return 1 / np.log2(np.arange(2, min(cutoff, longest) + 2))


def _unit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.sqrt(np.square(weights).sum()))
    return weights / length if length > 0 else weights.copy()
