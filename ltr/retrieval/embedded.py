"""Retrieval in this process: BM25 over weighted fields, with vectors beside it where the catalogue has them.

    lexical(q, p) = Σ_field weight · BM25_field(q, p)        (``ltr.text.bm25``: Lucene's formula, k₁ 1.2, b 0.75)

or, with ``combine = "best"``, the greatest instead of the sum (Elasticsearch's best_fields).

With vectors there are two lists, fused by rank (``fusion.reciprocal_ranks``). ``retrieve`` takes the best max(depth, 100)
products of each: those with a lexical score above 0, and those by cosine, exact over the whole catalogue; a product without a
vector (zero or not finite) is in no cosine list. So every depth up to 100 is the beginning of one and the same list.
``score`` forms the two lists among the pairs given, whatever their number. The run's score is then the RRF sum.
Equal scores are ordered as the catalogue is in ``retrieve``, as received in ``score``.

>>> shop = pl.DataFrame({"product_id": ["p1", "p2", "p3"], "title": ["red shoe", "shoe", None], "brand": ["Ace", "Red", "Ace"]})
>>> engine = build(
...     shop, fields={"title": 2, "brand": 1}, analyzer="english", match={"in_title": "title"}, vectors=None, encoder=None
... )
>>> run = engine.retrieve(pl.DataFrame({"query_id": ["q"], "query": ["red shoes"]}), depth=10)
>>> run["product_id"].to_list(), run["match.in_title"].cast(pl.Float64).round(4).to_list()
(['p1', 'p2'], [0.3502, 0.096])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import CandidateError, ConfigError, DataError, suggestion
from ltr.frames import check, groups, ranked
from ltr.progress import bar
from ltr.retrieval.fusion import WINDOW, best, reciprocal_ranks
from ltr.retrieval.inverted import Postings, index
from ltr.retrieval.nearest import Vectors, unit_vectors
from ltr.retrieval.pairs import checked
from ltr.text import Analyzer
from ltr.text import analyzer as find_analyzer

if TYPE_CHECKING:
    from ltr.encoders import Encoder

__all__ = ["WINDOW", "Embedded", "build"]


@dataclass(frozen=True, repr=False, eq=False)
class Embedded:
    """An index of one catalogue in memory; get one from ``build``. It implements ``ltr.retrieval.Retriever``."""

    product_ids: pl.Series
    fields: Mapping[str, float]
    match: Mapping[str, str]
    combine: Literal["sum", "best"]
    _analyzer: Analyzer
    _rows: Mapping[str, int]
    _postings: Mapping[str, Postings]
    _vectors: Vectors | None
    _encoder: Encoder | None

    def retrieve(self, queries: pl.DataFrame, *, depth: int) -> pl.DataFrame:
        """Return the best products of each query, at most ``depth``, with match columns; sorted by query_id and rank.

        Raises:
            CandidateError: depth is below 1.
            DataError: queries lack a column, or a query_id occurs twice.
        """
        if depth < 1:
            raise CandidateError(f"depth is {depth}", hint="ask for 1 product a query or more")
        queries = check(queries, "queries").sort("query_id")
        texts = queries["query"].to_list()
        found = _Found(self.match)
        with bar("retrieving", total=len(texts)) as advance:
            for text, similar in zip(texts, self._nearest(texts, max(depth, WINDOW)), strict=True):
                by_field = self._by_field(text)
                scores = self._lexical(by_field)
                if similar is not None:
                    lexical = best(scores, np.flatnonzero(scores), max(depth, WINDOW))
                    scores = reciprocal_ranks([lexical, similar], len(scores))
                rows = best(scores, np.flatnonzero(scores), depth)
                found.add(rows, scores[rows], by_field)
                advance(1)
        sizes = [len(rows) for rows in found.rows]
        run = found.frame(
            query_id=queries["query_id"].gather(np.repeat(np.arange(len(sizes)), sizes)),
            product_id=self.product_ids.gather(_joined(found.rows, np.int64)),
            rank=_joined([np.arange(1, size + 1, dtype=np.uint32) for size in sizes], np.uint32),
        )
        return check(run, "run")

    def score(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Rank the pairs of each query by the retriever's score, with match columns; sorted by query_id and rank.

        Raises:
            CandidateError: a column is missing or has nulls, or one query_id has two texts.
            DataError: a pair occurs twice.
        """
        pairs = checked(pairs).sort("query_id", maintain_order=True)
        offsets = groups(pairs.select("query_id")).offsets
        texts = pairs["query"].gather(offsets[:-1]).to_list()
        every = np.array([self._rows.get(product, -1) for product in pairs["product_id"].to_list()], dtype=np.int64)
        found = _Found(self.match)
        with bar("scoring", total=len(texts)) as advance:
            for text, vector, (start, end) in zip(texts, self._encoded(texts), pairwise(offsets), strict=True):
                rows, by_field = every[start:end], self._by_field(text)
                scores = _gathered(self._lexical(by_field), rows)
                if vector is not None and self._vectors is not None:
                    cosines = self._vectors.cosines(vector, rows)
                    lists = [np.flatnonzero(scores), np.flatnonzero(~np.isnan(cosines))]
                    lists = [best(by, hits, len(rows)) for by, hits in zip((scores, cosines), lists, strict=True)]
                    scores = reciprocal_ranks(lists, len(rows))
                found.add(rows, np.where(rows < 0, np.float32(np.nan), scores), by_field)
                advance(1)
        return ranked(found.frame(query_id=pairs["query_id"], product_id=pairs["product_id"]))

    def matched(self, query: str, product_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The match features alone of one query's products, as ``score`` has them; in the order received, repeated or not."""
        rows = np.array([self._rows.get(product, -1) for product in product_ids], dtype=np.int64)
        terms = self._analyzer(query)
        scores = {field: self._postings[field].scores_of(terms) for field in set(self.match.values())}
        return {feature: _matching(scores[field], rows) for feature, field in self.match.items()}

    def _by_field(self, query: str) -> dict[str, NDArray[np.float32]]:
        terms = self._analyzer(query)
        return {field: postings.scores_of(terms) for field, postings in self._postings.items()}

    def _lexical(self, by_field: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        total = np.zeros(len(self.product_ids), dtype=np.float32)
        for field, weight in self.fields.items():
            scores = np.float32(weight) * by_field[field]
            if self.combine == "best":
                np.maximum(total, scores, out=total)
            else:
                total += scores
        return total

    def _encoded(self, texts: Sequence[str]) -> Sequence[NDArray[np.float32] | None]:
        if self._encoder is None or not texts:
            return [None] * len(texts)
        return list(self._encoder.encode_queries(texts))

    def _nearest(self, texts: Sequence[str], depth: int) -> Iterator[NDArray[np.int64] | None]:
        if self._vectors is None or self._encoder is None or not texts:
            return iter([None] * len(texts))
        return self._vectors.nearest(self._encoder.encode_queries(texts), depth)


def build(
    products: pl.DataFrame,
    *,
    fields: Mapping[str, float],
    analyzer: str,
    match: Mapping[str, str],
    vectors: NDArray[np.float32] | None,
    encoder: Encoder | None,
    combine: Literal["sum", "best"] = "sum",
) -> Embedded:
    """Index a catalogue.

    Args:
        products: a products frame; fields are text or keyword columns, a list of keywords is joined by blanks.
        fields: field -> weight of its BM25 score, 1e-9 to 1e9.
        analyzer: the name of the analyzer of every field and of the queries.
        match: match feature -> the field whose BM25 score it is.
        vectors: one row a product, in the products' order; needs the encoder that made them, for the queries.
        encoder: None exactly where vectors is None.
        combine: what becomes of the fields' scores.

    Raises:
        ConfigError: a field that the catalogue lacks or that is no text, a weight out of bounds, an unknown analyzer,
            vectors without their encoder or of another shape.
        DataError: the catalogue breaks its law or is empty.
        MissingExtraError: bm25s is not installed.
    """
    products = check(products, "products", where="the catalogue")
    if products.is_empty():
        raise DataError("the catalogue has no products", hint="retrieval needs one at least")
    terms = find_analyzer(analyzer)
    if not fields and vectors is None:
        raise ConfigError("[retrieval] has neither fields nor a vector field", hint="name a text field and its weight")
    for field, weight in fields.items():
        # Scores are float32: far beyond these bounds a weighted score would vanish or overflow.
        if not 1e-9 <= weight <= 1e9:
            raise ConfigError(f"the retrieval weight of field {field!r} is {weight}", hint="give 1e-9 to 1e9")
    wanted = {field: f"match feature {feature!r}" for feature, field in match.items()}
    wanted |= dict.fromkeys(fields, "[retrieval] fields")
    postings = {field: index(_texts(products, field, asker), terms) for field, asker in wanted.items()}
    product_ids = products["product_id"]
    return Embedded(
        product_ids=product_ids,
        fields=dict(fields),
        match=dict(match),
        combine=combine,
        _analyzer=terms,
        _rows={product: row for row, product in enumerate(product_ids.to_list())},
        _postings=postings,
        _vectors=_checked_vectors(vectors, encoder, products.height),
        _encoder=encoder,
    )


class _Found:
    """What is found query by query: product rows (−1 = unknown), their scores and match scores."""

    def __init__(self, match: Mapping[str, str]) -> None:
        self.rows: list[NDArray[np.int64]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._match = {feature: (field, list[NDArray[np.float32]]()) for feature, field in match.items()}

    def add(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], by_field: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self.rows.append(rows)
        self._scores.append(scores)
        for field, columns in self._match.values():
            columns.append(_matching(by_field[field], rows))

    def frame(self, **leading: Any) -> pl.DataFrame:
        match = {f"match.{feature}": _joined(columns, np.float32) for feature, (_, columns) in self._match.items()}
        return pl.DataFrame({**leading, "score": _joined(self._scores, np.float32), **match})


def _joined(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts])


def _gathered(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.where(rows < 0, np.float32(0), values[rows])


def _matching(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores of a field as a feature: NaN where it does not match."""
    own = _gathered(values, rows)
    return np.where(own > 0, own, np.float32(np.nan))


def _checked_vectors(vectors: NDArray[np.float32] | None, encoder: Encoder | None, products: int) -> Vectors | None:
    if (vectors is None) != (encoder is None):
        raise ConfigError("vectors and their encoder go together", hint="give both or neither")
    if vectors is None or encoder is None:
        return None
    needed = (products, encoder.dimension)
    if vectors.shape != needed:
        raise ConfigError(
            f"the vectors have shape {vectors.shape}; the catalogue and encoder {encoder.name!r} need {needed}",
            hint="encode the catalogue again",
        )
    return unit_vectors(vectors)


def _texts(products: pl.DataFrame, field: str, asker: str) -> list[str]:
    text_fields = [name for name, dtype in products.schema.items() if name != "product_id" and _is_text(dtype)]
    if field not in text_fields:
        what = f"is {products.schema[field]}" if field in products.columns else "is not in the catalogue"
        hint = suggestion(field, text_fields, noun="text and keyword fields")
        raise ConfigError(f"{asker}: field {field!r} {what}", hint=hint)
    column = products[field]
    if isinstance(column.dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    return column.cast(pl.String).fill_null("").to_list()


def _is_text(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return inner in (pl.String, pl.Categorical, pl.Enum)
