"""A compiled forest scores as the plain one and as the library, to the bit, whatever the row, the number of rows or the ranker."""

import json
import os
import shutil
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ltr
from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers import neutral, sliced, sliced_layout
from ltr.rankers.averaged import Averaged
from ltr.rankers.forest import Forest, Kind, Missing, Tree
from ltr.rankers.forest_lightgbm import read_text
from ltr.rankers.forest_xgboost import read_model
from ltr.rankers.sliced import Scorer, scorer_of
from ltr.rankers.started import Start, Started
from ltr.rankers.transferred import COLUMN, Source, Transferred
from made.ranked import shop

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])
TINY = np.float32(1e-35)
LARGEST = float(np.finfo(np.float32).max)
SPECIAL = np.array(
    [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, TINY, -TINY, np.nextafter(TINY, np.float32(1)),
     -np.nextafter(TINY, np.float32(1)), 3.4028235e38, -3.4028235e38, 1.1754944e-38, -1e-40],
    dtype=np.float32,
)  # fmt: skip


def bits(scores):
    return np.asarray(scores, dtype=np.float64).view(np.int64).tolist()


def edges(forest, *, seed=1, rows=500):
    """Rows of thresholds, the float32 to either side of each, and the values that libraries treat by themselves."""
    with np.errstate(over="ignore"):
        near = np.unique(np.concatenate([tree.threshold for tree in forest.trees]).astype(np.float32))
        around = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    values = np.concatenate([*around, SPECIAL])
    return np.random.default_rng(seed).choice(values, size=(rows, len(forest.features)))


def same(forest, matrix):
    """Score compiled, having checked that it is."""
    scorer = sliced.compile(forest)
    assert scorer.sliced
    scores = scorer.predict(matrix)
    assert bits(scores) == bits(forest.predict(matrix))
    return scores


def grown(seed, *, library="lightgbm", leaves=(1, 40), trees=7, features=5, thresholds=None, values=1.0, **provenance):
    """A forest split at random, whatever its questions: every kind of threshold and way of the missing."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(trees):
        count = int(rng.integers(leaves[0], leaves[1] + 1))
        left, right, ends = [-1], [-1], [0]
        while len(ends) < count:
            node = ends.pop(int(rng.integers(len(ends))))
            left[node], right[node] = len(left), len(left) + 1
            ends += [len(left), len(left) + 1]
            left += [-1, -1]
            right += [-1, -1]
        split = np.array(left) >= 0
        size = len(left)
        cuts = rng.normal(size=size) if thresholds is None else rng.choice(thresholds, size=size)
        if library == "xgboost":
            cuts = np.clip(cuts, -LARGEST, LARGEST).astype(np.float32).astype(np.float64)
        made.append(
            Tree.of(
                np.where(split, Kind.LESS_EQUAL if library == "lightgbm" else Kind.LESS, Kind.LEAF),
                rng.integers(0, features, size=size),
                cuts,
                np.where(split, rng.integers(0, 3, size=size) if library == "lightgbm" else Missing.NAN, 0),
                split & (rng.random(size) < 0.5),
                left,
                right,
                np.where(split, 0, np.clip(rng.normal(size=size) * values, -LARGEST, LARGEST)),
                np.zeros(size),
            )
        )
    names = tuple(f"f{place}" for place in range(features))
    return Forest(library, "v4", "lambdarank", names, tuple(made), **provenance)


ODD = np.array(
    [0.0, -0.0, 1e-310, -1e-310, 1e-45, -1e-45, 1e-40, -1e-40, float(TINY), -float(TINY), 1e-36, 0.1, 0.5, -3.0,
     np.float32(0.1), np.inf, -np.inf, 1e300, -1e300, 3.4028234663852886e38, -3.5e38]
)  # fmt: skip

FORESTS = {
    "small trees": {},
    "XGBoost's, in float32": {"library": "xgboost", "base_score": 0.5},
    "odd thresholds": {"thresholds": ODD, "trees": 30},
    "odd thresholds of XGBoost": {"thresholds": ODD, "trees": 30, "library": "xgboost"},
    "one leaf": {"leaves": (1, 1)},
    "one tree": {"trees": 1, "leaves": (2, 2)},
    "one feature": {"features": 1, "trees": 3},
    "1,024 leaves": {"leaves": (1_024, 1_024), "trees": 3},
    "1,024 leaves of XGBoost": {"leaves": (900, 1_024), "trees": 2, "library": "xgboost"},
    "256 and 257 leaves": {"leaves": (256, 257), "trees": 9},
    "4,096 leaves": {"leaves": (4_096, 4_096), "trees": 4},
    "more than 4,096 cuts of a feature": {"leaves": (2_000, 2_000), "trees": 4, "features": 1},
    "an average": {"average_output": True},
    "a start of LightGBM": {"base_score": -0.25},
    "sums beyond float32": {"library": "xgboost", "values": 3e38, "trees": 5},
    "leaves of minus zero": {"values": -0.0, "trees": 5},
}


@pytest.mark.parametrize("how", FORESTS.values(), ids=FORESTS.keys())
def test_a_forest_scores_alike_compiled_and_plain_on_adversarial_rows(how):
    forest = grown(3, **how)
    same(forest, edges(forest))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 255, 256, 257, 4_095])
def test_as_many_cuts_as_fill_a_level_of_the_search_and_one_more_or_less(count):
    forest = grown(count, leaves=(count + 1, count + 1), trees=1, features=1)
    same(forest, np.sort(edges(forest, rows=2 * count), axis=0))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    library=st.sampled_from(["lightgbm", "xgboost"]),
    trees=st.integers(1, 9),
    most=st.integers(1, 70),
    odd=st.booleans(),
    matrix=arrays(np.float32, st.tuples(st.integers(0, 140), st.just(3)), elements=st.floats(width=32)),
)
def test_random_forests_score_random_rows_alike(seed, library, trees, most, odd, matrix):
    forest = grown(seed, library=library, trees=trees, leaves=(1, most), features=3, thresholds=ODD if odd else None)
    same(forest, matrix)
    same(forest, edges(forest, seed=seed, rows=70))


def learnt(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(240, 4))
    matrix[:, 1] = np.round(matrix[:, 1])
    matrix[:, 2] *= 10.0 ** rng.integers(-44, 3, size=240)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    told = np.nan_to_num(np.sign(matrix[:, 0])) + np.isnan(matrix[:, 1]) + np.nan_to_num(matrix[:, 3] > 0)
    return matrix.astype(np.float32), np.clip(np.round(told + rng.normal(size=240)), 0, 4).astype(int)


LIGHTGBM = {
    "lambdarank": {},
    "no missing type": {"use_missing": False},
    "zero is missing": {"zero_as_missing": True},
    "random forest": {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "objective": "regression"},
    "dart": {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.0},
    "one leaf": {"min_data_in_leaf": 10_000},
}
XGBOOST = {
    "lossguide": {"tree_method": "hist", "grow_policy": "lossguide", "max_leaves": 30, "max_depth": 0},
    "exact": {"tree_method": "exact", "max_depth": 6},
    "parallel trees": {"num_parallel_tree": 3, "subsample": 0.6},
    "base score": {"objective": "reg:squarederror", "base_score": 0.3},
}


@cache
def of_lightgbm(name, seed):
    chosen = {"verbosity": -1, "num_threads": 1, "objective": "lambdarank", "num_leaves": 30, "min_data_in_leaf": 2}
    chosen |= {"seed": seed} | LIGHTGBM[name]
    matrix, grades = learnt(seed)
    return lightgbm.train(chosen, lightgbm.Dataset(matrix, grades, group=[12] * 20, params=chosen), num_boost_round=9)


@cache
def of_xgboost(name, seed):
    matrix, grades = learnt(seed)
    rows = xgboost.DMatrix(matrix, grades, qid=np.arange(240) // 12, nthread=1)
    return xgboost.train(
        {"objective": "rank:ndcg", "nthread": 1, "min_child_weight": 0.1, "seed": seed} | XGBOOST[name], rows, 9
    )


WILD = arrays(np.float32, st.tuples(st.integers(1, 80), st.just(4)), elements=st.floats(width=32))


@pytest.mark.parametrize("name", LIGHTGBM)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2), matrix=WILD)
def test_lightgbms_own_predict_is_equalled(name, seed, matrix):
    booster = of_lightgbm(name, seed)
    forest = read_text(booster.model_to_string())
    for rows in (matrix, edges(forest), learnt(seed + 10)[0]):
        assert bits(same(forest, rows)) == bits(booster.predict(rows, num_threads=1))


@pytest.mark.parametrize("name", XGBOOST)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2), matrix=WILD)
def test_xgboosts_own_predict_is_equalled(name, seed, matrix):
    booster = of_xgboost(name, seed)
    forest = read_model(booster.save_raw("json"))
    # XGBoost refuses infinity as the value of a feature.
    for rows in (matrix, edges(forest), learnt(seed + 10)[0]):
        finite = np.where(np.isinf(rows), np.float32(3e38), rows)
        assert bits(same(forest, finite)) == bits(booster.inplace_predict(finite, missing=np.nan))


def test_any_number_of_rows_in_any_order_of_memory_scores_alike():
    forest = grown(5, trees=12)
    scorer, matrix = sliced.compile(forest), edges(forest, rows=700)
    expected = forest.predict(matrix)
    for count in (0, 1, 63, 64, 65, 127, 128, 129, 191, 255, 256, 257, 700):
        assert bits(scorer.predict(matrix[:count])) == bits(expected[:count]), count
    frozen = matrix.copy()
    frozen.flags.writeable = False
    wide = np.repeat(matrix, 2, axis=1)
    with np.errstate(invalid="ignore"):
        double = matrix.astype(np.float64)
    for given_ in (frozen, np.asfortranarray(matrix), wide[:, ::2], matrix.astype(">f4"), double):
        before = given_.copy()
        assert bits(scorer.predict(given_)) == bits(expected)
        assert given_.tobytes() == before.tobytes()
    assert bits(scorer.predict(matrix[::-1])) == bits(expected[::-1])


def test_doubles_beyond_float32_become_infinite_as_in_the_libraries():
    forest = grown(5, thresholds=ODD)
    rows = np.full((3, 5), [[1e300], [-1e300], [1e-320]])
    assert bits(sliced.compile(forest).predict(rows)) == bits(forest.predict(rows))


def test_a_matrix_of_another_width_is_refused():
    scorer = sliced.compile(grown(1))
    for shape in ((3, 4), (5,), (2, 5, 1)):
        with pytest.raises(RankerError, match="rows of 5 features are scored"):
            scorer.predict(np.zeros(shape, dtype=np.float32))


def member():
    tree = Tree.of(
        [Kind.MEMBER, 0, 0], [0, -1, -1], [0, 0, 0], [2, 0, 0], [False] * 3, [1, -1, -1], [2, -1, -1], [0, -1, 1],
        [10, 4, 6], {0: [0, 3]},
    )  # fmt: skip
    return Forest("lightgbm", "v4", "lambdarank", ("x",), (tree,))


@pytest.mark.parametrize("make", [member, lambda: grown(1, leaves=(4_097, 4_097), trees=1)])
def test_what_is_not_sliced_is_scored_by_the_plain_forest(make):
    forest = make()
    scorer = sliced.compile(forest)
    assert not scorer.sliced
    assert scorer.warm() is scorer
    assert bits(scorer.predict(edges(forest))) == bits(forest.predict(edges(forest)))


def test_a_warm_scorer_is_the_same_unless_it_scores_otherwise(caplog):
    forest, other = grown(1), grown(2)
    scorer = sliced.compile(forest)
    assert scorer.warm() is scorer
    wrong = Scorer(forest, sliced_layout.lay_out(other)).warm()
    assert not wrong.sliced
    assert "scores otherwise than the plain one" in caplog.text
    assert bits(wrong.predict(edges(forest))) == bits(forest.predict(edges(forest)))


def test_threads_share_a_scorer():
    forest = grown(5, trees=40)
    scorer, matrix = sliced.compile(forest).warm(), edges(forest, rows=300)
    expected, wrong = bits(forest.predict(matrix)), []

    def score():
        for _ in range(50):
            if bits(scorer.predict(matrix)) != expected:
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=score) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def fit(features=FEATURES, **config):
    pairs = shop() if COLUMN not in features else shop().rename({"useful": COLUMN})
    return rankers.fit(RankerConfig(rounds=10, **config), pairs, None, features=features, gains=GAINS, rounds=10).ranker


def start(**config):
    return Started(fit(**config), Start("useful", 0.7, -0.1))


def transferred():
    return Transferred(fit(features=(COLUMN, "noise")), Source(start(), (*FEATURES[:2], None)))


RANKERS = {
    "LightGBM": fit,
    "XGBoost": lambda: fit(library="xgboost"),
    "linear": lambda: fit(library="linear", objective="logistic"),
    "a mean of LightGBM's": lambda: fit(seeds=3, bagging_fraction=0.7, bagging_freq=1),
    "a mean of XGBoost's": lambda: fit(library="xgboost", seeds=2),
    "a mean of linear ones": lambda: fit(library="linear", objective="logistic", seeds=2),
    "a start": start,
    "a mean of starts": lambda: Averaged((start(), start(seed=9)), (10, 10)),
    "a start of a mean": lambda: Started(fit(seeds=2), Start("gaps", 2.0, 0.5)),
    "a transfer": transferred,
}


@pytest.mark.parametrize("make", RANKERS.values(), ids=RANKERS.keys())
def test_every_ranker_scores_alike_fitted_restored_and_compiled(make, tmp_path):
    ranker = make()
    matrix = shop(20, seed=4).select(FEATURES).to_numpy()[:, : len(ranker.features)]
    expected = bits(ranker.predict(matrix))
    assert bits(scorer_of(ranker)(matrix)) == expected
    ranker.save(tmp_path / "ranker")
    assert bits(scorer_of(neutral.restore(tmp_path / "ranker"))(matrix)) == expected
    assert scorer_of(ranker)(matrix[:0]).shape == (0,)


SCORE = """
import json, sys
from pathlib import Path
import numpy as np
from ltr.rankers import neutral
from ltr.rankers.sliced import scorer_of
exec(sys.argv[3])
score = scorer_of(neutral.restore(Path(sys.argv[1])))
scores = score(np.load(sys.argv[2]))
loaded = {name.split(".")[0] for name in sys.modules} & {"lightgbm", "xgboost", "torch", "mlflow"}
print(json.dumps([scores.tolist(), sorted(loaded)]))
"""


def scored(ranker, matrix, directory, *, cwd=None, first="", **environment):
    """Scores by a fresh interpreter that runs a statement first, and the training libraries that it loaded."""
    ranker.save(directory / "ranker")
    np.save(directory / "rows.npy", matrix)
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        SCORE,
        str(directory / "ranker"),
        str(directory / "rows.npy"),
        first,
    ]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=120
    )
    assert not done.stderr
    return json.loads(done.stdout)


def test_a_saved_ranker_is_scored_without_the_library_that_fitted_it(tmp_path):
    ranker, matrix = fit(seeds=2), shop(20, seed=4).select(FEATURES).to_numpy()
    scores, loaded = scored(ranker, matrix, tmp_path)
    assert bits(scores) == bits(ranker.predict(matrix))
    assert loaded == []


def test_an_installation_that_nothing_can_be_written_to_scores_alike_on_plain_instructions(tmp_path):
    package = tmp_path / "site" / "ltr"
    shutil.copytree(Path(ltr.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    # A file where the directory of the cache would be: whoever runs this, even root, cannot write there.
    (package / "rankers" / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    ranker, matrix = fit(), shop(20, seed=4).select(FEATURES).to_numpy()
    nowhere = str(tmp_path / "home" / "cache")
    scores, _ = scored(
        ranker, matrix, tmp_path, cwd=tmp_path / "site", PYTHONPATH=str(tmp_path / "site"), HOME=nowhere,
        XDG_CACHE_HOME=nowhere, PYTHONDONTWRITEBYTECODE="1", NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="",
    )  # fmt: skip
    assert bits(scores) == bits(ranker.predict(matrix))


GONE = "import os, shutil; at = os.environ['NUMBA_CACHE_DIR']; shutil.rmtree(at); Path(at).write_text('')"


def test_a_cache_of_compiled_loops_that_is_lost_while_running_is_done_without(tmp_path):
    ranker, matrix = fit(), shop(20, seed=4).select(FEATURES).to_numpy()
    scores, _ = scored(ranker, matrix, tmp_path, first=GONE, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert bits(scores) == bits(ranker.predict(matrix))
