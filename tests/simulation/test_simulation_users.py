"""Users click as the formulas of their literature say."""

from itertools import product

import numpy as np
import pytest

from ltr.errors import ConfigError, DataError
from ltr.simulation import KINDS, Users, attraction_of
from ltr.simulation.users import examined, shop

ATTRACTION = np.array([0.9, 0.3, 0.1, 0.6])
SEARCHES = 40_000


def clicked(users, attraction=ATTRACTION, searches=SEARCHES, seed=3):
    """bool[searches, positions] of so many searches of one list."""
    size = len(attraction)
    position = np.tile(np.arange(1, size + 1, dtype=np.uint16), searches)
    rows = shop(users, position, np.tile(attraction, searches), np.full(searches, size), np.random.default_rng(seed))
    return rows[0].reshape(searches, size)


def within_luck(seen, probability, count):
    """Whether a share is within four standard errors of its probability."""
    return np.all(np.abs(seen - probability) <= 4 * np.sqrt(probability * (1 - probability) / count) + 1e-12)


PLACE = np.arange(1, 5)
RATES = {
    "pbm": (Users("pbm"), ATTRACTION / PLACE),
    "pbm of mobile users": (Users("pbm", eta=2), ATTRACTION / PLACE**2),
    "pbm that reads all": (Users("pbm", eta=0), ATTRACTION),
    "trust": (
        Users("trust"),
        ((1 - (PLACE + 1) / 100) * ATTRACTION + 0.65 / PLACE * (1 - ATTRACTION)) / PLACE,
    ),
    "cascade": (
        Users("cascade", continuation=0.2),
        ATTRACTION
        * np.array([1, 0.9 * 0.2 + 0.1, (0.9 * 0.2 + 0.1) * (0.3 * 0.2 + 0.7), (0.28) * (0.76) * (0.1 * 0.2 + 0.9)]),
    ),
    "cascade that loses patience": (
        Users("cascade", continuation=0, persistence=0.5),
        ATTRACTION * np.array([1, 0.1 * 0.5, 0.1 * 0.7 * 0.5**2, 0.1 * 0.7 * 0.9 * 0.5**3]),
    ),
    # An attractive product satisfies with σ·a: on goes γ (1 − σ a²).
    "dbn": (
        Users("dbn", satisfaction=0.8, persistence=0.7),
        ATTRACTION * np.cumprod([1, *(0.7 * (1 - 0.8 * ATTRACTION[:3] ** 2))]),
    ),
    "pbm of whom a third leaves": (Users("pbm", abandonment=1 / 3), 2 / 3 * ATTRACTION / PLACE),
    "cascade of whom a third leaves": (
        Users("cascade", continuation=1, abandonment=1 / 3),
        2 / 3 * ATTRACTION,
    ),
}


@pytest.mark.parametrize(("users", "expected"), RATES.values(), ids=RATES)
def test_click_rates_by_position_are_those_of_the_formula(users, expected):
    assert within_luck(clicked(users).mean(axis=0), expected, SEARCHES)


def test_every_pattern_of_cascade_clicks_has_its_probability():
    users, a = Users("cascade", continuation=0.3, persistence=0.8), [0.5, 0.2, 0.7]
    seen = clicked(users, np.array(a))
    for pattern in product([False, True], repeat=3):
        # The probability of the pattern from a position on, given that the position is examined.
        onward = 1.0
        for place in (2, 1, 0):
            here = a[place] if pattern[place] else 1 - a[place]
            goes_on = 0.3 if pattern[place] else 0.8
            stops_well = not any(pattern[place + 1 :])
            onward = here * (goes_on * onward + (1 - goes_on) * stops_well)
        assert within_luck((seen == pattern).all(axis=1).mean(), onward, SEARCHES), pattern


def test_a_cascade_without_continuation_never_clicks_below_a_click():
    seen = clicked(Users("cascade", continuation=0), np.full(12, 0.4), 2_000)
    assert seen.sum(axis=1).max() == 1


def test_abandoned_searches_are_without_any_click():
    seen = clicked(Users("pbm", eta=0, abandonment=0.25), np.ones(5))
    assert set(seen.sum(axis=1).tolist()) == {0, 5}
    assert within_luck((~seen).all(axis=1).mean(), 0.25, SEARCHES)


EXAMINED = {
    "pbm": (Users("pbm", abandonment=0.1), 0.9 / PLACE),
    "trust": (Users("trust"), 1 / PLACE),
    "cascade": (Users("cascade", continuation=0), [1, 0.1, 0.1 * 0.7, 0.1 * 0.7 * 0.9]),
    "dbn": (Users("dbn", satisfaction=1, persistence=1), np.cumprod([1, *(1 - ATTRACTION[:3] ** 2)])),
}


@pytest.mark.parametrize(("users", "expected"), EXAMINED.values(), ids=EXAMINED)
def test_the_truth_of_examination_is_the_formula(users, expected):
    found = examined(users, np.arange(1, 5, dtype=np.uint16), ATTRACTION, np.array([4]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_true_explains_the_click_rates_of_every_kind(kind):
    users = Users(kind, abandonment=0.2)
    looks = examined(users, np.arange(1, 5, dtype=np.uint16), ATTRACTION, np.array([4]))
    relevant, irrelevant = users.trusted(4)
    expected = looks * (relevant * ATTRACTION + irrelevant * (1 - ATTRACTION))
    assert within_luck(clicked(users).mean(axis=0), expected, SEARCHES)


def test_carts_follow_clicks_and_purchases_follow_carts_with_the_given_odds():
    users = Users("pbm", eta=0, carting=0.5, buying=0.3)
    position = np.ones(SEARCHES, dtype=np.uint16)
    rows = shop(users, position, np.full(SEARCHES, 0.8), np.ones(SEARCHES, dtype=np.int64), np.random.default_rng(1))
    clicks, carts, purchases = rows
    assert not (carts & ~clicks).any()
    assert not (purchases & ~carts).any()
    assert within_luck(carts[clicks].mean(), 0.5 * 0.8, clicks.sum())
    assert within_luck(purchases[carts].mean(), 0.3, carts.sum())


def test_attraction_on_a_binary_scale_is_ten_per_cent_noise():
    assert attraction_of([0, 1], 1).tolist() == [0.1, 1.0]
    assert attraction_of([0, 1], 1, noise=0).tolist() == [0.0, 1.0]


def test_attraction_rises_with_the_gain_of_the_grade():
    exponential = [0.1 + 0.9 * (2**grade - 1) / 15 for grade in range(5)]
    np.testing.assert_allclose(attraction_of(range(5), 4), exponential)
    np.testing.assert_allclose(attraction_of(range(5), 4, gains="linear"), [0.1 + 0.9 * g / 4 for g in range(5)])
    np.testing.assert_allclose(attraction_of([0, 1, 2, 3], 3, gains="esci", noise=0), [0, 0.01, 0.1, 1])


@pytest.mark.parametrize("grades", [[-1], [2], [0.5], [float("nan")]])
def test_a_grade_off_the_scale_is_refused(grades):
    with pytest.raises(DataError, match="not one of 0 to 1"):
        attraction_of(grades, 1)


REFUSED = {
    "kind": ({"kind": "pmb"}, "did you mean 'pbm'"),
    "eta": ({"eta": -1}, "eta is -1"),
    "endless eta": ({"eta": float("inf")}, "eta is inf"),
    "share": ({"abandonment": 1.1}, "abandonment is 1.1"),
    "patience": ({"persistence": float("nan")}, "persistence is nan"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_users_that_cannot_be_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Users(**given)


def test_noise_that_is_no_probability_is_refused():
    with pytest.raises(ConfigError, match="noise is 2"):
        attraction_of([0], 1, noise=2)
