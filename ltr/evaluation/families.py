"""Each measure over a whole run: by query its numerator and its denominator, as sums over the hits.

``ltr.measures.formulas`` says the same list by list, and the tests hold the two equal. A denominator of 0 leaves the value
to the empty-query rule; a measure that is defined for every query has a denominator above 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.evaluation.alignment import Aligned, ordinals

__all__ = ["BY_QUERY", "NO_CUTOFF", "Policy", "Values"]

Values = NDArray[np.float64]

# A rank that no list reaches.
NO_CUTOFF: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Policy:
    """A measure's parameters, its own or the evaluation's."""

    cutoff: int
    gains: Values
    rel: float
    maximum: int
    p: float
    ideal_of_list: bool

    @property
    def whole(self) -> bool:
        """Whether the measure looks at more of a list than its cutoff."""
        return self.cutoff == NO_CUTOFF or self.ideal_of_list


def _ndcg(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    hits = a.rank <= policy.cutoff
    found = a.total(policy.gains[a.grade[hits]] / np.log2(a.rank[hits] + 1), a.query[hits])
    return found, _ideal(a, policy)


def _ideal(a: Aligned, policy: Policy) -> Values:
    """DCG of the best order. Its terms are summed one by one as a run's are, so that a perfect list has exactly 1."""
    best = np.argsort(-policy.gains, kind="stable")
    best = best[policy.gains[best] > 0]
    counts = _listed(a) if policy.ideal_of_list else a.judged
    # Of each grade as many as the better ones leave room for.
    counts = np.diff(np.minimum(np.cumsum(counts[:, best], axis=1), policy.cutoff), axis=1, prepend=0)
    per_query = counts.sum(axis=1)
    gains = np.repeat(np.tile(policy.gains[best], len(a)), counts.ravel())
    return a.total(gains / np.log2(ordinals(per_query) + 1), np.repeat(np.arange(len(a)), per_query))


def _listed(a: Aligned) -> NDArray[np.int64]:
    """How many products of a grade each list holds."""
    grades = a.judged.shape[1]
    return np.bincount(a.query * grades + a.grade, minlength=len(a) * grades).reshape(len(a), grades)


def _expected_reciprocal_rank(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    hits = a.rank <= policy.cutoff
    query, rank = a.query[hits], a.rank[hits]
    stops = (np.exp2(a.grade[hits]) - 1) / 2.0**policy.maximum
    sizes = np.bincount(query, minlength=len(a))
    starts = np.cumsum(sizes) - sizes
    value, onward = np.zeros(len(a)), np.ones(len(a))
    # Hit by hit down all lists at once: what is left of the search goes on to the next.
    for depth in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > depth)
        hit = starts[longer] + depth
        value[longer] += onward[longer] * stops[hit] / rank[hit]
        onward[longer] *= 1 - stops[hit]
    return value, np.ones(len(a))


def _rank_biased_precision(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    hits = _relevant_hits(a, policy)
    seen = a.total(np.power(policy.p, a.rank[hits] - 1.0, dtype=np.float64), a.query[hits])
    return (1 - policy.p) * seen, np.ones(len(a))


def _binary_preference(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    hits = _relevant_hits(a, policy)
    query, relevant = a.query[hits], _relevant(a, policy)
    above = ordinals(np.bincount(a.query, minlength=len(a)))[hits] - ordinals(np.bincount(query, minlength=len(a)))
    bound = np.minimum(a.judged.sum(axis=1) - relevant, relevant)
    # Where none is above, none need be judged: the bound of such a query may be 0.
    lost = np.minimum(above, relevant[query]) / np.maximum(bound, 1)[query]
    return a.total(1 - lost, query), relevant


def _reciprocal_rank(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    hits = _relevant_hits(a, policy)
    query, rank = a.query[hits], a.rank[hits]
    first = np.ones(len(query), dtype=bool)
    first[1:] = query[1:] != query[:-1]
    return a.total(1 / rank[first], query[first]), np.minimum(_relevant(a, policy), 1)


def _average_precision(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    hits = _relevant_hits(a, policy)
    query = a.query[hits]
    ordinal = ordinals(np.bincount(query, minlength=len(a)))
    return a.total(ordinal / a.rank[hits], query), _relevant(a, policy)


def _recall(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    return _count(a, _relevant_hits(a, policy)), _relevant(a, policy)


def _success(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    return np.minimum(_count(a, _relevant_hits(a, policy)), 1), np.minimum(_relevant(a, policy), 1)


def _precision(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    return _count(a, _relevant_hits(a, policy)), np.full(len(a), float(policy.cutoff))


def _judged(a: Aligned, policy: Policy) -> tuple[Values, Values]:
    shown = np.minimum(a.retrieved, policy.cutoff)
    return _count(a, a.rank <= policy.cutoff), np.maximum(shown, 1).astype(np.float64)


# A name of measures.FAMILIES -> its numerator and denominator by query.
BY_QUERY: Final[dict[str, Callable[[Aligned, Policy], tuple[Values, Values]]]] = {
    "AP": _average_precision,
    "ERR": _expected_reciprocal_rank,
    "Judged": _judged,
    "P": _precision,
    "RBP": _rank_biased_precision,
    "RR": _reciprocal_rank,
    "Recall": _recall,
    "Success": _success,
    "bpref": _binary_preference,
    "nDCG": _ndcg,
}


def _relevant_hits(a: Aligned, policy: Policy) -> NDArray[np.bool_]:
    return (a.grade >= policy.rel) & (a.rank <= policy.cutoff)


def _relevant(a: Aligned, policy: Policy) -> Values:
    least = math.ceil(policy.rel)
    relevant: Values = a.judged[:, least:].sum(axis=1, dtype=np.float64)
    return relevant


def _count(a: Aligned, hits: NDArray[np.bool_]) -> Values:
    return np.bincount(a.query[hits], minlength=len(a)).astype(np.float64)
