"""Clauses against Elasticsearch's documented query language; against the real server in tests/retrieval/test_elastic*.py."""

import pytest

from ltr.errors import ExportError
from ltr.features.clauses import clause, clauses, explicit, missing, unsupported
from ltr.features.definition import parse


def one(**feature):
    return parse({"name": "test", "feature": [{"name": "f", "missing": 0} | feature]}).features[0]


def match(**params):
    return one(kind="match", **params)


QUERIES = {
    "terms": (match(field="title"), {"match": {"title": {"query": "{{query}}"}}}),
    "all": (
        match(field="title", operator="and", fuzziness="AUTO"),
        {"match": {"title": {"query": "{{query}}", "operator": "and", "fuzziness": "AUTO"}}},
    ),
    "constant": (
        match(field="title", constant=True),
        {"constant_score": {"filter": {"match": {"title": {"query": "{{query}}"}}}}},
    ),
    "phrase": (
        match(field="title", query="match_phrase", slop=2),
        {"match_phrase": {"title": {"query": "{{query}}", "slop": 2}}},
    ),
    "prefix": (
        match(field="title", query="match_bool_prefix"),
        {"match_bool_prefix": {"title": {"query": "{{query}}"}}},
    ),
    "term": (match(field="title", query="term", subfield="raw"), {"term": {"title.raw": {"value": "{{query}}"}}}),
    "fuzzy": (
        match(field="brand", query="fuzzy", fuzziness="1"),
        {"fuzzy": {"brand": {"value": "{{query}}", "fuzziness": "1"}}},
    ),
    "several": (
        match(fields=["title", "brand.name"], type="cross_fields", subfield="text"),
        {"multi_match": {"query": "{{query}}", "type": "cross_fields", "fields": ["title.text", "brand.name.text"]}},
    ),
    "number": (
        one(kind="number", field="price", at_least=0.5),
        {
            "function_score": {
                "query": {"range": {"price": {"gte": 0.5}}},
                "field_value_factor": {"field": "price"},
                "boost_mode": "replace",
            }
        },
    ),
    "log": (
        one(kind="number", field="price", log=True, at_least=0),
        {
            "function_score": {
                "query": {"range": {"price": {"gte": 0.0}}},
                "field_value_factor": {"field": "price", "modifier": "ln1p"},
                "boost_mode": "replace",
            }
        },
    ),
}


@pytest.mark.parametrize(("feature", "query"), QUERIES.values(), ids=QUERIES.keys())
def test_a_feature_is_one_query(feature, query):
    assert clause(feature) == query


def test_explicit_matches_every_product_and_says_what_it_is_where_it_does_not():
    asked = {"match": {"title": {"query": "{{query}}"}}}
    everything = {"match_all": {"boost": 0}}
    assert explicit(match(field="title")) == {"bool": {"must": [everything], "should": [asked]}}
    half = explicit(match(field="title", missing=0.5), name="f")
    absent = {"constant_score": {"filter": {"bool": {"must_not": [asked]}}, "boost": 0.5}}
    assert half == {"bool": {"must": [everything], "should": [asked, absent], "_name": "f"}}


def test_a_field_of_a_nested_object_is_asked_within_it():
    nested = {"attributes.value": "attributes", "offers.price": "offers"}
    asked = {"match": {"attributes.value": {"query": "{{query}}"}}}
    found = clause(match(field="attributes.value"), nested=nested)
    assert found == {"nested": {"path": "attributes", "query": asked, "score_mode": "max"}}
    price = clause(one(kind="number", field="offers.price", at_least=0), nested=nested)
    assert (price["nested"]["path"], price["nested"]["score_mode"]) == ("offers", "min")
    with pytest.raises(ExportError, match="in nested objects and outside; split it"):
        clause(match(fields=["title", "attributes.value"]), nested=nested)


def test_a_field_of_true_and_false_is_one_where_it_is_true():
    flag = one(kind="number", field="in_stock")
    found = clause(flag, booleans=["in_stock"])
    assert found == {"constant_score": {"filter": {"term": {"in_stock": {"value": True}}}}}
    assert explicit(flag, booleans=["in_stock"])["bool"]["should"] == [found]
    for wrong in ({"log": True}, {"at_least": 0.5}, {"missing": 1}):
        with pytest.raises(ExportError, match="declare missing = 0 and no more"):
            clause(one(kind="number", field="in_stock", **wrong), booleans=["in_stock"])


UNFIT = {
    "cosine": ({"kind": "cosine", "field": "title"}, "kind 'cosine' is worked out by ltr alone; serve it, or leave it out"),
    "bm25": ({"kind": "bm25", "field": "title"}, "asks the engine for its own BM25"),
    "list": ({"kind": "relative", "field": "price"}, "scores one product at a time and never sees the list"),
    "form": ({"kind": "number", "field": "price", "at_least": 0, "as": "zscore"}, "never sees the list"),
    "query": ({"kind": "query_length"}, "of the query alone"),
    "learnt": ({"kind": "judged_rate"}, "learnt from judgments"),
    "missing": ({"kind": "match", "field": "title", "missing": None}, "declare missing = 0"),
    "missing below": ({"kind": "match", "field": "title", "missing": -1}, "declare missing = 0"),
    "negative": ({"kind": "number", "field": "price"}, "declare at_least = 0"),
    "below": ({"kind": "number", "field": "price", "at_least": -5}, "never negative; declare at_least = 0"),
}  # fmt: skip


@pytest.mark.parametrize(("feature", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_what_no_engine_expresses_is_told_with_what_could_be_done(feature, why):
    table = {"name": "f", "missing": 0} | feature
    table = {key: value for key, value in table.items() if value is not None}
    wanted = parse({"name": "test", "feature": [table, {"name": "g", "kind": "match", "field": "tags", "missing": 0}]})
    told = unsupported(wanted)
    assert told.keys() == {"f"}
    assert why in told["f"]
    with pytest.raises(ExportError, match="feature 'f': "):
        explicit(wanted.features[0])


def test_candidates_come_with_features_of_kind_match_whatever_they_count_as_when_absent():
    wanted = parse(
        {
            "name": "test",
            "feature": [
                {"name": "a", "kind": "match", "field": "title"},
                {"name": "b", "kind": "match", "field": "tags", "missing": 0},
                {"name": "c", "kind": "match", "field": "brand", "missing": -1},
                {"name": "d", "kind": "number", "field": "price", "at_least": 0, "missing": 0},
            ],
        }
    )
    assert clauses(wanted).keys() == {"a", "b", "c"}
    assert clauses(wanted)["c"] == {"match": {"brand": {"query": "{{query}}"}}}
    assert missing(wanted) == {"b": 0.0, "c": -1.0}
