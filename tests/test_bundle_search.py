"""A shop's own search reranked by a bundle, on the real server."""

from dataclasses import replace

import numpy as np
import pytest

from ltr import bundle, bundle_search
from ltr.errors import ConfigError, EngineError
from ltr.features import definition, state

BODY = {"query": {"multi_match": {"query": "{{query}}", "fields": ["title", "description"]}}}


@pytest.fixture(scope="module")
def loaded(engine_trained):
    return bundle.load(engine_trained.bundle)


@pytest.fixture(scope="module")
def engine(loaded):
    return bundle_search.elastic(loaded)


MANY = "a light and comfortable shirt or dress in black, blue, red or white, for women or men"


def ids(answer):
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def test_hits_come_in_the_rankers_order_and_are_else_as_the_engine_gave_them(loaded, engine):
    found = bundle_search.search(loaded, engine, MANY, body=BODY, size=100)
    assert found.reason == ""
    assert ids(found.answer) == found.reranked["product_id"].to_list()
    assert sorted(ids(found.answer)) == sorted(found.retrieved["product_id"])
    assert found.reranked["product_id"].to_list() != found.retrieved["product_id"].to_list()
    scores = dict(zip(found.retrieved["product_id"], found.retrieved["score"], strict=True))
    for hit in found.answer["hits"]["hits"]:
        assert np.float32(hit["_score"]) == np.float32(scores[hit["_id"]])
        assert hit["_source"]["title"]
        assert "matched_queries" not in hit


def test_serving_sees_the_features_that_training_saw(loaded, engine):
    golden = loaded.golden
    for (query,), rows in list(golden.group_by("query", maintain_order=True))[:10]:
        found = bundle_search.search(loaded, engine, query, depth=30, size=30)
        assert found.retrieved["product_id"].to_list() == rows["product_id"].to_list()
        for name in loaded.feature_set.match:
            assert found.retrieved[f"match.{name}"].to_list() == rows[f"match.{name}"].to_list()
        order = rows.sort("score", descending=True, maintain_order=True)["product_id"].to_list()
        assert ids(found.answer) == order


def test_pages_of_one_search_are_one_list(loaded, engine):
    whole = ids(bundle_search.search(loaded, engine, MANY, body=BODY, depth=20, size=45).answer)
    pages = [
        bundle_search.search(loaded, engine, MANY, body=BODY, depth=20, offset=at, size=9).answer
        for at in range(0, 45, 9)
    ]
    assert len(whole) == 45
    assert [hit for page in pages for hit in ids(page)] == whole
    assert len(set(whole)) == len(whole)


def test_an_order_that_the_shopper_chose_is_left_alone(loaded, engine):
    body = BODY | {"sort": [{"price": "asc"}], "size": 20}
    found = bundle_search.search(loaded, engine, MANY, body=body)
    prices = [hit["sort"][0] for hit in found.answer["hits"]["hits"]]
    assert prices == sorted(prices)
    assert "the order is the shopper's" in found.reason
    assert found.reranked.height == found.retrieved.height == 0


def test_what_shoppers_type_is_text(loaded, engine):
    for text in ('shoes"', "title:shoes OR *", '{"match_all": {}}', "{{query}}", "shoes " * 10_000, "\x00", "(", " "):
        found = bundle_search.search(loaded, engine, text, body=BODY)
        assert sorted(ids(found.answer)) == sorted(found.retrieved["product_id"].head(10)) or found.reason == ""
    assert not bundle_search.search(loaded, engine, '{"match_all": {}}', body=BODY).answer["hits"]["hits"]


def test_a_search_that_finds_nothing_is_an_answer_without_hits(loaded, engine):
    found = bundle_search.search(loaded, engine, "qwertyuiop", body=BODY)
    assert ids(found.answer) == []
    assert found.retrieved.height == 0


def test_an_engine_that_is_not_there_is_an_error_and_a_bundle_without_one_says_so(loaded, small_bundle):
    with pytest.raises(EngineError, match="does not answer"):
        bundle_search.elastic(loaded, url="http://localhost:1")
    with pytest.raises(ConfigError, match="takes its candidates from its own catalogue"):
        bundle_search.elastic(bundle.load(small_bundle))


def test_features_that_the_engine_did_not_deliver_leave_its_order(loaded, engine):
    table = [each.table for each in loaded.feature_set.features]
    more = definition.parse(
        {"name": "more", "feature": [*table, {"name": "brand_match", "kind": "match", "field": "brand"}]}
    )
    found = bundle_search.search(replace(loaded, feature_set=more), engine, MANY, body=BODY)
    assert "lack the engine's score for feature 'brand_match'" in found.reason
    assert ids(found.answer) == found.retrieved["product_id"].head(10).to_list() != []
    assert found.reranked.equals(found.retrieved)


def test_candidates_that_the_catalogue_of_the_bundle_lacks_are_counted(loaded, engine):
    whole = bundle_search.search(loaded, engine, MANY, body=BODY)
    assert whole.notes == ()
    gone = whole.retrieved["product_id"].head(3)
    products = loaded.state.products
    others = state.build(
        products.filter(~products["product_id"].is_in(gone.implode())),
        loaded.feature_set,
        fields=loaded.facts.fields,
        encoder=None,
    )
    found = bundle_search.search(replace(loaded, state=others), engine, MANY, body=BODY)
    assert found.reason == ""
    assert found.notes == (
        f"3 of {whole.retrieved.height} candidates are not in the bundle's catalogue, and ranked without its fields: "
        "`ltr refresh` renews it",
    )
