"""The neutral forest is what LightGBM predicts, to the bit, on rows drawn to find a difference."""

import json
from functools import cache

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ltr.errors import RankerError
from ltr.rankers.forest import Forest, Kind
from ltr.rankers.forest_lightgbm import read_dump, read_text

WIDTH = 4
ROWS = 240
QUIET = {"verbosity": -1, "num_threads": 1}
CODES = {"categorical_feature": [3], "min_data_per_group": 1, "cat_smooth": 1, "cat_l2": 1}

# What the data and the parameters are; an empty cell is a feature's NaN.
MODELS = {
    "missing none": {},
    "missing nan": {"empty": 0.2},
    "missing only against all numbers": {"empty": 0.6, "numbers": "one"},
    "missing zero": {"empty": 0.2, "numbers": "few", "zero_as_missing": True},
    "missing not used": {"empty": 0.2, "use_missing": False},
    "whole numbers": {"numbers": "few"},
    "tiny numbers": {"numbers": "tiny"},
    "categories": {**CODES, "max_cat_to_onehot": 1, "empty": 0.1},
    "categories one by one": {**CODES, "max_cat_to_onehot": 64},
    "categories, zero missing": {**CODES, "max_cat_to_onehot": 1, "zero_as_missing": True},
    "one leaf": {"min_data_in_leaf": 10_000},
    "regression": {"objective": "regression"},
    "xendcg": {"objective": "rank_xendcg"},
    "dart": {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.0},
    "random forest": {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "objective": "regression"},
    "weights": {"weighted": True},
}


def data(seed, *, empty=0.0, numbers="any"):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, WIDTH))
    if numbers == "few":
        matrix = np.round(matrix)
    elif numbers == "tiny":
        matrix *= 10.0 ** rng.integers(-44, -30, size=matrix.shape)
    elif numbers == "one":
        matrix[:] = 1.0
    matrix[:, 3] = rng.integers(0, 70, size=ROWS)
    matrix[rng.random(matrix.shape) < empty] = np.nan
    told = np.nan_to_num(np.sign(matrix[:, 0])) + np.isnan(matrix[:, 1]) + np.nan_to_num(matrix[:, 3]) % 3
    return matrix.astype(np.float32), np.clip(told + rng.normal(size=ROWS), 0, 4).astype(int)


@cache
def booster(name, seed):
    own = dict(MODELS[name])
    matrix, grades = data(seed, empty=own.pop("empty", 0.0), numbers=own.pop("numbers", "any"))
    weight = np.linspace(0.1, 3, ROWS) if own.pop("weighted", False) else None
    columns = own.pop("categorical_feature", [])
    chosen = QUIET | {"objective": "lambdarank", "num_leaves": 12, "min_data_in_leaf": 3, "seed": seed} | own
    dataset = lightgbm.Dataset(
        matrix, grades, weight=weight, group=[12] * (ROWS // 12), categorical_feature=columns, params=chosen
    )
    return lightgbm.train(chosen, dataset, num_boost_round=8)


def bits(scores):
    return np.asarray(scores, dtype=np.float64).view(np.int64).tolist()


def edges(forest):
    """Rows on each threshold and one float32 to either side, and the values that libraries treat by themselves."""
    thresholds = np.concatenate([tree.threshold[tree.kind == Kind.LESS_EQUAL] for tree in forest.trees])
    with np.errstate(over="ignore"):
        near = np.unique(thresholds.astype(np.float32))
    tiny = np.float32(1e-35)
    sides = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    special = [0.0, -0.0, 1e-45, -1e-45, 1e-38, tiny, -tiny, np.nextafter(tiny, np.float32(1)), -1e-34, 3e38, -3e38]
    special += [np.inf, -np.inf, np.nan, -0.5, -1.0, -1.5, 0.5, 31.9, 32.0, 63.0, 64.0, 1e6, 2.0**31, 1e10]
    return np.concatenate([near, *sides, np.array(special, dtype=np.float32)])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_text_and_dump_predict_as_the_booster_to_the_bit(name, seed):
    model = booster(name, seed)
    forest = read_text(model.model_to_string())
    assert read_dump(model.dump_model()).to_json() == forest.to_json()
    assert read_dump(json.dumps(model.dump_model())).to_json() == forest.to_json()
    rows = np.random.default_rng(seed).choice(edges(forest), size=(3000, WIDTH))
    assert bits(forest.predict(rows)) == bits(model.predict(rows))
    assert bits(Forest.from_json(forest.to_json()).predict(rows)) == bits(model.predict(rows))


@given(drawn=st.data(), name=st.sampled_from(sorted(MODELS)), seed=st.sampled_from([0, 1]))
@settings(max_examples=60)
def test_any_row_scores_as_the_booster_scores_it(drawn, name, seed):
    model = booster(name, seed)
    forest = read_text(model.model_to_string())
    cell = st.one_of(st.floats(width=32), st.sampled_from(edges(forest).tolist()))
    rows = drawn.draw(arrays(np.float32, (5, WIDTH), elements=cell))
    assert bits(forest.predict(rows)) == bits(model.predict(rows))


@pytest.mark.parametrize("decision", range(12))
@pytest.mark.parametrize(
    "threshold", ["5e-36", "-5e-36", "1.0000000180025095e-35", "-0.0", "1e300", "inf", "-inf", "2"]
)
def test_every_missing_type_and_default_is_lightgbms(threshold, decision):
    # decision_type: bit 0 categorical (never here), bit 1 default left, bits 2 and 3 the missing type.
    lines = []
    for line in booster("missing nan", 0).model_to_string().splitlines():
        key, _, value = line.partition("=")
        words = {"threshold": threshold, "decision_type": str(decision & ~1)}.get(key)
        if key != "tree_sizes":  # byte counts of the text as it was
            lines.append(f"{key}={' '.join([words] * len(value.split()))}" if words else line)
    text = "\n".join(lines)
    forest = read_text(text)
    rows = np.random.default_rng(decision).choice(edges(forest), size=(500, WIDTH))
    assert bits(forest.predict(rows)) == bits(lightgbm.Booster(model_str=text).predict(rows))


def test_the_scenarios_hold_what_their_names_say():
    kinds = {name: {int(kind) for tree in read(name).trees for kind in tree.kind} for name in MODELS}
    assert all(Kind.MEMBER in kinds[name] for name in kinds if name.startswith("categories"))
    assert kinds["one leaf"] == {Kind.LEAF}
    missing = {name: {int(m) for tree in read(name).trees for m in tree.missing[tree.left >= 0]} for name in MODELS}
    assert missing["missing none"] == {0}
    assert 1 in missing["missing zero"]
    assert missing["missing nan"] >= {2}
    assert any(np.isinf(tree.threshold).any() for tree in read("missing only against all numbers").trees)


def read(name):
    return read_text(booster(name, 0).model_to_string())


def test_an_early_stopped_booster_is_cut_where_it_predicts():
    matrix, grades = data(5)
    train = lightgbm.Dataset(matrix, grades, group=[12] * 20, free_raw_data=False, params=QUIET)
    other, judged = data(6)
    valid = train.create_valid(other, judged, group=[12] * 20)
    chosen = QUIET | {"objective": "lambdarank", "metric": "ndcg", "eval_at": [5], "learning_rate": 0.5, "seed": 0}
    stop = lightgbm.early_stopping(3, verbose=False)
    # Kept in training, it keeps the rounds after its best.
    watched = {"valid_sets": [valid], "callbacks": [stop], "keep_training_booster": True}
    model = lightgbm.train(chosen, train, num_boost_round=40, **watched)
    assert 0 < model.best_iteration < model.num_trees()
    forest = read_text(model.model_to_string())
    assert len(forest.trees) == model.best_iteration
    assert bits(forest.predict(other)) == bits(model.predict(other))
    every = model.model_to_string(num_iteration=-1)
    assert len(read_text(every).trees) == model.num_trees()
    assert read_text(every, rounds=model.best_iteration).to_json() == forest.to_json()
    assert read_dump(model.dump_model(num_iteration=-1), rounds=model.best_iteration).to_json() == forest.to_json()


def test_provenance_is_kept():
    forest = read("random forest")
    assert (forest.library, forest.version, forest.objective) == ("lightgbm", "v4", "regression")
    assert forest.average_output
    assert forest.features == ("Column_0", "Column_1", "Column_2", "Column_3")
    assert 0 < forest.trees[0].cover[0] < ROWS  # rows in the bag


def test_names_are_the_boosters_own_whatever_their_characters():
    matrix, grades = data(0)
    names = ["größe", "a\u2028b", "c\u00a0d", "e=f"]
    dataset = lightgbm.Dataset(matrix, grades, feature_name=names, params=QUIET)
    model = lightgbm.train(QUIET | {"objective": "regression"}, dataset, num_boost_round=1)
    assert read_text(model.model_to_string()).features == tuple(names)
    assert read_text(model.model_to_string().replace("\n", "\r\n")).features == tuple(names)


OTHERS = {
    "linear trees": ({"objective": "regression", "linear_tree": True}, "tree 0.* is linear"),
    "several scores": ({"objective": "multiclass", "num_class": 5}, "the model has 5 scores a row"),
    "a sigmoid": ({"objective": "binary"}, "objective 'binary sigmoid:1' does not predict the sum"),
    "an exponential": ({"objective": "poisson"}, "objective 'poisson' does not predict the sum"),
    "a square": ({"objective": "regression", "reg_sqrt": True}, "objective 'regression sqrt' does not predict"),
}


@pytest.mark.parametrize(("parameters", "message"), OTHERS.values(), ids=OTHERS.keys())
def test_what_is_not_covered_is_refused_by_name(parameters, message):
    matrix, grades = data(0)
    chosen = QUIET | parameters
    label = grades > 1 if parameters["objective"] == "binary" else grades
    model = lightgbm.train(chosen, lightgbm.Dataset(matrix, label, params=chosen), num_boost_round=1)
    for read_it in (lambda: read_text(model.model_to_string()), lambda: read_dump(model.dump_model())):
        with pytest.raises(RankerError, match=message):
            read_it()


def replaced(old, new):
    return lambda: booster("categories", 0).model_to_string().replace(old, new, 1)


DAMAGED = {
    "not a model": (lambda: "pickle", "line 1 is 'pickle', not 'tree'"),
    "nothing": (lambda: "", "line 1 is '', not 'tree'"),
    "cut short": (replaced("end of trees", ""), "ends before 'end of trees', in tree 7"),
    "a later format": (replaced("version=v4", "version=v9"), "version 'v9'; v3 and v4 are read"),
    "a tree lost": (replaced("Tree=0", "Tree=1"), r"line \d+: tree '1' where tree 0 is due"),
    "a size lost": (replaced("tree_sizes=", "tree_sizes=12 "), r"line \d+: tree_sizes tells of 9 trees, not 8"),
    "a word for a number": (replaced("leaf_value=", "leaf_value=x"), r"line \d+: leaf_value of tree 0: could not"),
    "a leaf too many": (replaced("leaf_value=", "leaf_value=0 "), r"line \d+: tree 0 has 13 leaf_value, not 12"),
    "no thresholds": (replaced("threshold=", "thresholds="), r"line \d+: tree 0 has no threshold="),
    "a leaf of infinity": (
        replaced("leaf_weight=", f"leaf_value={' '.join(['inf'] * 12)}\nleaf_weight="),
        r"line \d+: tree 0: a leaf's value is not finite",
    ),
    "a feature too few": (replaced("max_feature_idx=3", "max_feature_idx=4"), "4 feature names stand for 5 features"),
    "sets too short": (replaced("cat_boundaries=0", "cat_boundaries=0 1"), r"line \d+: tree 0 has \d+ cat_boundaries"),
}


@pytest.mark.parametrize(("text", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_text_names_the_line(text, message):
    with pytest.raises(RankerError, match=message):
        read_text(text())


def test_a_child_that_is_no_node_names_the_line_of_its_tree():
    text = booster("missing none", 0).model_to_string()
    line = next(line for line in text.splitlines() if line.startswith("left_child"))
    broken = text.replace(line, "left_child=" + " ".join(["99"] * len(line.split())), 1)
    with pytest.raises(RankerError, match=r"line \d+: tree 0: a child is node 99 of 23"):
        read_text(broken)


def test_a_damaged_dump_names_the_tree():
    dump = booster("missing none", 0).dump_model()
    del dump["tree_info"][2]["tree_structure"]["right_child"]
    with pytest.raises(RankerError, match="tree 2 of the dump is malformed: no 'right_child'"):
        read_dump(dump)
    dump["tree_info"][1]["tree_structure"]["decision_type"] = "<"
    with pytest.raises(RankerError, match="tree 1 of the dump is malformed: decision type '<', not '<=' or '=='"):
        read_dump(dump)
    with pytest.raises(RankerError, match="the header of the dump is malformed: no 'feature_names'"):
        read_dump("{}")
    with pytest.raises(RankerError, match="this is not the JSON of a dump: Expecting value: line 1"):
        read_dump("tree")
