"""Kinds that see all candidates of a list: what a value is worth beside the others.

They read a number field, or another feature before its ``missing`` is filled in. A missing value stays missing and
counts neither in the mean nor among the others.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, ValueParams

__all__ = ["KINDS", "rank_in_list", "relative"]


class RankParams(ValueParams):
    """The scale of the rank."""

    scale: Literal["share", "rank"] = Field(
        "share", description="share: the greatest is nearest 1; rank: the greatest is 1"
    )


def relative(columns: Columns, groups: Offsets, *, params: ValueParams) -> Floats:
    """The value relative to the list.

        relative = x / (mean of x over the candidates that have one)

    NaN where the mean is 0.
    """
    from ltr.features import kernels

    values = _values(columns, params)
    out = np.empty(len(values), dtype=np.float32)
    kernels.relative(values, groups, out)
    return out


def rank_in_list(columns: Columns, groups: Offsets, *, params: RankParams) -> Floats:
    """The value's rank in the list, the greatest first; ties share the mean of their ranks.

    rank  = (values above) + (values equal, itself among them) / 2 + 1/2
    share = (n + 1/2 − rank) / n,  n values in the list: the share below, half of the equals counted
    """
    from ltr.features import kernels

    values = _values(columns, params)
    out = np.empty(len(values), dtype=np.float32)
    kernels.ranks(values, groups, params.scale == "share", out)
    return out


KINDS: Final = {
    "relative": Kind("list", relative, ValueParams, "numbers"),
    "rank_in_list": Kind("list", rank_in_list, RankParams, "numbers"),
}


def _values(columns: Columns, params: ValueParams) -> NDArray[np.float64]:
    if params.of is not None:
        return columns.values[params.of].astype(np.float64)
    return columns.state.numbers[params.field or ""][columns.rows]
