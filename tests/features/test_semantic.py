import math

import numpy as np
import pytest

from ltr.encoders.hashing import HashingEncoder
from ltr.errors import FeatureSetError

NAN = math.nan
ENCODER = HashingEncoder()
MOVIES = [{"title": "Iron Man", "overview": "A suit"}, {"title": "Iron"}, {"title": " ", "overview": None}]


def dot(a, b):
    one, other = ENCODER.encode_queries([a, b]).astype(np.float64)
    return float(one @ other)


def test_cosine_is_the_product_of_the_encoders_vectors(ask, close):
    found = ask("iron suit", MOVIES, {"kind": "cosine", "field": "title"}, encoder=ENCODER)
    assert found[:2] == pytest.approx([dot("iron suit", "Iron Man"), dot("iron suit", "Iron")], abs=1e-6)
    assert math.isnan(found[2]), "a blank title has no meaning"


def test_cosine_over_fields_encodes_them_joined_as_sentences(ask, close):
    found = ask("iron suit", MOVIES, {"kind": "cosine", "fields": ["title", "overview"]}, encoder=ENCODER)
    assert found[:2] == pytest.approx([dot("iron suit", "Iron Man. A suit"), dot("iron suit", "Iron")], abs=1e-6)
    assert math.isnan(found[2])


def test_vectors_without_an_encoder_are_an_error_that_says_so(ask):
    with pytest.raises(FeatureSetError, match=r"\['title'\] need an encoder; set \[encoder\] model"):
        ask("x", MOVIES, {"kind": "cosine", "field": "title"})


def test_cosine_of_a_part_is_that_of_the_part_as_a_text_of_its_own(ask):
    feature = {"kind": "cosine", "field": "title"}

    def found(query, part):
        return ask(query, MOVIES[:2], feature | {"part": part}, encoder=ENCODER, analyzer="english")

    query = "iron without man"
    for part, text in {"wanted": "iron", "unwanted": "man"}.items():
        assert found(query, part) == pytest.approx([dot(text, "Iron Man"), dot(text, "Iron")], abs=1e-6)
    whole = ask("iron suit", MOVIES[:2], feature, encoder=ENCODER)
    assert found("iron suit", "wanted") == whole
    assert all(map(math.isnan, found("iron suit", "unwanted")))


def test_sentence_cosine_is_that_of_the_nearest_sentence(ask):
    products = [
        {"title": "Bottle", "overview": "Holds 1.5 l. Has a lid! Made of steel\nDishwasher safe"},
        {"title": None, "overview": "Steel"},
        {"title": " ", "overview": "…"},
    ]
    sentences = ["Bottle", "Holds 1.5 l.", "Has a lid!", "Made of steel", "Dishwasher safe"]
    feature = {"kind": "sentence_cosine", "fields": ["title", "overview"]}
    for query in ("steel lid", "bottle", "dishwasher"):
        expected = [max(dot(query, sentence) for sentence in sentences), dot(query, "Steel"), math.nan]
        assert ask(query, products, feature, encoder=ENCODER) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_sentences_without_an_encoder_are_an_error_that_says_so(ask):
    with pytest.raises(FeatureSetError, match=r"\['title'\] need an encoder; set \[encoder\] model"):
        ask("x", MOVIES, {"kind": "sentence_cosine", "field": "title"})
