"""What the demo shop's shoppers want: structured intents, and how often each is searched for, before any word is typed.

An intent is taken from a product that exists (popular ones more often), so that something answers it: what the product is,
at the level of its type, category or department, or its brand alone, and some of its attributes. How often it is searched
falls by a factor of 6 with each attribute that it names, which makes the head short and the tail long:

    searches ∝ demand(what) · 6^−attributes · exp(0.6 ε)

A search is one intent in one wording; several wordings of one intent share its grades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from ltr.datasets.shop_catalogue import Shelf
from ltr.datasets.shop_templates import weighted
from ltr.datasets.shop_vocabulary import Vocabulary

__all__ = ["Intent", "Search", "intents", "searches"]

# Level -> (how common, how much of the department's asks it keeps): who searches broadly names less.
_LEVELS: Final = {"type": (0.74, 1.0), "category": (0.12, 0.6), "department": (0.04, 0.5), "brand": (0.10, 0.4)}
_WISHES: Final = {"cheap": 0.4, "top": 0.25, "sale": 0.15, "premium": 0.12, "new": 0.08}
_PLAIN: Final = 0.25
_WISHING: Final = 0.06
_LIMITING: Final = 0.04
_MISSPELLED: Final = 0.08


@dataclass(frozen=True)
class Intent:
    """What is wanted, as numbers of the vocabulary; −1 where the shopper does not care.

    Args:
        level: type, category, department or brand: which of the four says what is wanted.
        family: a colour family, any shade of it; never together with ``shade``.
        limit: the highest price, 0 where there is none.
        wish: cheap, top, sale, premium, new or "".
    """

    level: str
    department: int = -1
    category: int = -1
    kind: int = -1
    brand: int = -1
    family: int = -1
    shade: int = -1
    material: int = -1
    audience: int = -1
    trait: int = -1
    size: int = -1
    limit: float = 0.0
    wish: str = ""

    @property
    def attributes(self) -> int:
        """How many attributes are named beyond what is wanted."""
        plain = Intent(self.level, self.department, self.category, self.kind)
        named = [each.name for each in fields(self) if getattr(self, each.name) != getattr(plain, each.name)]
        return len(named) - (self.level == "brand")


@dataclass(frozen=True)
class Search:
    """One intent in one wording; ``popularity`` is its share of all searches."""

    intent: int
    misspelled: bool
    popularity: float


def intents(words: Vocabulary, shelf: Shelf, count: int, rng: np.random.Generator) -> list[Intent]:
    """At most ``count`` different intents; fewer where a small shelf has no more to ask for."""
    # Dampened, or the bestseller would be behind every second query.
    pull = (shelf.popularity + 1.0) ** 0.5
    anchors = rng.choice(len(shelf), size=4 * count, p=pull / pull.sum())
    found: dict[Intent, None] = {}
    for row in anchors:
        if len(found) == count:
            break
        found[_intent(words, shelf, int(row), rng)] = None
    return list(found)


def searches(words: Vocabulary, wanted: Sequence[Intent], count: int, rng: np.random.Generator) -> list[Search]:
    """Exactly ``count`` searches, most popular first; each intent at least once where there are enough."""
    weight = np.array([_demand(words, each) for each in wanted]) * np.exp(0.6 * rng.normal(size=len(wanted)))
    again = weight**0.5
    extra = rng.choice(len(wanted), size=max(0, count - len(wanted)), p=again / again.sum())
    numbers = np.concatenate([np.arange(min(count, len(wanted))), extra])
    misspelled = rng.random(count) < _MISSPELLED
    # Another wording of an intent, and one with a slip, are rarer than its first.
    nth = np.zeros(len(wanted), dtype=np.int64)
    popularity = np.empty(count)
    for place, number in enumerate(numbers):
        nth[number] += 1
        popularity[place] = weight[number] / nth[number] * (0.2 if misspelled[place] else 1.0)
    popularity /= popularity.sum()
    order = np.argsort(-popularity, kind="stable")
    return [Search(int(numbers[place]), bool(misspelled[place]), float(popularity[place])) for place in order]


def _intent(words: Vocabulary, shelf: Shelf, row: int, rng: np.random.Generator) -> Intent:
    level = weighted(_LEVELS, [common for common, _ in _LEVELS.values()], rng)
    department, category = int(shelf.department[row]), int(shelf.category[row])
    what: dict[str, Any] = {
        "type": {"department": department, "category": category, "kind": int(shelf.kind[row])},
        "category": {"department": department, "category": category},
        "department": {"department": department},
        "brand": {"brand": int(shelf.brand[row])},
    }[level]
    keep = _LEVELS[level][1]
    if level != "brand" and rng.random() < _PLAIN:
        return Intent(level, **what)
    asks = words.departments[department].asks
    asked = {name: rng.random() < keep * chance for name, chance in asks.items()}
    what |= _named(words, shelf, row, asked, rng)
    if rng.random() < _LIMITING:
        what["limit"] = _limit(shelf.price[row] * (1 + 0.3 * rng.random()))
    elif rng.random() < _WISHING:
        what["wish"] = weighted(_WISHES, list(_WISHES.values()), rng)
    return Intent(level, **what)


def _named(
    words: Vocabulary, shelf: Shelf, row: int, asked: dict[str, bool], rng: np.random.Generator
) -> dict[str, int]:
    """The product's own attributes, those that are asked for and that it has."""
    named: dict[str, int] = {}
    for name in ("audience", "brand", "material"):
        value = int(getattr(shelf, name)[row])
        if asked[name] and value >= 0:
            named[name] = value
    if named.get("audience") is not None and words.audiences[named["audience"]].name == "unisex":
        del named["audience"]
    shade = int(shelf.colour[row])
    if asked["colour"] and shade >= 0:
        term = words.colours[shade]
        # Most people say blue; who says navy means navy. A shade called like its family means the family.
        if rng.random() < 0.65 or term.name == term.family:
            named["family"] = words.families.index(term.family)
        else:
            named["shade"] = shade
    traits = np.flatnonzero(shelf.traits[row])
    if asked["trait"] and len(traits):
        named["trait"] = int(traits[rng.integers(len(traits))])
    sizes = [bit for bit in range(len(words.sizes)) if shelf.sizes[row] >> bit & 1]
    if asked["size"] and sizes:
        named["size"] = sizes[rng.integers(len(sizes))]
    return named


def _limit(price: float) -> float:
    """A price limit as people say it: the next multiple of 5, 10, 50 or 100."""
    step = next((step for below, step in ((50, 5), (150, 10), (500, 50)) if price < below), 100)
    return float(step * math.ceil(price / step))


def _demand(words: Vocabulary, intent: Intent) -> float:
    base = {
        "type": sum(each.demand for number, each in enumerate(words.types) if number == intent.kind),
        "category": sum(each.demand for each in words.types if each.category == intent.category) / 2,
        "department": sum(each.demand for each in words.types if each.department == intent.department) / 4,
        "brand": words.brands[intent.brand].fame,
    }[intent.level]
    return float(base * 6.0**-intent.attributes)
