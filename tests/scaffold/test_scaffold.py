"""The files that follow from what an index's fields are taken for; without a server."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import scaffold
from ltr.config import parse as parse_experiment
from ltr.config import read_experiment
from ltr.engine.mapping import EngineField, Subfield
from ltr.errors import ConfigError
from ltr.features.clauses import unsupported
from ltr.features.definition import parse
from ltr.scaffold import query as scaffold_query
from ltr.scaffold.experiment_file import Facts, experiment_toml
from ltr.scaffold.feature_file import chosen, features_toml, slugs
from ltr.scaffold.fields import Guess, Sample

FACTS = Facts(
    "shop", "http://localhost:9200", False, "shop", 9, None, "judgments.csv", 60, "0-3", None, "english", True
)  # fmt: skip


# ---- features.toml


def made(role, field, **sample):
    return Guess(field, role, "because", Sample(**{"filled": 1.0, "recurring": 9, **sample}))


TITLE = made("title", EngineField("name", "text"))
RICH = [
    made(
        "title",
        EngineField("name", "text", {"raw": Subfield("keyword", None, "lower"), "pairs": Subfield("text", "p")}),
    ),
    made("brand", EngineField("brand.name", "keyword", {"text": Subfield("text")})),
    made("tags", EngineField("attrs.value", "text", nested="attrs")),
    made("identifier", EngineField("ean", "keyword")),
    made("description", EngineField("about", "text", positions=False)),
    made("text", EngineField("everything", "text", fed=True), filled=0.0),
    made("price", EngineField("price", "float", doc_values=True), low=-1.0, high=99.0),
    made("number", EngineField("year", "integer", doc_values=True), low=1990.0, high=2024.0, whole=True),
    made("stock", EngineField("available", "boolean", doc_values=True)),
    made("date", EngineField("at", "date", doc_values=True)),
    made("link", EngineField("image", "keyword", indexed=False)),
]


def feature_set(guesses, **options):
    text = features_toml(guesses, **{"name": "shop", "language": "english", **options})
    return parse(tomllib.loads(text), where="features.toml"), text


def test_the_first_part_is_what_an_engine_can_work_out_all_of_it():
    found, text = feature_set(RICH)
    engine, _, ours = text.partition("# ---- Worked out by ltr")
    expressible = set(found.names) - unsupported(found, booleans=["available"]).keys()
    assert {line.split('"')[1] for line in engine.splitlines() if line.startswith("name = ")} - {"shop"} == expressible
    assert not any(f'name = "{name}"\n' in ours for name in expressible)
    for feature in found.features:
        if feature.name in expressible:
            assert feature.missing == 0.0
        if feature.kind == "number" and feature.name in expressible - {"available"}:
            assert feature.params.at_least == 0.0
    (priced,) = (line for line in engine.splitlines() if line.startswith("# price: "))
    assert "below 0 counts as missing" in priced
    assert engine.count("below 0") == 1, "year has nothing below"


def test_what_is_asked_of_the_engine_is_what_the_mapping_allows():
    found, _ = feature_set(RICH)
    asked = {name: params.model_dump(exclude_defaults=True) for name, params in found.match.items()}
    assert asked["name_raw_is"] == {"field": "name", "query": "term", "subfield": "raw", "constant": True}
    assert asked["name_pairs_match"] == {"field": "name", "subfield": "pairs"}
    assert asked["brand_name_text_match"] == {"field": "brand.name", "subfield": "text"}
    assert asked["ean_is"] == {"field": "ean", "query": "term", "constant": True}
    assert "about_phrase_match" not in asked  # without positions
    assert "brand_name_match" not in asked  # a keyword is matched as a whole
    assert asked["all_match"]["fields"] == ("name", "everything", "about")  # in one document, not in nested ones
    assert "everything_match" in asked


def test_what_no_document_has_is_left_to_the_engine():
    found, _ = feature_set(RICH)
    read = {
        name
        for feature in found.features
        if feature.kind != "match"
        for each in feature.sources
        for name in each.fields
    }
    assert "everything" not in read
    assert {"image", "at"} & read == set()


def test_meaning_is_for_english_and_else_a_comment():
    found, _ = feature_set(RICH)
    assert {"name_cosine", "about_cosine"} <= set(found.names)
    german, text = feature_set(RICH, language="german")
    assert "name_cosine" not in german.names
    assert german.analyzer == "german"
    block = [line[2:] for line in text.splitlines() if line.startswith("# ") and "multilingual" not in line]
    start = block.index("[[feature]]")
    taken = tomllib.loads("\n".join(block[start : block.index("---- Fields without a feature")]))
    assert [each["kind"] for each in taken["feature"]] == ["cosine", "cosine"]


def test_fields_without_a_feature_are_named_with_the_reason():
    _, text = feature_set(RICH)
    assert "# image: link; because" in text
    assert "# at: date; because" in text


def test_of_many_fields_the_fullest_few_get_features():
    many = [made("facet", EngineField(f"f{at}", "keyword"), filled=at / 50) for at in range(50)]
    assert [each.name for each in chosen([TITLE, *many])] == ["name", "f49", "f48", "f47", "f46", "f45", "f44"]


ODD = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["all", "query", "Größe", "a.b", "a_b", "a-b", 'q"uote', "new\nline", "0", ":", "a", "a_match", "a_relative", "a_0"]
)


@settings(max_examples=60)
@given(
    st.lists(ODD, min_size=1, max_size=6, unique=True),
    st.lists(st.sampled_from(["title", "brand", "facet", "text", "price", "tags"]), min_size=6, max_size=6),
    ODD,
)
def test_whatever_fields_are_called_the_files_are_read_back(names, given_roles, subfield):
    fields = [
        made(role, EngineField(name, "float", doc_values=True))
        if role == "price"
        else made(role, EngineField(name, "text", {subfield: Subfield("text"), subfield + "_": Subfield("text")}))
        for name, role in zip(names, given_roles, strict=False)
    ]
    found, _ = feature_set(fields)
    assert {name for each in found.match.values() for name in (each.fields or (each.field,))} <= set(names)
    assert len(set(slugs(fields).values())) == len(names)
    text = experiment_toml(FACTS, chosen(fields), scaffold_query.weights(fields))
    parse_experiment(tomllib.loads(text))


# ---- experiment.toml


def commented(text):
    """[key = value] as overrides, for each setting that stands in a comment."""
    section = ""
    for line in text.splitlines():
        plain = line.removeprefix("# ")
        if plain.startswith("["):
            section = plain[1 : plain.index("]")]
        elif line.startswith("# ") and " = " in plain and not plain.split(" = ")[0].count(" "):
            key, _, value = plain.split("    #")[0].partition(" = ")
            yield f"{section}.{key}={value}"


EXPERIMENTS = {
    "judged": FACTS,
    "nobody has judged yet": Facts(**{**FACTS.__dict__, "judgments": None, "queries": None}),
    "from clicks": Facts(**{**FACTS.__dict__, "judgments": None, "queries": None, "log": "ubi.ndjson", "made": False}),
    "with a password": Facts(**{**FACTS.__dict__, "secret": True, "id_field": "sku"}),
}


@pytest.mark.parametrize("facts", EXPERIMENTS.values(), ids=EXPERIMENTS.keys())
def test_the_experiment_is_read_and_so_is_each_setting_in_a_comment(facts, tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(experiment_toml(facts, RICH, scaffold_query.weights(RICH)), encoding="utf-8")
    experiment = read_experiment(path)
    assert (experiment.data.source, experiment.index, experiment.retrieval.body) == (
        "elasticsearch",
        "shop",
        "query.json",
    )
    assert experiment.retrieval.nested == {"attrs.value": "attrs"}
    assert experiment.data.columns == {"product_id": facts.id_field or "_id"}
    assert experiment.retrieval.id_field == facts.id_field
    assert experiment.data.url == (None if facts.secret else facts.url)
    settings = list(commented(path.read_text(encoding="utf-8")))
    assert settings
    for override in settings:
        text = path.read_text(encoding="utf-8")
        if override.startswith("retrieval.fields"):  # instead of the body
            text = text.replace('body = "query.json"', "#")
        (tmp_path / "other.toml").write_text(text, encoding="utf-8")
        folded = ["split.folds=5"] if "repeats" in override else []
        read_experiment(tmp_path / "other.toml", overrides=[*folded, override])


def test_few_judged_queries_are_folded_and_many_are_split():
    few = parse_experiment(tomllib.loads(experiment_toml(FACTS, RICH, {})))
    assert (few.split.folds, few.split.dev) == (5, 0.2)
    many = Facts(**{**FACTS.__dict__, "queries": 301})
    assert parse_experiment(tomllib.loads(experiment_toml(many, RICH, {}))).split.folds is None


def test_a_title_that_is_a_keyword_is_declared_as_text():
    title = made("title", EngineField("name", "keyword"))
    experiment = parse_experiment(tomllib.loads(experiment_toml(FACTS, [title], {})))
    assert experiment.data.fields == {"name": "text"}


# ---- query.json


BODIES = {
    "a string that is the text": ('{"a": "red shoes", "b": 1}', '{"a": "{{query}}", "b": 1}'),
    "every string that is it": ('{"a":["red shoes",{"q":"red shoes"}]}', '{"a":["{{query}}",{"q":"{{query}}"}]}'),
    "not a string that only holds it, where one is it": (
        '{"a": "red shoes", "t": "title: red shoes"}',
        '{"a": "{{query}}", "t": "title: red shoes"}',
    ),
    "else within a string": ('{"q": "title:(red shoes) AND x"}', '{"q": "title:({{query}}) AND x"}'),
    "never a key": ('{"red shoes": "red shoes"}', '{"red shoes": "{{query}}"}'),
    "blanks stay": ('{\n\t"q" :  "red shoes"\n}\n', '{\n\t"q" :  "{{query}}"\n}\n'),
    "escapes are read": ('{"q": "red\\u0020shoes", "x": "\\"é\\""}', '{"q": "{{query}}", "x": "\\"é\\""}'),
}


@pytest.mark.parametrize(("given_body", "expected"), BODIES.values(), ids=BODIES.keys())
def test_the_shoppers_words_become_the_placeholder_and_nothing_else_moves(given_body, expected):
    assert scaffold_query.marked(given_body, "red shoes", where="body.json") == expected


def test_a_body_with_the_placeholder_is_kept_to_the_letter(tmp_path):
    path = tmp_path / "body.json"
    text = '{ "query": {"match": {"title":"{{query}}"}} ,\n "size":24}\n\n'
    path.write_bytes(text.encode())
    assert scaffold_query.read(path, None) == text


REFUSED = {
    "no placeholder": ('{"query": {}}', None, r"has no {{query}}; write {{query}} where"),
    "another text": ('{"query": "hat"}', "red shoes", "has no string with 'red shoes'"),
    "an empty text": ('{"query": "hat"}', " ", "--query-text is empty"),
    "no JSON": (
        '{"query": {{#toJson}}q{{/toJson}} }',
        None,
        "is not JSON: .*; give the body that your application sends",
    ),
    "no object": ('["{{query}}"]', None, "is no search body"),
}


@pytest.mark.parametrize(("given_body", "text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_body_is_refused(given_body, text, message, tmp_path):
    path = tmp_path / "body.json"
    path.write_text(given_body)
    with pytest.raises(ConfigError, match=message):
        scaffold_query.read(path, text)


def test_a_body_to_start_from_searches_all_texts_nested_ones_beside_them():
    body = scaffold_query.body_of(RICH)
    (must,) = body["query"]["bool"]["must"]
    flat, nested = must["bool"]["should"]
    assert flat["multi_match"]["fields"] == [
        "name^3",
        "brand.name.text^2",
        "ean^2",
        "about^0.5",
        "everything",
    ]
    assert nested["nested"]["path"] == "attrs"
    assert nested["nested"]["query"]["multi_match"]["fields"] == ["attrs.value"]
    alone = scaffold_query.body_of([TITLE])["query"]["bool"]
    assert alone == {"must": [{"multi_match": {**flat["multi_match"], "fields": ["name^3"]}}], "filter": []}
    assert json.dumps(scaffold_query.body_of(RICH[2:3])).count("multi_match") == 1  # nothing outside the nested object


# ---- writing


def planned(text="x"):
    return scaffold.Plan(dict.fromkeys(scaffold.FILES, text), FACTS, RICH, ())


def test_files_that_are_there_are_left_alone(tmp_path):
    (tmp_path / "query.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"has query.json already; name another directory with -o, or .* --force"):
        scaffold.write(planned(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["query.json"]
    scaffold.write(planned("new"), tmp_path, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(scaffold.FILES, "new")


@pytest.mark.parametrize("method", ["mkdir", "write_bytes"])
def test_a_directory_that_cannot_be_written_is_refused(tmp_path, monkeypatch, method):
    def denied(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, method, denied)
    with pytest.raises(ConfigError, match=r"new cannot be written: Permission denied; name another with -o"):
        scaffold.write(planned(), tmp_path / "new")


def test_a_file_in_the_directorys_place_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(ConfigError, match="is no directory"):
        scaffold.write(planned(), tmp_path / "taken")


@given(st.text(max_size=90))
def test_any_index_gives_a_name_that_an_experiment_may_have(index):
    assert parse_experiment({"name": scaffold.name_of(index), "data": {"source": "shop"}}).name
