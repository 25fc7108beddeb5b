"""XGBoost's model JSON and ``get_dump(dump_format="json")``, read into a neutral forest.

The model (``save_raw("json")`` or ``save_model("m.json")``) holds all that a prediction needs. A dump lacks the base
score, the objective and the number of features, so they are given with it; its numbers have nine digits, which is
enough to be the same float32. A leaf's value is its ``split_conditions``, never its ``base_weights``, which the exact
method leaves unshrunk. Not covered, and refused by name: dart (its weights are rounded in an order of their own), linear
boosters, several scores a row, vector leaves, objectives whose prediction is not the sum of the leaves, and indicator
features of a dump. A dump rounds the thresholds of features declared ``int`` up, which is the same for whole numbers.

>>> tree = '''{"nodeid": 0, "split": "price", "split_condition": 0.5, "yes": 1, "no": 2, "missing": 1, "children": [
...           {"nodeid": 1, "leaf": -1}, {"nodeid": 2, "leaf": 1}]}'''
>>> read_dump([tree], ["price"], base_score=0.25).predict(np.array([[0.5], [np.nan]], dtype=np.float32)).tolist()
[1.25, -0.75]
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import RankerError
from ltr.rankers.forest import Forest, Kind, Missing, Tree, kept_rounds

__all__ = ["read_dump", "read_model"]

# Objectives whose prediction, like their base score, is the margin itself.
_IDENTITY: Final = {
    "binary:logitraw", "rank:map", "rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:linear",
    "reg:pseudohubererror", "reg:quantileerror", "reg:squarederror",
}  # fmt: skip
_AGAIN: Final = "pass Booster.save_raw('json')"


def read_model(text: str | bytes | bytearray, *, rounds: int | None = None) -> Forest:
    """Read ``Booster.save_raw("json")``.

    None keeps all rounds, as ``Booster.predict`` does, early stopped or not; for what the scikit-learn interface
    predicts, pass ``booster.best_iteration + 1``.
    """
    number = -1
    try:
        document = json.loads(text)
        learner = document["learner"]
        about, booster = learner["learner_model_param"], learner["gradient_booster"]
        _check_booster(booster["name"], about, learner["objective"]["name"])
        model = booster["model"]
        features = _names(learner, int(about["num_feature"]))
        if any(model.get("tree_info", ())):
            raise RankerError("the model has several scores a row", hint="a ranker has one")
        trees = []
        every = model["trees"]
        each = int(model["gbtree_model_param"].get("num_parallel_tree") or 1)
        for number, one in enumerate(every[: kept_rounds(every, rounds, each=each)]):  # noqa: B007
            trees.append(_tree(one))
        number = -1
        version = ".".join(str(part) for part in document["version"])
        base = _base_score(about["base_score"])
        return Forest("xgboost", version, learner["objective"]["name"], features, tuple(trees), base_score=base)
    except json.JSONDecodeError as error:
        raise RankerError(f"this is not the JSON of a model: {error}", hint=_AGAIN) from error
    except UnicodeDecodeError as error:
        raise RankerError("these bytes are not JSON (UBJSON is save_raw's default)", hint=_AGAIN) from error
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise _malformed(error, number) from error


def read_dump(
    dump: Sequence[str],
    features: Sequence[str],
    *,
    base_score: float,
    objective: str = "rank:ndcg",
    version: str = "",
    rounds: int | None = None,
) -> Forest:
    """Read ``Booster.get_dump(dump_format="json")``, one text a tree; with_stats gives what tree SHAP needs.

    Args:
        dump: one text a tree.
        features: the names of all columns, in order; a booster without names calls column 3 "f3".
        base_score: as the model's ``learner_model_param`` has it.
        objective: as the model's ``objective`` has it.
        version: XGBoost's release, if it is known.
        rounds: how many trees to keep; None is all.
    """
    _check_booster("gbtree", {}, objective)
    places = {name: place for place, name in enumerate(features)}
    number = -1
    try:
        trees = []
        for number, text in enumerate(dump[: kept_rounds(dump, rounds)]):  # noqa: B007
            trees.append(_nested(json.loads(text), places))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise _malformed(error, number) from error
    return Forest("xgboost", version, objective, tuple(features), tuple(trees), base_score=_base_score(base_score))


def _malformed(error: Exception, number: int) -> RankerError:
    where = f"tree {number}" if number >= 0 else "the model"
    told = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return RankerError(f"{where} is malformed: {told}", hint=_AGAIN)


def _check_booster(name: str, about: Mapping[str, Any], objective: str) -> None:
    if name != "gbtree":
        raise RankerError(f"the booster is {name!r}", hint="only gbtree is covered: fit with booster = 'gbtree'")
    if int(about.get("num_class", 0)) > 1 or int(about.get("num_target", 1)) > 1:
        raise RankerError("the model has several scores a row", hint="a ranker has one")
    if objective not in _IDENTITY:
        raise RankerError(
            f"objective {objective!r} does not predict the sum of the leaves",
            hint="fit with rank:ndcg or rank:pairwise",
        )


def _names(learner: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """The names of the columns, f0, f1, … where the booster has none."""
    names = tuple(learner.get("feature_names") or (f"f{place}" for place in range(count)))
    if len(names) != count:
        raise ValueError(f"{len(names)} feature names stand for {count} features")
    return names


def _base_score(given: str | float) -> float:
    """The base score as float32: "5E-1", and since XGBoost 3.1 "[5E-1]"."""
    (number,) = str(given).strip("[]").split(",")
    return float(np.float32(number))


def _tree(one: Mapping[str, Any]) -> Tree:
    """One tree of the model: a property a list, a leaf where there is no left child."""
    if int(one["tree_param"].get("size_leaf_vector") or 1) > 1:
        raise RankerError(f"tree {one.get('id')} has vectors at its leaves", hint="fit with one_output_per_tree")
    left, right = (np.asarray(one[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    count = len(left)
    number = _float32(one["split_conditions"])
    leaf = left < 0
    member = np.asarray(one.get("split_type") or [0] * count, dtype=bool) & ~leaf
    default = np.asarray(one["default_left"], dtype=bool)
    if {len(column) for column in (right, number, member, default)} != {count}:
        raise ValueError("its lists differ in length")
    return Tree.of(
        np.select([leaf, member], [Kind.LEAF, Kind.MEMBER], Kind.LESS),
        one["split_indices"],
        np.where(leaf | member, 0.0, number),
        np.where(leaf, Missing.NONE, Missing.NAN),
        np.where(member, ~default, default) & ~leaf,
        np.where(member, right, left),
        np.where(member, left, right),
        np.where(leaf, number, 0.0),
        _float32(one["sum_hessian"]),
        _sets(one),
    )


def _sets(one: Mapping[str, Any]) -> dict[int, list[int]]:
    keys = ("categories_nodes", "categories_segments", "categories_sizes")
    segments = zip(*(one.get(key, ()) for key in keys), strict=True)
    return {node: one["categories"][start : start + size] for node, start, size in segments}


def _nested(root: Mapping[str, Any], places: Mapping[str, int]) -> Tree:
    """One tree of the dump, whose nodes hold their children."""
    nodes: list[tuple[Any, ...]] = []
    children: list[list[int]] = []
    sets: dict[int, list[int]] = {}
    waiting: list[tuple[Mapping[str, Any], int, int]] = [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        if parent >= 0:
            children[parent][side] = len(nodes)
        children.append([-1, -1])
        cover = node.get("cover", 0.0)
        if "leaf" in node:
            nodes.append((Kind.LEAF, -1, 0.0, Missing.NONE, False, node["leaf"], cover))
            continue
        name = node["split"]
        if "missing" not in node or "split_condition" not in node:
            raise RankerError(f"feature {name!r} is an indicator (type 'i')", hint="read the model: " + _AGAIN)
        if name not in places:
            raise RankerError(f"the dump splits on {name!r}, which the features given lack", hint="name all, in order")
        condition, below = node["split_condition"], {child["nodeid"]: child for child in node["children"]}
        waiting += [(below[node["no"]], len(nodes), 1), (below[node["yes"]], len(nodes), 0)]
        default = node["missing"] == node["yes"]
        if isinstance(condition, list):
            # The dump's yes is already the members' side, unlike the model's left.
            sets[len(nodes)] = condition
            nodes.append((Kind.MEMBER, places[name], 0.0, Missing.NAN, default, 0.0, cover))
        else:
            nodes.append((Kind.LESS, places[name], condition, Missing.NAN, default, 0.0, cover))
    kind, feature, threshold, missing, default_left, value, stats = zip(*nodes, strict=True)
    left, right = zip(*children, strict=True)
    numbers = _float32(threshold), _float32(value), _float32(stats)
    return Tree.of(kind, feature, numbers[0], missing, default_left, left, right, *numbers[1:], sets)


def _float32(numbers: Any) -> NDArray[np.float64]:
    """What XGBoost holds: each number rounded to float32, kept in double."""
    return np.asarray(numbers, dtype=np.float64).astype(np.float32).astype(np.float64)
