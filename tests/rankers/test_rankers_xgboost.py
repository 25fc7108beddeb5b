"""XGBoost through ltr: XGBoost's own forest, any table of gains, confidence as said, and nothing silently ignored."""

from __future__ import annotations

import json
import warnings

import numpy as np
import polars as pl
import pytest
import xgboost
from numpy.typing import NDArray

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.forest_xgboost import read_model
from ltr.rankers.lists import Lists
from ltr.rankers.xgboost import _ALIASES, _OWNED, WEIGHTED, XGBoostRanker, _data, _names, parameters
from made.ranked import shop

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])


FIT, DEV = shop(), shop(20, seed=2)


def fit(
    fit_pairs: pl.DataFrame = FIT,
    dev_pairs: pl.DataFrame | None = DEV,
    *,
    gains: NDArray[np.float64] = GAINS,
    rounds: int = 20,
    **config: object,
) -> rankers.Fitted:
    chosen = RankerConfig(library="xgboost", **config)
    return rankers.fit(chosen, fit_pairs, dev_pairs, features=FEATURES, gains=gains, rounds=rounds)


def matrix(frame: pl.DataFrame) -> NDArray[np.float32]:
    return frame.select(FEATURES).to_numpy()


def adversarial(ranker: XGBoostRanker) -> NDArray[np.float32]:
    """Rows on each threshold, one float32 to either side, and what may be treated by itself."""
    forest = read_model(ranker.text)
    near = np.concatenate([tree.threshold for tree in forest.trees]).astype(np.float32)
    special = np.array([np.nan, 0.0, -0.0, 1e-45, -1e-38, 3e38, -3e38], dtype=np.float32)
    cells = np.concatenate([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf), special])
    return np.random.default_rng(0).choice(cells.astype(np.float32), size=(2000, len(FEATURES)))


@pytest.mark.parametrize("objective", ["rank:ndcg", "rank:pairwise"])
def test_scores_are_xgboosts_own_and_the_neutral_forests(objective: str) -> None:
    ranker = fit(objective=objective).ranker
    rows = np.concatenate([matrix(DEV), adversarial(ranker)])
    alone = xgboost.Booster(model_file=bytearray(ranker.text, "utf-8"))
    own = alone.predict(xgboost.DMatrix(rows, missing=np.nan, feature_names=list(FEATURES)))
    assert np.array_equal(ranker.predict(rows), own.astype(np.float64))
    forest = read_model(ranker.text)
    infinite = np.where(np.arange(rows.size).reshape(rows.shape) % 7 == 0, np.inf, rows).astype(np.float32)
    for given in (rows, infinite, -infinite):
        assert np.array_equal(forest.predict(given), ranker.predict(given))
    assert forest.features == FEATURES
    assert forest.objective == objective


def test_the_forest_is_the_one_that_xgboost_alone_grows() -> None:
    lists = FIT.filter(pl.col("grade").n_unique().over("query_id") > 1)
    data = xgboost.DMatrix(matrix(lists), label=GAINS[lists["grade"].to_numpy().astype(int)], nthread=1)
    data.set_group(lists["query_id"].rle().struct.field("len").to_numpy())
    plain = {
        "objective": "rank:ndcg",
        "ndcg_exp_gain": False,
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": 31,
        "eta": 0.05,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "min_child_weight": 0.1 * 7,  # 720 rows ÷ 100
        "lambdarank_num_pair_per_sample": 20,
        "base_score": 0.0,
        "seed": 7,
        "nthread": 1,
    }
    booster = xgboost.train(plain, data, 12)
    ranker = fit(dev_pairs=None, rounds=12).ranker
    rows = xgboost.DMatrix(matrix(DEV))
    assert np.array_equal(ranker.predict(matrix(DEV)), booster.predict(rows).astype(np.float64))


def test_fitting_keeps_the_best_round_on_dev_and_stops_after_patience() -> None:
    found = fit(rounds=300, patience=10)
    assert found.rounds == int(np.argmax(found.curve)) + 1
    assert len(found.curve) == found.rounds + 10
    assert found.ranker.rounds == found.rounds == len(read_model(found.ranker.text).trees)


def test_without_dev_the_rounds_are_exact() -> None:
    found = fit(dev_pairs=None, rounds=7)
    assert (found.rounds, found.curve, len(read_model(found.ranker.text).trees)) == (7, [], 7)


def test_one_seed_makes_one_text_whatever_the_number_of_threads() -> None:
    texts = [fit(rounds=5, seed=seed, nthread=threads).ranker.text for seed, threads in [(1, 1), (1, 2), (2, 1)]]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_gains_below_one_are_not_rounded_away() -> None:
    # nDCG knows no scale: 64 is a power of two, so that not even rounding tells the tables apart.
    small = np.array([0.0, 0.01, 0.1, 1.0])
    scores = [fit(gains=gains, dev_pairs=None).ranker.predict(matrix(DEV)) for gains in (small, 64 * small)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5)
    flat = fit(gains=np.array([0.0, 0.0, 0.0, 1.0]), dev_pairs=None).ranker.predict(matrix(DEV))
    assert not np.allclose(scores[0], flat, atol=1e-3)


def test_confidence_shrinks_the_gain_and_a_list_counts_by_its_mean() -> None:
    lists = Lists(
        np.zeros((5, 1), dtype=np.float32),
        np.array([3, 0, 2, 3, 1], dtype=np.int32),
        np.array([1.0, 0.5, 0.5, 0.25, 1.0], dtype=np.float32),
        np.array([2, 3]),
        {},
    )
    data = _data(lists, ["x"], GAINS, threads=1)
    assert data.get_label().tolist() == [7 * 1.0, 0 * 0.5, 3 * 0.5, 7 * 0.25, 1 * 1.0]
    np.testing.assert_allclose(data.get_weight(), [(1 + 0.5) / 2, (0.5 + 0.25 + 1) / 3], rtol=1e-6)


def test_confidence_is_told_where_it_matters_and_dev_is_not_weighed() -> None:
    weighed = fit(shop(weights=True))
    assert weighed.notes == (WEIGHTED,)
    assert fit().notes == ()
    doubted = shop(20, seed=2, weights=True)
    trusted = doubted.with_columns(weight=pl.lit(1.0, pl.Float32))
    assert fit(dev_pairs=doubted).curve == fit(dev_pairs=trusted).curve


def test_parameters_pass_through_under_any_name_of_the_library() -> None:
    config = RankerConfig(library="xgboost", learning_rate=0.3, max_leaves=7)
    chosen = parameters(config, features=FEATURES, cutoff=5, rows=400)
    assert (chosen["eta"], chosen["max_leaves"], chosen["eval_metric"]) == (0.3, 7, "ndcg@5")
    assert "learning_rate" not in chosen
    assert chosen["min_child_weight"] == 0.1 * 5
    assert max((tree.kind == 0).sum() for tree in read_model(fit(rounds=2, max_leaves=4).ranker.text).trees) == 4
    mean = RankerConfig(library="xgboost", lambdarank_pair_method="mean")
    assert parameters(mean, features=FEATURES, cutoff=5, rows=400)["lambdarank_num_pair_per_sample"] == 1


@pytest.mark.parametrize("config", [{"tree_method": "exact"}, {"tree_method": "approx"}, {"grow_policy": "depthwise"}])
def test_trees_may_be_grown_another_way(config: dict[str, object]) -> None:
    assert max(fit(rounds=30, **config).curve) > 0.9


def test_position_bias_may_be_asked_for() -> None:
    assert fit(rounds=2, lambdarank_unbiased=True).rounds >= 1


def test_every_alias_is_xgboosts() -> None:
    data = xgboost.DMatrix(np.eye(2), label=[0, 1], nthread=1)
    data.set_group([2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        booster = xgboost.train({"objective": "rank:ndcg", "tree_method": "hist"}, data, num_boost_round=1)
    text = booster.save_config()
    told = {name: value for part in _leaves(json.loads(text)) for name, value in part.items()}
    for alias, name in _ALIASES.items():
        assert told[alias] == told[name]
    assert {"eta", "max_leaves", "device", "lambdarank_unbiased", "num_parallel_tree", "base_score"} <= set(_names())
    assert set(_OWNED) <= set(_names())


def _leaves(node: object) -> list[dict[str, str]]:
    if isinstance(node, list):
        return [leaf for one in node for leaf in _leaves(one)]
    if not isinstance(node, dict):
        return []
    return [{k: v for k, v in node.items() if isinstance(v, str)}, *(x for v in node.values() for x in _leaves(v))]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"zzz": 3}, "XGBoost has no parameter 'zzz'; its documentation lists them"),
        ({"eval_metric": "map"}, "ranker.eval_metric cannot be set; fitting stops on the nDCG"),
        ({"booster": "dart"}, "ranker.booster cannot be set; the forest of trees"),
        ({"n_estimators": 50}, "ranker.n_estimators cannot be set; set ranker.rounds"),
        ({"ndcg_exp_gain": True}, "ranker.ndcg_exp_gain cannot be set; set evaluation.gains"),
        ({"learning_rate": 0.1, "eta": 0.1}, "ranker.eta is given twice, once under another name; keep 'eta'"),
        ({"max_depth": "many"}, "max_depth = 'many': Invalid Parameter format for max_depth expect int"),
        ({"tree_method": "nope"}, "valid values are: {'approx', 'auto', 'exact', 'hist'}"),
        ({"tree_method": "exact", "max_cached_hist_node": 9}, "XGBoost would not use max_cached_hist_node with these"),
    ],
)
def test_a_parameter_that_cannot_be_used_says_why(
    config: dict[str, object], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RankerError, match=message) as refused:
        fit(rounds=2, **config)
    assert "Stack trace" not in str(refused.value)
    assert "/xgboost/" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_forest_under_other_names_is_refused() -> None:
    text = fit(rounds=2).ranker.text
    with pytest.raises(RankerError, match=r"was fitted on \['useful', 'noise', 'gaps'\], not on \['a', 'b', 'c'\]"):
        XGBoostRanker(("a", "b", "c"), 1, text)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "tree\n", '{"learner": {"gradient_booster": 3}}'])
def test_text_that_is_no_forest_is_refused(text: str) -> None:
    with pytest.raises(RankerError, match="XGBoost refuses this text of a forest"):
        XGBoostRanker(("a",), 1, text)
