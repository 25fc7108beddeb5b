"""Kinds that are learnt from judgments: what the queries that came before wanted of a product.

They need judged queries (``ltr.features.memory``), which each split takes from its own fit side; a list never sees the
judgments of its own query, nor of queries in its fold.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ltr.errors import BundleMismatchError, EncoderError
from ltr.features.columns import Columns, Query
from ltr.features.memory import Memory
from ltr.features.params import Floats, Form, Kind, Offsets, Params, TextParams, finite

__all__ = ["KINDS", "judged_count", "judged_intent", "judged_neighbours", "judged_rate"]


class RateParams(Params):
    """Of a product's rate."""

    smoothing: float = Field(5.0, gt=0, description="judgments that the mean of all products counts for")


class IntentParams(TextParams):
    """Of a query's intent."""

    smoothing: float = Field(5.0, gt=0, description="queries that the mean of all words counts for")


class NeighbourParams(RateParams):
    """Of neighbours."""

    by: Literal["cosine", "ngram"] = Field(description="what makes queries alike")
    says: Literal["grade", "weight", "relevant", "irrelevant"] = Field(
        "grade", description="their grade; their weight together; the nearest that wanted it, or that did not"
    )
    bandwidth: float = Field(0.1, gt=0, description="h: how fast the weight falls with the similarity")
    pull: float = Field(0.1, gt=0, description="weight of the product's own rate beside the neighbours'")

    def encodes(self, form: Form | None) -> bool:
        """Likeness of meaning compares vectors."""
        return self.by == "cosine"


def judged_rate(columns: Columns, groups: Offsets, *, params: RateParams) -> Floats:
    """How much a product is wanted where it is judged: its mean gain over other queries, smoothed towards all products'.

    rate = (Σ w·g + m·mean) / (Σ w + m),  over the judgments of the product by queries outside the list's fold

    g is the gain ÷ the greatest gain, w the judgment's weight, m the smoothing (a Beta prior's strength).
    """
    return _of_product(
        columns, groups, ("rate", params.smoothing), lambda rows, lists: _rate(rows, lists, params.smoothing)
    )


def judged_count(columns: Columns, groups: Offsets, *, params: Params) -> Floats:
    """How many other queries the product was judged for.

    count = Σ w,  over the judgments of the product by queries outside the list's fold
    """
    return _of_product(columns, groups, "count", lambda rows, lists: _sums(rows, lists)[1])


def judged_neighbours(columns: Columns, groups: Offsets, *, params: NeighbourParams) -> Floats:
    """What queries like this one wanted of the product (kernel regression: Nadaraya 1964, Watson 1964).

    grade = (Σ w·k·g + pull·rate) / (Σ w·k + pull),  k = exp((s − 1) / bandwidth)

    s is the cosine of the query vectors, or of the sets of character trigrams weighted by log((N + 1) / (df + ½)).
    ``weight`` is Σ w·k; ``relevant`` and ``irrelevant`` are the greatest s among queries for which the product has at
    least half of the greatest gain, or less; NaN where there are none.
    """
    from ltr.features import neighbours

    memory = _memory(columns)
    key = ("neighbours", params.by, params.bandwidth, params.pull, params.smoothing)

    def make() -> NDArray[np.float64]:
        starts, found = _similarities(columns, memory, groups, params.by)
        rate = _rate(columns, groups, params.smoothing)
        out = np.empty((len(columns.rows), 4))
        neighbours.told(
            columns.rows, groups, _own(columns, groups), memory.bounds, memory.asked, memory.values, memory.weights,
            memory.folds, starts, found, rate, params.bandwidth, params.pull, out,
        )  # fmt: skip
        return out

    told = columns.once(key, make)
    return _known(columns, told[:, ("grade", "weight", "relevant", "irrelevant").index(params.says)])


def judged_intent(columns: Columns, groups: Offsets, *, params: IntentParams) -> Floats:
    """Whether the query speaks of this field: how far the field answered other queries with the same words.

        intent = mean over the query's terms t of (Σ share + m·mean) / (n(t) + m),  over queries with t outside the list's fold

    A query's share is that of its terms that the field has, averaged over its relevant products (at least half of the
    greatest gain). NaN for a query without terms.
    """
    memory, state = _memory(columns), columns.state
    folds = _own(columns, groups)
    out = np.full(len(columns.queries), np.nan)
    for group, query in enumerate(columns.queries):

        def terms(text: str, like: Query = query) -> NDArray[np.int32]:
            return replace(like, text=text).terms

        told = memory.answers(params.key, state.tokens[params.key], terms)
        asked = query.terms
        if not len(asked):
            continue
        seen = np.ones(told.counts.shape[1], dtype=np.bool_)
        if folds[group] >= 0:
            seen[folds[group]] = False
        known = asked[asked >= 0]
        count, share = told.counts[known][:, seen].sum(axis=1), told.shares[known][:, seen].sum(axis=1)
        mean = told.means[folds[group]]
        learnt = (share + params.smoothing * mean) / (count + params.smoothing)
        # A word that the catalogue lacks is one that no query has taught anything.
        out[group] = (learnt.sum() + mean * (len(asked) - len(known))) / len(asked)
    return finite(out)


def _of_product(
    columns: Columns, groups: Offsets, key: Hashable, make: Callable[[Columns, Offsets], NDArray[np.float64]]
) -> Floats:
    """Values that differ by product and fold; those that no fold is kept from are worked out once, for all products."""
    if columns.own is not None:
        return _known(columns, make(columns, groups))
    memory = _memory(columns)

    def every() -> Floats:
        rows = np.arange(memory.products + 1, dtype=np.int64)
        catalogue = Columns(columns.state, [], rows, memory=memory, own=np.array([-1], dtype=np.int64))
        return _known(catalogue, make(catalogue, np.array([0, len(rows)], dtype=np.int64)))

    values: Floats = memory.once(key, every)[columns.rows]
    return values


def _sums(columns: Columns, groups: Offsets) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each row's judgments: the weighted sum of their values, and their weight."""
    from ltr.features import neighbours

    memory = _memory(columns)

    def make() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        total, weight = np.empty(len(columns.rows)), np.empty(len(columns.rows))
        neighbours.sums(
            columns.rows, groups, _own(columns, groups), memory.bounds, memory.asked, memory.values, memory.weights,
            memory.folds, total, weight,
        )  # fmt: skip
        return total, weight

    return columns.once("judged", make)


def _rate(columns: Columns, groups: Offsets, smoothing: float) -> NDArray[np.float64]:
    total, weight = _sums(columns, groups)
    means = np.repeat(_memory(columns).means[_own(columns, groups)], np.diff(groups))
    smoothed: NDArray[np.float64] = (total + smoothing * means) / (weight + smoothing)
    return smoothed


def _similarities(columns: Columns, memory: Memory, groups: Offsets, by: str) -> tuple[Offsets, NDArray[np.float64]]:
    """Where each row's similarities begin, and the similarity of its query to each query that judged the product."""
    from ltr.features import neighbours

    counts = memory.bounds[columns.rows + 1] - memory.bounds[columns.rows]
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    found = np.empty(int(starts[-1]))
    where = (columns.rows, groups, memory.bounds, memory.asked)
    if by == "cosine":
        if columns.vectors is None or memory.vectors.shape[1] != columns.vectors.shape[1]:
            raise EncoderError("judged_neighbours by cosine needs query vectors", hint="give the encoder of the memory")
        neighbours.by_meaning(*where, memory.vectors, np.ascontiguousarray(columns.vectors), starts, found)
        return starts, found
    asked, ends = columns.trigrams
    known, weights, unknown = memory.gram_weights
    at = np.searchsorted(known, asked)
    there = at < len(known)
    there[there] = known[at[there]] == asked[there]
    each = np.full(len(asked), unknown)
    each[there] = weights[at[there]]
    order = np.lexsort((asked, np.repeat(np.arange(len(ends) - 1), np.diff(ends))))
    grams, norms = memory.weighed
    neighbours.by_spelling(
        *where, memory.grams, grams, memory.ends, norms, asked[order], each[order], ends, starts, found
    )
    return starts, found


def _memory(columns: Columns) -> Memory:
    if columns.memory is None:
        raise BundleMismatchError("features that are learnt need judged queries", hint="give the memory")
    return columns.memory


def _own(columns: Columns, groups: Offsets) -> NDArray[np.int64]:
    return np.full(len(groups) - 1, -1, dtype=np.int64) if columns.own is None else columns.own


def _known(columns: Columns, values: NDArray[np.float64]) -> Floats:
    """NaN for a product that the catalogue lacks."""
    return finite(np.where(columns.rows < len(columns.state), values, np.nan))


KINDS: Final = {
    "judged_rate": Kind("query_product", judged_rate, RateParams, learnt=True),
    "judged_count": Kind("query_product", judged_count, Params, learnt=True),
    "judged_intent": Kind("query", judged_intent, IntentParams, "tokens", learnt=True),
    "judged_neighbours": Kind("query_product", judged_neighbours, NeighbourParams, learnt=True),
}
