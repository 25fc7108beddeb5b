"""Retrieval: a query to its candidates, best first, with the engine's own score of each matched field.

The contract is ``Retriever``; ``embedded`` runs it in this process, ``elastic`` in a search engine. Both methods return a run
frame (``ltr.frames``) with a ``match.<feature>`` Float32 column for each match feature: the engine's score of that one clause
for the query and the product; where it does not match, NaN or what the feature declares. The number is the same from either
method. A retriever scores what it is given: splitting, judging and reranking happen elsewhere.

>>> import polars as pl
>>> from ltr.retrieval import embedded
>>> shoes = pl.DataFrame({"product_id": ["p1", "p2"], "title": ["red shoe", "blue shoe"]})
>>> engine = embedded.build(shoes, fields={"title": 1.0}, analyzer="english", match={}, vectors=None, encoder=None)
>>> engine.retrieve(pl.DataFrame({"query_id": ["q"], "query": ["blue shoes"]}), depth=10)["product_id"].to_list()
['p2', 'p1']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Retriever", "elastic", "embedded"]


class Retriever(Protocol):
    """An engine over one catalogue."""

    def retrieve(self, queries: pl.DataFrame, *, depth: int) -> pl.DataFrame:
        """Return the best products of each query (query_id, query), at most ``depth``; a query without hits has no rows."""
        ...

    def score(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Rank the given pairs (query_id, query, product_id) within each query, every one of them.

        Ties keep the order received; products that the catalogue lacks come last, with score −∞.
        """
        ...


def __getattr__(name: str) -> Any:
    if name in ("elastic", "embedded"):
        return importlib.import_module(f"ltr.retrieval.{name}")
    raise AttributeError(f"module 'ltr.retrieval' has no attribute {name!r}")
