import copy
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltr.engine import connect, fill
from ltr.errors import CandidateError, ConfigError, EngineError
from ltr.frames import check
from made.front_door import front_door
from made.indexes import made_index
from made.small_shop import CLAUSES, PROPERTIES, Drawn, pairs

MATCH = {"match": {"title": {"query": "{{query}}"}}}
TERM = {"term": {"in_stock": True}}
TEXT = "red light shoe size"

# Bodies as shops have them, by what makes them special.
BODIES = {
    "a query": {"query": MATCH},
    "filters": {"query": {"bool": {"must": [MATCH], "filter": [TERM]}}, "post_filter": {"range": {"price": {"gte": 0}}}},
    "a boosted query": {"query": {"function_score": {"query": MATCH, "functions": [{"filter": TERM, "weight": 3}]}}},
    "a least score": {"query": MATCH, "min_score": 1.5},
    "sorted by score": {"query": MATCH, "sort": ["_score"]},
    "equal scores parted": {"query": MATCH, "sort": [{"_score": "desc"}, {"price": {"order": "asc", "missing": 3}}]},
    "collapse": {"query": MATCH, "collapse": {"field": "group", "inner_hits": {"name": "more", "size": 1}}},
    "a retriever": {"retriever": {"standard": {"query": MATCH, "filter": [TERM]}}},
    "neighbours of its own": {
        "query": MATCH,
        "knn": {"field": "title_vector", "query_vector": [1, 0, 0, 1, 0, 0], "k": 20, "num_candidates": 40},
    },
    "named clauses of its own": {"query": {"bool": {"should": [{"match": {"title": {"query": "{{query}}", "_name": "t"}}}]}}},
    "parts of documents": {"query": MATCH, "_source": ["title"], "fields": ["brand"], "highlight": {"fields": {"title": {}}}},
    "counts beside": {"query": MATCH, "aggs": {"brands": {"terms": {"field": "brand"}}}, "track_total_hits": True},
}  # fmt: skip

few = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(shop, body, **changed):
    """The shop's own search, as it would be without us."""
    answer = shop.engine.call("POST", f"/{shop.index}/_search", fill(body, query=TEXT) | changed)
    return {key: value for key, value in answer.items() if key != "took"}


def ids(answer):
    return [hit["_id"] for hit in answer["hits"]["hits"]]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_answer_is_the_shop_s_own_to_the_last_key(shop, build, body):
    before = copy.deepcopy(body)
    page = build().search(TEXT, body=body, depth=30, size=30)
    assert page.answer | {"took": 0} == plain(shop, body, size=30) | {"took": 0}
    assert page.rerankable
    assert page.notes == ()
    assert body == before


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_features_are_the_numbers_that_training_reads(shop, build, body):
    retriever = build()
    page = retriever.search(TEXT, body=body, depth=12)
    logged = retriever.score(pairs(TEXT, *page.product_ids)).to_dicts()
    by_product = {row["product_id"]: row for row in logged}
    for feature in CLAUSES:
        expected = [by_product[product][f"match.{feature}"] for product in page.product_ids]
        np.testing.assert_array_equal(page.match[feature], np.float32(expected))
    assert page.match["title_match"].max() > 0


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_candidates_are_the_first_hits_with_their_scores(shop, build, body):
    page = build().search(TEXT, body=body, depth=7, size=3)
    expected = plain(shop, body, size=7)["hits"]["hits"]
    assert list(page.product_ids) == [hit["_id"] for hit in expected]
    assert page.scores.tolist() == [np.float32(hit["_score"]) for hit in expected]
    run = check(page.run("q"), "run")
    assert run["product_id"].to_list() == list(page.product_ids)
    assert run.columns == ["query_id", "product_id", "rank", "score", *[f"match.{feature}" for feature in CLAUSES]]


@few
@given(st.sampled_from(list(BODIES)), st.integers(1, 45), st.integers(1, 13), st.integers(0, 9))
def test_pages_are_cut_out_of_one_list(shop, build, name, depth, size, seed):
    """Page after page, reranked, is the window in its new order and then the engine's own: none lost, none twice."""
    body, retriever = BODIES[name], build()
    every = ids(plain(shop, body, size=100))
    order = every[:depth]
    random.Random(seed).shuffle(order)
    found, answers = [], 0
    for offset in range(0, len(every) + size, size):
        page = retriever.search(TEXT, body=body, depth=depth, offset=offset, size=size)
        assert page.rerankable == (offset < min(depth, len(every)))
        assert set(page.product_ids) in (set(order), set())
        found += ids(page.reranked(order))
        answers += 1
    assert found == order + every[depth:]
    assert answers == -(-(len(every) + size) // size)


def test_a_page_that_is_not_reranked_is_the_engine_s(shop, build):
    body = {"query": MATCH, "from": 8, "size": 6}
    page = build().search(TEXT, body=body, depth=10)
    assert ids(page.answer) == ids(plain(shop, body))
    assert ids(page.reranked(page.product_ids)) == ids(page.answer)


def test_offset_and_size_go_before_the_body_s_own(shop, build):
    page = build().search(TEXT, body={"query": MATCH, "from": 20, "size": 6}, offset=2, size=3)
    assert ids(page.answer) == ids(plain(shop, {"query": MATCH}))[2:5]
    assert ids(build().search(TEXT, body={"query": MATCH}).answer) == ids(plain(shop, {"query": MATCH}))


UNTOUCHED = {
    "sorted by price": {"query": MATCH, "sort": [{"price": "asc"}]},
    "sorted by price, then score": {"query": MATCH, "sort": ["price", "_score"]},
    "the worst first": {"query": MATCH, "sort": [{"_score": "asc"}]},
    "after a hit": {"query": MATCH, "sort": ["_score", {"sku": "asc"}], "search_after": [1.0, "s-1"]},
    "counts alone": {"query": MATCH, "size": 0, "aggs": {"brands": {"terms": {"field": "brand"}}}},
    "no hits": {"query": {"match": {"title": "zeppelin"}}},
}


@pytest.mark.parametrize("body", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_may_not_be_reranked_comes_as_it_is(shop, build, body):
    page = build().search(TEXT, body=body)
    assert page.answer | {"took": 0} == plain(shop, body) | {"took": 0}
    assert not page.rerankable
    assert page.reranked(()) == page.answer
    assert page.run().height == 0


def test_a_page_beyond_the_window_is_one_plain_request(shop, build):
    with front_door(shop.url, lambda *_: None) as (url, came):
        engine = connect(url)
        retriever = build(engine=engine)
        came.clear()
        page = retriever.search(TEXT, body={"query": MATCH}, depth=5, offset=5, size=3)
        assert [request.json for request in came] == [{"query": fill(MATCH, query=TEXT), "from": 5, "size": 3}]
        assert "beyond the first 5 hits" in page.notes[0]
        came.clear()
        retriever.search(TEXT, body={"query": MATCH}, depth=5, size=3)
        assert len(came) == 1  # features ride along
        engine.close()


def test_one_text_is_always_answered_by_the_same_copies(shop, build):
    with front_door(shop.url, lambda *_: None) as (url, came):
        engine = connect(url)
        retriever = build(engine=engine)
        for text in ("red", "red", "blue"):
            retriever.search(text)
        asked = [request.path.partition("preference=")[2] for request in came if "_search?" in request.path]
        assert asked[0] == asked[1] != asked[2]
        engine.close()


def test_a_rescore_of_the_shop_s_own_keeps_its_say(shop, build):
    rescore = {
        "window_size": 6,
        "query": {"rescore_query": {"match_phrase": {"title": "shoe size"}}, "query_weight": 0.1},
    }
    body = {"query": MATCH, "rescore": rescore}
    page = build().search(TEXT, body=body, depth=30, size=6)
    # Beyond its own window a rescore changes what is in it, so no more than that is asked for.
    assert list(page.product_ids) == ids(plain(shop, body, size=6))
    assert ids(page.answer) == list(page.product_ids)


def test_a_point_in_time_names_its_index_itself(shop, build):
    pit = shop.engine.call("POST", f"/{shop.index}/_pit", params={"keep_alive": "1m"})["id"]
    try:
        page = build().search(TEXT, body={"query": MATCH, "pit": {"id": pit, "keep_alive": "1m"}}, depth=5, size=3)
        assert page.rerankable
        assert ids(page.answer) == ids(plain(shop, {"query": MATCH}))[:3]
    finally:
        shop.engine.call("DELETE", "/_pit", {"id": pit})


def test_names_of_ours_are_taken_out_and_the_shop_s_stay_a_list(build):
    hits = build().search(TEXT, body=BODIES["named clauses of its own"]).answer["hits"]["hits"]
    assert {tuple(hit["matched_queries"]) for hit in hits} == {("t",)}
    hits = build().search(TEXT, body={"query": MATCH}).answer["hits"]["hits"]
    assert not any("matched_queries" in hit for hit in hits)


def test_an_id_field_is_asked_for_and_taken_out_again(shop, build):
    retriever = build(id_field="sku")
    page = retriever.search(TEXT, body={"query": MATCH}, depth=5, size=3)
    assert [product.replace("s-", "p") for product in page.product_ids] == ids(plain(shop, {"query": MATCH}))[:5]
    assert page.answer | {"took": 0} == plain(shop, {"query": MATCH}, size=3) | {"took": 0}
    wanted = {"query": MATCH, "fields": ["sku", "brand"]}
    assert retriever.search(TEXT, body=wanted).answer["hits"] == plain(shop, wanted)["hits"]
    same = {"query": MATCH, "docvalue_fields": ["brand"]}
    assert retriever.search(TEXT, body=same).answer["hits"] == plain(shop, same)["hits"]


def test_hits_that_are_no_single_products_are_not_reranked(shop, build):
    page = build(id_field="group").search("light", body={"query": MATCH}, size=20)
    assert not page.rerankable
    assert "one is there twice" in page.notes[0]
    assert len(ids(page.answer)) == 20
    nameless = build().search("light", body={"query": MATCH, "stored_fields": "_none_"})
    assert not nameless.rerankable
    assert len(nameless.answer["hits"]["hits"]) == 10


def test_an_order_must_have_each_candidate_once(build):
    page = build().search(TEXT, depth=5)
    assert page.rerankable
    for order in (page.product_ids[:4], [*page.product_ids, "p99"], [page.product_ids[0]] * 5, ["p99"] * 5):
        with pytest.raises(CandidateError, match="not each of the 5 candidates once"):
            page.reranked(order)


def test_reranking_changes_nothing_but_the_order_of_hits(build):
    page = build().search(TEXT, body=BODIES["counts beside"], depth=8, size=8)
    before = copy.deepcopy(page.answer)
    after = page.reranked(page.product_ids[::-1])
    assert after == before | {"hits": before["hits"] | {"hits": before["hits"]["hits"][::-1]}}
    assert page.answer == before


def test_the_experiment_s_own_body_is_the_default(shop, build):
    body = {"query": {"bool": {"must": [MATCH], "filter": [TERM]}}, "size": 4}
    assert ids(build(body=body).search(TEXT).answer) == ids(plain(shop, body))
    with_text = {"query": {"match": {"title": 'written "here"'}}}
    assert build(body=body).search("x", body=with_text).answer["hits"] == plain(shop, with_text)["hits"]


def test_a_text_that_no_request_could_carry_is_cleaned_and_a_long_one_cut(build):
    retriever = build()
    assert retriever.search("red \ud83d shoe").product_ids == retriever.search("red \ufffd shoe").product_ids
    assert retriever.search("red \ud83d\ude00 shoe").notes == ()
    page = retriever.search("red " + "shoe " * 10_000)
    assert page.rerankable
    assert "the first 64 words were asked for" in page.notes[0]
    assert not retriever.search("").rerankable


@pytest.mark.parametrize("policy", [{"depth": 0}, {"offset": -1}, {"size": -1}], ids=str)
def test_pages_out_of_bounds_are_refused(build, policy):
    with pytest.raises(CandidateError, match="give a depth from 1"):
        build().search("red", **policy)


def test_a_body_that_the_engine_refuses_is_the_caller_s_fault(build):
    with pytest.raises(EngineError, match=r"400: .*unknown query \[macth\]"):
        build().search("red", body={"query": {"macth": {"title": "red"}}})
    with pytest.raises(EngineError, match="Result window is too large"):
        build().search("red", body={"query": MATCH}, offset=10_000)


def test_a_clause_that_fails_leaves_the_shop_s_answer_whole(shop, build):
    retriever = build(clauses={"price": {"term": {"price": "{{query}}"}}}, missing={})  # words are no number
    page = retriever.search(TEXT, body=BODIES["counts beside"])
    assert page.answer | {"took": 0} == plain(shop, BODIES["counts beside"]) | {"took": 0}
    assert not page.rerankable
    assert "nothing may be reranked" in page.notes[0]
    collapsed = retriever.search(TEXT, body=BODIES["collapse"])
    assert ids(collapsed.answer) == ids(plain(shop, BODIES["collapse"]))
    assert "nothing may be reranked" in collapsed.notes[0]


def fused(retriever, **policy):
    return retriever.search(TEXT, depth=policy.pop("depth", 10), **policy)


def test_with_vectors_the_window_is_that_of_training(shop, build):
    retriever = build(vector="title")
    page = fused(retriever)
    run = retriever.retrieve(pairs(TEXT, "x").select("query_id", "query"), depth=10)
    assert page.run("q").equals(run)
    assert [hit["_score"] for hit in page.answer["hits"]["hits"]] == page.scores.tolist()
    assert all("title" in hit["_source"] for hit in page.answer["hits"]["hits"])


@few
@given(st.integers(1, 45), st.integers(1, 13), st.booleans())
def test_with_vectors_too_pages_are_cut_out_of_one_list(shop, build, depth, size, filtered):
    body = {"query": {"bool": {"must": [MATCH], "filter": [TERM]}}} if filtered else {"query": MATCH}
    retriever = build(vector="title")
    lexical = ids(plain(shop, body, size=100))
    window = list(fused(retriever, body=body, depth=depth).product_ids)
    every = window[::-1] + [product for product in lexical if product not in window]
    found = []
    for offset in range(0, len(every) + size, size):
        found += ids(fused(retriever, body=body, depth=depth, offset=offset, size=size).reranked(window[::-1]))
    assert found == every


@pytest.mark.parametrize("kept", [{}, {"post_filter": {"term": {"in_stock": True}}}], ids=["", "filtered after"])
def test_a_neighbour_far_down_the_lexical_list_is_on_one_page_only(engine_url, build, kept):
    vector = {"title_vector": Drawn().encode_queries([TEXT])[0].tolist()}
    made = {
        f"d{at:03}": {"title": TEXT + " light" * at, "in_stock": at % 10 > 0} | (vector if at > 110 else {})
        for at in range(125)
    }
    with made_index(engine_url, made, PROPERTIES) as index:
        retriever = build(index=index, vector="title")
        found = [
            product
            for offset in range(0, 130, 7)
            for product in ids(fused(retriever, body={"query": MATCH} | kept, offset=offset, size=7).answer)
        ]
    assert sorted(found) == sorted(key for key, each in made.items() if not kept or each["in_stock"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"query": "red"}, "query of the search body is 'red'"),
        ({"query": {"bool": ["red"]}}, "query.bool of the search body"),
        ({"query": MATCH, "rescore": ["red"]}, "rescore of the search body is 'red'"),
        ({"query": MATCH, "rescore": {"window_size": "many"}}, "window_size of the search body is 'many'"),
        ({"retriever": "red"}, "retriever of the search body"),
        ({"retriever": {"rrf": []}}, "retriever.rrf of the search body"),
        ({"query": MATCH, "rank": {"rrf": 60}}, "rank.rrf of the search body is 60"),
        ({"query": MATCH, "collapse": "group"}, "collapse of the search body"),
        ({"query": MATCH, "from": "the third"}, "from of the search body"),
        ({"query": MATCH, "size": None}, "size of the search body"),
    ],
)
def test_a_body_of_a_shape_that_no_engine_takes_is_one_sentence(build, body, told):
    with pytest.raises(ConfigError, match=told):
        build().search(TEXT, body=body)


def test_a_body_with_a_ranking_of_its_own_is_joined_by_no_neighbours(shop, build):
    for name in ("collapse", "a retriever", "neighbours of its own"):
        assert ids(fused(build(vector="title"), body=BODIES[name]).answer) == ids(plain(shop, BODIES[name]))
