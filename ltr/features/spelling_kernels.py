"""Loops over characters and trigrams of candidates, compiled by numba; see ``ltr.features.kernels`` for how and why."""

from __future__ import annotations

from typing import Any

import numpy as np

from ltr.features.kernels import BUCKETS, fetch
from ltr.loops import compiled

__all__ = ["beginnings", "common", "share_spelt", "trigrams"]


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i4[::1], i4[::1])")
def beginnings(
    codes: Any, cuts: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, prefix: Any, equal: Any
) -> None:
    """Characters that the query and the candidate's best value begin with alike, and whether a value is the query.

    ``cuts`` is where each value begins and ends in ``codes``; ``bounds`` which values are a row's.
    """
    for group in range(len(lists) - 1):
        first, width = ends[group], ends[group + 1] - ends[group]
        for pair in range(lists[group], lists[group + 1]):
            for value in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                size = cuts[value + 1] - cuts[value]
                alike = 0
                while alike < width and alike < size and codes[cuts[value] + alike] == asked[first + alike]:
                    alike += 1
                prefix[pair] = max(prefix[pair], alike)
                equal[pair] |= alike == width and alike == size


@compiled("i8[::1](i4[::1])")
def trigrams(codes: Any) -> Any:
    """Distinct trigrams of a string, a space before and after it, ascending; see ``terms.trigrams``."""
    grams = np.empty(len(codes), dtype=np.int64)
    before, own = np.int64(0), np.int64(32)
    for place in range(len(codes) + 1):
        after = np.int64(codes[place]) if place < len(codes) else np.int64(32)
        if place:
            grams[place - 1] = (before << 42) | (own << 21) | after
        before, own = own, after
    grams.sort()
    count = 0
    for place in range(len(grams)):
        if place == 0 or grams[place] != grams[place - 1]:
            grams[count] = grams[place]
            count += 1
    return grams[:count].copy()


@compiled("i8(i8)")
def _bucket(gram: Any) -> Any:
    """Of a trigram, by its three characters."""
    return (gram + (gram >> 18) + (gram >> 36)) & (4 * BUCKETS - 1)


@compiled("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i4[::1])")
def common(grams: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, out: Any) -> None:
    """Trigrams that the query and the candidate share; both are ascending without repetition."""
    maybe = np.zeros(4 * BUCKETS, dtype=np.bool_)
    for group in range(len(lists) - 1):
        first, last = ends[group], ends[group + 1]
        maybe[:] = False
        for place in range(first, last):
            maybe[_bucket(asked[place])] = True
        for pair in range(lists[group], lists[group + 1]):
            shared = 0
            fetch(grams, bounds, rows, pair, lists[group + 1])
            for place in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                gram = grams[place]
                if maybe[_bucket(gram)]:
                    low, high = first, last
                    while low < high:
                        middle = (low + high) >> 1
                        if asked[middle] < gram:
                            low = middle + 1
                        else:
                            high = middle
                    shared += low < last and asked[low] == gram
            out[pair] += shared


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8, f8, f4[::1])")
def share_spelt(
    counts: Any, sizes: Any, values: Any, rows: Any, lists: Any, ends: Any, query: Any, field: Any, out: Any
) -> None:
    """A count over the weighted sum of the query's size and the field's; over 1 where that is less.

    NaN where the query is empty, or the catalogue row has no ``values``.
    """
    for group in range(len(lists) - 1):
        asked = ends[group + 1] - ends[group]
        for pair in range(lists[group], lists[group + 1]):
            whole = max(query * asked + field * sizes[rows[pair]], 1.0)
            out[pair] = counts[pair] / whole if asked > 0 and values[rows[pair]] > 0 else np.nan
