"""Kinds about the product's own numbers: price, rating, stock, year."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydantic import Field

from ltr.features.columns import Columns
from ltr.features.params import FieldParams, Floats, Kind, Offsets, finite

__all__ = ["KINDS", "NumberParams", "number", "number_in_query"]


class NumberParams(FieldParams):
    """The scale of the value."""

    log: bool = Field(False, description="log(1 + x); NaN for x ≤ −1")
    at_least: float | None = Field(None, allow_inf_nan=False, description="values below it count as missing")


def number(columns: Columns, groups: Offsets, *, params: NumberParams) -> Floats:
    """The value of a number field; a boolean is 0 or 1.

    number = x,  or with log = true  log(1 + x)
    """
    values = columns.state.numbers[params.field][columns.rows]
    if params.at_least is not None:
        values = np.where(values >= params.at_least, values, np.nan)
    if params.log:
        values = np.log1p(values, out=np.full(len(values), np.nan), where=values > -1)
    return finite(values)


def number_in_query(columns: Columns, groups: Offsets, *, params: FieldParams) -> Floats:
    """Whether the query says the value of a number field as a word: a year, a size.

    number_in_query = 1 where a whole number of the query equals the field, else 0
    """
    from ltr.features import kernels

    asked, ends = columns.numbers
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.contains(columns.state.numbers[params.field][columns.rows], groups, asked, ends, out)
    return out


KINDS: Final = {
    "number": Kind("product", number, NumberParams, "numbers"),
    "number_in_query": Kind("query_product", number_in_query, FieldParams, "numbers"),
}
