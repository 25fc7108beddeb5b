"""Tree SHAP by its definition, by its laws, and as both libraries compute it."""

import itertools
from math import factorial

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import RankerError
from ltr.rankers.forest import Forest, Kind, Missing, Tree
from ltr.rankers.forest_lightgbm import read_text
from ltr.rankers.forest_xgboost import read_dump, read_model
from ltr.rankers.shap import contributions, why

WIDTH = 5
ROWS = 240


def grown(rng, depth, width):
    """A random tree: splits on any feature, repeats along a path included, with covers of any proportion."""
    columns = {name: [] for name in ("kind", "feature", "threshold", "default", "left", "right", "value", "cover")}

    def grow(level, cover):
        node = len(columns["kind"])
        leaf = level == depth or (level > 1 and rng.random() < 0.25)
        share = rng.uniform(0.05, 0.95)
        row = (0, -1, 0.0, False, -1, -1, rng.normal(), cover) if leaf else (
            int(Kind.LESS_EQUAL), rng.integers(width), rng.normal(), rng.random() < 0.5, -1, -1, 0.0, cover,
        )  # fmt: skip
        for name, one in zip(columns, row, strict=True):
            columns[name].append(one)
        if not leaf:
            columns["left"][node] = grow(level + 1, cover * share)
            columns["right"][node] = grow(level + 1, cover * (1 - share))
        return node

    grow(0, 100.0)
    c = columns
    missing = [Missing.NAN] * len(c["kind"])
    return Tree.of(
        c["kind"], c["feature"], c["threshold"], missing, c["default"], c["left"], c["right"], c["value"], c["cover"]
    )


def expectation(tree, row, known, node=0):
    """E[f | known features], a split on an unknown one averaged by cover (algorithm 1 of the paper)."""
    if tree.left[node] < 0:
        return tree.value[node]
    children = tree.left[node], tree.right[node]
    feature = tree.feature[node]
    if feature in known:
        x = row[feature]
        left = tree.default_left[node] if np.isnan(x) else x <= tree.threshold[node]
        return expectation(tree, row, known, children[0] if left else children[1])
    parts = [tree.cover[child] * expectation(tree, row, known, child) for child in children]
    return sum(parts) / sum(tree.cover[child] for child in children)


def shapley(tree, row, width):
    """Shapley values by their definition, over all coalitions."""
    phi = np.zeros(width + 1)
    phi[width] = expectation(tree, row, ())
    for feature in range(width):
        others = [other for other in range(width) if other != feature]
        for size in range(width):
            weight = factorial(size) * factorial(width - size - 1) / factorial(width)
            for known in itertools.combinations(others, size):
                gained = expectation(tree, row, (*known, feature)) - expectation(tree, row, known)
                phi[feature] += weight * gained
    return phi


@given(seed=st.integers(0, 10_000), depth=st.integers(1, 7))
@settings(max_examples=25)
def test_contributions_are_shapley_values(seed, depth):
    rng = np.random.default_rng(seed)
    tree = grown(rng, depth, WIDTH)
    forest = Forest("lightgbm", "v4", "lambdarank", tuple("abcde"), (tree,))
    rows = rng.normal(size=(2, WIDTH)).astype(np.float32)
    rows[0, rng.integers(WIDTH)] = np.nan
    expected = [shapley(tree, row, WIDTH) for row in rows]
    np.testing.assert_allclose(contributions(forest, rows), expected, rtol=0, atol=1e-12)


def test_forty_features_on_one_path_still_add_up_to_the_score():
    deep = 40
    splits = np.arange(deep)
    tree = Tree.of(  # split i, its leaf to the left, split i + 1 to the right
        [1] * deep + [0] * (deep + 1),
        [*splits, *[-1] * (deep + 1)],
        np.zeros(2 * deep + 1),
        [2] * deep + [0] * (deep + 1),
        np.zeros(2 * deep + 1),
        [*(deep + splits), *[-1] * (deep + 1)],
        [*(splits[:-1] + 1), 2 * deep, *[-1] * (deep + 1)],
        [*np.zeros(deep), *np.linspace(-1, 1, deep + 1)],
        [*(100.0 - splits), *np.ones(deep), 100.0 - deep],
    )
    forest = Forest("lightgbm", "v4", "lambdarank", tuple(f"f{i}" for i in splits), (tree,))
    rows = np.random.default_rng(0).normal(loc=1.5, size=(50, deep)).astype(np.float32)
    np.testing.assert_allclose(contributions(forest, rows).sum(axis=1), forest.predict(rows), rtol=0, atol=1e-12)


def data(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    matrix[:, 4] = rng.integers(0, 40, size=ROWS)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    told = np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, 4]) % 3
    return matrix, np.clip(told + rng.normal(size=ROWS), 0, 4).astype(int)


LIGHTGBM = {
    "lambdarank": {"objective": "lambdarank", "num_leaves": 20},
    "categories": {"objective": "lambdarank", "max_cat_to_onehot": 1, "min_data_per_group": 1, "cat_smooth": 1},
    "dart": {"objective": "regression", "boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.0},
    "one leaf": {"objective": "regression", "min_data_in_leaf": 10_000},
    "random forest": {"objective": "regression", "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
    "zero as missing": {"objective": "regression", "zero_as_missing": True},
}


def lightgbm_model(name, seed=0):
    matrix, grades = data(seed)
    chosen = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3} | LIGHTGBM[name]
    columns = [4] if name == "categories" else []
    dataset = lightgbm.Dataset(matrix, grades, group=[12] * 20, categorical_feature=columns, params=chosen)
    return lightgbm.train(chosen, dataset, num_boost_round=6)


@pytest.mark.parametrize("name", LIGHTGBM)
def test_contributions_are_lightgbms(name):
    model = lightgbm_model(name)
    forest = read_text(model.model_to_string())
    rows, _ = data(1)
    found = contributions(forest, rows)
    told = np.asarray(model.predict(rows, pred_contrib=True))
    # LightGBM leaves a random forest's contributions a sum, though it predicts their mean.
    told = told / len(forest.trees) if forest.average_output else told
    np.testing.assert_allclose(found, told, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), model.predict(rows), rtol=1e-9, atol=1e-12)


XGBOOST = {
    "ndcg": {"objective": "rank:ndcg"},
    "categories": {"objective": "rank:ndcg", "max_cat_to_onehot": 1},
    "base score": {"objective": "reg:squarederror", "base_score": 0.7},
    "one leaf": {"objective": "reg:squarederror", "gamma": 1e9},
    "parallel trees": {"objective": "reg:squarederror", "num_parallel_tree": 2, "subsample": 0.5},
}


@pytest.mark.parametrize("name", XGBOOST)
def test_contributions_are_xgboosts(name):
    (matrix, grades), (other, _) = data(0), data(1)
    types = ["q"] * 4 + ["c" if name == "categories" else "q"]
    train, rows = (
        xgboost.DMatrix(x, y, feature_types=types, enable_categorical=True, nthread=1)
        for x, y in ((matrix, grades), (other, None))
    )
    if XGBOOST[name]["objective"].startswith("rank"):
        train.set_group([12] * 20)
    model = xgboost.train({"nthread": 1, "max_depth": 5} | XGBOOST[name], train, num_boost_round=6)
    forest = read_model(model.save_raw("json"))
    found = contributions(forest, other)
    # XGBoost sums in float32, scores too.
    np.testing.assert_allclose(found, model.predict(rows, pred_contribs=True), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(found.sum(axis=1), model.predict(rows), rtol=1e-6, atol=1e-6)


def test_a_row_is_explained_the_same_in_any_company():
    forest = read_text(lightgbm_model("categories").model_to_string())
    rows, _ = data(2)
    together = contributions(forest, np.tile(rows, (12, 1)))
    assert together[:ROWS].tobytes() == together[-ROWS:].tobytes()
    assert together[:5, :-1].tolist() == [contributions(forest, row[None])[0, :-1].tolist() for row in rows[:5]]
    assert contributions(forest, rows[:0]).shape == (0, WIDTH + 1)


def test_why_a_is_above_b_adds_up_to_how_far():
    forest = read_text(lightgbm_model("lambdarank").model_to_string())
    rows, _ = data(2)
    scores = forest.predict(rows)
    a, b = int(scores.argmax()), int(scores.argmin())
    names = ["title", "price", "stock", "rating", "brand"]
    reasons = why(forest, rows[a], rows[b], names)
    assert sum(difference for _, difference in reasons) == pytest.approx(scores[a] - scores[b], rel=1e-9)
    sizes = [abs(difference) for _, difference in reasons]
    assert sizes == sorted(sizes, reverse=True)
    assert sorted(name for name, _ in reasons) == sorted(names)
    assert why(forest, rows[b], rows[a], names) == [(name, -difference) for name, difference in reasons]
    assert why(forest, rows[a], rows[a]) == [(name, 0.0) for name in forest.features]
    with pytest.raises(RankerError, match="2 names were given; the forest has 5 features"):
        why(forest, rows[a], rows[b], names[:2])


def test_a_forest_without_covers_is_not_explained():
    matrix, grades = data(0)
    model = xgboost.train({"nthread": 1, "max_depth": 2}, xgboost.DMatrix(matrix, grades, nthread=1), num_boost_round=2)
    names = [f"f{place}" for place in range(WIDTH)]
    bare = read_dump(model.get_dump(dump_format="json"), names, base_score=0.5)
    assert bare.predict(matrix).shape == (ROWS,)
    with pytest.raises(RankerError, match="tree 0 does not say how many rows reached its nodes; dump the model"):
        contributions(bare, matrix)
