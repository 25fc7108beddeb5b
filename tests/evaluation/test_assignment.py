"""Assignment by hash: its shares, its independence, what moves when variants change; and the check of shares."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ltr.errors import ConfigError
from ltr.evaluation.assignment import MISMATCH, assign, sample_ratio

USERS = [f"user-{number}" for number in range(20_000)]
HALVES = {"control": 1.0, "treatment": 1.0}


def test_a_user_goes_where_the_formula_says():
    def distance(variant, weight):
        digest = hashlib.sha256(f"spring/{variant}/u1".encode()).digest()
        return -math.log((int.from_bytes(digest[:8], "big") + 0.5) / 2**64) / weight

    weights = {"a": 1.0, "b": 2.0, "c": 0.5}
    nearest = min(weights, key=lambda variant: distance(variant, weights[variant]))
    assert assign(["u1"], experiment="spring", weights=weights) == [nearest]


@pytest.mark.parametrize("weights", [HALVES, {"a": 9, "b": 1}, {"a": 0.2, "b": 0.3, "c": 0.5}, {"a": 1, "b": 0}])
def test_shares_are_those_of_the_weights(weights):
    found = assign(USERS, experiment="spring", weights=weights)
    assert not sample_ratio({variant: found.count(variant) for variant in weights}, weights).mismatch
    assert set(found) == {variant for variant, weight in weights.items() if weight}


def test_two_experiments_divide_users_independently():
    one, other = (assign(USERS, experiment=name, weights=HALVES) for name in ("spring", "summer"))
    table = [[sum(x == a and y == b for x, y in zip(one, other, strict=True)) for b in HALVES] for a in HALVES]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_a_user_stays_with_the_variant_whatever_the_order_of_users_or_variants():
    found = dict(zip(USERS[:100], assign(USERS[:100], experiment="spring", weights=HALVES), strict=True))
    turned = assign(USERS[99::-1], experiment="spring", weights=dict(reversed(HALVES.items())))
    assert turned == [found[user] for user in USERS[99::-1]]


def test_an_added_variant_takes_users_and_moves_none_between_the_others():
    before = assign(USERS, experiment="spring", weights=HALVES)
    after = assign(USERS, experiment="spring", weights={**HALVES, "new": 1.0})
    assert {(x, y) for x, y in zip(before, after, strict=True) if x != y} == {("control", "new"), ("treatment", "new")}
    assert after.count("new") == pytest.approx(20_000 / 3, rel=0.03)


@settings(max_examples=25)
@given(weights=st.lists(st.floats(0.1, 10), min_size=2, max_size=4), grown=st.floats(1.01, 5))
def test_a_weight_that_grows_only_takes_users(weights, grown):
    before = {str(at): weight for at, weight in enumerate(weights)}
    after = {**before, "0": before["0"] * grown}
    users = USERS[:300]
    moved = zip(
        assign(users, experiment="e", weights=before), assign(users, experiment="e", weights=after), strict=True
    )
    assert all(y == "0" for x, y in moved if x != y)


def test_the_ratio_test_is_scipys():
    found = sample_ratio({"a": 480, "b": 350, "c": 170}, {"a": 5, "b": 3, "c": 2})
    assert found.expected == {"a": 500, "b": 300, "c": 200}
    assert found.p_value == pytest.approx(stats.chisquare([480, 350, 170], [500, 300, 200]).pvalue)


def test_the_ratio_of_a_published_mismatch_is_found():
    # Kohavi, Tang & Xu 2020, chapter 21: 821,588 and 815,482 users of an experiment designed for halves, p = 1.8E−6.
    found = sample_ratio({"control": 821_588, "treatment": 815_482}, HALVES)
    assert found.p_value == pytest.approx(1.8e-6, rel=0.05)
    assert found.mismatch


def test_fair_shares_are_rarely_called_wrong():
    rng = np.random.default_rng(7)
    counts = rng.binomial(5_000, 0.5, size=4_000)
    wrong = sum(sample_ratio({"a": int(x), "b": 5_000 - int(x)}, {"a": 1, "b": 1}).mismatch for x in counts)
    assert wrong <= stats.binom(4_000, MISMATCH).ppf(0.9999)


def test_a_variant_nobody_saw_counts():
    assert sample_ratio({"a": 50}, {"a": 1, "b": 1}).mismatch
    assert sample_ratio({"a": 50}, {"a": 1}).p_value == 1
    assert sample_ratio({}, {"a": 1, "b": 1}).p_value == 1


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": math.nan}, {"a": math.inf}])
def test_weights_that_are_no_shares_are_refused(weights):
    with pytest.raises(ConfigError, match="give each variant a share"):
        assign(["u"], experiment="e", weights=weights)
    with pytest.raises(ConfigError, match="give each variant a share"):
        sample_ratio({"a": 1}, weights)


def test_an_experiment_without_a_name_and_a_stray_variant_are_refused():
    with pytest.raises(ConfigError, match="the experiment has no name"):
        assign(["u"], experiment="", weights=HALVES)
    with pytest.raises(ConfigError, match=r"users were seen in \['c'\], which have no weight"):
        sample_ratio({"a": 1, "c": 2}, {"a": 1, "b": 1})
