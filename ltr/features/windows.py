"""Loops over behaviour counts, compiled by numba; see ``ltr.features.kernels`` for the rules that they keep.

A cell is a key on a day: key · span + (day − first), where span is the number of days from the first to the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltr.loops import compiled

Numbers = NDArray[np.int64]
Days = NDArray[np.int32]

__all__ = ["cells", "decayed", "entries", "firsts", "laid", "ordered", "placed", "running", "spans"]


@compiled("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1])")
def entries(wanted: Numbers, keys: Numbers, bounds: Numbers, start: Numbers, stop: Numbers) -> None:
    """Entries start to stop − 1 are those of each row's key; none of one that is not among the keys."""
    for row in range(len(wanted)):
        if row and wanted[row] == wanted[row - 1]:
            start[row], stop[row] = start[row - 1], stop[row - 1]
            continue
        start[row] = stop[row] = 0
        key = np.searchsorted(keys, wanted[row])
        if key < len(keys) and keys[key] == wanted[row]:
            start[row], stop[row] = bounds[key], bounds[key + 1]


@compiled("void(i8[::1], i8[::1], i8[::1], i8, i4[::1], i8[::1], i8[::1])")
def spans(start: Numbers, stop: Numbers, until: Numbers, window: int, days: Days, low: Numbers, high: Numbers) -> None:
    """Of each row's entries, low to high − 1 are those of the ``window`` days before ``until``; 0 = of all days before."""
    for row in range(len(start)):
        if row and start[row] == start[row - 1] and stop[row] == stop[row - 1] and until[row] == until[row - 1]:
            low[row], high[row] = low[row - 1], high[row - 1]
            continue
        own = days[start[row] : stop[row]]
        high[row] = start[row] + np.searchsorted(own, until[row])
        low[row] = start[row] + np.searchsorted(own, until[row] - window) if window else start[row]


@compiled("void(i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], f8[::1], f8[::1])")
def decayed(
    low: Numbers,
    high: Numbers,
    until: Numbers,
    days: Days,
    sums: Numbers,
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Σ count · weight of its age in days, from the oldest day on; older than the weights go, a day counts nothing."""
    for row in range(len(low)):
        total = 0.0
        for entry in range(low[row], high[row]):
            age = until[row] - days[entry]
            if age < len(weights):
                total += (sums[entry + 1] - sums[entry]) * weights[age]
        out[row] = total


@compiled("i8[::1](u4[::1], b1[::1])")
def firsts(codes: NDArray[np.uint32], seen: NDArray[np.bool_]) -> Numbers:
    """The rows of codes that were not seen before, which are seen now."""
    rows = np.empty(len(codes), dtype=np.int64)
    count = 0
    for row in range(len(codes)):
        if not seen[codes[row]]:
            seen[codes[row]] = True
            rows[count] = row
            count += 1
    return rows[:count].copy()


@compiled("i8[::1](i8[::1], i4[::1], i8, i8)")
def cells(keys: Numbers, days: Days, first: int, last: int) -> Numbers:
    """The cell of each row."""
    found = np.empty(len(keys), dtype=np.int64)
    for row in range(len(keys)):
        found[row] = keys[row] * (last - first + 1) + (days[row] - first)
    return found


@compiled([f"i8[::1]({values}[::1], i8[::1], i8)" for values in ("u1", "i4", "i8")])
def placed(values: NDArray[Any], cells: Numbers, size: int) -> Numbers:
    """The sum of each cell."""
    sums = np.zeros(size, dtype=np.int64)
    for row in range(len(cells)):
        sums[cells[row]] += values[row]
    return sums


@compiled("Tuple((i8[::1], u4[::1]))(i8[::1], i8)")
def ordered(given: Numbers, greatest: int) -> tuple[Numbers, NDArray[np.uint32]]:
    """Numbers from 0 to ``greatest`` in ascending order, and the row of each: a radix sort, by eleven bits at a time."""
    keys, rows = given.copy(), np.arange(len(given)).astype(np.uint32)
    other_keys, other_rows = np.empty_like(keys), np.empty_like(rows)
    starts = np.empty(2049, dtype=np.int64)
    shift = 0
    while greatest >> shift:
        starts[:] = 0
        for row in range(len(keys)):
            starts[((keys[row] >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            starts[digit + 1] += starts[digit]
        for row in range(len(keys)):
            digit = (keys[row] >> shift) & 2047
            place = starts[digit]
            starts[digit] = place + 1
            other_keys[place], other_rows[place] = keys[row], rows[row]
        keys, other_keys, rows, other_rows = other_keys, keys, other_rows, rows
        shift += 11
    return keys, rows


@compiled("Tuple((i8[::1], i8[::1], i4[::1], i8[::1]))(i8[::1], i8, i8)")
def laid(ascending: Numbers, first: int, last: int) -> tuple[Numbers, Numbers, Days, Numbers]:
    """Keys, the bounds of their entries, the entries' days and where the rows of each begin, from cells in ascending order."""
    span = last - first + 1
    count = entries = 0
    key = -1
    for row in range(len(ascending)):
        if row == 0 or ascending[row] != ascending[row - 1]:
            entries += 1
            if ascending[row] // span != key:
                key = ascending[row] // span
                count += 1
    keys, bounds = np.empty(count, dtype=np.int64), np.empty(count + 1, dtype=np.int64)
    days, rows = np.empty(entries, dtype=np.int32), np.empty(entries + 1, dtype=np.int64)
    count = entries = 0
    key = -1
    for row in range(len(ascending)):
        if row == 0 or ascending[row] != ascending[row - 1]:
            if ascending[row] // span != key:
                key = ascending[row] // span
                keys[count], bounds[count] = key, entries
                count += 1
            days[entries], rows[entries] = ascending[row] - key * span + first, row
            entries += 1
    bounds[count], rows[entries] = entries, len(ascending)
    return keys, bounds, days, rows


@compiled([f"i8[::1]({values}[::1], u4[::1], i8[::1])" for values in ("u1", "i4", "i8")])
def running(values: NDArray[Any], rows: NDArray[np.uint32], bounds: Numbers) -> Numbers:
    """Before each entry, and after the last, the sum of the values so far; the values of entry e are those of its rows,
    rows[bounds[e]] to rows[bounds[e + 1] − 1].
    """
    sums = np.empty(len(bounds), dtype=np.int64)
    total = 0
    for entry in range(len(bounds) - 1):
        sums[entry] = total
        for at in range(bounds[entry], bounds[entry + 1]):
            total += values[rows[at]]
    sums[len(bounds) - 1] = total
    return sums
