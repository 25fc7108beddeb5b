"""What the demo shop's merchants write: titles, descriptions and the catalogue's fields, from the shelf.

Nothing here is known to the truth. A merchant uses the usual word for a thing in 75 % of cases and any word for it in the
others, leaves things out, and writes about other things too ("goes well with your black boots"); what the catalogue
exposes has gaps and mistakes at the rates of ``MISSING`` and ``MISFILED``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from ltr.datasets import FieldType
from ltr.datasets.shop_catalogue import Shelf
from ltr.datasets.shop_templates import fill, one, slots_of, usual
from ltr.datasets.shop_vocabulary import Term, Vocabulary

__all__ = ["FIELDS", "MISFILED", "MISSING", "catalogue"]

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
_USUAL: Final = 0.75


def catalogue(words: Vocabulary, shelf: Shelf, rng: np.random.Generator) -> pl.DataFrame:
    """The products frame: product_id and FIELDS."""
    styles = _styles(words, rng)
    titles, descriptions = [], []
    for row in range(len(shelf)):
        slots = _slots(words, shelf, row, rng)
        titles.append(_title(styles[shelf.brand[row]], slots, rng))
        # The text below a title often has another word for the thing.
        slots["type"] = usual(words.types[shelf.kind[row]].words, _USUAL, rng)
        descriptions.append(_description(words, slots, rng))
    written: dict[str, Any] = {
        "product_id": shelf.product_ids,
        "title": titles,
        "description": _kept(descriptions, "description", rng),
        "brand": [words.brands[number].name for number in shelf.brand],
        "category": _categories(words, shelf, rng),
        "color": _kept(_written(words.colours, shelf.colour, rng), "color", rng),
        "material": _kept(_written(words.materials, shelf.material, rng), "material", rng),
        "audience": _kept([words.audiences[a].name if a >= 0 else None for a in shelf.audience], "audience", rng),
        "sizes": [_labels(words, bits) or None for bits in shelf.sizes],
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
    schema = (
        {"product_id": pl.String} | {name: types[kind] for name, kind in FIELDS.items()} | {"sizes": pl.List(pl.String)}
    )
    frame = pl.DataFrame(written).cast(schema)  # type: ignore[arg-type]
    return frame.with_columns(pl.col("list_price", "rating").fill_nan(None))


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
    named = usual(kind.words, _USUAL, rng)
    slots = {
        "type": named,
        "type2": one([word for word in kind.words if word != named], rng),
        "brand": words.brands[shelf.brand[row]].name,
        "model": one(words.wording.models, rng),
        "number": str(rng.integers(10, 100) * 10),
        "hype": one(words.wording.hype, rng),
        "hype2": one(words.wording.hype, rng),
        "other": usual(other.words, _USUAL, rng),
        "other2": usual(other2.words, _USUAL, rng),
        "other_brand": one(words.brands, rng).name,
        "other_colour": one(one(words.colours, rng).words, rng),
        "other_trait": one([term for term in words.traits if not term.purpose], rng).words[0],
        "other_material": one(words.materials, rng).words[0],
    }
    if (shade := shelf.colour[row]) >= 0:
        slots["colour"] = usual(words.colours[shade].words, _USUAL, rng)
    if (material := shelf.material[row]) >= 0:
        slots["material"] = usual(words.materials[material].words, _USUAL, rng)
    if (audience := shelf.audience[row]) >= 0:
        who = usual(words.audiences[audience].words[:2], _USUAL, rng)
        whose = who + ("'" if who.endswith("s") else "'s")
        slots |= {"audience": "everyone", "whose": who} if who == "unisex" else {"audience": who, "whose": whose}
    traits = [words.traits[number] for number in np.flatnonzero(shelf.traits[row])]
    said = [usual(term.words, _USUAL, rng) for term in traits if not term.purpose]
    slots |= dict(zip(("trait", "trait2"), said, strict=False))
    if purposes := [term for term in traits if term.purpose]:
        slots["purpose"] = usual(one(purposes, rng).words, _USUAL, rng)
    if have := _labels(words, shelf.sizes[row]):
        slots["size"] = one(have, rng)
    return slots


def _title(styles: Sequence[str], slots: Mapping[str, str], rng: np.random.Generator) -> str:
    """One of the brand's styles, the first more often."""
    template = styles[0] if rng.random() < 0.65 else styles[1]
    capital = {name: re.sub(r"(^|\s)(\S)", lambda m: m[1] + m[2].upper(), text) for name, text in slots.items()}
    return fill(template, capital)


def _description(words: Vocabulary, slots: Mapping[str, str], rng: np.random.Generator) -> str:
    """An opener, one to four facts, and often what has nothing to do with the product."""
    parts = words.wording.descriptions
    chosen = [one(parts["openers"], rng)]
    told: set[str] = set()
    wanted = int(rng.integers(1, 5))
    for place in rng.permutation(len(parts["facts"])):
        names = slots_of(parts["facts"][place])
        if len(told) < wanted and names <= slots.keys() and not names & told:
            told |= names
            chosen.append(parts["facts"][place])
    if "purpose" in slots and rng.random() < 0.7:
        chosen.append(one(parts["purposes"], rng))
    chosen += [one(parts["distractors"], rng) for chance in (0.5, 0.2) if rng.random() < chance]
    if rng.random() < 0.5:
        chosen.append(one(parts["closers"], rng))
    sentences = [fill(text, slots) for text in chosen]
    return " ".join(text[0].upper() + text[1:] for text in sentences)


def _labels(words: Vocabulary, bits: int) -> list[str]:
    return [label for place, label in enumerate(words.sizes) if int(bits) >> place & 1]


def _written(terms: Sequence[Term], numbers: Iterable[int], rng: np.random.Generator) -> list[str | None]:
    return [usual(terms[number].words, _USUAL, rng) if number >= 0 else None for number in numbers]


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
