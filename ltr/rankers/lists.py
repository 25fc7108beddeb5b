"""Graded lists as a library fits on them: a float32 matrix, whole grades, weights and list sizes.

What a pairwise or listwise loss learns nothing from is kept out and counted, and what a library forbids is explained:

- ``unjudged_rows``: rows whose grade is null; list-scope features have already seen them
- ``empty``: lists without a judged product
- ``one_document``: lists with one judged product
- ``all_equal``: lists whose grades are all equal
- ``dev_without_gain``: dev lists where nothing is relevant; their nDCG is undefined. Other dev lists stay, since
  evaluation counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import RankerError, suggestion
from ltr.frames import Groups, check, groups
from ltr.rankers.checks import check_table

__all__ = ["Lists", "judged_lists", "padded", "to_fit_on"]

# A scale has at most 31 grades: LightGBM's own table of gains ends there, and so does measures.scale.
_LARGEST_GRADE: Final = 30

_REASONS: Final = {
    "empty": "no judged product",
    "one_document": "one judged product",
    "all_equal": "grades that are all equal",
    "dev_without_gain": "no judged product with a gain",
}
_NEEDS: Final = {
    "fit": "fitting needs a list with two grades: judge more products of each query, or change [split]",
    "dev": "dev needs a list with a relevant product: judge more queries, or change [split]",
}


@dataclass(frozen=True)
class Lists:
    """The kept rows: list i has sizes[i] of them; weights is None where all are 1, positions where none are given."""

    matrix: NDArray[np.float32]
    grades: NDArray[np.int32]
    weights: NDArray[np.float32] | None
    sizes: NDArray[np.int64]
    dropped: dict[str, int]
    positions: NDArray[np.int32] | None = None


def to_fit_on(
    fit_pairs: pl.DataFrame,
    dev_pairs: pl.DataFrame | None,
    *,
    features: Sequence[str],
    gains: NDArray[np.float64],
    cutoff: int,
    rounds: int,
) -> tuple[Lists, Lists | None, dict[str, int]]:
    """What every library begins with: the lists to fit and to stop on, and what ``judged_lists`` kept out of both."""
    check_table(gains, cutoff, rounds)
    judged = judged_lists(fit_pairs, features=features, gains=gains, split="fit")
    if dev_pairs is None:
        return judged, None, judged.dropped
    dev = judged_lists(dev_pairs, features=features, gains=gains, split="dev")
    return judged, dev, judged.dropped | dev.dropped


def judged_lists(
    pairs: pl.DataFrame,
    *,
    features: Sequence[str],
    gains: NDArray[np.float64],
    split: Literal["fit", "dev"],
    longest: int = 10_000,
) -> Lists:
    """The judged rows of the lists worth fitting on (split = "fit"), or of those that nDCG is defined for ("dev").

    Args:
        pairs: a frame of pairs with one numeric column a feature.
        features: the columns, in the ranker's order.
        gains: gain by grade; a grade beyond it is a RankerError.
        split: which lists to keep.
        longest: rows of one list that the library accepts.
    """
    pairs = check(pairs, "pairs", where=f"the {split} pairs")
    _check_features(pairs, features, split)
    lists = groups(pairs)
    if not len(lists):
        raise RankerError(f"the {split} pairs are empty", hint="judge more queries, or change [split]")
    judged = pairs["grade"].is_not_null().to_numpy()
    grades = pairs["grade"].fill_null(0).to_numpy()
    _check_grades(pairs, grades, largest=len(gains) - 1)

    starts = lists.offsets[:-1]
    counts = np.add.reduceat(judged.astype(np.int64), starts)
    best = np.maximum.reduceat(np.where(judged, grades, -1), starts)
    worst = np.minimum.reduceat(np.where(judged, grades, np.inf), starts)
    unjudged = int((~judged).sum())
    if split == "fit":
        kept = (counts > 1) & (best > worst)
        dropped = {
            "unjudged_rows": unjudged,
            "empty": int((counts == 0).sum()),
            "one_document": int((counts == 1).sum()),
            "all_equal": int(((counts > 1) & (best == worst)).sum()),
        }
    else:
        gained = judged & (gains[grades.astype(np.int64)] > 0)
        kept = np.logical_or.reduceat(gained, starts)
        dropped = {"dev_unjudged_rows": unjudged, "dev_without_gain": int((~kept).sum())}
    if not kept.any():
        raise RankerError(f"no list of the {split} pairs can be used: {_why(dropped, len(lists))}", hint=_NEEDS[split])
    _check_lengths(lists, np.where(kept, counts, 0), longest)
    rows = judged & np.repeat(kept, lists.sizes)
    used = pairs if rows.all() else pairs.filter(rows)
    _check_finite(used, features, split)
    weights = _weights(used, split)
    matrix = used.select(pl.col(list(features)).cast(pl.Float32)).to_numpy()
    return Lists(matrix, grades[rows].astype(np.int32), weights, counts[kept], dropped, _positions(used))


def padded(sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Row numbers of lists of like length, one list a line, -1 beyond its end; all lists once, the short ones first.

    >>> [block.tolist() for block in padded(np.array([2, 40, 3]))][0]
    [[0, 1, -1], [42, 43, 44]]
    """
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(sizes, kind="stable")
    while len(order):
        # At most half of a line is empty, and lists of up to 8 share one block.
        longest = max(8, 2 * int(sizes[order[0]]))
        count = int(np.searchsorted(sizes[order], longest, side="right"))
        members, order = order[:count], order[count:]
        columns = np.arange(sizes[members].max())
        yield np.where(columns < sizes[members, None], starts[members, None] + columns, -1)


def _why(dropped: dict[str, int], count: int) -> str:
    """What became of all lists, in words.

    >>> _why({"unjudged_rows": 3, "empty": 0, "one_document": 1, "all_equal": 2}, 3)
    'of 3 lists, 1 has one judged product and 2 have grades that are all equal (3 rows are unjudged)'
    """
    parts = [
        f"{number} {'has' if number == 1 else 'have'} {reason}"
        for key, reason in _REASONS.items()
        if (number := dropped.get(key, 0))
    ]
    rows = sum(number for key, number in dropped.items() if key.endswith("unjudged_rows"))
    told = f"of {count} {'list' if count == 1 else 'lists'}, {', '.join(parts[:-1])}{' and ' * (len(parts) > 1)}{parts[-1]}"
    return told + (f" ({rows} {'row is' if rows == 1 else 'rows are'} unjudged)" if rows else "")


def _check_features(pairs: pl.DataFrame, features: Sequence[str], split: str) -> None:
    if not features:
        raise RankerError("no features are named", hint="a ranker needs at least one")
    for name in features:
        if name not in pairs.columns:
            fixed = {"query_id", "product_id", "search_id", "as_of", "position", "propensity", "grade", "weight"}
            columns = [column for column in pairs.columns if column not in fixed]
            raise RankerError(
                f"the {split} pairs lack feature {name!r}", hint=suggestion(name, columns, noun="their features")
            )
        if not (pairs.schema[name].is_numeric() or pairs.schema[name] == pl.Boolean):
            raise RankerError(f"feature {name!r} is {pairs.schema[name]}, not a number")


def _check_finite(pairs: pl.DataFrame, features: Sequence[str], split: str) -> None:
    counted = pairs.select(pl.col(list(features)).cast(pl.Float32).is_infinite().sum()).row(0)
    infinite = {name: count for name, count in zip(features, counted, strict=True) if count}
    if infinite:
        told = ", ".join(f"{name!r} in {count} rows" for name, count in infinite.items())
        raise RankerError(f"features of the {split} pairs are infinite: {told}", hint="a missing value is NaN")


def _check_grades(pairs: pl.DataFrame, grades: NDArray[np.float32], *, largest: int) -> None:
    if not np.isfinite(grades).all():
        raise RankerError("a grade is NaN or infinite", hint="an unjudged product has the grade null")
    if (grades != np.floor(grades)).any():
        row = int(np.argmax(grades != np.floor(grades)))
        raise RankerError(
            f"grade {grades[row]:g} of query {pairs['query_id'][row]!r} is not a whole number", hint=_whole(grades)
        )
    if grades.min() < 0 or grades.max() > largest:
        row = int(np.argmax((grades < 0) | (grades > largest)))
        raise RankerError(
            f"grade {grades[row]:g} of query {pairs['query_id'][row]!r} is off the scale 0-{largest}",
            hint=f"set judgments.scale to '0-{max(int(grades.max()), 1)}'"
            if grades.min() >= 0
            else "grades start at 0",
        )


def _whole(grades: NDArray[np.float32]) -> str:
    """Name the coarsest scale on which these grades are whole.

    >>> _whole(np.array([0, 0.5, 1], dtype=np.float32))
    "multiply the grades by 2 and set judgments.scale = '0-2'"
    """
    for factor in range(2, _LARGEST_GRADE + 1):
        scaled = grades.astype(np.float64) * factor
        if scaled.min() >= 0 and scaled.max() <= _LARGEST_GRADE and np.allclose(scaled, np.round(scaled), atol=1e-4):
            return f"multiply the grades by {factor} and set judgments.scale = '0-{round(scaled.max())}'"
    return f"no scale up to 0-{_LARGEST_GRADE} holds them: round them to whole grades"


def _check_lengths(lists: Groups, counts: NDArray[np.int64], longest: int) -> None:
    if counts.max() > longest:
        row = int(np.argmax(counts))
        raise RankerError(
            f"the list of query {lists.keys[row]!r} has {counts[row]:,} judged products, more than {longest:,}",
            hint="rerank fewer: set candidates.from = 'retrieval' and lower candidates.depth",
        )


def _positions(pairs: pl.DataFrame) -> NDArray[np.int32] | None:
    """Where each row was shown, 1 = top; None unless all rows say."""
    if "position" not in pairs.columns or pairs["position"].null_count():
        return None
    return pairs["position"].to_numpy().astype(np.int32)


def _weights(pairs: pl.DataFrame, split: str) -> NDArray[np.float32] | None:
    weights = pairs["weight"].to_numpy()
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.max() > 0):
        raise RankerError(
            f"weights of the {split} pairs run from {weights.min()} to {weights.max()}",
            hint="a weight is a confidence: finite, at least 0, and not 0 everywhere",
        )
    return None if (weights == 1).all() else weights
