import math

from ltr import text

NAN = math.nan
TITLES = [{"title": "Iron Man"}, {"title": "Iron Giant"}, {"title": None}]


def test_query_length_counts_repeated_and_unknown_terms(ask, close):
    close(ask("iron iron zorgon", TITLES, {"kind": "query_length"}), [3] * 3)
    close(ask("", TITLES, {"kind": "query_length"}), [0] * 3)
    close(ask("iron " * 100, TITLES, {"kind": "query_length"}), [64] * 3)


def test_query_idf_is_that_of_the_field(ask, close):
    iron, man, unknown = (float(text.idf(df, 2)) for df in (2, 1, 0))
    query = "iron man zorgon"
    close(ask(query, TITLES, {"kind": "query_mean_idf", "field": "title"}), [(iron + man + unknown) / 3] * 3)
    close(ask(query, TITLES, {"kind": "query_max_idf", "field": "title"}), [unknown] * 3)
    close(ask("…", TITLES, {"kind": "query_max_idf", "field": "title"}), [NAN] * 3)


def test_query_has_digit_reads_digits_of_any_script(ask, close):
    for query, expected in {"ocean 11": 1, "size 42.5": 1, "ocean eleven": 0, "": 0, "١٢": 1}.items():
        close(ask(query, TITLES, {"kind": "query_has_digit"}), [expected] * 3)


def test_a_query_feature_does_not_mind_unknown_products(ask, close):
    close(ask("iron man", TITLES, {"kind": "query_length"}, product_ids=["nobody"]), [2])
