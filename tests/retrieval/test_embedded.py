import gzip
import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import CandidateError, ConfigError, DataError
from ltr.frames import check
from ltr.retrieval import embedded
from ltr.text import TermStatistics, analyzer, bm25

FIELDS = {"title": 2.0, "tags": 0.5}
MATCH = {"title_match": "title", "tags_match": "tags", "brand_match": "brand"}
SCHEMA = {"product_id": pl.String, "title": pl.String, "tags": pl.List(pl.String), "brand": pl.String}

# Scores are float32 sums.
FLOAT32 = 1e-5


class Letters:
    """An encoder without a model: how often each of five letters stands in a text, scaled to unit length."""

    name = "letters"
    dimension = 5

    def encode_queries(self, texts):
        counts = np.array([[text.count(letter) for letter in "aeoru"] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def engine(shop, *, hybrid=False, **policy):
    encoder = Letters() if hybrid else None
    vectors = encoder.encode_queries(shop["title"].fill_null("").to_list()) if hybrid else None
    policy = {"fields": FIELDS, "analyzer": "english", "match": MATCH, "vectors": vectors, "encoder": encoder} | policy
    return embedded.build(shop, **policy)


def asked(*queries):
    return pl.DataFrame({"query_id": [f"q{number}" for number in range(len(queries))], "query": queries})


def pair(query, *products, query_id="q"):
    return pl.DataFrame({"query_id": query_id, "query": query, "product_id": list(products)})


SHOP = pl.DataFrame(
    [
        ("p1", "red shoe", ["running", "summer"], "Ace"),
        ("p2", "blue shoe", None, "Bolt"),
        ("p3", None, ["red", None, "shoe"], "Ace"),
        ("p4", "green hat", ["sun"], None),
        ("p5", "red shoe", ["running", "summer"], "Ace"),
    ],
    schema=SCHEMA,
    orient="row",
)

WORDS = st.sampled_from(["red", "blue", "shoe", "shoes", "hat", "Café", "東京", "42.5", "—"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


@st.composite
def shops(draw):
    rows = draw(
        st.lists(st.tuples(st.none() | TEXTS, st.none() | st.lists(WORDS, max_size=3), TEXTS), min_size=1, max_size=9)
    )
    return pl.DataFrame([(f"p{number}", *row) for number, row in enumerate(rows)], schema=SCHEMA, orient="row")


def by_hand(shop, query, weights):
    """The weighted sum of BM25, straight from ltr.text."""
    terms = analyzer("english")
    total = [0.0] * shop.height
    for field, weight in weights.items():
        values = shop[field].to_list()
        texts = [" ".join(filter(None, value)) if isinstance(value, list) else value or "" for value in values]
        documents = [terms(text) for text in texts]
        known = TermStatistics.count(documents)
        for row, document in enumerate(documents):
            for term in terms(query):
                df = known.frequency.get(term, 0)
                own = bm25(
                    document.count(term),
                    len(document),
                    df=df,
                    documents=known.documents,
                    average_length=known.average_length,
                )
                total[row] += weight * float(own)
    return dict(zip(shop["product_id"].to_list(), total, strict=True))


@given(shops(), TEXTS)
def test_lexical_retrieval_is_the_weighted_sum_of_bm25_over_what_matches(shop, query):
    expected = {product: score for product, score in by_hand(shop, query, FIELDS).items() if score > 0}
    run = engine(shop).retrieve(asked(query), depth=100)
    assert dict(run.select("product_id", "score").iter_rows()) == pytest.approx(expected, rel=FLOAT32)
    ranks = dict(run.select("product_id", "rank").iter_rows())
    assert all(ranks[a] < ranks[b] for a in ranks for b in ranks if expected[a] > expected[b] * (1 + FLOAT32))


@given(shops(), TEXTS)
def test_the_best_fields_score_can_stand_for_all(shop, query):
    each = [by_hand(shop, query, {field: weight}) for field, weight in FIELDS.items()]
    expected = {product: best for product in each[0] if (best := max(by[product] for by in each)) > 0}
    run = engine(shop, combine="best").retrieve(asked(query), depth=100)
    assert dict(run.select("product_id", "score").iter_rows()) == pytest.approx(expected, rel=FLOAT32)


@given(shops(), TEXTS)
def test_match_columns_are_the_bm25_of_one_field_and_nan_without_a_match(shop, query):
    run = engine(shop).score(pair(query, *shop["product_id"]))
    for feature, field in MATCH.items():
        expected = by_hand(shop, query, {field: 1.0})
        for product, value in run.select("product_id", f"match.{feature}").iter_rows():
            assert (
                math.isnan(value) if expected[product] == 0 else value == pytest.approx(expected[product], rel=FLOAT32)
            )


@given(shops(), st.lists(TEXTS, max_size=4), st.integers(1, 12), st.booleans())
def test_a_run_holds_at_most_depth_products_each_once_ranked_from_one(shop, queries, depth, hybrid):
    run = engine(shop, hybrid=hybrid).retrieve(asked(*queries), depth=depth)
    assert check(run, "run").equals(run)
    assert run["query_id"].is_sorted()
    assert run.group_by("query_id").len()["len"].max() in {None, *range(1, depth + 1)}
    assert run.columns == ["query_id", "product_id", "rank", "score", *(f"match.{feature}" for feature in MATCH)]
    assert all(run.schema[f"match.{feature}"] == pl.Float32 for feature in MATCH)


@given(shops(), TEXTS, st.integers(1, 12), st.booleans())
def test_a_short_list_is_the_beginning_of_a_long_one(shop, query, depth, hybrid):
    shelf = engine(shop, hybrid=hybrid)
    long = shelf.retrieve(asked(query), depth=100)
    assert shelf.retrieve(asked(query), depth=depth).equals(long.head(depth))


@given(shops(), st.lists(TEXTS, min_size=1, max_size=4), st.booleans())
def test_a_query_finds_the_same_alone_and_among_others(shop, queries, hybrid):
    shelf, frame = engine(shop, hybrid=hybrid), asked(*queries)
    alone = pl.concat([shelf.retrieve(row, depth=5) for row in frame.iter_slices(1)])
    assert shelf.retrieve(frame, depth=5).equals(alone)


@given(shops(), st.lists(TEXTS, min_size=1, max_size=3))
def test_scoring_what_was_retrieved_gives_the_same_order_scores_and_matches(shop, queries):
    shelf, frame = engine(shop), asked(*queries)
    run = shelf.retrieve(frame, depth=100)
    again = shelf.score(run.join(frame, on="query_id", maintain_order="left"))
    assert again.equals(run)


@given(shops(), TEXTS)
def test_matches_are_the_same_numbers_when_vectors_take_part(shop, query):
    match = ["product_id", *(f"match.{feature}" for feature in MATCH)]
    lexical = engine(shop).score(pair(query, *shop["product_id"])).select(match).sort("product_id")
    shelf = engine(shop, hybrid=True)
    for run in (shelf.retrieve(asked(query), depth=100), shelf.score(pair(query, *shop["product_id"]))):
        found = run.select(match).sort("product_id")
        assert found.equals(lexical.filter(pl.col("product_id").is_in(found["product_id"].to_list())))


@given(shops(), TEXTS, st.randoms(use_true_random=False))
def test_another_order_of_the_catalogue_changes_only_the_order_of_ties(shop, query, random):
    order = list(range(shop.height))
    random.shuffle(order)
    run = engine(shop).retrieve(asked(query), depth=100)
    other = engine(shop[order]).retrieve(asked(query), depth=100)
    assert run["score"].equals(other["score"])
    assert run.drop("rank").sort("product_id").equals(other.drop("rank").sort("product_id"))


@given(shops(), TEXTS, st.booleans())
def test_every_pair_comes_back_once(shop, query, hybrid):
    products = ["unknown", *shop["product_id"]]
    run = engine(shop, hybrid=hybrid).score(pair(query, *products))
    assert sorted(run["product_id"]) == sorted(products)
    assert run["product_id"][-1] == "unknown"


@given(shops(), TEXTS)
@settings(max_examples=50)
def test_fusion_among_the_pairs_given_is_by_the_ranks_in_both_lists(shop, query):
    products = shop["product_id"].to_list()[::-1]
    run = engine(shop, hybrid=True).score(pair(query, *products))
    words = engine(shop).score(pair(query, *products)).filter(pl.col("score") > 0)
    cosine = dict(zip(shop["product_id"], cosines(shop, query), strict=True))
    near = sorted((product for product in products if cosine[product] is not None), key=lambda p: -cosine[p])
    expected = dict.fromkeys(products, 0.0)
    for ranking in (words["product_id"].to_list(), near):
        for rank, product in enumerate(ranking, start=1):
            expected[product] += 1 / (60 + rank)
    assert dict(run.select("product_id", "score").iter_rows()) == pytest.approx(expected, rel=FLOAT32)


def cosines(shop, query):
    titles = Letters().encode_queries(shop["title"].fill_null("").to_list())
    (vector,) = Letters().encode_queries([query])
    return [float(np.einsum("i,i", title, vector)) if title.any() and vector.any() else None for title in titles]


def test_equal_scores_keep_the_catalogues_order_in_retrieve_and_the_order_received_in_score():
    shelf = engine(SHOP)
    assert shelf.retrieve(asked("red shoe"), depth=2)["product_id"].to_list() == ["p1", "p5"]
    assert shelf.score(pair("red shoe", "p5", "p1"))["product_id"].to_list() == ["p5", "p1"]


def test_products_without_a_query_term_and_then_unknown_ones_come_last_in_the_order_received():
    run = engine(SHOP).score(pair("hat", "new2", "p3", "new1", "p4", "p1"))
    assert run["product_id"].to_list() == ["p4", "p3", "p1", "new2", "new1"]
    assert run["score"].to_list()[1:] == [0, 0, -math.inf, -math.inf]
    assert run["match.title_match"].is_nan().to_list() == [False, True, True, True, True]


def test_lists_are_joined_and_their_nulls_left_out():
    run = engine(SHOP, fields={"tags": 1.0}).retrieve(asked("red shoes"), depth=10)
    assert run["product_id"].to_list() == ["p3"]


def test_keyword_fields_of_any_text_type_can_be_searched():
    shop = SHOP.with_columns(
        pl.col("brand").cast(pl.Categorical),
        pl.col("tags").cast(pl.List(pl.Enum(["red", "running", "shoe", "summer", "sun"]))),
    )
    run = engine(shop, fields={"brand": 1.0, "tags": 1.0}).retrieve(asked("ace sun"), depth=10)
    assert sorted(run["product_id"]) == ["p1", "p3", "p4", "p5"]


@pytest.mark.parametrize("query", ["", "  — !? ", "zeppelin"])
def test_a_query_without_hits_has_no_rows(query):
    run = engine(SHOP).retrieve(asked(query, "hat"), depth=10)
    assert run["query_id"].to_list() == ["q1"]


def test_vectors_find_what_words_do_not():
    shelf = engine(SHOP, hybrid=True)
    assert shelf.retrieve(asked("zeeron"), depth=10).height == 4


def test_a_product_in_both_lists_sums_both_reciprocal_ranks_whatever_the_depth():
    class East(Letters):
        def encode_queries(self, texts):
            return np.eye(5, dtype=np.float32)[[0] * len(texts)]

    # By words p1 is first, p2 second; by cosine p2, p3, p1; p4 and p5 have no vector.
    vectors = np.float32([[1, 2, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5, [np.nan] * 5])
    shop = SHOP.with_columns(title=pl.Series(["red red", "red shoe", "hat", "red green hat", "blue"]))
    shelf = engine(shop, fields={"title": 1.0}, vectors=vectors, encoder=East())
    fused = {"p2": 1 / 62 + 1 / 61, "p1": 1 / 61 + 1 / 63, "p3": 1 / 62, "p4": 1 / 63}
    for depth in (1, 2, 3, 4, 100):
        run = shelf.retrieve(asked("red"), depth=depth)
        assert run["product_id"].to_list() == list(fused)[:depth]
        assert run["score"].to_list() == np.float32(list(fused.values())[:depth]).tolist()


def test_lists_longer_than_the_window_are_cut_at_the_depth_asked():
    shop = pl.DataFrame(
        {"product_id": [f"p{n}" for n in range(250)], "title": ["red shoe"] * 250, "tags": [[]] * 250, "brand": ""},
        schema=SCHEMA,
    )
    shelf = engine(shop, hybrid=True)
    assert shelf.retrieve(asked("red"), depth=10)["product_id"].to_list() == [f"p{n}" for n in range(10)]
    assert shelf.retrieve(asked("red"), depth=500).height == 250
    assert shelf.retrieve(asked("red"), depth=150).height == 150


def test_no_queries_and_no_pairs_give_empty_runs():
    shelf = engine(SHOP, hybrid=True)
    assert shelf.retrieve(asked().cast(pl.String), depth=5).height == 0
    assert shelf.score(pair("shoe").cast(pl.String)).height == 0


def test_pairs_need_not_be_sorted_by_query():
    pairs = pl.concat(
        [pair("hat", "p4", query_id="b"), pair("red", "p3", query_id="a"), pair("hat", "p1", query_id="b")]
    )
    run = engine(SHOP).score(pairs)
    assert run.select("query_id", "product_id").rows() == [("a", "p3"), ("b", "p4"), ("b", "p1")]


REFUSED = {
    "an unknown field": (
        {"fields": {"titel": 1.0}},
        r"\[retrieval\] fields: field 'titel' is not in the catalogue; did you mean 'title'\? text and keyword fields: brand, tags, title",
    ),
    "a field that is no text": ({"fields": {"price": 1.0}}, "field 'price' is Float64; "),
    "an unknown match field": ({"match": {"t": "titel"}}, "match feature 't': field 'titel' is not in the catalogue"),
    "the product_id as a field": ({"fields": {"product_id": 1.0}}, "field 'product_id' is String; text and keyword"),
    "a weight of zero": ({"fields": {"title": 0.0}}, "weight of field 'title' is 0.0; give 1e-9 to 1e9"),
    "a weight that is no number": ({"fields": {"title": math.nan}}, "weight of field 'title' is nan"),
    "an infinite weight": ({"fields": {"title": math.inf}}, "weight of field 'title' is inf"),
    "an unknown analyzer": ({"analyzer": "englsh"}, "analyzer 'englsh' is unknown; did you mean 'english'"),
    "nothing to search": ({"fields": {}}, "neither fields nor a vector field; name a text field"),
    "vectors without an encoder": ({"vectors": np.zeros((5, 5), np.float32)}, "go together; give both or neither"),
    "an encoder without vectors": ({"encoder": Letters()}, "go together"),
    "too few vectors": (
        {"vectors": np.zeros((4, 5), np.float32), "encoder": Letters()},
        r"shape \(4, 5\); .* 'letters' need \(5, 5\); encode",
    ),
    "vectors of another encoder": ({"vectors": np.zeros((5, 3), np.float32), "encoder": Letters()}, r"shape \(5, 3\)"),
}


@pytest.mark.parametrize(("policy", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_built_is_a_config_error(policy, said):
    with pytest.raises(ConfigError, match=said):
        engine(SHOP.with_columns(price=pl.lit(9.5)), **policy)


def test_a_catalogue_that_breaks_its_law_is_a_data_error():
    with pytest.raises(DataError, match="the catalogue has no products; "):
        engine(SHOP.clear())
    with pytest.raises(DataError, match=r"the catalogue: \(product_id 'p1'\) occurs more than once"):
        engine(pl.concat([SHOP, SHOP.head(1)]))


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth):
    with pytest.raises(CandidateError, match=f"depth is {depth}; ask for 1"):
        engine(SHOP).retrieve(asked("shoe"), depth=depth)


BAD_PAIRS = {
    "no query text": (pair("red", "p1").drop("query"), r"lack \['query'\]; they have"),
    "a product that is null": (pair("red", "p1", None), r"nulls in \['product_id'\]"),
    "two texts of one query": (pl.concat([pair("red", "p1"), pair("blue", "p2")]), "one query has two texts"),
}


@pytest.mark.parametrize(("pairs", "said"), BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_pairs_that_cannot_be_scored_are_a_candidate_error(pairs, said):
    with pytest.raises(CandidateError, match=said):
        engine(SHOP).score(pairs)


def test_a_pair_given_twice_is_refused():
    with pytest.raises(DataError, match=r"product_id 'p1'\) occurs more than once"):
        engine(SHOP).score(pair("red", "p1", "p1"))


def test_title_bm25_reaches_the_known_figure_on_the_movies(data_home):
    with gzip.open(data_home / "msrd" / "movies-corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        movies = pl.DataFrame(
            [(movie["id"], movie["title"]) for movie in map(json.loads, lines)],
            schema=["product_id", "title"],
            orient="row",
        )
    judgments = pl.read_csv(
        gzip.decompress((data_home / "msrd" / "movies-judgments.tsv.gz").read_bytes()),
        separator="\t",
        quote_char=None,
        infer_schema=False,
    ).rename({"doc_id": "product_id"})
    run = embedded.build(movies, fields={"title": 1.0}, analyzer="english", match={}, vectors=None, encoder=None).score(
        judgments
    )
    gain = pl.col("grade").cast(pl.Float64)
    discounted = (gain / (pl.col("rank") + 1).log(2)).filter(pl.col("rank") <= 10).sum()
    ideal = ((gain.sort(descending=True) / (pl.int_range(pl.len()) + 2).log(2)).head(10)).sum()
    ndcg = (
        run.join(judgments, on=["query_id", "product_id"])
        .group_by("query_id")
        .agg(dcg=discounted, ideal=ideal)
        .filter(pl.col("ideal") > 0)
        .select(pl.col("dcg") / pl.col("ideal"))
        .to_series()
    )
    # Measured elsewhere, on other splits of the same data: .85 to .86.
    assert 0.850 <= ndcg.mean() <= 0.865
