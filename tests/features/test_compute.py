import math
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.encoders.hashing import HashingEncoder
from ltr.errors import BundleMismatchError, CandidateError, DataError, EncoderError
from ltr.features import compute, state
from ltr.features.columns import Query
from ltr.features.definition import parse
from ltr.features.kinds import KINDS

ENCODER = HashingEncoder()
PARTS = ("wanted", "unwanted")
FIELDS = {
    "title": "text",
    "overview": "text",
    "tags": "keyword",
    "brand": "keyword",
    "price": "number",
    "year": "number",
    "sold": "boolean",
}
TYPES = {
    "product_id": pl.String,
    "title": pl.String,
    "overview": pl.String,
    "tags": pl.List(pl.String),
    "brand": pl.String,
    "price": pl.Float64,
    "year": pl.Float64,
    "sold": pl.Boolean,
}
COPIES = {"also": ["relative", "rank_in_list", "zscore"]}
EVERY_KIND = [
    {"kind": "cosine", "field": "title"} | COPIES,
    {"kind": "cosine", "fields": ["title", "overview"]},
    {"kind": "bm25", "field": "title"} | COPIES,
    {"kind": "bm25", "fields": ["title", "tags", "overview"], "k1": 0.9, "b": 0.4, "missing": 0.0} | COPIES,
    {"kind": "coverage", "field": "title"},
    {"kind": "coverage", "field": "tags", "idf": True},
    {"kind": "unmatched", "field": "title"},
    {"kind": "phrase", "field": "overview"},
    {"kind": "phrase", "field": "tags", "per": "field"},
    {"kind": "keyword", "field": "tags"},
    {"kind": "keyword", "field": "brand", "per": "query"},
    {"kind": "length", "field": "title"} | COPIES,
    {"kind": "exact", "field": "tags"},
    {"kind": "prefix", "field": "title"},
    *({"kind": "similarity", "field": "title", "method": m} for m in ("ratio", "partial", "token_set", "token_sort")),
    {"kind": "similarity", "field": "tags", "method": "jaro_winkler"},
    {"kind": "initials", "field": "tags"},
    {"kind": "ngram", "field": "tags"},
    {"kind": "ngram", "field": "title", "per": "query"},
    {"kind": "number", "field": "price", "log": True} | COPIES,
    {"kind": "number", "field": "sold"},
    *({"kind": "cosine", "field": "title", "part": part} for part in ("wanted", "unwanted")),
    *({"kind": "bm25", "field": "title", "part": part} | COPIES for part in ("wanted", "unwanted")),
    {"kind": "coverage", "fields": ["title", "tags"], "part": "wanted", "as": "zscore"},
    {"kind": "phrase", "field": "title", "part": "unwanted", "as": "relative"},
    {"kind": "sentence_cosine", "fields": ["title", "overview"]},
    {"kind": "sentence_cosine", "field": "overview", "part": "unwanted", "as": "zscore"},
    {"kind": "number_coverage", "field": "title"},
    {"kind": "head", "field": "title", "as": "rank_in_list"},
    {"kind": "heaviest_missing", "fields": ["title", "tags"], "part": "wanted"},
    {"kind": "excluded", "field": "title"},
    {"kind": "exclusion_honoured", "field": "tags"},
    {"kind": "conflict", "field": "title", "alternatives": [["man", "café"], ["iron"], ["shoes"]]},
    {"kind": "number", "field": "year", "as": "zscore"} | COPIES,
    {"kind": "centroid", "field": "title", "as": "zscore"},
    {"kind": "centroid", "fields": ["title", "overview"], "by": "f0"},
    {"kind": "agreement", "field": "tags"},
    {"kind": "agreement", "field": "brand", "by": "f0"},
    {"kind": "zscore", "field": "price"},
    {"kind": "number_in_query", "field": "year"},
    {"kind": "relative", "field": "price"},
    {"kind": "rank_in_list", "field": "year", "scale": "rank"},
    {"kind": "query_length"},
    {"kind": "query_has_digit"},
    {"kind": "query_mean_idf", "field": "title"},
    {"kind": "query_max_idf", "field": "tags"},
    {"name": "title_match", "kind": "match", "field": "title"} | COPIES,
    {"kind": "count", "of": "impressions"} | COPIES,
    {"kind": "count", "by": "query_product", "window": 7},
    {"kind": "count", "by": "field", "field": "brand", "half_life": 3},
    {"kind": "rate", "of": "purchases", "as": "zscore"},
    {"kind": "rate", "by": "query_product", "window": 30, "half_life": 7.5, "corrected": True},
    {"kind": "rate", "by": "query", "smoothing": 0},
    {"kind": "rate", "by": "field_query", "field": "tags"},
]
FEATURES = parse(
    {
        "name": "every",
        "analyzer": "english",
        "feature": [{"name": f"f{number}"} | feature for number, feature in enumerate(EVERY_KIND)],
    }
)

WORDS = [
    "iron",
    "man",
    "running",
    "shoes",
    "café",
    "Straße",
    "鉄男",
    "42",
    "without",
    "no",
    "free",
    "men's",
    "2007",
    "o'neill",
    "…",
    "🎬",
    "ı",
    "ﬁ",
]
LOG = pl.DataFrame(
    [
        (f"s{at}", WORDS[at % 5], f"p{at % 4}", 1 + at % 7, f"2024-02-{1 + at % 28:02}", at % 3 == 0, at % 6 == 0)
        for at in range(120)
    ],
    schema=["search_id", "query", "product_id", "position", "shown_at", "clicked", "purchase"],
    orient="row",
).with_columns(pl.col("shown_at").str.to_datetime("%Y-%m-%d", time_zone="UTC"))
LOGGED = {"impressions": LOG, "examination": [1.0, 0.5, 0.3], "as_of": "2024-02-20"}

texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=5).map(" ".join)
products = st.fixed_dictionaries(
    {
        "title": st.none() | texts,
        "overview": st.none() | texts,
        "tags": st.none() | st.lists(st.none() | texts, max_size=3),
        "brand": st.none() | st.sampled_from(["iron", "Café Noir", ""]),
        "price": st.none() | st.floats(),
        "year": st.none() | st.sampled_from([2007.0, 42.0, 0.0]),
        "sold": st.none() | st.booleans(),
    }
)


@st.composite
def searches(draw):
    """A shop, and some queries with a list of candidates each; some products are not in the shop."""
    shop = draw(st.lists(products, min_size=1, max_size=6))
    ids = [f"p{number}" for number in range(len(shop))] + ["nobody"]
    lists = draw(st.lists(st.tuples(texts, st.lists(st.sampled_from(ids), max_size=6)), min_size=1, max_size=5))
    if draw(st.booleans()):
        lists.append((lists[0][0], draw(st.permutations(lists[0][1]))))
    frame = pl.DataFrame([{"product_id": f"p{n}"} | row for n, row in enumerate(shop)], schema=TYPES)
    return state.build(frame, FEATURES, fields=FIELDS, encoder=ENCODER, **LOGGED), lists


def score(product_id):
    return {"p0": 0.5, "p1": math.nan}.get(product_id, 1.25)


def part_vectors(queries):
    found = {}
    for part in PARTS:
        texts = [Query(query, "english", {}).parts[part].text for query in queries]
        found[part] = ENCODER.encode_queries(texts)
        if part == "unwanted":
            found[part][[not text for text in texts]] = math.nan
    return found


def batch(built, lists):
    """The matrix of many lists at once, cut back into lists."""
    ids = [product_id for _, wanted in lists for product_id in wanted]
    offsets = np.cumsum([0, *(len(wanted) for _, wanted in lists)])
    queries = [query for query, _ in lists]
    match = {"title_match": np.array([score(product_id) for product_id in ids], dtype=np.float32)}
    vectors = ENCODER.encode_queries(queries)
    parts = part_vectors(queries)
    made = compute.matrix(
        FEATURES, built, queries, ids, offsets, match=match, query_vectors=vectors, part_vectors=parts
    )
    return np.split(made, offsets[1:-1])


def online(built, query, ids):
    match = {"title_match": np.array([score(product_id) for product_id in ids], dtype=np.float32)}
    return compute.online(query, ids, FEATURES, built, match=match, encoder=ENCODER)


def bits(matrix):
    return matrix.view(np.uint32).tolist()


def test_the_set_of_this_test_has_every_kind():
    # Those that are learnt need judged queries: test_judged.py holds them to the same laws.
    assert {feature.kind for feature in FEATURES.features} == {name for name, kind in KINDS.items() if not kind.learnt}


@given(searches())
@settings(max_examples=60)
def test_batch_and_online_are_equal_bit_for_bit(search):
    built, lists = search
    with mock.patch.object(compute, "_ROWS_AT_ONCE", 4):
        made = batch(built, lists)
    for (query, ids), matrix in zip(lists, made, strict=True):
        assert bits(matrix) == bits(online(built, query, ids))


@given(searches(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_neither_the_order_of_lists_nor_another_list_changes_a_bit(search, random):
    built, lists = search
    order = list(range(len(lists)))
    random.shuffle(order)
    whole, shuffled, fewer = batch(built, lists), batch(built, [lists[at] for at in order]), batch(built, lists[:1])
    for place, at in enumerate(order):
        assert bits(shuffled[place]) == bits(whole[at])
    assert bits(fewer[0]) == bits(whole[0])


@given(searches())
@settings(max_examples=40)
def test_no_value_is_infinite_and_a_row_outside_the_list_kinds_stands_for_itself(search):
    built, lists = search
    own = [at for at, feature in enumerate(FEATURES.features) if feature.scope != "list"]
    for query, ids in lists:
        matrix = online(built, query, ids)
        assert not np.isinf(matrix).any()
        for row, product_id in enumerate(ids):
            assert bits(matrix[row, own]) == bits(online(built, query, [product_id])[0, own])


@given(searches())
@settings(max_examples=15)
def test_a_state_that_was_saved_gives_the_same_bits(tmp_path_factory, search):
    built, lists = search
    directory = tmp_path_factory.mktemp("state")
    built.save(directory)
    loaded = state.load(directory)
    for query, ids in lists:
        assert bits(online(loaded, query, ids)) == bits(online(built, query, ids))


def test_threads_that_share_a_new_state_see_the_same_bits(catalogue, fields):
    titles = ({"title": f"iron man {number}", "price": float(number)} for number in range(40))
    built = state.build(catalogue(*titles), FEATURES, fields=fields, encoder=ENCODER, **LOGGED)
    ids = built.products["product_id"].to_list()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: bits(online(built, f"iron {number % 3}", ids)), range(12)))
    assert found == [bits(online(built, f"iron {number % 3}", ids)) for number in range(12)]


def test_an_unknown_product_has_nothing_but_what_the_query_has(catalogue, fields):
    built = state.build(catalogue({"title": "iron man"}), FEATURES, fields=fields, encoder=ENCODER, **LOGGED)
    found = online(built, "iron 3", ["nobody"])[0]
    values = list(zip(FEATURES.features, found, strict=True))
    mean = {feature.name: value for feature, value in values if "zscore" in (feature.kind, feature.form)}
    assert set(mean.values()) == {0.0}, "the mean of its list"
    there = {feature.name for feature, value in values if feature.name not in mean and not math.isnan(value)}
    kinds = {feature.kind for feature in FEATURES.features if feature.name in there}
    assert kinds == {"query_length", "query_has_digit", "query_mean_idf", "query_max_idf", "match", "relative",
                     "rank_in_list", "bm25", "rate"}  # fmt: skip
    assert {feature.name for feature in FEATURES.features if feature.kind == "bm25"} & there == {"f3"}, "missing = 0.0"


def test_pairs_adds_a_column_a_feature_and_keeps_the_rest(catalogue, feature_set, fields):
    wanted = feature_set(
        {"name": "cover", "kind": "coverage", "field": "title"},
        {"name": "near", "kind": "cosine", "field": "title"},
        {"name": "title_match", "kind": "match", "field": "title"},
    )
    built = state.build(catalogue({"title": "iron man"}, {"title": "iron"}), wanted, fields=fields, encoder=ENCODER)
    candidates = pl.DataFrame(
        {
            "query_id": ["q2", "q2", "q1"],
            "query": ["iron man", "iron man", "iron"],
            "product_id": ["p1", "p0", "p1"],
            "match.title_match": [1.5, None, 2.5],
        }
    )
    pairs = compute.pairs(candidates, wanted, built, encoder=ENCODER)
    assert pairs.columns == [*candidates.columns, *wanted.names]
    assert pairs.select(wanted.names).dtypes == [pl.Float32] * 3
    assert pairs["cover"].to_list() == [0.5, 1.0, 1.0]
    assert pairs["near"][1] == pytest.approx(1)
    assert pairs["title_match"].is_nan().to_list() == [False, True, False]


CANDIDATES = pl.DataFrame({"query_id": ["q", "r", "q"], "query": ["a", "b", "a"], "product_id": ["p0", "p0", "p0"]})


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (CANDIDATES.drop("query"), CandidateError, "lack column 'query'; they have"),
        (CANDIDATES.with_columns(query=None), CandidateError, "column 'query' of the candidates is empty in 3 rows"),
        (CANDIDATES, DataError, "rows of one query_id do not stand together"),
    ],
    ids=["no query", "null query", "scattered lists"],
)
def test_candidates_that_are_no_lists_are_refused(catalogue, feature_set, fields, frame, error, message):
    wanted = feature_set({"kind": "query_length"})
    built = state.build(catalogue({}), wanted, fields=fields, encoder=None)
    with pytest.raises(error, match=message):
        compute.pairs(frame, wanted, built)


def test_no_candidates_make_an_empty_matrix(catalogue, fields):
    built = state.build(catalogue({"title": "iron"}), FEATURES, fields=fields, encoder=ENCODER, **LOGGED)
    assert online(built, "iron", []).shape == (0, len(FEATURES.names))
    none = compute.matrix(
        FEATURES, built, [], [], np.zeros(1, np.int64), match={"title_match": np.empty(0, np.float32)},
        query_vectors=np.empty((0, ENCODER.dimension), np.float32), part_vectors=part_vectors([]),
    )  # fmt: skip
    assert none.shape == (0, len(FEATURES.names))


def test_offsets_that_do_not_cut_the_candidates_are_refused(catalogue, feature_set, fields):
    wanted = feature_set({"kind": "query_length"})
    built = state.build(catalogue({}), wanted, fields=fields, encoder=None)
    for offsets in ([0, 2], [1, 1], [0], [0, 0, 1]):
        with pytest.raises(CandidateError, match="do not cut 1 candidates into 1 lists"):
            compute.matrix(wanted, built, ["x"], ["p0"], np.array(offsets))


def test_query_vectors_that_are_absent_or_of_another_size_are_refused(catalogue, feature_set, fields):
    wanted = feature_set({"kind": "cosine", "field": "title"})
    built = state.build(catalogue({"title": "iron"}), wanted, fields=fields, encoder=ENCODER)
    with pytest.raises(EncoderError, match=r"compares vectors of \['title'\]; give an encoder"):
        compute.online("iron", ["p0"], wanted, built)
    with pytest.raises(EncoderError, match="needs query vectors; give an encoder"):
        compute.matrix(wanted, built, ["iron"], ["p0"], np.array([0, 1]))
    with pytest.raises(EncoderError, match=r"shape \(1, 3\), not \(1, 256\)"):
        compute.matrix(wanted, built, ["x"], ["p0"], np.array([0, 1]), query_vectors=np.ones((1, 3), np.float32))


def test_vectors_of_a_part_that_are_absent_are_refused(catalogue, feature_set, fields):
    wanted = feature_set({"kind": "cosine", "field": "title", "part": "wanted"}, analyzer="english")
    built = state.build(catalogue({"title": "iron"}), wanted, fields=fields, encoder=ENCODER)
    vectors = ENCODER.encode_queries(["iron"])
    with pytest.raises(EncoderError, match="needs query vectors; give an encoder"):
        compute.matrix(wanted, built, ["iron"], ["p0"], np.array([0, 1]), query_vectors=vectors)


def test_a_state_built_for_another_set_is_refused(catalogue, feature_set, fields):
    titles = feature_set({"kind": "bm25", "field": "title"})
    built = state.build(catalogue({}), titles, fields=fields, encoder=None)
    with pytest.raises(BundleMismatchError, match="reads tokens of 'overview', which the state does not hold"):
        compute.online("x", [], feature_set({"kind": "bm25", "field": "overview"}), built)
    with pytest.raises(BundleMismatchError, match="has analyzer 'english', the state 'standard'"):
        compute.online("x", [], feature_set({"kind": "bm25", "field": "title"}, analyzer="english"), built)
