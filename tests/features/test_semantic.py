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
