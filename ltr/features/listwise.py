"""Kinds that see all candidates of a list: what a value is worth beside the others.

``relative``, ``rank_in_list`` and ``zscore`` read a number field, or another feature before its ``missing`` is filled in.
A missing value counts neither in the mean nor among the others; it stays missing, but in ``zscore``.

``centroid`` and ``agreement`` take the list itself as a second query (pseudo-relevance feedback: Rocchio, in The SMART
Retrieval System, 1971): what most of its products are like is likely what was meant. ``by`` names the feature whose best
products speak loudest.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, TextParams, ValueParams, finite
from ltr.features.terms import Strings

__all__ = ["KINDS", "agreement", "centroid", "rank_in_list", "relative", "zscore"]


class RankParams(ValueParams):
    """The scale of the rank."""

    scale: Literal["share", "rank"] = Field(
        "share", description="share: the greatest is nearest 1; rank: the greatest is 1"
    )


class ListParams(TextParams):
    """Whose products speak for the list."""

    by: str | None = Field(
        None, description="a feature of the set, not of list scope: w = softmax of its zscore; else all weigh alike"
    )

    @property
    def reads(self) -> dict[str, str]:
        """The feature that weighs."""
        return {"by": self.by} if self.by else {}


def relative(columns: Columns, groups: Offsets, *, params: ValueParams) -> Floats:
    """The value relative to the list.

        relative = x / (mean of x over the candidates that have one)

    NaN where the mean is 0.
    """
    from ltr.features import list_kernels

    values = _values(columns, params)
    out = np.empty(len(values), dtype=np.float32)
    list_kernels.relative(values, groups, out)
    return out


def rank_in_list(columns: Columns, groups: Offsets, *, params: RankParams) -> Floats:
    """The value's rank in the list, the greatest first; ties share the mean of their ranks.

    rank  = (values above) + (values equal, itself among them) / 2 + 1/2
    share = (n + 1/2 − rank) / n,  n values in the list: the share below, half of the equals counted
    """
    from ltr.features import list_kernels

    values = _values(columns, params)
    out = np.empty(len(values), dtype=np.float32)
    list_kernels.ranks(values, groups, params.scale == "share", out)
    return out


def zscore(columns: Columns, groups: Offsets, *, params: ValueParams) -> Floats:
    """The value in standard deviations of the list.

        zscore = (x − mean of x) / (standard deviation of x),  over the candidates that have one

    A missing value is 0, the mean; so are all where the list does not vary (a deviation within 1e-6 of the greatest |x|).
    Lists are alike on this scale whatever the query, which a linear ranker needs.
    """
    from ltr.features import list_kernels

    values = _values(columns, params)
    out = np.empty(len(values), dtype=np.float32)
    list_kernels.zscore(values, groups, out)
    return out


def centroid(columns: Columns, groups: Offsets, *, params: ListParams) -> Floats:
    """Cosine of the product's vector and the weighted mean of its list's vectors.

    centroid = p · c / |c|,  c = Σⱼ wⱼ pⱼ over the list
    """
    vectors, encoded = columns.state.vectors[params.key], columns.state.encoded[params.key][columns.rows]
    out = np.full(len(columns.rows), np.nan)
    weights = _weights(columns, groups, params.by, encoded)
    for group in range(len(groups) - 1):
        span = slice(groups[group], groups[group + 1])
        known = encoded[span]
        if known.any():
            own = np.asarray(vectors[columns.rows[span][known]], dtype=np.float64)
            # einsum sums in the order of the rows; a matrix product would round by the shape of the whole.
            mean = np.einsum("i,ij->j", weights[span][known], own)
            length = np.sqrt(np.einsum("i,i->", mean, mean))
            out[np.flatnonzero(known) + span.start] = np.einsum("ij,j->i", own, mean) / (length or np.nan)
    return finite(out)


def agreement(columns: Columns, groups: Offsets, *, params: ListParams) -> Floats:
    """How much of the list shares the product's values: categories, brands, colours.

        agreement = Σⱼ wⱼ · |A ∩ Aⱼ| / |A|,  A the product's distinct values, the sum over the products that have any

    Values are compared in plain form.
    """
    codes, bounds = columns.state.once(("codes", params.key), lambda: _codes(columns.state.strings[params.key]))
    counts = (bounds[1:] - bounds[:-1])[columns.rows]
    weights = _weights(columns, groups, params.by, counts > 0)
    row = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    own = codes[np.arange(len(row)) - np.repeat(starts - bounds[columns.rows], counts)]
    owner = np.repeat(np.arange(len(groups) - 1), groups[1:] - groups[:-1])
    # Sums go by the order of the rows, so a list's are the same among others.
    _, value = np.unique(owner[row] * (len(codes) + 1) + own, return_inverse=True)
    shared = np.bincount(value, weights=weights[row])[value] if len(row) else np.empty(0)
    total = np.bincount(row, weights=shared, minlength=len(counts))
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan).astype(np.float32)


KINDS: Final = {
    "agreement": Kind("list", agreement, ListParams, "strings"),
    "centroid": Kind("list", centroid, ListParams, "vectors"),
    "zscore": Kind("list", zscore, ValueParams, "numbers"),
    "relative": Kind("list", relative, ValueParams, "numbers"),
    "rank_in_list": Kind("list", rank_in_list, RankParams, "numbers"),
}


def _weights(columns: Columns, groups: Offsets, by: str | None, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each product counts in its list: together 1, nothing where it is not known."""
    from ltr.features import list_kernels

    scores = np.zeros(len(columns.rows), dtype=np.float32)
    if by is not None:
        list_kernels.zscore(columns.values[by].astype(np.float64), groups, scores)
    out = np.empty(len(scores), dtype=np.float64)
    list_kernels.softmax(scores, known, groups, out)
    return out


def _codes(strings: Strings) -> tuple[NDArray[np.int64], Offsets]:
    """Distinct values of each row as numbers, and the bounds of each row."""
    table: dict[str, int] = {}
    cuts = strings.bounds.tolist()
    rows = [dict.fromkeys(strings.values[start:stop]) for start, stop in pairwise(cuts)]
    bounds = np.zeros(len(cuts), dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=bounds[1:])
    return np.array([table.setdefault(value, len(table)) for row in rows for value in row], dtype=np.int64), bounds


def _values(columns: Columns, params: ValueParams) -> NDArray[np.float64]:
    if params.of is not None:
        return columns.values[params.of].astype(np.float64)
    return columns.state.numbers[params.field or ""][columns.rows]
