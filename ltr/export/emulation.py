"""The engines' evaluators of trees, bit for bit, over the documents that were exported and not over our own forest.

The plugin, ``NaiveAdditiveDecisionTree`` and ``XGBoostJsonParser`` of o19s and OpenSearch: from the root, ``threshold > value``
goes to the first child, else the second, all in float32; the leaves are added up in float32 in the order of the trees. An OpenSearch
3.8 node's scores were found equal to the bit. A value is absent where a feature's query does not match, and what becomes of it
depends on the release:

    missing      NaN, which goes to the child that ``missing`` names        o19s since #482 (2024-01), OpenSearch since 3.8
    nan_to_no    NaN, which compares false and goes to the second child     OpenSearch 3.2 to 3.7
    zero         0                                                          before either

Elastic's own, ``TreeInferenceModel``, ``EnsembleInferenceModel`` and ``WeightedSum``: the score widened to double is compared
by the node's ``decision_type``; what is no finite number goes to the side of ``default_left``; the leaves are added up by
Java's ``DoubleStream.sum`` (Kahan's compensation; CACM 8, 1965), and the sum is narrowed to float32.

>>> import numpy as np
>>> leaves = [{"nodeid": 1, "leaf": -1.0}, {"nodeid": 2, "leaf": 1.0}]
>>> split = {"nodeid": 0, "depth": 0, "split": "price", "split_condition": 0.5, "yes": 1, "no": 2, "missing": 1}
>>> trees = read_plugin({"objective": "rank:ndcg", "splits": [split | {"children": leaves}]}, ["price"])
>>> rows = np.array([[0.25], [0.5], [np.nan]], dtype=np.float32)
>>> [trees.score(rows, generation=each)[0].tolist() for each in GENERATIONS["plugin"]]
[[-1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ExportError
from ltr.loops import compiled

__all__ = ["GENERATIONS", "Trees", "read", "read_native", "read_plugin"]

GENERATIONS: Final[dict[str, tuple[str, ...]]] = {"plugin": ("missing", "nan_to_no", "zero"), "native": ("native",)}

# Rows that are summed side by side, tree after tree, so that a tree stays in a core's cache.
_BLOCK: Final = 2048
_COMPARED: Final = {"lt": False, "lte": True}


@dataclass(frozen=True, eq=False)
class Trees:
    """An exported document's trees end to end; at a leaf ``feature`` is -1 and ``threshold`` what it adds."""

    kind: Literal["plugin", "native"]
    features: tuple[str, ...]
    roots: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    inclusive: NDArray[np.bool_]
    yes: NDArray[np.int32]
    no: NDArray[np.int32]
    absent: NDArray[np.int32]

    def score(self, matrix: NDArray[np.float32], *, generation: str) -> tuple[NDArray[np.float32], float]:
        """Each row's score, and the largest sum, by absolute value, that any row had on the way."""
        if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            raise ExportError(f"rows of shape {matrix.shape} and type {matrix.dtype} are not of these features")
        if generation not in GENERATIONS[self.kind]:
            raise ExportError(
                f"generation {generation!r} is unknown", hint=f"generations: {', '.join(GENERATIONS[self.kind])}"
            )
        rows = np.ascontiguousarray(matrix)
        out = np.empty(len(rows), dtype=np.float32)
        largest = np.zeros(1)
        if self.kind == "native":
            _native(rows, self.roots, self.feature, self.threshold, self.inclusive, self.yes, self.no, self.absent,
                    out, largest)  # fmt: skip
            return out, float(largest[0])
        if generation == "zero":
            rows = np.where(np.isnan(rows), np.float32(0), rows)
        absent = self.absent if generation == "missing" else self.no
        with np.errstate(over="ignore", under="ignore"):
            threshold = self.threshold.astype(np.float32)
        _plugin(rows, self.roots, self.feature, threshold, self.yes, self.no, absent, out, largest)
        return out, float(largest[0])

    @property
    def last(self) -> NDArray[np.float32]:
        """At each split, the largest float32 that goes to the first child."""
        from ltr.export.splits import above

        with np.errstate(over="ignore", under="ignore"):
            narrow = self.threshold.astype(np.float32)
            below = np.nextafter(narrow, np.float32(-np.inf))
            if self.kind == "plugin":
                return below
            exclusive = np.where(narrow.astype(np.float64) < self.threshold, narrow, below)
            return np.where(self.inclusive, np.nextafter(above(self.threshold), np.float32(-np.inf)), exclusive)


def read(kind: str, document: Mapping[str, Any], features: Sequence[str]) -> Trees:
    """The trees of what was exported: the plugin's definition, or the native model's document."""
    return read_plugin(document, features) if kind == "plugin" else read_native(document, features)


def read_plugin(document: Mapping[str, Any], features: Sequence[str]) -> Trees:
    """Read a definition of ``model/xgboost+json`` as the plugin does.

    Raises:
        ExportError: the plugin would refuse it, or ``missing`` is absent or names no child.
    """
    places = {name: place for place, name in enumerate(features)}
    nodes = _Nodes()
    try:
        if set(document) != {"objective", "splits"} or document["objective"] != "rank:ndcg":
            raise ExportError(f"a definition with {sorted(document)} is not one that was exported")
        for tree in document["splits"]:
            nodes.roots.append(len(nodes.feature))
            waiting = [(tree, nodes.roots[-1], nodes.no)]
            while waiting:
                node, parent, side = waiting.pop()
                here = len(nodes.feature)
                if here > nodes.roots[-1]:
                    side[parent] = here
                if "leaf" in node:
                    nodes.leaf(float(node["leaf"]))
                    continue
                first, second = node["children"]
                if (node["yes"], node["no"]) != (first["nodeid"], second["nodeid"]):
                    raise ExportError(f"{nodes.told}: yes and no are not its children, in order")
                if node["missing"] not in (node["yes"], node["no"]):
                    raise ExportError(f"{nodes.told}: missing names no child")
                nodes.split(places[node["split"]], float(node["split_condition"]), node["missing"] == node["yes"])
                waiting += [(second, here, nodes.no), (first, here, nodes.yes)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{nodes.told} of the definition is malformed ({error!r})") from error
    return nodes.trees("plugin", features)


def read_native(document: Mapping[str, Any], features: Sequence[str]) -> Trees:
    """Read an ensemble as Elastic's inference does; ExportError where it is not one that was exported."""
    nodes = _Nodes()
    try:
        ensemble = document["definition"]["trained_model"]["ensemble"]
        if ensemble["feature_names"] != list(features) or ensemble["aggregate_output"] != {"weighted_sum": {}}:
            raise ExportError("the ensemble reads other features, or does not sum its trees")
        for held in ensemble["trained_models"]:
            start = len(nodes.feature)
            nodes.roots.append(start)
            for place, node in enumerate(held["tree"]["tree_structure"]):
                if node["node_index"] != place:
                    raise ExportError(f"{nodes.told}: node {place} has index {node['node_index']}")
                if "leaf_value" in node:
                    nodes.leaf(float(node["leaf_value"]))
                    continue
                inclusive = _COMPARED[node["decision_type"]]
                feature, threshold = int(node["split_feature"]), float(node["threshold"])
                nodes.split(feature, threshold, bool(node["default_left"]), inclusive=inclusive)
                nodes.yes[-1], nodes.no[-1] = start + int(node["left_child"]), start + int(node["right_child"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{nodes.told} of the ensemble is malformed ({error!r})") from error
    return nodes.trees("native", features)


class _Nodes:
    """Nodes as they are read."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.inclusive: list[bool] = []
        self.yes: list[int] = []
        self.no: list[int] = []
        self.absent_yes: list[bool] = []

    @property
    def told(self) -> str:
        """The tree that is being read, as a message names it."""
        return f"tree {len(self.roots) - 1}"

    def leaf(self, value: float) -> None:
        self.split(-1, value, False)

    def split(self, feature: int, threshold: float, absent_yes: bool, *, inclusive: bool = False) -> None:
        """Add a node; its children are named when they are known."""
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.inclusive.append(inclusive)
        self.yes.append(-1)
        self.no.append(-1)
        self.absent_yes.append(absent_yes)

    def trees(self, kind: Literal["plugin", "native"], features: Sequence[str]) -> Trees:
        count = len(self.feature)
        feature, yes, no = (np.array(each, dtype=np.int32) for each in (self.feature, self.yes, self.no))
        split = feature >= 0
        own = np.arange(count)
        # A child stands after its parent, so that no row goes round for ever.
        fits = (feature < len(features)) & (~split | ((yes > own) & (no > own) & (yes < count) & (no < count)))
        if not self.roots or not count or not fits.all():
            raise ExportError("the model has no tree, or a node names a child or a feature that is not there")
        return Trees(
            kind,
            tuple(features),
            np.array(self.roots, dtype=np.int64),
            feature,
            np.array(self.threshold, dtype=np.float64),
            np.array(self.inclusive, dtype=np.bool_),
            yes,
            no,
            np.where(np.array(self.absent_yes), yes, no).astype(np.int32),
        )


@compiled("void(f4[:,::1], i8[::1], i4[::1], f4[::1], i4[::1], i4[::1], i4[::1], f4[::1], f8[::1])")
def _plugin(
    rows: Any, roots: Any, feature: Any, threshold: Any, yes: Any, no: Any, absent: Any, out: Any, largest: Any
) -> None:
    peak = np.float32(0)
    for start in range(0, len(rows), _BLOCK):
        end = min(start + _BLOCK, len(rows))
        out[start:end] = np.float32(0)
        for root in roots:
            for row in range(start, end):
                node = root
                while feature[node] >= 0:
                    value = rows[row, feature[node]]
                    if np.isnan(value):
                        node = absent[node]
                    elif threshold[node] > value:
                        node = yes[node]
                    else:
                        node = no[node]
                out[row] = out[row] + threshold[node]
                peak = max(peak, abs(out[row]))
    largest[0] = peak


@compiled("void(f4[:,::1], i8[::1], i4[::1], f8[::1], b1[::1], i4[::1], i4[::1], i4[::1], f4[::1], f8[::1])")
def _native(
    rows: Any, roots: Any, feature: Any, threshold: Any, inclusive: Any, yes: Any, no: Any, absent: Any, out: Any,
    largest: Any,
) -> None:  # fmt: skip
    total, lost = np.zeros(_BLOCK), np.zeros(_BLOCK)
    peak = 0.0
    for start in range(0, len(rows), _BLOCK):
        end = min(start + _BLOCK, len(rows))
        total[:] = 0.0
        lost[:] = 0.0
        for root in roots:
            for row in range(start, end):
                node = root
                while feature[node] >= 0:
                    value = np.float64(rows[row, feature[node]])
                    if not np.isfinite(value):
                        node = absent[node]
                    elif value < threshold[node] or (inclusive[node] and value == threshold[node]):
                        node = yes[node]
                    else:
                        node = no[node]
                at = row - start
                added = threshold[node] - lost[at]
                summed = total[at] + added
                lost[at] = (summed - total[at]) - added
                total[at] = summed
                peak = max(peak, abs(summed))
        for row in range(start, end):
            out[row] = np.float32(total[row - start] - lost[row - start])
    largest[0] = peak
