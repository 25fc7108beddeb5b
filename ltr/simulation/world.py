"""The shop that is searched: its production lists, what attracts in them, and how both change over the days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError
from ltr.measures import scale
from ltr.simulation.clicking import Truth, examination
from ltr.simulation.lists import Lists, kept, lists_of
from ltr.simulation.season import Season
from ltr.simulation.seeds import stream
from ltr.simulation.users import Floats, Users, attraction_of
from ltr.simulation.visits import People

if TYPE_CHECKING:
    from ltr.datasets import Dataset

__all__ = ["World", "lists_on", "truth", "world"]

# The streams of a seed.
_CATALOGUE, _DEMAND = 1, 2
# How popular the n-th query is where the dataset does not say: n^−.8.
_ZIPF: Final = 0.8


@dataclass(frozen=True, eq=False)
class World:
    """Queries, lists and products as arrays.

    Args:
        shown: a row for each product in each list: query_id, query, product_id, position, variant, attraction, product (its
            number), price (null without prices).
        lists: of ``shown``; those of query q are numbers q · variants and following, by name of the variant.
        variants: how many production rankers there are.
        popularity: of each query.
        product_ids: by number.
        arrives: the day of each product.
        direction: 1 of a product that rises, −1 of one that falls.
    """

    shown: pl.DataFrame
    lists: Lists
    variants: int
    popularity: Floats
    product_ids: pl.Series
    arrives: NDArray[np.int64]
    direction: Floats


def world(
    dataset: Dataset,
    rankings: Mapping[str, pl.DataFrame],
    users: Users,
    season: Season,
    *,
    seed: int,
    gains: str | Sequence[float] | None,
) -> World:
    """The shop of a dataset's queries that every ranking answers; DataError where there is none."""
    queries = dataset.queries
    for run in rankings.values():
        queries = queries.join(run, on="query_id", how="semi", maintain_order="left")
    if not rankings or not queries.height:
        raise DataError("no query is answered by every ranking", hint="give runs of the dataset's queries")
    shown = _shown(dataset, queries, rankings)
    attraction = attraction_of(
        shown["grade"].to_numpy(),
        scale(dataset.scale).maximum,
        noise=users.noise,
        gains=dataset.gains if gains is None else gains,
    )
    product_ids = shown["product_id"].unique(maintain_order=True)
    numbers = pl.DataFrame({"product_id": product_ids}).with_row_index("product")
    later, when, moves = stream(seed, _CATALOGUE).random((3, len(product_ids)))
    arrives = np.where(later < season.new, 1 + (when * (season.days - 1)).astype(np.int64), 0)
    return World(
        shown=shown.with_columns(attraction=pl.Series(attraction)).join(
            numbers, on="product_id", how="left", maintain_order="left"
        ),
        lists=lists_of(shown, attraction),
        variants=len(rankings),
        popularity=_popularity(queries, seed),
        product_ids=product_ids,
        arrives=arrives if season.days > 1 else np.zeros_like(arrives),
        direction=np.select([moves < season.trending / 2, moves < season.trending], [1.0, -1.0], 0.0),
    )


def lists_on(there: World, season: Season, day: int) -> Lists:
    """The lists of a day: without what is yet to come, and with what is more or less in demand."""
    product = there.shown["product"].to_numpy()[there.lists.order]
    attraction = np.minimum(there.lists.attraction * season.trend(there.direction, day)[product], 1.0)
    return kept(replace(there.lists, attraction=attraction), there.arrives[product] <= day, page=season.page)


def truth(there: World, users: Users, season: Season, everybody: People) -> Truth:
    """What was behind the season: attraction as the mean over the days on which the product was there."""
    pairs = there.shown.unique(["query_id", "product_id"], maintain_order=True)
    product, first = pairs["product"].to_numpy(), pairs["attraction"].to_numpy()
    total, days = np.zeros(pairs.height), np.zeros(pairs.height)
    for day in range(season.days):
        present = there.arrives[product] <= day
        total += present * np.minimum(first * season.trend(there.direction, day)[product], 1.0)
        days += present
    lists = kept(there.lists, np.ones(len(there.lists.order), dtype=np.bool_), page=season.page)
    return Truth(
        attraction=pairs.select("query_id", "product_id", pl.Series("attraction", total / days), "query"),
        examination=examination(lists, users, there.popularity[lists.query] / there.popularity.sum()),
        products=pl.DataFrame(
            {
                "product_id": there.product_ids,
                "arrives": [season.date(day) for day in there.arrives.tolist()],
                "trend": season.trend(there.direction, season.days - 1) / season.trend(there.direction, 0),
            }
        ),
        bots=everybody.bots,
    )


def _shown(dataset: Dataset, queries: pl.DataFrame, rankings: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    runs = [
        run.select("query_id", "product_id", position=pl.col("rank").cast(pl.Int64), variant=pl.lit(name))
        for name, run in rankings.items()
    ]
    named = pl.concat(runs).join(queries.select("query_id", "query").with_row_index("number"), on="query_id")
    graded = named.join(
        dataset.judgments.select("query_id", "product_id", "grade"), on=["query_id", "product_id"], how="left"
    )
    priced = dataset.fields.get("price") == "number"
    prices = dataset.products.select("product_id", price="price" if priced else pl.lit(None, dtype=pl.Float64))
    return (
        graded.with_columns(pl.col("grade").fill_null(0.0))
        .join(prices, on="product_id", how="left")
        .sort("number", "variant", "position")
        .select("query_id", "query", "product_id", "position", "variant", "grade", "price")
    )


def _popularity(queries: pl.DataFrame, seed: int) -> Floats:
    if "popularity" in queries.columns and queries.schema["popularity"].is_numeric():
        given = queries["popularity"].cast(pl.Float64).fill_nan(0.0).fill_null(0.0).clip(lower_bound=0.0).to_numpy()
        if np.isfinite(given).all() and given.sum() > 0:
            return given
    place = stream(seed, _DEMAND).permutation(queries.height) + 1.0
    return np.asarray(place**-_ZIPF, dtype=np.float64)
