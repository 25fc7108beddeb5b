"""LightGBM through ltr: the same forest as LightGBM alone, stopped and saved as said, quiet, and clear about refusals."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.lightgbm import _OWNED, LightGBMRanker, _names, parameters
from made.ranked import shop

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])


FIT, DEV = shop(), shop(20, seed=2)


def fit(
    fit_pairs: pl.DataFrame = FIT,
    dev_pairs: pl.DataFrame | None = DEV,
    *,
    gains: NDArray[np.float64] = GAINS,
    cutoff: int = 10,
    rounds: int | None = 40,
    **config: object,
) -> rankers.Fitted:
    return rankers.fit(
        RankerConfig(**config), fit_pairs, dev_pairs, features=FEATURES, gains=gains, cutoff=cutoff, rounds=rounds
    )


def matrix(frame: pl.DataFrame) -> NDArray[np.float32]:
    return frame.select(FEATURES).to_numpy()


def ndcg(frame: pl.DataFrame, scores: NDArray[np.float64], gains: NDArray[np.float64], k: int) -> float:
    """Mean over the queries of Σ gain / log₂(rank + 1) up to k, over the same of the best order."""
    values = []
    for _, rows in frame.with_columns(score=scores).group_by("query_id", maintain_order=True):
        gain = gains[rows["grade"].to_numpy().astype(int)]
        order = np.argsort(-rows["score"].to_numpy(), kind="stable")
        discount = 1 / np.log2(np.arange(2, min(k, len(gain)) + 2))
        values.append((gain[order][:k] * discount).sum() / (np.sort(gain)[::-1][:k] * discount).sum())
    return float(np.mean(values))


@pytest.fixture(scope="module")
def fitted() -> rankers.Fitted:
    return fit(rounds=200, patience=10)


def test_fitting_keeps_the_best_round_on_dev(fitted: rankers.Fitted) -> None:
    assert fitted.rounds == int(np.argmax(fitted.curve)) + 1
    assert len(fitted.curve) == fitted.rounds + 10
    assert all(type(value) is float for value in fitted.curve)


@pytest.mark.parametrize("gains", [GAINS, np.array([0.0, 0.01, 0.1, 1.0])], ids=["exponential", "esci"])
@pytest.mark.parametrize("cutoff", [3, 10])
def test_the_curve_is_dev_ndcg_by_its_formula(gains: NDArray[np.float64], cutoff: int) -> None:
    fitted = fit(gains=gains, cutoff=cutoff, rounds=15)
    scores = fitted.ranker.predict(matrix(DEV))
    assert ndcg(DEV, scores, gains, cutoff) == pytest.approx(fitted.curve[fitted.rounds - 1], abs=1e-12)


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_a_useful_feature_is_found(objective: str) -> None:
    fitted = fit(objective=objective)
    test = shop(30, seed=3)
    assert ndcg(test, fitted.ranker.predict(matrix(test)), GAINS, 10) > 0.9
    importance = fitted.ranker.importance()
    assert list(importance) == list(FEATURES)
    assert max(importance, key=importance.__getitem__) == "useful"


def test_without_dev_the_rounds_are_exact() -> None:
    fitted = fit(dev_pairs=None, rounds=7)
    assert (fitted.rounds, fitted.curve) == (7, [])


def test_the_rounds_of_the_configuration_apply_where_none_are_given() -> None:
    config = RankerConfig(rounds=5)
    assert rankers.fit(config, FIT, None, features=FEATURES, gains=GAINS).rounds == 5


def test_one_seed_makes_one_text_whatever_the_number_of_threads(fitted: rankers.Fitted) -> None:
    texts = [fit(rounds=5, seed=seed, num_threads=threads).ranker.text for seed, threads in [(1, 1), (1, 2), (2, 1)]]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_saved_ranker_scores_as_the_fresh_one(fitted: rankers.Fitted, tmp_path: Path, order: str) -> None:
    fitted.ranker.save(tmp_path)
    restored = rankers.restore(tmp_path)
    assert restored == fitted.ranker
    rows = np.asarray(matrix(DEV), order=order)
    assert np.array_equal(restored.predict(rows), fitted.ranker.predict(rows))
    assert restored.importance() == fitted.ranker.importance()
    assert (tmp_path / "ranker.txt").read_text().startswith("tree\n")


@cache
def small() -> rankers.Ranker:
    return fit(rounds=3, dev_pairs=None).ranker


@given(arrays(np.float32, (4, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
@settings(max_examples=30, deadline=None)
def test_a_row_scores_alone_as_it_does_among_others(rows: NDArray[np.float32]) -> None:
    ranker = small()
    together = ranker.predict(rows)
    assert np.array_equal(together, np.concatenate([ranker.predict(rows[i : i + 1]) for i in range(len(rows))]))


def test_monotone_directions_hold_by_name() -> None:
    rising = fit(dev_pairs=None, rounds=20, monotone={"noise": 1, "useful": -1}).ranker
    grid = np.linspace(-3, 3, 50, dtype=np.float32)
    for column, sign in ((0, -1), (1, 1)):
        rows = np.zeros((50, 3), dtype=np.float32)
        rows[:, column] = grid
        assert (sign * np.diff(rising.predict(rows)) >= 0).all()


def test_a_weight_of_zero_silences_a_list() -> None:
    # The second half is graded upside down; weighed at nothing, it teaches nothing.
    upside = FIT.with_columns(query_id=pl.concat_str(pl.lit("u"), "query_id"), grade=3 - pl.col("grade"))
    both = pl.concat([FIT, upside]).with_columns(
        weight=pl.when(pl.col("query_id").str.starts_with("u")).then(0.0).otherwise(1.0).cast(pl.Float32)
    )
    test = shop(30, seed=3)
    quality = [ndcg(test, fit(frame, rounds=10).ranker.predict(matrix(test)), GAINS, 10) for frame in (FIT, both)]
    assert quality[1] == pytest.approx(quality[0], abs=0.03)


def test_what_is_kept_out_is_reported() -> None:
    extra = FIT.head(3).with_columns(query_id=pl.Series(["x", "y", "y"]), grade=pl.Series([2, 1, 1], dtype=pl.Float32))
    unjudged = FIT.head(1).with_columns(query_id=pl.lit("z"), grade=pl.lit(None, pl.Float32))
    fitted = fit(pl.concat([FIT, extra, unjudged]), rounds=3)
    assert fitted.dropped == {
        "unjudged_rows": 1,
        "empty": 1,
        "one_document": 1,
        "all_equal": 1,
        "dev_unjudged_rows": 0,
        "dev_without_gain": 0,
    }
    assert fitted.ranker == fit(rounds=3).ranker


def test_dart_has_no_best_round_and_keeps_all() -> None:
    fitted = fit(boosting="dart", rounds=8)
    assert fitted.rounds == len(fitted.curve) == 8


def test_parameters_pass_through_under_any_name_of_the_library() -> None:
    chosen = parameters(
        RankerConfig(shrinkage_rate=0.3, num_leaves=7), features=FEATURES, gains=GAINS, cutoff=5, rows=400
    )
    assert (chosen["learning_rate"], chosen["num_leaves"], chosen["eval_at"]) == (0.3, 7, [5])
    assert chosen["min_data_in_leaf"] == 5
    assert fit(rounds=2, num_leaves=4).ranker.text.count("num_leaves=4") == 2


def test_row_wise_histograms_replace_the_column_wise() -> None:
    chosen = parameters(RankerConfig(force_row_wise=True), features=FEATURES, gains=GAINS, cutoff=5, rows=400)
    assert "force_col_wise" not in chosen


def test_every_parameter_that_is_refused_is_one_of_the_library() -> None:
    assert set(_OWNED) <= set(_names().values())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_leafs": 3}, "LightGBM has no parameter 'num_leafs'; did you mean 'num_leaves'?"),
        ({"zzz": 3}, "LightGBM has no parameter 'zzz'; its documentation lists them"),
        ({"application": "binary"}, "ranker.application cannot be set; set ranker.objective"),
        ({"label_gain": [0, 1]}, "ranker.label_gain cannot be set; set evaluation.gains"),
        ({"train_data": "x"}, "ranker.train_data cannot be set; ltr hands the data over in memory"),
        (
            {"learning_rate": 0.1, "eta": 0.1},
            "ranker.eta is given twice, once under another name; keep 'learning_rate'",
        ),
        (
            {"num_leaves": 1},
            r"LightGBM refuses these parameters: num_leaves = 1: Check failed: \(num_leaves\) > \(1\)$",
        ),
        ({"num_leaves": "many"}, 'num_leaves should be of type int, got "many"'),
        ({"monotone": {"usefull": 1}}, "ranker.monotone names 'usefull'; did you mean 'useful'"),
    ],
)
def test_a_parameter_that_cannot_be_used_says_why(
    config: dict[str, object], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RankerError, match=message):
        fit(rounds=2, **config)
    assert capfd.readouterr() == ("", "")


def test_fitting_is_quiet_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    constant = FIT.with_columns(useful=pl.lit(0.0), noise=pl.lit(0.0), gaps=pl.lit(0.0))
    assert set(fit(constant, rounds=2).ranker.predict(matrix(DEV))) == {0.0}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("gains", [[1.0], [0.0, 0.0], [0.0, -1.0], [0.0, float("nan")], [[0.0, 1.0]]])
def test_gains_are_a_table(gains: list[float]) -> None:
    with pytest.raises(RankerError, match="are no table; one finite gain a grade"):
        fit(gains=np.array(gains))


@pytest.mark.parametrize(("cutoff", "rounds"), [(0, 1), (1, 0)])
def test_cutoff_and_rounds_are_at_least_one(cutoff: int, rounds: int) -> None:
    with pytest.raises(RankerError, match="both are at least 1"):
        fit(cutoff=cutoff, rounds=rounds)


def test_dev_without_a_relevant_product_is_refused() -> None:
    with pytest.raises(RankerError, match="no list of the dev pairs can be used"):
        fit(dev_pairs=DEV.with_columns(grade=pl.lit(0.0, pl.Float32)))


@pytest.mark.parametrize("shape", [(2, 2), (3,), (1, 3, 1)])
def test_a_matrix_of_another_shape_is_refused(fitted: rankers.Fitted, shape: tuple[int, ...]) -> None:
    with pytest.raises(RankerError, match="rows of 3 features are scored"):
        fitted.ranker.predict(np.zeros(shape, dtype=np.float32))


def test_no_rows_have_no_scores(fitted: rankers.Fitted) -> None:
    assert fitted.ranker.predict(np.empty((0, 3), dtype=np.float32)).shape == (0,)


def test_a_forest_under_other_names_is_refused(fitted: rankers.Fitted) -> None:
    assert isinstance(fitted.ranker, LightGBMRanker)
    with pytest.raises(RankerError, match=r"was fitted on \['useful', 'noise', 'gaps'\], not on \['a', 'b', 'c'\]"):
        LightGBMRanker(("a", "b", "c"), 1, fitted.ranker.text)


def test_text_that_is_no_forest_is_refused() -> None:
    with pytest.raises(RankerError, match="LightGBM refuses this text of a forest"):
        LightGBMRanker(("a",), 1, "tree\n")


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_scores_equal_those_of_lightgbm_alone(objective: str) -> None:
    """On LightGBM's own ranking example, less the lists that teach nothing."""
    features = [f"f{column}" for column in range(301)]
    data = {split: read_svmlight(svmlight_home() / f"rank.{split}", features) for split in ("train", "test")}
    config = RankerConfig(objective=objective, rounds=20)
    fitted = rankers.fit(config, data["train"], data["test"], features=features, gains=2.0 ** np.arange(5) - 1)

    lists = {
        split: frame.filter(pl.col("grade").n_unique().over("query_id") > 1 if split == "train" else pl.lit(True))
        for split, frame in data.items()
    }
    lists["test"] = lists["test"].filter(pl.col("grade").max().over("query_id") > 0)
    plain = {
        split: lightgbm.Dataset(
            frame.select(features).to_numpy(),
            label=frame["grade"].to_numpy(),
            group=frame["query_id"].rle().struct.field("len").to_numpy(),
        )
        for split, frame in lists.items()
    }
    booster = lightgbm.train(
        {
            "objective": objective,
            "label_gain": [0, 1, 3, 7, 15],
            "metric": "ndcg",
            "eval_at": 10,
            "seed": 7,
            "learning_rate": 0.05,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambdarank_truncation_level": 20,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        plain["train"],
        20,
        valid_sets=[plain["test"].set_reference(plain["train"])],
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )
    rows = data["test"].select(features).to_numpy()
    assert fitted.rounds == booster.best_iteration
    assert np.array_equal(fitted.ranker.predict(rows), booster.predict(rows))


def svmlight_home() -> Path:
    home = os.environ.get("LTR_DATA_HOME")
    folder = Path(home) / "svmlight-rank" if home else None
    if folder is None or not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs LTR_DATA_HOME with svmlight-rank")
        pytest.skip("LTR_DATA_HOME has no svmlight-rank (LightGBM's ranking example)")
    return folder


def read_svmlight(path: Path, features: list[str]) -> pl.DataFrame:
    lines = path.read_text().splitlines()
    rows = np.zeros((len(lines), len(features)), dtype=np.float32)
    grades = np.zeros(len(lines), dtype=np.float32)
    for row, line in enumerate(lines):
        grade, *cells = line.split()
        grades[row] = float(grade)
        for cell in cells:
            column, value = cell.split(":")
            rows[row, int(column)] = float(value)
    sizes = [int(size) for size in path.with_suffix(f"{path.suffix}.query").read_text().split()]
    keys = {
        "query_id": [f"q{query}" for query, size in enumerate(sizes) for _ in range(size)],
        "product_id": [f"p{row}" for row in range(len(lines))],
        "grade": grades,
        "weight": np.ones(len(lines), dtype=np.float32),
    }
    return pl.DataFrame(keys).hstack(pl.DataFrame(rows, schema=features))


def test_regression_is_lightgbms_own_squared_error_of_the_gain():
    ours = fit(
        dev_pairs=None, objective="regression", rounds=30, learning_rate=0.1, bagging_freq=0, feature_fraction=1.0
    )
    matrix = FIT.select(FEATURES).to_numpy()
    target = (GAINS / GAINS.max())[FIT["grade"].cast(pl.Int64).to_numpy()]
    data = lightgbm.Dataset(matrix, label=target)
    chosen = {"objective": "regression", "learning_rate": 0.1, "verbosity": -1, "boost_from_average": False}
    theirs = lightgbm.train(
        chosen | {"deterministic": True, "seed": 7, "force_col_wise": True, "min_data_in_leaf": 7}, data, 30
    )
    assert ours.ranker.predict(matrix) == pytest.approx(theirs.predict(matrix), abs=1e-5)


def test_regression_weighs_each_product_by_its_confidence():
    doubtful = FIT.with_columns(weight=pl.when(pl.col("grade") > 1).then(0.01).otherwise(1.0).cast(pl.Float32))
    sure, unsure = (
        fit(pairs, None, objective="regression").ranker.predict(DEV.select(FEATURES).to_numpy())
        for pairs in (FIT, doubtful)
    )
    assert unsure.mean() < sure.mean()


def searches(seed: int = 3) -> pl.DataFrame:
    """Lists in an order that says nothing, clicked by place and by usefulness."""
    pairs = shop(400, seed=seed)
    rng = np.random.default_rng(seed)
    position = np.tile(np.arange(1, 13), 400)
    clicked = rng.random(len(position)) < (1 / position) * (0.1 + 0.9 * (pairs["grade"].to_numpy() > 1))
    return pairs.with_columns(
        pl.col("query_id").alias("search_id"),
        position=pl.Series(position, dtype=pl.UInt16),
        grade=pl.Series(clicked, dtype=pl.Float32),
        noise=pl.Series(position, dtype=pl.Float32) * -1,  # what the place alone could be learnt by
    )


def test_a_term_of_the_position_takes_the_positions_share_of_the_clicks():
    log, gains = searches(), np.array([0.0, 1.0])
    bare = fit(log, None, gains=gains, rounds=60).ranker.importance()
    termed = fit(log, None, gains=gains, rounds=60, position=True).ranker.importance()
    share = {name: by["noise"] / sum(by.values()) for name, by in {"bare": bare, "termed": termed}.items()}
    assert share["termed"] < 0.9 * share["bare"]


def test_a_term_of_the_position_needs_positions_and_lambdarank():
    with pytest.raises(RankerError, match=r"do not say where each product was shown; fit on searches"):
        fit(position=True)
    with pytest.raises(RankerError, match=r"position with objective 'rank_xendcg'"):
        fit(searches(), None, gains=np.array([0.0, 1.0]), position=True, objective="rank_xendcg")
