"""What is exported scores as LightGBM and XGBoost themselves do, by evaluators that know nothing of our forests."""

import json

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ltr.errors import ExportError
from ltr.export import emulation, native, plugin, rows, splits
from ltr.rankers.forests import forest_of
from ltr.rankers.lightgbm import LightGBMRanker
from made.engine_bundle import EVERY, FEATURES, WIDTH, lightgbm_booster, ranker_of


def exported(ranker, kind, *, shift=True):
    """The trees of the JSON text that an engine would be sent, and what they are shifted by."""
    forest = splits.forest_for(ranker)
    if kind == "native":
        text = json.dumps(native.body(native.ensemble(forest), []), allow_nan=False)
        return emulation.read_native(json.loads(text), FEATURES), 0.0
    text = json.dumps(plugin.definition(forest, shift=shift), allow_nan=False)
    return emulation.read_plugin(json.loads(text), FEATURES), plugin.shift_of(forest) if shift else 0.0


def agrees(ranker, trees, shift, values):
    """The largest difference to the library's own prediction, as a share of what rounding explains."""
    scores, peak = trees.score(values, generation=emulation.GENERATIONS[trees.kind][0])
    allowed = len(trees.roots) * float(np.spacing(np.float32(peak)))
    return float(np.abs(scores - (ranker.predict(values) + shift)).max()) / allowed


@pytest.mark.parametrize("kind", ["plugin", "native"])
@pytest.mark.parametrize(("library", "name"), EVERY)
def test_rows_aimed_at_every_threshold_score_as_the_booster_scores_them(library, name, kind):
    ranker = ranker_of(library, name)
    trees, shift = exported(ranker, kind)
    for least in (0.0, -rows.LARGEST):
        values = rows.aimed(trees, 4_000, seed=1, absent=0.3, least=least)
        assert agrees(ranker, trees, shift, values) <= 1


@given(
    drawn=st.data(), which=st.sampled_from(EVERY), seed=st.integers(0, 2), kind=st.sampled_from(["plugin", "native"])
)
@settings(max_examples=80)
def test_any_finite_or_absent_value_goes_where_the_booster_sends_it(drawn, which, seed, kind):
    ranker = ranker_of(*which, seed)
    trees, shift = exported(ranker, kind)
    edges = trees.last[trees.feature >= 0].clip(-rows.LARGEST, rows.LARGEST).tolist() or [0.0]
    cell = st.one_of(
        st.floats(width=32, allow_infinity=False), st.sampled_from(edges), st.sampled_from([0.0, -0.0, 1e-35, -1e-35])
    )
    values = drawn.draw(arrays(np.float32, (6, WIDTH), elements=cell))
    assert agrees(ranker, trees, shift, values) <= 1


@pytest.mark.parametrize("name", [name for library, name in EVERY if library == "xgboost"])
def test_xgboosts_sum_without_a_shift_is_the_same_to_the_bit(name):
    ranker = ranker_of("xgboost", name)
    trees, _ = exported(ranker, "plugin", shift=False)
    values = rows.aimed(trees, 4_000, seed=2, absent=0.3, least=-rows.LARGEST)
    scores, _ = trees.score(values, generation="missing")
    assert scores.astype(np.float64).tolist() == ranker.predict(values).tolist()


@pytest.mark.parametrize(("library", "name"), EVERY)
def test_shifted_scores_are_never_negative_and_unshifted_ones_keep_their_sign(library, name):
    ranker = ranker_of(library, name)
    trees, shift = exported(ranker, "plugin")
    values = rows.aimed(trees, 4_000, seed=3, absent=0.3, least=-rows.LARGEST)
    assert trees.score(values, generation="missing")[0].min() >= 0
    bare, none = exported(ranker, "plugin", shift=False)
    assert none == 0
    assert len(trees.roots) == len(bare.roots) + (shift > 0)


# What LightGBM's own text may hold; bit 1 of the decision is the default side, bits 2 and 3 the missing type.
@pytest.mark.parametrize("decision", [0, 2, 4, 6, 8, 10])
@pytest.mark.parametrize(
    "threshold",
    ["0", "-0.0", "5e-36", "-5e-36", "1.0000000180025095e-35", "-1.0000000180025095e-35", "1e300", "inf", "-inf", "2",
     "0.1", "16777217", "3.5e38", "1e-45"],
)  # fmt: skip
def test_every_threshold_missing_type_and_default_is_lightgbms_or_refused(threshold, decision):
    lines = []
    for line in lightgbm_booster("missing nan").model_to_string().splitlines():
        key, _, value = line.partition("=")
        words = {"threshold": threshold, "decision_type": str(decision)}.get(key)
        if key != "tree_sizes":
            lines.append(f"{key}={' '.join([words] * len(value.split()))}" if words else line)
    text = "\n".join(lines)
    ranker = LightGBMRanker(FEATURES, 12, text)
    zero_is_missing, default_left = decision & 4, bool(decision & 2)
    if zero_is_missing and default_left != (float(threshold) >= 0):
        with pytest.raises(ExportError, match="zero_as_missing"):
            exported(ranker, "plugin")
        return
    near = np.float32(min(max(float(threshold), -rows.LARGEST), rows.LARGEST))
    cells = [near, *(np.nextafter(near, np.float32(side)) for side in (-1e38, 1e38)), *np.float32([0, -0.0, 1, -1])]
    cells += [s * c for s in (1, -1) for c in np.float32([1e-45, 1e-36, 1e-35, 1.0000001e-35, 1e-34, 3e38])]
    with np.errstate(over="ignore"):
        pool = np.array([*cells, np.nan], dtype=np.float32)
    values = np.random.default_rng(decision).choice(pool[~np.isinf(pool)], (400, WIDTH))
    for kind in ("plugin", "native"):
        trees, shift = exported(ranker, kind)
        assert agrees(ranker, trees, shift, values) <= 1


def test_plain_rounding_of_thresholds_would_be_noticed():
    ranker = ranker_of("lightgbm", "missing none")
    trees, shift = exported(ranker, "plugin")
    values = rows.aimed(trees, 4_000, seed=1)
    forest = forest_of(ranker)
    rounded = plugin.definition(forest)
    for number, tree in enumerate(rounded["splits"][: len(forest.trees)]):
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            if "split" in node:
                node["split_condition"] = float(str(np.float32(forest.trees[number].threshold[node["nodeid"]])))
                waiting += node["children"]
    assert agrees(ranker, emulation.read_plugin(rounded, FEATURES), shift, values) > 1000


def test_a_threshold_is_the_next_float32_above_whatever_side_it_was_rounded_to():
    given = np.array([0.5, 0.1, 16777217.0, 1e300, np.inf, -np.inf, -1e300, 0.0, float(np.float32(3.4028235e38))])
    tenth = np.float32(0.1)  # 0.100000001490116, greater than the double
    largest = np.finfo(np.float32).max
    expected = [
        np.nextafter(np.float32(0.5), np.float32(1)), tenth, 16777218.0, np.inf, np.inf, -largest, -largest, 1e-45, np.inf,
    ]  # fmt: skip
    assert splits.above(given).tolist() == np.float32(expected).tolist()


@given(st.floats(width=32, allow_nan=False))
def test_a_number_of_the_definition_is_read_as_the_float32_it_stands_for(number):
    text = json.dumps(splits.shortest(np.float32([number]))[0])
    with np.errstate(over="ignore", under="ignore"):
        assert np.float32(float(text)) == np.float32(number)
        assert np.float32(text) == np.float32(number), "by a parser that knows float32 too"


def test_an_early_stopped_booster_is_exported_at_its_best_round():
    matrix, grades = np.random.default_rng(1).normal(size=(240, WIDTH)), np.random.default_rng(2).integers(0, 3, 240)
    chosen = {"objective": "lambdarank", "verbosity": -1, "num_threads": 1, "metric": "ndcg", "eval_at": [5]}
    held = lightgbm.Dataset(matrix, grades, group=[12] * 20, feature_name=list(FEATURES), free_raw_data=False)
    valid = held.create_valid(matrix[::-1], grades[::-1], group=[12] * 20)
    stop = lightgbm.early_stopping(2, verbose=False)
    booster = lightgbm.train(
        chosen, held, 50, valid_sets=[valid], callbacks=[stop], keep_training_booster=True
    )  # fmt: skip
    assert booster.best_iteration < booster.current_iteration()
    ranker = LightGBMRanker(
        FEATURES, booster.best_iteration, booster.model_to_string(num_iteration=booster.best_iteration)
    )
    trees, shift = exported(ranker, "plugin")
    assert len(trees.roots) == booster.best_iteration + (shift > 0)
    values = matrix.astype(np.float32)
    bare, _ = exported(ranker, "plugin", shift=False)
    assert np.abs(bare.score(values, generation="missing")[0] - booster.predict(values)).max() < 1e-6
