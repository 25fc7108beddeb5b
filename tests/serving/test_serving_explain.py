"""What each feature adds to a score, for every kind of ranker that a bundle may hold."""

import lightgbm
import numpy as np
import pytest

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.transferred import COLUMN, Source, Transferred
from ltr.serving import Reason, Stage, parse_request
from ltr.serving.explain import contributions
from ltr.serving.rerank import directly, rerank
from made.ranked import shop as pairs

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])
ROWS = pairs(20, seed=4).select(FEATURES).to_numpy()
IDS = [f"p{at}" for at in range(24)]


def fit(features=FEATURES, **config):
    judged = pairs() if COLUMN not in features else pairs().rename({"useful": COLUMN})
    return rankers.fit(
        RankerConfig(rounds=10, **config), judged, None, features=features, gains=GAINS, rounds=10
    ).ranker


MADE = {
    "a forest of LightGBM": lambda: fit(),
    "a forest of XGBoost": lambda: fit(library="xgboost"),
    "a mean of LightGBM's": lambda: fit(seeds=2, bagging_fraction=0.7, bagging_freq=1),
    "a mean of XGBoost's": lambda: fit(library="xgboost", seeds=2),
    "a forest on a start with gaps": lambda: fit(start="gaps"),
    "a linear ranker": lambda: fit(library="linear", objective="logistic"),
    "one on another's score": lambda: Transferred(fit(features=(COLUMN, "noise")), Source(fit(), FEATURES)),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_contributions_add_up_to_the_score(make):
    ranker = make()
    rows = ROWS[:, [0, *range(len(ranker.features) - 1)]]
    found = contributions(ranker, rows)
    assert found.base + found.values.sum(axis=1) == pytest.approx(ranker.predict(rows), abs=1e-5)


def test_a_features_own_part_is_its_name():
    ranker = fit(library="linear", objective="logistic")
    means = np.nanmean(pairs().select(FEATURES).to_numpy(), axis=0)
    found = contributions(ranker, means[None, :])
    assert found.names == FEATURES
    assert found.values == pytest.approx(np.zeros((1, 3)), abs=1e-6)
    moved = np.array([[means[0] + 1, means[1], np.nan]], dtype=np.float32)
    assert contributions(ranker, moved).values[0, 1:] == pytest.approx([0, 0], abs=1e-6)
    assert contributions(ranker, moved).values[0, 0] > 0.1
    other = Transferred(fit(features=(COLUMN, "noise")), Source(fit(), FEATURES))
    assert contributions(other, ROWS[:, [1, 0, 1, 2]]).names == (COLUMN, "noise")


def test_a_scaled_start_adds_its_distance_from_the_mean():
    ranker = fit(start="gaps")
    start, own = ranker.start, contributions(ranker.ranker, ROWS)
    found = contributions(ranker, ROWS)
    values = np.where(np.isnan(ROWS[:, 2]), start.missing, ROWS[:, 2]).astype(np.float64)
    assert found.values[:, 2] - own.values[:, 2] == pytest.approx(start.scale * (values - start.missing), abs=1e-9)
    assert np.array_equal(found.values[:, :2], own.values[:, :2])


def test_no_rows_have_no_contributions():
    assert contributions(fit(), ROWS[:0]).values.shape == (0, 3)


def test_what_cannot_be_explained_is_refused():
    with pytest.raises(RankerError, match="of class 'object' is no forest"):
        contributions(object(), ROWS)


def answered(serving, **keys):
    return rerank(serving, parse_request({"query": "red shoe", "candidates": [*IDS, "gone"], **keys}))


def test_a_bundles_contributions_are_lightgbms_own(counted):
    text = (counted.bundle.path / "model" / "ranker" / "ranker.txt").read_text(encoding="utf-8")
    answer = answered(counted, features=True, explain=True)
    matrix = np.array([[np.nan if v is None else v for v in one.features.values()] for one in answer.results])
    expected = lightgbm.Booster(model_str=text).predict(matrix, pred_contrib=True)
    assert np.allclose([list(one.contributions.values()) for one in answer.results], expected[:, :-1], atol=1e-12)
    assert answer.base == pytest.approx(expected[0, -1])
    for one in answer.results:
        assert answer.base + sum(one.contributions.values()) == pytest.approx(one.score, abs=1e-6)


def test_why_one_stands_above_the_other_is_the_difference_of_their_contributions(counted):
    plain = answered(counted, explain=True)
    by_id = {one.product_id: one for one in plain.results}
    first, last = plain.results[0].product_id, plain.results[-1].product_id
    answer = answered(counted, why=[first, last])
    assert dict(answer.why) == {
        name: pytest.approx(by_id[first].contributions[name] - by_id[last].contributions[name])
        for name in counted.bundle.ranker.features
    }
    sizes = [abs(difference) for _, difference in answer.why]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(value for _, value in answer.why) == pytest.approx(by_id[first].score - by_id[last].score, abs=1e-6)
    assert all(one.contributions is None for one in answer.results)


def test_an_order_stands_though_it_cannot_be_explained(counted):
    def run(stage, work):
        if stage is Stage.EXPLAIN:
            raise RankerError("tree 0 does not say how many rows reached its nodes")
        return directly(stage, work)

    request = parse_request({"query": "hat", "candidates": IDS, "explain": True, "why": ["p0", "p1"]})
    answer = rerank(counted, request, run=run)
    assert (answer.reason, answer.why, answer.base) == (Reason.NONE, None, None)
    assert answer.notes == ("the scores are not explained: tree 0 does not say how many rows reached its nodes",)
    assert [one.product_id for one in answer.results] == [
        one.product_id for one in rerank(counted, parse_request({"query": "hat", "candidates": IDS})).results
    ]
    assert all(one.contributions is None for one in answer.results)
