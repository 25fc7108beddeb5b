"""Reciprocal rank fusion, and the order of ranked lists.

Only ranks are fused: BM25 has no upper bound and cosine one of 1, so that their sum would mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW", "K", "best", "reciprocal_ranks"]

K: Final = 60

# Each of the lists that are fused has so many products at least, whatever depth is asked for.
WINDOW: Final = 100


def reciprocal_ranks(lists: Sequence[NDArray[np.int64]], size: int) -> NDArray[np.float32]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009).

        RRF(p) = Σ 1 / (60 + rank(p)) over the lists that hold p,  rank = 1, 2, …

    Args:
        lists: each the numbers of its products, best first, none twice.
        size: how many products there are; one in no list scores 0.

    >>> reciprocal_ranks([np.array([2, 0]), np.array([2])], size=3).round(6)    # 2: 1/61 + 1/61, 0: 1/62
    array([0.016129, 0.      , 0.032787], dtype=float32)
    """
    total = np.zeros(size)
    for numbers in lists:
        total[numbers] += 1 / (K + 1 + np.arange(len(numbers)))
    return total.astype(np.float32)


def best(scores: NDArray[np.float32], hits: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Return the ``depth`` ≥ 1 hits of the highest scores, best first; equal scores keep the order of ``hits``.

    >>> best(np.float32([1, 3, 2, 3]), np.array([0, 1, 3]), depth=2)
    array([1, 3])
    """
    values = scores[hits]
    if len(hits) > depth:
        # All that tie with the last place stay, for the stable sort to choose among.
        inside = values >= np.partition(values, len(hits) - depth)[len(hits) - depth]
        hits, values = hits[inside], values[inside]
    return hits[np.argsort(-values, kind="stable")[:depth]]
