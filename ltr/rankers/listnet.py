"""ListNet's top-one cross entropy with a linear score (Cao, Qin, Liu, Tsai & Li, ICML 2007).

    L(w) = −Σ_q v_q Σ_i t_i log p_i + λ |w|²,    p_i = exp(x_i·w) / Σ_j exp(x_j·w),    t_i = g_i c_i / Σ_j g_j c_j

p is the chance that a product comes first, t that chance as the judgments would have it: each product's share of the
list's gain. (The paper takes exp(g) for g; shares of the gain are the form that XE-NDCG and most libraries use, and let a
gain table with zeros mean what it says.) c are confidences, v_q the mean confidence of list q over the sum of these, so
that the loss is a mean over lists and λ means the same whatever their number; a list without gain has v_q = 0. The loss
is convex, and with λ > 0 strictly: one solution and no seed. The Hessian is never formed. Sums are numpy's own, not a
matrix library's, so that the number of threads decides no digit.

>>> loss = TopOne(np.array([[1.0], [0.0]]), np.array([1.0, 0.0]), np.array([2]), l2=0.0)
>>> round(loss(np.zeros(1))[0], 6)  # log 2
0.693147
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["TopOne"]


class TopOne:
    """The loss as a function of the weights, with its gradient and the curvature along a vector.

    Args:
        matrix: standardised rows, list after list.
        gain: of each row.
        sizes: rows of each list, at least one.
        l2: λ, beside a mean over lists.
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
        self.starts = np.cumsum(sizes) - sizes
        self.owner = np.repeat(np.arange(len(sizes)), sizes)
        confidence = np.ones(len(gain)) if weights is None else weights
        shrunk = gain * confidence
        whole = self._summed(shrunk)
        counts = np.where(whole > 0, self._summed(confidence) / sizes, 0.0)
        counts /= counts.sum() or 1.0
        self.counts: NDArray[np.float64] = counts[self.owner]
        self.target = shrunk / np.where(whole > 0, whole, 1.0)[self.owner]

    def __call__(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The loss and its gradient."""
        logs = self._logs(weights)
        loss = self.l2 * float(np.square(weights).sum()) - float((self.counts * self.target * logs).sum())
        return loss, self._back(self.counts * (np.exp(logs) - self.target)) + 2 * self.l2 * weights

    def curvature(self, weights: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """The Hessian at ``weights``, as the function that multiplies a vector by it."""
        chances = np.exp(self._logs(weights))

        def times(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            along = np.einsum("rf,f->r", self.matrix, vector)
            spread = along - self._summed(chances * along)[self.owner]
            return self._back(self.counts * chances * spread) + 2 * self.l2 * vector

        return times

    def _logs(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logarithm of each row's p."""
        scores = np.einsum("rf,f->r", self.matrix, weights)
        scores -= np.maximum.reduceat(scores, self.starts)[self.owner]
        logs: NDArray[np.float64] = scores - np.log(self._summed(np.exp(scores)))[self.owner]
        return logs

    def _summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.add.reduceat(values, self.starts)
        return sums

    def _back(self, slope: NDArray[np.float64]) -> NDArray[np.float64]:
        gradient: NDArray[np.float64] = np.einsum("rf,r->f", self.matrix, slope)
        return gradient
