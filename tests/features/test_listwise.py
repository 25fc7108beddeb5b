import math

import pytest

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
