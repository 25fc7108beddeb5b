"""Tests of paired differences, against enumeration, published examples and each other."""

import math
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, MissingExtraError
from ltr.evaluation.paired import (
    TESTS,
    _random_sums,
    bootstrap_p,
    randomisation_p,
    standard_deviation,
    t_p,
    wilcoxon_p,
)

TENTHS = st.integers(-10, 10).map(lambda tenth: tenth / 10)
# Student 1908, table 1 (R: datasets::sleep): hours of sleep gained by each of two drugs, ten patients.
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
# Hollander & Wolfe 1973, table 3.1 (R: example(wilcox.test)): a depression scale before and after treatment.
DEPRESSION = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]) - np.array(
    [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
)
# Darwin's maize (Fisher 1935, The Design of Experiments, section 21): crossed − self-fertilised, eighths of an inch.
MAIZE = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]) / 1.0


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


def test_fishers_own_example():
    # 863 of the 32,768 sums reach 314, as many −314 (Fisher counts 1,726 of both); by t he has 4.97 per cent
    assert randomisation_p(MAIZE) == 1_726 / 32_768
    assert t_p(MAIZE) == pytest.approx(0.0497, abs=5e-5)


def test_the_t_test_of_students_own_example():
    # R: t.test(extra ~ group, data = sleep, paired = TRUE): t = 4.0621, df = 9, p-value = 0.002833
    assert t_p(SLEEP) == t_p(-SLEEP) == pytest.approx(0.002833, abs=5e-7)


def test_wilcoxon_of_a_published_example():
    # V = 40: 20 of the 512 signs of nine ranks reach it, either way
    assert wilcoxon_p(DEPRESSION) == 20 / 512


def test_wilcoxon_counts_differences_that_are_rounding_apart_as_equal():
    exact = np.array([0.1, 0.1, 0.1, -0.1, 0.2])
    rounded = np.array([0.3 - 0.2, 0.1, 0.4 - 0.3, 0.2 - 0.3, 0.3 - 0.1])
    assert wilcoxon_p(rounded) == wilcoxon_p(exact)
    assert wilcoxon_p(np.array([0.1 + 0.2 - 0.3, 0.5])) == wilcoxon_p(np.array([0.5])) == 1


def test_the_bootstrap_test_agrees_with_the_t_test_on_normal_differences():
    differences = np.random.default_rng(7).normal(0.15, 1, 200)
    assert bootstrap_p(differences) == pytest.approx(t_p(differences), abs=0.01)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(TESTS)))
def test_no_test_depends_on_which_ranker_is_called_the_baseline(seed, name):
    differences = np.round(np.random.default_rng(seed).normal(0.1, 1, 30), 3)
    p = [TESTS[name](signed, seed=7, draws=300) for signed in (differences, -differences)]
    assert p[0] == pytest.approx(p[1], abs=1e-9)
    assert 0 < p[0] <= 1


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("differences", [[], [0.4], [0.0] * 9, [0.0]])
def test_no_difference_or_a_single_one_proves_nothing(name, differences):
    assert TESTS[name](np.array(differences), seed=7, draws=99) == 1


@pytest.mark.parametrize("name", TESTS)
def test_the_same_difference_for_every_query_is_proof(name):
    assert TESTS[name](np.full(40, 0.3 - 0.2), seed=7, draws=999) <= 1 / 1000


@pytest.mark.parametrize("name", ["bootstrap", "t"])
def test_without_a_difference_p_is_uniform_for_the_other_tests_of_means(name):
    generator = np.random.default_rng(7)
    p_values = np.array([TESTS[name](generator.normal(size=40), seed=i, draws=200) for i in range(300)])
    assert np.mean(p_values <= 0.1) == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / 300))


def test_the_spread_of_differences_that_are_rounding_apart_is_0():
    assert standard_deviation(np.array([0.3 - 0.2, 0.1, 0.4 - 0.3])) == 0
    assert standard_deviation(np.array([1.0, 2.0, 3.0])) == 1
    assert math.isnan(standard_deviation(np.array([1.0])))


@pytest.mark.parametrize(("test", "module"), [(t_p, "scipy.special"), (wilcoxon_p, "scipy.stats")])
def test_without_scipy_the_extra_is_named(monkeypatch, test, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"scipy is not installed; pip install 'ltr\[train\]'"):
        test(np.array([0.1, 0.2, -0.3]))
