"""Exact tree SHAP from a neutral forest (Lundberg et al., Nature Machine Intelligence 2020, path-dependent).

The contribution of feature i to a row's score is its Shapley value in the game where a coalition S of features is
known, and a split on an unknown one follows both children in the proportion of their covers:

    φᵢ = Σ_leaves v (oᵢ - zᵢ) Σ_{S ⊆ P∖i} |S|! (d - 1 - |S|)! / d!  Π_{j∈S} oⱼ Π_{j∈P∖i∖S} zⱼ

P: the d features on the path to the leaf of value v; zⱼ: the product of the covers' proportions at j's splits; oⱼ: 1
where all j's splits send the row along the path, else 0. The inner sum is a Beta integral,

    ∫₀¹ Π_{j≠i} (oⱼ t + zⱼ (1 - t)) dt,

a polynomial of degree d - 1 under it, so that ⌈d/2⌉ Gauss-Legendre points give it without error but rounding; all
terms are positive, where unwinding paths subtracts. Contributions add up to the prediction (local accuracy), the last
column being the expected value E[f] = base score + Σ_leaves v Π zⱼ; a random forest's are averaged like its
prediction, where LightGBM's own are not.

>>> from ltr.rankers.forest import Tree
>>> stump = Tree.of([1, 0, 0], [0, -1, -1], [0.5, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
...                 [0, -1, 1], [10, 4, 6])
>>> forest = Forest("lightgbm", "v4", "lambdarank", ("price",), (stump,))
>>> contributions(forest, np.array([[0.0], [1.0]], dtype=np.float32)).round(9).tolist()  # E[f] = -.4 + .6
[[-1.2, 0.2], [0.8, 0.2]]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import RankerError
from ltr.loops import compiled
from ltr.rankers.forest import Forest, goes_left

__all__ = ["contributions", "why"]

# Decisions, one a split and row, that are held at once.
_HELD: Final = 1 << 18


def contributions(forest: Forest, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each feature adds to each row's score, [row, feature], and the expected value in the last column."""
    flat, values = forest.flat, forest.read(matrix)
    parent, share = _shares(forest)
    leaves, splits = np.flatnonzero(flat.left < 0), np.flatnonzero(flat.left >= 0)
    reach, depth = _reach(leaves, parent, share)
    points, weights = _gauss(depth // 2 + 1)
    line = np.zeros(len(parent), dtype=np.int64)
    line[splits] = np.arange(len(splits))
    phi = np.zeros((len(values), len(forest.features) + 1))
    step = max(1, _HELD // max(1, len(splits)))
    for start in range(0, len(values), step):
        block = values[start : start + step]
        asked = np.ascontiguousarray(block[:, flat.feature[splits]].T).reshape(-1)
        left = goes_left(flat, asked, np.repeat(splits, len(block))).reshape(len(splits), len(block))
        _accumulate(
            leaves, parent, share, flat.left, flat.feature, flat.value, line, left, depth, points, weights,
            phi[start : start + step],
        )  # fmt: skip
    phi[:, -1] = flat.value[leaves] @ reach
    if forest.average_output:
        phi /= len(forest.trees)
    phi[:, -1] += forest.base_score
    return phi


def why(
    forest: Forest, row_a: NDArray[np.float32], row_b: NDArray[np.float32], names: Sequence[str] | None = None
) -> list[tuple[str, float]]:
    """Why A scores above B: each feature's contribution at A less that at B, the largest difference first.

    They add up to the difference of the scores, as the expected value is the same for both. Equal differences stand in
    the order of ``names``, which are the forest's own where None.
    """
    names = forest.features if names is None else names
    if len(names) != len(forest.features):
        raise RankerError(f"{len(names)} names were given", hint=f"the forest has {len(forest.features)} features")
    above, below = contributions(forest, np.stack([row_a, row_b]))[:, :-1]
    differences = zip(names, (above - below).tolist(), strict=True)
    return sorted(differences, key=lambda pair: -abs(pair[1]))


def _shares(forest: Forest) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each node's parent (-1 at a root), and its cover as a share of its own and its sibling's."""
    flat = forest.flat
    splits = np.flatnonzero(flat.left >= 0)
    left, right = flat.left[splits], flat.right[splits]
    # Not the parent's cover: XGBoost sums hessians in float32, and shares must add up to 1.
    both = flat.cover[left] + flat.cover[right]
    if (both <= 0).any():
        tree = int(np.searchsorted(flat.roots, splits[np.argmin(both)], side="right")) - 1
        raise RankerError(
            f"tree {tree} does not say how many rows reached its nodes", hint="dump the model with_stats = True"
        )
    parent, share = np.full(len(flat.left), -1, dtype=np.int64), np.ones(len(flat.left))
    for side in (left, right):
        parent[side] = splits
        share[side] = flat.cover[side] / both
    return parent, share


def _reach(
    leaves: NDArray[np.int64], parent: NDArray[np.int64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """The share of rows that each leaf gets, Π z along its path, and the length of the longest path."""
    reach, depth = np.ones(len(leaves)), 0
    node = leaves
    while True:
        reach *= share[node]
        node = np.where(parent[node] >= 0, parent[node], node)
        if (parent[node] < 0).all():
            # A root's share is 1, so that standing on it changes nothing.
            return reach, depth + 1
        depth += 1


def _gauss(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights of the Gauss-Legendre rules on [0, 1] of 1 to ``count`` points, one rule a row."""
    points, weights = np.zeros((2, count, count))
    for order in range(1, count + 1):
        x, w = np.polynomial.legendre.leggauss(order)
        points[order - 1, :order], weights[order - 1, :order] = (x + 1) / 2, w / 2
    return points, weights


@compiled("void(f8[::1], f8[::1], i8, f8[:, ::1], f8[:, ::1], f8[::1], f8[::1], f8[::1])")
def _integrate(
    one: Any, zero: Any, players: Any, points: Any, weights: Any, factor: Any, before: Any, inner: Any
) -> None:
    """The Beta integral without each player in turn, into ``inner``; ``factor`` and ``before`` are scratch."""
    inner[:players] = 0.0
    rule = (players + 1) // 2
    for at in range(rule):
        t = points[rule - 1, at]
        product = weights[rule - 1, at]
        for j in range(players):
            factor[j] = one[j] * t + zero[j] * (1.0 - t)
            before[j] = product
            product *= factor[j]
        # Products from both sides, for a quotient fails where z and o are 0.
        product = 1.0
        for j in range(players - 1, -1, -1):
            inner[j] += before[j] * product
            product *= factor[j]


@compiled(
    "void(i8[::1], i8[::1], f8[::1], i4[::1], i4[::1], f8[::1], i8[::1], b1[:, ::1], i8, f8[:, ::1], f8[:, ::1],"
    " f8[:, ::1])"
)
def _accumulate(
    leaves: Any, parent: Any, share: Any, left_child: Any, feature: Any, value: Any, line: Any, left: Any, depth: Any,
    points: Any, weights: Any, phi: Any,
) -> None:  # fmt: skip
    """Add every leaf's part of every row's contributions, leaf after leaf: a row's sum knows no other row."""
    player = np.empty(depth, dtype=np.int64)  # the features on the path
    zero, one = np.empty(depth), np.empty(depth)
    factor, before, inner = np.empty(depth), np.empty(depth), np.empty(depth)
    place = np.empty(depth, dtype=np.int64)  # of each split on the path among the players
    split = np.empty(depth, dtype=np.int64)
    side = np.empty(depth, dtype=np.bool_)
    for leaf in leaves:
        players, splits, node = 0, 0, leaf
        while parent[node] >= 0:
            above = parent[node]
            found = 0
            while found < players and player[found] != feature[above]:
                found += 1
            if found == players:
                player[found], zero[found] = feature[above], 1.0
                players += 1
            zero[found] *= share[node]
            place[splits], split[splits], side[splits] = found, line[above], left_child[above] == node
            splits += 1
            node = above
        for row in range(phi.shape[0]):
            one[:players] = 1.0
            for at in range(splits):
                if left[split[at], row] != side[at]:
                    one[place[at]] = 0.0
            _integrate(one, zero, players, points, weights, factor, before, inner)
            for j in range(players):
                phi[row, player[j]] += value[leaf] * (one[j] - zero[j]) * inner[j]
