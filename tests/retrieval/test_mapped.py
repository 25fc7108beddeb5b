import pytest

from ltr.engine.mapping import IndexMapping, read_properties
from ltr.errors import EngineError
from ltr.retrieval.mapped import Use, check, check_vector, uses

PROPERTIES = {
    "title": {"type": "text", "fields": {"raw": {"type": "keyword"}, "shingles": {"type": "text"}}},
    "brand": {"properties": {"name": {"type": "keyword"}}},
    "price": {"type": "double", "fields": {"text": {"type": "text"}}},
    "in_stock": {"type": "boolean"},
    "attributes": {"type": "nested", "properties": {"value": {"type": "text", "fields": {"raw": {"type": "keyword"}}}}},
    "suggestions": {"type": "search_as_you_type"},
    "anything": {"type": "flattened"},
    "title_vector": {"type": "dense_vector", "dims": 4},
}
MAPPING = IndexMapping("shop", ("shop",), read_properties(PROPERTIES))

SEEN = {
    "a match": ({"match": {"title": {"query": "x"}}}, [Use("title", "match", "text")]),
    "a lenient match": ({"match": {"price": {"query": "x", "lenient": True}}}, [Use("price", "match", "anything")]),
    "several fields with weights": (
        {"multi_match": {"query": "x", "fields": ["title^3", "title.*"]}},
        [Use("title", "multi_match", "text"), Use("title.*", "multi_match", "text")],
    ),
    "a term beside a boost": ({"term": {"brand.name": {"value": "x"}, "boost": 2}}, [Use("brand.name", "term", "anything")]),
    "an id": ({"terms": {"_id": ["1"]}}, []),
    "within others": (
        {"bool": {"should": [{"constant_score": {"filter": {"match_phrase": {"title": "x"}}}}], "filter": {"exists": {"field": "price"}}}},
        [Use("title", "match_phrase", "text"), Use("price", "exists", "anything")],
    ),
    "a number as a score": (
        {"function_score": {"query": {"range": {"price": {"gte": 0}}}, "field_value_factor": {"field": "price"}}},
        [Use("price", "range", "anything"), Use("price", "field_value_factor", "number")],
    ),
    "a nested object": (
        {"nested": {"path": "attributes", "query": {"match": {"attributes.value": "x"}}}},
        [Use("attributes.value", "match", "text", ("attributes",))],
    ),
    "nothing with fields": ({"match_all": {}}, []),
}  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), SEEN.values(), ids=SEEN)
def test_the_fields_of_a_query_are_seen(query, expected):
    assert list(uses(query)) == expected


GOOD = {
    "text": {"match": {"title": "x"}},
    "keyword": {"match": {"brand.name": "x"}},
    "a subfield": {"match": {"title.shingles": "x"}},
    "text of a number": {"match": {"price.text": "x"}},
    "a number": {"function_score": {"field_value_factor": {"field": "price"}}},
    "a boolean as a number": {"function_score": {"field_value_factor": {"field": "in_stock"}}},
    "nested": {"nested": {"path": "attributes", "query": {"term": {"attributes.value.raw": "x"}}}},
    "a part of search_as_you_type": {"match": {"suggestions._2gram": "x"}},
    "a key of a flattened object": {"term": {"anything.goes.here": "x"}},
    "a pattern": {"multi_match": {"query": "x", "fields": ["title*"], "lenient": True}},
}


@pytest.mark.parametrize("query", GOOD.values(), ids=GOOD)
def test_what_an_index_can_answer_passes(query):
    check(MAPPING, {"feature 'f'": query})


BAD = {
    "no such field": ({"match": {"titel": "x"}}, "'titel', which index 'shop' lacks; did you mean 'title'"),
    "no such subfield": ({"match": {"title.terms": "x"}}, "'title.terms', which index 'shop' lacks"),
    "a pattern of none": ({"multi_match": {"query": "x", "fields": ["name.*"]}}, "which index 'shop' lacks"),
    "an object": ({"match": {"brand": "x"}}, "'brand', which index 'shop' lacks"),
    "text asked of a number": ({"match": {"price": "x"}}, "'price' is number; take 'price.text'"),
    "text asked of a boolean": ({"match": {"in_stock": "x"}}, "'in_stock' is boolean; "),
    "a number asked of text": (
        {"function_score": {"field_value_factor": {"field": "title"}}},
        "number fields: in_stock, price",
    ),
    "nested, asked from outside": ({"match": {"attributes.value": "x"}}, r'"attributes.value" = "attributes"'),
    "nested, its subfield": ({"term": {"attributes.value.raw": "x"}}, "nested object 'attributes'"),
}


@pytest.mark.parametrize(("query", "told"), BAD.values(), ids=BAD)
def test_what_would_silently_match_nothing_or_fail_is_refused(query, told):
    with pytest.raises(EngineError, match="feature 'f'") as raised:
        check(MAPPING, {"feature 'f'": query})
    assert told in str(raised.value)


def test_vectors_are_looked_up_with_their_dimensions():
    check_vector(MAPPING, "title_vector", 4)
    with pytest.raises(EngineError, match="4 dimensions, and the encoder's have 384"):
        check_vector(MAPPING, "title_vector", 384)
    with pytest.raises(EngineError, match="'titel_vector' of index 'shop' is not there; did you mean 'title_vector'"):
        check_vector(MAPPING, "titel_vector", 4)
    with pytest.raises(EngineError, match="'title' of index 'shop' is text"):
        check_vector(MAPPING, "title", 4)
