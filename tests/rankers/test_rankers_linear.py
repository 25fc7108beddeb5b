"""Linear rankers: the loss and the measure by their definitions, the optimum by its conditions, rows in any company."""

from __future__ import annotations

import json
from itertools import combinations
from math import exp, log

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.ascent import Objective, ascend, mean_ndcg
from ltr.rankers.linear import WEIGHTED, LinearRanker
from ltr.rankers.listnet import TopOne
from ltr.rankers.logistic import Pairwise, descend

GAINS = np.array([0.0, 1.0, 3.0, 7.0])


def lists(seed: int, *, count: int = 7, width: int = 3, longest: int = 9) -> tuple[NDArray, NDArray, NDArray]:
    """Rows, gains and sizes; each list has two gains at least."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, longest + 1, size=count)
    rows = rng.normal(size=(sizes.sum(), width))
    gain = rng.choice(GAINS, size=sizes.sum())
    starts = np.cumsum(sizes) - sizes
    gain[starts], gain[starts + 1] = 0.0, 3.0
    return rows, gain, sizes


def loss_by_definition(rows, gain, sizes, weights, l2, confidence):
    total, start = l2 / 2 * sum(w * w for w in weights), 0
    for size in sizes:
        pairs = [
            (i, j) if gain[i] > gain[j] else (j, i)
            for i, j in combinations(range(start, start + size), 2)
            if gain[i] != gain[j]
        ]
        for i, j in pairs:
            margin = float((rows[i] - rows[j]) @ weights)
            total += confidence[i] * confidence[j] * log(1 + exp(-margin)) / len(pairs)
        start += size
    return total


def ndcg_by_definition(scores, gain, sizes, k, weights, *, against=True):
    """Products of equal score with the lower gain first (against us), or as they stand."""
    total, start = 0.0, 0
    for size, weight in zip(sizes, weights, strict=True):
        part = range(start, start + size)
        order = sorted(part, key=lambda row: (-scores[row], gain[row]) if against else -scores[row])
        dcg = sum(gain[row] / np.log2(place + 2) for place, row in enumerate(order[:k]))
        ideal = sum(g / np.log2(place + 2) for place, g in enumerate(sorted(gain[list(part)], reverse=True)[:k]))
        total += weight * dcg / ideal
        start += size
    return total / sum(weights)


def assert_slopes_are_differences(loss, weights, gradient):
    """Gradient and curvature by central differences, along each axis."""
    step = 1e-5
    times = loss.curvature(weights)
    for axis in np.eye(3):
        (above, slope_above), (below, slope_below) = loss(weights + step * axis), loss(weights - step * axis)
        assert gradient @ axis == pytest.approx((above - below) / (2 * step), abs=1e-6)
        np.testing.assert_allclose(times(axis), (slope_above - slope_below) / (2 * step), atol=1e-6)


@given(seed=st.integers(0, 1000), weighed=st.booleans())
@settings(max_examples=20)
def test_the_loss_is_its_definition_and_its_slopes_are_differences(seed, weighed):
    rows, gain, sizes = lists(seed)
    rng = np.random.default_rng(seed + 1)
    confidence = rng.uniform(0.1, 1, size=len(gain)) if weighed else np.ones(len(gain))
    weights = rng.normal(size=3)
    loss = Pairwise(rows, gain, sizes, l2=0.7, weights=confidence if weighed else None)
    value, gradient = loss(weights)
    assert value == pytest.approx(loss_by_definition(rows, gain, sizes, weights, 0.7, confidence), rel=1e-12)
    assert_slopes_are_differences(loss, weights, gradient)


def cross_entropy_by_definition(rows, gain, sizes, weights, l2, confidence):
    total, counted, start = 0.0, 0.0, 0
    for size in sizes:
        part = slice(start, start + size)
        shrunk, odds = gain[part] * confidence[part], np.exp(rows[part] @ weights)
        if shrunk.sum() > 0:
            entropy = -sum(t * log(p) for t, p in zip(shrunk / shrunk.sum(), odds / odds.sum(), strict=True))
            total += confidence[part].mean() * entropy
            counted += confidence[part].mean()
        start += size
    return total / counted + l2 * sum(w * w for w in weights)


@given(seed=st.integers(0, 1000), weighed=st.booleans())
@settings(max_examples=20)
def test_the_cross_entropy_is_its_definition_and_its_slopes_are_differences(seed, weighed):
    rows, gain, sizes = lists(seed)
    gain[: sizes[0]] = 0.0  # a list without gain teaches nothing
    rng = np.random.default_rng(seed + 1)
    confidence = rng.uniform(0.1, 1, size=len(gain)) if weighed else np.ones(len(gain))
    weights = rng.normal(size=3)
    loss = TopOne(rows, gain, sizes, l2=0.7, weights=confidence if weighed else None)
    value, gradient = loss(weights)
    assert value == pytest.approx(cross_entropy_by_definition(rows, gain, sizes, weights, 0.7, confidence), rel=1e-12)
    assert_slopes_are_differences(loss, weights, gradient)


def test_the_cross_entropy_is_beyond_no_score_and_of_no_gain_the_penalty_alone():
    rows, gain, sizes = lists(1)
    value, gradient = TopOne(1e6 * rows, gain, sizes, l2=0.0)(np.ones(3))
    assert np.isfinite([value, *gradient]).all()
    nothing = TopOne(rows, np.zeros(len(gain)), sizes, l2=0.5)
    value, gradient = nothing(np.array([1.0, 0.0, -2.0]))
    assert (value, gradient.tolist()) == (0.5 * 5, [1.0, 0.0, -2.0])


def test_as_many_lists_again_leave_the_solution_where_it_is():
    # The loss is a mean over lists, so that l2 means the same whatever their number.
    rows, gain, sizes = lists(4, count=20)
    *_, once = descend(TopOne(rows, gain, sizes, l2=0.03), directions=[0] * 3, iterations=60)
    twice = TopOne(np.vstack([rows, rows]), np.tile(gain, 2), np.tile(sizes, 2), l2=0.03)
    *_, again = descend(twice, directions=[0] * 3, iterations=60)
    np.testing.assert_allclose(again, once, rtol=1e-6)


def test_listnet_keeps_its_last_round_whatever_dev_says():
    rows, gain, sizes = lists(7, count=40)
    pairs, dev = frame(rows, gain, sizes), frame(*lists(8, count=20))
    found, alone = fit(pairs, dev, objective="listnet"), fit(pairs, objective="listnet")
    assert found.ranker == alone.ranker
    assert found.rounds == len(found.curve) == alone.rounds


def test_lists_beyond_one_stretch_of_pairs_are_summed_whole():
    rng = np.random.default_rng(0)
    rows, gain = rng.normal(size=(1500, 2)), rng.choice(GAINS, size=1500)
    sizes = np.array([3, 1490, 7])
    weights = np.array([0.3, -0.2])
    value, gradient = Pairwise(rows, gain, sizes, l2=0.1)(weights)
    expected = 0.1 / 2 * (0.3**2 + 0.2**2)
    slope = 0.1 * weights
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        better, worse = np.nonzero(gain[part][:, None] > gain[part][None, :])
        gaps = rows[part][better] - rows[part][worse]
        expected += np.logaddexp(0, -gaps @ weights).mean() if len(gaps) else 0.0
        slope = slope - (gaps / (1 + np.exp(gaps @ weights))[:, None]).mean(axis=0)
        start += size
    assert value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9)


@pytest.mark.parametrize("form", [Pairwise, TopOne])
@given(seed=st.integers(0, 1000), signs=st.tuples(*[st.sampled_from([-1, 0, 1])] * 3), l2=st.sampled_from([0.0, 0.1]))
@settings(max_examples=30)
def test_newton_ends_where_no_allowed_direction_falls(form, seed, signs, l2):
    rows, gain, sizes = lists(seed, count=20)
    loss = form(rows, gain, sizes, l2=l2)
    steps = list(descend(loss, directions=signs, iterations=60))
    weights = steps[-1]
    values = [loss(step)[0] for step in steps]
    assert values == sorted(values, reverse=True)
    _, slope = loss(weights)
    first = np.abs(loss(np.zeros(3))[1]).max()
    for w, g, sign in zip(weights, slope, signs, strict=True):
        assert sign * w >= 0
        if sign and w == 0:
            assert sign * g >= -1e-5 * first  # only further off bounds would the loss fall
        else:
            assert abs(g) <= 1e-5 * first


def test_features_that_repeat_each_other_are_no_obstacle_without_a_penalty():
    rows, gain, sizes = lists(3, count=30)
    doubled = np.hstack([rows, rows[:, :1], np.zeros((len(rows), 1))])
    *_, plain = descend(Pairwise(rows, gain, sizes, l2=0.0), directions=[0] * 3, iterations=60)
    *_, weights = descend(Pairwise(doubled, gain, sizes, l2=0.0), directions=[0] * 5, iterations=60)
    assert weights[0] + weights[3] == pytest.approx(plain[0], abs=1e-4)
    assert weights[4] == 0


@given(seed=st.integers(0, 1000), cutoff=st.integers(1, 12), decimals=st.sampled_from([0, 9]), weighed=st.booleans())
@settings(max_examples=40)
def test_the_objective_is_ndcg_with_ties_against_us(seed, cutoff, decimals, weighed):
    rows, gain, sizes = lists(seed, count=12, longest=30)
    rows = np.round(rows, decimals)  # many ties, and many scores of 0
    weights = np.array([1.0, -2.0, 0.0]) if decimals == 0 else np.array([0.3, 0.1, -2.0])
    counts = np.random.default_rng(seed).uniform(0.1, 1, size=12) if weighed else None
    objective = Objective(rows, gain, sizes, cutoff=cutoff, weights=counts)
    scores = np.einsum("rf,f->r", rows, weights)
    told = np.ones(12) if counts is None else counts
    expected = ndcg_by_definition(scores, gain, sizes, cutoff, told)
    assert objective(weights) == pytest.approx(expected, abs=1e-12)
    moved = ndcg_by_definition(scores + 2.0 * rows[:, 1], gain, sizes, cutoff, told)
    assert objective.value(objective.scores(weights), 2.0, 1) == pytest.approx(moved, abs=1e-12)
    plain = ndcg_by_definition(scores, gain, sizes, cutoff, np.ones(12), against=False)
    assert mean_ndcg(scores, gain, sizes, cutoff=cutoff) == pytest.approx(plain, abs=1e-12)


def test_scoring_all_alike_gains_nothing_from_a_file_sorted_by_grade():
    gain, sizes = np.array([7.0, 3.0, 0.0]), np.array([3])
    objective = Objective(np.zeros((3, 1)), gain, sizes, cutoff=1)
    assert objective(np.ones(1)) == 0.0
    assert mean_ndcg(np.zeros(3), gain, sizes, cutoff=1) == 1.0


@given(seed=st.integers(0, 1000), signs=st.tuples(*[st.sampled_from([-1, 0, 1])] * 3))
@settings(max_examples=20)
def test_each_sweep_climbs_and_keeps_the_signs(seed, signs):
    rows, gain, sizes = lists(seed, count=20)
    objective = Objective(rows, gain, sizes, cutoff=5)
    start = np.where(np.array(signs) == 0, 1.0, signs)
    how = {"directions": signs, "sweeps": 6, "tolerance": 1e-4, "rng": np.random.default_rng(seed)}
    steps = list(ascend(objective, start, **how))
    values = [objective(start / np.sqrt(3)), *(value for _, value in steps)]
    assert values == sorted(values)
    for weights, value in steps:
        assert objective(weights) == pytest.approx(value, abs=1e-3)
        assert np.square(weights).sum() == pytest.approx(1)
        assert (np.array(signs) * weights >= 0).all()


def frame(rows, gain, sizes, **columns):
    return pl.DataFrame(
        {
            "query_id": np.repeat([f"q{i:02}" for i in range(len(sizes))], sizes),
            "product_id": [f"p{i}" for i in range(len(gain))],
            "grade": np.searchsorted(GAINS, gain).astype(np.float32),
            "weight": np.ones(len(gain), dtype=np.float32),
        }
        | {name: rows[:, place].astype(np.float32) for place, name in enumerate("abc")}
        | columns
    )


def fit(pairs, dev=None, **config):
    rounds = config.pop("rounds", 10)
    chosen = RankerConfig(library="linear", **config)
    return rankers.fit(chosen, pairs, dev, features=["a", "b", "c"], gains=GAINS, rounds=rounds)


def test_the_measure_itself_is_climbed_at_least_as_high_as_the_logistic_solution():
    rows, gain, sizes = lists(11, count=40)
    pairs = frame(rows, gain, sizes)
    found = {objective: fit(pairs, objective=objective).ranker for objective in ("ndcg", "logistic")}
    matrix = pairs.select("a", "b", "c").to_numpy()
    values = {name: mean_ndcg(ranker.predict(matrix), gain, sizes, cutoff=10) for name, ranker in found.items()}
    assert values["ndcg"] > values["logistic"] + 0.01


@pytest.mark.parametrize("objective", ["ndcg", "logistic"])
def test_units_of_a_feature_do_not_matter(objective):
    rows, gain, sizes = lists(5, count=30)
    scaled = rows * [1024.0, 1.0, 2.0**-20]  # powers of two, which float32 keeps
    first, second = (fit(frame(each, gain, sizes), objective=objective).ranker for each in (rows, scaled))
    np.testing.assert_allclose(
        first.predict(rows.astype(np.float32)), second.predict(scaled.astype(np.float32)), rtol=1e-6, atol=1e-9
    )


def test_a_score_is_its_formula_and_a_missing_value_stands_at_the_mean():
    rows, gain, sizes = lists(5, count=30)
    rows[::4, 1] = np.nan
    ranker = fit(frame(rows, gain, sizes), objective="logistic").ranker
    held = json.loads(ranker.text)
    single = rows.astype(np.float32).astype(np.float64)
    assert held["mean"]["b"] == pytest.approx(np.nanmean(single[:, 1]), rel=1e-12)
    assert held["deviation"]["b"] == pytest.approx(np.nanstd(single[:, 1]), rel=1e-12)
    row = {"a": 0.25, "b": float("nan"), "c": -2.0}
    expected = sum(
        held["weights"][name] * (value - held["mean"][name]) / held["deviation"][name]
        for name, value in row.items()
        if name != "b"
    )
    assert ranker.predict(np.array([list(row.values())], dtype=np.float32))[0] == pytest.approx(expected, rel=1e-12)
    assert ranker.importance()["a"] == abs(held["weights"]["a"])


def test_a_large_offset_is_no_variation():
    rows, gain, sizes = lists(5, count=30)
    rows[:, 2] = 1e9 + 1e-3 * rows[:, 2]  # one number in float32
    assert fit(frame(rows, gain, sizes)).ranker.importance()["c"] == 0


def test_rounds_bound_the_sweeps_and_the_best_on_dev_is_kept():
    rows, gain, sizes = lists(7, count=40)
    pairs, dev = frame(rows, gain, sizes), frame(*lists(8, count=20))
    assert fit(pairs, rounds=1).rounds == 1
    found = fit(pairs, dev, rounds=10)
    assert found.curve[found.rounds - 1] == max(found.curve)
    assert 1 <= found.rounds <= len(found.curve) <= 10
    assert len(fit(pairs, dev, patience=1).curve) <= len(found.curve)


def test_of_too_many_values_whole_lists_are_drawn_by_the_seed():
    rows, gain, sizes = lists(7, count=60)
    pairs = frame(rows, gain, sizes)
    first, again, other = (fit(pairs, sample=300, seed=seed) for seed in (1, 1, 2))
    assert first.ranker == again.ranker != other.ranker
    assert "of 60 lists, drawn by the seed: ranker.sample = 300 values" in first.notes[0]
    assert fit(pairs, sample=rows.size).notes == ()


def test_confidence_is_told_where_it_shrinks_gains():
    rows, gain, sizes = lists(7)
    pairs = frame(rows, gain, sizes, weight=np.linspace(0.5, 1, len(gain), dtype=np.float32))
    assert fit(pairs).notes == (WEIGHTED,)
    assert fit(pairs, objective="logistic").notes == ()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"restarts": 1.5}, "ranker.restarts = 1.5; it is a whole number, at least 0"),
        ({"restarts": True}, "ranker.restarts = True; it is a whole number, at least 0"),
        ({"sample": 0}, "ranker.sample = 0; it is a whole number, at least 1"),
        ({"l2": float("nan")}, "ranker.l2 = nan; it is a number, at least 0"),
        ({"l2": "much"}, "ranker.l2 = 'much'; it is a number, at least 0"),
        ({"zzz": 1}, "the linear ranker has no parameter 'zzz'; its parameters: l2, restarts, sample, tolerance"),
        ({"objective": "logistic", "zzz": 1}, "no parameter 'zzz'; its parameters: l2"),
    ],
)
def test_a_parameter_that_cannot_be_used_says_why(config, message):
    with pytest.raises(RankerError, match=message):
        rankers.check(RankerConfig(library="linear", **config), features=["a"])


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"weights": {"a": 1}}', '{"weights": {"a": 1, "b": 2}, "mean": {"a": 0}, "deviation": {"a": 1}}',
     '{"weights": {"a": NaN}, "mean": {"a": 0}, "deviation": {"a": 1}}'],
)  # fmt: skip
def test_text_that_is_no_ranker_of_these_features_is_refused(text):
    with pytest.raises(RankerError, match=r"no linear ranker|the weights are of"):
        LinearRanker(("a",), 1, text)
