"""The power law of learning curves: recovered from its own values, bounded, and no surer than the queries are."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import MeasureError
from ltr.evaluation.learning_curve import Law, fit_law, gain_of_more

SIZES = np.array([12, 25, 50, 100, 200])


@given(asymptote=st.floats(0.4, 1.0), scale=st.floats(0.2, 2.0), rate=st.floats(0.2, 1.5))
def test_a_law_is_recovered_from_its_own_values(asymptote, scale, rate):
    law = Law(asymptote, scale, rate)
    found = fit_law(SIZES, np.array([law.at(n) for n in SIZES]))
    assert [found.at(n) for n in SIZES] == pytest.approx([law.at(n) for n in SIZES], abs=2e-3)
    assert found.at(400) == pytest.approx(law.at(400), abs=5e-3)


@given(values=st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_more_queries_are_never_expected_to_harm_and_nothing_exceeds_one(values):
    law = fit_law(SIZES, np.array(values))
    expected = [law.at(n) for n in (*SIZES, 400, 100_000)]
    assert all(later >= earlier for earlier, later in itertools.pairwise(expected))
    assert expected[-1] <= law.asymptote <= 1 + 1e-12


def test_scipy_finds_no_better_law():
    from scipy.optimize import curve_fit

    noise = np.random.default_rng(3).normal(0, 0.01, len(SIZES))
    values = 0.8 - 0.9 * SIZES**-0.5 + noise
    theirs, _ = curve_fit(
        lambda n, a, b, c: a - b * n**-c, SIZES, values, p0=(0.8, 1, 0.5), bounds=([0, 0, 0.05], [1, 9, 2])
    )
    law = fit_law(SIZES, values)
    error = sum((law.at(n) - value) ** 2 for n, value in zip(SIZES, values, strict=True))
    least = np.square(theirs[0] - theirs[1] * SIZES ** -theirs[2] - values).sum()
    assert error <= least * 1.01 + 1e-9


def test_queries_needed_are_those_at_which_the_law_has_the_value():
    law = Law(0.8, 0.9, 0.5)
    needed = law.needed(0.77)
    assert law.at(needed) >= 0.77 > law.at(needed - 1)
    assert law.needed(0.8) is None
    assert law.needed(0.9) is None
    assert Law(0.8, 0.0, 1.0).needed(0.7) is None


def test_the_gain_of_more_queries_has_an_interval_that_narrows_with_more_test_queries():
    generator = np.random.default_rng(5)

    def measured(queries):
        return 0.8 - 0.9 * SIZES**-0.5 + generator.normal(0, 0.05, (queries, len(SIZES)))

    few, many = (gain_of_more(SIZES, measured(queries), 400) for queries in (40, 4_000))
    truth = 0.9 * (200**-0.5 - 400**-0.5)
    assert many.low <= truth <= many.high
    assert many.high - many.low < few.high - few.low
    assert (few.n, many.n) == (40, 4_000)


@pytest.mark.parametrize("values", [[0.5, 0.6], [0.5, float("nan"), 0.6]])
def test_what_fixes_no_curve_is_refused(values):
    with pytest.raises(MeasureError, match="fix no learning curve; at least 3"):
        fit_law(SIZES[: len(values)], np.array(values))
