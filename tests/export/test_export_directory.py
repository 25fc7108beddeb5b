"""Exports as directories: whole, verified, proven, and named by what is in them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr import bundle as bundles_
from ltr import export
from ltr.errors import ExportError
from ltr.export import directory, parity, plugin
from ltr.export.emulation import GENERATIONS
from made import engine_bundle
from made.engine_bundle import FEATURES, SET


@pytest.mark.parametrize("kind", directory.KINDS)
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_an_export_says_what_it_is_and_passes_its_own_check(bundles, tmp_path, library, kind):
    made = export.write(bundles[library], kind, tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    expected = {"export.json", "model.json", "rescore.json", "parity/golden.parquet"}
    assert files == (expected | {"featureset.json"} if kind == "plugin" else expected)
    assert (made.kind, made.name, made.features) == (kind, "engine", FEATURES)
    assert made.version.startswith("engine-")
    assert len(made.version) == len("engine-") + 10
    assert made.about["ranker"]["library"] == library
    assert made.rescore["rescore"]["window_size"] == 50, "as many as the ranker was fitted on"
    assert [request["path"] for request in made.about["requests"]][-1].count(made.version) == 1
    report = export.check(made)
    assert report.passed
    assert report.rows == len(made.golden) > 3_000
    assert report.by_generation == dict.fromkeys(GENERATIONS[kind], 0.0)
    assert report.largest <= report.tolerance
    assert ("Enterprise" in made.about["licence"]) == (kind == "native")


def test_an_export_knows_the_search_whose_hits_it_orders(bundles, tmp_path):
    about = export.write(bundles["lightgbm"], "plugin", tmp_path / "a").about
    assert about["index"] is None, "the embedded engine has none"
    assert about["search"]["query"]["multi_match"]["fields"] == ["title^1"]
    loaded = bundles["xgboost"]
    engine = loaded.experiment.retrieval.model_copy(update={"engine": "elasticsearch", "index": "shop"})
    own = {"query": {"match": {"title": "{{query}}"}}}
    loaded = replace(
        loaded,
        experiment=loaded.experiment.model_copy(update={"retrieval": engine}),
        facts=replace(loaded.facts, body=own),
    )
    about = export.write(loaded, "plugin", tmp_path / "b").about
    assert (about["index"], about["search"]) == ("shop", own)


def test_what_is_sent_is_what_the_directory_holds(bundles, tmp_path):
    made = export.write(bundles["lightgbm"], "plugin", tmp_path / "out", name="shop")
    for request in made.about["requests"]:
        body = json.loads((tmp_path / "out" / request["file"]).read_text())
        assert body == {"featureset.json": made.featureset, "model.json": made.model}[request["file"]]
    assert made.featureset["featureset"]["name"] == made.version == made.model["model"]["name"]
    definition = made.model["model"]["model"]["definition"]
    assert isinstance(definition, str)
    assert set(json.loads(definition)) == {"objective", "splits"}
    assert made.rescore["rescore"]["query"]["rescore_query"]["sltr"]["model"] == made.version


def test_golden_rows_are_the_bundles_own_then_aimed_ones_some_of_them_absent_or_outside_what_an_engine_makes(
    bundles, tmp_path
):
    golden = export.write(bundles["lightgbm"], "plugin", tmp_path / "out").golden
    own = bundles["lightgbm"].golden
    known = golden.filter(pl.col(parity.ORIGIN) == "candidate")
    assert known.select(FEATURES).equals(own.select(FEATURES))
    assert known[parity.RANKER].to_list() == own["score"].to_list()
    assert known[parity.LIST].n_unique() == own["query_id"].n_unique()
    assert known[parity.ENGINE].all()
    outside = golden.filter(pl.col(parity.ORIGIN) == "outside")
    assert not outside[parity.ENGINE].all()
    absent = golden.filter(pl.col(parity.ORIGIN) == "absent")
    assert absent.select(pl.any_horizontal(pl.col(FEATURES).is_nan()).mean()).item() > 0.3
    assert golden.filter(parity.ENGINE).select(pl.min_horizontal(pl.col(FEATURES).fill_nan(0).min())).item() >= 0


def test_a_bundle_without_golden_rows_is_exported_on_made_rows_and_says_so(tmp_path):
    loaded = bundles_.load(engine_bundle.save(tmp_path, golden=False))
    made = export.write(loaded, "plugin", tmp_path / "out")
    assert "no golden rows of its own" in made.about["notes"][0]
    assert "candidate" not in made.golden[parity.ORIGIN].to_list()
    assert export.check(made).passed


def test_equal_content_has_an_equal_name_and_other_content_another(bundles, tmp_path):
    first = export.write(bundles["lightgbm"], "plugin", tmp_path / "a")
    again = export.write(bundles["lightgbm"], "plugin", tmp_path / "b")
    assert first.version == again.version
    assert first.golden.equals(again.golden)
    assert (tmp_path / "a" / "model.json").read_bytes() == (tmp_path / "b" / "model.json").read_bytes()
    others = [
        export.write(bundles["lightgbm"], "plugin", tmp_path / "c", shift=False),
        export.write(bundles["xgboost"], "plugin", tmp_path / "d"),
        export.write(bundles["lightgbm"], "native", tmp_path / "e"),
    ]
    assert len({first.version, *(other.version for other in others)}) == 4


@pytest.mark.parametrize(
    "file", ["export.json", "model.json", "featureset.json", "rescore.json", "parity/golden.parquet"]
)
def test_a_changed_a_missing_and_a_further_file_are_refused(bundles, tmp_path, file):
    out = tmp_path / "out"
    export.write(bundles["lightgbm"], "plugin", out)
    whole = (out / file).read_bytes()
    (out / file).write_bytes(whole.replace(b"a", b"b", 1))
    with pytest.raises(ExportError, match=r"is not what was written|cannot be read"):
        export.read(out)
    (out / file).unlink()
    with pytest.raises(ExportError, match=r"missing|holds no export.json"):
        export.read(out)
    (out / file).write_bytes(whole)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"notes.txt is not what was written"):
        export.read(out)


def test_a_changed_version_is_refused_and_a_newer_format_named(bundles, tmp_path):
    out = tmp_path / "out"
    export.write(bundles["lightgbm"], "plugin", out)
    told = json.loads((out / "export.json").read_text())
    (out / "export.json").write_text(json.dumps(told | {"version": "engine-0000000000"}))
    with pytest.raises(ExportError, match="not what was written"):
        export.read(out)
    (out / "export.json").write_text(json.dumps(told | {"format": 2}))
    with pytest.raises(ExportError, match=r"newer than 1.*newer release"):
        export.read(out)
    (out / "export.json").write_text("[]")
    with pytest.raises(ExportError, match="cannot be read"):
        export.read(out)


def test_an_export_that_fails_its_check_is_not_written_and_the_one_before_stays(bundles, tmp_path, monkeypatch):
    out = tmp_path / "out"
    before = export.write(bundles["lightgbm"], "plugin", out)
    wrong = replace(bundles["lightgbm"], ranker=bundles["xgboost"].ranker)
    honest = plugin.definition
    monkeypatch.setattr(plugin, "definition", lambda _forest, *, shift: honest(wrong_forest, shift=shift))
    from ltr.rankers.forests import forest_of

    wrong_forest = forest_of(wrong.ranker)
    with pytest.raises(ExportError, match=r"does not score as the ranker does.*nothing was written"):
        export.write(bundles["lightgbm"], "plugin", out)
    assert export.read(out).version == before.version
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nor is a draft left"
    with pytest.raises(ExportError, match="nothing was written"):
        export.write(bundles["lightgbm"], "plugin", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_export_takes_the_place_of_an_export_and_of_nothing_else(bundles, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export.write(bundles["lightgbm"], "plugin", out)
    assert export.write(bundles["xgboost"], "native", out).kind == "native"
    assert not (out / "featureset.json").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all")
    with pytest.raises(ExportError, match="is there already and no export"):
        export.write(bundles["lightgbm"], "plugin", tmp_path / "mine")
    (tmp_path / "file").write_text("all")
    for place, told in ((tmp_path / "file", "no export"), (tmp_path / "file" / "out", "cannot write under")):
        with pytest.raises(ExportError, match=told):
            export.write(bundles["lightgbm"], "plugin", place)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_fault_at_the_last_moment_leaves_the_export_that_was_there(bundles, tmp_path, monkeypatch, fault):
    out = tmp_path / "out"
    before = export.write(bundles["lightgbm"], "plugin", out)
    rename = Path.rename

    def failing(path, target):
        if path.name == "new":
            raise fault
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((ExportError, KeyboardInterrupt), match=r"No space left on device; free some space|^$"):
        export.write(bundles["xgboost"], "plugin", out)
    assert export.read(out).version == before.version
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["Shop", "", "shop/1", "-shop", "shop-", "s" * 54])
def test_a_name_that_an_engine_would_not_take_is_refused(bundles, tmp_path, name):
    with pytest.raises(ExportError, match="not one that engines take"):
        export.write(bundles["lightgbm"], "plugin", tmp_path / "out", name=name)


def test_another_kind_is_refused_with_the_kinds_there_are(bundles, tmp_path):
    with pytest.raises(ExportError, match=r"did you mean 'plugin'\? kinds: native, plugin"):
        export.write(bundles["lightgbm"], "plugins", tmp_path / "out")


def test_what_no_engine_expresses_is_listed_in_one_error(tmp_path):
    further = [
        {"name": "alike", "kind": "bm25", "field": "title", "also": ["relative"]},
        {"name": "cheap", "kind": "number", "field": "price"},
    ]
    loaded = bundles_.load(engine_bundle.save(tmp_path, features=SET | {"feature": SET["feature"] + further}))
    with pytest.raises(ExportError) as caught:
        export.write(loaded, "plugin", tmp_path / "out")
    told = str(caught.value)
    for each in ("3 of the 7 features", "alike: ", "alike_relative: ", "cheap: ", "at_least = 0", "--drop-unsupported"):
        assert each in told
    assert not (tmp_path / "out").exists()


def test_a_ranker_that_no_engine_expresses_is_refused_with_the_reason(tmp_path):
    loaded = bundles_.load(engine_bundle.save(tmp_path, library="linear"))
    with pytest.raises(ExportError, match=r"cannot be exported: a linear ranker has no trees; fit with"):
        export.write(loaded, "native", tmp_path / "out")


def test_a_model_larger_than_a_request_is_refused(bundles, tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "_LARGEST", 1_000)
    with pytest.raises(ExportError, match=r"in one request \(100 MB\).*smaller trees"):
        export.write(bundles["lightgbm"], "plugin", tmp_path / "out")


def test_candidates_may_be_given_and_lack_no_feature(bundles, tmp_path):
    rng = np.random.default_rng(7)
    given = pl.DataFrame({"query_id": ["a", "a", "b"], **{name: rng.random(3) for name in FEATURES}})
    made = export.write(bundles["lightgbm"], "plugin", tmp_path / "out", candidates=given)
    known = made.golden.filter(pl.col(parity.ORIGIN) == "candidate")
    assert known[parity.LIST].to_list() == [0, 0, 1]
    with pytest.raises(ExportError, match=r"no column 'price'"):
        export.write(bundles["lightgbm"], "plugin", tmp_path / "out", candidates=given.drop("price"))


def scores_of(made):
    values = parity.matrix(made.golden, made.features)
    return {each: made.trees.score(values, generation=each)[0] for each in GENERATIONS[made.kind]}


def test_an_engine_that_is_off_by_one_unit_is_found(bundles, tmp_path):
    made = export.write(bundles["lightgbm"], "plugin", tmp_path / "out")
    scores = scores_of(made)["missing"].copy()
    scores[17] = np.nextafter(scores[17], np.float32(np.inf))
    report = parity.compare(made, {"missing": scores})
    assert not report.passed
    assert 0 < report.by_generation["missing"] < 1e-6
    assert report.largest <= report.tolerance, "the ranker is still within rounding"
    scores[17] = np.nan
    assert parity.compare(made, {"missing": scores}).by_generation["missing"] == np.inf


def test_the_generations_differ_where_a_value_is_absent_and_only_there(bundles, tmp_path):
    made = export.write(bundles["lightgbm"], "plugin", tmp_path / "out")
    scores, values = scores_of(made), parity.matrix(made.golden, made.features)
    absent = np.isnan(values).any(axis=1)
    for other in ("nan_to_no", "zero"):
        assert scores[other][~absent].tolist() == scores["missing"][~absent].tolist()
    assert (scores["nan_to_no"][absent] != scores["missing"][absent]).any()
    wrong = parity.compare(made, {"missing": scores["nan_to_no"]})
    assert wrong.by_generation["missing"] > 0.01
    assert not wrong.passed


def test_the_rows_that_an_engine_can_make_may_be_compared_alone(bundles, tmp_path):
    made = export.write(bundles["xgboost"], "plugin", tmp_path / "out")
    kept = made.golden[parity.ENGINE].to_numpy()
    report = parity.compare(made, {"zero": scores_of(made)["zero"][kept]}, kept=kept)
    assert report.passed
    assert report.rows == kept.sum() < len(kept)
    with pytest.raises(ExportError, match="scores were given"):
        parity.compare(made, {"zero": scores_of(made)["zero"]}, kept=kept)


def test_swaps_are_pairs_of_one_list_and_beyond_those_that_the_error_does_not_explain():
    ranker = np.array([3.0, 2.0, 1.0, 5.0, 4.0])
    found = np.float32([3.0, 1.0, 2.0, 4.0, 4.0])
    assert parity.swaps(ranker, found, np.array([0, 3]), 0.5) == (1, 0), "gaps of 1 are no more than twice .5"
    assert parity.swaps(ranker, found, np.array([0, 3]), 0.4) == (1, 2), (
        "the swapped pair, and the two that became equal"
    )
    assert parity.swaps(ranker, found, np.array([0]), 10.0) == (1, 0)


def test_a_report_is_plain_values():
    report = parity.ParityReport(10, 1e-7, 1e-6, 0, 0, {"missing": 0.0})
    assert report.passed
    assert json.loads(json.dumps(report.to_json()))["passed"] is True
    for change in ({"largest": 2e-6}, {"beyond": 1}, {"by_generation": {"missing": 1e-9}}, {"by_generation": {}}):
        assert not replace(report, **change).passed
