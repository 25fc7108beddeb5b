import math

import numpy as np
import pytest

from ltr import text

NAN = math.nan
MOVIES = [
    {"title": "Iron Man", "tags": ["robert downey jr", "suit"]},
    {"title": "Iron Man 3 3", "tags": ["suit of armor"]},
    {"title": "The Man in the Iron Mask", "tags": ["leonardo dicaprio"]},
    {"title": None, "tags": []},
    {"title": "…", "tags": [None, "!"]},
]


def by_hand(query, titles, title, **params):
    """BM25 of a title as the sum of ltr.text.bm25 over the query's terms."""
    standard = text.analyzer("standard")
    analysed = [terms for other in titles if (terms := standard(other or ""))]
    statistics = text.TermStatistics.count(analysed)
    return sum(
        float(
            text.bm25(
                standard(title).count(term),
                len(standard(title)),
                df=statistics.frequency.get(term, 0),
                documents=statistics.documents,
                average_length=statistics.average_length,
                **params,
            )
        )
        for term in standard(query)
    )


@pytest.mark.parametrize("query", ["iron man", "iron iron man", "3", "unheard of", "iron unheard"])
@pytest.mark.parametrize("params", [{}, {"k1": 0.4, "b": 0.0}], ids=["lucene", "flat"])
def test_bm25_is_the_formula_summed_over_the_query_terms_as_often_as_they_stand_there(ask, close, query, params):
    titles = [movie["title"] for movie in MOVIES]
    expected = [by_hand(query, titles, title, **params) for title in titles[:3]] + [NAN, NAN]
    close(ask(query, MOVIES, {"kind": "bm25", "field": "title"} | params), expected)


def test_a_query_without_terms_has_bm25_zero_and_no_coverage_or_phrase(ask, close):
    close(ask("?!", MOVIES, {"kind": "bm25", "field": "title"}), [0, 0, 0, NAN, NAN])
    for kind in ("coverage", "phrase"):
        close(ask("", MOVIES, {"kind": kind, "field": "title"}), [NAN] * 5)


def test_coverage_counts_terms_that_no_product_has(ask, close):
    close(ask("iron man vs zorgon", MOVIES, {"kind": "coverage", "field": "title"}), [2 / 4] * 3 + [NAN, NAN])
    close(ask("iron iron mask", MOVIES, {"kind": "coverage", "field": "title"}), [2 / 3, 2 / 3, 1, NAN, NAN])


def test_coverage_with_idf_weighs_terms_by_rarity_and_unknown_terms_most(ask, close):
    three, iron, unknown = (float(text.idf(df, 3)) for df in (1, 3, 0))
    found = ask("iron 3 zorgon", MOVIES, {"kind": "coverage", "field": "title", "idf": True})
    whole = three + iron + unknown
    close(found, [iron / whole, (iron + three) / whole, iron / whole, NAN, NAN])


def test_unmatched_is_the_share_of_the_field_that_the_query_leaves_out(ask, close):
    close(ask("iron man", MOVIES, {"kind": "unmatched", "field": "title"}), [0, 2 / 4, 4 / 6, NAN, NAN])
    close(ask("iron iron man", MOVIES, {"kind": "unmatched", "field": "title"}), [0, 2 / 4, 4 / 6, NAN, NAN])
    close(ask("", MOVIES, {"kind": "unmatched", "field": "title"}), [1, 1, 1, NAN, NAN])


PHRASES = {
    "a whole title": ("iron man", [2 / 2, 2 / 2, 1 / 2]),
    "order counts": ("man iron", [1 / 2, 1 / 2, 1 / 2]),
    "the longest run": ("watch the man in the iron man", [2 / 7, 2 / 7, 5 / 7]),
    "a repeated term": ("3 3", [0, 2 / 2, 0]),
}


@pytest.mark.parametrize(("query", "expected"), PHRASES.values(), ids=PHRASES.keys())
def test_phrase_is_the_longest_run_in_order(ask, close, query, expected):
    close(ask(query, MOVIES[:3], {"kind": "phrase", "field": "title"}), expected)


def test_a_phrase_per_field_says_how_much_of_the_title_stands_in_the_query(ask, close):
    close(ask("iron man 3 full", MOVIES[:3], {"kind": "phrase", "field": "title", "per": "field"}), [1, 3 / 4, 1 / 6])


def test_a_phrase_never_goes_from_one_value_to_the_next(ask, close):
    products = [{"tags": ["red", "shoe"]}, {"tags": ["red shoe"]}]
    close(ask("red shoe", products, {"kind": "phrase", "field": "tags"}), [1 / 2, 2 / 2])


def test_fields_read_as_one_cover_a_query_together_but_not_as_a_phrase(ask, close):
    products = [{"title": "Iron Man", "overview": "Tony builds a suit"}, {"title": "Suit", "overview": None}]
    both = {"fields": ["title", "overview"]}
    close(ask("man tony", products, {"kind": "coverage"} | both), [1, 0])
    close(ask("man tony", products, {"kind": "phrase"} | both), [1 / 2, 0])
    close(ask("suit", products, {"kind": "length"} | both), [6, 1])


def test_keyword_counts_the_values_that_the_query_names_whole(ask, close):
    feature = {"kind": "keyword", "field": "tags"}
    close(ask("downey jr robert in a suit", MOVIES, feature), [2 / 2, 0, 0, NAN, NAN])
    close(ask("robert downey suit", MOVIES, feature), [1 / 2, 0, 0, NAN, NAN])


def test_keyword_per_query_is_the_share_of_the_query_in_values_named(ask, close):
    feature = {"kind": "keyword", "field": "tags", "per": "query"}
    close(ask("robert downey jr iron man", MOVIES, feature), [3 / 5, 0, 0, NAN, NAN])
    close(ask("suit suit man", MOVIES, feature), [2 / 3, 0, 0, NAN, NAN])
    close(ask("", MOVIES, feature), [NAN] * 5)


def test_length_counts_terms_over_all_values(ask, close):
    close(ask("x", MOVIES, {"kind": "length", "field": "tags"}), [4, 3, 2, NAN, NAN])


def test_terms_are_what_the_analyzer_makes_of_them(ask, close):
    products = [{"title": "Running Shoes"}]
    feature = {"kind": "coverage", "field": "title"}
    close(ask("run shoe", products, feature, analyzer="english"), [1])
    close(ask("run shoe", products, feature, analyzer="standard"), [0])


def test_a_query_is_read_as_far_as_its_sixty_fourth_term(ask, close):
    query = " ".join(["iron"] * 63 + ["man"] + ["zorgon"] * 500)
    close(ask(query, MOVIES[:1], {"kind": "coverage", "field": "title"}), [1])
    close(ask(query, MOVIES[:1], {"kind": "keyword", "field": "title", "per": "query"}), [1])


def test_fields_read_as_one_count_the_same_where_each_is_held_by_itself_too(ask, close):
    products = [{"title": "iron man iron", "tags": ["suit", "iron suit"]}, {"title": "man"}, {"tags": ["man"]}]
    for kind in ("bm25", "coverage", "unmatched"):
        joined = {"kind": kind, "fields": ["title", "tags"]}
        alone = ask("iron suit suit man", products, joined)
        beside = ask(
            "iron suit suit man", products, joined, *({"kind": "bm25", "field": of} for of in ("title", "tags"))
        )
        close(beside, alone)
        assert np.array(beside).tobytes() == np.array(alone).tobytes()
