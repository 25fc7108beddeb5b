"""expected.toml: the figures that an experiment must reproduce.

    # written by: ltr reproduce --accept movies
    [test.lightgbm."nDCG@10"]
    value = 0.9301
    tolerance = 0.001

    [also.relevant_set.lightgbm."nDCG@10"]      # a further split of the same experiment
    ...

    [test.regression_em.recovered]              # from clicks: the share of the gap between naive clicks and true judgments
    ...

A rerun outside a tolerance is a failure that names both figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ltr.config import read_toml
from ltr.errors import ConfigError
from ltr.experiment.result import Result, Rows

__all__ = ["RECOVERED", "Check", "accept", "check", "read"]

TOLERANCE: Final = 0.002
# A share of a gap of about .03 moves by a fifteenth where a mean moves by .002.
SHARE_TOLERANCE: Final = 0.07
RECOVERED: Final = "recovered"


class Figure(BaseModel):
    """One figure; ``minimum`` is the least that the project asks of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    tolerance: Annotated[float, Field(ge=0)] = TOLERANCE
    minimum: float | None = None


class Expectation(BaseModel):
    """expected.toml: row -> measure -> figure, for the experiment's split and for each further one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: dict[str, dict[str, Figure]] = {}
    also: dict[str, dict[str, dict[str, Figure]]] = {}


@dataclass(frozen=True)
class Check:
    """One figure as expected and as found (None where the row or measure is gone)."""

    name: str
    expected: float
    tolerance: float
    found: float | None

    @property
    def ok(self) -> bool:
        """Whether the found figure is within the tolerance."""
        return self.found is not None and abs(self.found - self.expected) <= self.tolerance


def read(path: Path) -> Expectation:
    """Read an expected.toml; ConfigError where a figure is not one."""
    try:
        return Expectation.model_validate(read_toml(path))
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error


def check(expectation: Expectation, result: Result) -> list[Check]:
    """Compare every expected figure with the result's."""
    tables: dict[str, tuple[dict[str, dict[str, Figure]], Rows | None]] = {"test": (expectation.test, result.table)}
    tables |= {f"also.{column}": (figures, result.also.get(column)) for column, figures in expectation.also.items()}
    won = _won_back(result)
    return [
        Check(
            f"{table}.{row}.{measure}",
            figure.value,
            figure.tolerance,
            won.get(row) if measure == RECOVERED else _found(rows, row, measure),
        )
        for table, (figures, rows) in tables.items()
        for row, by in figures.items()
        for measure, figure in by.items()
    ]


def accept(path: Path, result: Result, *, name: str) -> None:
    """Write the result's figures; tolerances and minima that the file already has are kept."""
    old = read(path) if path.exists() else Expectation()
    document = tomlkit.document()
    document.add(tomlkit.comment(f"written by: ltr reproduce --accept {name}"))
    figures = _figures(result.table, old.test)
    for row, share in _won_back(result).items():
        figures[row][RECOVERED] = _figure(share, old.test.get(row, {}).get(RECOVERED), tolerance=SHARE_TOLERANCE)
    document["test"] = figures
    if result.also:
        document["also"] = {column: _figures(rows, old.also.get(column, {})) for column, rows in result.also.items()}
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def _figures(rows: Rows, old: dict[str, dict[str, Figure]]) -> dict[str, Any]:
    return {
        row: {measure: _figure(value.mean, old.get(row, {}).get(measure)) for measure, value in by.items()}
        for row, by in rows.measures.items()
    }


def _figure(value: float, old: Figure | None, *, tolerance: float = TOLERANCE) -> dict[str, float]:
    figure = {"value": round(value, 5), "tolerance": old.tolerance if old else tolerance}
    return figure | ({"minimum": old.minimum} if old and old.minimum is not None else {})


def _won_back(result: Result) -> dict[str, float]:
    """Row -> share of the gap, where there is one."""
    methods: dict[str, dict[str, float]] = result.recovered.get("methods", {})
    return {row: told["share"] for row, told in methods.items() if math.isfinite(told["share"])}


def _found(rows: Rows | None, row: str, measure: str) -> float | None:
    estimate = rows.measures.get(row, {}).get(measure) if rows else None
    return None if estimate is None else estimate.mean
