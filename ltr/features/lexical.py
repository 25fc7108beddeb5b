"""Kinds that compare the terms of a query with those of a field.

Terms are what the feature set's analyzer makes of both. A query's terms count as often as it repeats them. A product that
the catalogue lacks, and a field that is null or without terms, is missing (NaN).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, PartParams, TextParams
from ltr.features.terms import Tokens

__all__ = [
    "KINDS",
    "Frequencies",
    "bm25",
    "coverage",
    "frequencies",
    "keyword",
    "length",
    "phrase",
    "unmatched",
]

Per = Annotated[Literal["query", "field"], Field(description="what the count is divided by")]


class Bm25Params(PartParams):
    """Saturation and length normalisation."""

    k1: float = Field(1.2, ge=0, description="saturation of tf")
    b: float = Field(0.75, ge=0, le=1, description="length normalisation")


class CoverageParams(PartParams):
    """Weights of the terms."""

    idf: bool = Field(False, description="weigh terms by their idf in the field")


class PhraseParams(PartParams):
    """The denominator."""

    per: Per = "query"


class KeywordParams(TextParams):
    """The denominator."""

    per: Per = "field"


@dataclass(frozen=True)
class Frequencies:
    """How often each query term occurs in each candidate; laid out as ``kernels.frequencies`` says."""

    tokens: Tokens
    tf: NDArray[np.int32]
    starts: Offsets
    hits: NDArray[np.int32]


def bm25(columns: Columns, groups: Offsets, *, params: Bm25Params) -> Floats:
    """BM25 as Lucene has it since 8.0 (Robertson & Zaragoza, FnTIR 2009); see ltr.text.bm25.

        bm25 = Σ idf(t) · tf / (tf + k1 · (1 − b + b · length / average length)),  over the query's terms t

    NaN, of the part unwanted, where the query excludes nothing.
    """
    from ltr.features import kernels

    columns = columns.part(params.part)
    found = frequencies(columns, groups, params.key)
    tokens, (terms, ends) = found.tokens, columns.terms
    norms = columns.state.once(("norms", params.key, params.k1, params.b), lambda: _norms(tokens, params))
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.bm25(found.tf, found.starts, tokens.idf[terms], norms, columns.rows, groups, ends, out)
    if params.part == "unwanted":
        out[columns.of_query("terms", groups) == 0] = np.nan
    return out


def coverage(columns: Columns, groups: Offsets, *, params: CoverageParams) -> Floats:
    """Query coverage: the share of the query's terms that occur in the field.

        coverage = Σ w(t) · [t occurs] / Σ w(t),  over the query's terms t;  w = 1, or idf(t) with idf = true

    A term that no product has weighs most. NaN for a query without terms.
    """
    from ltr.features import kernels

    columns = columns.part(params.part)
    found = frequencies(columns, groups, params.key)
    terms, ends = columns.terms
    weights = found.tokens.idf[terms] if params.idf else np.ones(len(terms))
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.weighted(found.tf, found.starts, weights, found.tokens.lengths, columns.rows, groups, ends, out)
    return out


def unmatched(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """The share of the field's terms that the query does not contain: "iron man" leaves out a third of "Iron Man 3".

    unmatched = (terms of the field not in the query) / (terms of the field)
    """
    found = frequencies(columns, groups, params.key)
    lengths = found.tokens.lengths[columns.rows]
    return _ratio(lengths - found.hits, lengths)


def phrase(columns: Columns, groups: Offsets, *, params: PhraseParams) -> Floats:
    """Ordered proximity: the longest run of consecutive query terms that the field has consecutively, in that order.

        phrase = (longest run) / (terms of the query, or with per = "field" of the field)

    A run never goes from one value of a list to the next. NaN for a query without terms.
    """
    from ltr.features import kernels

    columns = columns.part(params.part)
    tokens = columns.state.tokens[params.key]
    terms, ends = columns.terms

    def longest() -> NDArray[np.int32]:
        out = np.empty(len(columns.rows), dtype=np.int32)
        kernels.runs(tokens.ids, tokens.bounds, columns.rows, groups, terms, ends, out)
        return out

    run = columns.once(("runs", params.key), longest)
    return _per(params.per, run, columns, groups, tokens.lengths)


def keyword(columns: Columns, groups: Offsets, *, params: KeywordParams) -> Floats:
    """Values named: the share of a field's values (brands, genres, people) all of whose terms the query has.

    keyword = (values named) / (values),  or with per = "query" (query terms in a value named) / (query terms)
    """
    from ltr.features import kernels

    tokens = columns.state.tokens[params.key]
    terms, ends = columns.terms

    def count() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        named, held, covered = np.zeros((3, len(columns.rows)), dtype=np.int32)
        kernels.values(tokens.ids, tokens.bounds, columns.rows, groups, terms, ends, named, held, covered)
        return named, held, covered

    named, held, covered = columns.once(("values", params.key), count)
    if params.per == "query":
        return _per("query", covered, columns, groups, tokens.lengths)
    return _ratio(named, held)


def length(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """The field's length.

    length = number of terms
    """
    lengths = columns.state.tokens[params.key].lengths[columns.rows]
    return np.where(lengths > 0, lengths, np.nan).astype(np.float32)


KINDS: Final = {
    "bm25": Kind("query_product", bm25, Bm25Params, "tokens"),
    "coverage": Kind("query_product", coverage, CoverageParams, "tokens"),
    "unmatched": Kind("query_product", unmatched, TextParams, "tokens"),
    "phrase": Kind("query_product", phrase, PhraseParams, "tokens"),
    "keyword": Kind("query_product", keyword, KeywordParams, "tokens"),
    "length": Kind("product", length, TextParams, "tokens"),
}


def frequencies(columns: Columns, groups: Offsets, key: str) -> Frequencies:
    """Occurrences of the queries' terms in one field: counted once for all kinds that read the field."""
    from ltr.features import kernels

    def count() -> Frequencies:
        tokens = columns.state.tokens[key]
        terms, ends = columns.terms
        starts = columns.once("starts", lambda: _starts(groups, ends))
        if parts := columns.state.parts(key):
            # What is read as one has the terms of its fields, which most sets count anyway.
            found = [frequencies(columns, groups, part) for part in parts]
            tf, hits = sum(one.tf for one in found), sum(one.hits for one in found)
            return Frequencies(tokens, np.asarray(tf), starts, np.asarray(hits))
        tf = np.zeros(starts[-1], dtype=np.int32)
        hits = np.zeros(len(columns.rows), dtype=np.int32)
        kernels.frequencies(tokens.ids, tokens.bounds, columns.rows, groups, terms, ends, starts, tf, hits)
        return Frequencies(tokens, tf, starts, hits)

    return columns.once(("frequencies", key), count)


def _starts(groups: Offsets, ends: Offsets) -> Offsets:
    """Where each list's frequencies begin: a row of its query's terms for each of its candidates."""
    starts = np.zeros(len(groups), dtype=np.int64)
    np.cumsum((groups[1:] - groups[:-1]) * (ends[1:] - ends[:-1]), out=starts[1:])
    return starts


def _norms(tokens: Tokens, params: Bm25Params) -> NDArray[np.float64]:
    """What is added to tf in BM25's denominator, for each row of the catalogue; NaN where it has no terms."""
    norms = params.k1 * (1 - params.b + params.b * tokens.lengths / tokens.average_length)
    return np.where(tokens.lengths > 0, norms, np.nan)


def _per(per: Per, count: NDArray[np.int32], columns: Columns, groups: Offsets, lengths: NDArray[np.float64]) -> Floats:
    """A count over the terms of the query or of the field; NaN where either has none."""
    from ltr.features import kernels

    out = np.empty(len(count), dtype=np.float32)
    kernels.share(count, lengths, columns.rows, groups, columns.terms[1], per == "query", out)
    return out


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Part over whole; NaN where the whole is 0."""
    out = np.full(len(part), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out.astype(np.float32)
