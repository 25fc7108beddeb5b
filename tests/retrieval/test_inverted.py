import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import MissingExtraError
from ltr.retrieval.inverted import index
from ltr.text import TermStatistics, analyzer, bm25

LUCENE = json.loads((Path(__file__).parents[1] / "golden" / "lucene_bm25.json").read_text(encoding="utf-8"))
PRODUCTS = list(LUCENE["documents"])
STANDARD = analyzer("standard")
GOLDEN = index([document.get("title", "") for document in LUCENE["documents"].values()], STANDARD)

# Lucene and bm25s compute in float32, in different orders.
FLOAT32 = 1e-6

WORDS = st.sampled_from(["red", "blue", "shoe", "shoes", "Café", "東京", "42.5", "the", "—"])
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), min_size=1, max_size=12)


@pytest.mark.parametrize("query", LUCENE["queries"].values(), ids=LUCENE["queries"])
def test_scores_are_lucenes_without_elasticsearchs_factor(query):
    expected = [query["hits"].get(product, {"score": 0.0})["score"] / (1.2 + 1) for product in PRODUCTS]
    assert GOLDEN.scores_of(STANDARD(query["query"])).tolist() == pytest.approx(expected, rel=FLOAT32)


@given(TEXTS, st.lists(WORDS, max_size=5).map(" ".join), st.sampled_from(["standard", "english+stop"]))
def test_scores_are_the_sum_of_our_own_bm25(texts, query, name):
    terms = analyzer(name)
    documents = [terms(text) for text in texts]
    known = TermStatistics.count(documents)
    expected = [
        sum(
            float(
                bm25(
                    document.count(term),
                    len(document),
                    df=known.frequency.get(term, 0),
                    documents=known.documents,
                    average_length=known.average_length,
                )
            )
            for term in terms(query)
        )
        for document in documents
    ]
    assert index(texts, terms).scores_of(terms(query)).tolist() == pytest.approx(expected, rel=FLOAT32)


@given(TEXTS, WORDS)
def test_a_product_without_the_field_changes_no_score(texts, word):
    terms = STANDARD(word)
    alone, beside = index(texts, STANDARD), index(["", *texts, "—"], STANDARD)
    assert beside.scores_of(terms).tolist() == [0, *alone.scores_of(terms).tolist(), 0]


def test_a_repeated_term_counts_as_often_as_it_stands_there():
    assert np.array_equal(GOLDEN.scores_of(["shoe", "shoe"]), 2 * GOLDEN.scores_of(["shoe"]))


@pytest.mark.parametrize("texts", [[""], ["", "—"]])
def test_a_field_that_no_product_has_scores_nothing(texts):
    assert index(texts, STANDARD).scores_of(["shoe"]).tolist() == [0] * len(texts)


def test_indexing_is_silent(capsys, caplog):
    with caplog.at_level(logging.DEBUG):
        index(["red shoe", "blue shoe"], STANDARD)
    assert capsys.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("bm25s")]


def test_without_bm25s_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingExtraError, match=r"bm25s is not installed; pip install 'ltr\[serve\]'"):
        index(["red shoe"], STANDARD)


def test_the_room_loads_bm25s_only_for_an_index():
    script = (
        "import sys, ltr.retrieval, ltr.retrieval.embedded\nassert not {'bm25s', 'numba', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
