"""Every ranker is one forest, to the bit or to rounding, or says why not."""

import numpy as np
import pytest

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.forests import forest_of
from ltr.rankers.started import Start, Started
from ltr.rankers.transferred import COLUMN, Source, Transferred
from made.ranked import shop

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])
ROWS = shop(20, seed=4).select(FEATURES).to_numpy()


def fit(features=FEATURES, **config):
    pairs = shop() if COLUMN not in features else shop().rename({"useful": COLUMN})
    chosen = RankerConfig(rounds=10, **config)
    return rankers.fit(chosen, pairs, None, features=features, gains=GAINS, rounds=10).ranker


@pytest.mark.parametrize(
    "config", [{"library": "lightgbm"}, {"library": "xgboost"}, {"library": "lightgbm", "boosting": "dart"}]
)
def test_a_fitted_and_a_restored_ranker_give_the_forest_that_predicts_as_they_do(config, tmp_path):
    ranker = fit(**config)
    forest = forest_of(ranker)
    assert forest.predict(ROWS).tolist() == ranker.predict(ROWS).tolist()
    assert forest.features == FEATURES
    ranker.save(tmp_path / "ranker")
    assert forest_of(rankers.restore(tmp_path / "ranker")).to_json() == forest.to_json()


def test_a_mean_of_lightgbms_forests_is_one_forest(tmp_path):
    ranker = fit(seeds=3, bagging_fraction=0.7, bagging_freq=1)
    forest = forest_of(ranker)
    assert len(forest.trees) == sum(ranker.rounds)
    assert np.abs(forest.predict(ROWS) - ranker.predict(ROWS)).max() < 1e-12
    ranker.save(tmp_path / "ranker")
    assert forest_of(rankers.restore(tmp_path / "ranker")).to_json() == forest.to_json()


def linear():
    return fit(library="linear", objective="logistic")


def started():
    return Started(fit(), Start("useful", 1.0, 0.0))


def transferred():
    source = Source(fit(), FEATURES)
    return Transferred(fit(features=(COLUMN, "noise")), source)


def averaged():
    return fit(library="xgboost", seeds=2)


def averaged_linear():
    return fit(library="linear", objective="logistic", seeds=2)


REFUSED = {
    linear: "a linear ranker has no trees; fit with ranker.library",
    averaged_linear: "a linear ranker has no trees",
    started: r"scaled start \(ranker.start\).*leave ranker.start out",
    transferred: r"another ranker's score \(transfer\).*serve the bundle",
    averaged: r"mean of 2 XGBoost forests.*set ranker.seeds = 1",
}


@pytest.mark.parametrize(("make", "told"), REFUSED.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_ranker_that_is_no_single_forest_says_why_and_what_to_do(make, told):
    with pytest.raises(RankerError, match=told):
        forest_of(make())


def test_xgboosts_dart_is_refused_since_its_weights_are_rounded_in_an_order_of_their_own():
    import xgboost

    held = xgboost.DMatrix(ROWS, np.arange(len(ROWS)) % 3, qid=np.arange(len(ROWS)) // 12, feature_names=list(FEATURES))
    booster = xgboost.train({"booster": "dart", "objective": "rank:ndcg", "nthread": 1}, held, num_boost_round=3)
    from ltr.rankers.xgboost import XGBoostRanker

    ranker = XGBoostRanker(FEATURES, 3, bytes(booster.save_raw("json")).decode())
    with pytest.raises(RankerError, match=r"'dart'.*gbtree"):
        forest_of(ranker)
