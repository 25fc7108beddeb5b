"""The demo shop's vocabulary: departments > categories > types, brands, colours, materials, traits, and the words for each.

It is data: ``shop_taxonomy.toml`` says what there is, ``shop_wording.toml`` how merchants and shoppers write. Everything
is held in tuples in the file's order, and referred to by its place in them, so that a seed means the same on every platform.

>>> words = vocabulary()
>>> shoe = words.types[words.type_named("sneakers")]
>>> shoe.words, words.categories[shoe.category].name, words.departments[shoe.department].name
(('sneakers', 'trainers', 'kicks'), 'sneakers', 'shoes')
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

__all__ = ["Brand", "Category", "Department", "ProductType", "Term", "Vocabulary", "Wording", "vocabulary"]


@dataclass(frozen=True)
class Term:
    """A colour, material, trait or audience: a name, the words for it, and the family in which it can be replaced."""

    name: str
    words: tuple[str, ...]
    family: str = ""
    share: float = 1.0
    purpose: bool = False


@dataclass(frozen=True)
class Department:
    """The top of the taxonomy; ``asks`` is the probability that a query for its products names an attribute."""

    name: str
    words: tuple[str, ...]
    asks: Mapping[str, float]


@dataclass(frozen=True)
class Category:
    """The middle of the taxonomy: types that can stand in for each other, to a degree."""

    name: str
    words: tuple[str, ...]
    department: int


@dataclass(frozen=True)
class ProductType:
    """What a product is; materials, traits, audiences and sizes are places in the vocabulary; an audience twice is twice as likely."""

    words: tuple[str, ...]
    category: int
    department: int
    price: float
    demand: float
    coloured: bool
    materials: tuple[int, ...]
    traits: tuple[int, ...]
    audiences: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Brand:
    """An invented maker: tier −1 budget, 0 middle, 1 premium; the categories that it makes."""

    name: str
    tier: int
    fame: float
    categories: frozenset[int]


@dataclass(frozen=True)
class Wording:
    """Templates of titles (text, share), descriptions and queries."""

    titles: tuple[tuple[str, float], ...]
    models: tuple[str, ...]
    hype: tuple[str, ...]
    descriptions: Mapping[str, tuple[str, ...]]
    orders: tuple[tuple[str, float], ...]
    prices: tuple[str, ...]
    wishes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Vocabulary:
    """All of it; a place in a tuple is the thing's number everywhere in the simulation."""

    departments: tuple[Department, ...]
    categories: tuple[Category, ...]
    types: tuple[ProductType, ...]
    brands: tuple[Brand, ...]
    colours: tuple[Term, ...]
    materials: tuple[Term, ...]
    traits: tuple[Term, ...]
    audiences: tuple[Term, ...]
    sizes: tuple[str, ...]
    wording: Wording

    @property
    def families(self) -> tuple[str, ...]:
        """The colour families, in the order of their first shade."""
        return tuple(dict.fromkeys(shade.family for shade in self.colours))

    def type_named(self, word: str) -> int:
        """The number of the type whose first word this is."""
        return next(number for number, kind in enumerate(self.types) if kind.words[0] == word)


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """Read the two files that come with the package."""
    table = _read("shop_taxonomy.toml")
    terms = {name: _terms(table[name]) for name in ("colours", "materials", "traits", "audiences")}
    departments, categories, types = _taxonomy(table["departments"], table["sizes"], terms)
    return Vocabulary(
        departments=departments,
        categories=categories,
        types=types,
        sizes=tuple(label for scheme in table["sizes"].values() for label in scheme),
        brands=_brands(table["brands"], departments, categories),
        wording=_wording(_read("shop_wording.toml")),
        **terms,
    )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _terms(table: Mapping[str, Mapping[str, Any]]) -> tuple[Term, ...]:
    return tuple(
        Term(
            # TOML's bare keys have no blank, and a person reads "cast iron".
            name.replace("_", " "),
            tuple(entry["words"]),
            entry.get("family", name),
            entry.get("share", 1.0),
            entry.get("purpose", False),
        )
        for name, entry in table.items()
    )


def _taxonomy(
    table: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, Sequence[str]], terms: Mapping[str, tuple[Term, ...]]
) -> tuple[tuple[Department, ...], tuple[Category, ...], tuple[ProductType, ...]]:
    departments: list[Department] = []
    categories: list[Category] = []
    types: list[ProductType] = []
    labels = [label for scheme in sizes.values() for label in scheme]
    for name, department in table.items():
        departments.append(Department(name, tuple(department["words"]), department["asks"]))
        for label, category in department["categories"].items():
            categories.append(Category(label, tuple(category["words"]), len(departments) - 1))
            for entry in category["types"]:
                keys = {**department, **category, **entry}
                types.append(
                    ProductType(
                        words=tuple(entry["words"]),
                        category=len(categories) - 1,
                        department=len(departments) - 1,
                        price=entry["price"],
                        demand=entry["demand"],
                        coloured=keys.get("coloured", True),
                        sizes=tuple(labels.index(label) for label in sizes.get(keys.get("sizes", ""), ())),
                        **{key: _places(keys.get(key, ()), terms[key]) for key in ("materials", "traits", "audiences")},
                    )
                )
    return tuple(departments), tuple(categories), tuple(types)


def _places(names: Sequence[str], terms: Sequence[Term]) -> tuple[int, ...]:
    place = {term.name: number for number, term in enumerate(terms)}
    return tuple(place[name.replace("_", " ")] for name in names)


def _brands(
    table: Mapping[str, Mapping[str, Any]], departments: Sequence[Department], categories: Sequence[Category]
) -> tuple[Brand, ...]:
    def makes(place: str) -> list[int]:
        department, _, category = place.partition(".")
        return [
            number
            for number, entry in enumerate(categories)
            if departments[entry.department].name == department and category in ("", entry.name)
        ]

    return tuple(
        Brand(name, entry["tier"], entry["fame"], frozenset(n for place in entry["makes"] for n in makes(place)))
        for name, entry in table.items()
    )


def _wording(table: Mapping[str, Any]) -> Wording:
    queries = table["queries"]
    return Wording(
        titles=tuple((entry["text"], entry["share"]) for entry in table["titles"]),
        models=tuple(table["names"]["models"]),
        hype=tuple(table["names"]["hype"]),
        descriptions={part: tuple(texts) for part, texts in table["descriptions"].items()},
        orders=tuple((entry["text"], entry["share"]) for entry in queries["orders"]),
        prices=tuple(queries["prices"]),
        wishes={wish: tuple(words) for wish, words in queries["wishes"].items()},
    )
