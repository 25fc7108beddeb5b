"""BM25, ours and the engine's, over real movies: the same number from the engine's own statistics and lengths.

The engine is the outside authority: document frequencies, term frequencies and sums come from its ``_mtermvectors``. What it
keeps of a field's length is one byte (Lucene's SmallFloat.intToByte4): exact up to 40 terms, then four significant bits.
"""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr import datasets
from ltr.config import DataConfig
from ltr.engine import connect
from ltr.retrieval import elastic
from ltr.text import bm25
from made.indexes import made_index

FIELDS = ("title", "overview", "tags")
CLAUSES = {field: {"match": {field: {"query": "{{query}}"}}} for field in FIELDS}
QUERIES, DEPTH = 60, 20

# Elasticsearch multiplies each score by k₁ + 1 (its LegacyBM25Similarity).
LEGACY = 1.2 + 1

# SmallFloat.java: MAX_INT4 = longToInt4(2³¹ − 1) = 231, and the 255 − 231 values that this leaves free are exact.
FREE = 24


def quantised(length):
    """The length that Lucene gives back: byte4ToInt(intToByte4(length))."""
    rest = length - FREE
    if rest < 8:
        return length
    shift = rest.bit_length() - 4
    return FREE + (rest >> shift << shift)


@pytest.fixture(scope="module")
def movies(data_home, engine_url):
    """Real movies in an index of one shard: (retriever, queries)."""
    del data_home  # which says why where there are none
    dataset = datasets.load(DataConfig(source="msrd"), base=Path())
    rows = dataset.products.select("product_id", *FIELDS).iter_rows(named=True)
    documents = {row.pop("product_id"): row for row in rows}
    engine = connect(engine_url, timeout_s=120)
    properties = {field: {"type": "text", "analyzer": "standard"} for field in FIELDS}
    with made_index(engine_url, documents, properties) as index:
        # One segment, as the statistics of several count removed documents, of which there are none here anyway.
        engine.call("POST", f"/{index}/_forcemerge", params={"max_num_segments": 1})
        made = elastic.build(engine, index, fields=dict.fromkeys(FIELDS, 1.0), clauses=CLAUSES, missing={})
        yield made, dataset.queries.select("query_id", "query").sample(QUERIES, seed=7)
    engine.close()


def statistics(retriever, products):
    """product -> field -> what the engine knows of it."""
    settings = {"fields": FIELDS, "term_statistics": True, "positions": False, "offsets": False, "payloads": False}
    found = {}
    for start in range(0, len(products), 100):
        answer = retriever.target.engine.call(
            "POST",
            retriever.target.path("_mtermvectors"),
            {"ids": products[start : start + 100], "parameters": settings},
        )
        found |= {each["_id"]: each["term_vectors"] for each in answer["docs"]}
    return found


def tokens(retriever, text):
    answer = retriever.target.engine.call(
        "POST", retriever.target.path("_analyze"), {"analyzer": "standard", "text": text}
    )
    return [token["token"] for token in answer["tokens"]]


def by_formula(terms, vector, length):
    """Our BM25 of a field with the engine's statistics; NaN where no term is in it."""
    counted, of = vector.get("terms", {}), vector["field_statistics"]
    own = [counted[term] for term in terms if term in counted]
    if not own:
        return np.nan
    scores = bm25(
        [each["term_freq"] for each in own],
        length(sum(each["term_freq"] for each in counted.values())),
        df=[each["doc_freq"] for each in own],
        documents=of["doc_count"],
        average_length=of["sum_ttf"] / of["doc_count"],
    )
    return LEGACY * scores.sum()


def test_our_bm25_is_the_engine_s_over_real_movies(movies):
    retriever, queries = movies
    run = retriever.retrieve(queries, depth=DEPTH).join(queries, on="query_id")
    known = statistics(retriever, run["product_id"].unique().to_list())
    ours, exact, theirs = [], [], []
    terms = {text: tokens(retriever, text) for text in queries["query"].to_list()}
    for row in run.iter_rows(named=True):
        for field in FIELDS:
            vector = known[row["product_id"]].get(field)
            if vector is None:
                assert np.isnan(row[f"match.{field}"])
                continue
            ours.append(by_formula(terms[row["query"]], vector, quantised))
            exact.append(by_formula(terms[row["query"]], vector, int))
            theirs.append(row[f"match.{field}"])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert np.isfinite(theirs).sum() > 1_000
    # Lengths as they are would not do: overviews are longer than what is kept exactly.
    assert np.nanmax(np.abs(np.divide(exact, theirs) - 1)) > 1e-3


def test_a_length_is_quantised_as_explain_says(movies):
    retriever, _ = movies
    body = {"explain": True, "size": 50, "query": {"match": {"overview": "young man"}}}
    hits = retriever.target.engine.call("POST", retriever.target.path("_search"), body)["hits"]["hits"]
    known = statistics(retriever, [hit["_id"] for hit in hits])
    lengths = {}
    for hit in hits:
        told = {
            float(value)
            for value in re.findall(r'"value": ([0-9.]+), "description": "dl,', json.dumps(hit["_explanation"]))
        }
        counted = known[hit["_id"]]["overview"]["terms"]
        length = sum(each["term_freq"] for each in counted.values())
        assert told == {quantised(length)}
        lengths[length] = told
    assert max(lengths) > 40 >= min(lengths)


@pytest.mark.parametrize(
    ("length", "kept"), [(0, 0), (24, 24), (39, 39), (40, 40), (41, 40), (42, 42), (57, 56), (1_000, 984)]
)
def test_lengths_up_to_forty_are_exact(length, kept):
    assert quantised(length) == kept


def test_features_of_real_queries_read_twice_are_identical(movies):
    retriever, queries = movies
    pairs = (
        retriever.retrieve(queries, depth=DEPTH).join(queries, on="query_id").select("query_id", "query", "product_id")
    )
    first, second = retriever.score(pairs), retriever.score(pairs)
    assert first.equals(second)
    assert first.height == pairs.height
    assert first.select(pl.col("match.title").is_finite().sum()).item() > 100
