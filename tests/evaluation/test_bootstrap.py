"""Means with their bootstrap intervals."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError
from ltr.evaluation import Estimate, summarise
from ltr.evaluation.bootstrap import interval


def column(values, name="RR"):
    return pl.DataFrame({"query_id": [f"q{i}" for i in range(len(values))], name: pl.Series(values, dtype=pl.Float64)})


def test_of_two_queries_a_quarter_of_the_resamples_is_each_extreme():
    # means of resamples: 0 with probability 1/4, 1/2 with 1/2, 1 with 1/4
    frame = column([0.0, 1.0])
    assert summarise(frame, level=0.95)["RR"] == Estimate(0.5, 0.0, 1.0, 2)
    assert summarise(frame, level=0.4)["RR"] == Estimate(0.5, 0.5, 0.5, 2)


def test_the_interval_of_many_queries_is_that_of_the_normal_distribution():
    values = np.random.default_rng(7).uniform(size=4_000)
    estimate = summarise(column(values))["RR"]
    error = values.std() / math.sqrt(len(values))
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=error / 10)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=error / 10)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=40), seed=st.integers(0, 10))
def test_an_interval_contains_its_mean_and_stays_within_the_values(values, seed):
    estimate = summarise(column(values), seed=seed, resamples=500)["RR"]
    assert estimate.low - 1e-12 <= estimate.mean <= estimate.high + 1e-12
    assert min(values) - 1e-12 <= estimate.low <= estimate.high <= max(values) + 1e-12
    assert estimate.n == len(values)


def test_about_95_of_100_intervals_cover_the_true_mean():
    generator = np.random.default_rng(7)
    bounds = [interval(generator.normal(size=100), seed=i, resamples=1_000, level=0.95) for i in range(300)]
    covered = np.mean([low <= 0 <= high for low, high in bounds])
    assert covered == pytest.approx(0.95, abs=0.04)  # three binomial standard errors


def test_skipped_queries_are_left_out_and_counted_out():
    estimate = summarise(column([1.0, math.nan, 0.5]))["RR"]
    assert (estimate.mean, estimate.n) == (0.75, 2)


def test_no_query_at_all_is_nan_and_no_warning():
    for values in ([], [math.nan]):
        estimate = summarise(column(values))["RR"]
        assert (estimate.n, math.isnan(estimate.mean), math.isnan(estimate.low), math.isnan(estimate.high)) == (
            0,
            1,
            1,
            1,
        )


def test_an_estimate_does_not_depend_on_the_other_measures_but_on_the_seed():
    values = np.random.default_rng(7).uniform(size=50)
    alone = column(values)
    beside = column(np.ones(50), "P@1").with_columns(alone["RR"], ranker=pl.lit("lightgbm"))
    assert summarise(beside)["RR"] == summarise(alone)["RR"]
    assert list(summarise(beside)) == ["P@1", "RR"]
    assert summarise(alone, seed=8)["RR"] != summarise(alone)["RR"]


def test_chunks_bound_the_memory_and_leave_nothing_out():
    low, high = interval(np.array([0.0, 1.0] * 100_000), seed=7, resamples=20, level=0.5)
    assert 0.49 < low < high < 0.51


@pytest.mark.parametrize("policy", [{"resamples": 0}, {"level": 1.0}, {"level": 0.0}])
def test_impossible_policies_are_refused(policy):
    with pytest.raises(ConfigError, match="give at least 1, at a level in"):
        summarise(column([1.0]), **policy)
