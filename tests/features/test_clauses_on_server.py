"""Clauses asked of a real server: every document answers with an explicit number, and numbers are those of the state."""

import numpy as np
import polars as pl
import pytest

from ltr.engine import connect, fill
from ltr.features import compute, state
from ltr.features.clauses import explicit
from ltr.features.definition import parse
from made.indexes import made_index

PROPERTIES = {
    "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
    "brand": {"type": "keyword"},
    "price": {"type": "double"},
    "sold": {"type": "boolean"},
    "attributes": {"type": "nested", "properties": {"value": {"type": "text"}}},
}
DOCUMENTS = {
    "p0": {"title": "red shoe", "brand": "Ace", "price": 19.99, "sold": True, "attributes": [{"value": "red"}]},
    "p1": {"title": "Red Shoes", "price": -3.0, "sold": False, "attributes": [{"value": "blue"}, {"value": "red red"}]},
    "p2": {"title": "shoe, red or blue", "brand": "red", "price": 0.0},
    "p3": {"brand": "red shoe", "price": 123456789.125},
    "p4": {"title": "hat"},
}
FIELDS = {"title": "text", "brand": "keyword", "price": "number", "sold": "boolean", "attributes.value": "text"}


@pytest.fixture(scope="module")
def ask(engine_url):
    """Feature -> product -> score, of one query."""
    engine = connect(engine_url)
    with made_index(engine_url, DOCUMENTS, PROPERTIES) as index:

        def asked(text, /, **feature):
            made = parse({"name": "test", "feature": [{"name": "f", "missing": 0} | feature]}).features[0]
            clause = explicit(made, nested={"attributes.value": "attributes"}, booleans=["sold"], name="f")
            body = {"query": fill(clause, query=text), "size": 10}
            answer = engine.call("POST", f"/{index}/_search", body, params={"include_named_queries_score": True})
            scores = {hit["_id"]: hit["matched_queries"]["f"] for hit in answer["hits"]["hits"]}
            assert scores == {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}
            assert min(scores.values()) >= 0
            return [np.float32(scores[product]) for product in DOCUMENTS]

        yield asked
    engine.close()


def test_what_does_not_match_is_what_the_set_says(ask):
    found = ask("red shoe", kind="match", field="title")
    assert all(score > 0 for score in found[:3])
    assert found[3:] == [0, 0]
    half = ask("red shoe", kind="match", field="title", missing=0.5)
    assert half == [*found[:3], np.float32(0.5), np.float32(0.5)]


@pytest.mark.parametrize(
    ("feature", "matches"),
    [
        ({"operator": "and"}, [True, False, True, False, False]),
        ({"query": "match_phrase"}, [True, False, False, False, False]),
        ({"query": "match_phrase", "slop": 2}, [True, False, True, False, False]),
        ({"query": "match_phrase_prefix"}, [True, True, False, False, False]),
        ({"query": "match_bool_prefix", "operator": "and"}, [True, True, True, False, False]),
        ({"operator": "and", "fuzziness": "AUTO"}, [True, True, True, False, False]),
        ({"query": "term", "subfield": "raw"}, [True, False, False, False, False]),
    ],
)
def test_each_query_is_the_engines_own(ask, feature, matches):
    assert [score > 0 for score in ask("red shoe", kind="match", field="title", **feature)] == matches
    assert ask("red shoe", kind="match", field="title", constant=True, **feature) == matches


def test_several_fields_are_one_question(ask):
    best = ask("red shoe", kind="match", fields=["title", "brand"], type="best_fields")
    most = ask("red shoe", kind="match", fields=["title", "brand"], type="most_fields")
    assert best[0] == most[0] > 0
    assert most[3] == best[3] > 0
    assert ask("ace", kind="match", field="brand", query="fuzzy", fuzziness="1", constant=True) == [1, 0, 0, 0, 0]


def test_a_nested_object_gives_its_best_value(ask):
    found = ask("red", kind="match", field="attributes.value")
    assert [score > 0 for score in found] == [True, True, False, False, False]


def test_what_is_typed_is_never_syntax(ask):
    for text in ('"red" AND shoe*', '{"match_all": {}}', "title:red", "\\", "red\x00shoe", ""):
        assert ask(text, kind="match", field="brand", query="term", constant=True) == [0] * 5
        ask(text, kind="match", field="title")


@pytest.mark.parametrize(
    "feature",
    [
        {"field": "price", "at_least": 0},
        {"field": "price", "at_least": 0, "log": True},
        {"field": "price", "at_least": 20, "missing": 7.5},
        {"field": "sold"},
    ],
)
def test_numbers_are_those_of_the_state_to_the_last_bit(ask, feature):
    wanted = parse({"name": "test", "feature": [{"name": "f", "kind": "number", "missing": 0} | feature]})
    rows = [
        {"product_id": product, "price": each.get("price"), "sold": each.get("sold")}
        for product, each in DOCUMENTS.items()
    ]
    products = pl.DataFrame(rows, schema={"product_id": pl.String, "price": pl.Float64, "sold": pl.Boolean})
    built = state.build(products, wanted, fields={"price": "number", "sold": "boolean"}, encoder=None)
    ours = compute.online("red", list(DOCUMENTS), wanted, built)[:, 0]
    assert ours.tolist() == ask("red", kind="number", **feature)
