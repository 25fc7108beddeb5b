"""Feature hashing by its formula, and the laws that every encoder keeps."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.encoders.hashing import DIMENSION, HashingEncoder

ENCODER = HashingEncoder()
# All of Unicode, lone surrogates included.
TEXTS = st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=12)


def by_formula(*weighted):
    total = np.zeros(DIMENSION)
    for feature, weight in weighted:
        number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
        total[(number >> 1) % DIMENSION] += weight * (1 - 2 * (number & 1))
    return total / np.linalg.norm(total)


def test_a_word_is_itself_and_its_grams_and_counts_with_the_logarithm():
    # 3-grams of <ab> are <ab and ab>, its only 4-gram is <ab>
    expected = by_formula(("= ab", 1), ("<ab", 1 / math.sqrt(3)), ("ab>", 1 / math.sqrt(3)), ("<ab>", 1 / math.sqrt(3)))
    assert ENCODER.encode(["ab"])[0] == pytest.approx(expected, abs=1e-7)
    tf = 1 + math.log(3)
    expected = by_formula(("= a", tf), ("<a>", tf), ("= b", 1), ("<b>", 1))
    assert ENCODER.encode(["a a b A"])[0] == pytest.approx(expected, abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_a_vector_is_a_function_of_its_text_alone(texts, data):
    order = data.draw(st.permutations(range(len(texts))))
    rows = ENCODER.encode_queries(texts)
    assert rows.shape == (len(texts), DIMENSION)
    assert rows.dtype == np.float32
    assert np.array_equal(ENCODER.encode_queries([texts[place] for place in order]), rows[order])
    assert np.array_equal(ENCODER.encode(texts), rows)
    for text, row in zip(texts, rows, strict=True):
        assert np.array_equal(ENCODER.encode_queries([text])[0], row)
        norm = float(np.linalg.norm(row))
        assert norm == pytest.approx(1, abs=1e-5) or not row.any()


def test_a_text_without_words_is_the_zero_vector():
    assert not ENCODER.encode(["", "  ", "!?"]).any()


def test_case_and_accents_do_not_matter():
    assert np.array_equal(*ENCODER.encode(["Café CRÈME", "cafe creme"]))


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("headpones", "wireless headphones", "wireless keyboard"),
        ("wardrobes", "wardrobe, oak", "warm robe"),
        ("blu shirt", "blue shirts", "blue shorts"),
    ],
)
def test_a_misspelt_word_still_finds_what_was_meant(query, right, wrong):
    vectors = ENCODER.encode([right, wrong])
    near, far = vectors @ ENCODER.encode_queries([query])[0]
    assert near > far


def test_a_very_long_text_takes_a_bounded_time():
    assert ENCODER.encode(["x" * 10_000_000, "shoe " * 1_000_000]).any(axis=1).all()
