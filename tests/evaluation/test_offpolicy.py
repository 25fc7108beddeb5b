"""Off-policy estimates: by hand, by enumeration of a policy, by coverage; and what a log cannot support."""

import itertools
import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from ltr.errors import ConfigError, DataError
from ltr.evaluation.offpolicy import evaluate_policy, value_of
from ltr.evaluation.offpolicy_weights import weighted

RUN = pl.DataFrame({"query_id": ["q"] * 3, "product_id": ["c", "a", "b"], "rank": [1, 2, 3]})


def log_of(rows):
    """Impressions of (search, user, query, product, position, clicked, propensity)."""
    columns = ["search_id", "user_id", "query_id", "product_id", "position", "clicked", "propensity"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.col("propensity").cast(pl.Float32))


BY_HAND = log_of(
    [
        ("s1", "u1", "q", "a", 1, False, 0.5), ("s1", "u1", "q", "b", 2, False, 0.5),
        ("s2", "u1", "q", "b", 1, True, 0.5), ("s2", "u1", "q", "a", 2, True, 0.5),
        ("s3", "u2", "q", "b", 1, True, 0.5), ("s3", "u2", "q", "a", 2, False, 0.5),
        ("s4", "u2", "q", "b", 1, True, 0.5), ("s4", "u2", "q", "a", 2, True, 0.5),
    ]
)  # fmt: skip
SWAPPED = pl.DataFrame({"query_id": ["q", "q"], "product_id": ["b", "a"], "rank": [1, 2]})


def test_ips_and_snips_by_hand():
    # Of four searches three show what the target does: five clicks of weight 2; Σ w = 12 where 8 is due.
    ips = evaluate_policy(BY_HAND, SWAPPED, cutoff=2, method="ips")
    assert ips.value == (5 * 2) / 4
    assert ips.logged == 5 / 4
    assert (ips.searches, ips.users, ips.mean_weight, ips.largest_weight) == (4, 2, 12 / 8, 2)
    assert ips.effective == 12**2 / (6 * 2**2) * 4 / 8
    snips = evaluate_policy(BY_HAND, SWAPPED, cutoff=2)
    assert snips.value == pytest.approx(10 / 12 * 8 / 4)


def test_the_log_s_own_policy_has_the_value_that_was_logged():
    everything = pl.DataFrame(
        {"query_id": "q", "product_id": ["a", "b"] * 2, "position": [1, 1, 2, 2], "probability": 0.5}
    )
    for method in ("ips", "snips"):
        found = evaluate_policy(BY_HAND, everything, cutoff=2, method=method)
        assert found.value == pytest.approx(found.logged) == 5 / 4
        assert found.effective == pytest.approx(4)


def test_ips_is_unbiased_over_all_lists_that_a_shuffle_makes():
    rates = {"a": Fraction(1, 2), "b": Fraction(1, 5), "c": Fraction(4, 5)}
    looks = {1: Fraction(1), 2: Fraction(1, 2), 3: Fraction(1, 3)}
    truth = rates["c"] * looks[1] + rates["a"] * looks[2] + rates["b"] * looks[3]
    # A log with every list once; rewards are the probabilities of a click.
    rows = [
        (f"s{number}", "q", product, place, float(rates[product] * looks[place]), 1 / 3)
        for number, order in enumerate(itertools.permutations("abc"))
        for place, product in enumerate(order, 1)
    ]
    log = pl.DataFrame(
        rows, schema=["search_id", "query_id", "product_id", "position", "revenue", "propensity"], orient="row"
    )
    for method in ("ips", "snips"):
        found = evaluate_policy(log, RUN, cutoff=3, reward="revenue", method=method, unit="search_id")
        assert found.value == pytest.approx(float(truth))
        assert found.mean_weight == pytest.approx(1)


def test_one_action_a_search_is_the_estimator_of_bandits():
    rng = np.random.default_rng(7)
    propensity = np.array([0.7, 0.2, 0.1])
    action = rng.choice(3, p=propensity, size=500)
    reward = rng.random(500)
    log = pl.DataFrame(
        {"search_id": range(500), "query_id": "q", "product_id": np.array(list("abc"))[action], "position": 1,
         "revenue": reward, "propensity": propensity[action]}
    )  # fmt: skip
    w = (action == 2) / propensity[action]
    how = {"cutoff": 1, "reward": "revenue", "unit": "search_id"}
    assert evaluate_policy(log, RUN, method="ips", **how).value == pytest.approx((w * reward).mean())
    assert evaluate_policy(log, RUN, **how).value == pytest.approx((w * reward).sum() / w.sum())
    clipped = evaluate_policy(log, RUN, method="ips", clip=4.0, **how)
    assert clipped.value == pytest.approx((np.minimum(w, 4) * reward).mean())
    assert clipped.clipped == pytest.approx(1 - 4 / 10)
    assert clipped.largest_weight == pytest.approx(10)
    assert evaluate_policy(log, RUN, **how).effective == pytest.approx(w.sum() ** 2 / (w**2).sum())
    # A reward of 1 is known exactly by SNIPS and not by IPS (Swaminathan & Joachims 2015: equivariance).
    ones = log.with_columns(revenue=pl.lit(1.0))
    assert evaluate_policy(ones, RUN, **how).value == pytest.approx(1)
    assert evaluate_policy(ones, RUN, **how).high == pytest.approx(1)
    assert evaluate_policy(ones, RUN, method="ips", **how).value != pytest.approx(1)


def shuffled_log(rng, users):
    """Searches of two queries of four products, shuffled, by users with searches and clicks of their own."""
    made = np.repeat(np.arange(users), rng.geometric(0.3, size=users))
    own = np.clip(rng.normal(1, 0.3, size=users), 0, 2)[made]
    query = (rng.random(len(made)) < 0.3).astype(int)
    order = np.argsort(rng.random((len(made), 4)), axis=1)
    clicked = rng.random(order.shape) < RATES[query[:, None], order] * own[:, None] / np.arange(1, 5)
    flat = np.repeat(np.arange(len(made)), 4)
    return pl.DataFrame(
        {
            "search_id": flat,
            "user_id": made[flat],
            "query_id": np.array(["q", "r"])[query[flat]],
            "product_id": np.array(list("abcd"))[order.ravel()],
            "position": np.tile(np.arange(1, 5), len(made)),
            "clicked": clicked.ravel(),
            "propensity": np.float32(0.25),
        }
    )


RATES = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.1, 0.2]])
BEST = pl.DataFrame(
    {"query_id": ["q"] * 4 + ["r"] * 4, "product_id": [*"dcba", *"adbc"], "rank": [1, 2, 3, 4] * 2}
)  # fmt: skip


def test_intervals_hold_the_truth():
    rng = np.random.default_rng(7)
    places = 1 / np.arange(1, 5)
    truth = 0.7 * (RATES[0, [3, 2, 1, 0]] * places).sum() + 0.3 * (RATES[1, [0, 3, 1, 2]] * places).sum()
    held = {(method, interval): 0 for method in ("ips", "snips") for interval in ("t", "bootstrap")}
    for number in range(250):
        sums = weighted(shuffled_log(rng, 250), BEST, cutoff=4)
        for method, interval in held:
            found = value_of(sums, method=method, interval=interval, resamples=400, seed=number)
            held[method, interval] += found.low <= truth <= found.high
    for times in held.values():
        assert times / 250 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 250))


def test_the_same_seed_draws_the_same_interval():
    log = shuffled_log(np.random.default_rng(8), 100)
    one, other = (evaluate_policy(log, BEST, cutoff=4, interval="bootstrap", seed=3) for _ in range(2))
    assert one == other
    t = evaluate_policy(log, BEST, cutoff=4)
    assert (one.low, one.high) == pytest.approx((t.low, t.high), rel=0.1)


REFUSED = {
    "another product stood there for certain": (
        log_of([("s1", "u", "q", "a", 1, True, 1.0)]), RUN, "in 1 of 1 searches the target shows what the log never could"
    ),
    "the products seen have all the probability": (
        BY_HAND, RUN.filter(pl.col("product_id") != "a"), "in 4 of 4 searches .* such as at place 1 of query 'q'"
    ),
    "weights far from 1": (
        # Six products at random, told as if there were two.
        log_of([(f"s{at}", f"u{at}", "q", "abcdef"[at % 6], 1, True, 0.3) for at in range(600)]),
        RUN,
        r"weights have the mean 0\.556 where 1 is due",
    ),
    "never shown": (
        log_of([(f"s{at}", f"u{at}", "q", "xy"[at % 2], 1, True, 0.3) for at in range(50)]), RUN, "weights have the mean 0.000"
    ),
    "no propensity": (
        BY_HAND.with_columns(propensity=pl.lit(None, dtype=pl.Float32)), RUN, "8 of 8 impressions have no propensity above 0"
    ),
    "a propensity of 0": (BY_HAND.with_columns(propensity=pl.lit(0.0)), RUN, "8 of 8 impressions have no propensity"),
    "NaN": (BY_HAND.with_columns(propensity=pl.lit(math.nan)), RUN, "8 of 8 impressions have no propensity"),
    "no such column": (BY_HAND.drop("propensity"), RUN, r"the impressions lack \['propensity'\]"),
    "nobody": (BY_HAND.with_columns(user_id=pl.lit(None, dtype=pl.String)), RUN, "8 impressions have no user_id"),
    "a query without a list": (BY_HAND, RUN.with_columns(query_id=pl.lit("r")), "no list for 1 queries of the log, such as 'q'"),
    "nothing above the cutoff": (BY_HAND.filter(pl.col("position") > 2), RUN, "no impression above the cutoff"),
    "no run": (BY_HAND, RUN.drop("rank"), r"the target lacks \['position'\]"),
    "no distribution": (
        BY_HAND, RUN.with_columns(position=pl.lit(1), probability=pl.lit(0.5)), "probabilities are no distribution"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("log", "target", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_log_does_not_support_is_refused(log, target, message):
    with pytest.raises(DataError, match=message):
        evaluate_policy(log, target, cutoff=2)


def test_propensities_that_differ_from_search_to_search_are_no_proof_of_missing_support():
    # a is likely in the morning, b in the evening; c, at a tenth, was seen at neither.
    rows = [(f"s{at}", f"u{at}", "q", "ab"[at % 2], 1, True, 0.9) for at in range(6)]
    rows += [("s9", "u9", "q", "c", 1, True, 0.1)]
    assert evaluate_policy(log_of(rows), RUN, cutoff=1, method="ips").value == pytest.approx(10 / 7)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reward": "dwell_s"}, "reward 'dwell_s' is unknown; rewards: add_to_cart, clicked, purchase, revenue"),
        ({"method": "dr"}, "method 'dr' is unknown"),
        ({"interval": "normal"}, "interval 'normal' is unknown"),
        ({"cutoff": 0}, "cutoff is 0"),
        ({"clip": 0.0}, "clip 0.0"),
        ({"interval": "bootstrap", "resamples": 0}, "0 resamples"),
    ],
)
def test_options_that_cannot_be_are_told(how, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_policy(BY_HAND, SWAPPED, **{"cutoff": 2, **how})
