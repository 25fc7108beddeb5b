"""Kinds that ask for some of the query's terms alone: its numbers, its head, the rarest that is not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.features import negation
from ltr.features.columns import Columns, Query
from ltr.features.lexical import frequencies
from ltr.features.params import Floats, Kind, Offsets, PartParams, TextParams
from ltr.text import analyzer

__all__ = ["KINDS", "head", "heaviest_missing", "number_coverage"]


def number_coverage(columns: Columns, groups: Offsets, *, params: PartParams) -> Floats:
    """The share of the query's terms with a digit that occur in the field: sizes, models, years.

        number_coverage = |terms with a digit that occur| / |terms with a digit|

    NaN for a query without such a term.
    """
    columns = columns.part(params.part)
    return _weighted(columns, groups, params.key, _digits)


def head(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """Whether the field has the query's head: what is looked for, "leggings" in "black leggings for women".

        head = 1 where the last word before the first preposition of the wanted part occurs in the field, else 0

    Of English, where the head ends its noun phrase, and of the analyzers made for it; NaN under others. "w" stands for
    "w/"; only prepositions that seldom belong to a name count: for, with, from. A query that is a name has no head, and
    its last word is taken for one.
    """
    columns = columns.part("wanted")
    return _weighted(columns, groups, params.key, _head)


def heaviest_missing(columns: Columns, groups: Offsets, *, params: PartParams) -> Floats:
    """The greatest idf among the query's terms that the field lacks: what a product misses most.

        heaviest_missing = max idf(t) over the query's terms t that do not occur;  0 where all do

    A term that no product has weighs most. NaN for a query without terms.
    """
    from ltr.features import kernels

    columns = columns.part(params.part)
    found = frequencies(columns, groups, params.key)
    terms, ends = columns.terms
    out = np.empty(len(columns.rows), dtype=np.float32)
    lengths, idf = found.tokens.lengths, found.tokens.idf[terms]
    kernels.heaviest(found.tf, found.starts, idf, lengths, columns.rows, groups, ends, out)
    return out


KINDS: Final = {
    "number_coverage": Kind("query_product", number_coverage, PartParams, "tokens"),
    "head": Kind("query_product", head, TextParams, "tokens"),
    "heaviest_missing": Kind("query_product", heaviest_missing, PartParams, "tokens"),
}


def _weighted(columns: Columns, groups: Offsets, key: str, weigh: Callable[[Query], Sequence[bool]]) -> Floats:
    """The share of the terms that count which occur in the field."""
    from ltr.features import kernels

    found = frequencies(columns, groups, key)
    _, ends = columns.terms
    weights = columns.once(weigh, lambda: _weights(columns, weigh))
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.weighted(found.tf, found.starts, weights, found.tokens.lengths, columns.rows, groups, ends, out)
    return out


def _weights(columns: Columns, weigh: Callable[[Query], Sequence[bool]]) -> NDArray[np.float64]:
    return np.array([counts for query in columns.queries for counts in weigh(query)], dtype=np.float64)


def _digits(query: Query) -> list[bool]:
    return [any(map(str.isdecimal, word)) for word in query.words]


def _head(query: Query) -> list[bool]:
    """Which of the query's terms is its head; none where there is no telling."""
    prepositions = negation.PREPOSITIONS.get(negation.language(query.analyzer))
    counts = [False] * len(query.words)
    if prepositions is None:
        return counts
    words = analyzer("standard")(query.text)
    cut = next((at for at, word in enumerate(words) if at and word in prepositions), len(words))
    stop = negation.STOP.get(negation.language(query.analyzer), frozenset())
    for word in reversed(words[:cut]):
        term = next(iter(analyzer(query.analyzer)(word)), None)
        if word not in stop and term in query.words:
            counts[query.words.index(term)] = True
            break
    return counts
