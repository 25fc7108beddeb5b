"""Runs in MLflow: what its pages show of a training run, and how it is spoken to without side effects.

The fitted ranker's measures have plain names (``nDCG_10``, ``nDCG_10_low``, ``nDCG_10_high``); other rows stand under
their own (``retrieval/nDCG_10``), which MLflow's charts make sections of, and so do ``vs_retrieval/…`` (difference,
interval, p-values), ``seconds/…`` and the curve ``dev_nDCG_10`` by round.
"""

from __future__ import annotations

import getpass
import json
import logging
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ltr import measures
from ltr.errors import LtrError, MissingExtraError, TrackingError
from ltr.tracking import plots, report
from ltr.tracking.record import Record
from ltr.tracking.server import artifacts_beside, check_reachable, database_file, masked

__all__ = ["log", "log_bundle"]

_BATCH: Final = 1_000  # metrics that MLflow takes in one call
_DIGEST: Final = 12  # characters; MLflow takes 36, its table of runs shows no more than these
_NOTE: Final = 8_000  # characters that MLflow takes of a description

_QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
# By default MLflow asks a server that is down eight times within four minutes, and waits two for each answer.
_ASKING: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
_SENDING: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}


def log(record: Record, *, uri: str) -> str:
    """Log a run to the MLflow server or database of that URI; the run's id.

    A record that is there already, finished, keeps its run: logging it again changes nothing.

    Raises:
        TrackingError: the server does not answer or refuses, the database is locked or broken, a file is missing, or
            the experiment was deleted there. A run that was begun is then marked as failed.
    """
    if not uri:
        raise TrackingError("no tracking URI was given", hint="set tracking.uri, for example sqlite:///mlflow.db")
    for path in filter(None, (record.bundle, record.per_query)):
        if not Path(path).exists():
            raise TrackingError(f"{path} is not there", hint="a run is logged with its bundle and results")
    check_reachable(uri)
    with _contained(), _explained(uri):
        client = _client(uri)
        with _environment(_ASKING):
            experiment = _experiment(client, record, uri)
        with _environment(_SENDING):
            return _earlier(client, experiment, record) or _logged(client, experiment, record)


def log_bundle(directory: Path, *, uri: str) -> str:
    """Log the run of a saved bundle, from the record that its results keep; the id of its run, which it has once."""
    results = directory / "results"
    path = results / "record.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrackingError(f"{path} cannot be read: {error}", hint="name the directory of a bundle") from error
    record = Record.from_json(text, where=str(path))
    per_query = results / "per_query.parquet"
    kept = str(per_query) if per_query.exists() else None
    return log(replace(record, bundle=str(directory), per_query=kept), uri=uri)


def _client(uri: str) -> Any:
    file = database_file(uri)
    if file is not None and "file:" not in uri:
        _, mark, query = uri.partition("?")
        uri = f"sqlite:///{file}{mark}{query}"
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _experiment(client: Any, record: Record, uri: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(record.experiment)
    if found is None:
        file = database_file(uri)
        tags = {"mlflow.experimentKind": "custom_model_development"}  # lists runs, not traces of chats
        if record.question:
            tags["mlflow.note.content"] = record.question
        try:
            return str(
                client.create_experiment(
                    record.experiment,
                    # Else relative to wherever the server that reads it was started.
                    artifact_location=None if file is None else artifacts_beside(file, record.experiment),
                    tags=tags,
                )
            )
        except MlflowException:
            # Another run may have created it in between.
            if (found := client.get_experiment_by_name(record.experiment)) is None:
                raise
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"experiment {record.experiment!r} was deleted in MLflow at {masked(uri)}",
            hint=f"bring it back with: mlflow experiments restore -x {found.experiment_id}; or give it another name",
        )
    return str(found.experiment_id)


def _earlier(client: Any, experiment: str, record: Record) -> str | None:
    """The finished run that logged this record before."""
    runs = client.search_runs([experiment], f"tags.record = '{record.digest}' and attributes.status = 'FINISHED'")
    return str(runs[0].info.run_id) if runs else None


def _logged(client: Any, experiment: str, record: Record) -> str:
    start = datetime.fromisoformat(record.started)
    began = int(start.timestamp() * 1000)
    name = f"{record.ranker} {start.astimezone():%Y-%m-%d %H:%M}"
    run_id = str(client.create_run(experiment, start_time=began, tags=_tags(record), run_name=name).info.run_id)
    try:
        _log_values(client, run_id, record, began)
        _log_dataset(client, run_id, record)
        _log_files(client, run_id, record)
    except BaseException as error:
        # Marked as what it is; the first error is the one to tell.
        with suppress(Exception):
            client.set_terminated(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED", end_time=began + int(1000 * sum(record.seconds.values())))
    return run_id


def _tags(record: Record) -> dict[str, str]:
    commit = record.revision.partition("+")[0]
    tags = {
        "mlflow.note.content": masked(report.description(record))[:_NOTE],
        "mlflow.source.name": f"ltr train {record.experiment}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "dataset": record.dataset,
        "dataset_digest": record.dataset_digest,
        "feature_set": record.feature_set,
        "feature_set_digest": record.feature_set_digest,
        "gains": record.gains,
        "empty": record.empty,
        "revision": record.revision,
        "record": record.digest,
        "bundle": record.bundle or "",
    }
    if commit != "unknown":
        tags["mlflow.source.git.commit"] = commit
    tags |= {_key(key): masked(str(value)) for key, value in record.tags.items()}
    return {key: value for key, value in tags.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def _log_values(client: Any, run_id: str, record: Record, began: int) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(run_id, metrics=[Metric(key, value, began, 0) for key, value in _values(record).items()])
    if record.curve:
        key = f"dev_{_slug(record.curve_measure)}"
        curve = [
            Metric(key, value, began, step) for step, value in enumerate(record.curve, start=1) if math.isfinite(value)
        ]
        for first in range(0, len(curve), _BATCH):
            client.log_batch(run_id, metrics=curve[first : first + _BATCH])
    told = {f"queries.{side}": count for side, count in record.queries.items()}
    told |= {f"dropped.{reason}": count for reason, count in record.dropped.items()}
    if record.rounds is not None:
        told["rounds"] = record.rounds
    parameters = [Param(_key(key), _text(value)) for key, value in (told | record.parameters).items()]
    for first in range(0, len(parameters), 100):
        client.log_batch(run_id, params=parameters[first : first + 100])


def _values(record: Record) -> dict[str, float]:
    values: dict[str, float] = {}
    for row, by in record.fitted_first():
        prefix = "" if row == record.ranker else f"{_key(row)}/"
        for measure, estimate in by.items():
            slug = _slug(measure)
            values[f"{prefix}{slug}"] = estimate["mean"]
            if row == record.ranker:
                values |= {f"{slug}_{end}": estimate[end] for end in ("low", "high")}
    if compared := record.comparison(record.ranker):
        prefix, slug = f"vs_{_key(compared['baseline'])}", _slug(compared["measure"])
        values[f"{prefix}/{slug}"] = compared["difference"]
        values |= {f"{prefix}/{slug}_{end}": compared[end] for end in ("low", "high")}
        values |= {f"{prefix}/{p}": compared[p] for p in ("p_value", "p_holm")}
    values |= {f"seconds/{_key(stage)}": value for stage, value in record.seconds.items()}
    return {key: float(value) for key, value in values.items() if math.isfinite(value)}


def _log_dataset(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not record.dataset:
        return
    dataset = Dataset(
        name=record.dataset,
        digest=(record.dataset_digest or "unknown")[:_DIGEST],
        source_type="ltr",
        source=json.dumps({"dataset": record.dataset, "sha256": record.dataset_digest}),
        profile=json.dumps({f"queries_{side}": count for side, count in record.queries.items()}),
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _log_files(client: Any, run_id: str, record: Record) -> None:
    with tempfile.TemporaryDirectory(prefix="ltr-tracking-") as folder:
        files = Path(folder)
        (files / "plots").mkdir()
        plots.draw(record, files / "plots")
        (files / "record.json").write_text(record.to_json() + "\n", encoding="utf-8")
        if record.measures:
            (files / "measures.csv").write_text(report.table_csv(record), encoding="utf-8")
        client.log_artifacts(run_id, folder)
    if record.per_query:
        client.log_artifact(run_id, record.per_query)
    if record.bundle:
        client.log_artifacts(run_id, record.bundle, "bundle")


def _slug(measure: str) -> str:
    return measures.parse(measure).slug


def _key(text: str) -> str:
    """A name in the characters that MLflow takes.

    >>> _key("data.columns.Preis (€)")
    'data.columns.Preis _'
    """
    return re.sub(r"[^\w./ -]+", "_", text, flags=re.ASCII).strip(" /")[:250] or "_"


def _text(value: Any) -> str:
    return masked(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


@contextmanager
def _contained() -> Iterator[None]:
    """Import and use MLflow without its telemetry, its chatter and its libraries' warnings; leave nothing changed."""
    with _environment(_QUIET, force=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import mlflow  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("mlflow", "tracking") from error
        # What fails is raised, and told once; these would print its traceback too.
        loggers = {name: logging.getLogger(name) for name in ("mlflow", "alembic", "sqlalchemy")}
        levels = {name: logger.level for name, logger in loggers.items()}
        for logger in loggers.values():
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for name, logger in loggers.items():
                logger.setLevel(levels[name])


@contextmanager
def _environment(values: Mapping[str, str], *, force: bool = False) -> Iterator[None]:
    """Set environment variables for a while; those that the user set win, unless forced."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if force or before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Make whatever MLflow, its database or its network raises a TrackingError without secrets."""
    try:
        yield
    except LtrError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError):
            raise TrackingError(f"{masked(uri)} needs {error.name}", hint=f"pip install {error.name}") from error
        raise TrackingError(f"MLflow at {masked(uri)} did not take the run: {_reason(error)}", hint=_HINT) from error


_HINT: Final = "check that the server runs and that tracking.uri is right"


def _reason(error: Exception) -> str:
    """The root of a network error, or the first line of any other.

    >>> _reason(OSError("HTTPConnectionPool(…): [Errno 111] Connection refused'))"))
    'Connection refused'
    """
    text = masked(str(error))
    if found := re.search(r"\[Errno -?\d+\] ([^'\")]+)", text):
        return found[1]
    if "timed out" in text.lower():
        return "it did not answer in time"
    first = text.strip().partition("\n")[0] or type(error).__name__
    return first if len(first) <= 300 else f"{first[:300]} …"
