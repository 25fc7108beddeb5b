"""``ltr index`` on a real server: what it does, says, and refuses in one sentence."""

import json

import pytest

from ltr.cli import run
from ltr.engine.connection import path_of

EXPERIMENT = """
name = "{name}"
[data]
source = "shop"
size = 150
queries = 20
[features]
set = "features/product_search.toml"
[retrieval]
vector = "title"
[encoder]
model = "hashing"
[tracking]
uri = ""
"""


def found(engine, alias, query):
    body = {"query": query, "size": 100}
    return [hit["_id"] for hit in engine.call("POST", path_of(alias, "_search"), body)["hits"]["hits"]]


def stands_for(engine, alias):
    answer = engine.call("GET", path_of("_alias", alias), allow=(404,))
    return sorted(answer) if "error" not in answer else []


@pytest.fixture
def experiment(tmp_path, monkeypatch, alias):
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "experiment.toml").write_text(EXPERIMENT.format(name=alias), encoding="utf-8")
    return str(tmp_path)


def test_the_command_line_indexes_an_experiments_catalogue(engine, engine_url, experiment, alias, capsys):
    assert run(["index", experiment, "--url", engine_url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["alias"], told["documents"], told["sent"]) == (alias, 150, 150)
    assert len(found(engine, alias, {"exists": {"field": "title_vector"}})) == 100
    meta = engine.call("GET", path_of(told["index"], "_mapping"))[told["index"]]["mappings"]["_meta"]["ltr"]
    assert {"encoder", "encoder_digest"} <= meta.keys()
    assert run(["index", experiment, "--url", engine_url, "--no-vectors", "--replicas", "1"]) == 0
    out = capsys.readouterr().out
    assert f"searched as  {alias}, which is {stands_for(engine, alias)[0]} now" in out
    assert f"replaced  {told['index']}" in out
    assert found(engine, alias, {"exists": {"field": "title_vector"}}) == []


@pytest.mark.parametrize(
    ("options", "said"),
    {
        "a URL that is none": (["--url", "search.shop"], "is no engine's URL"),
        "a server that is not there": (["--url", "http://127.0.0.1:1"], "does not answer"),
        "an analyzer it lacks": (["--analyzer", "klingon"], "has no analyzer 'klingon'"),
        "a name that is none": (["--index", "My Shop"], "cannot be an index's name"),
    }.values(),
)
def test_the_command_line_says_what_is_wrong_in_one_sentence(engine_url, experiment, capsys, options, said):
    start = ["index", experiment] + ([] if "--url" in options else ["--url", engine_url])
    assert run([*start, *options]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_vectors_are_asked_for_where_no_field_has_any(tmp_path, capsys):
    text = EXPERIMENT.format(name="bare").replace('vector = "title"', "")
    (tmp_path / "experiment.toml").write_text(text, encoding="utf-8")
    assert run(["index", str(tmp_path), "--vectors"]) == 2
    assert "set [retrieval] vector" in capsys.readouterr().err
    (tmp_path / "experiment.toml").write_text(text.replace('"shop"', '"svmlight"'), encoding="utf-8")
    assert run(["index", str(tmp_path)]) == 2
    assert "no catalogue" in capsys.readouterr().err
