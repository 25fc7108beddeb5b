"""Randomised traffic shows the same products in an order of luck, and logs its odds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.simulation import SCHEMES, Season
from ltr.simulation.traffic import rearranged


def rearrange(sizes, chosen, *, seed=1, **season):
    sizes = np.array(sizes)
    position = np.concatenate([np.arange(1, size + 1) for size in sizes]).astype(np.uint16)
    return rearranged(position, sizes, np.array(chosen), Season(**season), np.random.default_rng(seed))


@settings(max_examples=80)
@given(
    searches=st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=8),
    top=st.integers(1, 10),
    scheme=st.sampled_from(SCHEMES),
    seed=st.integers(0, 10**6),
)
def test_each_list_keeps_its_products_and_what_is_below_the_top(searches, top, scheme, seed):
    sizes, chosen = zip(*searches, strict=True)
    shows, propensity = rearrange(sizes, chosen, seed=seed, top=top, scheme=scheme)
    start = 0
    for size, lucky in searches:
        rows = np.arange(start, start + size)
        assert sorted(shows[rows]) == rows.tolist()
        fixed = rows[min(size, top) :] if lucky else rows
        assert (shows[fixed] == fixed).all()
        assert (propensity[fixed] == 1).all()
        if scheme == "swap":
            assert np.abs(shows[rows] - rows).max() <= 1
            assert set(propensity[rows]) <= {np.float32(0.5), np.float32(1)}
            assert (propensity[rows][shows[rows] != rows] == 0.5).all()
        elif lucky:
            assert (propensity[rows[:top]] == np.float32(1 / min(size, top))).all()
        start += size


def test_a_shuffle_brings_each_product_to_each_place_equally_often():
    searches = 20_000
    shows, _ = rearrange([4] * searches, [True] * searches, top=3)
    shown = shows.reshape(searches, 4) - 4 * np.arange(searches)[:, None]
    for place in range(3):
        share = np.bincount(shown[:, place], minlength=4) / searches
        assert np.abs(share[:3] - 1 / 3).max() <= 4 * np.sqrt(2 / 9 / searches)


@pytest.mark.parametrize("place", range(5))
def test_a_pair_changes_places_with_the_odds_that_are_logged(place):
    searches = 20_000
    shows, propensity = rearrange([5] * searches, [True] * searches, scheme="swap")
    paired = propensity.reshape(searches, 5)[:, place] == 0.5
    stays = (shows.reshape(searches, 5)[:, place] == 5 * np.arange(searches) + place)[paired]
    assert abs(stays.mean() - 0.5) <= 4 * np.sqrt(0.25 / paired.sum())
    # The pairs begin at place 1 or 2, so that the ends have a neighbour in half of the searches.
    expected = 0.5 if place in (0, 4) else 1
    assert abs(paired.mean() - expected) <= 4 * np.sqrt(expected * (1 - expected) / searches)
