"""``ltr init`` on somebody else's index, and the road from there to a trained ranker, against a real server."""

import json
import random
import re
from pathlib import Path

import pytest

from ltr import scaffold
from ltr.cli import run
from ltr.config import read_experiment
from ltr.engine import connect
from ltr.features.clauses import unsupported
from ltr.features.definition import read_feature_set
from made.foreign_index import documents, judgments, standing, write_judgments
from made.front_door import front_door
from made.ubi import event, search

FOUND = documents()


@pytest.fixture(scope="module")
def engine(engine_url):
    return connect(engine_url)


@pytest.fixture(scope="module")
def foreign(engine):
    with standing(engine, FOUND) as index:
        yield index


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    path = tmp_path_factory.mktemp("judged") / "judgments.csv"
    write_judgments(path, FOUND)
    return path


def init(url, index, *more):
    return run(["init", "--url", url, "--index", index, *map(str, more)])


def written(directory):
    return {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}


def test_the_index_of_somebody_elses_script_gives_three_files_that_are_read_back(
    engine_url, foreign, judged, tmp_path, capsys
):
    directory = tmp_path / "mine"
    assert init(engine_url, foreign, "-o", directory, "--judgments", judged, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(written(directory)) == set(scaffold.FILES)
    roles = {each["name"]: each["role"] for each in told["fields"]}
    assert roles == {
        "artikelnr": "identifier",
        "bezeichnung": "title",
        "langtext": "description",
        "hersteller.name": "brand",
        "hersteller.land": "facet",
        "warengruppen": "category",
        "merkmale.name": "attribute name",
        "merkmale.wert": "tags",
        "farbe": "colour",
        "groessen": "size",
        "preis_eur": "price",
        "preis": "other",
        "bewertung": "rating",
        "anzahlBewertungen": "rating_count",
        "verkaufteStueck": "popularity",
        "lagerbestand": "stock",
        "lieferbar": "stock",
        "eingestellt_am": "date",
        "bild_url": "link",
        "bild_vektor": "vector",
        "suchtext": "text",
        "lager_ort": "other",
    }
    assert all(each["why"] for each in told["fields"])
    assert (told["language"], told["documents"]) == ("german", len(FOUND))

    experiment = read_experiment(directory / "experiment.toml")
    assert experiment.data.title == "bezeichnung"
    assert (directory / (experiment.data.judgments or "")).resolve() == judged.resolve()
    assert experiment.retrieval.nested == {"merkmale.wert": "merkmale"}
    assert (experiment.split.folds, experiment.judgments.scale) == (5, "0-3")
    found = read_feature_set(directory / "features.toml")
    assert set(told["features"]["engine"]) == set(found.names) - unsupported(found, booleans=["lieferbar"]).keys()
    assert {"bezeichnung_wortpaare_match", "merkmale_wert_match", "all_match", "preis_eur"} <= set(
        told["features"]["engine"]
    )
    assert "{{query}}" in written(directory)["query.json"]


def test_it_says_which_licence_each_road_needs_and_what_comes_next(engine_url, foreign, tmp_path, capsys):
    assert init(engine_url, foreign, "-o", tmp_path / "mine") == 0
    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert re.search(r"service, ltr search none ready", out)
    assert re.search(r"_ltr plugin \(ltr export --to plugin\) none not ready the server lacks it", out)
    assert re.search(r"native learning_to_rank .* Enterprise not ready the server's licence is basic", out)
    assert "only read; nothing is written to it before ltr deploy" in out
    assert "put your judgments into" in out
    assert f"ltr train {tmp_path / 'mine'}" in out


def test_nothing_is_written_to_the_cluster(engine_url, foreign, judged, tmp_path):
    body = tmp_path / "body.json"
    body.write_text('{"query": {"match": {"bezeichnung": "{{query}}"}}}')
    with front_door(engine_url, lambda *_: None) as (url, came):
        assert init(url, foreign, "-o", tmp_path / "mine", "--judgments", judged, "--query", body) == 0
    assert {each.method for each in came} <= {"GET", "POST", "HEAD"}
    posted = {each.path.partition("?")[0].rpartition("/")[2] for each in came if each.method == "POST"}
    assert posted <= {"_search", "_count"}


@pytest.mark.parametrize("plugin", [True, False])
def test_the_same_index_is_told_the_same_without_leave_to_see_the_mapping(
    engine_url, engine, foreign, tmp_path, capsys, plugin
):
    def rule(request, forward):
        path = request.path.partition("?")[0]
        if path == "/_ltr" and plugin:
            return 200, {"stores": {}}
        if path == "/" or "_nodes" in path or "_license" in path or path.endswith(("_mapping", "_alias", "_ltr")):
            return 403, {"error": {"type": "security_exception", "reason": "unauthorized for API key"}, "status": 403}
        return None

    with front_door(engine_url, rule) as (url, _):
        assert init(url, foreign, "-o", tmp_path / "mine", "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert "view_index_metadata" in captured.err
    whole = {each.name: each.role for each in scaffold.survey(engine, foreign).guesses}
    # An alias cannot be told from its target then, and copy_to is not seen.
    differ = {"preis", "preis_eur", "suchtext"}
    assert {each["name"]: each["role"] for each in told["fields"] if each["name"] not in differ} == {
        name: role for name, role in whole.items() if name not in differ
    }
    roads = {road["name"]: road["ready"] for road in told["roads"]}
    assert list(roads.values()) == [True, True if plugin else None, None]
    read_feature_set(tmp_path / "mine" / "features.toml")


SERVERS = {
    "OpenSearch with the plugin": ({"distribution": "opensearch", "number": "3.1.0"}, None, [True, True, False]),
    "an older Elasticsearch": ({"number": "8.11.4"}, "platinum", [True, True, False]),
    "an Enterprise cluster": ({"number": "9.1.0"}, "enterprise", [True, True, True]),
    "a trial": ({"number": "9.1.0"}, "trial", [True, True, True]),
    "a platinum licence": ({"number": "9.1.0"}, "platinum", [True, True, False]),
}


@pytest.mark.parametrize(("version", "licence", "expected"), SERVERS.values(), ids=SERVERS.keys())
def test_roads_follow_from_what_the_server_says_of_itself(engine_url, version, licence, expected):
    def rule(request, _forward):
        path = request.path.partition("?")[0]
        if path == "/":
            return 200, {"version": version}
        if path.startswith("/_nodes"):
            modules = [{"name": "x-pack-core"}, {"name": "x-pack-ml"}]
            return 200, {
                "nodes": {"n": {"version": version["number"], "plugins": [{"name": "ltr"}], "modules": modules}}
            }
        if path == "/_license":
            return (200, {"license": {"type": licence}}) if licence else (400, {"error": "no handler found"})
        return None

    with front_door(engine_url, rule) as (url, _):
        assert [road.ready for road in scaffold.roads(connect(url))] == expected


def test_the_users_own_body_is_kept_word_for_word(engine_url, foreign, tmp_path):
    body = tmp_path / "body.json"
    text = """{ "size": 24,
      "query": {"bool": {"must": {"match": {"bezeichnung": "lampe rot"}},
                         "filter": [{"range": {"preis_eur": {"lte": 500}}}, {"term": {"lieferbar": true}}]}} }
"""
    body.write_text(text)
    assert init(engine_url, foreign, "-o", tmp_path / "mine", "--query", body, "--query-text", "lampe rot") == 0
    assert written(tmp_path / "mine")["query.json"] == text.replace("lampe rot", "{{query}}")
    experiment = read_experiment(tmp_path / "mine" / "experiment.toml")
    assert experiment.retrieval.body == "query.json"
    assert not experiment.retrieval.fields


def test_judgments_may_name_products_by_another_field(engine_url, foreign, tmp_path, capsys):
    by_id = {name: source["artikelnr"] for name, source in FOUND}
    path = tmp_path / "ratings.csv"
    rows = [f"{query},{by_id[name]},{grade}" for query, name, grade in judgments(FOUND)]
    path.write_text("\n".join(["query,docid,rating", *rows]))
    assert init(engine_url, foreign, "-o", tmp_path / "mine", "--judgments", path) == 0
    assert "name products by 'artikelnr' (200 of 200 found)" in capsys.readouterr().err
    experiment = read_experiment(tmp_path / "mine" / "experiment.toml")
    assert experiment.data.columns == {"product_id": "artikelnr"}
    assert experiment.retrieval.id_field == "artikelnr"
    assert "artikelnr" not in {
        name for each in read_feature_set(tmp_path / "mine" / "features.toml").sources for name in each.fields
    }


def test_judgments_of_another_index_are_told(engine_url, foreign, tmp_path, capsys):
    path = tmp_path / "ratings.csv"
    path.write_text("query,docid,rating\nlampe,zzz,7\n")
    assert init(engine_url, foreign, "-o", tmp_path / "mine", "--judgments", path) == 0
    assert "None of the judged products, such as 'zzz', is in the index" in capsys.readouterr().err
    assert read_experiment(tmp_path / "mine" / "experiment.toml").judgments.scale == "0-7"


def test_files_that_are_there_are_left_as_they_are(engine_url, foreign, tmp_path, capsys):
    (tmp_path / "features.toml").write_text("mine")
    assert init("http://127.0.0.1:9", foreign, "-o", tmp_path) == 2  # told before the engine is asked anything
    assert (
        "has features.toml already; name another directory with -o, or overwrite with --force"
        in capsys.readouterr().err
    )
    assert written(tmp_path) == {"features.toml": "mine"}
    assert init(engine_url, foreign, "-o", tmp_path, "--force") == 0
    assert set(written(tmp_path)) == set(scaffold.FILES)


def test_user_and_password_go_into_no_file_and_onto_no_screen(engine_url, foreign, tmp_path, capsys, monkeypatch):
    secret = engine_url.replace("://", "://elastic:geheim@")
    assert init(secret, foreign, "-o", tmp_path / "mine") == 0
    captured = capsys.readouterr()
    for text in (*written(tmp_path / "mine").values(), captured.out, captured.err):
        assert "geheim" not in text
    assert read_experiment(tmp_path / "mine" / "experiment.toml").data.url is None
    monkeypatch.setenv("LTR_ELASTICSEARCH_URL", secret)
    assert run(["init", "--index", foreign, "-o", str(tmp_path / "other")]) == 0
    assert read_experiment(tmp_path / "other" / "experiment.toml").data.url is None


def denied(_request, _forward):
    return 401, {"error": {"type": "security_exception", "reason": "missing authentication credentials"}, "status": 401}


FAULTS = {
    "nobody there": (["--url", "http://127.0.0.1:9"], r"does not answer.*check the URL"),
    "no URL": (["--url", "ftp://shop"], "is no engine's URL"),
    "no such index": (["--index", "ini-none"], r"has no index 'ini-none'"),
    "a web page": (["--query", "page.html"], r"page.html is not JSON"),
    "no such body": (["--query", "none.json"], r"none.json does not exist"),
    "words without a body": (["--query-text", "hat"], "--query-text is given without --query"),
    "no such judgments": (["--judgments", "none.csv"], r"none.csv does not exist"),
    "judgments without grades": (["--judgments", "bare.csv"], r"no column for grade"),
    "no such log": (["--log", "none.ndjson"], r"the log none.ndjson does not exist"),
    "judgments and a log": (["--judgments", "good.csv", "--log", "good.csv"], "give one of them"),
    "a body that the engine refuses": (
        ["--query", "wrong.json"],
        r"the engine refuses the search body.*unknown query \[matsch\]",
    ),
    "a field of another type": (
        ["--query", "typed.json"],
        r"the engine refuses the search body.*failed to create query",
    ),
}


@pytest.mark.parametrize(("options", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_is_one_sentence_and_no_file(
    engine_url, foreign, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ltr.engine.connection._LONGEST_WAIT_S", 0.01)
    files = {
        "page.html": "<html>",
        "bare.csv": "query,product_id\na,b\n",
        "good.csv": "query,product_id,grade\na,b,1\n",
        "wrong.json": '{"query": {"matsch": {"title": "{{query}}"}}}',
        "typed.json": '{"query": {"term": {"preis_eur": "{{query}}"}}}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    given = {"--url": engine_url, "--index": foreign}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    assert run(["init", *(part for pair in given.items() for part in pair), "-o", "mine"]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert len(err.strip().splitlines()) == 1
    assert not Path("mine").exists()


def test_wrong_credentials_are_one_sentence(engine_url, foreign, tmp_path, capsys):
    with front_door(engine_url, denied) as (url, _):
        assert init(url, foreign, "-o", tmp_path / "mine") == 2
    err = capsys.readouterr().err
    assert (
        "401: missing authentication credentials; set LTR_ELASTICSEARCH_API_KEY, or user and password in the URL" in err
    )
    assert not (tmp_path / "mine").exists()


def test_an_index_without_texts_is_no_catalogue(engine_url, engine, tmp_path, capsys):
    numbers = {"properties": {"a": {"type": "float"}, "b": {"type": "boolean"}}}
    with standing(engine, [("1", {"a": 1, "b": True})], mappings=numbers, settings={"number_of_replicas": 0}) as index:
        assert init(engine_url, index, "-o", tmp_path / "mine") == 2
    assert "has no field with texts that could name a product; it has a, b" in capsys.readouterr().err


def test_several_indexes_behind_one_name_are_told_where_they_differ(engine_url, engine, tmp_path, capsys):
    one = {"properties": {"title": {"type": "text"}, "price": {"type": "float"}}}
    other = {"properties": {"title": {"type": "text"}, "price": {"type": "keyword"}}}
    plain = {"number_of_replicas": 0}
    with (
        standing(engine, [("1", {"title": "red shoe", "price": 1.5})], mappings=one, settings=plain) as a,
        standing(engine, [("2", {"title": "blue hat", "price": "2"})], mappings=other, settings=plain) as b,
    ):
        assert init(engine_url, f"{a},{b}", "-o", tmp_path / "mine") == 0
    assert re.search(r"warning: Field 'price' is taken as \w+; it is \w+ in ini-", capsys.readouterr().err)


# ---- the whole road


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A working directory with a cache of its own, where nothing is tracked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def trained(name, capsys):
    options = ["--set", 'tracking.uri=""', "--set", "ranker.rounds=40", "--json"]
    code = run(["train", name, *options])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def test_from_an_index_to_a_ranker_without_editing_more_than_the_judgments_path(engine_url, foreign, alone, capsys):
    assert run(["init", "--url", engine_url, "--index", foreign]) == 0
    path = alone / "experiments" / foreign / "experiment.toml"
    write_judgments(alone / "mine.csv", FOUND)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('judgments = "judgments.csv"', 'judgments = "../../mine.csv"'), encoding="utf-8")
    assert text != path.read_text(encoding="utf-8")
    capsys.readouterr()
    result = trained(foreign, capsys)
    measures = {row: told["nDCG@10"]["mean"] for row, told in result["measures"].items()}
    assert measures["lightgbm"] > measures["retrieval"] + 0.02
    assert (path.parent / "catalogue.parquet").is_file()


def test_from_an_index_and_a_log_to_a_ranker(engine_url, engine, foreign, alone, capsys):
    generator = random.Random(7)
    asked = {query: [] for query, _, _ in judgments(FOUND)}
    for query, name, grade in judgments(FOUND):
        asked[query].append((name, grade))
    lines = []
    for number in range(600):
        query = generator.choice(list(asked))
        shown = generator.sample(asked[query], 8)
        second = number * 40.0
        lines.append(search(f"s{number}", [name for name, _ in shown], second, user_query=query))
        for position, (name, grade) in enumerate(shown, start=1):
            if generator.random() < (0.05 + 0.3 * grade) / position:
                lines.append(event("click", f"s{number}", name, position, second + position, user_query=query))
    (alone / "ubi.ndjson").write_text("\n".join(map(json.dumps, lines)))
    assert run(["init", "--url", engine_url, "--index", foreign, "--log", "ubi.ndjson", "--name", "clicks"]) == 0
    capsys.readouterr()
    experiment = read_experiment(alone / "experiments" / "clicks" / "experiment.toml")
    assert (experiment.judgments.source, experiment.judgments.log) == ("clicks", "../../ubi.ndjson")
    result = trained("clicks", capsys)
    assert "regression_em" in result["measures"]
