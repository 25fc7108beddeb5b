"""The benchmarks over small data: what they write is complete and says what it should; no figure is judged here."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import polars as pl
import pytest
from pydantic import Field

from ltr.config import Experiment
from ltr.datasets import Dataset
from ltr.experiment.assemble import assemble
from ltr.features import KINDS, read_feature_set
from ltr.features.definition import parse
from ltr.features.params import Kind, Params

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "experiments" / "bench"


@pytest.fixture
def bench(monkeypatch):
    """A benchmark's module by name, as ``python experiments/bench`` would import it."""
    monkeypatch.syspath_prepend(BENCH)
    before = set(sys.modules)

    def module(name):
        if name != "__main__":
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location("bench_main", BENCH / "__main__.py")
        main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(main)
        return main

    yield module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCH)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def movies():
    """Six products and thirty queries, with the fields that the kinds are asked over; three judged products a query."""
    titles = ["Iron Man", "Iron Man 2", "The Iron Giant", "First Man", "Second Act", "Toy Story 3"]
    products = pl.DataFrame(
        {
            "product_id": [f"p{at}" for at in range(6)],
            "title": titles,
            "overview": ["A man builds a suit."] * 6,
            "actors": ["Robert Downey Jr", "Don Cheadle", "Vin Diesel", "Ryan Gosling", "Jennifer Lopez", "Tom Hanks"],
            "genres": [["action"], ["action"], ["family"], ["drama"], ["comedy"], ["family"]],
            "year": [2008.0, 2010.0, 1999.0, 2018.0, 2018.0, 2010.0],
        },
        schema_overrides={"genres": pl.List(pl.String)},
    )
    queries = pl.DataFrame(
        {"query_id": [f"q{at}" for at in range(30)], "query": [f"{titles[at % 6]} {at}" for at in range(30)]}
    )
    judgments = pl.DataFrame(
        [
            {"query_id": f"q{at}", "product_id": f"p{(at + step) % 6}", "grade": float(step == 0), "weight": 1.0}
            for at in range(30)
            for step in range(3)
        ]
    )
    types = {"title": "text", "overview": "text", "actors": "text", "genres": "keyword", "year": "number"}
    return Dataset("few", products, queries, judgments, types, "title", {"title": 1.0}, "binary", "linear")


def test_lists_are_those_of_one_size_and_a_slice_of_them_is_whole(bench, movies):
    lists = bench("movies").judged(movies, 3)
    assert (len(lists.queries), len(lists.ids), lists.offsets[-1]) == (30, 90, 90)
    assert lists[2:4].ids == lists.ids[6:12]
    assert bench("movies").judged(movies, 24).queries == []


def test_every_kind_with_an_example_has_a_cost(bench, movies):
    kinds = bench("kinds")
    found = kinds.costs(movies, size=3, queries=4, turns=2)
    assert set(found) == {name for name in KINDS if kinds.example(name) is not None}
    assert {"bm25", "cosine", "number", "query_length", "relative", "judged_rate", "rate", "count"} <= set(found)
    for name, cost in found.items():
        assert cost["value"] > 0, name
        assert cost["unit"] == {"product": "product", "query": "query"}.get(KINDS[name].scope, "pair")


class Odd(Params):
    depth: int = Field(description="no rule can guess it")


def test_a_kind_whose_parameters_cannot_be_guessed_is_left_out(bench, monkeypatch):
    monkeypatch.setitem(KINDS, "odd", Kind("query", lambda *_: None, Odd))
    assert bench("kinds").example("odd") is None
    assert bench("kinds").example("judged_neighbours").by == "cosine"  # the first of its choices


def test_text_features_are_those_of_words_and_spelling(bench):
    kept = bench("features").textual(read_feature_set(ROOT / "features" / "movie_search.toml"))
    kinds = {feature.kind for feature in kept.features}
    assert {"bm25", "coverage", "phrase", "exact", "prefix", "ngram", "keyword", "unmatched"} <= kinds
    assert kinds.isdisjoint({"cosine", "match", "number", "length", "relative", "judged_rate", "judged_neighbours"})


def test_text_features_and_requests_are_timed_over_the_lists_there_are(bench, movies, monkeypatch):
    features = bench("features")
    for name, value in {"TURNS": 2, "QUERIES": 5, "ALONE": 5, "SHOWN": 1, "REQUESTS": 4, "WARM": 2}.items():
        monkeypatch.setattr(features, name, value)
    named = {"name": "title_bm25", "kind": "bm25", "field": "title"}
    wanted = parse({"name": "few", "feature": [named, {"name": "near", "kind": "cosine", "field": "title"}]})
    drawn, asked = bench("movies").Drawn(), bench("movies").judged(movies, 3)
    state = features.build(movies.products, wanted, fields=movies.fields, encoder=drawn)
    text = features.textual(wanted)
    assert text.names == ("title_bm25",)
    assert features._throughput(text, state, asked) > 0
    assert features._beside_bm25s(text, state, asked) > 0  # the two agree, or it ends
    assert len(features._latencies(movies, wanted, state)) == 4


def test_what_reads_a_kind_goes_with_it(bench):
    wanted = parse(
        {
            "name": "few",
            "feature": [
                {"name": "title", "kind": "bm25", "field": "title", "also": ["relative", "rank_in_list"]},
                {"name": "year", "kind": "number", "field": "year", "also": ["relative"]},
            ],
        }
    )
    without = bench("worth").without
    assert without(wanted, "bm25").names == ("year", "year_relative")
    assert without(wanted, "relative").names == ("title", "title_rank", "year")


def test_the_worth_of_a_kind_is_a_paired_difference_outside_the_test_side(bench, monkeypatch, tmp_path):
    worth = bench("worth")
    monkeypatch.setattr(worth, "USED", 1)
    (tmp_path / "few.toml").write_text(
        'name = "few"\n'
        '[[feature]]\nname = "words"\nkind = "bm25"\nfield = "title"\n'
        '[[feature]]\nname = "wanted"\nkind = "judged_rate"\n'
        '[[feature]]\nname = "price"\nkind = "number"\nfield = "price"\n'
    )
    experiment = Experiment.model_validate(
        {
            "name": "few",
            "data": {"source": "shop", "size": 200, "queries": 80},
            "candidates": {"from": "judgments"},
            "features": {"set": "few.toml"},
            "ranker": {"rounds": 3, "refit": True, "num_threads": 1},
        }
    )
    assembled = assemble(experiment, base=tmp_path, cache=tmp_path / "cache")
    found = dict(worth.drops(assembled, ["cosine", "bm25", "judged_rate"]))
    assert list(found) == ["bm25", "judged_rate"]
    for drop in found.values():
        assert drop["low"] <= drop["value"] <= drop["high"]
        assert drop["on"] == "few"
        assert 0 < drop["queries"] <= 80 * 0.8 / 6 + 1


def test_measured_json_keeps_the_other_part_and_the_page_says_it(bench, monkeypatch, tmp_path):
    measured = bench("measured")
    monkeypatch.setattr(measured, "DIRECTORY", tmp_path)
    measured.keep("cost", {"bm25": {"value": 0.25, "unit": "pair"}}, note="N", command="make C")
    measured.keep("worth", {"bm25": None}, note="M", command="make W")
    told = json.loads((tmp_path / "measured.json").read_text())
    assert told["cost"]["kinds"] == {"bm25": {"value": 0.25, "unit": "pair"}}
    assert told["worth"]["kinds"] == {"bm25": None}
    text = (tmp_path / "README.md").read_text()
    assert "| 0.25 a pair | – |" in text
    assert f"Cost: N. {told['cost']['machine']}, {told['cost']['date']}, `make C`." in text


FAKE = """
def measure():
    return [{"what": "W", "value": %s, "unit": "pairs/s", "bound": 3, "better": "higher"}]
"""


@pytest.mark.parametrize(("value", "code", "said"), [(4, 0, "≥ 3 pairs/s: met"), (2, 1, "≥ 3 pairs/s: not met")])
def test_a_figure_below_its_least_is_missed(bench, monkeypatch, tmp_path, capsys, value, code, said):
    main = bench("__main__")
    (tmp_path / "fake_bench.py").write_text(FAKE % value)
    (tmp_path / "experiments").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fake_bench", raising=False)
    monkeypatch.setattr(main, "BENCHMARKS", ("fake_bench",))
    monkeypatch.setattr(main, "ROOT", tmp_path)
    monkeypatch.setattr(main, "MEASURED", tmp_path / "measured.json")
    assert main.main([]) == code
    assert said in capsys.readouterr().out
    assert json.loads((tmp_path / "measured.json").read_text())["fake_bench"]["figures"][0]["value"] == value


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(bench, capsys):
    assert bench("__main__").main(["speed"]) == 2
    told = capsys.readouterr().err
    assert "'speed'" in told
    assert "worth" in told
