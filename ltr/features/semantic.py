"""Kinds that compare meanings: vectors of the query and of the product's text."""

from __future__ import annotations

from typing import Final

import numpy as np

from ltr.errors import EncoderError
from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, PartParams, finite

__all__ = ["KINDS", "cosine", "sentence_cosine"]


def cosine(columns: Columns, groups: Offsets, *, params: PartParams) -> Floats:
    """Cosine of the encoder's vectors of the query and the field, both of length 1; several fields are joined by ". ".

        cosine = Σ qᵢ · pᵢ

    A part of the query is encoded as a text of its own.
    """
    columns = columns.part(params.part)
    if columns.vectors is None:
        raise EncoderError(f"a cosine over {params.key!r} needs query vectors", hint="give an encoder")
    from ltr.features import kernels

    state = columns.state
    # A plain view: numba takes long to find out what a memory-mapped array is.
    vectors = state.once(("vectors", params.key), lambda: np.asarray(state.vectors[params.key]))
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.cosine(vectors, columns.vectors, columns.rows, groups, state.encoded[params.key], out)
    return out


def sentence_cosine(columns: Columns, groups: Offsets, *, params: PartParams) -> Floats:
    """Cosine of the encoder's vectors of the query and the field's nearest sentence: one line of a long text may answer it.

        sentence_cosine = max over the field's sentences s of  Σ qᵢ · sᵢ

    Sentences end at the end of a line or a full stop; the first 64 of a product count, each encoded by itself.
    """
    columns = columns.part(params.part)
    if columns.vectors is None:
        raise EncoderError(f"a cosine over {params.key!r} needs query vectors", hint="give an encoder")
    told = columns.state.sentences[params.key]
    firsts = told.bounds[columns.rows]
    counts = told.bounds[columns.rows + 1] - firsts
    out = np.full(len(counts), np.nan)
    for group, query in enumerate(columns.vectors):
        known = groups[group] + np.flatnonzero(counts[groups[group] : groups[group + 1]])
        if len(known):
            starts = np.cumsum(counts[known]) - counts[known]
            at = np.arange(counts[known].sum()) + np.repeat(firsts[known] - starts, counts[known])
            # einsum sums each row by itself; a matrix product would round by the shape of the whole.
            out[known] = np.maximum.reduceat(np.einsum("ij,j->i", np.asarray(told.vectors[at]), query), starts)
    return finite(out)


KINDS: Final = {
    "cosine": Kind("query_product", cosine, PartParams, "vectors"),
    "sentence_cosine": Kind("query_product", sentence_cosine, PartParams, "sentences"),
}
