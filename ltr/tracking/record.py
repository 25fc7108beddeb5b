"""A record: everything that one training run says, in plain values; JSON and back without loss.

>>> record = Record(experiment="demo", ranker="lightgbm", started="2026-11-21T10:15:00+00:00")
>>> Record.from_json(record.to_json()) == record
True
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ltr.errors import TrackingError

__all__ = ["FORMAT", "Record", "revision"]

FORMAT: Final = 1


@dataclass(frozen=True)
class Record:
    """One training run.

    Args:
        experiment: its name; the runs of one experiment stand together.
        ranker: the row of ``measures`` that was fitted.
        started: ISO 8601 with an offset.
        question: what the experiment asks, for a person.
        dataset: name; ``dataset_digest`` says which content.
        feature_set: name; ``feature_set_digest`` says which content.
        gains: name or table of the gains that fitting and evaluation used.
        empty: the empty-query rule.
        baseline: the row that ``comparisons`` compare with.
        labels: row -> what to call it; a row without one is called by its key.
        measures: row -> measure -> mean, low, high, n; the first measure is the one to judge by.
        comparisons: one a row: ranker, baseline, measure, difference, low, high, p_value, p_holm, n, proven.
        curve: dev ``curve_measure`` by round of fitting.
        rounds: the rounds that the ranker kept.
        importance: feature -> total gain.
        queries: side -> queries: fit, dev, test.
        dropped: reason -> how much was kept out of fitting.
        parameters: the experiment's configuration, flat, by dotted key.
        seconds: stage -> wall-clock seconds.
        revision: of the code, from ``revision()``.
        bundle: directory to keep with the run.
        per_query: Parquet with query_id, ranker and a column a measure, to keep with the run.
        tags: whatever else to find the run by.
    """

    experiment: str
    ranker: str
    started: str
    question: str = ""
    dataset: str = ""
    dataset_digest: str = ""
    feature_set: str = ""
    feature_set_digest: str = ""
    gains: str = ""
    empty: str = ""
    baseline: str = "retrieval"
    labels: dict[str, str] = field(default_factory=dict)
    measures: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    curve_measure: str = "nDCG@10"
    rounds: int | None = None
    importance: dict[str, float] = field(default_factory=dict)
    queries: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    revision: str = "unknown"
    bundle: str | None = None
    per_query: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be logged: a start without an offset, a fitted row that was not measured."""
        try:
            offset = datetime.fromisoformat(self.started).tzinfo
        except (TypeError, ValueError) as error:
            raise TrackingError(f"started = {self.started!r} is not a time", hint="ISO 8601 with an offset") from error
        if offset is None:
            raise TrackingError(f"started = {self.started!r} has no offset", hint="such as 2026-11-21T10:15:00+00:00")
        if self.measures and self.ranker not in self.measures:
            raise TrackingError(f"no measures of {self.ranker!r}", hint=f"the record has {sorted(self.measures)}")

    @property
    def judged_by(self) -> str:
        """The first measure of the fitted row, or "" where nothing was measured."""
        return next(iter(self.measures.get(self.ranker, {})), "")

    def fitted_first(self) -> list[tuple[str, dict[str, dict[str, float]]]]:
        """The rows of measures, the fitted ranker's before all others."""
        return sorted(self.measures.items(), key=lambda item: item[0] != self.ranker)

    def label(self, row: str) -> str:
        """What to call a row."""
        return self.labels.get(row, row)

    def comparison(self, row: str) -> dict[str, Any] | None:
        """The row's comparison with the baseline, by the measure to judge by."""
        return next(
            (each for each in self.comparisons if each["ranker"] == row and each["measure"] == self.judged_by), None
        )

    @property
    def digest(self) -> str:
        """SHA-256 of what the run says, wherever its bundle has been moved to."""
        return hashlib.sha256(replace(self, bundle=None, per_query=None).to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The record as one JSON object; a number that is not finite is null."""
        return json.dumps({"format": FORMAT, **_finite(asdict(self))}, indent=2, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, where: str = "the text") -> Record:
        """Read what ``to_json`` wrote; TrackingError for anything else."""
        try:
            table = json.loads(text)
            if table["format"] > FORMAT:
                raise TrackingError(f"{where} has format {table['format']}, newer than {FORMAT}", hint="update ltr")
            known = {each.name for each in fields(cls)}
            # null is NaN where a number stands; parameters keep theirs.
            for key in ("measures", "comparisons", "curve", "importance", "seconds"):
                table |= {key: _numbers(table[key])} if key in table else {}
            return cls(**{key: value for key, value in table.items() if key in known})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrackingError(f"{where} is no record of a run: {error}", hint="ltr train writes records") from error


def revision(directory: Path | None = None) -> str:
    """The commit that a directory stands at, with +dirty where files differ from it; "unknown" outside a repository."""
    git = ["git", "-C", str(directory or Path.cwd())]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        status = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit.stdout.strip() + ("+dirty" if status.strip() else "")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return math.nan if value is None else value
