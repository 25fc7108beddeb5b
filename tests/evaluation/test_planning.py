"""Plans of online tests: known sample sizes, and that a test so planned has the power that was asked for."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.evaluation.abtest_users import Days
from ltr.evaluation.interleaving_outcomes import ratio_of
from ltr.evaluation.planning import Traffic, detectable, needed, of_clicks, of_interleaved, of_log
from ltr.evaluation.ratios import linearised, welch

WEEK = Traffic(value=0.05, deviation=0.05**0.5 * 0.95**0.5, users=10_000, searches=40_000, days=7)


def days_of(searches, clicked, clicks=None, last=7):
    """A log's users, all seen on the first day but for one on the last."""
    return Days(
        pl.DataFrame(
            {
                "user_id": [f"u{at}" for at in range(len(searches))],
                "variant": "control",
                "day": [date(2026, 1, 1)] * (len(searches) - 1) + [date(2026, 1, last)],
                "users": 1,
                "searches": searches,
                "impressions": 0,
                "clicks": clicks if clicks is not None else clicked,
                "clicked_searches": clicked,
                "purchases": 0,
                "converted": 0,
                "revenue": None,
            }
        ),
        0,
        0,
    )


def test_the_textbooks_example():
    # Kohavi, Deng, Longbotham & Xu, KDD 2014 (rule of 16): 5 % convert, 5 % lift, power 80 %: over 121,600 users an arm.
    plan = needed(WEEK, 0.05 * 0.05, share=0.5)
    assert plan.users == pytest.approx(2 * 16 * 0.05 * 0.95 / (0.05 * 0.05) ** 2, rel=0.02)
    assert plan.users == 2 * 119_303
    assert plan.searches == pytest.approx(4 * plan.users, rel=1e-4)
    assert plan.days == -(-plan.users * 7 // 10_000)


@given(
    difference=st.floats(0.001, 0.5),
    share=st.none() | st.floats(0.05, 0.95),
    part=st.floats(0.1, 1),
    power=st.floats(0.5, 0.95),
)
def test_the_days_needed_find_the_difference_asked_for(difference, share, part, power):
    plan = needed(WEEK, difference, share=share, part=part, power=power)
    found = detectable(WEEK, plan.days, share=share, part=part, power=power)
    assert found.difference <= difference * 1.000001
    if plan.days > 1:
        assert detectable(WEEK, plan.days - 1, share=share, part=part, power=power).difference > difference * 0.999999


def test_unequal_shares_take_more_users_and_less_traffic_more_days():
    half, tenth = (needed(WEEK, 0.01, share=share) for share in (0.5, 0.1))
    assert tenth.users / half.users == pytest.approx((1 / 0.1 + 1 / 0.9) / 4, rel=1e-3)
    assert needed(WEEK, 0.01, share=0.1) == needed(WEEK, 0.01, share=0.9)
    assert needed(WEEK, 0.01, share=0.5, part=0.1).days == pytest.approx(10 * half.days, abs=10)
    assert needed(WEEK, -0.01, share=0.5).users == half.users


def test_an_a_b_test_so_planned_has_its_power():
    rng = np.random.default_rng(7)

    def log(rate, shape):
        searches = rng.geometric(0.3, size=shape).astype(float)
        return rng.binomial(searches.astype(int), np.clip(rng.normal(rate, 0.1, size=shape), 0, 1)).astype(
            float
        ), searches

    clicks, searches = log(0.4, 20_000)
    traffic = of_log(days_of(searches.astype(int), clicks.astype(int)), "clicks_per_search")
    assert traffic.value == pytest.approx(0.4, abs=0.01)
    arm = needed(traffic, 0.04, share=0.5).users // 2
    found = welch(*(linearised(*log(rate, (1_000, arm))) for rate in (0.4, 0.44)))
    assert (found.p_value() < 0.05).mean() == pytest.approx(0.8, abs=0.06)


def test_an_interleaving_so_planned_has_its_power():
    rng = np.random.default_rng(8)

    def net(users, delta):
        decided = rng.poisson(2, size=users) + 1
        won = rng.binomial(decided, 0.5 + delta)
        return 2.0 * won - decided, decided.astype(float)

    clicked = rng.poisson(2, size=5_000) + 1
    traffic = of_clicks(days_of(3 * clicked, clicked))
    assert (traffic.users, traffic.searches) == (5_000, 3 * clicked.sum())
    plan = needed(traffic, 0.05)
    # Each search with a click a coin: n = z² ÷ 4Δ².
    assert plan.searches / 3 == pytest.approx((1.959964 + 0.841621) ** 2 / (4 * 0.05**2), rel=0.01)
    assert (ratio_of(*net((1_000, plan.users), 0.05)).p_value() < 0.05).mean() == pytest.approx(0.8, abs=0.06)
    assert needed(of_clicks(days_of(3 * clicked, clicked), differing=0.5), 0.05).searches == pytest.approx(
        2 * plan.searches, rel=0.01
    )


def test_the_traffic_of_an_interleaved_log_is_that_of_its_users():
    searches = pl.DataFrame(
        {
            "search_id": ["a", "b", "c", "d"],
            "user_id": ["u", "u", "v", "w"],
            "shown_on": [date(2026, 1, 1), date(2026, 1, 3), date(2026, 1, 2), date(2026, 1, 2)],
            "first": [0, 1, 0, 0],
            "second": [1, 0, 1, 0],
        }
    )
    found = of_interleaved(searches)
    assert (found.value, found.users, found.searches, found.days) == (pytest.approx(1 / 6), 2, 4, 3)
    net, decided = np.array([0.0, 1.0]), np.array([2.0, 1.0])
    assert found.deviation / 2**0.5 == pytest.approx(float(ratio_of(net, decided).standard_error))


@pytest.mark.parametrize(
    ("call", "fault", "message"),
    [
        (lambda: needed(WEEK, 0), ConfigError, "the difference is 0; give the least"),
        (lambda: needed(WEEK, 0.1, power=0.05), ConfigError, "power 0.05 at alpha 0.05"),
        (lambda: needed(WEEK, 0.1, share=1), ConfigError, "share is 1 and part 1"),
        (lambda: needed(WEEK, 0.1, part=0), ConfigError, "share is None and part 0"),
        (lambda: detectable(WEEK, 0), ConfigError, "0 days; give 1 or more"),
        (lambda: of_clicks(days_of([1, 2], [0, 0])), DataError, "no search of the log has a click"),
        (lambda: of_clicks(days_of([1, 2], [1, 0]), differing=2), ConfigError, "differing is 2"),
        (lambda: of_log(days_of([3], [1]), "clicks_per_search"), DataError, "1 users do not say how much users vary"),
        (lambda: of_log(days_of([2, 2], [1, 1]), "clicks_per_search"), DataError, "2 users do not say"),
    ],
)
def test_what_cannot_be_planned_is_told(call, fault, message):
    with pytest.raises(fault, match=message):
        call()
