import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from ltr.config import DataConfig
from ltr.datasets import shop
from ltr.datasets.shop_intents import Intent, Search
from ltr.datasets.shop_shoppers import phrases, slip
from ltr.datasets.shop_templates import fill, slots_of, usual, weighted
from ltr.datasets.shop_vocabulary import vocabulary

WORDS = vocabulary()
SNEAKERS = WORDS.type_named("sneakers")


def rng(seed=7):
    return np.random.default_rng(seed)


def named(terms, name):
    return next(number for number, term in enumerate(terms) if term.name == name)


def said(intent, *, misspelled=False, count=60):
    asked = [Search(0, misspelled, 1 / count)] * count
    return phrases(WORDS, [intent], asked, rng())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9), min_size=1, max_size=4), st.integers(0, 99)
)
def test_a_slip_is_one_edit_in_one_word(words, seed):
    text = " ".join(words)
    typed = slip(text, rng(seed))
    changed = [(one, other) for one, other in zip(words, typed.split(" "), strict=True) if one != other]
    assert OSA.distance(text, typed) == len(changed) == 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200))
def test_a_slip_is_in_a_long_word_where_there_is_one(seed):
    first, _, last = slip("red sneakers 42", rng(seed)).split(" ")
    assert (first, last) == ("red", "42")


SLOTS = {
    "all there": ("{a} and [{b}, ]{c}", {"a": "1", "b": "2", "c": "3"}, "1 and 2, 3"),
    "an optional part is dropped whole": ("{a}[ for {b}] {c}", {"a": "1", "c": "3"}, "1 3"),
    "a lone slot leaves no gap": ("{b} {a} {b}", {"a": "1"}, "1"),
    "nothing at all": ("[{a}] {b}", {}, ""),
}


@pytest.mark.parametrize(("template", "slots", "expected"), SLOTS.values(), ids=SLOTS)
def test_a_template_is_filled_with_what_there_is(template, slots, expected):
    assert fill(template, slots) == expected


def test_the_usual_choice_has_its_share_and_a_fair_part_of_the_rest():
    draws = rng()
    share = np.mean([usual("abcd", 0.6, draws) == "a" for _ in range(4000)])
    assert share == pytest.approx(0.6 + 0.4 / 4, abs=4 * np.sqrt(0.7 * 0.3 / 4000))


def test_a_weighted_choice_follows_its_weights():
    draws = rng()
    share = np.mean([weighted("ab", [3, 1], draws) == "a" for _ in range(4000)])
    assert share == pytest.approx(3 / 4, abs=4 * np.sqrt(0.75 * 0.25 / 4000))


def test_a_phrase_says_every_part_of_its_intent_in_some_word():
    intent = Intent(
        "type",
        kind=SNEAKERS,
        brand=named(WORDS.brands, "Strivo"),
        shade=named(WORDS.colours, "navy"),
        audience=named(WORDS.audiences, "men"),
        trait=named(WORDS.traits, "jogging"),
        limit=80.0,
        wish="cheap",
    )
    parts = [
        WORDS.types[SNEAKERS].words,
        ["strivo"],
        *(terms[number].words for terms, number in ((WORDS.colours, intent.shade), (WORDS.audiences, intent.audience))),
        [f"for {word}" for word in WORDS.traits[intent.trait].words],
        ["80"],
        WORDS.wording.wishes["cheap"],
    ]
    for phrase in said(intent):
        assert all(any(word in phrase.text for word in words) for words in parts), phrase.text


def test_shoppers_use_every_word_for_a_thing_and_the_first_the_most():
    texts = [phrase.text for phrase in said(Intent("type", kind=SNEAKERS, wish="top"), count=12)]
    for word in WORDS.types[SNEAKERS].words:
        assert any(word in text for text in texts)


def test_only_a_misspelled_search_differs_from_what_was_meant_while_wordings_last():
    intent = Intent("type", kind=SNEAKERS, family=0, audience=0, material=1)
    assert all(phrase.text == phrase.meant for phrase in said(intent, count=10))
    assert all(OSA.distance(phrase.text, phrase.meant) == 1 for phrase in said(intent, misspelled=True, count=10))


def test_phrases_never_repeat_even_when_an_intent_has_few_wordings():
    texts = [phrase.text for phrase in said(Intent("brand", brand=0), count=200)]
    assert len(set(texts)) == 200


@pytest.fixture(scope="module")
def products():
    return shop.build(DataConfig(source="shop", size=1000, queries=20)).products


def test_titles_and_descriptions_show_no_trace_of_their_templates(products):
    for text in [*products["title"], *products["description"].drop_nulls()]:
        assert text == " ".join(text.split())
        assert not re.search(r"[\[\]{}]|^\W*$|None|, ,|\bfor -", text), text
        assert not slots_of(text)


def test_a_brand_keeps_to_two_styles_of_title(products):
    # "X / Y …, matches Z, brand" is the one style with a slash between words.
    slashed = products.group_by("brand").agg(pl.col("title").str.contains(" / ").any())["title"]
    assert 0 < slashed.mean() < 0.5


def test_descriptions_speak_of_other_things_too(products):
    asides = (
        products["description"].drop_nulls().str.contains("Goes well with|Customers also|Not suitable|Pair it with")
    )
    assert 0.1 < asides.mean() < 0.6
