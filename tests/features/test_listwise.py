import math

import numpy as np
import pytest

from ltr.encoders.hashing import HashingEncoder

ENCODER = HashingEncoder()
NAN = math.nan
PRICES = [{"price": price} for price in (10.0, 20.0, None, 60.0, 20.0)]


def test_relative_is_the_value_over_the_mean_of_those_who_have_one(ask, close):
    mean = (10 + 20 + 60 + 20) / 4
    expected = [10 / mean, 20 / mean, NAN, 60 / mean, 20 / mean]
    close(ask("x", PRICES, {"kind": "relative", "field": "price"}), expected)


def test_relative_to_a_mean_of_zero_or_of_nothing_is_missing(ask, close):
    feature = {"kind": "relative", "field": "price"}
    close(ask("x", [{"price": 1.0}, {"price": -1.0}], feature), [NAN, NAN])
    close(ask("x", [{"price": None}], feature), [NAN])
    close(ask("x", [{"price": 1e308}, {"price": 1e308}], feature), [NAN, NAN])


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("rank", [4, (2 + 3) / 2, NAN, 1, (2 + 3) / 2]), ("share", [0.5 / 4, 2 / 4, NAN, 3.5 / 4, 2 / 4])],
)
def test_rank_in_list_shares_ranks_among_equals_and_leaves_the_missing_out(ask, close, scale, expected):
    close(ask("x", PRICES, {"kind": "rank_in_list", "field": "price", "scale": scale}), expected)


def test_a_list_of_one_is_in_the_middle_of_itself(ask, close):
    close(ask("x", PRICES[:1], {"kind": "rank_in_list", "field": "price"}), [1 / 2])
    close(ask("x", PRICES[:1], {"kind": "rank_in_list", "field": "price", "scale": "rank"}), [1])


def test_ranks_are_those_of_an_enumeration(ask, close):
    values = [3.0, 1.0, 3.0, 2.0, 3.0, 1.0]
    ranks = [
        sum(other > value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]
    products = [{"price": value} for value in values]
    close(ask("x", products, {"kind": "rank_in_list", "field": "price", "scale": "rank"}), ranks)


def test_a_copy_compares_another_feature_before_its_missing_values_are_filled(ask, close):
    titled = [{"title": "iron man"}, {"title": "iron"}, {"title": None}]
    coverage = {"name": "cover", "kind": "coverage", "field": "title", "missing": 9.0}
    close(ask("iron man", titled, {"kind": "relative", "of": "cover"}, coverage), [1 / 0.75, 0.5 / 0.75, NAN])
    long = {"name": "long", "kind": "length", "field": "title"}
    close(ask("iron", titled, {"kind": "rank_in_list", "of": "long", "scale": "rank"}, long), [1, 2, NAN])


def test_zscore_is_the_distance_from_the_mean_in_deviations_and_a_missing_value_is_the_mean(ask, close):
    known = np.array([10.0, 20.0, 60.0, 20.0])
    z = (known - known.mean()) / known.std()
    close(ask("x", PRICES, {"kind": "zscore", "field": "price"}), [z[0], z[1], 0, z[2], z[3]])


@pytest.mark.parametrize(
    "prices",
    [[None, None], [3.5], [0.1] * 7, [1e308, -1e308], [7e5, 7e5 + 1e-3]],
    ids=["none", "one", "equal", "beyond float64", "equal in float32"],
)
def test_zscore_of_a_list_that_does_not_vary_is_zero(ask, close, prices):
    products = [{"price": price} for price in prices]
    close(ask("x", products, {"kind": "zscore", "field": "price"}), [0] * len(prices))


def test_a_feature_as_zscore_is_the_copy_under_its_own_name(ask):
    titled = [{"title": "iron man"}, {"title": "iron"}, {"title": None}]
    for feature in ({"kind": "coverage", "field": "title"}, {"kind": "length", "field": "title"}):
        copied = ask("iron man", titled, {"kind": "zscore", "of": "raw"}, {"name": "raw"} | feature)
        assert ask("iron man", titled, feature | {"as": "zscore"}) == copied
        # Another feature reads the value itself.
        other = {"name": "raw", "as": "rank_in_list"} | feature
        assert ask("iron man", titled, {"kind": "zscore", "of": "raw"}, other) == copied


def weighted(scores):
    z = np.array(scores)
    z = (z - z.mean()) / z.std()
    return np.exp(z) / np.exp(z).sum()


TITLES = [{"title": "iron man"}, {"title": "iron mask"}, {"title": "paper"}, {"title": None}]


def test_centroid_is_the_cosine_to_the_mean_of_the_list(ask, close):
    vectors = ENCODER.encode_queries([movie["title"] for movie in TITLES[:3]]).astype(np.float64)
    mean = vectors.mean(axis=0)
    expected = [*(vectors @ mean / np.linalg.norm(mean)), NAN]
    found = ask("iron", TITLES, {"kind": "centroid", "field": "title"}, encoder=ENCODER)
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_centroid_is_nearer_to_the_products_whose_feature_is_higher(ask):
    cover = {"name": "cover", "kind": "coverage", "field": "title"}
    vectors = ENCODER.encode_queries([movie["title"] for movie in TITLES[:3]]).astype(np.float64)
    mean = weighted([1, 1, 0]) @ vectors
    expected = [*(vectors @ mean / np.linalg.norm(mean)), NAN]
    feature = {"kind": "centroid", "field": "title", "by": "cover"}
    assert ask("iron", TITLES, feature, cover, encoder=ENCODER) == pytest.approx(expected, rel=1e-6, nan_ok=True)


TAGGED = [{"tags": ["Red", "shoe", "red"]}, {"tags": ["red!"]}, {"tags": ["hat"]}, {"tags": []}, {"tags": ["shoe"]}]


def test_agreement_is_the_share_of_the_list_that_has_the_products_values(ask, close):
    red, shoe, hat = 2 / 4, 2 / 4, 1 / 4
    feature = {"kind": "agreement", "field": "tags"}
    close(ask("x", TAGGED, feature), [(red + shoe) / 2, red, hat, NAN, shoe])
    close(ask("x", TAGGED, feature, product_ids=["p2", "nobody", "p3"]), [1, NAN, NAN])


def test_agreement_weighs_by_a_feature(ask, close):
    products = [{"tags": ["red"], "price": 1.0}, {"tags": ["red"], "price": 5.0}, {"tags": ["hat"], "price": 9.0}]
    price = {"name": "price", "kind": "number", "field": "price"}
    w = weighted([1, 5, 9])
    expected = [w[0] + w[1], w[0] + w[1], w[2]]
    close(ask("x", products, {"kind": "agreement", "field": "tags", "by": "price"}, price), expected)
