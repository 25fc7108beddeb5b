"""What the demo shop's merchants write: titles, descriptions and the catalogue's fields, from the shelf.

Nothing here is known to the truth. A merchant uses the usual word for a thing in 55 % of cases and any word for it in the
others, leaves things out, and writes about other things too ("goes well with your black boots"); what the catalogue
exposes has gaps and mistakes at the rates of ``MISSING`` and ``MISFILED``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from ltr.datasets import FieldType
from ltr.datasets.shop_catalogue import Shelf
from ltr.datasets.shop_vocabulary import Term, Vocabulary

__all__ = ["FIELDS", "MISFILED", "MISSING", "catalogue", "one"]

FIELDS: Final[dict[str, FieldType]] = {
    "title": "text",
    "description": "text",
    "brand": "keyword",
    "category": "keyword",
    "color": "keyword",
    "material": "keyword",
    "audience": "keyword",
    "sizes": "keyword",
    "price": "number",
    "list_price": "number",
    "rating": "number",
    "rating_count": "number",
    "stock": "number",
    "popularity": "number",
    "age_days": "number",
}
# The share of the products that have the thing, but whose catalogue entry does not say so.
MISSING: Final = {"description": 0.05, "color": 0.10, "material": 0.12, "audience": 0.08, "price": 0.01}
# The category is the department's name, or that of another category.
MISFILED: Final = {"coarse": 0.10, "wrong": 0.02}
_USUAL: Final = 0.55


def catalogue(words: Vocabulary, shelf: Shelf, rng: np.random.Generator) -> pl.DataFrame:
    """The products frame: product_id and FIELDS."""
    styles = _styles(words, rng)
    titles, descriptions = [], []
    for row in range(len(shelf)):
        slots = _slots(words, shelf, row, rng)
        titles.append(_title(styles[shelf.brand[row]], slots, rng))
        descriptions.append(_description(words, slots, rng))
    sizes = [[label for bit, label in enumerate(words.sizes) if have >> bit & 1] for have in shelf.sizes.tolist()]
    written: dict[str, Any] = {
        "product_id": shelf.product_ids,
        "title": titles,
        "description": _kept(descriptions, "description", rng),
        "brand": [words.brands[number].name for number in shelf.brand],
        "category": _categories(words, shelf, rng),
        "color": _kept(_written(words.colours, shelf.colour, rng), "color", rng),
        "material": _kept(_written(words.materials, shelf.material, rng), "material", rng),
        "audience": _kept([words.audiences[a].name if a >= 0 else None for a in shelf.audience], "audience", rng),
        "sizes": [have or None for have in sizes],
        "price": _kept(shelf.price.tolist(), "price", rng),
        # As in many shops, a list price is shown where it is struck through.
        "list_price": np.where(shelf.price < shelf.list_price, shelf.list_price, np.nan),
        "rating": shelf.rating,
        "rating_count": shelf.rating_count,
        "stock": shelf.stock,
        "popularity": shelf.popularity,
        "age_days": shelf.age_days,
    }
    types = {"text": pl.String, "keyword": pl.String, "number": pl.Float64}
    schema = {"product_id": pl.String} | {name: types[kind] for name, kind in FIELDS.items()} | {"sizes": pl.List(pl.String)}
    frame = pl.DataFrame(written).cast(schema)  # type: ignore[arg-type]
    return frame.with_columns(pl.col("list_price", "rating").fill_nan(None))


def one(choices: Sequence[Any], rng: np.random.Generator) -> Any:
    """Any of the choices, each as likely."""
    return choices[int(rng.integers(len(choices)))]


def _usual(term_words: Sequence[str], rng: np.random.Generator) -> str:
    return term_words[0] if rng.random() < _USUAL else str(one(term_words, rng))


def _styles(words: Vocabulary, rng: np.random.Generator) -> list[list[str]]:
    """Two title styles for each brand."""
    texts = [text for text, _ in words.wording.titles]
    share = np.array([share for _, share in words.wording.titles], dtype=np.float64)
    return [
        [texts[place] for place in rng.choice(len(texts), size=2, replace=False, p=share / share.sum())]
        for _ in words.brands
    ]


def _slots(words: Vocabulary, shelf: Shelf, row: int, rng: np.random.Generator) -> dict[str, str]:
    """What there is to say of a product, and of others beside it; a thing that it lacks has no slot."""
    kind = words.types[shelf.kind[row]]
    neighbours = [each for each in words.types if each.department == kind.department and each is not kind]
    other, other2 = (one(neighbours if rng.random() < 0.7 else words.types, rng) for _ in range(2))
    slots = {
        "type": _usual(kind.words, rng),
        "type2": str(one(kind.words, rng)),
        "brand": words.brands[shelf.brand[row]].name,
        "model": str(one(words.wording.models, rng)),
        "number": str(rng.integers(10, 100) * 10),
        "hype": str(one(words.wording.hype, rng)),
        "hype2": str(one(words.wording.hype, rng)),
        "other": _usual(other.words, rng),
        "other2": _usual(other2.words, rng),
        "other_plain": _usual(other.words, rng),
        "other_brand": one(words.brands, rng).name,
        "other_colour": str(one(one(words.colours, rng).words, rng)),
        "other_trait": str(one([term for term in words.traits if not term.purpose], rng).words[0]),
        "other_material": str(one(words.materials, rng).words[0]),
    }
    for name, terms, number in (
        ("colour", words.colours, shelf.colour[row]),
        ("material", words.materials, shelf.material[row]),
        ("audience", words.audiences, shelf.audience[row]),
    ):
        if number >= 0:
            slots[name] = _usual(terms[number].words, rng)
    traits = [words.traits[number] for number in np.flatnonzero(shelf.traits[row])]
    said = [_usual(term.words, rng) for term in traits if not term.purpose]
    slots |= dict(zip(("trait", "trait2"), said, strict=False))
    if purposes := [term for term in traits if term.purpose]:
        slots["purpose"] = _usual(one(purposes, rng).words, rng)
    if have := [label for bit, label in enumerate(words.sizes) if shelf.sizes[row] >> bit & 1]:
        slots["size"] = str(one(have, rng))
    return slots


def _title(styles: Sequence[str], slots: Mapping[str, str], rng: np.random.Generator) -> str:
    """One of the brand's styles, the first more often; what the product lacks is left out."""
    template = styles[0] if rng.random() < 0.65 else styles[1]
    capital = {name: re.sub(r"(^|\s)(\S)", lambda m: m[1] + m[2].upper(), text) for name, text in slots.items()}
    text = re.sub(r"\{(\w+)\}", lambda slot: capital.get(slot[1], ""), template)
    text = re.sub(r"\s+", " ", text).replace(" ,", "").replace(" for - ", " - ")
    return re.sub(r"(^[\s,/-]+|[\s,/-]+$)", "", text).replace(" for ", " for ")


def _description(words: Vocabulary, slots: Mapping[str, str], rng: np.random.Generator) -> str:
    parts = words.wording.descriptions
    chosen: list[str] = [one(parts["openers"], rng)]
    facts = [text for text in parts["facts"] if _fits(text, slots)]
    order = rng.permutation(len(facts))[: int(rng.integers(1, 5))]
    chosen += [facts[place] for place in order]
    if "purpose" in slots and rng.random() < 0.7:
        chosen.append(one(parts["purposes"], rng))
    for chance in (0.65, 0.3):
        if rng.random() < chance:
            chosen.append(one(parts["distractors"], rng))
    if rng.random() < 0.5:
        chosen.append(one(parts["closers"], rng))
    sentences = [text.format_map(slots) for text in chosen]
    return " ".join(text[0].upper() + text[1:] for text in sentences)


def _fits(template: str, slots: Mapping[str, str]) -> bool:
    return all(slot in slots for slot in re.findall(r"\{(\w+)\}", template))


def _written(terms: Sequence[Term], numbers: Sequence[int], rng: np.random.Generator) -> list[str | None]:
    return [_usual(terms[number].words, rng) if number >= 0 else None for number in numbers]


def _kept(values: Sequence[Any], field: str, rng: np.random.Generator) -> list[Any]:
    lost = rng.random(len(values)) < MISSING[field]
    return [None if gone else value for value, gone in zip(values, lost, strict=True)]


def _categories(words: Vocabulary, shelf: Shelf, rng: np.random.Generator) -> list[str]:
    chance, elsewhere = rng.random(len(shelf)), rng.integers(len(words.categories), size=len(shelf))
    names = []
    for row, (luck, stray) in enumerate(zip(chance, elsewhere, strict=True)):
        if luck < MISFILED["wrong"]:
            names.append(words.categories[stray].words[0])
        elif luck < MISFILED["wrong"] + MISFILED["coarse"]:
            names.append(words.departments[shelf.department[row]].words[0])
        else:
            names.append(words.categories[shelf.category[row]].words[0])
    return names
