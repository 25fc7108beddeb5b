import math

import pytest

from ltr import text

NAN = math.nan
BOTTLES = [
    {"title": "Bottle 32 oz for kids", "overview": "steel"},
    {"title": "Kids 32oz flask", "overview": None},
    {"title": None, "overview": "32"},
]


def test_number_coverage_asks_for_terms_with_a_digit_alone(ask, close):
    feature = {"kind": "number_coverage", "field": "title"}
    close(ask("bottle 32 64", BOTTLES, feature), [1 / 2, 0, NAN])
    close(ask("flask 32oz", BOTTLES, feature), [0, 1, NAN])
    close(ask("bottle", BOTTLES, feature), [NAN] * 3)
    wanted = ask("bottle 32 without 64", BOTTLES, feature | {"part": "wanted"}, analyzer="english")
    close(wanted, [1, 0, NAN])


HEADS = {
    "steel bottle for kids": "bottle",
    "kids bottles": "bottle",
    "bottle 32oz with straw": "32oz",
    "bottle w/ handle": "bottle",
    "bottle without straw for kids": "bottle",
    "for kids": "kid",
    "bottle the": "bottle",
}


@pytest.mark.parametrize(("query", "head"), HEADS.items())
def test_head_is_the_last_word_before_a_preposition(ask, close, query, head):
    products = [{"title": head}, {"title": f"for with the straw handle steel {'kid' if head != 'kid' else 'bottle'}"}]
    close(ask(query, products, {"kind": "head", "field": "title"}, analyzer="english"), [1, 0])


def test_head_is_unknown_in_a_language_without_a_table_and_to_a_query_without_words(ask, close):
    close(ask("steel bottle", BOTTLES[:1], {"kind": "head", "field": "title"}), [NAN])
    close(ask("?!", BOTTLES[:1], {"kind": "head", "field": "title"}, analyzer="english"), [NAN])


def test_heaviest_missing_is_the_idf_of_the_rarest_term_that_is_not_there(ask, close):
    fields = {"kind": "heaviest_missing", "fields": ["title", "overview"]}
    kids, steel, unknown = (float(text.idf(df, 3)) for df in (2, 1, 0))
    close(ask("kids bottle steel", BOTTLES, fields), [0, steel, steel])
    close(ask("kids zorgon", BOTTLES, fields), [unknown] * 3)
    close(ask("kids", BOTTLES, fields), [0, 0, kids])
    close(ask("", BOTTLES, fields), [NAN] * 3)
    close(ask("kids", BOTTLES, {"kind": "heaviest_missing", "field": "title"}), [0, 0, NAN])
