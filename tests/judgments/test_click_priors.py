"""Priors: what a pair is believed to attract before it is clicked, from the log and from what is above it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.judgments.priors import FittedPrior, Prior


def counts(clicked, examined, products=None):
    n = len(clicked)
    return pl.DataFrame(
        {
            "query_id": [f"q{at}" for at in range(n)],
            "product_id": products or [f"p{at}" for at in range(n)],
            "clicked": np.asarray(clicked, dtype=np.float64),
            "examined": np.asarray(examined, dtype=np.float64),
        }
    )


def test_one_click_is_not_certainty():
    found = Prior(mean=0.1, strength=9).fit(counts([1, 0], [1, 1])).smoothed(counts([1], [1]))
    assert found.tolist() == [(9 * 0.1 + 1) / (9 + 1)]


@pytest.mark.parametrize(("mean", "strength"), [(0.2, 5.0), (0.5, 2.0), (0.05, 30.0)])
def test_mean_and_strength_are_those_that_the_pairs_were_drawn_from(mean, strength):
    rng = np.random.default_rng(7)
    attraction = rng.beta(mean * strength, (1 - mean) * strength, size=40_000)
    examined = rng.integers(1, 60, size=40_000)
    found = Prior().fit(counts(rng.binomial(examined, attraction), examined))
    assert found.mean == pytest.approx(mean, rel=0.02)
    assert found.strength == pytest.approx(strength, rel=0.1)


def test_moments_allow_for_examinations_that_are_not_certain():
    rng = np.random.default_rng(7)
    attraction, examination = rng.beta(0.3 * 4, 0.7 * 4, size=60_000), rng.choice([1.0, 0.2], size=60_000)
    shown = rng.integers(1, 40, size=60_000)
    clicked = rng.binomial(shown, attraction * examination)
    found = Prior().fit(counts(clicked, shown * examination), squares=shown * examination**2)
    assert (found.mean, found.strength) == (pytest.approx(0.3, rel=0.03), pytest.approx(4, rel=0.1))


def test_pairs_that_do_not_differ_are_drawn_together_wholly():
    rng = np.random.default_rng(7)
    assert Prior().fit(counts(rng.binomial(50, 0.3, size=5_000), [50] * 5_000)).strength > 500


@given(
    clicked=st.lists(st.integers(0, 5), min_size=2, max_size=20).filter(any),
    mean=st.floats(0.01, 0.99),
    strength=st.floats(0.1, 100),
)
def test_a_smoothed_rate_lies_between_the_rate_and_the_mean(clicked, mean, strength):
    frame = counts(clicked, [5] * len(clicked))
    found = Prior(mean=mean, strength=strength).fit(frame).smoothed(frame)
    rate = np.array(clicked) / 5
    assert (found <= np.maximum(rate, mean) + 1e-12).all()
    assert (found >= np.minimum(rate, mean) - 1e-12).all()


CATALOGUE = pl.DataFrame(
    {"product_id": ["p0", "p1", "p2", "new"], "category": ["shoes"] * 4, "brand": ["good", "good", "bad", "good"]}
)


def test_a_new_product_starts_from_its_brand_and_an_unknown_one_from_all():
    prior = Prior(levels=("category", "brand"), products=CATALOGUE)
    frame = counts([90, 80, 2], [100, 100, 100], ["p0", "p1", "p2"])
    found = prior.fit(frame)
    new, bad, unknown = found.of(pl.DataFrame({"product_id": ["new", "p2", "other"]}))
    assert bad < found.mean < new
    assert unknown == found.mean


def test_a_level_is_drawn_to_the_one_above_by_the_given_strength():
    found = Prior(mean=0.5, strength=10, levels=("category", "brand"), products=CATALOGUE).fit(
        counts([90, 80, 2], [100, 100, 100], ["p0", "p1", "p2"])
    )
    category = (10 * 0.5 + 172) / (10 + 300)
    assert found.of(pl.DataFrame({"product_id": ["new"]}))[0] == pytest.approx((10 * category + 170) / (10 + 200))


def test_a_product_starts_from_what_it_does_for_other_queries():
    frame = counts([50, 0, 0], [100, 100, 100], ["p", "p", "r"]).with_columns(query_id=pl.Series(["a", "b", "a"]))
    found = Prior(levels=("product_id",)).fit(frame)
    assert found.of(pl.DataFrame({"product_id": ["p"]}))[0] > found.of(pl.DataFrame({"product_id": ["r"]}))[0]


def test_impossible_priors_are_refused():
    for given_, said in [
        ({"mean": 1.0}, "no probability"),
        ({"strength": 0.0}, "cannot be"),
        ({"mean": -1.0}, "between 0 and 1"),
    ]:
        with pytest.raises(ConfigError, match=said):
            Prior(**given_)
    with pytest.raises(DataError, match=r"lack the prior's levels \['size'\]"):
        Prior(levels=("size",), products=CATALOGUE)
    with pytest.raises(DataError, match="nothing in the log was clicked"):
        Prior().fit(counts([0, 0], [1, 1]))


def test_a_fitted_prior_without_levels_is_one_mean():
    assert FittedPrior(0.3, 2.0).of(pl.DataFrame({"product_id": ["a", "b"]})).tolist() == [0.3, 0.3]
