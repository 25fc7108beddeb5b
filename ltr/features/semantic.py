"""Kinds that compare meanings: vectors of the query and of the product's text."""

from __future__ import annotations

from typing import Final

import numpy as np

from ltr.errors import EncoderError
from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, TextParams, finite

__all__ = ["KINDS", "cosine"]


def cosine(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """Cosine of the encoder's vectors of the query and the field, both of length 1; several fields are joined by ". ".

    cosine = Σ qᵢ · pᵢ
    """
    if columns.vectors is None:
        raise EncoderError(f"a cosine over {params.key!r} needs query vectors", hint="give an encoder")
    vectors = columns.state.vectors[params.key]
    # The unknown product's row, beyond the last vector, stands for any: it becomes NaN below.
    rows = np.minimum(columns.rows, max(len(vectors) - 1, 0))
    out = np.full(len(rows), np.nan)
    if len(vectors):
        for group, query in enumerate(columns.vectors):
            start, stop = groups[group], groups[group + 1]
            # einsum sums each row by itself; a matrix product would round by the shape of the whole.
            out[start:stop] = np.einsum("ij,j->i", np.asarray(vectors[rows[start:stop]]), query)
    return finite(np.where(columns.state.encoded[params.key][columns.rows], out, np.nan))


KINDS: Final = {"cosine": Kind("query_product", cosine, TextParams, "vectors")}
