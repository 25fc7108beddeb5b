"""The movies as the feature benchmarks take them: real texts, queries and lists; vectors drawn at random.

What a vector says makes no difference to what it costs, so nothing is encoded here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ltr import datasets
from ltr.config import DataConfig
from ltr.datasets import Dataset
from ltr.features import memory
from ltr.features.memory import Memory
from ltr.features.state import State
from ltr.measures import gain_table, scale
from ltr.simulation import Users, clicks

DIMENSION = 384  # of MiniLM


@dataclass(frozen=True)
class Lists:
    """Queries with as many products each; ``ids`` are the product ids, one list after another."""

    query_ids: list[str]
    queries: list[str]
    ids: list[str]
    size: int

    def __getitem__(self, wanted: slice) -> "Lists":
        """Return some of the lists; the slice has a start and a stop, and no step."""
        rows = slice(wanted.start * self.size, wanted.stop * self.size)
        return Lists(self.query_ids[wanted], self.queries[wanted], self.ids[rows], self.size)

    @property
    def offsets(self) -> np.ndarray:
        """Where each list begins and ends."""
        return np.arange(len(self.queries) + 1, dtype=np.int64) * self.size


class Drawn:
    """An encoder that draws its vectors."""

    name = digest = "drawn"
    dimension = DIMENSION

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, one a text."""
        vectors = np.random.default_rng(7).normal(size=(len(texts), DIMENSION))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    encode_queries = encode


def load() -> Dataset:
    """The movies; a DownloadError says what to do where they are neither here nor to be had."""
    return datasets.load(DataConfig(source="msrd"), base=Path.cwd())


def judged(dataset: Dataset, size: int) -> Lists:
    """The queries that have exactly so many judged products of the catalogue, and these."""
    pairs = dataset.judgments.join(dataset.products.select("product_id"), on="product_id", how="semi")
    return lists(pairs.select("query_id", "product_id"), dataset, size)


def lists(pairs: pl.DataFrame, dataset: Dataset, size: int) -> Lists:
    """The lists of a frame with query_id and product_id that have exactly so many products."""
    grouped = pairs.group_by("query_id", maintain_order=True).agg("product_id")
    kept = grouped.filter(pl.col("product_id").list.len() == size).join(
        dataset.queries.select("query_id", "query"), on="query_id", maintain_order="left"
    )
    ids = kept["product_id"].explode().to_list() if kept.height else []
    return Lists(kept["query_id"].to_list(), kept["query"].to_list(), ids, size)


def remembered(dataset: Dataset, state: State, *, but: Lists) -> Memory:
    """The judgments of all queries but these."""
    asked = pl.DataFrame({"query_id": but.query_ids}, schema={"query_id": pl.String})
    others = dataset.judgments.join(asked, on="query_id", how="anti", maintain_order="left")
    grades = scale(dataset.scale)
    return memory.remember(
        dataset.queries,
        others,
        gains=gain_table(dataset.gains, grades),
        groups={query_id: query_id for query_id in dataset.queries["query_id"]},
        encoder=Drawn(),
    ).on(state)


def logged(dataset: Dataset) -> pl.DataFrame:
    """A search of each query, by simulated shoppers who are shown its judged products in the order of the file."""
    queries = dataset.queries.select("query_id", "query")
    shown = dataset.judgments.join(queries, on="query_id", maintain_order="left").select(
        "query_id", "query", "product_id", position=pl.int_range(1, pl.len() + 1).over("query_id")
    )
    return clicks(shown, np.full(shown.height, 0.3), users=Users("pbm"), searches=1, seed=7)
