"""The one or two lists that candidates come from: what the body's query finds, and the nearest by kNN; fused by rank where both.

As in ``ltr.retrieval.embedded``, each list that is fused has max(depth, 100) products, and the score is then the RRF sum.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import EngineError
from ltr.progress import bar
from ltr.retrieval import candidates
from ltr.retrieval.fusion import WINDOW, best, reciprocal_ranks
from ltr.retrieval.multisearch import TOGETHER, Search, ask, in_flight
from ltr.retrieval.named import named
from ltr.retrieval.prepared import prepare, written
from ltr.retrieval.target import Target

if TYPE_CHECKING:
    from ltr.encoders import Encoder

__all__ = ["Lists"]

# Hits of one request, which are in memory at once.
_HITS: Final = 10_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lists:
    """Where candidates come from.

    Args:
        target: the index.
        body: a search body with ``{{query}}`` in it; None = neighbours alone.
        vector: the engine's field of vectors; None = the body alone.
        encoder: of the queries, where there is a vector.
    """

    target: Target
    body: Mapping[str, Any] | None
    vector: str | None
    encoder: Encoder | None

    def found(self, texts: Sequence[str], depth: int) -> Iterator[tuple[list[str], Floats]]:
        """The best products of each text and their scores.

        Raises:
            EngineError: the engine does not answer, or in part, or an id stands for several documents.
        """
        size = depth if self.vector is None else min(max(depth, WINDOW), self.target.results)
        shown = {"size": size, "_source": False, "track_total_hits": False} | self.target.identified
        lexical = None if self.body is None else prepare({**candidates.ordering(self.body), **shown})
        filters = prepare(candidates.filters(self.body or {}))

        def searches(text: str, vector: Floats | None) -> list[Search]:
            bodies = [] if lexical is None else [lexical.filled(text)]
            if (near := self._knn(vector, size, filters.filled(text))) is not None:
                bodies.append(f'{written(shown)[:-1]},"knn":{near}}}')
            return [Search(text, body) for body in bodies]

        def answered(batch: Sequence[tuple[str, Floats | None]]) -> list[tuple[list[str], Floats]]:
            asked = [searches(text, vector) for text, vector in batch]
            keep = ["hits.hits._id", "hits.hits._score", "hits.hits.fields"]
            answers = iter(ask(self.target, [search for each in asked for search in each], keep=keep))
            return [self._best([next(answers) for _ in each], depth) for each in asked]

        together = max(1, min(TOGETHER, _HITS // size) // 2)
        both = list(zip(texts, self.vectors(texts), strict=True))
        batches = (both[start : start + together] for start in range(0, len(both), together))
        with bar("retrieving", total=len(texts)) as advance:
            for answers in in_flight(answered, batches):
                yield from answers
                advance(len(answers))

    def clauses(self, texts: Sequence[str], products: Sequence[Sequence[str]]) -> Iterator[list[str]]:
        """Named clauses, "query" and "vector", that score given products by the body's query and by their cosine.

        Raises:
            ConfigError: the body has no query.
        """
        query = None if self.body is None else prepare(named("query", candidates.query_of(self.body)))
        for text, own, vector in zip(texts, products, self.vectors(texts), strict=True):
            clauses = [] if query is None else [query.filled(text)]
            # Of as many products as there are the neighbours are all of them, and exact.
            filters = f"[{self.target.among(written(product) for product in own)}]"
            if (near := self._knn(vector, len(own), filters)) is not None:
                clauses.append(f'{{"bool":{{"_name":"~vector","must":[{{"knn":{near}}}]}}}}')
            yield clauses

    def scores(self, lexical: Floats, cosines: Floats, offsets: NDArray[np.int64]) -> Floats:
        """Scores of given products, lists one after another; NaN is what does not match."""
        found = np.nan_to_num(lexical)
        if self.vector is None:
            return found
        for start, end in pairwise(offsets):
            ways = (found[start:end], cosines[start:end])
            hits = (np.flatnonzero(ways[0]), np.flatnonzero(~np.isnan(ways[1])))
            lists = [best(by, own, end - start) for by, own in zip(ways, hits, strict=True) if len(own)]
            found[start:end] = reciprocal_ranks(lists, int(end - start))
        return found

    def nearest(self, text: str, body: Mapping[str, Any], k: int) -> dict[str, Any] | None:
        """The ``knn`` of the k nearest that pass the filters of a body; None for a text without a vector."""
        near = self._knn(self.vectors([text])[0], k, written(candidates.filters(body)))
        return None if near is None else json.loads(near)

    def vectors(self, texts: Sequence[str]) -> list[Floats | None]:
        """The vector of each text; None for a text without one."""
        if self.encoder is None or not texts:
            return [None] * len(texts)
        return [each if np.isfinite(each).all() and each.any() else None for each in self.encoder.encode_queries(texts)]

    def _knn(self, vector: Floats | None, k: int, filters: str) -> str | None:
        """The JSON of a ``knn`` of the k nearest that pass the filters; None for a text without a vector."""
        if vector is None or self.vector is None:
            return None
        return written(candidates.nearest(self.vector, vector.tolist(), k))[:-1] + f',"filter":{filters}}}'

    def _best(self, answers: Sequence[Mapping[str, Any]], depth: int) -> tuple[list[str], Floats]:
        numbers: dict[str, int] = {}
        lists, scores = [], []
        for answer in answers:
            hits = answer.get("hits", {}).get("hits", [])
            own = [self.target.product_id(hit) for hit in hits]
            if None in own or len(set(own)) < len(own):
                raise EngineError(
                    f"hits of {self.target.index!r} do not say which product each is, or say the same twice",
                    hint="set [retrieval] id_field to the field that identifies a product, or collapse on it in the body",
                )
            lists.append(np.array([numbers.setdefault(str(each), len(numbers)) for each in own], dtype=np.int64))
            scores.append(np.array([hit.get("_score") or 0.0 for hit in hits], dtype=np.float32))
        products = list(numbers)
        if self.vector is None:
            return products, np.concatenate([np.zeros(0, dtype=np.float32), *scores])
        fused = reciprocal_ranks(lists, len(products))
        order = best(fused, np.arange(len(products)), depth) if products else np.zeros(0, dtype=np.int64)
        return [products[number] for number in order], fused[order]
