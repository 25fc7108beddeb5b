"""Movie Search Ranking Dataset, in Elastic's adapted form: 9,750 movies, queries that people asked, grades 0 and 1.

Metarank Labs, https://github.com/metarank/msrd, CC BY 4.0; adapted by Elastic for its learning-to-rank notebook
(one binary grade a query and movie, 24 judged movies a query). Its publishers state no checksum, so a download is
trusted on first use (``ltr.datasets.download``).

Zero stands for "not known" in year and budget, and in rating (The Movie Database's ratings start at 0.5): null here. No
votes is a count, and stays 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from ltr.datasets import Dataset, FieldType
from ltr.datasets.download import Remote, locate
from ltr.datasets.files import read_judgments, read_products

if TYPE_CHECKING:
    from ltr.config import DataConfig

__all__ = ["FIELDS", "FILES", "cleaned", "load"]

_ADDRESS: Final = (
    "https://raw.githubusercontent.com/elastic/elasticsearch-labs/main/notebooks/search/sample_data/learning-to-rank/"
)
FILES: Final = (
    Remote("movies-corpus.jsonl.gz", f"{_ADDRESS}movies-corpus.jsonl.gz"),
    Remote("movies-judgments.tsv.gz", f"{_ADDRESS}movies-judgments.tsv.gz"),
)

# People and characters are text, not keywords: a query holds part of a name ("ewan mcgregor big fish").
FIELDS: Final[dict[str, FieldType]] = {
    "title": "text",
    "overview": "text",
    "tags": "keyword",
    "genres": "keyword",
    "director": "text",
    "actors": "text",
    "characters": "text",
    "year": "number",
    "votes": "number",
    "rating": "number",
    "popularity": "number",
    "budget": "number",
}

_ZERO_IS_UNKNOWN: Final = ("year", "rating", "budget")


def load(config: DataConfig, *, base: Path, quiet: bool = False) -> Dataset:
    """Load the movies; queries carry ``relevant_set``, a hash of the movies that are relevant to them.

    Three of four queries share that set with another query (variants of one need), so a split that does not keep them
    together (``split.group = "relevant_set"``) has seen most test queries' answers while fitting.
    """
    path = base / Path(config.path).expanduser() if config.path else None
    directory = locate("msrd", FILES, path=path, quiet=quiet)
    corpus, ratings = (directory / file.name for file in FILES)
    products, _ = read_products(corpus, columns={"product_id": "id"}, fields=FIELDS)
    queries, judgments = read_judgments(ratings, scale="binary")
    return Dataset(
        name="msrd",
        products=cleaned(products.select("product_id", *FIELDS)),
        queries=queries.select("query_id", "query").join(
            _relevant_sets(judgments), on="query_id", maintain_order="left"
        ),
        judgments=judgments,
        fields=dict(FIELDS),
        title="title",
        # A production order that nobody tuned: the title counts three times, the rest once.
        text_fields={"title": 3.0, "overview": 1.0, "director": 1.0, "actors": 1.0, "characters": 1.0},
        scale="binary",
        gains="linear",
        notes=(
            "Movie Search Ranking Dataset by Metarank Labs (CC BY 4.0), adapted by Elastic.",
            "The weights of the retrieval order were set by hand, not tuned on judgments.",
            'Three of four queries share their set of relevant movies with another: [split] group = "relevant_set" keeps them together.',
        ),
    )


def cleaned(products: pl.DataFrame) -> pl.DataFrame:
    """The products with null where zero means that nobody knows."""
    return products.with_columns(pl.when(pl.col(name) != 0).then(pl.col(name)) for name in _ZERO_IS_UNKNOWN)


def _relevant_sets(judgments: pl.DataFrame) -> pl.DataFrame:
    """query_id and the hash of its relevant movies; a query without one shares nothing and is a group of its own."""
    relevant = judgments.group_by("query_id").agg(pl.col("product_id").filter(pl.col("grade") > 0).sort())
    return pl.DataFrame(
        [(query_id, _digest(movies or ["none for", query_id])) for query_id, movies in relevant.rows()],
        schema={"query_id": pl.String, "relevant_set": pl.String},
        orient="row",
    )


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
