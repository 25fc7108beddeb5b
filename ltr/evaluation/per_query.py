"""Measures of a run, query by query.

Every query of the judgments has a value: one that the run lacks has an empty list, and so 0. Queries that only the run
has are left out: nothing is known about them. Unjudged products count as grade zero, relevant products that were not
retrieved count in the ideal, and weights of judgments do not enter. Ranks are taken as they are, so ties are already broken.

The empty-query rule, in one place. A query without a relevant product leaves some measures 0 ÷ 0:

    measure                            such a query is one with                   value
    nDCG                               no judged product whose gain is above 0    by the rule: skip NaN, zero 0, one 1
    nDCG(ideal=list)                   no such product in its list                by the rule
    RR, AP, Recall, Success, bpref     no judged product with a grade ≥ rel       by the rule
    P, RBP, ERR, Judged                (defined all the same)                     0, and the judged share

"skip" leaves the query out of means and comparisons; trec_eval's own values are those of "zero". As no list decides what
is judged, all rankers skip the same queries, except under ``ideal=list``: there a list without a relevant product has no
value, and a query counts in a comparison only where both have one.

Where much of what is shown has no judgment, compare by bpref, which passes over it, or by ``condensed`` lists (Sakai,
SIGIR 2007): each list without its unjudged products, measured as if it were the run. Judged@k, of the lists as they are,
says how much that leaves out; of condensed lists it is 1 (0 for an empty one).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, JudgmentError, MeasureError, suggestion
from ltr.evaluation.alignment import align, condense
from ltr.evaluation.families import BY_QUERY, NO_CUTOFF, Policy, Values
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
    condensed: bool = False,
) -> pl.DataFrame:
    """One row a query of the judgments, sorted by query_id, and one Float64 column a measure.

    Args:
        run: the lists; see frames.
        judgments: whole grades of the scale.
        measures: a measure that is named twice has one column.
        gains: gain by grade, for nDCG without gains of its own.
        scale: of the judgments.
        rel: the least relevant grade, for measures without a rel of their own.
        empty: the empty-query rule, see above.
        condensed: whether unjudged products leave the lists first, see above.
    """
    wanted = list(dict.fromkeys(measures))
    if not wanted:
        raise MeasureError("no measures are named", hint="give at least one, such as nDCG@10")
    if empty not in EMPTY:
        raise ConfigError(f"empty-query rule {empty!r} is unknown", hint=suggestion(empty, EMPTY, noun="rules"))
    run, judgments = check(run, "run"), check(judgments, "judgments")
    _check_grades(judgments, scale)
    policies = [_policy(measure, gains, scale, rel) for measure in wanted]
    whole = condensed or any(policy.whole for policy in policies)
    depth = None if whole else max(policy.cutoff for policy in policies)
    aligned = align(run, judgments, grades=scale.maximum + 1, depth=depth)
    lists = condense(aligned) if condensed else aligned
    columns = {
        str(measure): _ruled(*BY_QUERY[measure.name](lists, policy), EMPTY[empty])
        for measure, policy in zip(wanted, policies, strict=True)
    }
    return pl.DataFrame({"query_id": aligned.query_ids, **columns})


def _policy(measure: Measure, gains: NDArray[np.float64], scale: Scale, rel: float) -> Policy:
    own = gains if measure.gains is None else measure.gains
    least = rel if measure.rel is None else measure.rel
    if not 0 < least <= scale.maximum:
        raise MeasureError(
            f"{measure} with rel={least:g}: scale {scale.name!r} has the grades 0 to {scale.maximum}",
            hint="rel is the least grade that counts as relevant, above 0",
        )
    return Policy(
        cutoff=NO_CUTOFF if measure.cutoff is None else measure.cutoff,
        gains=gain_table(own.tolist() if isinstance(own, np.ndarray) else own, scale),
        rel=least,
        maximum=scale.maximum,
        p=measure.p or 0.0,
        ideal_of_list=measure.ideal == "list",
    )


def _check_grades(judgments: pl.DataFrame, scale: Scale) -> None:
    grade = judgments["grade"]
    off = judgments.filter((grade < 0) | (grade > scale.maximum) | (grade != grade.round()))
    if off.height:
        query_id, product_id, given = off.select("query_id", "product_id", "grade").row(0)
        raise JudgmentError(
            f"grade {given:g} of product {product_id!r} for query {query_id!r} is not on scale {scale.name!r}",
            hint=f"grades are whole numbers from 0 to {scale.maximum}",
        )


def _ruled(values: Values, denominator: Values, empty: float) -> Values:
    """Values ÷ denominator, and the rule where the denominator is 0."""
    ruled = np.full(len(values), empty)
    np.divide(values, denominator, out=ruled, where=denominator > 0)
    return ruled
