"""Loops over the values of each list, compiled by numba; see ``ltr.features.kernels`` for how and why.

``values`` hold one a candidate, NaN where it is missing; ``lists`` says where each list of candidates begins and ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ltr.features.kernels import LARGEST
from ltr.loops import compiled

__all__ = ["ranks", "relative", "softmax", "zscore"]


@compiled("void(f8[::1], i8[::1], f4[::1])")
def relative(values: Any, lists: Any, out: Any) -> None:
    """Each value over the mean of its list's values that are not NaN; NaN where that is none, 0, or beyond float32."""
    for group in range(len(lists) - 1):
        total, count = 0.0, 0
        for pair in range(lists[group], lists[group + 1]):
            if values[pair] == values[pair]:
                total += values[pair]
                count += 1
        mean = total / count if count else np.nan
        for pair in range(lists[group], lists[group + 1]):
            share = values[pair] / mean if mean != 0 and abs(mean) < np.inf else np.nan
            out[pair] = share if abs(share) <= LARGEST else np.nan


@compiled("void(f8[::1], i8[::1], b1, f4[::1])")
def ranks(values: Any, lists: Any, share: bool, out: Any) -> None:
    """Rank of each value among its list's values that are not NaN, 1 the greatest, equals sharing the mean of theirs.

    With ``share`` the part of the list that is below, half of the equals counted.
    """
    for group in range(len(lists) - 1):
        start, stop = lists[group], lists[group + 1]
        order = np.argsort(values[start:stop])  # NaN comes last
        count = stop - start
        while count and values[start + order[count - 1]] != values[start + order[count - 1]]:
            count -= 1
            out[start + order[count]] = np.nan
        first = 0
        while first < count:
            last = first
            while last < count and values[start + order[last]] == values[start + order[first]]:
                last += 1
            rank = (count - last) + (last - first) / 2 + 0.5
            for place in range(first, last):
                out[start + order[place]] = (count + 0.5 - rank) / count if share else rank
            first = last


@compiled("void(f8[::1], i8[::1], f4[::1])")
def zscore(values: Any, lists: Any, out: Any) -> None:
    """Each value in standard deviations from the mean of its list's values that are not NaN; 0 for NaN and no deviation."""
    for group in range(len(lists) - 1):
        total, count, greatest = 0.0, 0, 0.0
        for pair in range(lists[group], lists[group + 1]):
            if values[pair] == values[pair]:
                total += values[pair]
                count += 1
                greatest = max(greatest, abs(values[pair]))
        mean = total / count if count else 0.0
        squares = 0.0
        for pair in range(lists[group], lists[group + 1]):
            if values[pair] == values[pair]:
                squares += (values[pair] - mean) ** 2
        deviation = math.sqrt(squares / count) if count else 0.0
        for pair in range(lists[group], lists[group + 1]):
            # What float32 hardly tells apart is no variation; neither is what overflows.
            score = (values[pair] - mean) / deviation if 1e-6 * greatest < deviation < np.inf else 0.0
            out[pair] = score if abs(score) <= LARGEST else 0.0


@compiled("void(f4[::1], b1[::1], i8[::1], f8[::1])")
def softmax(scores: Any, known: Any, lists: Any, out: Any) -> None:
    """exp(score) over the sum of these in the list; 0 for a row that is not known."""
    for group in range(len(lists) - 1):
        greatest = -np.inf
        for pair in range(lists[group], lists[group + 1]):
            if known[pair]:
                greatest = max(greatest, scores[pair])
        total = 0.0
        for pair in range(lists[group], lists[group + 1]):
            out[pair] = math.exp(scores[pair] - greatest) if known[pair] else 0.0
            total += out[pair]
        for pair in range(lists[group], lists[group + 1]):
            out[pair] = out[pair] / total if total > 0 else 0.0
