"""A forest laid out for slicing: its distinct questions by feature, and its trees as places of slices.

A float32 becomes a whole number in the same order (``keys``), so that every question is ``key > cut``, whatever library
asked it: LightGBM's x > t is key(x) > key(the greatest float32 <= t), XGBoost's x >= t is key(x) > key(t) - 1. Each feature
has its distinct cuts, ascending, and one row of bits for each; where a missing value goes is the place among the cuts at
which most of the feature's splits send it their way. The other splits have a row of their own, ``extra``: a cut's row with
the bits of missing values, or of zeros where zero is missing, turned.

Trees are walked in groups. The leaves of each have slots of bits from left to right, as many as the next power of two; behind
those of all trees of the group are the slots of its splits, level by level, the roots first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.rankers.forest import Flat, Forest, Kind

__all__ = ["GROUP", "Layout", "keys", "lay_out"]

# Trees that are walked together and summed in one pass over the rows; the kernels know it.
GROUP: Final = 4
_LAST: Final = np.iinfo(np.int32).max
_MAGNITUDE: Final = 0x7FFFFFFF
# LightGBM's kZeroThreshold.
_TINY: Final = int(np.float32(1e-35).view(np.int32))
# Twice a slot of four trees is a number of 16 bits.
_MOST_LEAVES: Final = 1 << 12
_ABREAST: Final = 16  # cuts that are compared at once
_LEVELS: Final = 8  # 16⁸ cuts are more than there are float32


@dataclass(frozen=True, eq=False)
class Layout:
    """What the kernels read; see the module. ``columns`` has one line a feature, ``trees`` one a tree."""

    columns: NDArray[np.int64]  # feature, first row, cuts, levels of search, key of a missing value, extras from, to
    starts: NDArray[np.int64]  # of each level of the feature's search
    search: NDArray[np.int32]  # cuts in sixteens, each feature's levels one after another, the coarsest first
    extra: NDArray[np.int64]  # row, row it is made of, turned there: missing values 1, zeros 2
    rows: int
    tiny: np.int32  # magnitudes up to this key are zero
    asked: NDArray[np.uint32]  # twice the row of each node, the nodes level by level
    children: NDArray[np.uint16]  # twice the slots of each node's left and right child
    groups: NDArray[np.int64]  # first node, behind the last, slot of the first, how many of the first are roots
    trees: NDArray[np.int64]  # leaves, bits of a leaf's number, first leaf, its slot
    leaves: NDArray[Any]  # float64 (LightGBM) or float32 (XGBoost)
    slots: int


def lay_out(forest: Forest) -> Layout | None:
    """The layout of a forest; None where it has categories, or a tree of more than 4,096 leaves."""
    flat = forest.flat
    split = flat.left >= 0
    if (flat.kind == Kind.MEMBER).any():
        return None
    numbers = np.repeat(np.arange(len(flat.roots)), np.diff(np.append(flat.roots, len(split))))
    count = np.bincount(numbers[~split], minlength=len(flat.roots))
    if count.max() > _MOST_LEAVES:
        return None
    columns, starts, search, extra, row, rows = _questions(forest, np.flatnonzero(split))
    asked, children, groups, trees, values = _trees(flat, numbers, count, row)
    leaves = values.astype(np.float64 if forest.library == "lightgbm" else np.float32)
    slots = int((groups[:, 1] - groups[:, 0] + groups[:, 2]).max())
    tiny = np.int32(_TINY if forest.library == "lightgbm" else 0)
    return Layout(columns, starts, search, extra, rows, tiny, asked, children, groups, trees, leaves, slots)


def keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Whole numbers in the order of the floats, -0 as 0.

    >>> keys(np.float32([-np.inf, -1e-45, -0.0, 0.0, 1e-45, 1.0])).tolist()
    [-2139095041, -2, 0, 0, 1, 1065353216]
    """
    bits = np.asarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    turned: NDArray[np.int64] = np.where(bits >= 0, bits, bits ^ _MAGNITUDE)
    turned[bits & _MAGNITUDE == 0] = 0
    return turned


def _cut(flat: Flat, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each split's cut: rows whose key is above go right."""
    threshold = flat.threshold[nodes]
    with np.errstate(over="ignore", under="ignore"):
        nearest = threshold.astype(np.float32)
        # Towards minus infinity, as inputs are float32 themselves.
        down = np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    cut: NDArray[np.int64] = keys(down) - (flat.kind[nodes] == Kind.LESS)
    return cut


def _questions(
    forest: Forest, nodes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], int]:
    """The columns, their search, the extra rows, each node's row, and how many rows there are."""
    flat = forest.flat
    row = np.zeros(len(flat.left), dtype=np.int64)
    cut = _cut(flat, nodes)
    columns: list[list[int]] = []
    starts: list[list[int]] = []
    search: list[NDArray[np.int64]] = []
    extra: list[NDArray[np.int64]] = []
    first = size = 0
    for feature in np.unique(flat.feature[nodes]).tolist():
        own = np.flatnonzero(flat.feature[nodes] == feature)
        cuts, place = np.unique(cut[own], return_inverse=True)
        left, zero = flat.default_left[nodes[own]], flat.zero[nodes[own]]
        missing = _missing(len(cuts), place, left)
        # A column's first row is of those above no cut, which nobody asks for.
        row[nodes[own]] = first + 1 + place
        turned = (missing > place) == left
        zeros = zero & ((int(np.searchsorted(cuts, 0)) > place) == left)
        which = turned + 2 * zeros
        extra.append(np.column_stack([np.full(len(own), len(columns)), row[nodes[own]], which, nodes[own]]))
        levels = _levels(cuts)
        columns.append([feature, first, len(cuts), len(levels), *cuts[missing : missing + 1].tolist(), _LAST][:5])
        ends = size + np.cumsum([len(level) for level in levels])
        starts.append([size, *ends[:-1].tolist()] + [0] * (_LEVELS - len(levels)))
        search += levels
        size = int(ends[-1])
        first += len(cuts) + 1
    asked = np.concatenate([*extra, np.zeros((0, 4), dtype=np.int64)]).astype(np.int64)
    asked = asked[asked[:, 2] > 0]
    distinct, which = np.unique(asked[:, :3], axis=0, return_inverse=True)
    row[asked[:, 3]] = first + which.reshape(-1)
    ends = np.searchsorted(distinct[:, 0], np.arange(len(columns) + 1))
    table = np.array(columns, dtype=np.int64).reshape(-1, 5)
    places = np.array(starts, dtype=np.int64).reshape(-1, _LEVELS)
    made = np.column_stack([first + np.arange(len(distinct)), distinct[:, 1:]]).astype(np.int64)
    found = np.concatenate([*search, np.zeros(0, dtype=np.int64)]).astype(np.int32)
    return np.column_stack([table, ends[:-1], ends[1:]]), places, found, made, row, first + len(distinct)


def _missing(cuts: int, place: NDArray[np.int64], left: NDArray[np.bool_]) -> int:
    """The place among the cuts where a missing value contradicts the fewest splits: above the cuts before it."""
    wrong = np.bincount(place[left], minlength=cuts) - np.bincount(place[~left], minlength=cuts)
    return int(np.argmin(np.concatenate([[0], np.cumsum(wrong)])))


def _levels(cuts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """A search tree of sixteens, the coarsest level first: a level's element is the last of sixteen below it."""
    levels = [_padded(cuts)]
    while len(levels[0]) > _ABREAST:
        last = levels[0][_ABREAST - 1 :: _ABREAST].copy()
        last[-1] = _LAST
        levels.insert(0, _padded(last))
    return levels


def _padded(cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([cuts, np.full(-len(cuts) % _ABREAST, _LAST)])


def _trees(
    flat: Flat, numbers: NDArray[np.int64], count: NDArray[np.int64], row: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The questions and children of the nodes, the groups, the trees, and the values of all leaves."""
    split = flat.left >= 0
    trees, start = len(count), np.cumsum(count) - count
    depth, values = _depth(flat), np.append(flat.value[~split], -0.0)
    # Trees of one leaf fill the last group; adding -0 leaves every number as it is.
    more = -trees % GROUP
    count, start = np.append(count, [1] * more), np.append(start, [len(values) - 1] * more)
    bits = np.array([int(leaves - 1).bit_length() for leaves in count.tolist()], dtype=np.int64)
    room = (1 << bits).reshape(-1, GROUP)
    first = np.cumsum(room, axis=1) - room
    nodes = np.flatnonzero(split)
    order = nodes[np.lexsort((depth[nodes], numbers[nodes] // GROUP))]
    group = numbers[order] // GROUP
    ends = np.searchsorted(group, np.arange(len(room) + 1))
    roots = np.bincount(group[depth[order] == 0], minlength=len(room))
    slot = np.zeros(len(split), dtype=np.int64)
    slot[~split] = np.arange(len(values) - 1) - (start - first.reshape(-1))[numbers[~split]]
    slot[order] = np.arange(len(order)) - ends[group] + room.sum(axis=1)[group]
    # Doubled, as a slice has two words or a multiple: a word's address is then one instruction.
    children = 2 * np.column_stack([slot[flat.left[order]], slot[flat.right[order]]])
    return (
        (2 * row[order]).astype(np.uint32),
        children.astype(np.uint16),
        np.column_stack([ends[:-1], ends[1:], room.sum(axis=1), roots]).astype(np.int64),
        np.column_stack([count, bits, start, first.reshape(-1)]).astype(np.int64),
        values,
    )


def _depth(flat: Flat) -> NDArray[np.int64]:
    depth = np.zeros(len(flat.left), dtype=np.int64)
    level = flat.roots
    while len(level := level[flat.left[level] >= 0]):
        below = np.concatenate([flat.left[level], flat.right[level]])
        depth[below] = np.concatenate([depth[level]] * 2) + 1
        level = below
    return depth
