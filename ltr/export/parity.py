"""The proof that an export scores as the ranker does: golden rows, what each should score, and the comparison.

Two comparisons. An engine, or its emulation, against the expected scores: they are the same float32 numbers, so the largest
difference is exactly 0. And the expected scores against the ranker, whose library sums in its own precision:

    |score - (ranker + shift)| <= trees × ulp(P)

P: the largest sum that any row had on the way; ulp: one unit in its last place, in float32; trees: the constant ones included.
Rounding may only swap two products of a list that the ranker holds closer together than twice the largest difference found.

Golden rows are the bundle's own candidates, rows aimed at splits (``ltr.export.rows``), rows spread over the thresholds, and rows that no
engine can make (negative values), which are for the emulation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ExportError
from ltr.export import rows
from ltr.export.emulation import GENERATIONS, Trees

if TYPE_CHECKING:
    from ltr.export.directory import Export

__all__ = [
    "ENGINE",
    "EXPECTED",
    "LIST",
    "ORIGIN",
    "RANKER",
    "ParityReport",
    "check",
    "compare",
    "matrix",
    "pack",
    "swaps",
]

# Columns beside the features, whose names cannot begin with an underscore.
LIST: Final = "_list"
ORIGIN: Final = "_origin"
ENGINE: Final = "_engine"  # whether an engine can make such a row: no value below 0
RANKER: Final = "_ranker"
EXPECTED: Final = "_expected."  # and the generation

_SEED: Final = 7
_AIMED, _SPREAD, _OUTSIDE, _CANDIDATES = 2_000, 500, 500, 4_000
_SIZE: Final = 50  # of a list of made rows


@dataclass(frozen=True)
class ParityReport:
    """What was found.

    Args:
        rows: how many were scored.
        largest: difference to the ranker.
        tolerance: what it may be.
        swaps: pairs of a list in another order than the ranker's.
        beyond: those that rounding does not explain; equal scores count where the ranker tells the two apart.
        by_generation: generation of the engine -> the largest difference to what is expected; exactly 0.
    """

    rows: int
    largest: float
    tolerance: float
    swaps: int
    beyond: int
    by_generation: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether the export scores as the ranker does."""
        exact = bool(self.by_generation) and all(difference == 0.0 for difference in self.by_generation.values())
        return exact and self.largest <= self.tolerance and self.beyond == 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"passed": self.passed}


def pack(
    trees: Trees, ranker: Callable[[NDArray[np.float32]], NDArray[np.float64]], candidates: pl.DataFrame | None
) -> pl.DataFrame:
    """The golden rows: features, the ranker's score, and what each generation of the engine should score.

    Args:
        trees: of the exported document.
        ranker: what is to be reproduced.
        candidates: the bundle's own lists: query_id and the features; None = none are known.
    """
    parts = [
        ("aimed", rows.aimed(trees, _AIMED, seed=_SEED)),
        ("absent", rows.aimed(trees, _SPREAD, seed=_SEED + 1, absent=1.0)),
        ("spread", rows.spread(trees, _SPREAD, seed=_SEED)),
        ("outside", rows.aimed(trees, _OUTSIDE, seed=_SEED + 2, least=-rows.LARGEST)),
    ]
    lists = [np.arange(len(values)) // _SIZE for _, values in parts]
    if candidates is not None:
        known = candidates.head(_CANDIDATES)
        parts.insert(0, ("candidate", _floats(known, trees.features)))
        lists.insert(0, known["query_id"].rle_id().to_numpy().astype(np.int64))
    first, numbers = 0, []
    for each in lists:
        numbers.append(each + first)
        first = int(numbers[-1][-1]) + 1 if len(each) else first
    values = np.concatenate([part for _, part in parts])
    frame = pl.DataFrame(
        {
            LIST: pl.Series(np.concatenate(numbers)).cast(pl.Int32),
            ORIGIN: np.repeat([origin for origin, _ in parts], [len(part) for _, part in parts]),
            ENGINE: (np.isnan(values) | ((values >= 0) & np.isfinite(values))).all(axis=1),
            RANKER: ranker(values),
        }
    )
    expected = {EXPECTED + each: trees.score(values, generation=each)[0] for each in GENERATIONS[trees.kind]}
    return frame.with_columns(**{name: pl.Series(scores) for name, scores in expected.items()}).with_columns(
        pl.Series(name, values[:, place]) for place, name in enumerate(trees.features)
    )


def matrix(golden: pl.DataFrame, features: tuple[str, ...]) -> NDArray[np.float32]:
    """The golden rows' features."""
    return _floats(golden, features)


def check(export: Export) -> ParityReport:
    """Score the golden rows by the emulation of each generation and compare: no engine is asked."""
    values = matrix(export.golden, export.features)
    return compare(export, {each: export.trees.score(values, generation=each)[0] for each in GENERATIONS[export.kind]})


def compare(
    export: Export, scores: Mapping[str, NDArray[np.float32]], *, kept: NDArray[np.bool_] | None = None
) -> ParityReport:
    """Compare scores of the golden rows with what is expected and with the ranker.

    Args:
        export: its golden rows, and the trees that say how far rounding may go.
        scores: generation -> the scores of the rows kept, such as an engine gave.
        kept: which rows those are, such as the ones an engine can make; None = all.
    """
    golden = export.golden if kept is None else export.golden.filter(pl.Series(kept))
    values = matrix(golden, export.features)
    ranker = golden[RANKER].to_numpy() + export.shift
    bounds = np.flatnonzero(np.diff(golden[LIST].to_numpy(), prepend=-1))
    absent = np.isnan(values).any(axis=1)
    _, peak = export.trees.score(values, generation=GENERATIONS[export.kind][0])
    largest, swapped, beyond, found = 0.0, 0, 0, {}
    for generation, given in scores.items():
        if given.shape != ranker.shape:
            raise ExportError(f"{len(given)} scores were given for {len(ranker)} golden rows")
        found[generation] = _largest(given, golden[EXPECTED + generation].to_numpy())
        # Generations that read an absent value otherwise are no fault of the trees.
        ours = np.array(~absent if generation in ("nan_to_no", "zero") else absent | True, dtype=np.bool_)
        difference = _largest(given[ours], ranker[ours])
        largest = max(largest, difference)
        pairs = swaps(ranker[ours], given[ours], _kept(bounds, ours), difference)
        swapped, beyond = max(swapped, pairs[0]), max(beyond, pairs[1])
    tolerance = len(export.trees.roots) * float(np.spacing(np.float32(peak)))
    return ParityReport(len(ranker), largest, tolerance, swapped, beyond, found)


def swaps(
    ranker: NDArray[np.float64], scores: NDArray[np.float32], starts: NDArray[np.int64], error: float
) -> tuple[int, int]:
    """Pairs of one list in another order than the ranker's, and pairs that an error of this size does not explain.

    >>> swaps(np.array([3.0, 2.0, 1.0]), np.float32([3, 1, 2]), np.array([0]), 0.1)
    (1, 1)
    """
    swapped = beyond = 0
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(ranker)], strict=True):
        gap = np.subtract.outer(ranker[start:end], ranker[start:end])
        found = np.subtract.outer(scores[start:end], scores[start:end])
        swapped += int(((gap > 0) & (found < 0)).sum())
        beyond += int(((gap > 2 * error) & (found <= 0)).sum())
    return swapped, beyond


def _kept(starts: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the lists start once only these rows are left."""
    return np.unique((np.cumsum(kept) - kept)[starts]) if len(starts) else starts


def _largest(left: NDArray[Any], right: NDArray[Any]) -> float:
    """The largest difference; not a number anywhere is infinitely far from one."""
    if not len(left):
        return 0.0
    difference = np.abs(left.astype(np.float64) - right.astype(np.float64))
    return float(np.where(np.isnan(difference), np.inf, difference).max())


def _floats(frame: pl.DataFrame, features: tuple[str, ...]) -> NDArray[np.float32]:
    if lacking := [name for name in features if name not in frame.columns]:
        raise ExportError(f"the rows have no column {lacking[0]!r}", hint="give query_id and a column a feature")
    values: NDArray[np.float32] = frame.select(pl.col(features).cast(pl.Float32)).to_numpy()
    return np.ascontiguousarray(values)
