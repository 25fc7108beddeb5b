"""Candidates for a query, by the bundle's own engine: the first half of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from ltr.serving.answer import Answer
from ltr.serving.loaded import Serving
from ltr.serving.request import Candidate

__all__ = ["FAILED", "RETRIEVE", "Found", "Unsearchable", "retrieved"]

RETRIEVE: Final = "retrieve"
FAILED: Final = "retrieval_failed"

_MATCH: Final = "match."


@dataclass(frozen=True)
class Found:
    """What came of a search.

    Args:
        retrieved: the candidates, best first, with the engine's scores; perhaps none.
        answer: the same in the ranker's order, or in this one with the reason.
        timings: seconds of ``retrieve`` and of the answer's stages.
    """

    retrieved: tuple[Candidate, ...]
    answer: Answer
    timings: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """What retrieval took."""
        return self.timings.get(RETRIEVE, 0.0)


class Unsearchable(Exception):
    """There are no candidates to order: ``reason`` is FAILED, or that of an answer that is cut short."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(str(reason))
        self.reason = str(reason)


def retrieved(serving: Serving, query: str, depth: int) -> tuple[Candidate, ...]:
    """Retrieve at most ``depth`` candidates, with the match features that the engine delivers beside them.

    Raises:
        LtrError: the engine does not answer, or cannot.
    """
    queries = pl.DataFrame({"query_id": ["query"], "query": [query]})
    run = serving.retriever.retrieve(queries, depth=depth).sort("rank")
    names = [name for name in run.columns if name.startswith(_MATCH)]
    features = [name.removeprefix(_MATCH) for name in names]
    return tuple(
        Candidate(product_id, score if math.isfinite(score) else None, dict(zip(features, match, strict=True)))
        for product_id, score, *match in run.select(
            "product_id",
            pl.col("score").cast(pl.Float64).fill_null(math.nan),
            *(pl.col(name).fill_null(math.nan) for name in names),
        ).rows()
    )
