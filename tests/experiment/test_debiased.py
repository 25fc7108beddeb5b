"""Examination by the surest method that a log allows."""

import numpy as np
import polars as pl
import pytest

from ltr.experiment.debiased import examination_of
from ltr.simulation import Users, clicks

QUERIES, PLACES = 400, 8


def lists(variants, *, seed=7):
    """Each query's products in as many orders, and how attractive each is."""
    rng = np.random.default_rng(seed)
    frames = []
    attraction = rng.uniform(0.2, 1, size=(QUERIES, PLACES))
    for variant in range(variants):
        order = (
            np.argsort(rng.random((QUERIES, PLACES)), axis=1) if variant else np.tile(np.arange(PLACES), (QUERIES, 1))
        )
        frames.append(
            pl.DataFrame(
                {
                    "query_id": np.repeat([f"q{query:03}" for query in range(QUERIES)], PLACES),
                    "query": np.repeat([f"q{query:03}" for query in range(QUERIES)], PLACES),
                    "product_id": [f"p{place}" for place in order.ravel()],
                    "position": np.tile(np.arange(1, PLACES + 1), QUERIES),
                    "variant": f"v{variant}",
                    "attraction": np.take_along_axis(attraction, order, axis=1).ravel(),
                }
            )
        )
    return pl.concat(frames)


def log(variants, searches=60):
    shown = lists(variants)
    return clicks(shown, shown["attraction"], users=Users("pbm"), searches=searches, seed=7)


def test_one_ranking_tells_nothing_without_features():
    assert examination_of(log(1)) is None


def test_two_rankings_are_harvested():
    how, curve = examination_of(log(2))
    assert how == "intervention harvesting"
    assert curve == pytest.approx(1 / np.arange(1, PLACES + 1), abs=0.05)


def test_logged_randomisation_comes_first_and_the_rest_of_the_list_follows_the_rankings():
    searched = log(2)
    top = (pl.col("position") <= 5) & (pl.col("variant") == "v1")
    told = searched.with_columns(propensity=pl.when(top).then(0.2).otherwise(1.0).cast(pl.Float32))
    how, curve = examination_of(told)
    assert how == "logged randomisation"
    assert len(curve) == PLACES
    assert curve == pytest.approx(1 / np.arange(1, PLACES + 1), abs=0.06)


def test_too_few_products_at_two_places_are_exceptions_of_one_ranking():
    few = pl.concat([log(1), log(2).filter(pl.col("query_id") < "q005").with_columns(pl.col("search_id") + "x")])
    assert examination_of(few) is None
