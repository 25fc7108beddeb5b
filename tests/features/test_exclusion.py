import math

import pytest

from ltr.errors import FeatureSetError

NAN = math.nan
BOXES = [
    {"title": "Box with lids"},
    {"title": "Box without the plastic lid"},
    {"title": "lidless box"},
    {"title": "lid free box"},
    {"title": "box"},
    {"title": None},
]


@pytest.mark.parametrize("query", ["box without a lid", "box no lids", "boxes w/o Lid tray"])
def test_excluded_is_whether_the_field_has_what_is_not_wanted(ask, close, query):
    close(ask(query, BOXES, {"kind": "excluded", "field": "title"}, analyzer="english"), [1, 1, 0, 1, 0, NAN])


def test_excluded_looks_at_the_first_words_of_it(ask, close):
    products = [{"title": "red hat"}, {"title": "wool hat"}]
    feature = {"kind": "excluded", "field": "title"}
    query = "hat not of acrylic but wool"
    close(ask(query, products, feature, analyzer="english"), [0, 0])
    close(ask(query, products, feature | {"words": 4}, analyzer="english"), [0, 1])


SAID = {
    "box without the plastic lid": 1,
    "box without the shiny red plastic lid": 0,
    "no lid": 1,
    "free of lids": 1,
    "non lid": 1,
    "lid free": 1,
    "lid not included": 1,
    "lid is not included": 0,
    "lidless": 1,
    "with lid": 0,
    "lid without box": 0,
    "without box": 0,
    "free": 0,
}


@pytest.mark.parametrize(("title", "expected"), SAID.items())
def test_a_field_says_that_it_is_without(ask, close, title, expected):
    feature = {"kind": "exclusion_honoured", "field": "title"}
    close(ask("box without lids", [{"title": title}], feature, analyzer="english"), [expected])


def test_a_negation_does_not_reach_into_the_next_value(ask, close):
    products = [{"tags": ["no", "lid"]}, {"tags": ["no lid"]}, {"tags": ["lid", "free"]}]
    close(
        ask("box without lid", products, {"kind": "exclusion_honoured", "field": "tags"}, analyzer="english"), [0, 1, 0]
    )


def test_the_reach_is_counted_in_words(ask, close):
    products = [{"title": "no big red lid"}]
    for reach, expected in {1: 0, 2: 0, 3: 1}.items():
        feature = {"kind": "exclusion_honoured", "field": "title", "reach": reach}
        close(ask("box without lid", products, feature, analyzer="english"), [expected])


@pytest.mark.parametrize("kind", ["excluded", "exclusion_honoured"])
def test_a_query_that_excludes_nothing_has_no_value(ask, close, kind):
    for query, analyzer in {"box with lid": "english", "box without lid": "standard", "": "english"}.items():
        close(ask(query, BOXES, {"kind": kind, "field": "title"}, analyzer=analyzer), [NAN] * 6)


def test_what_no_product_has_is_excluded_from_none(ask, close):
    close(ask("box without zorgon", BOXES, {"kind": "excluded", "field": "title"}, analyzer="english"), [0] * 5 + [NAN])


AUDIENCES = {"kind": "conflict", "field": "title", "alternatives": [["women", "ladies"], ["men"], ["kids"]]}
SHOES = [
    {"title": "Women's shoes"},
    {"title": "Men shoes"},
    {"title": "Shoes for men and ladies"},
    {"title": "shoes"},
    {"title": None},
]


def test_conflict_is_to_name_only_other_alternatives(ask, close):
    close(ask("shoes women", SHOES, AUDIENCES, analyzer="english"), [0, 1, 0, 0, NAN])
    close(ask("shoes for kids", SHOES, AUDIENCES, analyzer="english"), [1, 1, 1, 0, NAN])
    close(ask("shoes men kids", SHOES, AUDIENCES, analyzer="english"), [1, 0, 0, 0, NAN])
    close(ask("shoes", SHOES, AUDIENCES, analyzer="english"), [NAN] * 5)


def test_conflict_knows_alternatives_that_no_product_names(ask, close):
    close(ask("shoes kids", SHOES[1:2], AUDIENCES), [1])


def test_alternatives_without_words_are_refused(ask):
    with pytest.raises(FeatureSetError, match="give 2 to 62 lists of words, none of them empty"):
        ask("x", SHOES, AUDIENCES | {"alternatives": [["men"], []]})
