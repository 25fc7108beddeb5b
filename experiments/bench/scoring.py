"""Scoring a forest on one thread: the compiled forest beside LightGBM, XGBoost, ONNX Runtime and a plain traversal.

The forest is really fitted by LightGBM (300 trees × 63 leaves × 60 features, some with gaps, some whole numbers), and XGBoost
has one of that size of its own, on the same lists. ONNX Runtime and the traversal score LightGBM's trees. All score the same
rows in turn, the median of the turns' times counts; where the compiled forest's scores are not LightGBM's to the bit, so says
the first figure. lleaves is not among the packages that the tests install; where it is there, it is a peer too.
"""

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import numba
import numpy as np
import onnxruntime
import xgboost
from onnx import TensorProto, helper

from ltr.rankers import forest_lightgbm, sliced
from ltr.rankers.forest import Forest, Kind, Tree

TREES, LEAVES, FEATURES = 300, 63, 60
LISTS, SIZE = 600, 24
# Calls of each way and turn, by the number of rows.
TURNS, CALLS = 15, {100: 20, 1_000: 4}
COUNTS = tuple(CALLS)

Score = Callable[[np.ndarray], np.ndarray]


def measure() -> list[dict[str, object]]:
    """Ratios to the peers and the time of 100 rows, then other forests."""
    matrix, grades = _data(LISTS, seed=1)
    rows = _data(-(-max(COUNTS) // SIZE), seed=2)[0]
    booster = _fit(matrix, grades, LEAVES)
    forest = forest_lightgbm.read_text(booster.model_to_string())
    scorer = sliced.compile(forest).warm()
    peers = {
        "XGBoost": _xgboost(matrix, grades),
        "ONNX Runtime": _onnx(forest),
        "traversal": _traversal(forest),
        **_lleaves(booster),
    }
    ways = {"ours": scorer.predict, "LightGBM": _lightgbm(booster), **peers}
    difference = _difference(scorer.predict, _lightgbm(booster), forest, rows)
    for name in ("ONNX Runtime", "traversal"):
        if not np.allclose(peers[name](rows), forest.predict(rows), rtol=1e-3, atol=1e-3):
            raise SystemExit(f"{name} does not score the same forest")
    size = f"{TREES} trees × {LEAVES} leaves × {FEATURES} features"
    figures = [
        _figure(f"scores of the compiled forest, {size}: largest difference from LightGBM's", difference, "", 0),
    ]
    for count in COUNTS:
        seconds = _seconds(ways, rows[:count], CALLS[count])
        named = sorted(peers, key=seconds.__getitem__)
        bounds = (12, 6, 0.15) if count == COUNTS[0] else (None, None, None)
        over = f"{size}, {count:,} rows"
        told = {name: f"{name} {seconds[name] * 1e3:.2f} ms" for name in ways}
        others = ", ".join(told[name] for name in named[1:])
        absent = "" if "lleaves" in peers else "; lleaves is not installed"
        figures += [
            _ratio(f"{told['LightGBM']} ÷ compiled, {over}", seconds["LightGBM"] / seconds["ours"], bounds[0]),
            _ratio(
                f"{told[named[0]]}, the fastest other way ({others}{absent}), ÷ compiled, {over}",
                seconds[named[0]] / seconds["ours"],
                bounds[1],
            ),
            _figure(f"compiled forest, {over}: median", round(seconds["ours"] * 1e3, 3), "ms", bounds[2]),
        ]
    for leaves in (127, 255):
        wide = _fit(matrix, grades, leaves)
        figures += _beside(wide, rows, f"{TREES} trees × {leaves} leaves, 100 rows")
    scattered = _scattered(forest)
    seconds = _seconds({"ours": sliced.compile(scattered).warm().predict}, rows[:100], CALLS[100])
    what = f"compiled forest, {size}, every threshold and feature drawn at random, 100 rows: median"
    return [*figures, _figure(what, round(seconds["ours"] * 1e3, 3), "ms", None)]


def _figure(what: str, value: float, unit: str, bound: float | None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bound": bound}


def _ratio(what: str, value: float, bound: float | None) -> dict[str, object]:
    return _figure(what, round(value, 1), "×", bound) | {"better": "higher"}


def _data(lists: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of several kinds, and grades that follow from them with noise."""
    rng = np.random.default_rng(seed)
    count = lists * SIZE
    matrix = rng.normal(size=(count, FEATURES)).astype(np.float32)
    matrix[:, 10:20] = np.exp(matrix[:, 10:20])
    matrix[:, 20:30] = np.round(matrix[:, 20:30] * 3)
    matrix[:, 30:35] = matrix[:, 30:35] > 0.5
    matrix[:, 40:50][rng.random((count, 10)) < 0.3] = np.nan
    told = np.nan_to_num(matrix[:, :15]).sum(axis=1) + matrix[:, 20] * matrix[:, 1] + np.nan_to_num(matrix[:, 41])
    told += rng.normal(scale=2.0, size=count)
    return matrix, np.digitize(told, np.quantile(told, [0.6, 0.8, 0.9, 0.97]))


def _fit(matrix: np.ndarray, grades: np.ndarray, leaves: int) -> lightgbm.Booster:
    chosen = {
        "objective": "lambdarank", "num_leaves": leaves, "min_data_in_leaf": 5, "learning_rate": 0.05, "verbosity": -1,
        "num_threads": 2, "seed": 7, "deterministic": True, "force_col_wise": True,
    }  # fmt: skip
    held = lightgbm.Dataset(matrix, grades, group=[SIZE] * (len(matrix) // SIZE), params=chosen)
    return lightgbm.train(chosen, held, num_boost_round=TREES)


def _lightgbm(booster: lightgbm.Booster) -> Score:
    return lambda rows: booster.predict(rows, num_threads=1)


def _xgboost(matrix: np.ndarray, grades: np.ndarray) -> Score:
    chosen = {
        "objective": "rank:ndcg", "tree_method": "hist", "grow_policy": "lossguide", "max_leaves": LEAVES, "max_depth": 0,
        "eta": 0.05, "min_child_weight": 0.1, "nthread": 2, "seed": 7,
    }  # fmt: skip
    held = xgboost.DMatrix(matrix, grades, qid=np.arange(len(matrix)) // SIZE, nthread=2)
    booster = xgboost.train(chosen, held, num_boost_round=TREES)
    booster.set_param({"nthread": 1})
    return lambda rows: booster.inplace_predict(rows, missing=np.nan, validate_features=False)


def _onnx(forest: Forest) -> Score:
    """The forest as ONNX's TreeEnsembleRegressor, thresholds rounded down so that float32 rows go where they did."""
    flat = forest.flat
    numbers = np.repeat(np.arange(len(forest.trees)), [len(tree) for tree in forest.trees])
    within = np.arange(len(flat.left)) - flat.roots[numbers]
    split = flat.left >= 0
    threshold = flat.threshold.astype(np.float32)
    threshold = np.where(threshold > flat.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["rows"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=numbers.tolist(),
        nodes_nodeids=within.tolist(),
        nodes_featureids=np.where(split, flat.feature, 0).tolist(),
        nodes_modes=["BRANCH_LEQ" if one else "LEAF" for one in split.tolist()],
        nodes_values=threshold.tolist(),
        nodes_truenodeids=np.where(split, flat.left - flat.roots[numbers], 0).tolist(),
        nodes_falsenodeids=np.where(split, flat.right - flat.roots[numbers], 0).tolist(),
        nodes_missing_value_tracks_true=flat.default_left.astype(int).tolist(),
        target_treeids=numbers[~split].tolist(),
        target_nodeids=within[~split].tolist(),
        target_ids=[0] * int((~split).sum()),
        target_weights=flat.value[~split].tolist(),
    )
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, len(forest.features)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"rows": rows})[0][:, 0]


def _traversal(forest: Forest) -> Score:
    """From node to node, tree by tree, row by row, compiled by numba: what one would write first."""
    flat = forest.flat

    @numba.njit(nogil=True)
    def walk(rows, roots, feature, threshold, default_left, left, right, value, scores):  # type: ignore[no-untyped-def]
        for root in roots:
            for row in range(len(rows)):
                node = root
                while left[node] >= 0:
                    x = rows[row, feature[node]]
                    goes = default_left[node] if x != x else x <= threshold[node]
                    node = left[node] if goes else right[node]
                scores[row] += value[node]

    def score(rows: np.ndarray) -> np.ndarray:
        scores = np.zeros(len(rows))
        columns = flat.feature, flat.threshold, flat.default_left, flat.left, flat.right, flat.value
        walk(rows, flat.roots, *columns, scores)
        return scores

    return score


def _lleaves(booster: lightgbm.Booster) -> dict[str, Score]:
    """A peer where it is installed."""
    if importlib.util.find_spec("lleaves") is None:
        return {}
    import lleaves

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.txt"
        booster.save_model(path)
        model = lleaves.Model(model_file=str(path))
        model.compile()
    return {"lleaves": lambda rows: model.predict(rows, n_jobs=1)}


def _difference(ours: Score, theirs: Score, forest: Forest, rows: np.ndarray) -> float:
    """On rows like those fitted on, and on rows of thresholds, their neighbours in float32, and what is no number."""
    near = np.unique(forest.flat.threshold.astype(np.float32))
    values = np.concatenate(
        [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf)),
         np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, -1e-45, 1e-35, -1e-35], dtype=np.float32)]
    )  # fmt: skip
    drawn = np.random.default_rng(3).choice(values, size=(20_000, len(forest.features)))
    return max(float(np.abs(ours(matrix) - theirs(matrix)).max()) for matrix in (rows, drawn))


def _beside(booster: lightgbm.Booster, rows: np.ndarray, named: str) -> list[dict[str, object]]:
    scorer = sliced.compile(forest_lightgbm.read_text(booster.model_to_string())).warm()
    seconds = _seconds({"ours": scorer.predict, "LightGBM": _lightgbm(booster)}, rows[:100], CALLS[100])
    return [
        _ratio(f"LightGBM predict ÷ compiled, {named}", seconds["LightGBM"] / seconds["ours"], None),
        _figure(f"compiled forest, {named}: median", round(seconds["ours"] * 1e3, 3), "ms", None),
    ]


def _scattered(forest: Forest) -> Forest:
    """Trees of the same shapes, no two of whose questions are alike: nothing is shared among the nodes."""
    rng = np.random.default_rng(5)

    def scatter(tree: Tree) -> Tree:
        split = tree.kind != Kind.LEAF
        feature = np.where(split, rng.integers(0, FEATURES, size=len(tree)), -1).astype(np.int32)
        threshold = np.where(split, rng.normal(size=len(tree)), 0.0)
        return replace(tree, feature=feature, threshold=threshold, default_left=split & (rng.random(len(tree)) < 0.5))

    return replace(forest, trees=tuple(scatter(tree) for tree in forest.trees))


def _seconds(ways: dict[str, Score], rows: np.ndarray, calls: int) -> dict[str, float]:
    """Seconds of one call of each way: the median over turns in which each has its calls, in another order."""
    names = list(ways)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        ways[name](rows)
    for turn in range(TURNS):
        for name in names if turn % 2 else reversed(names):
            start = time.perf_counter()
            for _ in range(calls):
                ways[name](rows)
            taken[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in taken.items()}
