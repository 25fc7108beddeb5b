"""A forest of regression trees, whatever library grew it, and the scorer that others are measured against.

A tree asks one question at each split, ``x <= t`` (LightGBM), ``x < t`` (XGBoost) or ``x in categories``, sends a
missing value its own way, and ends at a leaf; the score is the sum of the leaves. What is neutral here:

- Nodes stand in preorder (a split's left child follows it), so leaves stand from left to right.
- ``default_left`` is where NaN goes at every split; Missing.NONE, which reads NaN as 0, is already resolved into it.
  At Missing.ZERO whatever LightGBM takes for zero, |x| <= 1e-35 in float32, goes there too.
- Members of ``categories`` go left. XGBoost sends them right: its reader swaps the children.
- LightGBM reads |x| <= 1e-35 as 0 everywhere, truncates a category towards zero and sums in float64 from 0; XGBoost
  keeps such numbers, takes every negative category for none and sums in float32 from ``base_score``; each in the
  order of the trees.

``predict`` equals LightGBM's and XGBoost's own bit for bit; it is a reference, not the fastest way.

>>> stump = Tree.of([1, 0, 0], [0, -1, -1], [0.5, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
...                 [0, -1, 1], [10, 4, 6])
>>> forest = Forest("lightgbm", "v4", "lambdarank", ("price",), (stump,))
>>> forest.predict(np.array([[0.5], [0.75], [np.nan]], dtype=np.float32)).tolist()
[-1.0, 1.0, -1.0]
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ltr.errors import RankerError

__all__ = ["FORMAT", "Flat", "Forest", "Kind", "Missing", "Tree", "goes_left", "kept_rounds"]

FORMAT: Final = 1

# LightGBM's kZeroThreshold, a float32 literal compared in double.
_ZERO: Final = float(np.float32(1e-35))
# Steps taken at once: some arrays of this length stay in a core's cache.
_BLOCK: Final = 1 << 16


class Kind(IntEnum):
    """What a node asks of its feature's value x."""

    LEAF = 0
    LESS_EQUAL = 1
    LESS = 2
    MEMBER = 3


class Missing(IntEnum):
    """What counts as missing at a split, by LightGBM's codes."""

    NONE = 0
    ZERO = 1
    NAN = 2


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree as one array a property, one element a node, in preorder; build one with ``Tree.of``.

    At a leaf ``feature``, ``left`` and ``right`` are -1; at a split ``value`` is 0. ``cover`` is how many rows
    (LightGBM) or how much hessian (XGBoost) reached the node in fitting, 0 throughout where the text does not say.
    """

    kind: NDArray[np.uint8]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    missing: NDArray[np.uint8]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    cover: NDArray[np.float64]
    categories: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        kind: ArrayLike,
        feature: ArrayLike,
        threshold: ArrayLike,
        missing: ArrayLike,
        default_left: ArrayLike,
        left: ArrayLike,
        right: ArrayLike,
        value: ArrayLike,
        cover: ArrayLike,
        categories: Mapping[int, ArrayLike] | None = None,
    ) -> Tree:
        """Put nodes of any numbering, 0 the root, into preorder; unreached ones are left out.

        Raises ValueError, for the reader to say where, if this is no tree, or a number in it is of no use.
        """
        given = (kind, feature, threshold, missing, default_left, left, right, value, cover)
        columns = {
            name: np.asarray(column, dtype) for (name, dtype), column in zip(_COLUMNS.items(), given, strict=True)
        }
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1 or not lengths["kind"]:
            raise ValueError(f"its columns have {lengths} elements")
        order, ends = _preorder(columns["kind"], columns["left"], columns["right"])
        columns = {name: column[order] for name, column in columns.items()}
        split = columns["kind"] != Kind.LEAF
        place = np.arange(len(order))
        columns["left"] = np.where(split, place + 1, -1).astype(np.int32)
        columns["right"] = np.where(split, ends, -1).astype(np.int32)
        columns["feature"] = np.where(split, columns["feature"], -1).astype(np.int32)
        columns["value"] = np.where(split, 0.0, columns["value"])
        known = categories or {}
        sets = {
            new: np.unique(np.asarray(known.get(int(order[new]), ()), np.int64))
            for new in np.flatnonzero(columns["kind"] == Kind.MEMBER).tolist()
        }
        _check_numbers(columns, split, sets)
        for column in (*columns.values(), *sets.values()):
            column.flags.writeable = False
        return cls(**columns, categories=sets)

    def __len__(self) -> int:
        """How many nodes."""
        return len(self.kind)


_COLUMNS: Final[dict[str, DTypeLike]] = {
    "kind": np.uint8,
    "feature": np.int32,
    "threshold": np.float64,
    "missing": np.uint8,
    "default_left": np.bool_,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
    "cover": np.float64,
}


@dataclass(frozen=True, eq=False)
class Flat:
    """All trees end to end, children as numbers into the whole; ``bits`` hold the sets, 32 categories a word."""

    roots: NDArray[np.int64]
    kind: NDArray[np.uint8]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    zero: NDArray[np.bool_]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    cover: NDArray[np.float64]
    bits: NDArray[np.uint32]
    words: NDArray[np.int64]
    start: NDArray[np.int64]
    least_category: float


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees in the order they are summed, the names of the columns they read, and where they come from.

    ``average_output`` (a random forest) divides the sum by the number of trees; ``transform`` is always identity, as
    a ranker's score is the sum itself. ``version`` is XGBoost's release or LightGBM's text format.
    """

    library: Literal["lightgbm", "xgboost"]
    version: str
    objective: str
    features: tuple[str, ...]
    trees: tuple[Tree, ...]
    base_score: float = 0.0
    average_output: bool = False
    transform: Literal["identity"] = "identity"

    def __post_init__(self) -> None:
        """Refuse what cannot be scored."""
        for name, given, allowed in (
            ("library", self.library, ("lightgbm", "xgboost")),
            ("transform", self.transform, ("identity",)),
        ):
            if given not in allowed:
                raise RankerError(f"a forest's {name} is one of {', '.join(allowed)}, not {given!r}")
        if not self.trees:
            raise RankerError("a forest without trees was given", hint="fit at least one round")
        if not np.isfinite(self.base_score):
            raise RankerError(f"base score {self.base_score} is not finite")
        for number, tree in enumerate(self.trees):
            if tree.feature.max() >= len(self.features):
                raise RankerError(f"tree {number} splits on feature {tree.feature.max()} of {len(self.features)}")

    @cached_property
    def flat(self) -> Flat:
        """The trees end to end, made once."""
        sizes = np.array([len(tree) for tree in self.trees], dtype=np.int64)
        roots = np.cumsum(sizes) - sizes
        joined = {name: np.concatenate([getattr(tree, name) for tree in self.trees]) for name in _COLUMNS}
        shift = np.repeat(roots, sizes).astype(np.int32)
        words = np.zeros(len(shift), dtype=np.int64)
        bits = []
        for root, tree in zip(roots.tolist(), self.trees, strict=True):
            for node, codes in tree.categories.items():
                bits.append(_bits(codes))
                words[root + node] = len(bits[-1])
        zero = (joined.pop("missing") == Missing.ZERO) & (joined["kind"] != Kind.MEMBER)
        split = joined["left"] >= 0
        for side in ("left", "right"):
            joined[side] = np.where(split, joined[side] + shift, -1).astype(np.int32)
        return Flat(
            roots=roots,
            zero=zero,
            bits=np.concatenate([*bits, np.zeros(1, dtype=np.uint32)]),
            words=words,
            start=np.cumsum(words) - words,
            least_category=np.nextafter(-1.0, 0.0) if self.library == "lightgbm" else 0.0,
            **joined,
        )

    def read(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """The numbers that the splits see: float32 rows in double, LightGBM's zeros made 0."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            raise RankerError(
                f"a matrix of shape {matrix.shape} was given", hint=f"rows of {len(self.features)} features are scored"
            )
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in the libraries
            values = matrix.astype(np.float32).astype(np.float64)
        if self.library == "lightgbm":
            values[np.abs(values) <= _ZERO] = 0.0
        return values

    def leaves(self, matrix: NDArray[np.float32]) -> NDArray[np.int64]:
        """The leaf each row reaches, [tree, row], as a number of ``flat``."""
        values, flat = self.read(matrix), self.flat
        reached = np.repeat(flat.roots[:, None], len(values), axis=1)
        every = reached.reshape(-1)
        for start in range(0, len(every), _BLOCK):
            going = np.arange(start, min(start + _BLOCK, len(every)))
            going = going[flat.feature[every[going]] >= 0]
            while len(going):
                nodes = every[going]
                left = goes_left(flat, values[going % len(values), flat.feature[nodes]], nodes)
                nodes = np.where(left, flat.left[nodes], flat.right[nodes])
                every[going] = nodes
                going = going[flat.feature[nodes] >= 0]
        return reached

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row, as the library does: in its precision, tree after tree."""
        exact = np.float64 if self.library == "lightgbm" else np.float32
        value = self.flat.value.astype(exact)
        score: NDArray[Any] = np.full(len(matrix), self.base_score, dtype=exact)
        with np.errstate(over="ignore"):
            for leaf in self.leaves(matrix):
                score += value[leaf]
        scores = score.astype(np.float64)
        return scores / len(self.trees) if self.average_output else scores

    def to_json(self) -> str:
        """One line of JSON that ``from_json`` reads back without loss; equal forests give equal text."""
        header = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "trees"}
        trees = []
        for tree in self.trees:
            columns = {name: getattr(tree, name).tolist() for name in _COLUMNS}
            # An infinite threshold is one that XGBoost can grow, and no number of JSON.
            columns["threshold"] = [t if np.isfinite(t) else str(t) for t in columns["threshold"]]
            sets = {str(node): codes.tolist() for node, codes in tree.categories.items()}
            trees.append(columns | {"categories": sets})
        return json.dumps({"format": FORMAT, **header, "trees": trees}, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Forest:
        """Read ``to_json``'s text; RankerError where it is malformed or of a later format."""
        number: int | None = None
        try:
            header = json.loads(text)
            later = int(header.pop("format"))
            if later > FORMAT:
                raise RankerError(f"the forest has format {later}, newer than {FORMAT}", hint="use a newer release")
            trees = []
            for number, columns in enumerate(header.pop("trees")):  # noqa: B007
                sets = {int(node): codes for node, codes in columns.pop("categories").items()}
                columns["threshold"] = [float(t) for t in columns["threshold"]]
                trees.append(Tree.of(**columns, categories=sets))
            number = None
            names = tuple(str(name) for name in header.pop("features"))
            return cls(features=names, trees=tuple(trees), **header)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            where = "the JSON of a forest" if number is None else f"tree {number} of the JSON of a forest"
            raise RankerError(f"{where} is malformed ({error})", hint="write it again with to_json") from error


def goes_left(flat: Flat, x: NDArray[np.float64], node: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where each value goes at its split; x as ``Forest.read`` gives it."""
    threshold, kind = flat.threshold[node], flat.kind[node]
    left = (x < threshold) | ((x == threshold) & (kind == Kind.LESS_EQUAL))
    absent = np.isnan(x)
    if len(flat.bits) > 1:
        asked = np.flatnonzero((kind == Kind.MEMBER) & ~absent)
        left[asked] = _member(flat, x[asked], node[asked])
    absent |= (x == 0) & flat.zero[node]
    return np.where(absent, flat.default_left[node], left)


def kept_rounds(trees: Sequence[Any], rounds: int | None, *, each: int = 1) -> int:
    """How many trees the first ``rounds`` rounds are, all where None; RankerError where there are not so many."""
    if rounds is None:
        return len(trees)
    if not 1 <= rounds * each <= len(trees):
        raise RankerError(f"{rounds} rounds were asked for", hint=f"the forest has 1 to {len(trees) // each}")
    return rounds * each


def _member(flat: Flat, x: NDArray[np.float64], node: NDArray[np.int64]) -> NDArray[np.bool_]:
    # Codes are 32 bits wide in both libraries: beyond, and infinite, is no category.
    code = np.where((x >= flat.least_category) & (x < 2**31), x, -1.0).astype(np.int64)
    held = (code >= 0) & (code >> 5 < flat.words[node])
    word = flat.bits[np.where(held, flat.start[node] + (code >> 5), -1)]
    found: NDArray[np.bool_] = held & ((word >> (code & 31).astype(np.uint32)) & 1 == 1)
    return found


def _bits(codes: NDArray[np.int64]) -> NDArray[np.uint32]:
    words = np.zeros(int(codes[-1]) // 32 + 1 if len(codes) else 0, dtype=np.uint32)
    np.bitwise_or.at(words, codes >> 5, np.uint32(1) << (codes & 31).astype(np.uint32))
    return words


def _preorder(
    kind: NDArray[np.uint8], left: NDArray[np.int32], right: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Node numbers in preorder, and for each place the place where the right child stands."""
    kinds, lefts, rights = kind.tolist(), left.tolist(), right.tolist()
    order: list[int] = []
    ends = [-1] * len(kinds)
    seen = [False] * len(kinds)
    waiting = [(0, -1)]
    while waiting:
        node, parent = waiting.pop()
        if not 0 <= node < len(kinds):
            raise ValueError(f"a child is node {node} of {len(kinds)}")
        if seen[node]:
            raise ValueError(f"node {node} is reached twice")
        seen[node] = True
        if parent >= 0:
            ends[parent] = len(order)
        if kinds[node] != Kind.LEAF:
            waiting += [(rights[node], len(order)), (lefts[node], -1)]
        order.append(node)
    return np.array(order, dtype=np.int64), np.array(ends[: len(order)], dtype=np.int64)


def _check_numbers(
    columns: Mapping[str, NDArray[Any]], split: NDArray[np.bool_], sets: Mapping[int, NDArray[np.int64]]
) -> None:
    for name, largest in (("kind", Kind.MEMBER), ("missing", Missing.NAN)):
        if columns[name].max() > largest:
            raise ValueError(f"a node's {name} is {columns[name].max()}, above {int(largest)}")
    if (columns["feature"][split] < 0).any():
        raise ValueError("a split's feature is negative")
    if np.isnan(columns["threshold"]).any():
        raise ValueError("a threshold is NaN")
    if not np.isfinite(columns["value"]).all():
        raise ValueError("a leaf's value is not finite")
    if not (np.isfinite(columns["cover"]).all() and columns["cover"].min() >= 0):
        raise ValueError("a cover is negative or not finite")
    if any(len(codes) and not 0 <= codes[0] <= codes[-1] < 2**31 for codes in sets.values()):
        raise ValueError("a category is not within 0 to 2³¹ - 1")
