"""Runs read back from a real MLflow: everything promised is there; nothing is printed, changed or revealed."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ltr.errors import TrackingError
from ltr.tracking import Record, log, log_bundle

Quiet = Callable[..., Any]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests: MLflow takes seconds to make one."""
    return f"sqlite:///{tmp_path_factory.mktemp('of all runs')}/mlflow.db"


@pytest.fixture
def client(uri: str) -> Iterator[Any]:
    """MLflow's own client; it warns of its own libraries, which is not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        yield MlflowClient(uri)


@pytest.fixture(scope="module")
def logged(record: Record, bundle: str, per_query: str, uri: str) -> str:
    return log(replace(record, bundle=bundle, per_query=per_query), uri=uri)


def test_a_run_has_everything_that_its_record_says(logged: str, client: Any, bundle: str) -> None:
    run = client.get_run(logged)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("lightgbm 2026-11-2")
    assert run.info.end_time - run.info.start_time == 13_000

    metrics = run.data.metrics
    expected = {
        "nDCG_10": 0.75,
        "nDCG_10_low": 0.75 - 0.05,
        "nDCG_10_high": 0.75 + 0.05,
        "RR": 0.7,
        "retrieval/nDCG_10": 0.6,
        "cosine/P_rel_2_10": 0.2,
        "vs_retrieval/nDCG_10": 0.15,
        "vs_retrieval/nDCG_10_low": 0.15 - 0.02,
        "vs_retrieval/nDCG_10_high": 0.15 + 0.02,
        "vs_retrieval/p_value": 0.00001,
        "vs_retrieval/p_holm": 0.00002,
        "seconds/fit and evaluate": 12.5,
        "dev_nDCG_10": 0.65,
    }
    assert {key: metrics[key] for key in expected} == expected
    assert not [key for key in metrics if key.startswith(("P_rel_2_10", "retrieval/P_rel"))]

    params = run.data.params
    assert params["ranker.num_leaves"] == "31"
    assert json.loads(params["evaluation.measures"]) == ["nDCG@10", "RR", "P(rel=2)@10"]
    assert params["split.folds"] == "null"
    assert params["data.columns.Preis _"] == "price"
    assert params["tracking.uri"] == "postgresql://***@db/mlflow"
    assert (params["queries.fit"], params["dropped.one_document"], params["rounds"]) == ("840", "3", "4")

    tags = run.data.tags
    assert tags["revision"] == "a" * 40 + "+dirty"
    assert tags["mlflow.source.git.commit"] == "a" * 40
    assert tags["feature_set_digest"] == "fedcba9876543210" * 4
    assert (tags["dataset"], tags["engine"], tags["bundle"]) == ("shop", "embedded", bundle)
    assert tags["mlflow.note.content"].startswith("**LightGBM lambdarank: nDCG@10 0.7500**")


def test_the_curve_is_kept_by_round(logged: str, client: Any) -> None:
    history = client.get_metric_history(logged, "dev_nDCG_10")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.6), (4, 0.7), (5, 0.65)]


def test_the_dataset_is_an_input_with_its_digest(logged: str, client: Any) -> None:
    (given,) = client.get_run(logged).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("shop", "0123456789ab")
    assert json.loads(given.dataset.source)["sha256"] == "0123456789abcdef" * 4
    assert json.loads(given.dataset.profile) == {"queries_fit": 840, "queries_dev": 120, "queries_test": 240}


def test_the_files_are_there(logged: str, client: Any, record: Record, uri: str) -> None:
    names = {file.path for folder in ("", "plots", "bundle/model") for file in client.list_artifacts(logged, folder)}
    assert names >= {
        "measures.csv",
        "record.json",
        "per_query.parquet",
        "plots/measures.png",
        "plots/learning_curve.png",
        "plots/feature_importance.png",
        "plots/differences.png",
        "bundle/model/ranker.txt",
    }
    # Beside the database, wherever the process stood: the UI may be started from anywhere.
    kept = Path(uri.removeprefix("sqlite:///")).parent / "mlruns" / "shop" / logged / "artifacts" / "record.json"
    assert Record.from_json(kept.read_text()).experiment == record.experiment


def test_a_second_run_joins_the_experiment(record: Record, logged: str, client: Any, uri: str) -> None:
    other = log(replace(record, rounds=5), uri=uri)
    assert client.get_run(other).info.experiment_id == client.get_run(logged).info.experiment_id
    experiment = client.get_experiment_by_name("shop")
    assert experiment.tags["mlflow.note.content"] == record.question


def test_a_record_that_is_there_is_not_logged_again(record: Record, logged: str, bundle: str, uri: str) -> None:
    assert log(record, uri=uri) == logged
    assert log(replace(record, bundle=bundle), uri=uri) == logged
    assert log(replace(record, seconds={"fit": 1.0}), uri=uri) != logged


def test_a_long_curve_is_kept_whole(record: Record, client: Any, uri: str) -> None:
    run_id = log(replace(record, curve=[step / 2_500 for step in range(2_500)]), uri=uri)
    assert len(client.get_metric_history(run_id, "dev_nDCG_10")) == 2_500


def test_a_relative_database_lies_in_the_working_directory(
    record: Record, uri: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(uri.removeprefix("sqlite:///"))
    monkeypatch.chdir(file.parent)
    assert client.get_run(log(record, uri=f"sqlite:///{file.name}")).info.status == "FINISHED"


def test_a_bundle_is_logged_from_its_own_results(
    record: Record, tmp_path: Path, per_query: str, client: Any, uri: str
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "record.json").write_text(replace(record, rounds=8).to_json())
    (results / "per_query.parquet").write_bytes(Path(per_query).read_bytes())
    run_id = log_bundle(tmp_path, uri=uri)
    assert client.get_run(run_id).data.tags["bundle"] == str(tmp_path)
    assert {file.path for file in client.list_artifacts(run_id)} >= {"bundle", "per_query.parquet"}


def test_a_directory_that_is_no_bundle_is_named(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match=r"record\.json cannot be read.*; name the directory of a bundle"):
        log_bundle(tmp_path, uri=uri)


def test_nothing_is_printed_and_nothing_stays_changed(
    record: Record, uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log(replace(record, rounds=6), uri=uri)
    capfd.readouterr()
    before = dict(os.environ), logging.getLogger("mlflow").level, logging.getLogger("alembic").level
    log(replace(record, rounds=7), uri=uri)
    assert capfd.readouterr() == ("", "")
    assert (dict(os.environ), logging.getLogger("mlflow").level, logging.getLogger("alembic").level) == before


def test_no_telemetry_client_exists(record: Record, uri: str) -> None:
    log(replace(record, rounds=9), uri=uri)
    from mlflow.telemetry.client import get_telemetry_client

    assert get_telemetry_client() is None


def test_a_deleted_experiment_says_how_to_bring_it_back(record: Record, client: Any, uri: str) -> None:
    gone = replace(record, experiment="gone")
    log(gone, uri=uri)
    number = client.get_experiment_by_name("gone").experiment_id
    client.delete_experiment(number)
    with pytest.raises(TrackingError, match=rf"'gone' was deleted .*; bring it back with: .* restore -x {number}"):
        log(gone, uri=uri)


def test_a_run_that_breaks_off_is_marked_as_failed(record: Record, client: Any, uri: str, tmp_path: Path) -> None:
    broken = tmp_path / "per_query.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(TrackingError, match="is no table of measures by query"):
        log(replace(record, experiment="broken", per_query=str(broken)), uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("broken").experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.parametrize("key", ["bundle", "per_query"])
def test_a_missing_file_is_told_before_a_run_is_begun(record: Record, uri: str, tmp_path: Path, key: str) -> None:
    with pytest.raises(TrackingError, match="absent is not there; a run is logged with its bundle and results"):
        log(replace(record, **{key: str(tmp_path / "absent")}), uri=uri)


def test_no_uri_is_refused(record: Record) -> None:
    with pytest.raises(TrackingError, match=r"no tracking URI was given; set tracking\.uri"):
        log(record, uri="")


def test_a_uri_that_mlflow_does_not_know_is_refused(record: Record) -> None:
    with pytest.raises(TrackingError, match=r"did not take the run: .*; check that"):
        log(record, uri="nosuchscheme://somewhere")


def test_a_server_that_is_down_is_told_in_seconds_and_without_its_password(record: Record) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(TrackingError, match="did not take the run: Connection refused; check that") as raised:
            log(record, uri=f"http://ltr:s3cret@127.0.0.1:{port}")
    assert f"http://***@127.0.0.1:{port}" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert time.monotonic() - started < 10


def test_a_server_that_says_nothing_is_told_in_seconds(record: Record) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        started = time.monotonic()
        with pytest.raises(TrackingError, match="it did not answer in time"):
            log(record, uri=f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert time.monotonic() - started < 20
