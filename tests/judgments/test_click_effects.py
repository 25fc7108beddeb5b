"""Examination from pairs seen at several places: what identifies it, without bias however few searches a pair has."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import DataError
from ltr.judgments import PBM
from ltr.judgments.acceleration import squarem
from ltr.judgments.effects import LEAST, effects, filled
from ltr.judgments.priors import FittedPrior
from ltr.judgments.statistics import Cells, by_position


def cells_of(*rows):
    """Cells from (pair, position, shown, clicked)."""
    names = sorted({row[0] for row in rows})
    ordered = sorted(rows)
    sizes = [sum(row[0] == name for row in rows) for name in names]
    return Cells(
        pl.DataFrame({"query_id": names, "product_id": names}),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.array([row[1] - 1 for row in ordered], dtype=np.int32),
        np.array([row[2] for row in ordered], dtype=np.float64),
        np.array([row[3] for row in ordered], dtype=np.float64),
        max(row[1] for row in rows),
    )


def test_two_places_of_one_pair_relate_as_their_rates():
    found = effects(cells_of(("a", 1, 10, 8), ("a", 2, 20, 8)))
    assert found.examination == pytest.approx([1, (8 / 20) / (8 / 10)])
    assert found.converged


def test_a_chain_of_pairs_ties_places_that_no_pair_has_in_common():
    found = effects(cells_of(("a", 1, 10, 8), ("a", 2, 10, 4), ("b", 2, 10, 6), ("b", 3, 10, 3)))
    assert found.examination == pytest.approx([1, 1 / 2, 1 / 4])


def test_pairs_seen_at_one_place_or_never_clicked_say_nothing():
    told = (("a", 1, 10, 8), ("a", 2, 10, 4))
    alone = effects(cells_of(*told)).examination
    beside = effects(cells_of(*told, ("b", 2, 500, 400), ("c", 1, 90, 0), ("c", 2, 9, 0)))
    assert beside.examination.tolist() == alone.tolist()
    assert beside.tied == 2 / 3


def test_a_place_that_nothing_ties_to_the_first_is_not_known():
    found = effects(cells_of(("a", 1, 10, 8), ("a", 2, 10, 4), ("b", 3, 10, 5), ("b", 4, 10, 5)))
    assert np.isnan(found.examination).tolist() == [False, False, True, True]


def test_a_place_that_only_ever_lost_is_not_known_rather_than_zero():
    found = effects(cells_of(("a", 1, 10, 8), ("a", 2, 10, 4), ("b", 2, 10, 5), ("b", 3, 10, 0)))
    assert np.isnan(found.examination).tolist() == [False, False, True]


ONE_SIDED = {
    "each pair at one place": cells_of(("a", 1, 10, 8), ("b", 2, 10, 4)),
    "only the first was ever clicked": cells_of(("a", 1, 10, 8), ("a", 2, 10, 0)),
    "the first was never clicked": cells_of(("a", 1, 10, 0), ("a", 2, 10, 3)),
    "one position": cells_of(("a", 1, 10, 8)),
}


@pytest.mark.parametrize("cells", ONE_SIDED.values(), ids=ONE_SIDED)
def test_what_identifies_nothing_is_refused_with_what_would(cells):
    with pytest.raises(DataError, match="log a second ranking or some randomised traffic, estimate by regression"):
        effects(cells)


def test_sparse_pairs_leave_no_bias(world):
    # 10 searches a query over two rankings: the Bernoulli likelihood's maximum is .024 below 1/2 at position 2
    pairs, lists = world(4_000, 40_000)
    log = PBM(pairs, 1 / np.arange(1, 11), FittedPrior(0.4, 2.0)).sample(lists, seed=1)
    assert effects(by_position(log)).examination == pytest.approx(1 / np.arange(1, 11), abs=0.015)


def test_the_curve_may_rise_above_the_first_position(world):
    pairs, lists = world(100, 20_000)
    curve = np.array([0.6, 1.0, *[0.3] * 8])
    log = PBM(pairs, curve, FittedPrior(0.4, 2.0)).sample(lists, seed=1)
    assert effects(by_position(log)).examination == pytest.approx(curve / 0.6, abs=0.06)


def test_a_made_up_pair_counts_where_little_else_does_and_not_beside_much():
    little = cells_of(("a", 1, 3, 2), ("a", 2, 3, 1), ("b", 1, 500, 100), ("c", 2, 500, 90))
    assert effects(little).examination[1] == pytest.approx(1 / 2)
    assert effects(little, drawn=20).examination[1] == pytest.approx(90 / 100, abs=0.1)
    much = cells_of(("a", 1, 30_000, 20_000), ("a", 2, 30_000, 10_000))
    assert effects(much, drawn=20).examination[1] == pytest.approx(1 / 2, abs=1e-3)


@settings(max_examples=50)
@given(seed=st.integers(0, 1_000), factor=st.floats(0.2, 5))
def test_a_pairs_attraction_does_not_matter(seed, factor):
    rng = np.random.default_rng(seed)
    rows = [("a", k, 50.0, float(rng.integers(1, 9))) for k in (1, 2, 3)] + [
        ("b", k, 50.0, float(k)) for k in (1, 2, 3)
    ]
    scaled = [(name, k, shown / factor, clicked) for name, k, shown, clicked in rows]
    assert effects(cells_of(*rows)).examination == pytest.approx(effects(cells_of(*scaled)).examination, rel=1e-4)


def test_gaps_are_filled_on_a_power_law_and_ends_are_level():
    curve = filled(np.array([1.0, 0.5, np.nan, 0.25, np.nan]))
    share = np.log(3 / 2) / np.log(4 / 2)  # how far position 3 is from 2 towards 4, in logarithms
    assert curve.tolist()[:2] == [1.0, 0.5]
    assert curve[2] == pytest.approx(0.5 ** (1 - share) * 0.25**share)
    assert curve[4] == 0.25
    assert filled(np.array([1.0, 0.0, np.nan]))[2] == pytest.approx(LEAST)


def test_squarem_needs_fewer_steps_than_its_map_and_says_where_it_did_not_arrive():
    slow = squarem(lambda x: 0.999 * x + 0.001, np.zeros(3), tolerance=1e-9)
    assert (slow.values == pytest.approx(np.ones(3)), slow.converged) == (True, True)
    assert slow.steps < 20  # the map alone takes 14,000
    assert not squarem(lambda x: x + 1, np.zeros(1), limit=9).converged


def test_squarem_stays_within_its_bounds():
    seen = []
    squarem(lambda x: (seen.append(float(x[0])), 0.9 * x + 0.1)[1], np.zeros(1), within=(0.0, 1.0))
    assert max(seen) <= 1.0
