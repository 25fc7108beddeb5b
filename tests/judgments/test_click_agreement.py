"""Agreement of two sets of judgments: the values of scipy and scikit-learn, and the pairs furthest apart."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import cohen_kappa_score

from ltr.errors import JudgmentError
from ltr.judgments.agreement import agreement


def judged(grades, queries=1):
    n = len(grades)
    return pl.DataFrame(
        {
            "query_id": [f"q{at % queries}" for at in range(n)],
            "product_id": [f"p{at:04}" for at in range(n)],
            "grade": pl.Series(grades, dtype=pl.Float32),
        }
    )


GRADES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60)


@given(both=GRADES)
def test_measures_are_those_of_scipy_and_scikit_learn(both):
    one, other = (list(grades) for grades in zip(*both, strict=True))
    found = agreement(judged(one), judged(other))
    if len(set(one)) > 1 and len(set(other)) > 1:
        assert found.spearman == pytest.approx(spearmanr(one, other).statistic)
        assert found.kendall == pytest.approx(kendalltau(one, other).statistic)
        assert found.kappa == pytest.approx(cohen_kappa_score(one, other, weights="quadratic", labels=range(5)))
        assert found.within == pytest.approx(found.spearman)
    else:
        assert math.isnan(found.spearman)
        assert math.isnan(found.kendall)
        assert math.isnan(found.within)
    assert found.same == pytest.approx(np.mean([a == b for a, b in both]))
    assert found.table.sum() == len(both)


@given(both=GRADES)
def test_agreement_is_the_same_from_either_side(both):
    one, other = (judged(grades) for grades in zip(*both, strict=True))
    here, there = agreement(one, other), agreement(other, one)
    assert here.kappa == pytest.approx(there.kappa, nan_ok=True)
    assert here.kendall == pytest.approx(there.kendall, nan_ok=True)
    assert np.array_equal(here.table, there.table.T)


def test_equal_judgments_agree_wholly_and_reversed_ones_not_at_all():
    same = agreement(judged([0, 1, 2, 3]), judged([0, 1, 2, 3]))
    assert (same.kappa, same.spearman, same.kendall, same.disagreements.height) == (1, pytest.approx(1), 1, 0)
    turned = agreement(judged([0, 1, 2, 3]), judged([3, 2, 1, 0]))
    assert (turned.kappa, turned.spearman, turned.kendall) == (-1, pytest.approx(-1), -1)


def test_judgments_of_one_side_alone_are_counted_and_not_compared():
    found = agreement(judged([0, 1, 2]), judged([0, 1, 2, 3, 3]))
    assert (found.both, found.only_one, found.only_other) == (3, 0, 2)


def test_the_order_within_queries_is_told_apart_from_the_order_over_all():
    # within each query the orders are reversed, over all they agree by the queries' levels
    one, other = judged([0, 8, 1, 9], queries=2), judged([1, 9, 0, 8], queries=2)
    found = agreement(one, other)
    assert (found.within, found.compared) == (pytest.approx(-1), 2)
    assert found.spearman > 0.5


def test_the_largest_disagreements_come_first():
    found = agreement(judged([0, 4, 2, 1]), judged([1, 0, 2, 3])).disagreements
    assert found.select("product_id", "grade", "other", "apart").rows() == [
        ("p0001", 4.0, 0.0, 4.0), ("p0003", 1.0, 3.0, -2.0), ("p0000", 0.0, 1.0, -1.0),
    ]  # fmt: skip


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(JudgmentError, match="no \\(query, product\\) pair in common"):
        agreement(judged([1]), judged([1]).with_columns(product_id=pl.lit("other")))
    with pytest.raises(JudgmentError, match="not a whole number from 0"):
        agreement(judged([1.5]), judged([1]))
