import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from ltr.features.terms import plain, trigrams

NAN = math.nan
MOVIES = [
    {"title": "Spider-Man", "tags": ["Marvel", "spider man"]},
    {"title": "Spider-Man: Homecoming", "tags": ["marvel"]},
    {"title": "Amélie", "tags": []},
    {"title": "  ", "tags": None},
]


def test_exact_compares_plain_forms(ask, close):
    feature = {"kind": "exact", "field": "title"}
    close(ask("SPIDER man", MOVIES, feature), [1, 0, 0, NAN])
    close(ask("amelie", MOVIES, feature), [0, 0, 1, NAN])
    close(ask("spiderman", MOVIES, feature), [0, 0, 0, NAN])


def test_exact_takes_any_value_of_a_list(ask, close):
    close(ask("spider-man", MOVIES, {"kind": "exact", "field": "tags"}), [1, 0, NAN, NAN])


def test_initials_are_those_of_all_words_or_but_a_leading_article(ask, close):
    feature = {"kind": "initials", "field": "title"}
    films = [{"title": "The Lord of the Rings"}, {"title": "Men in Black"}, {"title": "Jaws"}, {"title": None}]
    close(ask("LOTR", films, feature), [1, 0, 0, NAN])
    close(ask("m i b", films, feature), [0, 1, 0, NAN])
    close(ask("tlotr", films, feature), [1, 0, 0, NAN])
    close(ask("j", films, feature), [0, 0, 0, NAN])
    close(ask("sm", MOVIES, {"kind": "initials", "field": "tags"}), [1, 0, NAN, NAN])


def test_apostrophes_do_not_count():
    assert plain("Ocean’s 'Eleven'") == plain("oceans eleven")


def test_prefix_is_the_share_of_the_query_that_the_field_begins_with(ask, close):
    feature = {"kind": "prefix", "field": "title"}
    close(ask("spider man home", MOVIES, feature), [10 / 15, 1, 0, NAN])
    close(ask("am", MOVIES, feature), [0, 0, 1, NAN])
    close(ask("avatar", MOVIES, feature), [0, 0, 1 / 6, NAN])


def test_prefix_of_a_list_is_that_of_its_best_value(ask, close):
    close(ask("spider woman", MOVIES, {"kind": "prefix", "field": "tags"}), [7 / 12, 0, NAN, NAN])


SCORERS = {
    "ratio": lambda a, b: fuzz.ratio(a, b) / 100,
    "partial": lambda a, b: fuzz.partial_ratio(a, b) / 100,
    "token_sort": lambda a, b: fuzz.token_sort_ratio(a, b) / 100,
    "token_set": lambda a, b: fuzz.token_set_ratio(a, b) / 100,
    "jaro_winkler": JaroWinkler.similarity,
}


@pytest.mark.parametrize("method", SCORERS)
def test_similarity_is_rapidfuzz_of_the_plain_forms(ask, close, method):
    likeness = SCORERS[method]
    found = ask("Spidermen, homecoming", MOVIES, {"kind": "similarity", "field": "title", "method": method})
    query = "spidermen homecoming"
    close(found, [likeness(query, title) for title in ("spider man", "spider man homecoming", "amelie")] + [NAN])


@pytest.mark.parametrize("method", SCORERS)
def test_similarity_of_equals_is_one_and_a_list_counts_by_its_best_value(ask, close, method):
    found = ask("spider man", MOVIES, {"kind": "similarity", "field": "tags", "method": method})
    close(found, [1, SCORERS[method]("spider man", "marvel"), NAN, NAN])


@given(a=st.text(string.ascii_lowercase + " ", max_size=12), b=st.text(string.ascii_lowercase + " ", max_size=12))
def test_similarity_is_symmetrical(a, b):
    for likeness in SCORERS.values():
        assert likeness(a, b) == pytest.approx(likeness(b, a))


def test_ngram_shares_trigrams_of_the_padded_forms(ask, close):
    # " en", "enc", "nca", "can", "ant", "nte", "ted", "ed " and " en", "enc", "nch", "cha", "han", "ant", "nte", "ted", "ed "
    products = [{"title": "Enchanted"}, {"title": "Frozen"}, {"title": None}]
    for per, expected in {"query": 6 / 8, "field": 6 / 9, "both": 2 * 6 / (8 + 9)}.items():
        close(ask("encanted", products, {"kind": "ngram", "field": "title", "per": per}), [expected, 0, NAN])


def test_trigrams_of_a_list_are_the_union_of_its_values(ask, close):
    products = [{"tags": ["abc", "abd"]}]  # " ab", "abc", "bc ", "abd", "bd "
    close(ask("abc", products, {"kind": "ngram", "field": "tags", "per": "field"}), [3 / 5])


@given(st.text(max_size=30))
def test_trigrams_are_distinct_and_ascending_and_one_a_character(value):
    grams = trigrams(value).tolist()
    assert grams == sorted(set(grams))
    assert len(grams) <= len(value)


@pytest.mark.parametrize("kind", ["exact", "prefix", "similarity", "ngram"])
def test_a_query_that_is_empty_in_plain_form_is_like_nothing(ask, close, kind):
    close(ask(" ?! ", MOVIES, {"kind": kind, "field": "title"}), [NAN] * 4)


def test_a_lone_surrogate_in_a_query_does_no_harm(ask, close):
    close(ask("amelie \ud800", MOVIES, {"kind": "exact", "field": "title"}), [0, 0, 1, NAN])
