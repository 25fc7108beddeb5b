"""The neutral forest is what XGBoost predicts, to the bit of float32, on rows drawn to find a difference."""

import json
from functools import cache

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ltr.errors import RankerError
from ltr.rankers.forest import Forest, Kind
from ltr.rankers.forest_xgboost import read_dump, read_model

WIDTH = 4
ROWS = 240
TYPES = ["q", "q", "q", "c"]

MODELS = {
    "no missing": {},
    "missing": {"empty": 0.2},
    "exact": {"empty": 0.2, "tree_method": "exact"},
    "approx": {"empty": 0.2, "tree_method": "approx"},
    "categories": {"types": TYPES, "empty": 0.1, "max_cat_to_onehot": 1},
    "categories one by one": {"types": TYPES, "empty": 0.1, "max_cat_to_onehot": 100},
    "pairwise": {"objective": "rank:pairwise"},
    "regression": {"objective": "reg:squarederror", "empty": 0.1},
    "one leaf": {"gamma": 1e9, "objective": "reg:squarederror"},
    "pruned": {"gamma": 0.5, "max_depth": 6, "tree_method": "exact"},
    "parallel trees": {"num_parallel_tree": 3, "subsample": 0.6},
    "base score": {"base_score": 0.3, "objective": "reg:squarederror"},
    "weighted groups": {"weighted": True},
    "whole numbers": {"types": ["int"] * 4, "whole": True, "tree_method": "exact"},
}


def data(seed, *, empty=0.0, whole=False):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, WIDTH))
    if whole:
        matrix = np.round(3 * matrix)
    matrix[:, 3] = rng.integers(0, 40, size=ROWS)
    matrix[rng.random(matrix.shape) < empty] = np.nan
    told = np.nan_to_num(np.sign(matrix[:, 0])) + np.isnan(matrix[:, 1]) + np.nan_to_num(matrix[:, 3]) % 3
    return matrix.astype(np.float32), np.clip(told + rng.normal(size=ROWS), 0, 4).astype(int)


@cache
def booster(name, seed):
    own = dict(MODELS[name])
    matrix, grades = data(seed, empty=own.pop("empty", 0.0), whole=own.pop("whole", False))
    weight = np.linspace(0.1, 3, ROWS // 12) if own.pop("weighted", False) else None
    chosen = {"objective": "rank:ndcg", "max_depth": 4, "nthread": 1, "seed": seed, "min_child_weight": 0.1} | own
    types = chosen.pop("types", None)
    rows = xgboost.DMatrix(matrix, grades, feature_types=types, enable_categorical=True, nthread=1)
    if chosen["objective"].startswith("rank"):
        rows.set_group([12] * (ROWS // 12))
        if weight is not None:
            rows.set_weight(weight)
    return xgboost.train(chosen, rows, num_boost_round=8)


def predicted(name, model, rows):
    """Without infinities through the DMatrix, which refuses them; with them in place, where it does not."""
    if np.isinf(rows).any():
        return model.inplace_predict(rows, validate_features=False)
    types = MODELS[name].get("types")
    return model.predict(xgboost.DMatrix(rows, feature_types=types, enable_categorical=True, nthread=1))


def bits(scores):
    assert (np.asarray(scores, dtype=np.float32) == scores).all()
    return np.asarray(scores, dtype=np.float32).view(np.int32).tolist()


def edges(forest):
    """Rows on each threshold and one float32 to either side, and the values that libraries treat by themselves."""
    near = np.unique(np.concatenate([tree.threshold[tree.kind == Kind.LESS] for tree in forest.trees]))
    near = near.astype(np.float32)
    sides = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    special = [0.0, -0.0, 1e-45, -1e-45, 1e-38, 1e-35, -1e-35, 3e38, -3e38, np.nan]
    special += [-0.5, -1.0, -1.5, 0.5, 3.7, 31.9, 32.0, 63.0, 64.0, 1e6, 2.0**24, 2.0**31, 1e10]
    return np.concatenate([near, *sides, np.array(special, dtype=np.float32)])


def dumped(model, forest, **given_with):
    dump = model.get_dump(dump_format="json", with_stats=True)
    about = {"base_score": forest.base_score, "objective": forest.objective, "version": forest.version}
    return read_dump(dump, forest.features, **about | given_with)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_the_model_predicts_as_the_booster_to_the_bit(name, seed):
    model = booster(name, seed)
    forest = read_model(model.save_raw("json"))
    pool = edges(forest)
    rows = np.random.default_rng(seed).choice(pool, size=(3000, WIDTH))
    assert bits(forest.predict(rows)) == bits(predicted(name, model, rows))
    infinite = np.random.default_rng(seed).choice(np.append(pool, np.float32([np.inf, -np.inf])), size=(1000, WIDTH))
    assert bits(forest.predict(infinite)) == bits(predicted(name, model, infinite))
    assert bits(Forest.from_json(forest.to_json()).predict(rows)) == bits(forest.predict(rows))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "whole numbers"])
def test_the_dump_is_the_model(name):
    model = booster(name, 0)
    forest = read_model(model.save_raw("json"))
    assert dumped(model, forest).to_json() == forest.to_json()


def test_the_dump_of_whole_numbers_is_the_model_on_whole_numbers():
    model = booster("whole numbers", 0)
    forest = read_model(model.save_raw("json"))
    matrix, _ = data(3, whole=True)
    assert dumped(model, forest).to_json() != forest.to_json()
    assert bits(dumped(model, forest).predict(matrix)) == bits(predicted("whole numbers", model, matrix))


@given(drawn=st.data(), name=st.sampled_from(sorted(MODELS)), seed=st.sampled_from([0, 1]))
@settings(max_examples=60)
def test_any_row_scores_as_the_booster_scores_it(drawn, name, seed):
    model = booster(name, seed)
    forest = read_model(model.save_raw("json"))
    cell = st.one_of(st.floats(width=32), st.sampled_from(edges(forest).tolist()))
    rows = drawn.draw(arrays(np.float32, (5, WIDTH), elements=cell))
    assert bits(forest.predict(rows)) == bits(predicted(name, model, rows))


def test_the_scenarios_hold_what_their_names_say():
    forests = {name: read_model(booster(name, 0).save_raw("json")) for name in MODELS}
    kinds = {name: {int(kind) for tree in forest.trees for kind in tree.kind} for name, forest in forests.items()}
    assert Kind.MEMBER in kinds["categories"] & kinds["categories one by one"]
    assert kinds["one leaf"] == {Kind.LEAF}
    assert len(forests["parallel trees"].trees) == 8 * 3
    assert forests["base score"].base_score == float(np.float32(0.3))
    assert max(len(codes) for tree in forests["categories"].trees for codes in tree.categories.values()) > 1
    deleted = [tree for tree in raw("pruned") if int(tree["tree_param"]["num_deleted"])]
    assert deleted
    assert len(forests["missing"].features) == WIDTH
    assert forests["missing"].version == xgboost.__version__


def raw(name):
    return json.loads(booster(name, 0).save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]


def test_rounds_are_those_of_the_booster_early_stopped_or_not():
    (matrix, grades), (other, judged) = data(5), data(6)
    train, valid = (xgboost.DMatrix(*pair, nthread=1) for pair in ((matrix, grades), (other, judged)))
    for rows in (train, valid):
        rows.set_group([12] * 20)
    chosen = {"objective": "rank:ndcg", "nthread": 1, "eta": 0.9, "num_parallel_tree": 2, "eval_metric": "ndcg@5"}
    watched = {"evals": [(valid, "dev")], "early_stopping_rounds": 3, "verbose_eval": False}
    model = xgboost.train(chosen, train, num_boost_round=40, **watched)
    best = model.best_iteration + 1
    assert best < model.num_boosted_rounds()
    text = model.save_raw("json")
    assert bits(read_model(text).predict(other)) == bits(model.predict(valid))
    cut = read_model(text, rounds=best)
    assert len(cut.trees) == 2 * best
    assert bits(cut.predict(other)) == bits(model.predict(valid, iteration_range=(0, best)))
    with pytest.raises(
        RankerError, match=f"99 rounds were asked for; the forest has 1 to {model.num_boosted_rounds()}"
    ):
        read_model(text, rounds=99)


def test_names_are_the_boosters_own():
    matrix, grades = data(0)
    names = ["title bm25", "price", "größe", "f9"]
    rows = xgboost.DMatrix(matrix, grades, feature_names=names, nthread=1)
    model = xgboost.train({"nthread": 1, "max_depth": 3}, rows, num_boost_round=2)
    forest = read_model(model.save_raw("json"))
    assert forest.features == tuple(names)
    assert dumped(model, forest).to_json() == forest.to_json()
    with pytest.raises(RankerError, match=r"the dump splits on '.*', which the features given lack"):
        read_dump(model.get_dump(dump_format="json"), ["a", "b", "c", "d"], base_score=0.5)


OTHERS = {
    "dart": ({"booster": "dart"}, "the booster is 'dart'; only gbtree is covered"),
    "linear": ({"booster": "gblinear"}, "the booster is 'gblinear'"),
    "several scores": ({"objective": "multi:softprob", "num_class": 5}, "the model has several scores a row"),
    "a sigmoid": ({"objective": "reg:logistic"}, "objective 'reg:logistic' does not predict the sum"),
    "an exponential": ({"objective": "count:poisson"}, "objective 'count:poisson' does not predict the sum"),
    "several quantiles": (
        {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]},
        "the model has several scores a row",
    ),
}


@pytest.mark.parametrize(("parameters", "message"), OTHERS.values(), ids=OTHERS.keys())
def test_what_is_not_covered_is_refused_by_name(parameters, message):
    matrix, grades = data(0)
    label = grades > 1 if parameters.get("objective") == "reg:logistic" else grades
    rows = xgboost.DMatrix(matrix, label, nthread=1)
    model = xgboost.train({"nthread": 1} | parameters, rows, num_boost_round=1)
    with pytest.raises(RankerError, match=message):
        read_model(model.save_raw("json"))


def test_vector_leaves_are_refused():
    matrix, grades = data(0)
    rows = xgboost.DMatrix(matrix, np.stack([grades, grades], axis=1), nthread=1)
    chosen = {"nthread": 1, "max_depth": 2, "multi_strategy": "multi_output_tree", "objective": "reg:squarederror"}
    model = xgboost.train(chosen, rows, num_boost_round=1)
    with pytest.raises(RankerError, match="several scores a row"):
        read_model(model.save_raw("json"))


def test_an_indicator_of_a_dump_is_refused():
    matrix = np.random.default_rng(0).integers(0, 2, size=(60, 1)).astype(np.float32)
    rows = xgboost.DMatrix(matrix, matrix[:, 0], feature_types=["i"], feature_names=["sale"], nthread=1)
    model = xgboost.train({"nthread": 1, "max_depth": 2, "min_child_weight": 0}, rows, num_boost_round=1)
    with pytest.raises(RankerError, match="feature 'sale' is an indicator"):
        read_dump(model.get_dump(dump_format="json"), ["sale"], base_score=0.5)
    forest = read_model(model.save_raw("json"))
    assert bits(forest.predict(matrix)) == bits(model.predict(rows))


def damaged(change):
    def text():
        whole = json.loads(booster("categories", 0).save_raw("json"))
        change(whole["learner"])
        return json.dumps(whole)

    return text


def trees(learner):
    return learner["gradient_booster"]["model"]["trees"]


DAMAGED = {
    "not JSON": (lambda: "tree\nversion=v4", "not the JSON of a model: Expecting value: line 1"),
    "UBJSON": (lambda: booster("missing", 0).save_raw("ubj"), "not JSON .UBJSON"),
    "no learner": (lambda: "{}", "the model is malformed: it has no 'learner'"),
    "not an object": (lambda: "[]", "the model is malformed"),
    "a circle": (damaged(lambda x: trees(x)[3]["left_children"].__setitem__(0, 0)), "tree 3 .*: node 0 is reached"),
    "a list too short": (damaged(lambda x: trees(x)[2]["default_left"].pop()), "tree 2 .*: its lists differ in length"),
    "no hessians": (damaged(lambda x: trees(x)[1].pop("sum_hessian")), "tree 1 .*: it has no 'sum_hessian'"),
    "a name too few": (damaged(lambda x: x.update(feature_names=["a"])), "1 feature names stand for 4 features"),
    "two base scores": (
        damaged(lambda x: x["learner_model_param"].update(base_score="[1,2]")),
        "the model is malformed",
    ),
}


@pytest.mark.parametrize(("text", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_model_names_the_tree(text, message):
    with pytest.raises(RankerError, match=message):
        read_model(text())


def test_a_damaged_dump_names_the_tree():
    dump = booster("missing", 0).get_dump(dump_format="json")
    names = ["f0", "f1", "f2", "f3"]
    with pytest.raises(RankerError, match="tree 1 is malformed: Expecting"):
        read_dump([dump[0], "{"], names, base_score=0.5)
    with pytest.raises(RankerError, match="tree 0 is malformed: it has no"):
        read_dump([dump[0].replace('"yes": 1', '"yes": 99')], names, base_score=0.5)
    with pytest.raises(RankerError, match="objective 'binary:logistic' does not predict the sum"):
        read_dump(dump, names, base_score=0.5, objective="binary:logistic")


def test_a_model_before_categories_and_vector_base_scores_is_read():
    # XGBoost 1.0 to 1.2 wrote no split types, and a base score without brackets.
    old = json.loads(booster("missing", 0).save_raw("json"))
    base = old["learner"]["learner_model_param"]
    base["base_score"] = base["base_score"].strip("[]")
    for tree in trees(old["learner"]):
        for key in ("split_type", "categories", "categories_nodes", "categories_segments", "categories_sizes"):
            tree.pop(key, None)
        tree["default_left"] = [bool(left) for left in tree["default_left"]]
    assert read_model(json.dumps(old)).to_json() == read_model(booster("missing", 0).save_raw("json")).to_json()
