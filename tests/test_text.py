import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ltr.errors import ConfigError
from ltr.text import ANALYZERS, STOP_WORDS, TermStatistics, analyzer, bm25, fold, idf

LUCENE = json.loads((Path(__file__).parent / "golden" / "lucene_bm25.json").read_text(encoding="utf-8"))
HITS = [
    pytest.param(query["query"], product, hit, id=f"{name}: {product}")
    for name, query in LUCENE["queries"].items()
    for product, hit in query["hits"].items()
]
STANDARD = analyzer("standard")
TITLES = {product: STANDARD(document.get("title", "")) for product, document in LUCENE["documents"].items()}
STATISTICS = TermStatistics.count(TITLES.values())

# Lucene computes in float32.
FLOAT32 = 1e-6

words = st.lists(st.sampled_from(["red", "blue", "shoe"]), max_size=6)


def test_the_golden_file_says_where_it_comes_from():
    assert {"tool", "version", "command", "date"} <= LUCENE.keys()
    assert len(HITS) > 30


@pytest.mark.parametrize(("query", "product", "hit"), HITS)
def test_bm25_is_lucenes_term_by_term(query, product, hit):
    asked = STANDARD(query)
    for part in hit["terms"]:
        (term,) = STANDARD(part["term"])
        tf, length = TITLES[product].count(term), len(TITLES[product])
        assert (tf, length) == (part["freq"], part["dl"])
        assert (STATISTICS.frequency[term], STATISTICS.documents) == (part["n"], part["N"])
        assert STATISTICS.average_length == pytest.approx(part["avgdl"], rel=FLOAT32)
        assert STATISTICS.idf(term) == pytest.approx(part["idf"], rel=FLOAT32)
        weight = _bm25(term, tf, length)
        assert weight / STATISTICS.idf(term) == pytest.approx(part["tf"], rel=FLOAT32)
        # Elasticsearch's boost: how often the query says the term, times the k₁ + 1 that Lucene itself has dropped.
        assert part["boost"] == pytest.approx(asked.count(term) * (part["k1"] + 1), rel=FLOAT32)
    score = sum(_bm25(term, TITLES[product].count(term), len(TITLES[product])) for term in asked)
    assert 2.2 * score == pytest.approx(hit["score"], rel=FLOAT32)


@pytest.mark.parametrize("query", LUCENE["queries"].values(), ids=LUCENE["queries"])
def test_lucene_finds_the_products_that_share_a_term(query):
    asked = set(STANDARD(query["query"]))
    assert {product for product, title in TITLES.items() if asked & set(title)} == query["hits"].keys()


@pytest.mark.parametrize(("text", "tokens"), LUCENE["tokens"].items())
def test_standard_terms_are_lucenes_tokens_folded(text, tokens):
    assert STANDARD(text) == [fold(token) for token in tokens]


def _bm25(term, tf, length):
    df = STATISTICS.frequency.get(term, 0)
    average = STATISTICS.average_length
    return float(bm25(tf, length, df=df, documents=STATISTICS.documents, average_length=average))


OURS = {
    "a unit leaves its number": ("4.5mm", ["4.5", "mm"]),
    "points part letters": ("U.S.A. example.com", ["u", "s", "a", "example", "com"]),
    "a colon parts letters": ("a:b", ["a", "b"]),
    "a typographic apostrophe is an apostrophe": ("don’t", ["don't"]),
    "underscores before another script are no term": ("_東 _タ __", ["東", "タ"]),
    "a mark without a letter is no term": ("\u0941 \u20dd", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("text", "terms"), OURS.values(), ids=OURS)
def test_standard_terms(text, terms):
    assert STANDARD(text) == terms


FOLDS = {
    "sharp s": ("STRASSE Straße ẞ", "strasse strasse ss"),
    "dotted capital i": ("İstanbul", "istanbul"),
    "ligature and full width": ("ﬁ ＡＢＣ", "fi abc"),
    "composed and decomposed accents": ("é e\u0301", "e e"),
    "vietnamese": ("Điện thoại", "đien thoai"),
    "hangul stays in syllables": (unicodedata.normalize("NFD", "한국어"), "한국어"),
    "voiced kana are other letters": ("ガラス カラス", "ガラス カラス"),
    "virama and nukta stay": (unicodedata.normalize("NFC", "क्ष हिन्दी"), "क्ष हिन्दी"),
    "arabic vowel points go": ("كِتَاب", "كتاب"),
    "final sigma": ("ΟΔΟΣ", "οδοσ"),
}


@pytest.mark.parametrize(("text", "folded"), FOLDS.values(), ids=FOLDS)
def test_folding(text, folded):
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.sampled_from(["standard", "english", "english+stop", "german"]))
def test_canonically_equivalent_texts_have_the_same_terms(text, name):
    terms = analyzer(name)
    assert terms(unicodedata.normalize("NFC", text)) == terms(unicodedata.normalize("NFD", text))


@given(st.text())
def test_every_term_has_a_letter_or_a_digit_and_no_blank(text):
    for term in STANDARD(text):
        assert any(character.isalnum() for character in term)
        assert not any(character.isspace() for character in term)


@given(st.text(), st.text(), st.sampled_from(["standard", "english", "english+stop"]))
def test_a_blank_between_texts_joins_their_terms(left, right, name):
    terms = analyzer(name)
    assert terms(f"{left} {right}") == terms(left) + terms(right)


def test_english_takes_possessives_and_stems():
    assert analyzer("english")("The runner's running shoes ran") == ["the", "runner", "run", "shoe", "ran"]
    assert analyzer("english")("women’s") == analyzer("english")("women's") == ["women"]


def test_stop_words_are_dropped_by_choice():
    assert analyzer("english+stop")("The shoe of the runners") == ["shoe", "runner"]
    assert analyzer("standard+stop")("to be or not to be") == []
    assert len(STOP_WORDS) == 33


def test_other_languages_have_their_own_stems():
    assert analyzer("german")("Häuser") == analyzer("german")("Haus") == ["haus"]


def test_equal_names_make_equal_analyzers():
    assert analyzer("english") == analyzer("english")
    assert hash(analyzer("english")) == hash(analyzer("english"))
    assert analyzer("english") != analyzer("english+stop")


def test_a_long_word_is_stemmed_without_being_remembered():
    terms = analyzer("english")
    terms("x" * 100 + "ing")
    assert not any(len(word) > 64 for word in terms._stems)


@pytest.mark.parametrize("name", ["englsh", "", "english+", "english+stops", "+stop", "English"])
def test_an_unknown_analyzer_is_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match=f"analyzer '.*' is unknown; .*{', '.join(sorted(ANALYZERS)[:3])}"):
        analyzer(name)


def test_a_near_miss_is_suggested():
    with pytest.raises(ConfigError, match="did you mean 'english'"):
        analyzer("englsh+stop")


def test_idf_by_formula():
    assert float(idf(3, 10)) == pytest.approx(math.log(1 + (10 - 3 + 0.5) / (3 + 0.5)), rel=1e-15)


def test_bm25_by_formula():
    norm = 1.2 * (1 - 0.75 + 0.75 * 8 / 5)
    expected = math.log(1 + (10 - 3 + 0.5) / (3 + 0.5)) * 2 / (2 + norm)
    assert float(bm25(2, 8, df=3, documents=10, average_length=5)) == pytest.approx(expected, rel=1e-15)


def test_bm25_takes_arrays_element_by_element():
    tf, length = np.array([0, 1, 2]), np.array([3, 4, 5])
    one_by_one = [float(bm25(t, n, df=1, documents=3, average_length=4)) for t, n in zip(tf, length, strict=True)]
    assert bm25(tf, length, df=1, documents=3, average_length=4).tolist() == one_by_one


@given(st.integers(1, 50), st.integers(1, 200), st.integers(1, 99), st.integers(100, 10_000))
def test_bm25_rises_with_tf_and_falls_with_length_and_df(tf, length, df, documents):
    def weight(tf=tf, length=length, df=df):
        return float(bm25(tf, length, df=df, documents=documents, average_length=20.0))

    assert 0 < weight() < weight(tf=tf + 1)
    assert weight(length=length + 1) < weight()
    assert weight(df=df + 1) < weight()
    assert weight() < float(idf(df, documents))


@given(st.integers(1, 20), st.integers(1, 20))
def test_without_b_the_length_does_not_count(one, other):
    both = bm25(2, np.array([one, other]), df=1, documents=9, average_length=5, b=0)
    assert both[0] == both[1]


@given(st.lists(words, max_size=8))
def test_statistics_count_products_that_have_the_field(texts):
    counted = TermStatistics.count(texts)
    having = [text for text in texts if text]
    assert counted.documents == len(having)
    assert counted.terms == sum(map(len, having))
    assert counted.frequency == {
        term: df for term in ("red", "blue", "shoe") if (df := sum(term in text for text in having))
    }
    assert counted.average_length == (counted.terms / counted.documents if having else 1.0)


@given(st.lists(words, min_size=1, max_size=8), st.sampled_from(["red", "shoe"]))
def test_an_absent_term_weighs_more_than_a_present_one(texts, term):
    counted = TermStatistics.count(texts)
    assume(term in counted.frequency)
    assert counted.idf("zeppelin") > counted.idf(term) > 0
