"""What a training run says, in the shape that ``ltr train --json`` prints and the bundle keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ltr.evaluation import Comparison, Estimate

__all__ = ["Result", "Rows", "finite", "intervals"]


@dataclass(frozen=True)
class Rows:
    """One table: the rows' labels, their measures and their comparisons.

    ``to_json`` has the queries that a measure is defined for under ``counted``.

    Args:
        comparisons: each row with the retrieval order, Holm-corrected over the rows.
        against: the fitted ranker with each of the other rows, Holm-corrected over those.
    """

    labels: dict[str, str]
    measures: dict[str, dict[str, Estimate]]
    comparisons: tuple[Comparison, ...]
    queries: dict[str, int]
    against: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "labels": self.labels,
            "measures": {row: intervals(by) for row, by in self.measures.items()},
            "counted": {row: {name: value.n for name, value in by.items()} for row, by in self.measures.items()},
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "against": [asdict(comparison) for comparison in self.against],
            "queries": self.queries,
        }


@dataclass(frozen=True)
class Result:
    """One training run.

    Args:
        table: the experiment's own split.
        also: further splits that were asked for, by the column that they keep together.
        recovered: of rankers fitted on clicks: naive, ceiling, best (the method that may be chosen, and its share) and methods:
            row -> share of the gap, difference to naive clicks, with intervals; {} elsewhere.
        test_reads: how often this test side has been read by this experiment, this run included.
        fitted: row -> rounds that were kept, and seconds, of each fitted ranker.
        verdict: what to do where the ranker is not proven better than a simpler row; "" where it is.
        seconds: wall-clock by stage.
    """

    experiment: str
    bundle: str
    run_id: str | None
    tracking_uri: str
    table: Rows
    also: dict[str, Rows]
    recovered: dict[str, Any]
    scale: str
    gains: str
    empty: str
    rel: float
    rounds: int
    fitted: dict[str, dict[str, float]]
    verdict: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    dropped: dict[str, int]
    test_reads: int
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``measures`` and ``comparisons`` stand at the top."""
        rest = {key: value for key, value in self.__dict__.items() if key not in ("table", "also", "warnings", "notes")}
        return {
            **rest,
            **self.table.to_json(),
            "also": {column: rows.to_json() for column, rows in self.also.items()},
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def intervals(by: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Measure -> mean, low, high."""
    return {name: {"mean": value.mean, "low": value.low, "high": value.high} for name, value in by.items()}


def finite(value: Any) -> Any:
    """The same plain values with null where a number is undefined, since JSON has no NaN.

    >>> finite({"mean": float("nan"), "n": 0})
    {'mean': None, 'n': 0}
    """
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
