"""Loops over counts and lists, compiled by numba: one pass a call, results in the last arguments.

Arguments that kernels share: cells (``place``, ``shown``, ``clicked``) lie by pair, those of pair i from ``bounds[i]`` to
``bounds[i + 1]``; ``examined`` is P(examined) by place. Compiled without fastmath, so that no sum is reordered, and
without the interpreter's lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ltr.loops import compiled

__all__ = [
    "backward",
    "balance",
    "beaten",
    "count",
    "harvest",
    "information",
    "look_up",
    "move",
    "move_pairs",
    "posterior",
]


@compiled("u8(u8)")
def _spread(key: Any) -> Any:
    """SplitMix64's finaliser: every bit of the key reaches every bit of the slot."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


# Columns of a frame come as arrays that may not be written.
@compiled(
    "UniTuple(i8, 2)(Array(u8, 1, 'C', readonly=True), Array(u4, 1, 'C', readonly=True), Array(b1, 1, 'C', readonly=True), u8[::1], u4[:, ::1], u8[::1], i4[::1], i8, i8[::1])"
)
def count(
    pair: Any, place: Any, clicked: Any, keys: Any, cells: Any, pair_keys: Any, pair_codes: Any, pairs: Any, fresh: Any
) -> Any:
    """Count rows into an open-addressing table of cells: (shown, clicked, pair, place) by the pair's hash and the place.

    A pair that was not there gets the next code, and its row goes to ``fresh``. Returns the cells added and the pairs known.
    """
    mask, pair_mask = np.uint64(len(keys) - 1), np.uint64(len(pair_keys) - 1)
    one, zero, step = np.uint64(1), np.uint64(0), np.uint64(0x9E3779B97F4A7C15)
    added, known, met = 0, pairs, 0
    for row in range(len(pair)):
        of_pair = pair[row] if pair[row] != zero else one
        key = _spread(of_pair + np.uint64(place[row]) * step)
        if key == zero:
            key = one
        slot = key & mask
        while keys[slot] != zero and keys[slot] != key:
            slot = (slot + one) & mask
        if keys[slot] == zero:
            at = _spread(of_pair) & pair_mask
            while pair_keys[at] != zero and pair_keys[at] != of_pair:
                at = (at + one) & pair_mask
            if pair_keys[at] == zero:
                pair_keys[at] = of_pair
                pair_codes[at] = known
                known += 1
                fresh[met] = row
                met += 1
            keys[slot] = key
            cells[slot, 2] = np.uint32(pair_codes[at])
            cells[slot, 3] = place[row]
            added += 1
        cells[slot, 0] += np.uint32(1)
        cells[slot, 1] += np.uint32(clicked[row])
    return added, known


@compiled("void(Array(u8, 1, 'C', readonly=True), u8[::1], i4[::1], i8[::1])")
def look_up(pair: Any, pair_keys: Any, pair_codes: Any, found: Any) -> None:
    """The code of each pair, all of them known."""
    mask, one, zero = np.uint64(len(pair_keys) - 1), np.uint64(1), np.uint64(0)
    for row in range(len(pair)):
        of_pair = pair[row] if pair[row] != zero else one
        at = _spread(of_pair) & mask
        while pair_keys[at] != of_pair:
            at = (at + one) & mask
        found[row] = pair_codes[at]


@compiled("void(u8[::1], u4[:, ::1], u8[::1], u4[:, ::1])")
def move(keys: Any, cells: Any, wider: Any, into: Any) -> None:
    """Move the cells of a table into a wider one that is empty."""
    mask, one, zero = np.uint64(len(wider) - 1), np.uint64(1), np.uint64(0)
    for old in range(len(keys)):
        if keys[old] != zero:
            slot = keys[old] & mask
            while wider[slot] != zero:
                slot = (slot + one) & mask
            wider[slot] = keys[old]
            into[slot] = cells[old]


@compiled("void(u8[::1], i4[::1], u8[::1], i4[::1])")
def move_pairs(keys: Any, codes: Any, wider: Any, into: Any) -> None:
    """The same for the table of pairs."""
    mask, one, zero = np.uint64(len(wider) - 1), np.uint64(1), np.uint64(0)
    for old in range(len(keys)):
        if keys[old] != zero:
            slot = _spread(keys[old]) & mask
            while wider[slot] != zero:
                slot = (slot + one) & mask
            wider[slot] = keys[old]
            into[slot] = codes[old]


@compiled("void(i8[::1], i4[::1], f8[::1], f8[::1], f8[::1], f8[::1])")
def balance(bounds: Any, place: Any, shown: Any, clicks: Any, examined: Any, expected: Any) -> None:
    """Clicks expected at each place, were all examined there: Σ shown · a, where a = the pair's clicks ÷ Σ shown · e."""
    for pair in range(len(bounds) - 1):
        exposure = 0.0
        for cell in range(bounds[pair], bounds[pair + 1]):
            exposure += shown[cell] * examined[place[cell]]
        attraction = clicks[pair] / exposure
        for cell in range(bounds[pair], bounds[pair + 1]):
            expected[place[cell]] += shown[cell] * attraction


@compiled("void(i8[::1], i4[::1], f8[::1], f8[::1], f8[::1], f8[::1], i8[::1], f8[:, ::1], f8[:, ::1])")
def information(
    bounds: Any, place: Any, shown: Any, clicked: Any, clicks: Any, examined: Any, block: Any, score: Any, hessian: Any
) -> None:
    """Score by block and information of log e, each pair's clicks given: a multinomial over its places."""
    for pair in range(len(bounds) - 1):
        exposure = 0.0
        for cell in range(bounds[pair], bounds[pair + 1]):
            exposure += shown[cell] * examined[place[cell]]
        for cell in range(bounds[pair], bounds[pair + 1]):
            share = shown[cell] * examined[place[cell]] / exposure
            score[block[pair], place[cell]] += clicked[cell] - clicks[pair] * share
            hessian[place[cell], place[cell]] += clicks[pair] * share
            for other in range(bounds[pair], bounds[pair + 1]):
                with_it = shown[other] * examined[place[other]] / exposure
                hessian[place[cell], place[other]] -= clicks[pair] * share * with_it


@compiled("void(i8[::1], i4[::1], f8[::1], f8[::1], i8[::1], f8[:, :, ::1])")
def harvest(bounds: Any, place: Any, shown: Any, clicked: Any, block: Any, clicks: Any) -> None:
    """By block, clicks[k, j] at k of the pairs seen at k and j, each pair's two rates weighted alike: n_k n_j ÷ (n_k + n_j)."""
    for pair in range(len(bounds) - 1):
        for one in range(bounds[pair], bounds[pair + 1]):
            for other in range(one + 1, bounds[pair + 1]):
                total = shown[one] + shown[other]
                clicks[block[pair], place[one], place[other]] += clicked[one] * shown[other] / total
                clicks[block[pair], place[other], place[one]] += clicked[other] * shown[one] / total


@compiled("void(i8[::1], i4[::1], f8[::1], b1[:, ::1])")
def beaten(bounds: Any, place: Any, clicked: Any, won: Any) -> None:
    """won[k, j]: some pair was clicked at k and seen at j."""
    for pair in range(len(bounds) - 1):
        for cell in range(bounds[pair], bounds[pair + 1]):
            if clicked[cell] > 0.0:
                for other in range(bounds[pair], bounds[pair + 1]):
                    won[place[cell], place[other]] = True


@compiled("void(i8[::1], i4[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1])")
def posterior(
    bounds: Any,
    place: Any,
    shown: Any,
    clicked: Any,
    examined: Any,
    alpha: Any,
    beta: Any,
    attraction: Any,
    exposure: Any,
) -> None:
    """Attraction of each pair by EM, the examination known: a = (α + clicks) ÷ (α + β + x), x the examinations expected.

    Without a click an impression was examined with probability e(1 − a) ÷ (1 − ae).
    """
    for pair in range(len(bounds) - 1):
        clicks, unread = 0.0, 0.0
        for cell in range(bounds[pair], bounds[pair + 1]):
            clicks += clicked[cell]
            unread += shown[cell] * examined[place[cell]]
        a = (alpha[pair] + clicks) / (alpha[pair] + beta[pair] + max(unread, clicks))
        x = clicks
        for _ in range(200):
            x = clicks
            for cell in range(bounds[pair], bounds[pair + 1]):
                e = min(examined[place[cell]], 1.0)
                if a * e < 1.0:
                    x += (shown[cell] - clicked[cell]) * e * (1.0 - a) / (1.0 - a * e)
            before, a = a, (alpha[pair] + clicks) / (alpha[pair] + beta[pair] + x)
            if abs(a - before) < 1e-9:
                break
        attraction[pair] = a
        exposure[pair] = x


@compiled(
    "void(i8[::1], i4[::1], i4[::1], f8[::1], i4[::1], f8[::1], f8[::1], f8, f8[::1], f8[::1], f8[::1], f8[::1], f8[::1])"
)
def backward(
    bounds: Any, pair: Any, place: Any, searches: Any, stop: Any, attraction: Any, stops: Any, continuation: Any,
    examined: Any, read: Any, stopped: Any, moves: Any, unread: Any,
) -> None:  # fmt: skip
    """What may have happened below the last click of each tail, by forward and backward probabilities.

    A tail begins at its last click (``stop`` says whose probability of stopping there counts) or, without a click (``stop``
    −1), at the top; none of its other rows was clicked. Added up: examinations by pair and by place, stops, and moves on to
    the next row made and possible. ``unread`` is scratch as long as the longest tail and 1.
    """
    for tail in range(len(bounds) - 1):
        first, end = bounds[tail], bounds[tail + 1]
        begin = first + 1 if stop[tail] >= 0 else first
        times = searches[tail]
        # unread[j]: no click from row j on, given that row j is examined.
        unread[end - first] = 1.0
        for row in range(end - 1, begin - 1, -1):
            beyond = 1.0 if row == end - 1 else 1.0 - continuation + continuation * unread[row - first + 1]
            unread[row - first] = (1.0 - attraction[pair[row]]) * beyond
        reach, evidence = 1.0, unread[0]
        if stop[tail] >= 0:
            if begin == end:
                continue  # the last click was on the last row: nothing below tells
            s = stops[stop[tail]]
            on = continuation * unread[begin - first]
            evidence = s + (1.0 - s) * (1.0 - continuation + on)
            stopped[stop[tail]] += times * s / evidence
            moves[0] += times * (1.0 - s) * on / evidence
            moves[1] += times * (1.0 - s / evidence)
            reach = (1.0 - s) * continuation
        for row in range(begin, end):
            seen = reach * unread[row - first] / evidence
            examined[pair[row]] += times * seen
            read[place[row]] += times * seen
            if row < end - 1:
                reach *= (1.0 - attraction[pair[row]]) * continuation
                moves[0] += times * reach * unread[row - first + 1] / evidence
                moves[1] += times * seen
