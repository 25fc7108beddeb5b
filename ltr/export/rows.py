"""Feature rows that would tell a wrong threshold, a wrong side or a wrong missing value from the right one.

Each row is aimed at a split: its values are kept within what the path from the root asks, so that the row arrives there, and
the split's own value is the last that goes to the first child, the one after, or a float32 further on either side. What the
path leaves open is drawn from the thresholds of the same feature, their neighbours, and numbers with ways of their own: 0, the
least float32, what LightGBM takes for 0, the largest.

>>> from ltr.export.emulation import read_plugin
>>> leaves = [{"nodeid": 1, "leaf": -1.0}, {"nodeid": 2, "leaf": 1.0}]
>>> split = {"nodeid": 0, "depth": 0, "split": "price", "split_condition": 0.5, "yes": 1, "no": 2, "missing": 1}
>>> trees = read_plugin({"objective": "rank:ndcg", "splits": [split | {"children": leaves}]}, ["price"])
>>> sorted(set(aimed(trees, 100, seed=7)[:, 0].tolist()))
[0.4999999403953552, 0.4999999701976776, 0.5, 0.5000000596046448]
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.export.emulation import Trees

__all__ = ["aimed", "spread"]

LARGEST: Final = float(np.finfo(np.float32).max)
_SPECIAL: Final = np.array([0, 1e-45, 1e-38, 1e-36, 1e-35, 1.0000001e-35, 1, 1e30, LARGEST], dtype=np.float32)
# Share of the cells that are absent in a row that may have such.
_ABSENT: Final = 0.15


def aimed(trees: Trees, count: int, *, seed: int, absent: float = 0.0, least: float = 0.0) -> NDArray[np.float32]:
    """Draw rows, each aimed at a split drawn from all.

    Args:
        trees: what was exported.
        count: how many rows.
        seed: of the draw.
        absent: share of the rows that have absent values.
        least: the smallest value; an engine's scores are 0 or more.
    """
    rng = np.random.default_rng([seed, 1])
    width, splits = len(trees.features), np.flatnonzero(trees.feature >= 0)
    floor = np.float32(least)
    special = _SPECIAL if least >= 0 else np.concatenate([_SPECIAL, -_SPECIAL])
    last = trees.last
    pools = []
    for feature in range(width):
        near = last[splits[trees.feature[splits] == feature]]
        pools.append(np.unique(np.concatenate([special, near, _next(near, 1)]).clip(floor, LARGEST)))
    rows = np.stack([rng.choice(pool, count) for pool in pools], axis=1)
    if not len(splits):
        return _without(rows, rng, absent)
    target = rng.choice(splits, count)
    low, high = _bounds(trees, target, last)
    rows = np.maximum(np.minimum(np.maximum(rows, low), high), floor)
    at, asked = np.arange(count), trees.feature[target]
    steps = rng.integers(-1, 3, count)
    value = last[target]
    for step in (-1, 1, 2):
        value = np.where(steps == step, _next(last[target], step), value)
    rows[at, asked] = np.clip(value, np.maximum(low[at, asked], floor), np.maximum(high[at, asked], floor))
    return _without(rows, rng, absent)


def spread(trees: Trees, count: int, *, seed: int) -> NDArray[np.float32]:
    """Rows drawn evenly from between each feature's smallest and largest threshold, and a little beyond."""
    rng = np.random.default_rng([seed, 2])
    rows = np.zeros((count, len(trees.features)), dtype=np.float32)
    for feature in range(rows.shape[1]):
        near = trees.last[trees.feature == feature].astype(np.float64).clip(0, 1e30)
        if len(near):
            rows[:, feature] = rng.uniform(0.9 * near.min(), 1.1 * near.max(), count)
    return rows


def _bounds(
    trees: Trees, target: NDArray[np.int64], last: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the largest value of each feature with which a row arrives at each target."""
    parent = np.full(len(trees.feature), -1, dtype=np.int64)
    first = np.zeros(len(parent), dtype=np.bool_)
    splits = np.flatnonzero(trees.feature >= 0)
    parent[trees.yes[splits]] = parent[trees.no[splits]] = splits
    first[trees.yes[splits]] = True
    low = np.full((len(target), len(trees.features)), -LARGEST, dtype=np.float32)
    high = np.full(low.shape, LARGEST, dtype=np.float32)
    at, node = np.arange(len(target)), target
    while len(at):
        above = parent[node]
        known = above >= 0
        at, node, above = at[known], node[known], above[known]
        feature, edge, yes = trees.feature[above], last[above], first[node]
        high[at, feature] = np.where(yes, np.minimum(high[at, feature], edge), high[at, feature])
        low[at, feature] = np.where(yes, low[at, feature], np.maximum(low[at, feature], _next(edge, 1)))
        node = above
    return low, high


def _next(values: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """The finite float32 so many steps on."""
    with np.errstate(over="ignore", under="ignore"):
        for _ in range(abs(steps)):
            values = np.nextafter(values, np.float32(np.inf if steps > 0 else -np.inf))
    return values.clip(-LARGEST, LARGEST)


def _without(rows: NDArray[np.float32], rng: np.random.Generator, share: float) -> NDArray[np.float32]:
    chosen = rng.random(len(rows)) < share
    rows[chosen[:, None] & (rng.random(rows.shape) < _ABSENT)] = np.nan
    return rows
