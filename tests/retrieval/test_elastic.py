import math

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltr.bundle_retriever import told_of
from ltr.engine import fill
from ltr.errors import CandidateError, ConfigError, DataError, EngineError
from ltr.frames import check
from ltr.retrieval import elastic, embedded
from ltr.retrieval.prepared import WORDS
from made.indexes import made_index
from made.small_shop import CLAUSES, FIELDS, MISSING, Drawn, asked, pairs

MATCH = [f"match.{feature}" for feature in CLAUSES]
WORD = st.sampled_from(["red", "blue", "shoe", "shos", "rain", "jacket", "ace", "kite", "trim", "39", "zeppelin"])
QUERIES = st.lists(WORD, max_size=5).map(" ".join)

few = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def searched(shop, query, **more):
    """What a plain search finds: product -> score, in the engine's order."""
    body = {"query": query, "size": 100, "_source": False} | more
    return {
        hit["_id"]: hit["_score"] for hit in shop.engine.call("POST", f"/{shop.index}/_search", body)["hits"]["hits"]
    }


def by_clause(shop, text):
    """Feature -> product -> score, each clause searched for on its own."""
    return {feature: searched(shop, fill(clause, query=text)) for feature, clause in CLAUSES.items()}


def values(run):
    """(query, product) -> values of the clauses, NaN as None so that they may be compared."""
    rows = run.select("query_id", "product_id", *[pl.col(name).fill_nan(None) for name in MATCH])
    return {(query, product): own for query, product, *own in rows.iter_rows()}


@few
@given(QUERIES)
def test_candidates_and_scores_are_those_of_the_plain_search(shop, build, query):
    run = build().retrieve(asked(query), depth=100)
    fields = [f"{field}^{weight:g}" for field, weight in FIELDS.items()]
    expected = searched(shop, {"multi_match": {"query": query, "type": "most_fields", "fields": fields}})
    assert run["product_id"].to_list() == list(expected)
    assert run["score"].to_list() == [np.float32(score) for score in expected.values()]


@few
@given(QUERIES)
def test_a_feature_is_its_clause_s_own_score_or_what_is_declared_for_no_match(shop, build, query):
    run = build().score(pairs(query, *shop.documents))
    for feature, expected in by_clause(shop, query).items():
        own = dict(run.select("product_id", f"match.{feature}").iter_rows())
        for product in shop.documents:
            wanted = expected.get(product, MISSING.get(feature, math.nan))
            assert own[product] == pytest.approx(np.float32(wanted), rel=0, nan_ok=True)


@few
@given(st.lists(QUERIES, min_size=1, max_size=4, unique=True), st.integers(1, 12))
def test_either_method_gives_the_same_scores_and_features(build, queries, depth):
    retriever = build()
    run = retriever.retrieve(asked(*queries), depth=depth)
    again = retriever.score(run.join(asked(*queries), on="query_id").select("query_id", "query", "product_id"))
    assert values(run) == values(again)
    assert run.equals(again)


def test_the_best_field_can_stand_for_all(shop, build):
    run = build(combine="best").retrieve(asked("red kite shoe"), depth=100)
    each = [searched(shop, {"match": {field: {"query": "red kite shoe", "boost": w}}}) for field, w in FIELDS.items()]
    expected = {product: max(by.get(product, 0) for by in each) for by in each for product in by}
    assert dict(run.select("product_id", "score").iter_rows()) == pytest.approx(expected, rel=1e-6)


def test_every_pair_is_scored_and_what_the_index_lacks_comes_last(build):
    run = build().score(pairs("red hat", "gone", "p15", "p12", "lost", "p3"))
    check(run, "run")
    assert run["product_id"].to_list() == ["p12", "p15", "p3", "gone", "lost"]
    assert run["score"].to_list()[1:] == [0, 0, -math.inf, -math.inf]  # no match; no match; unknown; unknown
    assert (
        run.filter(pl.col("product_id").is_in(["gone", "lost"])).select(MATCH).to_numpy().tolist()
        == [pytest.approx([math.nan] * len(MATCH), nan_ok=True)] * 2
    )


def test_ties_keep_the_order_received(build):
    retriever = build()
    assert retriever.score(pairs("light", "p8", "p7"))["product_id"].to_list() == ["p8", "p7"]
    assert retriever.score(pairs("light", "p7", "p8"))["product_id"].to_list() == ["p7", "p8"]


def test_an_unchanged_index_says_the_same_twice(shop, build):
    queries = asked("red shoe", "rain", "zed light jacket", "")
    first, second = build(), build()
    assert first.retrieve(queries, depth=7).equals(second.retrieve(queries, depth=7))
    every = queries.join(shop.products.select("product_id"), how="cross")
    assert first.score(every).equals(second.score(every))


def test_negative_and_missing_numbers_match_nothing_and_harm_nothing(shop, build):
    run = build().score(pairs("red", *shop.documents))
    prices = dict(run.select("product_id", "match.price").iter_rows())
    assert {product for product, price in prices.items() if math.isnan(price)} == {
        product for product, each in shop.documents.items() if each.get("price", -1) < 0
    }


def test_a_query_without_hits_has_no_rows(build):
    run = build().retrieve(asked("zeppelin", "red", ""), depth=3)
    assert run["query_id"].unique().to_list() == ["q1"]
    assert build().retrieve(asked("zeppelin"), depth=3).schema == run.schema
    assert build().retrieve(asked("red").clear(), depth=3).schema == run.schema
    assert build().score(pairs("red").cast(pl.String)).schema == run.schema


def test_without_match_features_there_are_candidates_all_the_same(build):
    plain = build(clauses={}, missing={})
    assert plain.retrieve(asked("red shoe"), depth=5).columns == ["query_id", "product_id", "rank", "score"]
    assert plain.score(pairs("red shoe", "p0", "p1"))["score"].to_list()[0] > 0


def test_a_shop_s_own_body_keeps_its_filters(shop, build):
    body = {
        "query": {"bool": {"must": [{"match": {"title": "{{query}}"}}], "filter": [{"term": {"in_stock": True}}]}},
        "post_filter": {"range": {"price": {"gte": 1}}},
        "from": 3,
        "size": 2,
        "aggs": {"brands": {"terms": {"field": "brand"}}},
        "highlight": {"fields": {"title": {}}},
        "sort": ["_score", {"price": "asc"}],
    }
    run = build(body=body).retrieve(asked("red shoe"), depth=100)
    kept = {key: value for key, value in body.items() if key in ("post_filter", "sort")}
    expected = searched(shop, fill(body["query"], query="red shoe"), **kept)
    assert dict(run.select("product_id", "score").iter_rows()) == {p: np.float32(s) for p, s in expected.items()}
    assert run["product_id"].to_list() == list(expected)
    scored = build(body=body).score(pairs("red shoe", "p3", "p0"))
    assert dict(scored.select("product_id", "score").iter_rows())["p3"] == 0  # not in stock


def test_a_body_s_collapse_leaves_one_product_a_group(shop, build):
    body = {"query": {"match": {"title": "{{query}}"}}, "collapse": {"field": "group", "inner_hits": {"name": "more"}}}
    run = build(body=body).retrieve(asked("red shoe"), depth=100)
    groups = [shop.documents[product]["group"] for product in run["product_id"]]
    assert len(groups) == len(set(groups)) > 5


def test_a_standard_retriever_is_a_body_too(shop, build):
    query = {"match": {"title": "{{query}}"}}
    by_retriever, by_query = build(body={"retriever": {"standard": {"query": query}}}), build(body={"query": query})
    assert by_retriever.retrieve(asked("red shoe"), depth=9).equals(by_query.retrieve(asked("red shoe"), depth=9))
    every = pairs("red shoe", *shop.documents)
    assert by_retriever.score(every).equals(by_query.score(every))


STRANGE = [
    'red "shoe"', '{"match_all": {}}', '"}}}]}', "title:red OR *:*", "red^9 ~ (shoe", "{{query}}", "{{#toJson}}x{{/toJson}}",
    "\\u0022 \\", "red\x00\x1f\u2028shoe", "'; DROP INDEX", "𝓇𝑒𝒹 🦄", "   ", "", "*", "//", "<b>red</b>", "AND OR NOT",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_a_text_is_data_and_never_syntax(shop, build, text):
    run = build().retrieve(asked(text), depth=100)
    fields = [f"{field}^{weight:g}" for field, weight in FIELDS.items()]
    expected = searched(shop, {"multi_match": {"query": text, "type": "most_fields", "fields": fields}})
    assert run["product_id"].to_list() == list(expected)
    scored = build().score(pairs(text, *shop.documents))
    by_features = by_clause(shop, text)
    for feature in ("title_match", "title_phrase"):
        matching = scored.filter(pl.col(f"match.{feature}") > 0)["product_id"].to_list()
        assert set(matching) == set(by_features[feature])


def test_of_ten_thousand_terms_the_first_words_are_asked_for_and_that_is_said_once(build):
    long = " ".join(["red", "shoe", *[f"word{number}" for number in range(9_998)]])
    cut = " ".join(long.split()[:WORDS])
    run = build().retrieve(asked(long, long), depth=5)
    assert run.filter(query_id="q0").drop("query_id").equals(build().retrieve(asked(cut), depth=5).drop("query_id"))
    scored = build().score(pairs(long, "p0", "p1"))
    assert scored.equals(build().score(pairs(cut, "p0", "p1")))
    told = told_of(build(), ["red shoe", long, long + " more"], ["p0"])
    assert told == (
        f"queries of more than {WORDS} words, of which the engine is asked for the first: 2, such as {long[:60]!r}",
    )


def test_products_that_the_index_lacks_are_counted(build):
    strange = [f'a/{at},"ü' for at in range(3)]
    assert told_of(build(), ["red"], ["p0", *strange, "p1"]) == (
        f"judged products that index {build().target.index!r} lacks: 3 of 5, such as 'a/0,\"ü', 'a/1,\"ü', 'a/2,\"ü'",
    )
    assert told_of(build(), ["red"], ["p0", "p1"]) == told_of(build(), [], []) == ()
    with pytest.raises(EngineError, match=r"has none of the 3 judged products, such as .*id_field"):
        told_of(build(), ["red"], strange)


def test_lists_beyond_an_index_s_limits_are_asked_for_in_parts(engine_url, build):
    titles = {f"d{at}": {"title": f"red shoe {'very ' * (at % 5)}light"} for at in range(57)}
    mapping = {"title": {"type": "text"}, "number": {"type": "keyword"}}
    narrow = {"index.max_result_window": 10, "index.max_terms_count": 8}
    clauses = {"title_match": CLAUSES["title_match"]}
    policy = {"fields": {"title": 1.0}, "clauses": clauses, "missing": {"title_match": 0.0}}
    with made_index(engine_url, titles, mapping, **narrow) as index, made_index(engine_url, titles, mapping) as wide:
        own, other = build(index=index, **policy), build(index=wide, **policy)
        assert own.target.together == 8
        assert own.score(pairs("very red", *titles)).equals(other.score(pairs("very red", *titles)))
        assert own.retrieve(asked("red"), depth=10).height == 10
        with pytest.raises(
            EngineError, match=r"depth is 11, and index .* shows the first 10 hits; .*max_result_window"
        ):
            own.retrieve(asked("red"), depth=11)


def test_a_field_can_be_the_product_id(shop, build):
    by_sku, by_id = build(id_field="sku"), build()
    run, other = (each.retrieve(asked("red shoe", "rain"), depth=9) for each in (by_sku, by_id))
    assert run.with_columns(pl.col("product_id").str.replace("s-", "p")).equals(other)
    skus = [f"s-{at}" for at in range(40)]
    scored, other = by_sku.score(pairs("red", "s-99", *skus)), by_id.score(pairs("red", "p99", *shop.documents))
    assert scored.with_columns(pl.col("product_id").str.replace("s-", "p")).equals(other)


def test_a_field_that_does_not_tell_products_apart_is_found_out(build):
    retriever = build(id_field="group")
    with pytest.raises(EngineError, match=r"product 'g0' is in .* more than once"):
        retriever.score(pairs("red", "g0", "g99"))
    with pytest.raises(EngineError, match=r"say the same twice; set \[retrieval\] id_field"):
        retriever.retrieve(asked("red"), depth=30)
    with pytest.raises(EngineError, match=r"id_field 'title' is of type text; .*'title\.raw'"):
        build(id_field="title")
    with pytest.raises(EngineError, match=r"id_field 'skus' is not in index .*did you mean 'sku'"):
        build(id_field="skus")


def hybrid(build, shop, **policy):
    """The engine's hybrid and the embedded one of the same titles and vectors."""
    ours = build(fields={"title": 1.0}, vector="title", **policy)
    vectors = Drawn().encode_queries(shop.products["title"].to_list())
    theirs = embedded.build(
        shop.products, fields={"title": 1.0}, analyzer="standard", match={}, vectors=vectors, encoder=Drawn()
    )
    return ours, theirs


COLUMNS = ["query_id", "product_id", "rank", "score"]


@few
@given(st.lists(QUERIES, min_size=1, max_size=3), st.integers(1, 50))
def test_two_lists_are_fused_as_in_the_embedded_engine(shop, build, queries, depth):
    ours, theirs = hybrid(build, shop)
    run, expected = (each.retrieve(asked(*queries), depth=depth).select(COLUMNS) for each in (ours, theirs))
    assert run.drop("product_id").equals(expected.drop("product_id"))
    # Equal sums are ordered by who came first, which is the engine's order here and the catalogue's there.
    unique = pl.col("score").is_duplicated().over("query_id").not_() & (pl.col("rank") < depth)
    assert run.filter(unique).equals(expected.filter(unique))


@few
@given(QUERIES, st.lists(st.integers(0, 45), unique=True, max_size=30))
def test_given_products_are_fused_as_in_the_embedded_engine(shop, build, query, products):
    ours, theirs = hybrid(build, shop)
    wanted = pairs(query, *[f"p{at}" for at in products]).cast(pl.String)
    assert ours.score(wanted).select(COLUMNS).equals(theirs.score(wanted))


def test_neighbours_obey_the_body_s_filters(shop, build):
    stock = {"term": {"in_stock": True}}
    body = {"query": {"bool": {"must": [{"match": {"title": "{{query}}"}}], "filter": [stock]}}}
    run = build(body=body, vector="title").retrieve(asked("zeppelin"), depth=100)
    assert set(run["product_id"]) == {product for product, each in shop.documents.items() if each["in_stock"]}
    assert build(fields={}, vector="title").retrieve(asked("zeppelin"), depth=100).height == len(shop.documents)


UNFIT = {
    "no depth": (CandidateError, "depth is 0", lambda build: build().retrieve(asked("red"), depth=0)),
    "a pair twice": (DataError, "occurs more than once", lambda build: build().score(pairs("red", "p1", "p1"))),
    "a column missing": (CandidateError, "lack", lambda build: build().score(pairs("red", "p1").drop("query"))),
    "nothing to search by": (ConfigError, "neither fields, a body nor a vector", lambda build: build(fields={})),
    "a weight of nothing": (ConfigError, "is 0", lambda build: build(fields={"title": 0.0})),
    "a sorted body": (
        ConfigError,
        "sorts by 'price', and a sorted list is never reranked",
        lambda build: build(body={"query": {"match": {"title": "{{query}}"}}, "sort": "price"}),
    ),
    "a body with neighbours of its own": (
        ConfigError,
        "has 'knn' already",
        lambda build: build(body={"query": {"match": {"title": "{{query}}"}}, "knn": {}}, vector="title"),
    ),
    "a body that cannot score": (
        ConfigError,
        "no query by which judged products could be scored",
        lambda build: build(body={"retriever": {"rrf": {}}}).score(pairs("red", "p1")),
    ),
    "a vector without its encoder": (ConfigError, "go together", lambda build: build(vector="title", encoder=None)),
}


@pytest.mark.parametrize(("error", "told", "call"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_done_is_said(build, error, told, call):
    with pytest.raises(error, match=told):
        call(build)


def test_the_engine_is_one_of_the_retrievers(build):
    from ltr import retrieval

    assert retrieval.elastic is elastic
    assert {name for name in vars(retrieval.Retriever) if not name.startswith("_")} <= set(dir(build()))
