"""LightGBM's model text and ``dump_model()`` JSON, read into a neutral forest.

Both are cut at the best round by LightGBM itself when an early-stopped booster writes them. The text is scanned into
blocks of ``key=value`` lines, then each block is parsed into a tree. Not covered, and refused by name: linear trees,
several scores a row, objectives whose prediction is not the sum of the leaves. Leaves of dart and of a random forest
are as summed: dart's weights are in them, a random forest's sum is averaged. Importances, parameters and the categories
of a pandas column, which its codes stand for here, are not read.

>>> leaves = {"left_child": {"leaf_value": -1.0}, "right_child": {"leaf_value": 1.0}}
>>> split = {"split_feature": 0, "decision_type": "<=", "threshold": 0.5, "missing_type": "None", "default_left": False}
>>> dump = {"version": "v4", "num_tree_per_iteration": 1, "max_feature_idx": 0, "objective": "lambdarank",
...         "average_output": False, "feature_names": ["price"],
...         "tree_info": [{"tree_structure": {"internal_count": 9} | split | leaves}]}
>>> read_dump(dump).predict(np.array([[0.5], [0.75], [np.nan]], dtype=np.float32)).tolist()
[-1.0, 1.0, -1.0]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ltr.errors import RankerError
from ltr.rankers.forest import Forest, Kind, Missing, Tree, kept_rounds

__all__ = ["read_dump", "read_text"]

T = TypeVar("T", int, float)

_VERSIONS: Final = ("v3", "v4")
# Objectives whose prediction is the sum itself; a fit with a function of one's own writes none.
_IDENTITY: Final = {
    "", "fair", "huber", "lambdarank", "mape", "quantile", "rank_xendcg", "regression", "regression_l1",
}  # fmt: skip
_AGAIN: Final = "write it again with Booster.model_to_string()"
# A dump clamps infinite thresholds (NaN against all numbers) to this; no float32 lies between.
_INFINITE: Final = 1e300
_MISSING: Final = {"None": Missing.NONE, "Zero": Missing.ZERO, "NaN": Missing.NAN}


@dataclass(frozen=True)
class _Block:
    """A run of ``key=value`` lines: its name in messages, its first line, and each key's line and value."""

    name: str
    line: int
    entries: dict[str, tuple[int, str]]

    def text(self, key: str) -> str:
        if key not in self.entries:
            raise RankerError(f"line {self.line}: {self.name} has no {key}=", hint=_AGAIN)
        return self.entries[key][1]

    def numbers(self, key: str, number: Callable[[str], T], count: int) -> list[T]:
        words = self.text(key).split()
        line = self.entries[key][0]
        if len(words) != count:
            raise RankerError(f"line {line}: {self.name} has {len(words)} {key}, not {count}", hint=_AGAIN)
        try:
            return [number(word) for word in words]
        except ValueError as error:
            raise RankerError(f"line {line}: {key} of {self.name}: {error}", hint=_AGAIN) from error

    def number(self, key: str) -> int:
        return self.numbers(key, int, 1)[0]


def read_text(text: str, *, rounds: int | None = None) -> Forest:
    """Read ``Booster.model_to_string()``; None keeps all of its rounds, as ``Booster.predict`` does."""
    header, blocks = _scan(text)
    about = {key: value for key, (_, value) in header.entries.items()}
    features = tuple(header.text("feature_names").split(" "))
    about["num_tree_per_iteration"] = str(header.number("num_tree_per_iteration"))
    about["max_feature_idx"] = str(header.number("max_feature_idx"))
    _check_header(about, features)
    kept = blocks[: kept_rounds(blocks, rounds)]
    trees = tuple(_parse(block) for block in kept)
    return _forest(about, features, trees, average="average_output" in about)


def read_dump(dump: str | Mapping[str, Any], *, rounds: int | None = None) -> Forest:
    """Read ``Booster.dump_model()``, the dictionary or its JSON."""
    try:
        document = json.loads(dump) if isinstance(dump, str) else dump
    except ValueError as error:
        raise RankerError(f"this is not the JSON of a dump: {error}", hint="pass Booster.dump_model()") from error
    number = -1
    try:
        features = tuple(document["feature_names"])
        _check_header(document, features)
        information = document["tree_info"]
        trees = []
        for number, one in enumerate(information[: kept_rounds(information, rounds)]):
            trees.append(_nested(one["tree_structure"], number))
        return _forest(document, features, tuple(trees), average=bool(document["average_output"]))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        where = f"tree {number}" if number >= 0 else "the header"
        raise RankerError(f"{where} of the dump is malformed: {told}", hint="pass Booster.dump_model()") from error


def _forest(about: Mapping[str, Any], features: tuple[str, ...], trees: tuple[Tree, ...], *, average: bool) -> Forest:
    objective = str(about.get("objective", ""))
    return Forest("lightgbm", str(about["version"]), objective, features, trees, average_output=average)


def _check_header(about: Mapping[str, Any], features: tuple[str, ...]) -> None:
    if about.get("version") not in _VERSIONS:
        raise RankerError(
            f"the model has version {about.get('version')!r}",
            hint=f"{' and '.join(_VERSIONS)} are read (LightGBM 3, 4)",
        )
    if int(about["num_tree_per_iteration"]) != 1:
        raise RankerError(f"the model has {about['num_tree_per_iteration']} scores a row", hint="a ranker has one")
    name, *parameters = str(about.get("objective", "")).split() or [""]
    if name not in _IDENTITY or "sqrt" in parameters:
        raise RankerError(
            f"objective {about['objective']!r} does not predict the sum of the leaves",
            hint="fit with lambdarank or rank_xendcg",
        )
    if len(features) != int(about["max_feature_idx"]) + 1:
        raise RankerError(
            f"{len(features)} feature names stand for {int(about['max_feature_idx']) + 1} features", hint=_AGAIN
        )


def _scan(text: str) -> tuple[_Block, list[_Block]]:
    """The header and one block a tree, unparsed."""
    lines = text.split("\n")  # a name may hold other ends of lines
    if lines[0].strip() != "tree":
        raise RankerError(f"line 1 is {lines[0][:40]!r}, not 'tree'", hint="pass LightGBM's model text")
    header = _Block("the header", 1, {})
    blocks: list[_Block] = []
    block = header
    for number, line in enumerate(lines[1:], start=2):
        key, _, value = (part.strip(" \r") for part in line.partition("="))
        if key == "end of trees":
            break
        if key == "Tree":
            if value != str(len(blocks)):
                raise RankerError(f"line {number}: tree {value!r} where tree {len(blocks)} is due", hint=_AGAIN)
            block = _Block(f"tree {value}", number, {})
            blocks.append(block)
        elif key:
            block.entries[key] = (number, value)
    else:
        raise RankerError(f"line {len(lines)}: the text ends before 'end of trees', in {block.name}", hint=_AGAIN)
    at, sizes = header.entries.get("tree_sizes", (0, "0 " * len(blocks)))
    if len(sizes.split()) != len(blocks):
        raise RankerError(f"line {at}: tree_sizes tells of {len(sizes.split())} trees, not {len(blocks)}", hint=_AGAIN)
    return header, blocks


def _parse(block: _Block) -> Tree:
    """One tree: split i keeps its number, leaf j becomes node splits + j."""
    leaves = block.number("num_leaves")
    if "is_linear" in block.entries and block.number("is_linear"):
        raise RankerError(f"line {block.line}: {block.name} is linear", hint="fit with linear_tree = false")
    if leaves < 1:
        raise RankerError(f"line {block.entries['num_leaves'][0]}: {block.name} has {leaves} leaves", hint=_AGAIN)
    splits = leaves - 1
    feature = np.array(block.numbers("split_feature", int, splits), dtype=np.int64)
    threshold = np.array(block.numbers("threshold", float, splits))
    decision = np.array(block.numbers("decision_type", int, splits), dtype=np.int64)
    child = [np.array(block.numbers(side, int, splits), dtype=np.int64) for side in ("left_child", "right_child")]
    left, right = (np.where(side < 0, splits + ~side, side) for side in child)
    value = np.array(block.numbers("leaf_value", float, leaves))
    cover = [block.numbers("internal_count", int, splits), [0] * leaves]
    if block.entries.get("leaf_count", (0, ""))[1]:
        cover[1] = block.numbers("leaf_count", int, leaves)
    member = (decision & 1).astype(bool)
    missing = decision >> 2 & 3
    nowhere = np.full(leaves, -1)
    try:
        return Tree.of(
            np.concatenate([np.where(member, Kind.MEMBER, Kind.LESS_EQUAL), np.zeros(leaves, dtype=np.int64)]),
            np.concatenate([feature, nowhere]),
            np.concatenate([np.where(member, 0.0, threshold), np.zeros(leaves)]),
            np.concatenate([np.where(member, Missing.NAN, missing), np.zeros(leaves, dtype=np.int64)]),
            np.concatenate([_default_left(member, missing, decision & 2 > 0, threshold), np.zeros(leaves, dtype=bool)]),
            np.concatenate([left, nowhere]),
            np.concatenate([right, nowhere]),
            np.concatenate([np.zeros(splits), value]),
            np.concatenate(cover),
            _categories(block, member, threshold),
        )
    except (ValueError, OverflowError) as error:
        raise RankerError(f"line {block.line}: {block.name}: {error}", hint=_AGAIN) from error


def _default_left(
    member: NDArray[np.bool_], missing: NDArray[np.int64], left: NDArray[np.bool_], threshold: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Where NaN goes: right at a categorical split, as 0 where nothing is missing, else the default."""
    return ~member & np.where(missing == Missing.NONE, threshold >= 0, left)


def _categories(block: _Block, member: NDArray[np.bool_], threshold: NDArray[np.float64]) -> dict[int, list[int]]:
    """The sets of the categorical splits, whose threshold is the number of their set."""
    if not member.any():
        return {}
    count = block.number("num_cat")
    ends = block.numbers("cat_boundaries", int, count + 1)
    words = block.numbers("cat_threshold", int, ends[-1])
    sets = {}
    for node in np.flatnonzero(member).tolist():
        number = int(threshold[node])
        if not 0 <= number < count or not 0 <= ends[number] <= ends[number + 1] <= len(words):
            raise ValueError(f"split {node} asks for categories {number} of {count}")
        own = words[ends[number] : ends[number + 1]]
        sets[node] = [32 * place + bit for place, word in enumerate(own) for bit in range(32) if word >> bit & 1]
    return sets


def _nested(root: Mapping[str, Any], number: int) -> Tree:
    """One tree of the dump, whose nodes hold their children."""
    nodes: list[tuple[Any, ...]] = []
    sets: dict[int, list[int]] = {}
    waiting: list[tuple[Mapping[str, Any], int, int]] = [(root, -1, 0)]
    children: list[list[int]] = []
    while waiting:
        node, parent, side = waiting.pop()
        if parent >= 0:
            children[parent][side] = len(nodes)
        children.append([-1, -1])
        if "leaf_value" in node:
            if "leaf_const" in node:
                raise RankerError(f"tree {number} is linear", hint="fit with linear_tree = false")
            nodes.append((Kind.LEAF, -1, 0.0, Missing.NONE, False, node["leaf_value"], node.get("leaf_count", 0)))
            continue
        waiting += [(node["right_child"], len(nodes), 1), (node["left_child"], len(nodes), 0)]
        column, count = node["split_feature"], node["internal_count"]
        if node["decision_type"] == "==":
            sets[len(nodes)] = [int(code) for code in str(node["threshold"]).split("||") if code]
            nodes.append((Kind.MEMBER, column, 0.0, Missing.NAN, False, 0.0, count))
        elif node["decision_type"] == "<=":
            bound, asked = float(node["threshold"]), _MISSING[node["missing_type"]]
            if abs(bound) >= _INFINITE:
                bound = np.copysign(np.inf, bound)
            default = bound >= 0 if asked == Missing.NONE else bool(node["default_left"])
            nodes.append((Kind.LESS_EQUAL, column, bound, asked, default, 0.0, count))
        else:
            raise ValueError(f"decision type {node['decision_type']!r}, not '<=' or '=='")
    kind, feature, threshold, missing, default_left, value, cover = zip(*nodes, strict=True)
    left, right = zip(*children, strict=True)
    return Tree.of(kind, feature, threshold, missing, default_left, left, right, value, cover, sets)
