"""What the demo shop's shoppers type: an intent in words, with synonyms, any order of words, and slips of the finger.

A shopper keeps to the usual word for a thing less often than a merchant (60 %). A slip is one of the four edits of Damerau
(CACM 1964: a letter missing, doubled, wrong or swapped with the next) in one word of five letters or more.

>>> slip("running shoes", np.random.default_rng(7)) != "running shoes"
True
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ltr.datasets.shop_intents import Intent, Search
from ltr.datasets.shop_templates import fill, one, usual, weighted
from ltr.datasets.shop_vocabulary import Vocabulary

__all__ = ["Phrase", "phrases", "slip"]

# Each letter's neighbours on a QWERTY keyboard.
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    letter: row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    for row in _ROWS
    for place, letter in enumerate(row)
}
_TRIES: Final = 25
_USUAL: Final = 0.6


@dataclass(frozen=True)
class Phrase:
    """What was typed, and what was meant: the same but for slips."""

    text: str
    meant: str


def phrases(
    words: Vocabulary, wanted: Sequence[Intent], asked: Sequence[Search], rng: np.random.Generator
) -> list[Phrase]:
    """One phrase a search, no two of one text."""
    taken: set[str] = set()
    said = []
    for search in asked:
        phrase = _phrase(words, wanted[search.intent], search.misspelled, rng)
        for _ in range(_TRIES):
            if phrase.text not in taken:
                break
            phrase = _phrase(words, wanted[search.intent], search.misspelled, rng)
        # An intent has only so many wordings; there is always another slip.
        while phrase.text in taken:
            phrase = Phrase(slip(phrase.text, rng), phrase.meant)
        taken.add(phrase.text)
        said.append(phrase)
    return said


def slip(text: str, rng: np.random.Generator) -> str:
    """One edit in one word; the longest word where none has five letters."""
    parts = text.split(" ")
    longest = max(len(part) for part in parts)
    place = one([n for n, part in enumerate(parts) if len(part) >= min(5, longest)], rng)
    word = parts[place]
    at = int(rng.integers(1, len(word))) if len(word) > 1 else 0
    edit = int(rng.integers(4))
    if edit == 0 and len(word) > 2:
        changed = word[:at] + word[at + 1 :]
    elif edit == 1 and len(word) > 2 and word[at - 1] != word[at]:
        changed = word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    elif edit == 2 and (near := _NEIGHBOURS.get(word[at])):
        changed = word[:at] + one(near, rng) + word[at + 1 :]
    else:
        changed = word[:at] + word[at] + word[at:]
    return " ".join([*parts[:place], changed, *parts[place + 1 :]])


def _phrase(words: Vocabulary, intent: Intent, misspelled: bool, rng: np.random.Generator) -> Phrase:
    orders = words.wording.orders
    order = weighted([text for text, _ in orders], [share for _, share in orders], rng)
    meant = fill(order, _slots(words, intent, rng)).removeprefix("for ")
    return Phrase(slip(meant, rng) if misspelled else meant, meant)


def _slots(words: Vocabulary, intent: Intent, rng: np.random.Generator) -> dict[str, str]:
    slots = _what(words, intent, rng)
    if intent.brand >= 0:
        name = words.brands[intent.brand].name.lower()
        slots["brand"] = name.replace(" &", one(["", " and", " &"], rng))
    if intent.family >= 0:
        slots["colour"] = words.families[intent.family]
    for name, terms, number in (
        ("colour", words.colours, intent.shade),
        ("material", words.materials, intent.material),
        ("audience", words.audiences, intent.audience),
    ):
        if number >= 0:
            slots[name] = usual(terms[number].words, _USUAL, rng)
    if intent.trait >= 0:
        term = words.traits[intent.trait]
        word = usual(term.words, _USUAL, rng)
        slots |= {"purpose": f"for {word}"} if term.purpose else {"trait": word}
    return slots | _terms(words, intent, rng)


def _what(words: Vocabulary, intent: Intent, rng: np.random.Generator) -> dict[str, str]:
    if intent.level == "type":
        word = usual(words.types[intent.kind].words, _USUAL, rng)
        return {"what": _plural(word) if rng.random() < 0.25 else word}
    if intent.level == "category":
        return {"what": usual(words.categories[intent.category].words, _USUAL, rng)}
    if intent.level == "department":
        return {"what": usual(words.departments[intent.department].words, _USUAL, rng)}
    return {}


def _terms(words: Vocabulary, intent: Intent, rng: np.random.Generator) -> dict[str, str]:
    """The size, and what it may cost."""
    slots: dict[str, str] = {}
    if intent.size >= 0:
        label = words.sizes[intent.size].lower()
        slots["size"] = label if " " in label else one(["", "size "], rng) + label
    if intent.limit > 0:
        slots["price"] = one(words.wording.prices, rng).format(limit=f"{intent.limit:.0f}")
    if intent.wish:
        slots["wish"] = one(words.wording.wishes[intent.wish], rng)
    return slots


def _plural(word: str) -> str:
    if word.endswith(("s", "mouse")):
        return word
    if word.endswith(("ch", "sh", "x")):
        return word + "es"
    if word.endswith(("fe", "rf")):
        return word.removesuffix("e")[:-1] + "ves"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"
