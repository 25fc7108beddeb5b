import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.evaluation import recovered

NAIVE, TRUE = "naive", "true"


def frames(**values):
    count = len(next(iter(values.values())))
    ids = [f"q{number}" for number in range(count)]
    return {row: pl.DataFrame({"query_id": ids, "RR": list(map(float, of))}) for row, of in values.items()}


def shares(**values):
    return recovered(frames(**values), naive=NAIVE, ceiling=TRUE, measure="RR")


def test_a_share_is_the_ratio_of_mean_differences():
    told = shares(naive=[0.2, 0.4], ips=[0.5, 0.4], true=[0.6, 0.6])["ips"]
    assert told.share == pytest.approx((0.15) / (0.3))
    assert told.difference == pytest.approx(0.15)


def test_the_ceiling_recovers_all_and_naive_is_left_out():
    told = shares(naive=[0.2, 0.4, 0.1], true=[0.6, 0.6, 0.9])
    assert list(told) == [TRUE]
    assert told[TRUE].share == told[TRUE].share_low == told[TRUE].share_high == 1


def test_queries_are_matched_by_id_and_those_without_a_value_are_left_out():
    whole = frames(naive=[0.2, 0.4, math.nan], ips=[0.5, 0.4, math.nan], true=[0.6, 0.6, math.nan])
    whole["ips"] = whole["ips"].reverse()
    told = recovered(whole, naive=NAIVE, ceiling=TRUE, measure="RR")["ips"]
    assert told.share == pytest.approx(0.15 / 0.3)


def test_no_gap_has_no_share_but_a_difference():
    told = shares(naive=[0.5, 0.5], ips=[0.6, 0.8], true=[0.5, 0.5])["ips"]
    assert math.isnan(told.share)
    assert math.isnan(told.share_low)
    assert told.difference == pytest.approx(0.2)


def test_without_any_query_nothing_is_defined():
    told = shares(naive=[math.nan], ips=[math.nan], true=[math.nan])["ips"]
    assert math.isnan(told.share)
    assert math.isnan(told.difference)


def test_one_seed_is_one_interval():
    values = {"naive": [0.1, 0.5, 0.3], "ips": [0.4, 0.6, 0.3], "true": [0.7, 0.6, 0.8]}
    assert shares(**values) == shares(**values)


@given(st.integers(0, 2**32 - 1))
def test_the_intervals_hold_their_estimates(seed):
    rng = np.random.default_rng(seed)
    naive = rng.random(50) * 0.5
    told = shares(naive=naive, ips=naive + rng.random(50) * 0.3, true=naive + 0.3 + rng.random(50) * 0.2)["ips"]
    assert told.low <= told.difference <= told.high
    assert told.share_low <= told.share <= told.share_high
    assert 0 < told.share < 1
