"""A shop small enough to know by heart, whose ids and words are as odd as real ones."""

import polars as pl
import pytest

from ltr.datasets import Dataset
from ltr.simulation import Season, Users, shoppers

SIZE = 12


def shop(queries=6, *, popularity=None, priced=True):
    """Queries × 12 products: grade (query + product) mod 3 of a scale to 2; prices 1, 2, ...; one product without."""
    products = pl.DataFrame(
        {
            "product_id": [f'p"{place}, é\\' for place in range(SIZE)],
            "title": "thing",
            "price": [None, *map(float, range(1, SIZE))],
        }
    )
    asked = pl.DataFrame(
        {"query_id": [f"q{query}" for query in range(queries)], "query": [f'a "{n}"\n thé' for n in range(queries)]}
    )
    if popularity:
        asked = asked.with_columns(popularity=pl.Series(popularity))
    judgments = [
        {"query_id": f"q{query}", "product_id": product, "grade": float((query + place) % 3), "weight": 1.0}
        for query in range(queries)
        for place, product in enumerate(products["product_id"])
        if (query + place) % 3
    ]
    return Dataset(
        name="tiny",
        products=products if priced else products.drop("price"),
        queries=asked,
        judgments=pl.DataFrame(judgments),
        fields={"title": "text"} | ({"price": "number"} if priced else {}),
        title="title",
        text_fields={"title": 1.0},
        scale="0-2",
        gains="linear",
        complete=True,
    )


def runs(dataset):
    """Two production rankers: the catalogue's order, and its reverse."""
    ids = dataset.products["product_id"].to_list()
    return {
        name: pl.DataFrame(
            [
                {"query_id": query, "product_id": product, "rank": rank, "score": -float(rank)}
                for query in dataset.queries["query_id"]
                for rank, product in enumerate(order, 1)
            ],
            schema_overrides={"rank": pl.UInt32, "score": pl.Float32},
        )
        for name, order in {"old": ids, "new": ids[::-1]}.items()
    }


@pytest.fixture
def make_shop():
    """``shop``."""
    return shop


@pytest.fixture
def two_rankers():
    """``runs``."""
    return runs


@pytest.fixture
def season(tmp_path):
    """Simulate a season of the tiny shop, in which nothing happens but what is named: (log, simulated)."""

    def simulate(searches=400, *, users=None, seed=7, dataset=None, rankings=None, name="log", part=99_999, **happens):
        dataset = dataset or shop()
        made = shoppers(
            dataset,
            rankings or runs(dataset),
            users=users or Users("pbm"),
            searches=searches,
            seed=seed,
            directory=tmp_path / name,
            part=part,
            season=Season(**{"randomised": 0.0, "bots": 0.0, "trending": 0.0, "new": 0.0} | happens),
        )
        return made.scan().collect(), made

    return simulate
