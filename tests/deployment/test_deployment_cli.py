"""``ltr deploy`` against the stand-in of tests/made/plugin_server.py, which replays formats.md."""

import json

import pytest

from ltr.cli.application import invoke
from ltr.errors import ConfigError, DataError, EngineError, ExportError, LtrError
from made.plugin_exports import engine_for, exported

BODY = '{"query": {"match": {"title": "{{query}}"}}}'


@pytest.fixture
def ltr(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        assert invoke([str(argument) for argument in arguments]) == 0
        return capsys.readouterr()

    return run


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "query.json").write_text(BODY, encoding="utf-8")
    with engine_for("plugin") as (server, _):
        yield server, ["--url", server.url, "--index", "products", "--body", tmp_path / "query.json"]


def test_a_dry_run_a_deployment_the_same_again_and_the_way_back(ltr, shop):
    server, where = shop
    first, second = exported("plugin", 4), exported("plugin", 6)
    dry = ltr("deploy", first.path, *where, "--dry-run").out
    assert "would write" in dry
    assert "nothing was" in dry
    assert server.writes == []
    done = ltr("deploy", first.path, *where).out
    for method, path, size in server.writes:
        assert f"{method} {path}" in done
        assert f"{size:,}" in done
    assert "the plugin's store of models" in done
    assert "POST /products/_search/template" in done
    assert "there is no version before" in done
    assert "nothing had to be changed" in ltr("deploy", first.path, *where).out
    ltr("deploy", second.path, *where)
    back = ltr("deploy", second.path, "--url", server.url, "--rollback").out
    assert f"shop answers with {first.version}" in back
    assert "POST /INDEX/_search/template" in back, "the template is of no index of its own"
    ltr("deploy", second.path, *where)
    back = ltr("deploy", second.path, "--url", server.url, "--index", "products", "--rollback").out
    assert f"shop answers with {first.version}" in back, "the line that deployed, and --rollback after it"
    assert "POST /products/_search/template" in back


def test_as_json_it_is_one_object(ltr, shop):
    server, where = shop
    told = json.loads(ltr("deploy", exported("plugin").path, *where, "--json").out)
    assert told["model"] == exported("plugin").version
    assert [(step["method"], step["path"], step["bytes"]) for step in told["steps"] if step["writes"]] == server.writes
    assert told["url"] == server.url
    assert told["index"] == "products"
    again = json.loads(ltr("deploy", exported("plugin").path, *where, "--json", "--dry-run").out)
    assert (again["dry_run"], again["changed"]) == (True, False)


def test_no_secret_is_shown(ltr, shop, monkeypatch):
    server, where = shop
    monkeypatch.setenv("LTR_ELASTICSEARCH_API_KEY", "c2VjcmV0a2V5")
    where[1] = server.url.replace("http://", "http://elastic:hunter2@")
    shown = ltr("deploy", exported("plugin").path, *where, "--dry-run")
    shown = shown.out + shown.err + ltr("deploy", exported("plugin").path, *where, "--json").out
    server.plugin = False
    with pytest.raises(EngineError) as caught:
        ltr("deploy", exported("plugin").path, *where)
    for secret in ("hunter2", "c2VjcmV0a2V5"):
        assert secret not in shown + str(caught.value)


def test_old_versions_are_named_until_they_are_pruned(ltr, shop):
    _, where = shop
    for rounds in (4, 6, 8):
        shown = ltr("deploy", exported("plugin", rounds).path, *where).out
    assert f"1 model besides ({exported('plugin', 4).version}); --prune removes them" in shown
    assert "--prune removes" not in ltr("deploy", exported("plugin", 8).path, *where, "--prune").out


FAULTS = {
    "no index": ([], ConfigError, "--index is missing"),
    "a body and a rollback": (["--rollback", "--body", "query.json"], ConfigError, "takes the version before"),
    "a prune and a rollback": (["--rollback", "--prune"], ConfigError, "takes the version before"),
    "a body that is not there": (["--index", "products", "--body", "nowhere.json"], DataError, "does not exist"),
    "an index that is not there": (["--index", "shoop"], EngineError, "has no index 'shoop'"),
    "a rollback of nothing": (["--rollback"], EngineError, "no stored template 'shop'"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_given_wrongly_is_one_sentence_and_nothing_is_written(case, ltr, shop):
    server, _ = shop
    arguments, kind, message = FAULTS[case]
    with pytest.raises(LtrError, match=message) as caught:
        ltr("deploy", exported("plugin").path, "--url", server.url, *arguments)
    assert type(caught.value) is kind
    assert server.writes == []


@pytest.mark.parametrize("text", ["{", "[]", '{"query": {"match_all": {}}}'])
def test_a_body_that_is_no_search_of_the_query_is_refused(text, ltr, shop, tmp_path):
    server, where = shop
    (tmp_path / "query.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="--body"):
        ltr("deploy", exported("plugin").path, *where)
    assert server.writes == []


def test_a_directory_that_is_no_export_is_refused(ltr, shop, tmp_path):
    with pytest.raises(ExportError, match=r"holds no export\.json"):
        ltr("deploy", tmp_path, *shop[1])


def test_parity_with_an_index_that_is_not_there_is_said_before_anything_is_put(ltr, shop):
    server, _ = shop
    with pytest.raises(EngineError, match="has no index 'shoop'"):
        ltr("parity", exported("plugin").path, "--url", server.url, "--index", "shoop")
    assert server.writes == []


def test_parity_in_an_engine_by_the_command_line(ltr, shop):
    server, _ = shop
    told = json.loads(ltr("parity", exported("plugin").path, "--url", server.url, "--json").out)
    assert told["engine"]["by_generation"] == {"missing": 0.0}
    assert told["passed"]
