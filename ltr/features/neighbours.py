"""Loops over the judged queries of each candidate, compiled by numba; see ``ltr.features.kernels`` for how and why.

``rows`` and ``lists`` are those of the kernels; ``bounds`` and ``asked`` say which queries judged a catalogue row;
``starts`` says where a candidate's similarities stand in ``found``, one a query that judged it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ltr.loops import compiled

__all__ = ["by_meaning", "by_spelling", "sums", "told"]


@compiled("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], i8[::1], f8[::1], f8[::1])")
def sums(
    rows: Any, lists: Any, own: Any, bounds: Any, asked: Any, values: Any, weights: Any, folds: Any, total: Any,
    weight: Any,
) -> None:  # fmt: skip
    """Weighted sum of the values of each candidate's judgments by queries outside its list's fold, and their weight."""
    for group in range(len(lists) - 1):
        for pair in range(lists[group], lists[group + 1]):
            graded, count = 0.0, 0.0
            for entry in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                if folds[asked[entry]] != own[group]:
                    graded += weights[entry] * values[entry]
                    count += weights[entry]
            total[pair] = graded
            weight[pair] = count


@compiled("void(i8[::1], i8[::1], i8[::1], i8[::1], f4[:, ::1], f4[:, ::1], i8[::1], f8[::1])", reordered=True)
def by_meaning(
    rows: Any, lists: Any, bounds: Any, asked: Any, vectors: Any, queries: Any, starts: Any, found: Any
) -> None:
    """Cosine of vectors of length 1, each judged query once a list: it may have judged many of the candidates."""
    known = np.full(len(vectors), -1, dtype=np.int64)
    similar = np.empty(len(vectors))
    width = queries.shape[1]
    for group in range(len(lists) - 1):
        own = queries[group]
        for pair in range(lists[group], lists[group + 1]):
            at = starts[pair]
            for entry in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                query = asked[entry]
                if known[query] != group:
                    known[query] = group
                    other = vectors[query]
                    total = np.float32(0.0)
                    for place in range(width):
                        total += own[place] * other[place]
                    similar[query] = total
                found[at] = similar[query]
                at += 1


@compiled(
    "void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], i8[::1], f8[::1], i8[::1], f8[::1], i8[::1], i8[::1], f8[::1])"
)
def by_spelling(
    rows: Any, lists: Any, bounds: Any, asked: Any, grams: Any, weights: Any, ends: Any, norms: Any, own: Any,
    own_weights: Any, own_ends: Any, starts: Any, found: Any,
) -> None:  # fmt: skip
    """Cosine of weighted sets of trigrams, both sorted; each judged query once a list."""
    known = np.full(len(norms), -1, dtype=np.int64)
    similar = np.empty(len(norms))
    for group in range(len(lists) - 1):
        squared = 0.0
        for place in range(own_ends[group], own_ends[group + 1]):
            squared += own_weights[place] * own_weights[place]
        for pair in range(lists[group], lists[group + 1]):
            at = starts[pair]
            for entry in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                query = asked[entry]
                if known[query] != group:
                    known[query] = group
                    left, right, total = own_ends[group], ends[query], 0.0
                    while left < own_ends[group + 1] and right < ends[query + 1]:
                        if own[left] == grams[right]:
                            total += own_weights[left] * weights[right]
                            left += 1
                            right += 1
                        elif own[left] < grams[right]:
                            left += 1
                        else:
                            right += 1
                    norm = math.sqrt(squared) * norms[query]
                    similar[query] = total / norm if norm > 0.0 else 0.0
                found[at] = similar[query]
                at += 1


@compiled(
    "void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8, f8, f8[:, ::1])"
)
def told(
    rows: Any, lists: Any, own: Any, bounds: Any, asked: Any, values: Any, weights: Any, folds: Any, starts: Any,
    found: Any, rate: Any, bandwidth: Any, pull: Any, out: Any,
) -> None:  # fmt: skip
    """Grade, weight, and the greatest similarity of a query that wanted the product and of one that did not."""
    for group in range(len(lists) - 1):
        for pair in range(lists[group], lists[group + 1]):
            total, count, relevant, irrelevant = 0.0, 0.0, -math.inf, -math.inf
            at = starts[pair]
            for entry in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                if folds[asked[entry]] != own[group]:
                    weight = weights[entry] * math.exp((found[at] - 1.0) / bandwidth)
                    total += weight * values[entry]
                    count += weight
                    if values[entry] >= 0.5:
                        relevant = max(relevant, found[at])
                    else:
                        irrelevant = max(irrelevant, found[at])
                at += 1
            out[pair, 0] = (total + pull * rate[pair]) / (count + pull)
            out[pair, 1] = count
            out[pair, 2] = relevant if relevant > -math.inf else math.nan
            out[pair, 3] = irrelevant if irrelevant > -math.inf else math.nan
