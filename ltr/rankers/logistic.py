"""Pairwise logistic regression: RankNet's loss with a linear score (Burges et al., ICML 2005), by Newton's method.

    L(w) = Σ_q 1/n_q Σ_{i ≻ j} c_i c_j log(1 + exp(-(x_i - x_j)·w)) + λ/2 |w|²

i ≻ j where i has the higher gain, n_q counts such pairs of a list, so that a list counts once whatever its length, and
c are confidences. The loss is convex, so there is one solution and no seed. Neither a pair's difference nor the Hessian
is ever formed: its product with a vector is enough for conjugate gradients (truncated Newton; Nocedal & Wright 2006,
7.1). Sums are numpy's own, not a matrix library's, so that the number of threads decides no digit.

>>> loss = Pairwise(np.array([[1.0], [0.0]]), np.array([1.0, 0.0]), np.array([2]), l2=0.0)
>>> round(loss(np.zeros(1))[0], 6)  # log 2
0.693147
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ltr.rankers.lists import padded

__all__ = ["Loss", "Pairwise", "descend"]

# Pairs formed at once: 2 MB an array.
_PAIRS: Final = 1 << 18


# Rows i, rows j, whether i ≻ j, and what to multiply with: c_i / n_q and c_j.
_Stretch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]


class Loss(Protocol):
    """A smooth convex function of the weights: its value and gradient, and its curvature along a vector."""

    def __call__(self, weights: NDArray[np.float64], /) -> tuple[float, NDArray[np.float64]]: ...  # noqa: D102
    def curvature(  # noqa: D102
        self, weights: NDArray[np.float64], /
    ) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]: ...


class Pairwise:
    """The loss as a function of the weights, with its gradient and the curvature along a vector.

    Args:
        matrix: standardised rows, list after list.
        gain: of each row.
        sizes: rows of each list.
        l2: λ, beside a sum over lists: the more lists, the less it counts.
        weights: the confidence of each row; None = 1.
    """

    def __init__(
        self,
        matrix: NDArray[np.float64],
        gain: NDArray[np.float64],
        sizes: NDArray[np.int64],
        *,
        l2: float,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.matrix, self.l2 = np.ascontiguousarray(matrix), l2
        # One row more, which is what -1 of ``padded`` points at: no gain above another, no confidence.
        self.gain = np.append(gain, np.nan)
        self.confidence = np.append(np.ones(len(gain)) if weights is None else weights, 0.0)
        self.blocks = [(rows, _pairs(self.gain[rows])) for rows in padded(sizes)]

    def __call__(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The loss and its gradient."""
        scores = self._scores(weights)
        loss, slope = 0.5 * self.l2 * float(np.square(weights).sum()), np.zeros(len(scores))
        for above, below, preferred, one, other in self._stretches():
            margin = scores[above][:, :, None] - scores[below][:, None, :]
            lost = np.where(preferred, _sigmoid(-margin), 0.0)
            slope[above] -= np.einsum("lab,lb->la", lost, other) * one
            slope[below] += np.einsum("lab,la->lb", lost, one) * other
            cost = np.where(preferred, np.maximum(-margin, 0.0) + np.log1p(np.exp(-np.abs(margin))), 0.0)
            loss += float((np.einsum("lab,lb->la", cost, other) * one).sum())
        return loss, self._back(slope) + self.l2 * weights

    def curvature(self, weights: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """The Hessian at ``weights``, as the function that multiplies a vector by it."""
        scores = self._scores(weights)

        def times(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            along, slope = self._scores(vector), np.zeros(len(scores))
            for above, below, preferred, one, other in self._stretches():
                margin = scores[above][:, :, None] - scores[below][:, None, :]
                rate = np.where(preferred, 0.25 * (1 - np.square(np.tanh(0.5 * margin))), 0.0)
                rate *= along[above][:, :, None] - along[below][:, None, :]
                slope[above] += np.einsum("lab,lb->la", rate, other) * one
                slope[below] -= np.einsum("lab,la->lb", rate, one) * other
            return self._back(slope) + self.l2 * vector

        return times

    def _scores(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(np.einsum("rf,f->r", self.matrix, weights), 0.0)

    def _back(self, slope: NDArray[np.float64]) -> NDArray[np.float64]:
        gradient: NDArray[np.float64] = np.einsum("rf,r->f", self.matrix, slope[:-1])
        return gradient

    def _stretches(self) -> Iterator[_Stretch]:
        """All pairs of all lists, some lists or a part of one at a time."""
        for rows, pairs in self.blocks:
            scale = np.divide(1.0, pairs, out=np.zeros(len(pairs)), where=pairs > 0)[:, None]
            width = rows.shape[1]
            lists, step = max(1, _PAIRS // width**2), max(1, min(width, _PAIRS // width))
            for at in range(0, len(rows), lists):
                below = rows[at : at + lists]
                for first in range(0, width, step):
                    above = below[:, first : first + step]
                    preferred = self.gain[above][:, :, None] > self.gain[below][:, None, :]
                    one = self.confidence[above] * scale[at : at + lists]
                    yield above, below, preferred, one, self.confidence[below]


def descend(
    loss: Loss, *, directions: Sequence[int], iterations: int, tolerance: float = 1e-6
) -> Iterator[NDArray[np.float64]]:
    """The weights after each of Newton's steps, projected on the signs allowed (Bertsekas, SIAM J. Control 20, 1982).

    At least one step is yielded, were it none.

    Args:
        loss: what is minimised.
        directions: by feature, the sign that its weight may have, 0 = any.
        iterations: how many at most.
        tolerance: of the largest slope, relative to the first one.
    """
    signs = np.asarray(directions)
    weights = np.zeros(len(signs))
    value, gradient = loss(weights)
    enough = tolerance * float(np.abs(gradient).max())
    for number in range(iterations):
        # A weight at 0 that would be pushed over to the wrong side is left out of the step.
        free = ~((signs != 0) & (weights == 0) & (signs * gradient >= 0))
        if np.abs(gradient[free]).max(initial=0.0) <= enough:
            if not number:  # nothing to learn
                yield weights
            return
        step = _solve(loss.curvature(weights), np.where(free, gradient, 0.0), free)
        length = 1.0
        while True:
            tried = weights - length * step
            tried = np.where(signs * tried < 0, 0.0, tried)
            found, slope = loss(tried)
            if found < value and found <= value - 1e-4 * float((gradient * (weights - tried)).sum()):
                break
            length /= 2
            if length < 1e-9:
                tried, found, slope = weights, value, gradient
                break
        arrived = tried is weights
        if not (arrived and number):
            yield tried
        if arrived:
            return
        weights, value, gradient = tried, found, slope


def _solve(
    times: Callable[[NDArray[np.float64]], NDArray[np.float64]], target: NDArray[np.float64], free: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """X with Hx = target on the free weights, to a hundredth, by conjugate gradients."""
    solution, residual = np.zeros(len(target)), target.copy()
    direction, squared = residual.copy(), float(np.square(target).sum())
    enough = 1e-4 * squared
    for _ in range(max(20, 2 * len(target))):
        bent = np.where(free, times(direction), 0.0)
        curvature = float((direction * bent).sum())
        if curvature <= 0:  # flat, but for rounding: features that repeat each other, without λ
            break
        length = squared / curvature
        solution += length * direction
        residual -= length * bent
        before, squared = squared, float(np.square(residual).sum())
        if squared <= enough:
            break
        direction = residual + squared / before * direction
    return solution if solution.any() else target


def _pairs(gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many pairs of each line differ in gain; NaN is no product.

    >>> _pairs(np.array([[0.0, 3.0, 0.0, 1.0], [1.0, np.nan, 0.0, np.nan]])).tolist()
    [5.0, 1.0]
    """
    ordered = np.sort(gain, axis=1)  # NaN last
    place = np.broadcast_to(np.arange(gain.shape[1]), ordered.shape)
    starts = np.ones(ordered.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    # The row at a place stands above the rows before the run of its equals.
    below = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    counted: NDArray[np.float64] = np.where(np.isnan(ordered), 0.0, below).sum(axis=1)
    return counted


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    sigmoid: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * x))
    return sigmoid
