"""``ltr export`` and ``ltr parity``: a directory, its proof, and what doing without a feature costs."""

import json
import shutil

import polars as pl
import pytest

from ltr import bundle, export
from ltr.bundle_manifest import digests
from ltr.cli.application import invoke
from ltr.config import read_experiment
from ltr.errors import ConfigError, ExportError
from ltr.experiment import train
from ltr.export import directory, parity
from made import engine_bundle
from made.plugin_exports import engine_for, exported


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return engine_bundle.save(tmp_path_factory.mktemp("verbs"))


@pytest.fixture
def ltr(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments, code=0):
        assert invoke([str(argument) for argument in arguments]) == code
        return capsys.readouterr()

    return run


def test_an_export_says_what_it_needs_and_that_it_scores_the_same(ltr, path, tmp_path):
    out = ltr("export", path, "--to", "plugin", "-o", tmp_path / "out").out
    made = export.read(tmp_path / "out")
    for told in (
        made.version,
        "no licence",
        "title_match, title_phrase",
        "0 beyond rounding",
        "missing 0, nan_to_no 0, zero 0",
    ):
        assert told in " ".join(out.split())
    assert "parity  passed" in out
    told = json.loads(ltr("parity", tmp_path / "out", "--json").out)
    assert told["passed"] is True
    assert told["emulation"]["by_generation"] == {"missing": 0.0, "nan_to_no": 0.0, "zero": 0.0}
    assert told["version"] == made.version


def test_options_reach_the_export_and_json_is_one_object(ltr, path, tmp_path):
    native = json.loads(ltr("export", path, "--to", "native", "-o", tmp_path / "n", "--name", "shop", "--json").out)
    assert native["version"].startswith("shop-")
    assert "Enterprise" in native["licence"]
    assert native["parity"]["by_generation"] == {"native": 0.0}
    assert native["dropped"] is None
    shifted = json.loads(ltr("export", path, "--to", "plugin", "-o", tmp_path / "s", "--json").out)
    bare = json.loads(ltr("export", path, "--to", "plugin", "-o", tmp_path / "b", "--no-shift", "--json").out)
    assert shifted["shift"] > 0 == bare["shift"]
    assert shifted["trees"] == bare["trees"] + 1
    assert bare["parity"]["passed"] is True


def test_parity_that_fails_is_exit_code_one(ltr, path, tmp_path):
    ltr("export", path, "--to", "plugin", "-o", tmp_path / "out")
    golden = tmp_path / "out" / "parity" / "golden.parquet"
    pl.read_parquet(golden).with_columns(pl.col(parity.RANKER) * 1.001).write_parquet(golden)
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    del about["digest"]
    about["files"] = {name: each for name, each in digests(tmp_path / "out").items() if name != "export.json"}
    (tmp_path / "out" / "export.json").write_text(json.dumps(about | {"digest": directory._digest(about)}))
    assert "parity  FAILED" in ltr("parity", tmp_path / "out", code=1).out
    told = json.loads(ltr("parity", tmp_path / "out", "--json", code=1).out)
    assert told["passed"] is told["emulation"]["passed"] is False


def test_no_export_and_no_engine_are_errors(path, tmp_path):
    with pytest.raises(ExportError, match=r"holds no export.json; give a directory that `ltr export` has written"):
        invoke(["parity", str(tmp_path)])


def test_with_an_engine_the_golden_rows_are_scored_there_too(ltr, tmp_path):
    made = exported("plugin")
    with engine_for("plugin", flavour="opensearch", version="3.8.0", missing="missing") as (server, _engine):
        told = json.loads(ltr("parity", made.path, "--url", server.url, "--index", "products", "--json").out)
        assert told["passed"] is told["engine"]["passed"] is True
        assert told["engine"]["by_generation"] == {"missing": 0.0, "real candidates": 0.0}
        out = ltr("parity", made.path, "--url", server.url).out
        assert out.index("no engine asked") < out.index("inside the engine")
        assert "real candidates" not in out, "the export knows of no index"
    with pytest.raises(ConfigError, match=r"--index is given without --url; name the engine"):
        invoke(["parity", str(made.path), "--index", "products"])


EXPERIMENT = """
name = "reduced"
[data]
source = "shop"
size = 200
queries = 60
[features]
set = "few.toml"
[candidates]
from = "retrieval"
depth = 20
[ranker]
rounds = 15
[tracking]
uri = ""
"""
SET = """
name = "few"
analyzer = "standard"
[[feature]]
name = "title_match"
kind = "match"
field = "title"
missing = 0
[[feature]]
name = "words"
kind = "bm25"
field = "title"
[[feature]]
name = "price"
kind = "number"
field = "price"
at_least = 0
missing = 0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("reduced")
    (home / "experiment.toml").write_text(EXPERIMENT, encoding="utf-8")
    (home / "few.toml").write_text(SET, encoding="utf-8")
    config = read_experiment(home / "experiment.toml")
    return home, train(config, base=home, cache=home / "cache", bundles=home / "bundles").bundle


def test_without_what_no_engine_expresses_the_experiment_is_run_again_and_its_cost_is_said(ltr, trained, tmp_path):
    home, before = trained
    with pytest.raises(ExportError, match=r"1 of the 3 features of 'few':\n  words: .*\n.*--drop-unsupported"):
        invoke(["export", before, "--to", "plugin", "-o", str(tmp_path / "out")])
    asked = ["export", before, "--to", "plugin", "-o", tmp_path / "out", "--drop-unsupported", "--experiment", home]
    told = json.loads(ltr(*asked, "--json").out)
    dropped = told["dropped"]
    assert dropped["features"] == ["words"]
    assert dropped["measure"] == "nDCG@10"
    assert dropped["low"] <= dropped["difference"] <= dropped["high"]
    assert bundle.load(home / "bundles" / dropped["bundle"].rpartition("/")[2]).feature_set.names == (
        "title_match",
        "price",
    )
    assert told["features"] == ["title_match", "price"]
    assert told["parity"]["passed"] is True
    assert "words" in bundle.load(home / "bundles" / before.rpartition("/")[2]).feature_set.names, (
        "the bundle before stays"
    )
    shutil.rmtree(tmp_path / "out")
    out = " ".join(ltr(*asked).out.split())
    assert "without words: nDCG@10 " in out
    assert "the new bundle is " in out


def test_what_other_features_would_not_mend_is_said_before_anything_is_fitted(trained, tmp_path):
    home, before = trained
    bundles = sorted((home / "bundles").iterdir())
    linear = engine_bundle.save(
        tmp_path,
        library="linear",
        features=engine_bundle.SET
        | {"feature": [*engine_bundle.SET["feature"], {"name": "w", "kind": "bm25", "field": "title"}]},
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all")
    for path, more, told in (
        (before, ["-o", tmp_path / "out", "--name", "Shop"], "not one that engines take"),
        (before, ["-o", tmp_path / "mine"], "is there already and no export"),
        (linear, ["-o", tmp_path / "out"], "a linear ranker has no trees"),
    ):
        asked = ["export", path, "--to", "plugin", "--drop-unsupported", "--experiment", home, *more]
        with pytest.raises(ExportError, match=told):
            invoke([str(each) for each in asked])
    assert sorted((home / "bundles").iterdir()) == bundles


def test_where_nothing_would_be_left_nothing_is_fitted(ltr, tmp_path):
    alone = {"name": "ours", "analyzer": "standard", "feature": [{"name": "words", "kind": "bm25", "field": "title"}]}
    path = engine_bundle.save(tmp_path, features=alone)
    for more in ([], ["--drop-unsupported"]):
        with pytest.raises(
            ExportError, match=r"1 of the 1 features(.|\n)*none would be left: train on a set"
        ) as caught:
            invoke(["export", str(path), "--to", "plugin", "-o", str(tmp_path / "out"), *more])
        assert "--drop-unsupported" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_experiment_that_cannot_be_found_is_named(ltr, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["export", trained[1], "--to", "plugin", "-o", "out", "--drop-unsupported"]
    with pytest.raises(ConfigError, match="'reduced'"):
        invoke(asked)
