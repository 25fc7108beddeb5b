"""Ratios of sums over users, against their formula, scipy and simulation; and the distributions beneath."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from ltr.errors import ConfigError, MissingExtraError
from ltr.evaluation import distributions
from ltr.evaluation.ratios import bootstrapped, bootstrapped_p, linearised, mean, percentiles, welch

X = np.array([3.0, 0.0, 1.0, 4.0, 2.0])
Y = np.array([5.0, 1.0, 2.0, 4.0, 3.0])


def test_the_variance_is_that_of_the_delta_method():
    # Deng, Knoblich & Lu, KDD 2018, equation 3: s²ₓ/ȳ² − 2 x̄ sₓᵧ/ȳ³ + x̄² s²ᵧ/ȳ⁴, over n.
    x, y = X.mean(), Y.mean()
    covariance = np.cov(X, Y)
    variance = covariance[0, 0] / y**2 - 2 * x * covariance[0, 1] / y**3 + x**2 * covariance[1, 1] / y**4
    found = mean(linearised(X, Y))
    assert float(found.value) == pytest.approx(x / y)
    assert float(found.standard_error) == pytest.approx(math.sqrt(variance / 5))


@settings(max_examples=40)
@given(
    arrays.arrays(np.float64, (2, 3, 6), elements=st.integers(0, 9).map(float)),
    st.floats(0.5, 20),
)
def test_many_ratios_at_once_are_each_alone_and_free_of_scale(pairs, factor):
    x, y = pairs[0], pairs[1] + 1
    together = mean(linearised(x, y))
    for at in range(3):
        alone = mean(linearised(x[at], y[at]))
        assert together.value[at] == pytest.approx(float(alone.value))
        assert together.standard_error[at] == pytest.approx(float(alone.standard_error), abs=1e-12)
    assert mean(linearised(factor * x, factor * y)).value == pytest.approx(together.value)


def test_welch_is_scipys():
    rng = np.random.default_rng(7)
    control, treatment = rng.normal(0, 1, 30), rng.normal(0.5, 3, 12)
    authority = stats.ttest_ind(treatment, control, equal_var=False)
    found = welch(control, treatment)
    assert float(found.p_value()) == pytest.approx(authority.pvalue)
    assert found.interval(0.9) == pytest.approx(tuple(authority.confidence_interval(0.9)))


def test_the_mean_is_scipys_t_test():
    found = mean(X)
    assert float(found.p_value()) == pytest.approx(stats.ttest_1samp(X, 0).pvalue)
    assert found.interval() == pytest.approx(tuple(stats.ttest_1samp(X, 0).confidence_interval()))


def test_what_is_not_known_is_nan_and_proves_nothing():
    nothing = mean(linearised(np.zeros(3), np.zeros(3)))
    assert math.isnan(float(nothing.value))
    assert float(nothing.p_value()) == 1
    assert float(mean(np.array([2.0])).p_value()) == 1
    assert math.isnan(float(mean(np.array([])).value))
    assert float(welch(np.zeros(3), np.zeros(4)).p_value()) == 1
    # Equal in all users but for rounding.
    assert float(mean(linearised(np.full(3, 0.1), np.full(3, 0.3))).standard_error) == 0


def test_the_bootstrap_varies_as_the_delta_method_says():
    rng = np.random.default_rng(7)
    y = rng.poisson(5, 800) + 1.0
    x = rng.binomial(y.astype(int), 0.3).astype(float)
    drawn = bootstrapped(x, y, seed=7, resamples=3_000)
    assert drawn.std() == pytest.approx(float(mean(linearised(x, y)).standard_error), rel=0.05)
    assert percentiles(drawn, level=0.95) == pytest.approx(mean(linearised(x, y)).interval(), abs=0.002)


@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_bootstraps_p_is_symmetric_and_in_bounds(values):
    drawn = np.array(values)
    assert 0 < bootstrapped_p(drawn) <= 1
    assert bootstrapped_p(drawn) == bootstrapped_p(-drawn)


def test_resamples_without_a_ratio_prove_nothing():
    drawn = bootstrapped(np.array([1.0, 0.0]), np.array([1.0, 0.0]), seed=7, resamples=50)
    assert np.isnan(drawn).any()
    assert bootstrapped_p(drawn) == 1
    assert all(math.isnan(end) for end in percentiles(drawn, level=0.95))


def test_distributions_are_scipys():
    assert distributions.t_tails(1.7, 8) == pytest.approx(2 * stats.t(8).sf(1.7))
    assert distributions.t_quantile(0.9, 8) == pytest.approx(stats.t(8).ppf(0.9))
    assert distributions.normal_quantile(0.8) == pytest.approx(stats.norm.ppf(0.8))
    assert distributions.chi_squared_tail(3.2, 4) == pytest.approx(stats.chi2(4).sf(3.2))
    for wins, decided in ((0, 1), (3, 9), (5, 10), (10, 10), (420, 1_000)):
        assert distributions.sign_p(wins, decided) == pytest.approx(stats.binomtest(wins, decided).pvalue)


def test_options_that_cannot_be_are_told():
    with pytest.raises(ConfigError, match="level is 95; give a share between 0 and 1"):
        mean(X).interval(95)
    with pytest.raises(ConfigError, match="0 resamples; give at least 1"):
        bootstrapped(X, Y, seed=7, resamples=0)


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"scipy is not installed; pip install 'ltr\[train\]'"):
        distributions.t_tails(1.0, 5)
