"""Effect size and power, against published tables and against simulation."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, MissingExtraError
from ltr.evaluation import detectable, effect_size, queries_needed
from ltr.evaluation.paired import t_p
from ltr.evaluation.power import power_of


def of_effect(d, n):
    """Differences whose effect size is d."""
    values = np.random.default_rng(7).normal(size=n)
    return (values - values.mean()) / values.std(ddof=1) + d


def test_effect_size_by_hand():
    assert effect_size(np.array([1.0, 2.0, 3.0])) == 2 / 1
    assert effect_size(np.array([-1.0, -2.0, -3.0])) == -2
    assert effect_size(np.zeros(5)) == 0
    assert math.isnan(effect_size(np.full(5, 0.1)))
    assert math.isnan(effect_size(np.array([0.3])))
    assert math.isnan(effect_size(np.array([])))


def test_power_is_that_of_r():
    # pwr.t.test(d=0.2, n=60, sig.level=0.10, type="one.sample")
    assert power_of(0.2, 60, alpha=0.1) == pytest.approx(0.4555818, abs=5e-8)
    # power.t.test(delta=.5, sd=1, power=.8, type="paired"): n = 33.36713
    assert power_of(0.5, 33.36713) == pytest.approx(0.8, abs=1e-6)


def test_power_of_no_effect_is_alpha():
    assert power_of(0.0, 25, alpha=0.05) == pytest.approx(0.05)


def test_power_is_how_often_the_t_test_proves_a_difference():
    generator = np.random.default_rng(7)
    proven = [t_p(generator.normal(0.4, 1, 40)) < 0.05 for _ in range(1_000)]
    power = power_of(0.4, 40)
    assert np.mean(proven) == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 1_000))


@pytest.mark.parametrize("n", [2, 10, 1_000, 100_000, 10**9])
def test_power_stays_in_bounds_for_any_number_of_queries(n):
    values = [power_of(effect, n) for effect in (0, 1e-4, 0.01, 0.2, 1, 5, 100)]
    assert all(0.05 - 1e-9 <= value <= 1 + 1e-12 for value in values)
    assert np.all(np.diff(values) >= -1e-9)


@settings(max_examples=30)
@given(n=st.integers(3, 5_000), power=st.sampled_from([0.5, 0.8, 0.95]), alpha=st.sampled_from([0.01, 0.05]))
def test_the_detectable_difference_has_the_power_asked_for(n, power, alpha):
    differences = of_effect(0.1, n)
    assert power_of(detectable(differences, power=power, alpha=alpha), n, alpha=alpha) == pytest.approx(power, abs=1e-6)


def test_the_detectable_difference_is_in_the_unit_of_the_differences():
    differences = of_effect(0.2, 100)
    assert detectable(differences / 50) == pytest.approx(detectable(differences) / 50)
    # of many queries that of the normal distribution
    assert detectable(of_effect(0, 10_000)) == pytest.approx((1.959964 + 0.841621) / 100, rel=1e-3)
    assert detectable(np.full(9, 0.5)) == 0
    assert math.isnan(detectable(np.array([0.5])))


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_the_queries_that_cohens_effects_take(d, n):
    # G*Power, two-sided paired t-test, alpha .05, power .8
    assert queries_needed(of_effect(d, 50)) == queries_needed(of_effect(-d, 50)) == n


@settings(max_examples=30)
@given(d=st.floats(0.01, 3), power=st.sampled_from([0.5, 0.8, 0.95]))
def test_one_query_fewer_has_less_power(d, power):
    needed = queries_needed(of_effect(d, 40), power=power)
    assert power_of(d, needed) >= power - 1e-9
    assert needed == 2 or power_of(d, needed - 1) < power + 1e-9


def test_no_number_of_queries_proves_what_is_not_there():
    assert queries_needed(np.zeros(10)) is None
    assert queries_needed(np.array([0.1, -0.1] * 20)) is None
    assert queries_needed(np.array([0.5])) is None
    assert queries_needed(np.array([0.1, 0.2, -0.3])) is None  # 0 but for rounding
    assert queries_needed(np.full(10, 0.1)) == 2


@pytest.mark.parametrize(("power", "alpha"), [(1.0, 0.05), (0.8, 0.0), (0.04, 0.05)])
def test_impossible_powers_are_refused(power, alpha):
    for asked in (detectable, queries_needed):
        with pytest.raises(ConfigError, match="give 0 < alpha < power < 1"):
            asked(np.array([0.1, 0.2]), power=power, alpha=alpha)


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtraError, match=r"scipy is not installed; pip install 'ltr\[train\]'"):
        detectable(np.array([0.1, 0.2]))
