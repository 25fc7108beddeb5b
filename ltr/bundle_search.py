"""A shop's own search, reranked by a bundle: one call to Elasticsearch or OpenSearch, and the same answer in a better order.

What the engine answers is kept word for word; only the order of the first ``depth`` hits changes. Where they cannot be reranked
(a sort that the shopper chose, a page beyond them, features that the engine did not deliver), the order is the engine's and
``reason`` says why: a reranker must not break a search that works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ltr.bundle import rerank
from ltr.bundle_retriever import elastic_of
from ltr.errors import ConfigError, LtrError

if TYPE_CHECKING:
    from ltr.bundle import Bundle
    from ltr.retrieval.elastic import Elastic

__all__ = ["Searched", "elastic", "search"]


@dataclass(frozen=True)
class Searched:
    """What came of a search.

    Args:
        answer: the engine's, its hits reranked; their ``_score`` is the engine's own.
        retrieved: the candidates in the engine's order, a run frame with match columns; empty where there are none.
        reranked: the same candidates in the ranker's order, a run frame of its scores; as retrieved where ``reason`` says why.
        reason: why the order is the engine's; "" where it is the ranker's.
        notes: what else a caller should know, such as shards that failed, or candidates that the bundle's catalogue lacks.
    """

    answer: dict[str, Any]
    retrieved: pl.DataFrame
    reranked: pl.DataFrame
    reason: str
    notes: tuple[str, ...]


def elastic(bundle: Bundle, *, url: str | None = None) -> Elastic:
    """The bundle's index, as it is now; build it once and search it often.

    Raises:
        ConfigError: the bundle's candidates come from no search engine.
        EngineError: it does not answer, or the index lacks what the features ask for.
    """
    if bundle.experiment.retrieval.engine != "elasticsearch":
        raise ConfigError(
            f"{bundle.path} takes its candidates from its own catalogue",
            hint='leave the URL out, or train it with [retrieval] engine = "elasticsearch"',
        )
    return elastic_of(
        bundle.experiment,
        bundle.feature_set,
        fields=bundle.facts.retrieval_fields,
        body=bundle.facts.body,
        encoder=bundle.encoder,
        url=url,
    )


def search(
    bundle: Bundle,
    engine: Elastic,
    query: str,
    *,
    body: Mapping[str, Any] | None = None,
    depth: int = 100,
    offset: int | None = None,
    size: int | None = None,
) -> Searched:
    """Search and rerank.

    Args:
        bundle: the ranker and its features.
        engine: from ``elastic``.
        query: what the shopper typed.
        body: the shop's own request, with its filters, ``{{query}}`` or the text itself in it; None = the experiment's.
        depth: how many first hits are reranked; the same for every page of a search, so that pages fit together.
        offset: of the page's first hit, from 0; None = the body's ``from``.
        size: hits a page; None = the body's.

    Raises:
        ConfigError: a body that is none.
        EngineError: the engine refuses the body or does not answer: there is no list to give back.
    """
    page = engine.search(query, body=body, depth=depth, offset=offset, size=size)
    retrieved = page.run()
    if not page.rerankable:
        *others, reason = page.notes or ("no hits",)
        return Searched(page.answer, retrieved, retrieved, reason, tuple(others))
    try:
        reranked = rerank(bundle, retrieved.with_columns(query=pl.lit(query)))
    except LtrError as error:
        return Searched(page.answer, retrieved, retrieved, str(error), page.notes)
    answer = page.reranked(reranked["product_id"].to_list())
    return Searched(answer, retrieved, reranked, "", (*page.notes, *_unknown(bundle, page.product_ids)))


def _unknown(bundle: Bundle, product_ids: Sequence[str]) -> list[str]:
    """An index goes on while a bundle's catalogue stands still."""
    unknown = int((bundle.state.rows(product_ids) < 0).sum())
    # What the engine itself delivers is there for any product.
    if not unknown or bundle.feature_set.match.keys() >= set(bundle.feature_set.names):
        return []
    return [
        f"{unknown:,} of {len(product_ids):,} candidates are not in the bundle's catalogue, and ranked without its fields: "
        "`ltr refresh` renews it"
    ]
