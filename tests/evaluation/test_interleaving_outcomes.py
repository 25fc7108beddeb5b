"""Preferences of a log of interleaved searches: by hand, against scipy, and over logs whose preference is known."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ltr.errors import ConfigError, DataError
from ltr.evaluation.interleaving import credit, interleave
from ltr.evaluation.interleaving_outcomes import by_search, by_unit, preference, ratio_of


def log_of(searches):
    """Impressions of (search, user, [(team, clicked), ...])."""
    rows = [
        (search, user, place, team, clicked)
        for search, user, shown in searches
        for place, (team, clicked) in enumerate(shown, 1)
    ]
    schema = {
        "search_id": pl.String,
        "user_id": pl.String,
        "position": pl.UInt16,
        "team": pl.String,
        "clicked": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def searches_of(net, users):
    """What ``by_search`` gives of searches won by B (1), by A (−1) or by none (0)."""
    first, second = [int(each <= 0) for each in net], [int(each >= 0) for each in net]
    names = [f"s{at}" for at in range(len(net))]
    return pl.DataFrame({"search_id": names, "user_id": users, "shown_on": None, "first": first, "second": second})


SMALL = [
    ("s1", "u1", [("A", False), ("B", True), (None, True)]),
    ("s2", "u1", [("B", True), ("A", False)]),
    ("s3", "u2", [("A", True), ("B", False)]),
    ("s4", "u2", [("A", True), ("B", True)]),
    ("s5", "u3", [("A", False), ("B", False)]),
    ("s6", "u4", [(None, True), (None, False)]),
    ("s7", None, [("A", True), ("B", False)]),
]


def test_the_preference_by_hand():
    found = preference(by_search(log_of(SMALL)))
    assert found.delta == (2 + 1 / 2) / (2 + 1 + 1) - 1 / 2
    assert (found.wins_second, found.wins_first, found.ties, found.searches, found.users) == (2, 1, 1, 5, 2)
    # Of net ½(2, −1) and 2, 2 searches: Δ = ⅛, values (½ and −¼) a search.
    values = np.array([1 / 2, -1 / 4])
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (found.low, found.high) == (-0.5, 0.5)


def test_users_not_searches_are_what_varies():
    net = [1, 1, -1, 1, 1, 1, -1, 1, 1, -1] * 4
    alone = preference(searches_of(net, [f"u{at}" for at in range(40)]))
    together = preference(searches_of(net, [f"u{at // 10}" for at in range(40)]))
    assert alone.delta == together.delta == 0.2
    assert alone.p_value == pytest.approx(stats.ttest_1samp(np.array(net) / 2, 0).pvalue)
    assert together.users == 4
    # Each of the four is as the others: nothing varies.
    assert together.p_value == 0


def test_the_sign_test_is_scipys():
    net = [1] * 14 + [-1] * 4 + [0] * 5
    found = preference(searches_of(net, [f"u{at}" for at in range(23)]), test="sign")
    assert found.p_value == pytest.approx(stats.binomtest(14, 18).pvalue)


def test_the_bootstrap_is_near_the_t():
    rng = np.random.default_rng(7)
    net = rng.choice([-1, 0, 1], p=[0.25, 0.4, 0.35], size=1_500)
    searches = searches_of(net, [f"u{at}" for at in rng.integers(0, 400, size=1_500)])
    t, drawn = preference(searches), preference(searches, test="bootstrap", resamples=4_000)
    assert (drawn.low, drawn.high) == pytest.approx((t.low, t.high), abs=0.003)
    assert drawn.p_value == pytest.approx(t.p_value, abs=0.01)
    assert drawn == preference(searches, test="bootstrap", resamples=4_000)


def test_one_text_a_search_has_the_teams_of_its_list():
    listed = [
        (search, user, [(",".join(team or "" for team, _ in shown), clicked) for _, clicked in shown])
        for search, user, shown in SMALL
    ]
    found = by_search(log_of(listed))
    # Such a text says that s6 was interleaved, though nothing in it belongs to a team.
    assert found.row(-1) == ("s6", "u4", None, 0, 0)
    assert found.head(-1).equals(by_search(log_of(SMALL)))


def test_teams_may_have_other_names():
    renamed = log_of(SMALL).with_columns(pl.col("team").replace({"A": "bm25", "B": "forest"}))
    assert by_search(renamed, teams=("bm25", "forest")).equals(by_search(log_of(SMALL)))


@settings(max_examples=40)
@given(
    first=st.permutations("abcde"),
    second=st.permutations("abcdf"),
    clicked=st.sets(st.sampled_from("abcdef")),
    method=st.sampled_from(["team_draft", "balanced"]),
)
def test_points_in_a_log_are_those_that_the_list_gives(first, second, clicked, method):
    made = interleave(first, second, seed="s", method=method, length=5)
    shown = [(team, product in clicked) for product, team in zip(made.product_ids, made.teams, strict=True)]
    always = ("t", "u", [("A", True), ("B", False)])
    found = by_search(log_of([("s", "u", shown), always])).filter(pl.col("search_id") == "s")
    points = made.credit(clicked)
    assert points == credit([team for team, one in shown if one])
    assert found.select("first", "second").rows() == ([tuple(points)] if any(made.teams) else [(0, 0)])


def test_intervals_hold_a_known_preference_of_users_who_differ():
    rng = np.random.default_rng(11)
    tests, users = 600, 150
    # A user's searches lean one way or the other: E Δ = 0.05 in a ratio of sums, as all users search alike.
    leaning = np.clip(rng.normal(0.55, 0.2, size=(tests, users)), 0, 1)
    decided = rng.poisson(4, size=(tests, users)) + 1.0
    net = 2 * rng.binomial(decided.astype(int), leaning) - decided
    truth = np.clip(rng.normal(0.55, 0.2, size=10**6), 0, 1).mean() - 0.5
    low, high = ratio_of(net, decided).interval()
    held = np.mean((low <= truth) & (truth <= high))
    assert held == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / tests))
    # Searches taken for independent would be wrong.
    naive = np.sqrt(0.25 / decided.sum(axis=1))
    centre = net.sum(axis=1) / (2 * decided.sum(axis=1))
    assert np.mean(np.abs(centre - truth) <= 1.96 * naive) < 0.9


def test_a_log_without_a_point_prefers_nobody():
    found = preference(by_search(log_of([("s", "u", [("A", False), ("B", False)])])))
    assert math.isnan(found.delta)
    assert (found.p_value, found.proven, found.users, found.searches) == (1, False, 0, 1)
    assert by_unit(by_search(log_of(SMALL)))["decided"].to_list() == [2, 2]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (log_of(SMALL).drop("team"), r"the impressions lack \['team'\]"),
        (log_of(SMALL).with_columns(team=pl.lit(None, dtype=pl.String)), "no search of the log is interleaved"),
        (log_of(SMALL).with_columns(team=pl.lit("")), "no search of the log is interleaved"),
        (
            log_of(SMALL).with_columns(pl.col("team").replace({"A": "C"})),
            r"the log has teams \['C'\]; teams are \['A', 'B'\]",
        ),
        (
            log_of([("s1", "u", [("A", True)] * 2), ("s2", "u", [("B", True)] * 2)]),
            "every search has one team for all its products; where the log has one text",
        ),
    ],
)
def test_a_log_that_says_nothing_of_teams_is_refused(log, message):
    with pytest.raises(DataError, match=message):
        by_search(log)


def test_an_unknown_test_is_told():
    with pytest.raises(ConfigError, match="test 'wilcoxon' is unknown; tests: bootstrap, sign, t"):
        preference(by_search(log_of(SMALL)), test="wilcoxon")
