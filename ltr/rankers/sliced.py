"""A forest compiled to score fast: bit-sliced over 128 rows, bit for bit as ``Forest.predict``.

After QuickScorer (Lucchese et al., SIGIR 2015), turned round: there a bit is a leaf of one row, here it is a row at one node.
Trees share few distinct questions "feature > cut", so each is answered once for all rows, and what is left of a node is to AND
two words of bits with two others (``sliced_kernels``). Questions are asked of whole numbers (``sliced_layout``), so that neither
rounding nor denormals matter; the leaves are summed in the library's precision and order.

Categories and trees of more than 4,096 leaves are left to ``Forest.predict``. Scorers may be used by several threads at once.

>>> from ltr.rankers.forest import Tree
>>> stump = Tree.of([1, 0, 0], [0, -1, -1], [0.5, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
...                 [0, -1, 1], [10, 4, 6])
>>> scorer = compile(Forest("lightgbm", "v4", "lambdarank", ("price",), (stump,))).warm()
>>> scorer.sliced, scorer.predict(np.array([[0.5], [0.75], [np.nan]], dtype=np.float32)).tolist()
(True, [-1.0, 1.0, -1.0])
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.rankers import Ranker, checks
from ltr.rankers.averaged import Averaged
from ltr.rankers.forest import Forest
from ltr.rankers.forests import forest_of
from ltr.rankers.sliced_kernels import BLOCK, score, score_unkept
from ltr.rankers.sliced_layout import Layout, lay_out
from ltr.rankers.started import Started
from ltr.rankers.transferred import Transferred

__all__ = ["Scorer", "compile", "scorer_of"]

_log = logging.getLogger(__name__)

_Room = tuple[NDArray[np.uint64], NDArray[np.uint8]]
# The modules of the rankers that are one forest; forest_of would merge an average's, which rounds otherwise.
_GROWN: Final = frozenset(["lightgbm", "xgboost", "neutral"])
_SEED: Final = 7


@dataclass(frozen=True, eq=False)
class Scorer:
    """A forest and its layout, None where it is scored by ``Forest.predict``; room to work in is kept from call to call."""

    forest: Forest
    layout: Layout | None
    _idle: list[_Room] = field(default_factory=list, repr=False)

    @property
    def sliced(self) -> bool:
        """Whether the forest is bit-sliced, not left to ``Forest.predict``."""
        return self.layout is not None

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row; NaN is a missing value."""
        checks.check_matrix(matrix, self.forest.features)
        if self.layout is None:
            return self.forest.predict(matrix)
        if matrix.dtype != np.float32:
            with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in the libraries
                matrix = matrix.astype(np.float32)
        if not matrix.flags.carray:
            matrix = matrix.copy()  # numba would compile anew for an array that is, say, read-only
        held = self.layout
        sums: NDArray[Any] = np.full(len(matrix), self.forest.base_score, dtype=held.leaves.dtype)
        try:
            room = self._idle.pop()
        except IndexError:
            room = (
                np.zeros(32 + 2 * (held.slots + held.rows), dtype=np.uint64),
                np.zeros(8 * BLOCK, dtype=np.uint8),
            )
        given = (
            matrix.view(np.int32), held.columns, held.starts, held.search, held.extra, held.tiny,
            held.asked, held.children, held.groups, held.trees, held.leaves, room[0], held.slots, room[1], sums,
        )  # fmt: skip
        try:
            score(*given)
        except Exception:
            # The loops raise nothing, but numba's cache does where it is damaged, full or gone, before they begin.
            score_unkept(*given)
        self._idle.append(room)
        scores = sums.astype(np.float64, copy=False)
        return scores / len(self.forest.trees) if self.forest.average_output else scores

    def warm(self) -> Scorer:
        """Compile and score once; where that is not the forest's own score to the bit, a scorer by ``Forest.predict``."""
        if self.layout is None:
            return self
        with np.errstate(over="ignore"):
            cuts = self.forest.flat.threshold.astype(np.float32)
        values = np.concatenate([cuts, np.array([np.nan, 0.0, -np.inf, np.inf], dtype=np.float32)])
        # More than one block, so that its ends are seen too.
        rows = np.random.default_rng(_SEED).choice(values, size=(BLOCK + 2, len(self.forest.features)))
        if self.predict(rows).tobytes() == self.forest.predict(rows).tobytes():
            return self
        _log.error(
            "the compiled forest scores otherwise than the plain one, which takes its place: clear numba's cache"
        )
        return replace(self, layout=None)


@dataclass(frozen=True, eq=False)
class _Swift:
    """A ranker that scores by a compiled forest, for a place in an average, behind a start or a transfer."""

    ranker: Ranker
    scorer: Scorer

    @property
    def features(self) -> tuple[str, ...]:
        return self.ranker.features

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.scorer.predict(matrix)

    def importance(self) -> dict[str, float]:
        return self.ranker.importance()

    def save(self, directory: Path) -> None:
        self.ranker.save(directory)


def compile(forest: Forest) -> Scorer:
    """Lay a forest out to be scored fast; ``warm`` the scorer before the first request."""
    return Scorer(forest, lay_out(forest))


def scorer_of(ranker: Ranker) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The ranker's ``predict`` with all its forests compiled and warm, to the same bits.

    A mean, a start and a transfer keep their own arithmetic over compiled forests; a linear ranker is as it is. Restore the
    ranker by ``rankers.neutral`` to need neither LightGBM nor XGBoost.

    Raises:
        RankerError: a forest is one that this package does not read (``forest_of`` says why).
    """
    return _swift(ranker).predict


def _swift(ranker: Ranker) -> Ranker:
    if isinstance(ranker, Averaged):
        return replace(ranker, rankers=tuple(_swift(member) for member in ranker.rankers))
    if isinstance(ranker, Started):
        return replace(ranker, ranker=_swift(ranker.ranker))
    if isinstance(ranker, Transferred):
        return replace(
            ranker, ranker=_swift(ranker.ranker), source=replace(ranker.source, ranker=_swift(ranker.source.ranker))
        )
    if type(ranker).__module__.rpartition(".")[2] in _GROWN:
        return _Swift(ranker, compile(forest_of(ranker)).warm())
    return ranker
