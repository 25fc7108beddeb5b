import pytest

from ltr.errors import ConfigError
from ltr.retrieval.candidates import filters, multi_match, ordering, query_of, relevance

MATCH = {"match": {"title": "{{query}}"}}

SORTS = {
    "none": (None, True),
    "the score": ("_score", True),
    "the score in a list": (["_score"], True),
    "the score, then another": (["_score", {"price": "asc"}], True),
    "the score with its order": ([{"_score": {"order": "desc"}}], True),
    "the score with its order, in short": ({"_score": "desc"}, True),
    "the worst first": ([{"_score": {"order": "asc"}}], False),
    "a field": ("price", False),
    "a field with its order": ([{"price": {"order": "desc", "missing": "_last"}}, "_score"], False),
    "the order of the index": (["_doc"], False),
    "nothing in a list": ([], True),
}


@pytest.mark.parametrize(("sort", "expected"), SORTS.values(), ids=SORTS)
def test_only_an_order_by_score_is_one_by_relevance(sort, expected):
    assert relevance({"query": MATCH} | ({} if sort is None else {"sort": sort})) is expected


def test_what_a_page_shows_has_no_part_in_which_products_come():
    body = {
        "query": MATCH, "post_filter": {"term": {"in_stock": True}}, "min_score": 1, "sort": ["_score"], "rescore": {},
        "collapse": {"field": "group", "inner_hits": {"name": "more"}}, "from": 20, "size": 5, "_source": ["title"],
        "aggs": {"brands": {}}, "highlight": {}, "ext": {"ubi": {}}, "track_total_hits": True, "explain": True,
    }  # fmt: skip
    assert ordering(body) == {
        "query": MATCH, "post_filter": {"term": {"in_stock": True}}, "min_score": 1, "sort": ["_score"], "rescore": {},
        "collapse": {"field": "group"},
    }  # fmt: skip


def test_combined_fields_are_summed_or_the_best_is_taken():
    assert multi_match({"title": 2.5}, "sum")["query"]["multi_match"]["type"] == "most_fields"
    best = multi_match({"title": 2.5, "brand": 1}, "best")["query"]["multi_match"]
    assert (best["type"], best["fields"]) == ("best_fields", ["title^2.5", "brand^1"])


def test_neighbours_obey_what_the_body_demands_of_every_hit():
    term = {"term": {"in_stock": True}}
    assert filters({"query": MATCH}) == []
    assert filters({"query": {"bool": {"must": [MATCH], "filter": term}}}) == [{"bool": {"filter": [term]}}]
    both = {"query": {"bool": {"filter": [term], "must_not": term}}, "post_filter": term}
    assert filters(both) == [{"bool": {"filter": [term]}}, {"bool": {"must_not": [term]}}, term]


def test_the_query_of_a_body_is_that_of_its_standard_retriever_too():
    term = {"term": {"in_stock": True}}
    assert query_of({"query": MATCH}) == MATCH
    assert query_of({"retriever": {"standard": {"query": MATCH}}}) == MATCH
    filtered = {"retriever": {"standard": {"query": MATCH, "filter": term}}}
    assert query_of(filtered) == {"bool": {"must": [MATCH], "filter": term}}
    with pytest.raises(ConfigError, match="has no query by which judged products could be scored"):
        query_of({"retriever": {"rrf": {"retrievers": []}}})
