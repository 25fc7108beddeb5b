import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import JudgmentError
from ltr.judgments.posterior import BINS, GRID, Evidence, Prior, posterior


def evidence(examination, clicked, shown):
    count = len(clicked)
    return Evidence(
        np.arange(count),
        np.broadcast_to(np.asarray(examination, dtype=float), count).copy(),
        np.asarray(clicked, dtype=float),
        np.asarray(shown, dtype=float),
    )


def flat():
    return Prior(np.linspace(0, 1, BINS + 1)[1:-1], np.full((BINS, len(GRID)), 1 / len(GRID)))


def test_under_a_flat_prior_it_is_bayes_rule_on_the_grid():
    told = posterior(np.array([0.5]), evidence(0.5, [3], [10]), prior=flat())
    weights = (0.5 * GRID) ** 3 * (1 - 0.5 * GRID) ** 7
    mean = (weights * GRID).sum() / weights.sum()
    assert told.mean[0] == pytest.approx(mean)
    assert told.variance[0] == pytest.approx((weights * (GRID - mean) ** 2).sum() / weights.sum())


def test_a_pair_never_shown_keeps_the_priors_mean_and_nothing_is_known_of_it():
    told = posterior(np.array([0.5, 0.5]), evidence(1.0, [3], [10]), prior=flat())
    assert told.mean[1] == pytest.approx(GRID.mean())
    assert told.known[1] == pytest.approx(0)
    assert told.known[0] > 0.5


def test_rows_of_one_pair_at_several_places_are_one_evidence():
    split = Evidence(np.array([0, 0]), np.array([0.5, 0.5]), np.array([1.0, 2.0]), np.array([4.0, 6.0]))
    assert posterior(np.array([0.5]), split, prior=flat()).mean == pytest.approx(
        posterior(np.array([0.5]), evidence(0.5, [3], [10]), prior=flat()).mean
    )


def test_two_heaps_are_found_without_being_told_of():
    rng = np.random.default_rng(7)
    truth = np.where(rng.random(4_000) < 0.4, 0.9, 0.1)
    theta = 1 / rng.integers(1, 6, 4_000)
    told = posterior(
        np.full(4_000, 0.4),
        Evidence(np.arange(4_000), theta, rng.binomial(10, theta * truth).astype(float), np.full(4_000, 10.0)),
    )
    heaps = told.prior.mixture[np.searchsorted(told.prior.edges, 0.4)]
    near = (abs(GRID - 0.9) < 0.11) | (abs(GRID - 0.1) < 0.11)
    assert heaps[near].sum() > 0.8
    assert np.corrcoef(told.mean, truth)[0, 1] > 0.85
    assert told.mean.mean() == pytest.approx(truth.mean(), abs=0.03)


def test_what_features_expect_counts_where_clicks_say_little():
    rng = np.random.default_rng(7)
    expected = np.repeat([0.2, 0.8], 2_000)
    theta = np.full(4_000, 0.05)
    clicked = rng.binomial(10, theta * expected).astype(float)
    told = posterior(expected, Evidence(np.arange(4_000), theta, clicked, np.full(4_000, 10.0)))
    silent = clicked == 0
    assert told.mean[silent & (expected > 0.5)].mean() > told.mean[silent & (expected < 0.5)].mean() + 0.3


@given(st.integers(0, 20), st.integers(0, 20), st.floats(0.01, 1))
def test_more_clicks_never_say_less(clicked, more, theta):
    few, many = sorted((clicked, more))
    told = posterior(np.array([0.5, 0.5]), evidence(theta, [few, many], [20, 20]), prior=flat())
    assert told.mean[0] <= told.mean[1] + 1e-12
    assert (told.variance >= 0).all()
    assert ((told.known >= 0) & (told.known <= 1)).all()


@pytest.mark.parametrize("theta", [0.0, 1.5, -0.1])
def test_an_examination_that_is_no_probability_is_refused(theta):
    with pytest.raises(JudgmentError, match=r"not above 0 and at most 1; clip propensities"):
        posterior(np.array([0.5]), evidence(theta, [1], [2]))
