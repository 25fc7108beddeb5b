"""The demo shop's truth: how well a product answers an intent, 0 to 4, from structured attributes alone.

    utility(i, p) = Π agreement(attribute) · (0.6 + 0.4 preference(p))
    grade         = how many of .25, .46, .66, .80 the utility reaches

``agreement`` is 1 for what was asked for, less for what is near it (navy for blue, suede for leather, unisex for men, a
jumper for a cardigan), and small for anything else. ``preference`` is what any shopper likes better among products that
match equally (``Standing.liked``): quality, value for money, what others buy, and that it can be had. So a full match
has grade 2 to 4, a near one 1 to 3. Then the judge errs: a tenth of the grades above 0 are one off (a 4 only
downward), and one in a hundred of the zeros beside them is a 1. Judges read the intent, not its wording, and never a title: neither text nor feature comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.datasets.shop_catalogue import Floats, Integers, Shelf
from ltr.datasets.shop_intents import Intent
from ltr.datasets.shop_vocabulary import Vocabulary

__all__ = ["STEPS", "Standing", "agreement", "grades", "judge", "scope", "standing"]

STEPS: Final = (0.25, 0.46, 0.66, 0.8)
ERRING: Final = 0.1
STRAYING: Final = 0.01

# What an attribute is worth that is near the one asked for, and one that is not.
_SIBLING: Final = 0.45
_NEAR: Final = {"colour": 0.75, "material": 0.7, "audience": 0.85}
_WRONG: Final = {"colour": 0.4, "material": 0.45, "audience": 0.25, "brand": 0.45, "trait": 0.5, "size": 0.35}


@dataclass(frozen=True)
class Standing:
    """Percentiles in the whole shop, 0 … 1, one a product.

    Args:
        liked: what any shopper likes better: quality, value for money and sales; less when out of stock.
        dear: price over the type's median.
        luxurious: the brand's tier and the price.
        good: quality alone.
    """

    liked: Floats
    dear: Floats
    luxurious: Floats
    good: Floats


def standing(words: Vocabulary, shelf: Shelf) -> Standing:
    """Place each product among all others."""
    median = np.array([each.price for each in words.types], dtype=np.float64)[shelf.kind]
    dear = np.log(shelf.price / median)
    tier = np.array([brand.tier for brand in words.brands])[shelf.brand]
    liking = 0.5 * _standard(shelf.quality) - 0.3 * _standard(dear) + 0.3 * _standard(np.log1p(shelf.popularity))
    return Standing(
        liked=_percentile(liking) * np.where(shelf.stock > 0, 1.0, 0.3),
        dear=_percentile(dear),
        luxurious=_percentile(tier + dear),
        good=_percentile(shelf.quality),
    )


def scope(shelf: Shelf, intent: Intent) -> Integers:
    """Rows of the products that can answer an intent at all; every other pair has grade 0."""
    if intent.level == "brand":
        return np.flatnonzero(shelf.brand == intent.brand)
    if intent.level == "department":
        return np.flatnonzero(shelf.department == intent.department)
    return np.flatnonzero(shelf.category == intent.category)


def agreement(words: Vocabulary, shelf: Shelf, place: Standing, intent: Intent, rows: Integers) -> Floats:
    """How well each row has what was asked for: 1 in everything, less with each attribute that it misses."""
    fit = np.ones(len(rows))
    if intent.kind >= 0:
        fit *= np.where(shelf.kind[rows] == intent.kind, 1.0, _SIBLING)
    if intent.brand >= 0:
        fit *= np.where(shelf.brand[rows] == intent.brand, 1.0, _WRONG["brand"])
    if intent.family >= 0 or intent.shade >= 0:
        fit *= _colour(words, shelf.colour[rows], intent)
    if intent.material >= 0:
        family = np.array([term.family for term in words.materials])
        kin = family == family[intent.material]
        fit *= _nearness("material", intent.material, kin, shelf.material[rows])
    if intent.audience >= 0:
        kin = np.array([_dressed_alike(term.name, words.audiences[intent.audience].name) for term in words.audiences])
        fit *= _nearness("audience", intent.audience, kin, shelf.audience[rows])
    if intent.trait >= 0:
        fit *= np.where(shelf.traits[rows, intent.trait], 1.0, _WRONG["trait"])
    if intent.size >= 0:
        fit *= np.where(shelf.sizes[rows] >> intent.size & 1, 1.0, _WRONG["size"])
    return fit * _money(shelf, place, intent, rows)


def judge(base: Integers, rng: np.random.Generator) -> Integers:
    """What a judge writes down: the grade, or now and then one beside it."""
    chance, up = rng.random(len(base)), rng.random(len(base)) < 0.5
    listed = np.clip(base + np.where(up & (base < len(STEPS)), 1, -1), 0, None)
    written: Integers = np.where(
        base > 0, np.where(chance < ERRING, listed, base), np.where(chance < STRAYING, 1, 0)
    ).astype(np.int64)
    return written


def grades(
    words: Vocabulary, shelf: Shelf, wanted: Sequence[Intent], rng: np.random.Generator
) -> tuple[Integers, Integers, Integers]:
    """All pairs of grade above 0: numbers of the intents, rows of the products, grades; by intent, then row."""
    place = standing(words, shelf)
    numbers, rows, written = [], [], []
    for number, intent in enumerate(wanted):
        inside = scope(shelf, intent)
        utility = agreement(words, shelf, place, intent, inside) * (0.6 + 0.4 * place.liked[inside])
        given = judge(np.searchsorted(STEPS, utility, side="right"), rng)
        above = given > 0
        numbers.append(np.full(int(above.sum()), number))
        rows.append(inside[above])
        written.append(given[above])
    return np.concatenate(numbers), np.concatenate(rows), np.concatenate(written)


def _colour(words: Vocabulary, shade: Integers, intent: Intent) -> Floats:
    family = np.array([words.families.index(term.family) for term in words.colours])
    if intent.family >= 0:
        return np.where((shade >= 0) & (family[shade] == intent.family), 1.0, _WRONG["colour"])
    return _nearness("colour", intent.shade, family == family[intent.shade], shade)


def _nearness(name: str, asked: int, kin: NDArray[np.bool_], value: Integers) -> Floats:
    """1 for the value asked for, less for its kin, little for others and for products without the attribute (−1)."""
    near = np.where((value >= 0) & kin[value], _NEAR[name], _WRONG[name])
    return np.where(value == asked, 1.0, near)


def _dressed_alike(one: str, other: str) -> bool:
    both = {one, other}
    return ("unisex" in both and both <= {"women", "men", "unisex"}) or (
        "kids" in both and both <= {"girls", "boys", "kids"}
    )


def _money(shelf: Shelf, place: Standing, intent: Intent, rows: Integers) -> Floats:
    """Agreement with a price limit or a wish."""
    fit = np.ones(len(rows))
    price = shelf.price[rows]
    if intent.limit > 0:
        fit = np.select([price <= intent.limit, price <= 1.15 * intent.limit], [1.0, 0.6], 0.3)
    if intent.wish == "cheap":
        fit = 1 - 0.6 * place.dear[rows]
    elif intent.wish == "premium":
        fit = 0.4 + 0.6 * place.luxurious[rows]
    elif intent.wish == "top":
        fit = 0.4 + 0.6 * place.good[rows]
    elif intent.wish == "new":
        fit = np.where(shelf.age_days[rows] < 180, 1.0, 0.5)
    elif intent.wish == "sale":
        fit = np.where(price <= 0.86 * shelf.list_price[rows], 1.0, 0.5)
    return fit


def _standard(values: Floats) -> Floats:
    scaled: Floats = (values - values.mean()) / values.std()
    return scaled


def _percentile(values: Floats) -> Floats:
    """Share of the products below each one; ties in the shelf's order."""
    place = np.empty(len(values))
    # Rounded, so that platforms whose log differs in the last bit agree on the order.
    place[np.argsort(np.round(values, 9), kind="stable")] = np.arange(len(values))
    return place / max(1, len(values) - 1)
