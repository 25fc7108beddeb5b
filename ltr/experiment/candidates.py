"""The lists that are reranked: from the retriever, graded, and what a person should know of those of a search engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from ltr.bundle_retriever import told_of
from ltr.config import Experiment
from ltr.datasets import Dataset
from ltr.frames import groups

if TYPE_CHECKING:
    from ltr.retrieval import Retriever

__all__ = ["candidates", "known", "labelled", "placed", "strangers", "told"]


def candidates(
    retriever: Retriever, queries: pl.DataFrame, judgments: pl.DataFrame, experiment: Experiment
) -> pl.DataFrame:
    """The lists to rerank, in the retriever's order: each query's judged products, or the retriever's top."""
    judged = queries.join(judgments, on="query_id", how="semi").select("query_id", "query")
    if experiment.candidates.origin == "retrieval":
        return retriever.retrieve(judged, depth=experiment.candidates.depth)
    pairs = judgments.select("query_id", "product_id").join(judged, on="query_id", how="inner", maintain_order="left")
    return retriever.score(pairs.select("query_id", "query", "product_id"))


def labelled(pairs: pl.DataFrame, judgments: pl.DataFrame, *, complete: bool) -> pl.DataFrame:
    """Add grade and weight; a pair without a judgment has a null grade, or 0 where the judgments are complete."""
    joined = pairs.join(judgments, on=["query_id", "product_id"], how="left", maintain_order="left")
    grade = pl.col("grade").fill_null(0.0) if complete else pl.col("grade")
    return joined.with_columns(grade, pl.col("weight").fill_null(1.0))


def known(pairs: pl.DataFrame, products: pl.DataFrame, query_ids: Sequence[str]) -> pl.DataFrame:
    """The pairs of these queries that may be fitted on: graded, of a known product, of a query that says something."""
    return placed(pairs, products, query_ids).filter(pl.col("grade").is_not_null())


def placed(pairs: pl.DataFrame, products: pl.DataFrame, query_ids: Sequence[str]) -> pl.DataFrame:
    """The same, graded or not."""
    wanted = pl.DataFrame({"query_id": list(query_ids)}, schema={"query_id": pl.String})
    kept = (
        pairs.join(wanted, on="query_id", how="semi", maintain_order="left")
        .join(products.select("product_id"), on="product_id", how="semi", maintain_order="left")
        .filter(pl.col("query").str.strip_chars() != "")
    )
    groups(kept)
    return kept


def told(retriever: Retriever, dataset: Dataset) -> tuple[str, ...]:
    """Where a search engine's index lacks what was judged; before it is asked for hours."""
    judged = dataset.judgments.join(dataset.products, on="product_id", how="semi", maintain_order="left")
    texts = dataset.queries.join(judged, on="query_id", how="semi", maintain_order="left")["query"]
    return told_of(retriever, texts.to_list(), judged["product_id"].unique(maintain_order=True).to_list())


def strangers(dataset: Dataset, run: pl.DataFrame) -> tuple[str, ...]:
    """Candidates, other than the judged ones, that a search engine's index has and the catalogue lacks."""
    found = run.join(dataset.judgments, on="product_id", how="anti", maintain_order="left").join(
        dataset.products, on="product_id", how="anti", maintain_order="left"
    )
    ids = found["product_id"].unique(maintain_order=True)
    shown = ", ".join(map(repr, ids.head(3)))
    return (
        (f"candidates that the catalogue lacks: {len(ids):,}, such as {shown} (kept out of fitting)",) if shown else ()
    )
