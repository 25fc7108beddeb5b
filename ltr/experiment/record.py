"""A training run as the record that tracking logs: the configuration flat, the data by digest, the figures as they are."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ltr.experiment.assemble import Assembled
from ltr.experiment.result import Result, Rows
from ltr.experiment.trial import Trial, fitting_cutoff
from ltr.tracking import Record, revision

__all__ = ["dataset_digest", "flat", "record_of"]


def record_of(assembled: Assembled, kept: Trial, result: Result, *, started: datetime) -> Record:
    """Everything that the run says, for MLflow now or later; the paths are those inside the bundle."""
    experiment = assembled.experiment
    told = result.table.to_json()
    measures = _estimates(result.table)
    tags = {
        "library": experiment.ranker.library,
        "engine": experiment.retrieval.engine,
        "test_reads": str(result.test_reads),
    }
    for column, rows in result.also.items():
        # A further split is one more row of each ranking, so that the UI shows it beside the first.
        measures |= {f"{row}_by_{column}": by for row, by in _estimates(rows).items()}
    return Record(
        experiment=experiment.name,
        ranker=experiment.kept,
        started=started.isoformat(),
        question=experiment.question,
        dataset=assembled.dataset.name,
        dataset_digest=dataset_digest(assembled),
        feature_set=assembled.feature_set.name,
        feature_set_digest=assembled.feature_set.digest,
        gains=assembled.gains_name,
        empty=experiment.evaluation.empty,
        baseline="retrieval",
        labels=result.table.labels,
        measures=measures,
        comparisons=told["comparisons"],
        curve=kept.curve,
        curve_measure=f"nDCG@{fitting_cutoff(experiment)}",
        rounds=kept.rounds[experiment.kept],
        importance=kept.ranker.importance(),
        queries=kept.queries,
        dropped=kept.dropped,
        parameters=flat(experiment.model_dump(by_alias=True, mode="json", exclude={"question", "tracking"})),
        seconds=result.seconds,
        revision=revision(Path()),
        tags=tags,
    )


def _estimates(rows: Rows) -> dict[str, dict[str, dict[str, float]]]:
    return {row: {name: asdict(value) for name, value in by.items()} for row, by in rows.measures.items()}


def dataset_digest(assembled: Assembled) -> str:
    """SHA-256 of the catalogue, as the state has it, and of the judgments."""
    digest = hashlib.sha256(assembled.state.version.encode())
    digest.update(assembled.dataset.judgments.sort("query_id", "product_id").write_csv().encode())
    return digest.hexdigest()


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys, without what is empty.

    >>> flat({"split": {"test": 0.2, "group": None}, "name": "demo"})
    {'split.test': 0.2, 'name': 'demo'}
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif value not in (None, [], ""):
            found[f"{prefix}{key}"] = value
    return found
