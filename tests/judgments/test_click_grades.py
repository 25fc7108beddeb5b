"""Grades from clicks: on the scale, whole, by value, with the confidence of the examinations behind them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.frames import check
from ltr.judgments import PBM
from ltr.judgments.grades import Satisfaction, judge, values
from ltr.judgments.priors import FittedPrior
from ltr.measures import scale


@dataclass(frozen=True)
class Attracts:
    attraction: pl.DataFrame
    prior: FittedPrior


def model(*attraction, examined=10.0, **more):
    n = len(attraction)
    return Attracts(
        pl.DataFrame(
            {
                "query_id": ["q"] * n,
                "product_id": [f"p{at}" for at in range(n)],
                "attraction": np.array(attraction, dtype=np.float64),
                "clicked": np.ones(n, dtype=np.uint32),
                "examined": np.full(n, examined),
                **more,
            }
        ),
        FittedPrior(0.2, 5.0),
    )


LOG = pl.DataFrame({"query_id": "q", "product_id": "p0", "clicked": True})


def test_grades_are_the_share_of_the_best_value_on_the_scale():
    found = judge(model(0.8, 0.5, 0.29, 0.05), LOG, scale=scale("graded"))
    assert found["grade"].to_list() == [round(4 * value / 0.8) for value in (0.8, 0.5, 0.29, 0.05)]
    assert judge(model(0.8, 0.2), LOG, scale=scale("0-10"), top=0.4)["grade"].to_list() == [10, 5]


def test_the_best_is_that_of_the_median_query():
    several = model(0.9, 0.6, 0.3)
    several = Attracts(several.attraction.with_columns(query_id=pl.Series(["a", "b", "c"])), several.prior)
    assert judge(several, LOG, scale=scale("graded"))["grade"].to_list() == [4, 4, 2]


def test_the_weight_is_the_share_of_the_posterior_that_is_data():
    found = judge(model(0.5, examined=15.0), LOG, scale=scale("graded"))
    assert found["weight"].to_list() == [15 / (15 + 5)]


def test_the_weight_is_one_minus_the_expected_posterior_variance_over_the_priors():
    # Beta(1, 4): draw a, then clicks in 15 examinations, then the posterior's variance
    rng = np.random.default_rng(7)
    clicks = rng.binomial(15, rng.beta(1, 4, size=200_000))
    variance = (1 + clicks) * (4 + 15 - clicks) / (20**2 * 21)
    assert 1 - variance.mean() / (1 * 4 / (5**2 * 6)) == pytest.approx(15 / 20, abs=0.005)


@given(
    attraction=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    name=st.sampled_from(["binary", "graded", "esci", "0-30"]),
    examined=st.floats(0, 1e6),
)
def test_grades_are_whole_on_the_scale_and_never_fall_as_attraction_rises(attraction, name, examined):
    on = scale(name)
    found = judge(model(*attraction, examined=examined), LOG, scale=on, top=0.5)
    grades = found["grade"].to_numpy()
    assert check(found, "judgments").equals(found)
    assert (grades == np.round(grades)).all()
    assert grades.min() >= 0
    assert grades.max() <= on.maximum
    assert (np.diff(grades[np.argsort(attraction)]) >= 0).all()
    assert found["weight"].is_between(0, 1).all()


def test_satisfaction_of_the_model_counts_as_weighed():
    chosen = model(0.5, 0.5, satisfaction=np.array([1.0, 0.2]))
    assert values(chosen.attraction, LOG, weights=Satisfaction(click=0, satisfied=1)).tolist() == [0.5, 0.1]
    assert values(chosen.attraction, LOG, weights=Satisfaction(click=1, satisfied=3)).tolist() == [
        0.5,
        0.5 * (1 + 3 * 0.2) / 4,
    ]
    with pytest.raises(ConfigError, match="knows no satisfaction; use sdbn or dbn"):
        values(model(0.5).attraction, LOG, weights=Satisfaction(satisfied=1))


def clicks(purchases, revenue=None):
    n = len(purchases)
    return pl.DataFrame(
        {
            "query_id": ["q"] * n,
            "product_id": [f"p{at % 2}" for at in range(n)],
            "clicked": True,
            "purchase": purchases,
            "add_to_cart": purchases,
            "dwell_s": pl.Series([40.0 if bought else 5.0 for bought in purchases], dtype=pl.Float32),
            "revenue": revenue or [10.0 if bought else None for bought in purchases],
        }
    )


@pytest.mark.parametrize("name", ["purchase", "add_to_cart", "dwell", "revenue"])
def test_what_follows_a_click_raises_the_value_of_the_product_it_follows(name):
    log = clicks([True, False] * 200)
    chosen = model(0.5, 0.5)
    bought, left = values(chosen.attraction, log, weights=Satisfaction(click=0, **{name: 1.0}))
    assert bought == pytest.approx(0.5, abs=0.02)
    assert left == pytest.approx(0, abs=0.02)


def test_one_purchase_is_not_certainty():
    log = clicks([True, False, *[False, True, False, False] * 50])
    rate = values(model(1.0, 1.0, 1.0).attraction, log.with_columns(product_id=pl.Series(["p2", "p0", *["p0", "p1"] * 100])),
                  weights=Satisfaction(click=0, purchase=1))  # fmt: skip
    assert 0.2 < rate[2] < 1.0


def test_revenue_counts_up_to_the_95th_percentile_of_purchases():
    log = clicks([True] * 40, revenue=[10.0] * 38 + [20.0, 1e9])
    assert values(model(1.0, 1.0).attraction, log, weights=Satisfaction(click=0, revenue=1)).max() <= 1.0


def test_clicks_that_nothing_follows_are_worth_nothing_beside_the_click():
    found = values(model(0.5, 0.5).attraction, clicks([False, False]), weights=Satisfaction(click=1, purchase=1))
    assert found.tolist() == [0.25, 0.25]


def test_faults_are_told_before_anything_is_graded():
    with pytest.raises(ConfigError, match="weights of satisfaction"):
        Satisfaction(click=0)
    with pytest.raises(ConfigError, match="weights of satisfaction"):
        Satisfaction(purchase=-1)
    with pytest.raises(ConfigError, match="a top value of 2"):
        judge(model(0.5), LOG, scale=scale("graded"), top=2.0)
    with pytest.raises(DataError, match=r"the log lacks \['dwell_s'\]"):
        values(model(0.5).attraction, LOG, weights=Satisfaction(dwell=1))


def test_grades_of_a_fitted_model_follow_the_truth(two_rankings):
    pairs, log, _ = two_rankings
    found = judge(PBM.fit(log), log.lazy(), scale=scale("graded"))
    joined = found.join(pairs, on=["query_id", "product_id"])
    sure = joined.filter(pl.col("weight") > 0.97)
    means = sure.group_by("attraction").agg(pl.col("grade").mean()).sort("attraction")["grade"].to_list()
    assert means == sorted(means)
    assert (means[0], means[-1]) == (pytest.approx(0.4, abs=0.3), pytest.approx(4, abs=0.2))
