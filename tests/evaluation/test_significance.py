"""Holm's correction and the comparison of rankers."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, MeasureError
from ltr.evaluation import compare, differences, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def frame(values, name="RR", first=0):
    values = pl.Series(values, dtype=pl.Float64)
    return pl.DataFrame({"query_id": [f"q{first + i:05d}" for i in range(len(values))], name: values})


def test_holm_by_hand():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([4 * 0.01, 3 * 0.02, 2 * 0.03, 2 * 0.03])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@settings(deadline=None)
@given(p_values=P_VALUES)
def test_holm_keeps_the_order_and_never_helps_a_row(p_values):
    corrected = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert all(p <= p_holm <= min(1, len(p_values) * p) for p, p_holm in zip(p_values, corrected, strict=True))
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)


@settings(deadline=None)
@given(p_values=P_VALUES, seed=st.integers(0, 99))
def test_holm_treats_rows_alike_whatever_their_order(p_values, seed):
    shuffled = np.random.default_rng(seed).permutation(len(p_values))
    assert holm([p_values[i] for i in shuffled]) == [holm(p_values)[i] for i in shuffled]


def rankers(n=200):
    generator = np.random.default_rng(7)
    base = generator.uniform(0, 0.5, n)
    better = base + generator.normal(0.1, 0.1, n)
    return {"retrieval": frame(base), "better": frame(better), "worse": frame(base - 0.1), "same": frame(base)}


def test_a_comparison_says_what_there_is_to_say():
    better, worse, same = compare(rankers(), baseline="retrieval", measure="RR")
    assert [row.ranker for row in (better, worse, same)] == ["better", "worse", "same"]
    assert {row.baseline for row in (better, worse, same)} == {"retrieval"}
    assert better.low < better.difference < better.high
    assert (better.proven, better.n, better.wins + better.losses + better.ties) == (True, 200, 200)
    assert (worse.difference, worse.wins, worse.losses, worse.proven) == (pytest.approx(-0.1), 0, 200, True)
    assert worse.p_value == 1 / 10_001
    assert (better.p_holm, worse.p_holm) == (pytest.approx(3 / 10_001), pytest.approx(3 / 10_001))


@pytest.mark.parametrize("test", ["randomisation", "bootstrap", "t", "wilcoxon"])
def test_every_test_tells_a_difference_from_none(test):
    better, worse, same = compare(
        rankers(), baseline="retrieval", measure="RR", test=test, permutations=999, resamples=999
    )
    assert {row.test for row in (better, worse, same)} == {test}
    assert better.p_value < 0.01 > worse.p_value
    assert (better.proven, worse.proven, same.proven) == (True, True, False)
    assert (same.p_value, same.effect) == (1, 0)


def test_a_comparison_says_how_large_the_difference_is():
    better, worse, _ = compare(rankers(), baseline="retrieval", measure="RR", resamples=10)
    by_query = differences(rankers()["better"], rankers()["retrieval"], measure="RR")
    assert better.effect == pytest.approx(by_query.mean() / by_query.std(ddof=1))
    assert worse.effect is None  # the same .1 for each query: no spread to compare it with


def test_a_ranker_against_itself_proves_nothing():
    *_, same = compare(rankers(), baseline="retrieval", measure="RR")
    assert (same.difference, same.low, same.high, same.p_value, same.p_holm) == (0, 0, 0, 1, 1)
    assert (same.proven, same.ties) == (False, 200)


def test_a_row_alone_has_the_p_value_it_has_among_others_but_not_the_corrected_one():
    every = rankers()
    alone = compare({name: every[name] for name in ("better", "retrieval")}, baseline="retrieval", measure="RR")[0]
    among = compare(every, baseline="retrieval", measure="RR")[0]
    assert (alone.p_value, alone.difference, alone.low, alone.high) == (
        among.p_value,
        among.difference,
        among.low,
        among.high,
    )
    assert alone.p_holm == alone.p_value < among.p_holm


def test_only_queries_with_both_values_are_compared():
    skipped = {"a": frame([1.0, math.nan, 0.5, 0.9]), "b": frame([0.5, 0.2, math.nan, 0.4, 0.7])}
    (row,) = compare(skipped, baseline="b", measure="RR")
    assert (row.n, row.difference, row.wins) == (2, pytest.approx((0.5 + 0.5) / 2), 2)
    assert row.p_value == 2 / 4


def test_queries_are_paired_by_name_not_by_place():
    base = frame([0.1, 0.2, 0.3])
    (row,) = compare({"base": base, "same": base.reverse()}, baseline="base", measure="RR")
    assert row.ties == 3


def test_nothing_in_common_is_no_proof():
    (row,) = compare({"a": frame([1.0]), "b": frame([0.0], first=5)}, baseline="b", measure="RR")
    assert (row.n, row.p_value, row.proven, math.isnan(row.difference)) == (0, 1, False, True)


def test_a_baseline_alone_has_no_rows():
    assert compare({"retrieval": frame([1.0])}, baseline="retrieval", measure="RR") == []


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"baseline 'retrieva' was not run; did you mean 'retrieval'\?"):
        compare(rankers(), baseline="retrieva", measure="RR")
    with pytest.raises(ConfigError, match=r"test 'ttest' is unknown; .*tests: bootstrap, randomisation, t, wilcoxon"):
        compare(rankers(), baseline="retrieval", measure="RR", test="ttest")
    with pytest.raises(MeasureError, match=r"was not evaluated by 'RRR'; did you mean 'RR'\?"):
        compare(rankers(), baseline="retrieval", measure="RRR")
