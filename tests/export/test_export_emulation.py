"""The evaluators, against their definition in plain Python, Java's own sums, and what the engines refuse."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ExportError
from ltr.export import emulation

NAMES = ("a", "b")
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "java_sum.json").read_text())


@st.composite
def trees(draw, depth=0, number=None):
    """A tree of the plugin's JSON."""
    number = iter(range(1_000)) if number is None else number
    own = next(number)
    small = st.sampled_from([-1.5, -0.25, 0.0, 0.1, 0.3, 1e-45, 0.5, 2.5, 1e39])
    if depth == 4 or draw(st.booleans()):
        return {"nodeid": own, "leaf": draw(st.sampled_from([-1.0, 0.1, 0.7, 1e7, -3e-3]))}
    children = [draw(trees(depth + 1, number)), draw(trees(depth + 1, number))]
    yes, no = (child["nodeid"] for child in children)
    return {
        "nodeid": own, "depth": depth, "split": draw(st.sampled_from(NAMES)), "split_condition": draw(small), "yes": yes,
        "no": no, "missing": draw(st.sampled_from([yes, no])), "children": children,
    }  # fmt: skip


def plainly(node, row, generation):
    """One tree as NaiveAdditiveDecisionTree's text reads, in numpy's float32."""
    while "leaf" not in node:
        value = np.float32(row[NAMES.index(node["split"])])
        if generation == "zero" and np.isnan(value):
            value = np.float32(0)
        with np.errstate(over="ignore", under="ignore"):
            left = np.float32(node["split_condition"]) > value
        if np.isnan(value) and generation == "missing":
            left = node["missing"] == node["yes"]
        node = node["children"][0 if left else 1]
    return np.float32(node["leaf"])


CELLS = st.sampled_from([math.nan, 0.0, -0.0, 0.1, float(np.float32(0.1)), 0.3, 0.5, 1e-45, 3e38, -2.0, 2.5])


@given(made=st.lists(trees(), min_size=1, max_size=4), rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
@settings(max_examples=100)
def test_each_generation_walks_and_adds_as_the_plugins_text_reads(made, rows):
    read = emulation.read_plugin({"objective": "rank:ndcg", "splits": made}, NAMES)
    matrix = np.array(rows, dtype=np.float32)
    for generation in emulation.GENERATIONS["plugin"]:
        expected, peak = [], 0.0
        for row in matrix:
            total = np.float32(0)
            for tree in made:
                total = np.float32(total + plainly(tree, row, generation))
                peak = max(peak, abs(float(total)))
            expected.append(float(total))
        scores, largest = read.score(matrix, generation=generation)
        assert scores.tolist() == expected
        assert largest == peak


def test_many_rows_score_as_each_alone():
    leaves = [{"nodeid": 1, "leaf": 0.1}, {"nodeid": 2, "leaf": 0.3}]
    split = {"nodeid": 0, "depth": 0, "split": "b", "split_condition": 0.0, "yes": 1, "no": 2, "missing": 2}
    read = emulation.read_plugin({"objective": "rank:ndcg", "splits": [split | {"children": leaves}] * 7}, NAMES)
    matrix = np.random.default_rng(7).normal(size=(5_000, 2)).astype(np.float32)
    together, _ = read.score(matrix, generation="missing")
    alone = [read.score(matrix[at : at + 1], generation="missing")[0][0] for at in range(0, 5_000, 97)]
    assert together[::97].tolist() == np.array(alone).tolist()


def constants(values):
    nodes = [{"tree": {"tree_structure": [{"node_index": 0, "leaf_value": value}]}} for value in values]
    held = {"feature_names": [*NAMES], "trained_models": nodes, "aggregate_output": {"weighted_sum": {}}}
    return {"definition": {"trained_model": {"ensemble": held}}}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{len(case['values'])} values")
def test_elastics_sum_is_javas(case):
    read = emulation.read_native(constants(case["values"]), NAMES)
    scores, _ = read.score(np.zeros((3, 2), dtype=np.float32), generation="native")
    assert scores.tolist() == [float(np.float32(case["narrowed"]))] * 3
    assert scores[0] == np.float32(case["sum"])


def native(kind, *, default_left, threshold=0.1):
    split = {
        "node_index": 0, "decision_type": kind, "left_child": 1, "right_child": 2, "split_feature": 1,
        "threshold": threshold, "default_left": default_left,
    }  # fmt: skip
    nodes = [split, {"node_index": 1, "leaf_value": -1.0}, {"node_index": 2, "leaf_value": 1.0}]
    held = {"feature_names": [*NAMES], "trained_models": [{"tree": {"tree_structure": nodes}}]}
    return {"definition": {"trained_model": {"ensemble": held | {"aggregate_output": {"weighted_sum": {}}}}}}


@pytest.mark.parametrize("default_left", [True, False])
def test_elastics_comparison_is_of_doubles_and_no_finite_number_goes_to_the_default(default_left):
    default = -1.0 if default_left else 1.0
    cells = np.float32([0.0, 0.1, 0.5, np.nan, np.inf, -np.inf])
    rows = np.stack([np.zeros_like(cells), cells], axis=1)
    for kind, threshold, expected in (
        ("lte", 0.1, [-1.0, 1.0, 1.0]),  # float32(0.1) is greater than 0.1
        ("lte", float(np.float32(0.1)), [-1.0, -1.0, 1.0]),
        ("lt", float(np.float32(0.1)), [-1.0, 1.0, 1.0]),
    ):
        read = emulation.read_native(native(kind, default_left=default_left, threshold=threshold), NAMES)
        assert read.score(rows, generation="native")[0].tolist() == [*expected, default, default, default]


def test_the_last_value_on_the_first_side_is_where_the_evaluator_turns():
    for read, generation in (
        (emulation.read_native(native("lte", default_left=True), NAMES), "native"),
        (emulation.read_native(native("lt", default_left=True, threshold=float(np.float32(0.1))), NAMES), "native"),
        (emulation.read_native(native("lt", default_left=True), NAMES), "native"),
        (emulation.read_native(native("lte", default_left=True, threshold=-0.0), NAMES), "native"),
    ):
        last = read.last[0]
        rows = np.float32([[0, last], [0, np.nextafter(last, np.float32(np.inf))]])
        assert read.score(rows, generation=generation)[0].tolist() == [-1.0, 1.0]


LEAVES = [{"nodeid": 1, "leaf": 0.1}, {"nodeid": 2, "leaf": 0.3}]
SPLIT = {
    "nodeid": 0, "depth": 0, "split": "b", "split_condition": 0.0, "yes": 1, "no": 2, "missing": 2, "children": LEAVES
}  # fmt: skip
REFUSED = {
    "children out of order": {"yes": 2, "no": 1},
    "missing that is no child": {"missing": 0},
    "a feature that is not in the set": {"split": "c"},
    "one child": {"children": LEAVES[:1]},
    "a threshold that is no number": {"split_condition": "high"},
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_plugin_would_refuse_is_refused(change):
    with pytest.raises(ExportError, match="tree 0"):
        emulation.read_plugin({"objective": "rank:ndcg", "splits": [SPLIT | change]}, NAMES)


@pytest.mark.parametrize("key", ["missing", "split", "split_condition", "yes", "children", "nodeid"])
def test_a_split_without_one_of_its_keys_is_refused(key):
    tree = {name: value for name, value in SPLIT.items() if name != key}
    if key == "nodeid":
        tree = SPLIT | {"children": [{"leaf": 0.1}, LEAVES[1]]}
    with pytest.raises(ExportError, match="tree 0"):
        emulation.read_plugin({"objective": "rank:ndcg", "splits": [tree]}, NAMES)


@pytest.mark.parametrize(
    "document",
    [{"splits": [SPLIT]}, {"objective": "rank:ndcg", "splits": [SPLIT], "base_score": 1}, {"objective": "lambdarank", "splits": []}],
)  # fmt: skip
def test_a_definition_of_other_keys_or_another_objective_is_refused(document):
    with pytest.raises(ExportError, match="definition"):
        emulation.read_plugin(document, NAMES)


def test_an_ensemble_that_would_go_round_for_ever_or_nowhere_is_refused():
    for key, value in (("left_child", 0), ("right_child", 3), ("split_feature", 2), ("decision_type", "gt")):
        document = copy.deepcopy(native("lte", default_left=True))
        document["definition"]["trained_model"]["ensemble"]["trained_models"][0]["tree"]["tree_structure"][0][key] = (
            value
        )
        with pytest.raises(ExportError, match=r"child|malformed"):
            emulation.read_native(document, NAMES)
    with pytest.raises(ExportError, match="no tree"):
        emulation.read_native(constants([]), NAMES)
    with pytest.raises(ExportError, match="other features"):
        emulation.read_native(constants([1.0]), ("a",))


def test_rows_of_another_shape_type_or_generation_are_refused():
    read = emulation.read_plugin({"objective": "rank:ndcg", "splits": [SPLIT]}, NAMES)
    with pytest.raises(ExportError, match="shape"):
        read.score(np.zeros((1, 3), dtype=np.float32), generation="missing")
    with pytest.raises(ExportError, match="float64"):
        read.score(np.zeros((1, 2)), generation="missing")
    with pytest.raises(ExportError, match="generations: missing, nan_to_no, zero"):
        read.score(np.zeros((1, 2), dtype=np.float32), generation="native")
