"""The benchmark of online tests on a small shop: its lists and odds are right; no figure is judged here."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ltr.simulation import Users

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def online(monkeypatch):
    """The benchmark's module, with few of everything."""
    monkeypatch.syspath_prepend(BENCH)
    import online

    few = {
        "LARGE": 2_000,
        "AB_CHECKS": 3,
        "INTERLEAVING_CHECKS": 5,
        "SIMULATIONS": 30,
        "GROUP": 60,
        "LOGS": 4,
        "RESAMPLES": 49,
    }
    for name, value in few.items():
        monkeypatch.setattr(online, name, value)
    yield online
    del sys.modules["online"]


@pytest.fixture
def there(online):
    return online.demo_shop(size=400, queries=60)


def test_the_rankers_differ_by_what_they_should(online, there):
    first, second, _ = online.rated(there)
    # As nearly as the lists of sixty queries can be.
    assert online.nd(there, second) - online.nd(there, first) == pytest.approx(online.DIFFERENCE, abs=0.005)


def test_the_odds_of_all_lists_are_those_of_their_queries(online, there):
    first, second, _ = online.rated(there)
    for common in ("nobody", "drafted"):
        merged = online.interleaved(there, first, second, common)
        assert merged.odds.sum() == pytest.approx(1)
        weight = np.repeat(merged.odds, np.diff(merged.offsets))
        assert (weight * (merged.team == -1)).sum() == pytest.approx((weight * (merged.team == 1)).sum())


def test_expected_clicks_are_those_of_many_searches(online, there):
    shown = online.shown(there, online.rated(there)[0])
    clicks, _, searches = online.by_user(shown, 20_000, Users("pbm"), np.random.default_rng(7))
    assert clicks.sum() / searches.sum() == pytest.approx(online.expected(shown, Users("pbm")), rel=0.01)


def test_every_figure_is_there(online, there):
    first, second, told = online.rated(there)
    found = [
        *online.searches(there, first, second, Users("pbm"), told),
        *online.false_positives(there, first, second),
        *online.coverage(there, first, second),
    ]
    assert len(found) == 7 + 10 + 6
    assert all({"what", "value", "unit", "bound", "better"} == set(figure) for figure in found)
    assert [figure["bound"] for figure in found if figure["bound"]] == [20.0, *[0.05] * 8, *[0.93] * 4, 0.97]
