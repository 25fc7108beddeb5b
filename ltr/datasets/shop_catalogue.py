"""The demo shop's shelf: what each product truly is, before anyone has written a word about it.

Columns of numbers, one row a product; an attribute that a type does not have is −1. Prices are lognormal around the type's
median and the brand's tier. Quality is latent: shoppers feel it, the catalogue shows only a rating that few raters blur
and sales that also follow the brand's fame and the product's age.

    log price = log median + 0.35 tier + 0.12 quality + 0.25 ε
    rating    = 3.8 + 0.45 quality + 0.9 ε / √(1 + raters / 4),  rounded, within 1 … 5

>>> import numpy as np
>>> from ltr.datasets.shop_vocabulary import vocabulary
>>> shelf = stock(vocabulary(), 100, np.random.default_rng(7))
>>> len(shelf), bool((shelf.price > 0).all())
(100, True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltr.datasets.shop_vocabulary import Vocabulary

__all__ = ["Shelf", "stock"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Shelf:
    """One row a product.

    Args:
        kind: the product's type; category and department follow from it.
        colour: its shade.
        traits: bool[n, traits].
        sizes: bit s is set where size s can be had.
        price: what it costs now; never above list_price.
        quality: latent, about N(0, 1.1).
        rating: NaN where nobody rated it.
        stock: pieces in the warehouse.
        popularity: pieces sold in the last 90 days.
        age_days: days since its release, at the shop's one fixed day.
    """

    kind: Integers
    category: Integers
    department: Integers
    brand: Integers
    colour: Integers
    material: Integers
    audience: Integers
    traits: NDArray[np.bool_]
    sizes: Integers
    price: Floats
    list_price: Floats
    quality: Floats
    rating: Floats
    rating_count: Integers
    stock: Integers
    popularity: Integers
    age_days: Integers

    def __len__(self) -> int:
        """Return how many products there are."""
        return len(self.kind)

    @property
    def product_ids(self) -> list[str]:
        """P00001, P00002, ..., in the shelf's order."""
        return [f"P{number:05d}" for number in range(1, len(self) + 1)]


def stock(words: Vocabulary, size: int, rng: np.random.Generator) -> Shelf:
    """Fill a shelf of ``size`` products."""
    types = words.types
    kind = _drawn(range(len(types)), [each.demand for each in types], size, rng)
    category = np.array([each.category for each in types])[kind]
    brand = np.full(size, -1)
    for number in range(len(words.categories)):
        makers = [place for place, each in enumerate(words.brands) if number in each.categories]
        rows = np.flatnonzero(category == number)
        brand[rows] = _drawn(makers, [words.brands[place].fame for place in makers], len(rows), rng)
    colour = _drawn(range(len(words.colours)), [shade.share for shade in words.colours], size, rng)
    material, audience, sizes = np.full(size, -1), np.full(size, -1), np.zeros(size, dtype=np.int64)
    traits = np.zeros((size, len(words.traits)), dtype=bool)
    for number, each in enumerate(types):
        rows = np.flatnonzero(kind == number)
        if not each.coloured:
            colour[rows] = -1
        if each.materials:
            # A type's first materials are its usual ones.
            usual = [1 / (place + 1) for place in range(len(each.materials))]
            material[rows] = _drawn(each.materials, usual, len(rows), rng)
        if each.audiences:
            audience[rows] = _drawn(each.audiences, [1.0] * len(each.audiences), len(rows), rng)
        traits[rows[:, None], np.array(each.traits)] = rng.random((len(rows), len(each.traits))) < 0.32
        sizes[rows] = _size_runs(each.sizes, len(rows), rng)
    tier = np.array([each.tier for each in words.brands], dtype=np.float64)[brand]
    quality = 0.45 * tier + rng.normal(size=size)
    median = np.array([each.price for each in types], dtype=np.float64)[kind]
    price, list_price = _prices(median, tier, quality, rng)
    age_days = np.floor(1500 * rng.random(size) ** 1.7).astype(np.int64)
    fame = np.array([each.fame for each in words.brands])[brand]
    popularity, rating_count, rating = _reception(quality, fame, age_days, rng)
    return Shelf(
        kind=kind,
        category=category,
        department=np.array([each.department for each in types])[kind],
        brand=brand,
        colour=colour,
        material=material,
        audience=audience,
        traits=traits,
        sizes=sizes,
        price=price,
        list_price=list_price,
        quality=quality,
        rating=rating,
        rating_count=rating_count,
        stock=np.where(rng.random(size) < 0.07, 0, np.ceil(np.exp(3 + rng.normal(size=size)))).astype(np.int64),
        popularity=popularity,
        age_days=age_days,
    )


def _drawn(places: Sequence[int], weights: Sequence[float], count: int, rng: np.random.Generator) -> Integers:
    share = np.asarray(weights, dtype=np.float64)
    return np.asarray(places, dtype=np.int64)[rng.choice(len(places), size=count, p=share / share.sum())]


def _size_runs(sizes: Sequence[int], count: int, rng: np.random.Generator) -> Integers:
    """A run of neighbouring sizes for each product, each size gone with probability 1/6."""
    if not sizes:
        return np.zeros(count, dtype=np.int64)
    place = np.arange(len(sizes))
    first = rng.integers(0, max(1, len(sizes) // 2), size=(count, 1))
    last = first + rng.integers(1, len(sizes) // 2 + 1, size=(count, 1))
    there = (place >= first) & (place <= last) & (rng.random((count, len(sizes))) < 5 / 6)
    bits: Integers = (there * (1 << np.asarray(sizes, dtype=np.int64))).sum(axis=1)
    return bits


def _prices(median: Floats, tier: Floats, quality: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    size = len(median)
    full = np.exp(np.log(median) + 0.35 * tier + 0.12 * quality + 0.25 * rng.normal(size=size))
    # Prices end as shops' prices do; the rounding also hides a last bit in which platforms' exp may differ.
    full = np.maximum(np.round(full), 2) - rng.choice([0.01, 0.05, 0.5, 0.0], size=size, p=[0.5, 0.2, 0.1, 0.2])
    cut = np.where(rng.random(size) < 0.35, rng.choice([0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5], size=size), 0.0)
    return np.round(full * (1 - cut), 2), full


def _reception(
    quality: Floats, fame: NDArray[np.int64], age_days: Integers, rng: np.random.Generator
) -> tuple[Integers, Integers, Floats]:
    """Pieces sold in 90 days, how many rated it, and their rounded mean."""
    size = len(quality)
    demand = np.exp(2.5 + 0.5 * quality + 0.5 * np.log(fame) - age_days / 900 + 0.8 * rng.normal(size=size))
    popularity = np.floor(demand).astype(np.int64)
    raters = np.floor(demand * (0.05 + 0.2 * rng.random(size)) * (1 + age_days / 90)).astype(np.int64)
    blur = 0.9 * rng.normal(size=size) / np.sqrt(1 + raters / 4)
    rating = np.round(np.clip(3.8 + 0.45 * quality + blur, 1, 5), 1)
    return popularity, raters, np.where(raters > 0, rating, np.nan)
