from collections import Counter

import pytest

from ltr.datasets.shop_templates import slots_of
from ltr.datasets.shop_vocabulary import vocabulary

WORDS = vocabulary()
# What shop_merchants knows of every product, and what only some have.
ALWAYS = {"type", "type2", "brand", "model", "number", "hype", "hype2", "other", "other2"}
ALWAYS |= {"other_brand", "other_colour", "other_trait", "other_material"}
SOMETIMES = {"colour", "material", "audience", "whose", "trait", "trait2", "purpose", "size"}


def test_a_word_for_something_to_buy_names_one_thing_only():
    things = [*WORDS.types, *WORDS.categories, *WORDS.departments]
    twice = [word for word, count in Counter(word for thing in things for word in thing.words).items() if count > 1]
    assert not twice


@pytest.mark.parametrize("terms", ["colours", "materials", "traits", "audiences"])
def test_a_word_for_an_attribute_names_one_value_only(terms):
    counts = Counter(word for term in getattr(WORDS, terms) for word in term.words)
    assert not [word for word, count in counts.items() if count > 1]


def test_words_are_as_shoppers_type_them_lower_case_and_single_spaced():
    things = [*WORDS.types, *WORDS.categories, *WORDS.departments]
    things += [*WORDS.colours, *WORDS.materials, *WORDS.traits, *WORDS.audiences]
    assert all(word == " ".join(word.lower().split()) for thing in things for word in thing.words)


def test_the_taxonomy_is_a_tree():
    assert {category.department for category in WORDS.categories} == set(range(len(WORDS.departments)))
    assert {kind.category for kind in WORDS.types} == set(range(len(WORDS.categories)))
    assert all(kind.department == WORDS.categories[kind.category].department for kind in WORDS.types)


def test_a_type_has_synonyms_a_price_and_a_demand():
    for kind in WORDS.types:
        assert len(kind.words) >= 2
        assert kind.price > 0
        assert kind.demand > 0
        assert len(kind.traits) >= 3


def test_somebody_makes_every_category():
    made = Counter(category for brand in WORDS.brands for category in brand.categories)
    assert set(made) == set(range(len(WORDS.categories)))
    assert min(made.values()) >= 2


def test_brands_are_many_distinct_and_of_every_tier():
    assert len({brand.name for brand in WORDS.brands}) == len(WORDS.brands) >= 50
    assert {brand.tier for brand in WORDS.brands} == {-1, 0, 1}


def test_every_colour_family_has_a_shade_of_its_own_name():
    assert set(WORDS.families) <= {shade.name for shade in WORDS.colours}


def test_a_department_is_asked_only_for_what_its_types_have():
    attributes = {"audience", "colour", "brand", "material", "trait", "size"}
    for number, department in enumerate(WORDS.departments):
        kinds = [kind for kind in WORDS.types if kind.department == number]
        assert set(department.asks) == attributes
        assert all(0 <= chance <= 1 for chance in department.asks.values())
        assert not department.asks["audience"] or any(kind.audiences for kind in kinds)
        assert not department.asks["material"] or any(kind.materials for kind in kinds)
        assert not department.asks["size"] or any(kind.sizes for kind in kinds)


def test_templates_use_slots_that_merchants_fill():
    wording = WORDS.wording
    parts = wording.descriptions
    assert set(parts) == {"openers", "facts", "purposes", "distractors", "closers"}
    assert set().union(*(slots_of(text) for text, _ in wording.titles)) <= ALWAYS | SOMETIMES
    for part in ("openers", "distractors", "closers"):
        assert set().union(*map(slots_of, parts[part])) <= ALWAYS
    assert all(len(slots_of(text)) == 1 and slots_of(text) <= SOMETIMES for text in parts["facts"])


def test_every_order_of_a_query_has_room_for_everything_that_can_be_asked():
    slots = {"wish", "audience", "colour", "material", "trait", "brand", "what", "purpose", "size", "price"}
    assert all(slots_of(text) == slots for text, _ in WORDS.wording.orders)
