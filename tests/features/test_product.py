import math

NAN = math.nan
PRODUCTS = [
    {"price": 9.0, "year": 2007.0, "sold": True},
    {"price": -1.0, "year": 12.0, "sold": False},
    {"price": math.inf, "year": None, "sold": None},
    {"price": 1e300, "year": math.nan},
    {"price": -0.5},
]


def test_number_is_the_field_itself_and_never_infinite(ask, close):
    close(ask("x", PRODUCTS, {"kind": "number", "field": "price"}), [9, -1, NAN, NAN, -0.5])


def test_the_log_of_a_number_is_missing_where_there_is_none(ask, close):
    found = ask("x", PRODUCTS, {"kind": "number", "field": "price", "log": True})
    close(found, [math.log(10), NAN, NAN, math.log1p(1e300), math.log(0.5)])


def test_what_is_below_the_least_counts_as_missing(ask, close):
    close(ask("x", PRODUCTS, {"kind": "number", "field": "price", "at_least": 0}), [9, NAN, NAN, NAN, NAN])
    found = ask("x", PRODUCTS, {"kind": "number", "field": "price", "at_least": -0.5, "log": True, "missing": 0})
    close(found, [math.log(10), 0, 0, math.log1p(1e300), math.log(0.5)])


def test_a_boolean_is_zero_or_one(ask, close):
    close(ask("x", PRODUCTS, {"kind": "number", "field": "sold"}), [1, 0, NAN, NAN, NAN])


def test_a_number_is_in_the_query_where_it_stands_as_a_word(ask, close):
    feature = {"kind": "number_in_query", "field": "year"}
    close(ask("enchanted 2007", PRODUCTS, feature), [1, 0, NAN, NAN, NAN])
    close(ask("enchanted (2007), size 12", PRODUCTS, feature), [1, 1, NAN, NAN, NAN])
    close(ask("enchanted 20071 a12 1.2", PRODUCTS, feature), [0, 0, NAN, NAN, NAN])
    close(ask("9" * 400, PRODUCTS, feature), [0, 0, NAN, NAN, NAN])


def test_missing_takes_the_place_of_nan(ask, close):
    close(ask("x", PRODUCTS, {"kind": "number", "field": "year", "missing": -1.0}), [2007, 12, -1, -1, -1])
    unknown = ask("x", PRODUCTS, {"kind": "number", "field": "year", "missing": 0}, product_ids=["p0", "nobody"])
    close(unknown, [2007, 0])
