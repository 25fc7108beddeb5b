"""Elastic's own learning to rank: one document with the ensemble of trees and the queries that are its features.

    PUT _ml/trained_models/{name}    {"inference_config": {"learning_to_rank": ...}, "definition": {"trained_model": ...}}

Values are float32 scores widened to double, so that LightGBM's thresholds go over as they are (``lte``) and XGBoost's as the
doubles that they are (``lt``). ``input.field_names`` is not sent: since 8.15 it is refused. ``default_params`` lets a request that
forgets its query see what an empty one sees: without it, every extractor that reads the query would be left out, and no
error would say so.

>>> from ltr.rankers.forest import Forest, Tree
>>> stump = Tree.of([1, 0, 0], [0, -1, -1], [0.5, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
...                 [0, -1, 1], [10, 4, 6])
>>> ensemble(Forest("lightgbm", "v4", "lambdarank", ("price",), (stump,)))["trained_models"][0]["tree"]["tree_structure"][0]
{'node_index': 0, 'decision_type': 'lte', 'left_child': 1, 'right_child': 2, 'split_feature': 0, 'threshold': 0.5,
 'default_left': True, 'number_samples': 10}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np

from ltr.export import splits
from ltr.features import clauses
from ltr.features.definition import FeatureSet
from ltr.rankers.forest import Forest, Tree

__all__ = ["PARAMETER", "body", "ensemble", "extractors", "rescore"]

# The parameter of every query.
PARAMETER: Final = "query"
# JSON has no infinity; every finite float32 lies between.
_BEYOND: Final = 1e300


def ensemble(forest: Forest) -> dict[str, Any]:
    """The forest: trees as lists of nodes, and XGBoost's base score as the first tree."""
    names = list(forest.features)
    kind = "lte" if forest.library == "lightgbm" else "lt"
    first = [[{"node_index": 0, "leaf_value": value}] for value in splits.constants(forest)]
    trees = [_nodes(forest, tree, kind) for tree in forest.trees]
    return {
        "feature_names": names,
        "target_type": "regression",
        "trained_models": [
            {"tree": {"feature_names": names, "target_type": "regression", "tree_structure": nodes}}
            for nodes in (*first, *trees)
        ],
        "aggregate_output": {"weighted_sum": {}},
    }


def extractors(
    wanted: FeatureSet, *, nested: Mapping[str, str] | None = None, booleans: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The features' queries, each of which matches every document; the score is only ever absent by an engine's fault."""
    found = []
    for feature in wanted.features:
        asked = {"feature_name": feature.name, "query": clauses.explicit(feature, nested=nested, booleans=booleans)}
        # The engine itself writes it only where it is not 0.
        found.append({"query_extractor": asked | ({"default_score": feature.missing} if feature.missing else {})})
    return found


def body(made: Mapping[str, Any], asked: list[dict[str, Any]]) -> dict[str, Any]:
    """The model's document, of its ensemble and its extractors."""
    config = {
        "feature_extractors": asked,
        "default_params": {PARAMETER: ""},
        "num_top_feature_importance_values": 0,
    }
    return {
        "inference_config": {"learning_to_rank": config},
        "definition": {"trained_model": {"ensemble": made}},
    }


def rescore(name: str, *, window: int) -> dict[str, Any]:
    """The part of a search that has the model order the first ``window`` hits of each shard."""
    asked = {"model_id": name, "params": {PARAMETER: clauses.QUERY}}
    return {"rescore": {"window_size": window, "learning_to_rank": asked}}


def _nodes(forest: Forest, tree: Tree, kind: str) -> list[dict[str, Any]]:
    threshold = splits.thresholds(forest, tree)
    threshold = np.where(np.isinf(threshold), np.copysign(_BEYOND, threshold), threshold).tolist()
    value = splits.values(forest, tree).tolist()
    left, right, feature = tree.left.tolist(), tree.right.tolist(), tree.feature.tolist()
    default, samples = tree.default_left.tolist(), np.rint(tree.cover).astype(np.int64).tolist()
    return [
        {"node_index": node, "leaf_value": value[node], "number_samples": samples[node]}
        if left[node] < 0
        else {
            "node_index": node,
            "decision_type": kind,
            "left_child": left[node],
            "right_child": right[node],
            "split_feature": feature[node],
            "threshold": threshold[node],
            "default_left": default[node],
            "number_samples": samples[node],
        }
        for node in range(len(tree))
    ]
