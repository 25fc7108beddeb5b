"""A/B tests from impressions: sums by user, effects by hand and by scipy, CUPED, Holm, sample ratio, daily looks."""

import itertools
import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ltr.errors import ConfigError, DataError
from ltr.evaluation.abtest import MEASURES, analyse, effects
from ltr.evaluation.abtest_looks import abtest_looks, interleaving_looks
from ltr.evaluation.abtest_users import Days, by_day, totals
from ltr.evaluation.interleaving_outcomes import by_search
from ltr.evaluation.sequential import always_valid
from ltr.evaluation.significance import holm

START = datetime(2026, 1, 1, tzinfo=UTC)


def shown(search, user, variant, clicks, *, day=0, bought=0, revenue=0.0, size=4):
    """Impressions of one search whose first products are clicked, and the first of those bought."""
    return [
        {
            "search_id": search,
            "user_id": user,
            "variant": variant,
            "position": place,
            "shown_at": START + timedelta(days=day, hours=3),
            "clicked": place <= clicks,
            "purchase": place <= bought,
            "revenue": revenue if place <= bought else 0.0,
        }
        for place in range(1, size + 1)
    ]


SMALL = pl.DataFrame(
    [
        *shown("s1", "u1", "control", 2),
        *shown("s2", "u1", "control", 1, day=1, bought=1, revenue=20.0),
        *shown("s3", "u1", "control", 1, day=2, bought=1, revenue=5.0),
        *shown("s4", "u2", "control", 0),
        *shown("s5", "u3", "treatment", 3, day=1),
        *shown("s6", "u4", "treatment", 1, day=1, bought=1, revenue=8.0),
        *shown("s7", "u5", "treatment", 1),
        *shown("s8", "u5", "control", 1),
        *shown("s9", None, "control", 1),
        *shown("s10", "u6", None, 1),
    ]
)


def users_of(rng, count, rate, *, variant):
    """Users with a geometric number of searches and a rate of their own."""
    searches = rng.geometric(0.3, size=count)
    own = np.clip(rng.normal(rate, 0.15, size=count), 0, 1)
    clicks = rng.binomial(searches, own)
    return pl.DataFrame(
        {
            "user_id": [f"{variant}{at}" for at in range(count)],
            "variant": variant,
            "users": 1,
            "searches": searches,
            "clicks": clicks,
            "converted": (rng.random(count) < own).astype(int),
        }
    )


def test_the_sums_of_each_user_by_day():
    days = by_day(SMALL)
    assert (days.several, days.unknown) == (1, 2)
    of_u1 = days.days.filter(pl.col("user_id") == "u1")
    assert of_u1["users"].to_list() == [1, 0, 0]
    assert of_u1["converted"].to_list() == [0, 1, 0]
    assert of_u1["clicks"].to_list() == [2, 1, 1]
    assert of_u1["revenue"].to_list() == [0, 20, 5]
    whole = totals(days.days)
    assert whole.filter(pl.col("user_id") == "u1").drop("user_id", "variant").row(0, named=True) == {
        "users": 1, "searches": 3, "impressions": 12, "clicks": 4, "clicked_searches": 3,
        "purchases": 2, "converted": 1, "revenue": 25.0,
    }  # fmt: skip
    assert totals(days.days, until=date(2026, 1, 1))["user_id"].to_list() == ["u1", "u2"]


def test_every_measure_by_hand():
    found = {
        each.measure: each for each in effects(totals(by_day(SMALL).days), control="control", measures=list(MEASURES))
    }
    by_hand = {
        "CTR": (4 / 16, 4 / 8),
        "clicks_per_search": (4 / 4, 4 / 2),
        "clicked_searches": (3 / 4, 2 / 2),
        "conversion": (1 / 2, 1 / 2),
        "purchases_per_search": (2 / 4, 1 / 2),
        "revenue_per_user": (25 / 2, 8 / 2),
        "revenue_per_search": (25 / 4, 8 / 2),
    }
    assert {name: (each.control, each.treatment) for name, each in found.items()} == by_hand
    for each in found.values():
        assert each.difference == pytest.approx(each.treatment - each.control)
        assert each.lift == pytest.approx(each.treatment / each.control - 1)


def test_a_measure_by_user_is_welchs_t_test():
    rng = np.random.default_rng(7)
    users = pl.concat([users_of(rng, 300, 0.4, variant="a"), users_of(rng, 200, 0.5, variant="b")])
    (found,) = effects(users, control="a", measures=["conversion"])
    arms = [users.filter(pl.col("variant") == each)["converted"].to_numpy() for each in "ab"]
    authority = stats.ttest_ind(arms[1], arms[0], equal_var=False)
    assert found.p_value == pytest.approx(authority.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(authority.confidence_interval()))


def test_the_bootstrap_agrees_with_the_delta_method():
    rng = np.random.default_rng(8)
    users = pl.concat([users_of(rng, 600, 0.4, variant="a"), users_of(rng, 600, 0.43, variant="b")])
    (delta,) = effects(users, control="a", measures=["clicks_per_search"])
    (drawn,) = effects(users, control="a", measures=["clicks_per_search"], method="bootstrap", resamples=3_000)
    assert drawn.difference == delta.difference
    assert (drawn.low, drawn.high) == pytest.approx((delta.low, delta.high), abs=0.004)
    assert drawn.p_value == pytest.approx(delta.p_value, abs=0.02)


def test_intervals_hold_the_difference_of_users_who_differ():
    rng = np.random.default_rng(9)
    held = wrong = 0
    for _ in range(400):
        users = pl.concat([users_of(rng, 120, 0.4, variant="a"), users_of(rng, 150, 0.5, variant="b")])
        (found,) = effects(users, control="a", measures=["clicks_per_search"])
        held += found.low <= 0.1 <= found.high
        same = pl.concat([users_of(rng, 120, 0.4, variant="a"), users_of(rng, 150, 0.4, variant="b")])
        wrong += effects(same, control="a", measures=["clicks_per_search"])[0].proven
    assert held / 400 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 400))
    assert wrong / 400 == pytest.approx(0.05, abs=4 * math.sqrt(0.95 * 0.05 / 400))


def test_effects_are_corrected_over_all_measures_and_variants():
    rng = np.random.default_rng(10)
    users = pl.concat([users_of(rng, 200, rate, variant=each) for each, rate in (("a", 0.4), ("b", 0.46), ("c", 0.4))])
    found = effects(users, control="a", measures=["clicks_per_search", "conversion"])
    assert [(each.measure, each.variant) for each in found] == [
        ("clicks_per_search", "b"), ("clicks_per_search", "c"), ("conversion", "b"), ("conversion", "c"),
    ]  # fmt: skip
    assert [each.p_holm for each in found] == holm([each.p_value for each in found])


def test_what_users_did_before_narrows_the_interval_as_far_as_it_correlates():
    rng = np.random.default_rng(11)
    own = np.clip(rng.normal(0.4, 0.25, size=2_000), 0, 1)
    base = pl.DataFrame(
        {"user_id": [f"u{at}" for at in range(2_000)], "variant": ["a", "b"] * 1_000, "users": 1, "searches": 20}
    )
    before, during = (base.with_columns(clicks=pl.Series(rng.binomial(20, own))) for _ in range(2))
    (plain,) = effects(during, control="a", measures=["clicks_per_search"])
    (adjusted,) = effects(during, control="a", measures=["clicks_per_search"], before=before)
    rho = np.corrcoef(before["clicks"].to_numpy(), during["clicks"].to_numpy())[0, 1]
    narrowed = (adjusted.high - adjusted.low) / (plain.high - plain.low)
    assert narrowed == pytest.approx(math.sqrt(1 - rho**2), rel=0.02)
    # New users have the mean of the others: with none known, nothing changes.
    unknown = before.with_columns(user_id=pl.lit("x") + pl.col("user_id"))
    assert effects(during, control="a", measures=["clicks_per_search"], before=unknown)[0].p_value == plain.p_value


def days_of(users):
    return Days(users.with_columns(day=START.date()).pipe(_filled), 0, 0)


def _filled(users):
    given = {name: pl.lit(0) for name in ("impressions", "clicked_searches", "purchases") if name not in users.columns}
    return users.with_columns(**given, revenue=pl.lit(None, dtype=pl.Float64))


def test_wrong_shares_prove_nothing():
    rng = np.random.default_rng(12)
    users = pl.concat([users_of(rng, 1_000, 0.3, variant="a"), users_of(rng, 700, 0.6, variant="b")])
    found = analyse(days_of(users), control="a")
    assert found.sample_ratio.mismatch
    assert found.effects[0].p_holm < 1e-6
    assert not any(each.proven for each in found.effects)
    intended = analyse(days_of(users), control="a", weights={"a": 10, "b": 7})
    assert not intended.sample_ratio.mismatch
    assert intended.effects[0].proven
    assert [each.measure for each in intended.effects] == ["clicks_per_search", "conversion"]


def test_the_measures_by_default_have_revenue_where_the_log_has_it():
    found = analyse(by_day(SMALL), control="control")
    assert [each.measure for each in found.effects] == ["clicks_per_search", "conversion", "revenue_per_user"]
    assert (found.several, found.unknown, found.searches) == (1, 2, {"control": 4, "treatment": 2})
    without = analyse(by_day(SMALL.drop("revenue")), control="control")
    assert [each.measure for each in without.effects] == ["clicks_per_search", "conversion"]


def test_a_measure_without_events_is_no_difference():
    quiet = SMALL.with_columns(clicked=pl.lit(False))
    (found,) = effects(totals(by_day(quiet).days), control="control", measures=["clicks_per_search"])
    assert (found.difference, found.p_value) == (0, 1)
    assert math.isnan(found.lift)


def test_looks_are_those_of_the_days_so_far():
    rng = np.random.default_rng(13)
    log = pl.DataFrame(
        [
            row
            for at in range(600)
            for user in [f"u{at % 250}"]
            for row in shown(f"s{at}", user, ("a", "b")[(at % 250) % 2], int(rng.integers(0, 4)), day=at // 100)
        ]
    )
    days = by_day(log)
    looks = abtest_looks(days.days, control="a", variant="b", measure="clicks_per_search", planned=250)
    assert [look.users for look in looks] == [100, 200, 250, 250, 250, 250]
    last = analyse(days, control="a", measures=["clicks_per_search"]).effects[0]
    assert looks[-1].difference == last.difference
    on = [
        analyse(
            Days(days.days.filter(pl.col("day") <= look.day), 0, 0), control="a", measures=["clicks_per_search"]
        ).effects[0]
        for look in looks
    ]
    errors = [
        (each.high - each.low) / 2 / stats.t(look.users - 2).ppf(0.975) for each, look in zip(on, looks, strict=True)
    ]
    expected = always_valid([e.difference for e in on], errors, [look.users for look in looks], planned=250)
    assert [look.p_value for look in looks] == pytest.approx(expected.p_value.tolist(), rel=0.01)
    assert all(one.p_value >= other.p_value for one, other in itertools.pairwise(looks))


def test_looks_at_interleaving_and_at_days_with_too_few_users():
    rows = [
        {"search_id": f"s{at}", "user_id": f"u{at}", "position": place, "team": team, "clicked": team == "B",
         "shown_at": START + timedelta(days=int(at > 0))}
        for at in range(150)
        for place, team in enumerate("AB", 1)
    ]  # fmt: skip
    first, last = interleaving_looks(by_search(pl.DataFrame(rows)), planned=150)
    assert (first.users, first.p_value, last.users, last.difference) == (0, 1, 150, 0.5)
    with pytest.raises(DataError, match="no shown_at"):
        interleaving_looks(by_search(pl.DataFrame(rows).drop("shown_at")), planned=150)


@pytest.mark.parametrize(
    ("change", "how", "fault", "message"),
    [
        ({}, {"control": "controll"}, ConfigError, "nobody saw the control 'controll'; did you mean 'control'"),
        ({}, {"measures": ["ctr"]}, ConfigError, "measure 'ctr' is unknown; did you mean 'CTR'"),
        ({}, {"method": "magic"}, ConfigError, "method 'magic' is unknown"),
        ({}, {"weights": {"control": 1}}, ConfigError, r"users were seen in \['treatment'\]"),
        ({"variant": pl.lit("control")}, {}, DataError, "the log has one variant alone, 'control'"),
        ({"revenue": pl.lit(None, dtype=pl.Float64)}, {"measures": ["revenue_per_user"]}, DataError, "no revenue for"),
        ({"variant": pl.lit(None, dtype=pl.String)}, {}, DataError, "no search of the log has variant;"),
        ({"user_id": pl.lit(None, dtype=pl.String)}, {}, DataError, "no search of the log has user_id;"),
        ({}, {"method": "bootstrap", "before": by_day(SMALL)}, ConfigError, "use the delta method"),
    ],
)
def test_what_cannot_be_analysed_is_told(change, how, fault, message):
    with pytest.raises(fault, match=message):
        analyse(by_day(SMALL.with_columns(**change)), **{"control": "control", **how})


def test_missing_columns_and_unknown_units_are_told():
    with pytest.raises(DataError, match=r"the impressions lack \['variant'\]"):
        by_day(SMALL.drop("variant"))
    with pytest.raises(ConfigError, match="unit 'person' is unknown; units: user_id, session_id, search_id"):
        by_day(SMALL, unit="person")
