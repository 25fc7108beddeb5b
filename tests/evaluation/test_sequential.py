"""Always-valid p-values and confidence sequences: the formula, its laws, and how often it errs when looked at often."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from ltr.errors import ConfigError
from ltr.evaluation.sequential import BURN_IN, always_valid, mixture_variance


def looks(values, **how):
    """Means of growing samples, looked at after each of the last axis."""
    n = np.arange(1, values.shape[-1] + 1)
    means = values.cumsum(axis=-1) / n
    return always_valid(means, np.broadcast_to(1 / np.sqrt(n), means.shape), n, **how)


def test_the_evidence_is_the_likelihood_ratio_mixed_over_effects():
    n, difference, error = 500, 0.12, 0.05
    sigma = error * math.sqrt(n)
    spread = math.sqrt(mixture_variance(400)) * sigma
    mixed, _ = integrate.quad(
        lambda effect: stats.norm.pdf(difference, effect, error) * stats.norm.pdf(effect, 0, spread),
        -1,
        1,
        points=[0, 0.1],
    )
    found = always_valid([difference], [error], [n], planned=400)
    assert found.p_value[0] == pytest.approx(stats.norm.pdf(difference, 0, error) / mixed)


@settings(max_examples=60)
@given(
    difference=st.floats(-2, 2),
    error=st.floats(0.01, 1),
    n=st.integers(BURN_IN, 10**6),
    planned=st.integers(10, 10**6),
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_p_is_below_alpha_where_the_interval_is_without_0(difference, error, n, planned, alpha):
    found = always_valid([difference], [error], [n], planned=planned, alpha=alpha)
    outside = found.low[0] > 0 or found.high[0] < 0
    assert outside == (found.p_value[0] < alpha) or found.p_value[0] == pytest.approx(alpha)
    assert found.low[0] < difference < found.high[0]
    # Never narrower than the interval that is looked at once.
    assert found.high[0] - difference > stats.norm.ppf(1 - alpha / 2) * error


def test_the_interval_is_narrowest_near_the_number_planned():
    def half(n, rho_for):
        return always_valid([0.0], [1.0], [n], planned=rho_for, burn_in=1).high[0]

    best = min(half(1_000, planned) for planned in range(200, 5_000, 10))
    assert half(1_000, 1_000) == pytest.approx(best, rel=0.001)
    assert half(1_000, 1_000) / stats.norm.ppf(0.975) == pytest.approx(1.55, abs=0.01)
    assert half(1_000, 3_000) < 1.04 * best
    assert half(1_000, 333) < 1.04 * best


def test_an_a_a_test_looked_at_after_each_user_errs_less_often_than_alpha():
    values = np.random.default_rng(7).normal(size=(1_500, 1_500))
    wrong = (looks(values, planned=500).p_value[:, -1] < 0.05).mean()
    assert wrong < 0.05
    # What it is for: the ordinary p, looked at as often, is wrong as often as one likes.
    n = np.arange(1, 1_501)
    z = np.abs(values.cumsum(axis=1) / np.sqrt(n))[:, BURN_IN:]
    assert (z > 1.96).any(axis=1).mean() > 0.3


def test_the_sequence_holds_the_effect_at_all_looks_at_once_and_finds_it():
    values = np.random.default_rng(8).normal(0.15, 1, size=(800, 1_500))
    found = looks(values, planned=500)
    assert ((found.low <= 0.15).all(axis=1) & (found.high >= 0.15).all(axis=1)).mean() > 0.95
    assert (found.p_value[:, -1] < 0.05).mean() > 0.99


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1), st.integers(1, 5_000)), min_size=1, max_size=12))
def test_a_later_look_never_takes_back_what_an_earlier_one_said(seen):
    difference, error, users = (list(column) for column in zip(*seen, strict=True))
    found = always_valid(difference, error, users, planned=1_000)
    assert (np.diff(found.p_value) <= 0).all()
    assert (np.diff(found.low[np.isfinite(found.low)]) >= 0).all()
    shorter = always_valid(difference[:-1] or difference, error[:-1] or error, users[:-1] or users, planned=1_000)
    assert found.p_value[: len(shorter.p_value)] == pytest.approx(shorter.p_value)


def test_looks_before_the_burn_in_and_without_a_value_count_for_nothing():
    found = always_valid([5.0, math.nan, 0.1, 0.1], [0.1, 0.1, 0.0, 0.1], [99, 500, 500, 500], planned=500)
    assert found.p_value[:3].tolist() == [1, 1, 1]
    assert found.low[:3].tolist() == [-math.inf] * 3
    assert np.isfinite(found.low[3])
    assert always_valid([5.0], [0.1], [99], planned=500, burn_in=50).p_value[0] < 1e-9


def test_evidence_beyond_floats_is_p_0():
    assert always_valid([50.0], [0.1], [1_000], planned=500).p_value[0] == 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"planned": 0}, "0 users are planned; give the number"),
        ({"planned": math.nan}, "nan users are planned"),
        ({"planned": 100, "alpha": 5}, "alpha is 5; give a probability such as .05"),
    ],
)
def test_options_that_cannot_be_are_told(how, message):
    with pytest.raises(ConfigError, match=message):
        always_valid([0.1], [0.1], [100], **how)
