"""The demo shop: a seeded simulated catalogue, its shoppers' searches, and the truth about both.

A shelf of products and a list of intents come first, as numbers; from them alone follow the grades (``shop_truth``). Merchants
then describe the shelf and shoppers put the intents into words, each from a random stream of its own, so that the
same shop told in other words (``text_seed``) has the same truth: intent decides, not text. Nothing is read from
outside; one seed is one shop on every platform (and release of NumPy that keeps its streams, NEP 19).

>>> from ltr.config import DataConfig
>>> shop = build(DataConfig(source="shop", size=300, queries=40))
>>> shop.products.height, shop.queries.height, shop.scale
(300, 40, 'graded')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from ltr.datasets import Dataset
from ltr.datasets.shop_catalogue import Integers, Shelf, stock
from ltr.datasets.shop_intents import Intent, Search, intents, searches
from ltr.datasets.shop_merchants import FIELDS, catalogue
from ltr.datasets.shop_shoppers import phrases
from ltr.datasets.shop_truth import grades
from ltr.datasets.shop_vocabulary import Brand, Category, Department, Term, Vocabulary, vocabulary

if TYPE_CHECKING:
    from ltr.config import DataConfig

__all__ = ["SEGMENTS", "TEXT_FIELDS", "Truth", "build", "load", "truth"]

TEXT_FIELDS: Final = {"title": 3.0, "brand": 1.5, "category": 2.0, "color": 1.0, "material": 1.0, "description": 1.0}
# Segment -> its share of the queries, most popular first.
SEGMENTS: Final = {"head": 0.1, "torso": 0.3, "tail": 0.6}
# Intents for each query: the rest are further wordings.
_INTENTS: Final = 0.72
# The random streams; each part of the simulation draws from its own.
_SHELF, _DEMAND, _JUDGES, _MERCHANTS, _SHOPPERS = range(5)


@dataclass(frozen=True)
class Truth:
    """What only a simulation knows; no ranker may see it.

    Args:
        products: product_id and what it truly is: type, category, department, brand, tier, colour, family, material,
            audience, traits, sizes, quality, and its numbers without gaps.
        intents: query_id and what its shopper wants: intent, level, the attributes by name (null = does not care),
            price_limit, wish, misspelled, popularity.
        judgments: query_id, product_id, grade, weight; pairs that are not listed have grade 0.
    """

    products: pl.DataFrame
    intents: pl.DataFrame
    judgments: pl.DataFrame


@dataclass(frozen=True)
class _World:
    words: Vocabulary
    shelf: Shelf
    wanted: list[Intent]
    asked: list[Search]
    judged: tuple[Integers, Integers, Integers]


def load(config: DataConfig, *, base: Path, quiet: bool = False) -> Dataset:
    """The demo shop of ``config.size`` products, ``config.queries`` queries and ``config.seed``; no file is read."""
    return build(config)


def build(config: DataConfig, *, text_seed: int | None = None) -> Dataset:
    """The shop; another ``text_seed`` has the same products, intents and grades under other titles, descriptions and queries."""
    world = _world(config)
    telling = config.seed if text_seed is None else text_seed
    said = phrases(world.words, world.wanted, world.asked, _stream(telling, _SHOPPERS))
    queries = pl.DataFrame(
        {
            "query_id": _query_ids(world),
            "query": [phrase.text for phrase in said],
            "intent": [f"I{search.intent + 1:05d}" for search in world.asked],
            "segment": _segments(len(world.asked)),
            "popularity": [search.popularity for search in world.asked],
        }
    )
    return Dataset(
        name="shop",
        products=catalogue(world.words, world.shelf, _stream(telling, _MERCHANTS)),
        queries=queries,
        judgments=_judgments(world),
        fields=dict(FIELDS),
        title="title",
        text_fields=dict(TEXT_FIELDS),
        scale="graded",
        gains="exponential",
        complete=True,
        notes=(
            f"Simulated from seed {config.seed}: no shop, brand or shopper in it is real.",
            "Grades follow from the query's intent and the product's true attributes, with a tenth of them one off; every pair is known.",
            'Wordings of one intent share their grades: [split] group = "intent" keeps them together.',
        ),
    )


def truth(config: DataConfig) -> Truth:
    """What each product truly is and each query truly wants."""
    world = _world(config)
    return Truth(_true_products(world), _true_intents(world), _judgments(world))


def _stream(seed: int, part: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, part])))


def _world(config: DataConfig) -> _World:
    words = vocabulary()
    shelf = stock(words, config.size, _stream(config.seed, _SHELF))
    demand = _stream(config.seed, _DEMAND)
    wanted = intents(words, shelf, max(1, round(_INTENTS * config.queries)), demand)
    asked = searches(words, wanted, config.queries, demand)
    return _World(words, shelf, wanted, asked, grades(words, shelf, wanted, _stream(config.seed, _JUDGES)))


def _query_ids(world: _World) -> list[str]:
    return [f"Q{number:05d}" for number in range(1, len(world.asked) + 1)]


def _segments(count: int) -> list[str]:
    """Most popular first."""
    head, torso = round(SEGMENTS["head"] * count), round(SEGMENTS["torso"] * count)
    return ["head"] * head + ["torso"] * torso + ["tail"] * (count - head - torso)


def _judgments(world: _World) -> pl.DataFrame:
    numbers, rows, given = world.judged
    judged = pl.DataFrame(
        {
            "intent": numbers,
            "product_id": pl.Series(world.shelf.product_ids).gather(rows),
            "grade": given.astype(np.float32),
        }
    )
    asked = pl.DataFrame({"query_id": _query_ids(world), "intent": [search.intent for search in world.asked]})
    pairs = asked.join(judged, on="intent", how="inner", maintain_order="left_right")
    return pairs.select("query_id", "product_id", "grade", weight=pl.lit(1.0, dtype=pl.Float32))


def _true_products(world: _World) -> pl.DataFrame:
    words, shelf = world.words, world.shelf
    return pl.DataFrame(
        {
            "product_id": shelf.product_ids,
            "type": [words.types[number].words[0] for number in shelf.kind],
            "category": [words.categories[number].name for number in shelf.category],
            "department": [words.departments[number].name for number in shelf.department],
            "brand": [words.brands[number].name for number in shelf.brand],
            "tier": [words.brands[number].tier for number in shelf.brand],
            "colour": [_name(words.colours, number) for number in shelf.colour],
            "family": [words.colours[number].family if number >= 0 else None for number in shelf.colour],
            "material": [_name(words.materials, number) for number in shelf.material],
            "audience": [_name(words.audiences, number) for number in shelf.audience],
            "traits": [[words.traits[place].name for place in np.flatnonzero(row)] for row in shelf.traits],
            "sizes": [
                [label for bit, label in enumerate(words.sizes) if have >> bit & 1] for have in shelf.sizes.tolist()
            ],
            "quality": shelf.quality,
            "price": shelf.price,
            "list_price": shelf.list_price,
            "rating": shelf.rating,
            "rating_count": shelf.rating_count,
            "stock": shelf.stock,
            "popularity": shelf.popularity,
            "age_days": shelf.age_days,
        }
    )


def _true_intents(world: _World) -> pl.DataFrame:
    words = world.words
    rows = []
    for query_id, search in zip(_query_ids(world), world.asked, strict=True):
        intent = world.wanted[search.intent]
        rows.append(
            {
                "query_id": query_id,
                "intent": f"I{search.intent + 1:05d}",
                "level": intent.level,
                "department": _name(words.departments, intent.department),
                "category": _name(words.categories, intent.category),
                "type": words.types[intent.kind].words[0] if intent.kind >= 0 else None,
                "brand": _name(words.brands, intent.brand),
                "family": words.families[intent.family] if intent.family >= 0 else None,
                "colour": _name(words.colours, intent.shade),
                "material": _name(words.materials, intent.material),
                "audience": _name(words.audiences, intent.audience),
                "trait": _name(words.traits, intent.trait),
                "size": words.sizes[intent.size] if intent.size >= 0 else None,
                "price_limit": intent.limit or None,
                "wish": intent.wish or None,
                "misspelled": search.misspelled,
                "popularity": search.popularity,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _name(things: Sequence[Term | Brand | Category | Department], number: int) -> str | None:
    return things[number].name if number >= 0 else None
