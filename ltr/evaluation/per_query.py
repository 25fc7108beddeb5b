"""Measures of a run, query by query.

Every query of the judgments has a value: one that the run lacks has an empty list, and so 0. Queries that only the run
has are left out: nothing is known about them. Unjudged products count as grade zero, relevant products that were not
retrieved count in the ideal, and weights of judgments do not enter. Ranks are taken as they are, so ties are already broken.

The empty-query rule, in one place. A query without a relevant product leaves some measures 0 ÷ 0:

    measure           such a query is one with                     value
    nDCG              no judged product whose gain is above 0      by the rule: skip NaN, zero 0, one 1
    RR, AP, Recall    no judged product with a grade ≥ rel         by the rule
    P, Judged         (defined all the same)                       0, and the judged share

"skip" leaves the query out of means and comparisons; trec_eval's own values are those of "zero".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, JudgmentError, MeasureError, suggestion
from ltr.evaluation.alignment import Aligned, align
from ltr.frames import check
from ltr.measures import Measure, Scale, gain_table

__all__ = ["EMPTY", "evaluate"]

EMPTY: Final = {"skip": np.nan, "zero": 0.0, "one": 1.0}


def evaluate(
    run: pl.DataFrame,
    judgments: pl.DataFrame,
    measures: Sequence[Measure],
    *,
    gains: NDArray[np.float64],
    scale: Scale,
    rel: float = 1,
    empty: Literal["skip", "zero", "one"] = "skip",
) -> pl.DataFrame:
    """One row a query of the judgments, sorted by query_id, and one Float64 column a measure.

    Args:
        run: the lists; see frames.
        judgments: whole grades of the scale.
        measures: a measure that is named twice has one column.
        gains: gain by grade, for nDCG without gains of its own.
        scale: of the judgments.
        rel: the least relevant grade, for RR, AP, P and Recall without a rel of their own.
        empty: the empty-query rule, see above.
    """
    wanted = list(dict.fromkeys(measures))
    if not wanted:
        raise MeasureError("no measures are named", hint="give at least one, such as nDCG@10")
    if empty not in EMPTY:
        raise ConfigError(f"empty-query rule {empty!r} is unknown", hint=suggestion(empty, EMPTY, noun="rules"))
    run, judgments = check(run, "run"), check(judgments, "judgments")
    _check_grades(judgments, scale)
    policies = [_policy(measure, gains, scale, rel) for measure in wanted]
    cutoffs = [measure.cutoff for measure in wanted if measure.cutoff is not None]
    depth = max(cutoffs) if len(cutoffs) == len(wanted) else None
    aligned = align(run, judgments, grades=scale.maximum + 1, depth=depth)
    columns = {
        str(measure): _ruled(*_FAMILIES[measure.name](aligned, policy), EMPTY[empty])
        for measure, policy in zip(wanted, policies, strict=True)
    }
    return pl.DataFrame({"query_id": aligned.query_ids, **columns})


@dataclass(frozen=True)
class _Policy:
    """A measure's parameters, its own or the evaluation's; no cutoff is a cutoff that no list reaches."""

    cutoff: int
    gains: NDArray[np.float64]
    rel: float


def _policy(measure: Measure, gains: NDArray[np.float64], scale: Scale, rel: float) -> _Policy:
    own = gains if measure.gains is None else measure.gains
    least = rel if measure.rel is None else measure.rel
    if not 0 < least <= scale.maximum:
        raise MeasureError(
            f"{measure} with rel={least:g}: scale {scale.name!r} has the grades 0 to {scale.maximum}",
            hint="rel is the least grade that counts as relevant, above 0",
        )
    cutoff = np.iinfo(np.int64).max if measure.cutoff is None else measure.cutoff
    return _Policy(cutoff, gain_table(own.tolist() if isinstance(own, np.ndarray) else own, scale), least)


def _check_grades(judgments: pl.DataFrame, scale: Scale) -> None:
    grade = judgments["grade"]
    off = judgments.filter((grade < 0) | (grade > scale.maximum) | (grade != grade.round()))
    if off.height:
        query_id, product_id, given = off.select("query_id", "product_id", "grade").row(0)
        raise JudgmentError(
            f"grade {given:g} of product {product_id!r} for query {query_id!r} is not on scale {scale.name!r}",
            hint=f"grades are whole numbers from 0 to {scale.maximum}",
        )


Values = NDArray[np.float64]


def _ruled(values: Values, denominator: Values, empty: float) -> Values:
    """Values ÷ denominator, and the rule where the denominator is 0."""
    ruled = np.full(len(values), empty)
    np.divide(values, denominator, out=ruled, where=denominator > 0)
    return ruled


def _ndcg(a: Aligned, policy: _Policy) -> tuple[Values, Values]:
    hits = a.rank <= policy.cutoff
    found = a.total(policy.gains[a.grade[hits]] / np.log2(a.rank[hits] + 1), a.query[hits])
    return found, _ideal(a, policy)


def _ideal(a: Aligned, policy: _Policy) -> Values:
    """DCG of the best order. Its terms are summed one by one as a run's are, so that a perfect list has exactly 1."""
    best = np.argsort(-policy.gains, kind="stable")
    best = best[policy.gains[best] > 0]
    counts = a.judged[:, best]
    per_query = counts.sum(axis=1)
    query = np.repeat(np.arange(len(a)), per_query)
    rank = _ordinal(per_query)
    gains = np.repeat(np.tile(policy.gains[best], len(a)), counts.ravel())
    top = rank <= policy.cutoff
    return a.total(gains[top] / np.log2(rank[top] + 1), query[top])


def _reciprocal_rank(a: Aligned, policy: _Policy) -> tuple[Values, Values]:
    hits = _relevant_hits(a, policy)
    query, rank = a.query[hits], a.rank[hits]
    first = np.ones(len(query), dtype=bool)
    first[1:] = query[1:] != query[:-1]
    return a.total(1 / rank[first], query[first]), np.minimum(_relevant(a, policy), 1)


def _average_precision(a: Aligned, policy: _Policy) -> tuple[Values, Values]:
    hits = _relevant_hits(a, policy)
    query = a.query[hits]
    ordinal = _ordinal(np.bincount(query, minlength=len(a)))
    return a.total(ordinal / a.rank[hits], query), _relevant(a, policy)


def _recall(a: Aligned, policy: _Policy) -> tuple[Values, Values]:
    return _count(a, _relevant_hits(a, policy)), _relevant(a, policy)


def _precision(a: Aligned, policy: _Policy) -> tuple[Values, Values]:
    return _count(a, _relevant_hits(a, policy)), np.full(len(a), float(policy.cutoff))


def _judged(a: Aligned, policy: _Policy) -> tuple[Values, Values]:
    shown = np.minimum(a.retrieved, policy.cutoff)
    return _count(a, a.rank <= policy.cutoff), np.maximum(shown, 1).astype(np.float64)


# A name of measures.FAMILIES -> its numerator and denominator by query.
_FAMILIES: Final[dict[str, Callable[[Aligned, _Policy], tuple[Values, Values]]]] = {
    "AP": _average_precision,
    "Judged": _judged,
    "P": _precision,
    "RR": _reciprocal_rank,
    "Recall": _recall,
    "nDCG": _ndcg,
}


def _relevant_hits(a: Aligned, policy: _Policy) -> NDArray[np.bool_]:
    return (a.grade >= policy.rel) & (a.rank <= policy.cutoff)


def _relevant(a: Aligned, policy: _Policy) -> Values:
    least = math.ceil(policy.rel)
    relevant: Values = a.judged[:, least:].sum(axis=1, dtype=np.float64)
    return relevant


def _count(a: Aligned, hits: NDArray[np.bool_]) -> Values:
    return np.bincount(a.query[hits], minlength=len(a)).astype(np.float64)


def _ordinal(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """1, 2, … within each of the groups that stand one after another."""
    ends = np.cumsum(sizes)
    return np.arange(1, int(sizes.sum()) + 1) - np.repeat(ends - sizes, sizes)
