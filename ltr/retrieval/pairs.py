"""Queries and the products that were judged for them, as ``Retriever.score`` takes them."""

from __future__ import annotations

import polars as pl

from ltr.errors import CandidateError, DataError
from ltr.frames import check

__all__ = ["checked"]


def checked(pairs: pl.DataFrame) -> pl.DataFrame:
    """The columns query_id, query and product_id, without nulls and with one text a query_id; else CandidateError."""
    columns = {"query_id": pl.String, "query": pl.String, "product_id": pl.String}
    if missing := [column for column in columns if column not in pairs.columns]:
        raise CandidateError(f"the pairs lack {missing}", hint=f"they have {pairs.columns} and need {list(columns)}")
    pairs = pairs.select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    if empty := [column for column in columns if pairs[column].null_count()]:
        raise CandidateError(f"the pairs have nulls in {empty}", hint="fill or remove those rows")
    try:
        check(pairs.select("query_id", "query").unique(), "queries", where="the pairs")
    except DataError as error:
        raise CandidateError(f"one query has two texts: {error}", hint="give each text its own query_id") from error
    return pairs
