"""Kinds about the query alone: they tell a ranker which other features to trust.

The idf of a term is that of the field named; a term that no product has weighs most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, Params, TextParams

__all__ = ["KINDS", "query_has_digit", "query_length", "query_max_idf", "query_mean_idf"]


def query_length(columns: Columns, groups: Offsets, *, params: Params) -> Floats:
    """The query's length.

    query_length = number of terms, at most 64
    """
    return np.array([len(query.terms) for query in columns.queries], dtype=np.float32)


def query_has_digit(columns: Columns, groups: Offsets, *, params: Params) -> Floats:
    """Whether the query has a digit: a size, a year, a model number.

    query_has_digit = 1 where a character is a decimal digit, else 0
    """
    return np.array([any(map(str.isdecimal, query.plain)) for query in columns.queries], dtype=np.float32)


def query_mean_idf(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """Mean inverse document frequency of the query's terms in a field; NaN for a query without terms.

    query_mean_idf = Σ idf(t) / (number of terms)
    """
    idf = columns.state.tokens[params.key].idf
    return _of_terms(columns, idf, lambda terms: sum(terms) / len(terms))


def query_max_idf(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """Highest inverse document frequency among the query's terms in a field; NaN for a query without terms.

    query_max_idf = max idf(t)
    """
    idf = columns.state.tokens[params.key].idf
    return _of_terms(columns, idf, max)


KINDS: Final = {
    "query_length": Kind("query", query_length),
    "query_has_digit": Kind("query", query_has_digit),
    "query_mean_idf": Kind("query", query_mean_idf, TextParams, "tokens"),
    "query_max_idf": Kind("query", query_max_idf, TextParams, "tokens"),
}


def _of_terms(columns: Columns, idf: NDArray[np.float64], summary: Callable[[list[float]], float]) -> Floats:
    weights: list[list[float]] = [idf[query.terms].tolist() for query in columns.queries]
    return np.array([summary(found) if found else np.nan for found in weights], dtype=np.float32)
