"""Training on candidates and match features of the real server, and what becomes of a run whose server goes away."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ltr import bundle
from ltr.config import read_experiment
from ltr.engine import connect
from ltr.errors import EngineError
from ltr.experiment import train
from ltr.experiment.judged import evaluate_bundle
from made.engine_experiment import EXPERIMENT, FEATURES
from made.front_door import HANG_UP, front_door

LTR = [sys.executable, "-m", "ltr.cli"]


def run(home, config):
    return train(config, base=home, cache=home / "cache", bundles=home / "again")


def at(trained, url):
    """The experiment, its engine behind another door."""
    config = read_experiment(trained.home / "experiment.toml")
    return config.model_copy(update={"retrieval": config.retrieval.model_copy(update={"url": url})})


def test_the_ranker_is_better_than_the_engines_order_and_its_features_are_explicit(engine_trained):
    rows = engine_trained.result.table.measures
    assert rows["lightgbm"]["nDCG@10"].mean > rows["retrieval"]["nDCG@10"].mean
    loaded = bundle.load(engine_trained.bundle)
    assert loaded.experiment.index == engine_trained.index
    for name in loaded.feature_set.names:
        assert loaded.golden[name].is_finite().all()
        assert (loaded.golden[name] >= 0).all()


def test_the_same_run_twice_is_the_same_to_the_last_bit(engine_trained):
    config = read_experiment(engine_trained.home / "experiment.toml")
    again = run(engine_trained.home, config)
    one, other = (bundle.load(path).golden for path in (engine_trained.bundle, Path(again.bundle)))
    assert one.equals(other)


def test_a_bundle_is_evaluated_with_the_engines_scores(engine_trained, tmp_path):
    loaded = bundle.load(engine_trained.bundle)
    golden = loaded.golden
    judged = golden.select("query", "product_id", grade=golden["score"].rank("dense").clip(1, 3) - 1)
    judged.write_csv(tmp_path / "judgments.csv")
    found = evaluate_bundle(engine_trained.bundle, tmp_path / "judgments.csv", url=engine_trained.url)
    assert found.table.queries["test"] == golden["query"].n_unique()
    with pytest.raises(EngineError, match="does not answer"):
        evaluate_bundle(engine_trained.bundle, tmp_path / "judgments.csv", url="http://localhost:1")


def test_an_index_that_is_not_there_is_said_before_the_catalogue_is_encoded(engine_url, tmp_path, monkeypatch):
    def encoded(*_, **__):
        raise AssertionError("minutes of work before a question of milliseconds")

    monkeypatch.setattr("ltr.features.state.build", encoded)
    (tmp_path / "experiment.toml").write_text(EXPERIMENT.format(name="test-nowhere", url=engine_url))
    (tmp_path / "engine.toml").write_text(FEATURES.format(more=""))
    with pytest.raises(EngineError, match=r"test-nowhere.*ltr index"):
        run(tmp_path, read_experiment(tmp_path / "experiment.toml"))
    assert not (tmp_path / "again").exists()


def test_a_field_that_the_index_lacks_is_said_before_the_work(engine_trained):
    config = read_experiment(engine_trained.home / "experiment.toml")
    config = config.model_copy(update={"retrieval": config.retrieval.model_copy(update={"fields": {"titel": 1.0}})})
    with pytest.raises(EngineError, match="titel"):
        run(engine_trained.home, config)


def test_an_index_of_other_products_than_the_catalogue_s_is_counted_or_refused(engine_trained):
    """Of the products that were judged some have gone from the index, which has others instead."""
    engine, index = connect(engine_trained.url), f"test-other-{secrets.token_hex(6)}"
    golden = bundle.load(engine_trained.bundle).golden["product_id"].unique(maintain_order=True).to_list()
    told = engine.call("GET", f"/{engine_trained.index}/_mapping")
    ((source, of),) = told.items()
    settings = engine.call("GET", f"/{source}/_settings")[source]["settings"]["index"]
    mappings = {"properties": of["mappings"]["properties"]}
    engine.call(
        "PUT", f"/{index}", {"settings": {"analysis": settings["analysis"]}, "mappings": mappings}, timeout_s=120
    )
    config = read_experiment(engine_trained.home / "experiment.toml")
    config = config.model_copy(update={"retrieval": config.retrieval.model_copy(update={"index": index})})
    try:
        with pytest.raises(EngineError, match=rf"'{index}' has none of the .* judged products, such as .*id_field"):
            run(engine_trained.home, config)
        kept = {"bool": {"must_not": {"ids": {"values": golden[:5]}}}}
        copied = engine.call("POST", f"/{source}/_search", {"size": 1_000, "query": kept})["hits"]["hits"]
        lines = [each for hit in copied for each in ({"index": {"_id": hit["_id"]}}, hit["_source"])]
        lines += [each for at in range(3) for each in ({"index": {"_id": f"new/{at}"}}, copied[0]["_source"])]
        engine.call("POST", f"/{index}/_bulk", lines, params={"refresh": True})
        told = run(engine_trained.home, config).warnings
    finally:
        engine.call("DELETE", f"/{index}")
        engine.close()
    assert len(told) == 2
    assert re.fullmatch(rf"judged products that index '{index}' lacks: 5 of \d+, such as .*", told[0])
    assert re.fullmatch(r"candidates that the catalogue lacks: 3, such as 'new/.*\(kept out of fitting\)", told[1])


def test_a_password_in_the_url_is_in_no_file_of_the_bundle(engine_trained):
    url = engine_trained.url.replace("://", "://elastic:S3cret@")
    config = at(engine_trained, url)
    config = config.model_copy(update={"data": config.data.model_copy(update={"url": url})})
    made = Path(run(engine_trained.home, config).bundle)
    files = [path for path in made.rglob("*") if path.is_file()]
    assert made / "results" / "record.json" in files
    assert [path for path in files if b"S3cret" in path.read_bytes()] == []


def test_a_sorted_search_is_shown_as_the_engine_has_it(engine_trained, tmp_path):
    body = {"query": {"match": {"title": "{{query}}"}}, "sort": ["price"]}
    (tmp_path / "body.json").write_text(json.dumps(body))
    command = [*LTR, "search", str(engine_trained.bundle), "shirt", "--body", str(tmp_path / "body.json"), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "not reranked: the order is the shopper's" in ended.stderr
    told = json.loads(ended.stdout)
    asked = {"query": {"match": {"title": "shirt"}}, "sort": ["price"]}
    hits = connect(engine_trained.url).call("POST", f"/{engine_trained.index}/_search", asked)["hits"]["hits"]
    assert [row["product_id"] for row in told["reranked"]] == [hit["_id"] for hit in hits] != []
    assert told["retrieval"] == [{key: row[key] for key in row if key != "was"} for row in told["reranked"]]


def test_connections_that_break_are_made_again_and_change_nothing(engine_trained):
    broken = []

    def rule(request, forward):
        if "_msearch" in request.path and len(broken) < 3:
            broken.append(request.path)
            return HANG_UP if len(broken) < 3 else (429, {"error": {"type": "busy", "reason": "later"}})
        return None

    with front_door(engine_trained.url, rule) as (url, _came):
        again = run(engine_trained.home, at(engine_trained, url))
    assert len(broken) == 3
    assert bundle.load(Path(again.bundle)).golden.equals(bundle.load(engine_trained.bundle).golden)


def test_a_server_that_stops_in_the_middle_ends_the_run_with_one_sentence_and_no_bundle(engine_trained, tmp_path):
    asked = []

    def rule(request, forward):
        if "_msearch" in request.path:
            asked.append(request.path)
            return HANG_UP if len(asked) > 1 else None
        return None

    with front_door(engine_trained.url, rule) as (url, _came):
        command = [
            *LTR,
            "train",
            str(engine_trained.home),
            "--set",
            f"retrieval.url={url}",
            "--bundles",
            str(tmp_path),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 2
    assert "does not answer" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_killed_leaves_earlier_bundles_and_the_next_run_works(engine_trained):
    before = sorted((engine_trained.home / "bundles").iterdir())
    reached = []

    def rule(request, forward):
        if "_msearch" in request.path and not reached:
            reached.append(True)
            os.kill(process.pid, signal.SIGKILL)
        return

    with front_door(engine_trained.url, rule) as (url, _came):
        command = [*LTR, "train", str(engine_trained.home), "--set", f"retrieval.url={url}"]
        process = subprocess.Popen([*command, "--bundles", str(engine_trained.home / "bundles")])
        assert process.wait() == -signal.SIGKILL
    assert reached
    assert sorted((engine_trained.home / "bundles").iterdir()) == before
    again = run(engine_trained.home, read_experiment(engine_trained.home / "experiment.toml"))
    assert bundle.load(Path(again.bundle)).golden.equals(bundle.load(engine_trained.bundle).golden)
