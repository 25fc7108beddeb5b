"""The randomisation test, Holm's correction, and the comparison of rankers."""

import math
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, MeasureError
from ltr.evaluation import compare, holm, randomisation_p
from ltr.evaluation.significance import _random_sums

TENTHS = st.integers(-10, 10).map(lambda tenth: tenth / 10)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def frame(values, name="RR", first=0):
    values = pl.Series(values, dtype=pl.Float64)
    return pl.DataFrame({"query_id": [f"q{first + i:05d}" for i in range(len(values))], name: values})


@settings(deadline=None)
@given(differences=st.lists(TENTHS, max_size=8))
def test_a_small_test_counts_all_sign_flips(differences):
    # in tenths the sums are whole numbers, so that equal sums are equal
    tenths = [round(10 * difference) for difference in differences]
    flips = [sum(s * d for s, d in zip(signs, tenths, strict=True)) for signs in product((1, -1), repeat=len(tenths))]
    expected = np.mean([abs(flip) >= abs(sum(tenths)) for flip in flips])
    assert randomisation_p(np.array(differences)) == expected


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_random_sign_flips_agree_with_the_exact_enumeration(seed):
    differences = np.random.default_rng(seed).normal(0.3, 1, 12)
    exact, permutations = randomisation_p(differences), 20_000
    sums = _random_sums(differences, seed, permutations)
    estimate = (1 + np.sum(np.abs(sums) >= abs(differences.sum()) - 1e-12)) / (1 + permutations)
    assert estimate == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / permutations) + 1e-4)


def test_the_smallest_p_of_a_random_test_is_one_in_permutations_plus_one():
    assert randomisation_p(np.ones(100), permutations=999) == 1 / 1000


def test_sums_that_differ_only_in_rounding_are_equal():
    # +.1 +.2 −.3 is 5.6e-17, not 0: exactly the 8 of 8 flips reach |0|
    assert randomisation_p(np.array([0.1, 0.2, -0.3])) == 1.0
    # of 20 equal differences every flip that reaches the sum is all of one sign
    assert randomisation_p(np.full(20, 0.1), permutations=99) == 1 / 100


def test_queries_without_a_difference_change_nothing():
    moving = np.random.default_rng(7).normal(0.2, 1, 40)
    assert randomisation_p(np.concatenate([np.zeros(500), moving])) == randomisation_p(moving)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), n=st.sampled_from([5, 60]), factor=st.sampled_from([-1.0, 0.25, 1e6, 1e-9]))
def test_p_depends_on_neither_sign_nor_unit(seed, n, factor):
    differences = np.random.default_rng(seed).normal(0.1, 1, n)
    assert randomisation_p(differences * factor) == randomisation_p(differences)


def test_without_a_difference_p_is_uniform():
    generator = np.random.default_rng(7)
    p_values = [randomisation_p(generator.normal(size=50), seed=i, permutations=500) for i in range(400)]
    for share in (0.05, 0.5):
        assert np.mean(np.array(p_values) <= share) == pytest.approx(
            share, abs=4 * math.sqrt(share * (1 - share) / 400)
        )


def test_no_permutations_are_refused():
    with pytest.raises(ConfigError, match="give at least 1"):
        randomisation_p(np.ones(3), permutations=0)


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
    with pytest.raises(MeasureError, match=r"'retrieval' was not evaluated by 'RRR'; did you mean 'RR'\?"):
        compare(rankers(), baseline="retrieval", measure="RRR")
