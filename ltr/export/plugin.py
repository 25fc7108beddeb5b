"""The o19s plugin and OpenSearch LTR: a feature set of mustache templates, and the model as XGBoost's JSON dump.

    PUT  /_ltr/_featureset/{name}                    {"featureset": {"name", "features": [{"name", "params", ...}]}}
    POST /_ltr/_featureset/{name}/_createmodel       {"model": {"name", "model": {"type", "definition"}}}

The plugin compares float32 values, ``value < split_condition``, and adds the leaves up in float32, in the order of the trees
(``NaiveAdditiveDecisionTree``). XGBoost's base score is the first tree, where XGBoost itself begins, so that the sums are the
same to the bit. A last tree shifts every score to 0 or more: hits outside the rescored window keep next to nothing of their first
score (``FIRST``), and no rescored product may fall below those. Its size is the running sum of the trees' least leaves, which no row's can undercut, as
adding float32 numbers never reverses an order.

Only keys that the plugin's parser knows are sent, ``missing`` at every split: where it is absent, some releases end with a
NullPointerException. The definition is sent as a string, which every release keeps as it is.

>>> from ltr.rankers.forest import Forest, Tree
>>> stump = Tree.of([1, 0, 0], [0, -1, -1], [0.5, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
...                 [0, -1, 1], [10, 4, 6])
>>> made = definition(Forest("lightgbm", "v4", "lambdarank", ("price",), (stump,)))
>>> made["splits"][0] == {"nodeid": 0, "depth": 0, "split": "price", "split_condition": 0.50000006, "yes": 1, "no": 2,
...     "missing": 1, "children": [{"nodeid": 1, "leaf": -1.0}, {"nodeid": 2, "leaf": 1.0}]}
True
>>> made["splits"][-1]
{'nodeid': 0, 'leaf': 1.0}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ExportError
from ltr.export import splits
from ltr.features import clauses
from ltr.features.definition import FeatureSet
from ltr.rankers.forest import Forest, Tree

__all__ = [
    "CACHE",
    "COMPILED",
    "FIRST",
    "PARAMETER",
    "TYPE",
    "body",
    "definition",
    "feature_set",
    "features",
    "rescore",
    "shift_of",
    "warnings",
]

TYPE: Final = "model/xgboost+json"
# The parameter of every template, and of the query that names the model.
PARAMETER: Final = "query"
# The weight of the first pass. With 0, hits beyond the window would all have the score 0 and come in the order of the index; so
# little leaves them in the engine's order, below the window, and is lost in float32 beside any score of the model's.
FIRST: Final = 1e-30
# Of the score being the sum itself; the plugin knows none of LightGBM's names.
_OBJECTIVE: Final = "rank:ndcg"
# A tree's level nests JSON twice, and Jackson reads 1,000 levels.
_DEEPEST: Final = 300
# Measured on a real node: bytes of the compiled model for each byte of the definition.
COMPILED: Final = 0.38
CACHE: Final = 10 * 2**20


def definition(forest: Forest, *, shift: bool = True) -> dict[str, Any]:
    """The model, which has as many trees as the forest and up to two constant ones.

    Raises:
        ExportError: a leaf beyond float32, or a tree too deep for the engine's parser.
    """
    leaves = [_float32(splits.values(forest, tree), number) for number, tree in enumerate(forest.trees)]
    first = [_constant(value) for value in splits.constants(forest)]
    trees = [_tree(forest, number, leaves[number]) for number in range(len(forest.trees))]
    below = shift_of(forest) if shift else 0.0
    return {"objective": _OBJECTIVE, "splits": [*first, *trees, *([_constant(below)] if below else [])]}


def shift_of(forest: Forest) -> float:
    """What is added so that no sum is negative: a float32 number, 0 where none could be.

    The bound is loose: each tree's least leaf need not be reached by the same row.
    """
    least = np.float32(0)
    for value in splits.constants(forest):
        least += np.float32(value)
    for number, tree in enumerate(forest.trees):
        reached = tree.left < 0
        least += _float32(splits.values(forest, tree), number)[reached].min()
    return max(0.0, -float(least))


def features(
    wanted: FeatureSet, *, nested: Mapping[str, str] | None = None, booleans: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The features, each a template that matches every document with a number of 0 or more."""
    return [
        {
            "name": feature.name,
            "params": [PARAMETER],
            "template_language": "mustache",
            "template": clauses.explicit(feature, nested=nested, booleans=booleans),
        }
        for feature in wanted.features
    ]


def feature_set(name: str, asked: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of the feature set, which has the model's name."""
    return {"featureset": {"name": name, "features": asked}}


def body(name: str, text: str) -> dict[str, Any]:
    """The body that creates the model, of the definition's JSON text."""
    return {"model": {"name": name, "model": {"type": TYPE, "definition": text}}}


def rescore(name: str, *, window: int) -> dict[str, Any]:
    """The part of a search that has the model order the first ``window`` hits of each shard."""
    asked = {"sltr": {"model": name, "params": {PARAMETER: clauses.QUERY}}}
    query = {"query_weight": FIRST, "rescore_query_weight": 1, "rescore_query": asked}
    return {"rescore": {"window_size": window, "query": query}}


def warnings(text: str) -> list[str]:
    """What to know of a definition's size."""
    compiled = COMPILED * len(text)
    if compiled <= CACHE:
        return []
    return [
        f"compiled, the model takes about {compiled / 2**20:.0f} MB, more than ltr.caches.max_mem (10 MB by default up to "
        "OpenSearch 3.8): such a model is compiled again at every query, about a second each; raise the setting on every "
        "node, or fit fewer or smaller trees"
    ]


def _tree(forest: Forest, number: int, leaf: NDArray[np.float32]) -> dict[str, Any]:
    tree = forest.trees[number]
    depth = _depths(tree)
    if depth.max() > _DEEPEST:
        raise ExportError(
            f"tree {number} is {depth.max()} levels deep, more than an engine's JSON parser is sure to read ({_DEEPEST})",
            hint="fit with a max_depth",
        )
    asked = splits.thresholds(forest, tree)
    condition = splits.shortest(splits.above(asked) if forest.library == "lightgbm" else asked.astype(np.float32))
    value = splits.shortest(leaf)
    left, right = tree.left.tolist(), tree.right.tolist()
    feature, levels, default = tree.feature.tolist(), depth.tolist(), tree.default_left.tolist()
    nodes: list[dict[str, Any]] = [{}] * len(tree)
    # Children stand after their parents, so that they are there when it is their parent's turn.
    for node in reversed(range(len(tree))):
        yes, no = left[node], right[node]
        nodes[node] = (
            {"nodeid": node, "leaf": value[node]}
            if yes < 0
            else {
                "nodeid": node,
                "depth": levels[node],
                "split": forest.features[feature[node]],
                "split_condition": condition[node],
                "yes": yes,
                "no": no,
                "missing": yes if default[node] else no,
                "children": [nodes[yes], nodes[no]],
            }
        )
    return nodes[0]


def _depths(tree: Tree) -> NDArray[np.int64]:
    depth = np.zeros(len(tree), dtype=np.int64)
    for node in np.flatnonzero(tree.left >= 0).tolist():
        depth[tree.left[node]] = depth[tree.right[node]] = depth[node] + 1
    return depth


def _float32(value: NDArray[np.float64], number: int) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ExportError(f"tree {number} has a leaf beyond float32", hint="fit with a smaller learning rate")
    return narrow


def _constant(value: float) -> dict[str, Any]:
    return {"nodeid": 0, "leaf": splits.shortest(np.array([value], dtype=np.float32))[0]}
