"""Retrieval by Elasticsearch or OpenSearch: candidates by the shop's own search body, match features by named clauses.

For training, ``retrieve`` and ``score`` obey ``ltr.retrieval.Retriever``: candidates and judged lists are asked for by ``_msearch``,
a hundred searches a request and a few requests at a time. For serving, ``search`` sends the shop's own request with the clauses
riding along (``serving``). Either way a clause is the same query and its score the same number.

With ``vector`` there are two lists, the body's and the nearest by kNN under the body's filters, fused by rank as
``ltr.retrieval.embedded`` does it. Equal scores keep the engine's order, which is the same each time while the index is.

What a shopper types is data, never syntax. Of a long text its first 64 words are asked for (``prepared.bounded``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.engine import fill
from ltr.errors import CandidateError, ConfigError, DataError, EngineError
from ltr.frames import check, groups, ranked
from ltr.retrieval import candidates, mapped, serving
from ltr.retrieval.featurelog import Asked, scores_of
from ltr.retrieval.lists import Lists
from ltr.retrieval.named import Named, name_clauses
from ltr.retrieval.page import Page
from ltr.retrieval.pairs import checked
from ltr.retrieval.prepared import WORDS, bounded, cleaned
from ltr.retrieval.target import Target, find

if TYPE_CHECKING:
    from ltr.encoders import Encoder
    from ltr.engine import Engine

__all__ = ["Elastic", "build"]


@dataclass(frozen=True, repr=False, eq=False)
class Elastic:
    """An index behind the contract of ``ltr.retrieval.Retriever``, and the serving road; get one from ``build``."""

    target: Target
    named: Named
    lists: Lists

    def retrieve(self, queries: pl.DataFrame, *, depth: int) -> pl.DataFrame:
        """Return the best products of each query, at most ``depth``, with match columns; sorted by query_id and rank.

        Raises:
            CandidateError: depth is below 1.
            DataError: queries lack a column, or a query_id occurs twice.
            EngineError: the index allows no such depth, or the engine does not answer, or in part.
        """
        if depth < 1:
            raise CandidateError(f"depth is {depth}", hint="ask for 1 product a query or more")
        if depth > self.target.results:
            raise EngineError(
                f"depth is {depth:,}, and index {self.target.index!r} shows the first {self.target.results:,} hits",
                hint="ask for less, or raise its index.max_result_window",
            )
        queries = check(queries, "queries").sort("query_id")
        texts = [bounded(text) for text in queries["query"]]
        found = list(self.lists.found(texts, depth))
        asked = [Asked(text, products) for text, (products, _) in zip(texts, found, strict=True)]
        match = scores_of(self.target, self.named, asked, label="reading features")
        sizes = [len(products) for products, _ in found]
        run = pl.DataFrame(
            {
                "query_id": queries["query_id"].gather(np.repeat(np.arange(len(sizes)), sizes)),
                "product_id": pl.Series([each for products, _ in found for each in products], dtype=pl.String),
                "rank": np.concatenate([np.zeros(0), *[np.arange(1, size + 1) for size in sizes]]),
                "score": np.concatenate([np.zeros(0, dtype=np.float32), *[scores for _, scores in found]]),
            }
        )
        return check(run.with_columns(**self._match(match)), "run")

    def score(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Rank the pairs of each query by the score of the body's query, with match columns; sorted by query_id and rank.

        What else a body may rank by (a rescore, a retriever's parts) does not count here.

        Raises:
            CandidateError: a column is missing or has nulls, or one query_id has two texts.
            ConfigError: the body has no query.
            DataError: a pair occurs twice.
            EngineError: the engine does not answer, or in part.
        """
        pairs = checked(pairs).sort("query_id", maintain_order=True)
        if (twice := pairs.filter(pairs.select("query_id", "product_id").is_duplicated())).height:
            raise DataError(f"the pair {twice.row(0)} occurs more than once", hint="query and product must be unique")
        offsets = groups(pairs.select("query_id")).offsets
        texts = [bounded(text) for text in pairs["query"].gather(offsets[:-1])]
        products = pairs["product_id"].to_list()
        each = [products[start:end] for start, end in pairwise(offsets)]
        asked = list(map(Asked, texts, each, self.lists.clauses(texts, each)))
        found = scores_of(self.target, self.named.with_others("", "query", "vector"), asked, label="reading features")
        place, lexical, cosines = found.T[-3:]
        scores = self.lists.scores(lexical, cosines, offsets)
        scores[np.isnan(place)] = np.nan  # no such product
        return ranked(pairs.select("query_id", "product_id").with_columns(score=scores, **self._match(found)))

    def search(
        self,
        query: str,
        *,
        body: Mapping[str, Any] | None = None,
        depth: int = 100,
        offset: int | None = None,
        size: int | None = None,
    ) -> Page:
        """Search as the shop does, and bring back what a ranker needs to order the first ``depth`` hits.

        Args:
            query: what was typed.
            body: the shop's request, with the text in it or with ``{{query}}``; None = that of the experiment.
            depth: the window; the same for all pages of a search, so that they fit together.
            offset: of the page's first hit, from 0; None = the body's ``from``, or 0.
            size: hits a page; None = the body's, or 10.

        Raises:
            CandidateError: depth, offset or size is out of bounds.
            ConfigError: a body that is none.
            EngineError: the engine refuses the body itself or does not answer.
        """
        text = bounded(query)
        given = self.lists.body if body is None else body
        filled: dict[str, Any] = fill(dict(given or {"query": {"match_none": {}}}), query=text)
        candidates.check(filled)
        first = candidates.number(filled.get("from", 0), "from") if offset is None else offset
        count = candidates.number(filled.get("size", 10), "size") if size is None else size
        if depth < 1 or first < 0 or count < 0:
            raise CandidateError(
                f"depth is {depth}, offset {first}, size {count}", hint="give a depth from 1, the others from 0"
            )
        page = serving.search(serving.Road(self.target, self.named, self.lists, text, filled, depth, first, count))
        if text == cleaned(query):
            return page
        return replace(page, notes=(*page.notes, f"of the text, the first {WORDS} words were asked for"))

    def lacking(self, product_ids: Sequence[str]) -> list[str]:
        """Those of these products, each given once, that the index does not have.

        Raises:
            EngineError: the engine does not answer, or in part.
        """
        asked = [Asked("judged products", product_ids)]  # the text is asked of no field, and shown where this fails
        place = scores_of(self.target, name_clauses({}, {}).with_others(""), asked, label="looking products up")[:, 0]
        return [product for product, found in zip(product_ids, place, strict=True) if np.isnan(found)]

    def _match(self, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {f"match.{feature}": values[:, column] for column, feature in enumerate(self.named.features)}


def build(
    engine: Engine,
    index: str,
    *,
    fields: Mapping[str, float],
    combine: Literal["sum", "best"] = "sum",
    body: Mapping[str, Any] | None = None,
    clauses: Mapping[str, Mapping[str, Any]],
    missing: Mapping[str, float],
    vector: str | None = None,
    encoder: Encoder | None = None,
    id_field: str | None = None,
    timeout_s: float = 10.0,
) -> Elastic:
    """Read what the index is, and check that it can answer.

    Args:
        engine: a connection.
        index: an index, alias or data stream.
        fields: field -> weight of its score, for a query over fields; not looked at where there is a body.
        combine: what becomes of the fields' scores: their sum (most_fields) or the best of them (best_fields).
        body: the shop's own search body, the text in it written ``{{query}}``.
        clauses: match feature -> the query whose score it is, the text in it written ``{{query}}``.
        missing: match feature -> what it is where its query does not match; a feature that is not here is NaN there.
        vector: the catalogue's field whose vectors, "<vector>_vector" in the index, join the lexical order.
        encoder: that made them; None exactly where vector is None.
        id_field: a field that is the product_id; None = _id.
        timeout_s: for one search.

    Raises:
        ConfigError: there is nothing to search by, or a body that cannot be reranked.
        EngineError: no such index, or it lacks a field or has one of the wrong type; the engine does not answer.
    """
    if (vector is None) != (encoder is None):
        raise ConfigError("a vector field and its encoder go together", hint="give both or neither")
    if body is None and fields:
        for field, weight in fields.items():
            if not 1e-9 <= weight <= 1e9:
                raise ConfigError(f"the retrieval weight of field {field!r} is {weight}", hint="give 1e-9 to 1e9")
        body = candidates.multi_match(fields, combine)
        wanted = {"[retrieval] fields": body["query"]}
    elif body is None and vector is None:
        raise ConfigError(
            "[retrieval] has neither fields, a body nor a vector field", hint="name a field and its weight"
        )
    else:
        _check_body(body or {}, vector)
        wanted = {}
    target = find(engine, index, id_field=id_field, timeout_s=timeout_s)
    mapped.check(target.mapping, wanted | {f"feature {name!r}": clause for name, clause in clauses.items()})
    own = None
    if vector is not None and encoder is not None:
        own = f"{vector}_vector"
        mapped.check_vector(target.mapping, own, encoder.dimension)
        if engine.probe.flavour != "elasticsearch":
            raise EngineError(
                f"{engine.url} is {engine.probe.flavour}, whose kNN is another than Elasticsearch's",
                hint="leave out [retrieval] vector",
            )
    return Elastic(target, name_clauses(clauses, missing), Lists(target, body, own, encoder))


def _check_body(body: Mapping[str, Any], vector: str | None) -> None:
    candidates.check(body)
    if not candidates.relevance(body):
        raise ConfigError(
            f"the search body sorts by {candidates.sorts(body)[0]!r}, and a sorted list is never reranked",
            hint="leave its sort out, or begin it with _score",
        )
    taken = [key for key in ("collapse", *candidates.RANKS) if key in body]
    if vector is not None and taken:
        raise ConfigError(
            f"the search body has {taken[0]!r} already, so that no list of neighbours can join it",
            hint="leave out [retrieval] vector",
        )
