"""Golden rows: what a bundle's ranker said of some of its own lists on the day that it was saved.

Whatever scores for it later, an engine's plugin, another library or another machine, must say the same of the same feature
values; whatever works out the features again must come to the same values of the same catalogue.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from ltr.errors import BundleError
from ltr.features import compute
from ltr.frames import groups

if TYPE_CHECKING:
    from ltr.encoders import Encoder
    from ltr.features.definition import FeatureSet
    from ltr.features.memory import Memory
    from ltr.features.state import State
    from ltr.rankers import Ranker

__all__ = ["FILE", "LISTS", "QUERIES", "golden_queries", "golden_rows", "read"]

FILE: Final = "golden.parquet"
QUERIES: Final = "golden_queries.parquet"
LISTS: Final = 100


def golden_rows(
    candidates: pl.DataFrame,
    feature_set: FeatureSet,
    state: State,
    ranker: Ranker,
    *,
    encoder: Encoder | None,
    memory: Memory | None,
    lists: int = LISTS,
) -> pl.DataFrame:
    """Feature values and scores (Float64) of some lists, as reranking works them out.

    Args:
        candidates: query_id, query, product_id and match columns, one list after another.
        feature_set: the columns.
        state: the catalogue.
        ranker: what scores.
        encoder: of the queries, where features need it.
        memory: the judged queries on the state, where features are learnt.
        lists: how many lists, chosen by a hash of their query_id.
    """
    found = groups(candidates.select("query_id"))
    ids = candidates["query_id"].gather(found.offsets[:-1]).to_list()
    chosen = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:lists]
    part = candidates.filter(pl.col("query_id").is_in(chosen))
    pairs = compute.pairs(part, feature_set, state, encoder=encoder, memory=memory)
    matrix = pairs.select(ranker.features).to_numpy().astype(np.float32, copy=False)
    match = [name for name in part.columns if name.startswith("match.")]
    return pairs.select("query_id", "query", "product_id", *match, *ranker.features).with_columns(
        score=pl.Series(ranker.predict(matrix), dtype=pl.Float64)
    )


def golden_queries(golden: pl.DataFrame, encoder: Encoder) -> pl.DataFrame:
    """The queries of golden rows with their vectors (List(Float32)), as the encoder makes them on this day."""
    queries = golden["query"].unique(maintain_order=True)
    vectors = encoder.encode_queries(queries.to_list())
    return pl.DataFrame(
        {"query": queries, "vector": vectors.tolist()}, schema_overrides={"vector": pl.List(pl.Float32)}
    )


def read(path: Path) -> pl.DataFrame | None:
    """The golden rows of the bundle at this path; None of one that was saved before there were any."""
    file = path / "model" / FILE
    if not file.is_file():
        return None
    try:
        return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint="copy the bundle again, or train again") from error
