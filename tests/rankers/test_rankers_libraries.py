"""What every library promises alike: reproducible, monotone, saved whole, clear about what it refuses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ltr import rankers
from ltr.config import OBJECTIVES, RankerConfig
from ltr.errors import RankerError
from ltr.evaluation import evaluate
from ltr.measures import parse, scale
from made.ranked import shop

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])
EVERY = [(library, objective) for library, objectives in OBJECTIVES.items() for objective in objectives]


FIT, DEV, TEST = shop(), shop(20, seed=2), shop(30, seed=3)


def fit(
    library: str,
    objective: str,
    fit_pairs: pl.DataFrame = FIT,
    dev_pairs: pl.DataFrame | None = DEV,
    *,
    gains: NDArray[np.float64] = GAINS,
    cutoff: int = 10,
    rounds: int | None = 30,
    **config: object,
) -> rankers.Fitted:
    chosen = RankerConfig(library=library, objective=objective, **config)
    return rankers.fit(chosen, fit_pairs, dev_pairs, features=FEATURES, gains=gains, cutoff=cutoff, rounds=rounds)


@cache
def fitted(library: str, objective: str) -> rankers.Fitted:
    return fit(library, objective)


def matrix(frame: pl.DataFrame) -> NDArray[np.float32]:
    return frame.select(FEATURES).to_numpy()


def ndcg(frame: pl.DataFrame, scores: NDArray[np.float64], gains: NDArray[np.float64], k: int) -> float:
    """Mean nDCG@k as the evaluation room has it, which knows nothing of rankers."""
    run = (
        frame.select("query_id", "product_id", exact=pl.Series(scores), score=pl.Series(scores).cast(pl.Float32))
        .sort("query_id", "exact", descending=[False, True], maintain_order=True)
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("query_id").cast(pl.UInt32))
        .select("query_id", "product_id", "rank", "score")
    )
    judgments = frame.select("query_id", "product_id", "grade", "weight")
    found = evaluate(run, judgments, [parse(f"nDCG@{k}")], gains=gains, scale=scale("0-3"), rel=1, empty="skip")
    return float(found[f"nDCG@{k}"].drop_nans().mean())


def quality_of(found: rankers.Fitted) -> float:
    return ndcg(TEST, found.ranker.predict(matrix(TEST)), GAINS, 10)


every = pytest.mark.parametrize(("library", "objective"), EVERY)


@every
def test_a_useful_feature_is_found(library: str, objective: str) -> None:
    ranker = fitted(library, objective).ranker
    assert ndcg(TEST, ranker.predict(matrix(TEST)), GAINS, 10) > 0.9
    importance = ranker.importance()
    assert list(importance) == list(FEATURES)
    assert max(importance, key=importance.__getitem__) == "useful"
    assert min(importance.values()) >= 0


@every
@pytest.mark.parametrize("gains", [GAINS, np.array([0.0, 0.01, 0.1, 1.0])], ids=["exponential", "esci"])
@pytest.mark.parametrize("cutoff", [3, 10])
def test_the_kept_round_of_the_curve_is_what_evaluation_finds(
    library: str, objective: str, gains: NDArray[np.float64], cutoff: int
) -> None:
    found = fit(library, objective, gains=gains, cutoff=cutoff, rounds=8)
    best = found.curve[found.rounds - 1]
    if objective == "listnet":  # convex: the last step is the solution, and dev chooses nothing
        assert found.rounds == len(found.curve)
    else:
        assert best == max(found.curve)
    assert ndcg(DEV, found.ranker.predict(matrix(DEV)), gains, cutoff) == pytest.approx(best, abs=1e-6)
    assert all(type(value) is float for value in found.curve)


@every
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_rising_feature_moves_the_score_one_way(library: str, objective: str, sign: int) -> None:
    monotone = {"useful": sign, "noise": sign, "gaps": -sign}
    ranker = fit(library, objective, dev_pairs=None, rounds=10, monotone=monotone).ranker
    rng = np.random.default_rng(5)
    for column, direction in enumerate((sign, sign, -sign)):
        for _ in range(5):
            rows = np.repeat(rng.normal(size=(1, 3)), 60, axis=0).astype(np.float32)
            rows[:, column] = np.sort(np.concatenate([rng.normal(size=58), [-3e38, 3e38]])).astype(np.float32)
            assert (direction * np.diff(ranker.predict(rows)) >= 0).all()


@every
def test_one_seed_makes_one_ranker(library: str, objective: str) -> None:
    assert fit(library, objective, rounds=4).ranker == fit(library, objective, rounds=4).ranker


@every
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_saved_ranker_scores_as_the_fresh_one(library: str, objective: str, order: str, tmp_path: Path) -> None:
    fresh = fitted(library, objective).ranker
    fresh.save(tmp_path)
    restored = rankers.restore(tmp_path)
    assert restored == fresh
    rows = np.asarray(matrix(DEV), order=order)
    assert restored.predict(rows).tobytes() == fresh.predict(matrix(DEV)).tobytes()
    assert restored.importance() == fresh.importance()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranker.json", "ranker.txt"]


@every
@given(rows=arrays(np.float32, (4, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
@settings(max_examples=20, deadline=None)
def test_a_row_scores_alone_as_it_does_among_others(library: str, objective: str, rows: NDArray[np.float32]) -> None:
    ranker = fitted(library, objective).ranker
    together = ranker.predict(rows)
    assert together.dtype == np.float64
    assert np.isfinite(together).all()
    assert np.array_equal(together, np.concatenate([ranker.predict(rows[i : i + 1]) for i in range(len(rows))]))
    many = ranker.predict(np.tile(rows, (300, 1)))
    assert np.array_equal(many, np.tile(together, 300))


@every
def test_a_list_without_confidence_teaches_nothing(library: str, objective: str) -> None:
    # The second half is graded upside down; weighed at nothing, it is as if it were not there.
    upside = FIT.with_columns(query_id=pl.concat_str(pl.lit("u"), "query_id"), grade=3 - pl.col("grade"))
    both = pl.concat([FIT, upside]).with_columns(
        weight=pl.when(pl.col("query_id").str.starts_with("u")).then(0.0).otherwise(1.0).cast(pl.Float32)
    )
    quality = [quality_of(fit(library, objective, frame, rounds=10)) for frame in (FIT, both)]
    assert quality[1] == pytest.approx(quality[0], abs=0.03)


@every
def test_grades_that_are_doubted_count_for_less(library: str, objective: str) -> None:
    # Products worth nothing are said to be perfect where `noise` is high.
    wrong = FIT.select((pl.col("noise") > 0) & (pl.col("grade") == 0)).to_series()
    spoilt = FIT.with_columns(grade=pl.when(wrong).then(3.0).otherwise(pl.col("grade")).cast(pl.Float32))
    doubted = spoilt.with_columns(weight=pl.when(wrong).then(0.02).otherwise(1.0).cast(pl.Float32))
    believed, better = (quality_of(fit(library, objective, frame, None, rounds=15)) for frame in (spoilt, doubted))
    assert better > believed + 0.02


@every
def test_dev_counts_every_query_once(library: str, objective: str) -> None:
    doubted = DEV.with_columns(weight=pl.Series(np.linspace(0.1, 1, len(DEV)), dtype=pl.Float32))
    assert fit(library, objective, dev_pairs=doubted, rounds=3).curve == fit(library, objective, rounds=3).curve


@every
def test_what_is_kept_out_is_reported(library: str, objective: str) -> None:
    extra = FIT.head(3).with_columns(query_id=pl.Series(["x", "y", "y"]), grade=pl.Series([2, 1, 1], dtype=pl.Float32))
    unjudged = FIT.head(1).with_columns(query_id=pl.lit("z"), grade=pl.lit(None, pl.Float32))
    found = fit(library, objective, pl.concat([FIT, extra, unjudged]), rounds=3)
    assert found.dropped == {
        "unjudged_rows": 1,
        "empty": 1,
        "one_document": 1,
        "all_equal": 1,
        "dev_unjudged_rows": 0,
        "dev_without_gain": 0,
    }
    assert found.ranker == fit(library, objective, rounds=3).ranker


@every
def test_features_that_never_vary_make_a_constant(
    library: str, objective: str, capfd: pytest.CaptureFixture[str]
) -> None:
    constant = FIT.with_columns(useful=pl.lit(0.0), noise=pl.lit(2.5), gaps=pl.lit(None, pl.Float32))
    found = fit(library, objective, constant, rounds=2)
    assert len(set(found.ranker.predict(matrix(DEV)).tolist())) == 1
    assert set(found.ranker.importance().values()) == {0.0}
    assert capfd.readouterr() == ("", "")


@every
@pytest.mark.parametrize("shape", [(2, 2), (3,), (1, 3, 1)])
def test_a_matrix_of_another_shape_is_refused(library: str, objective: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(RankerError, match="rows of 3 features are scored"):
        fitted(library, objective).ranker.predict(np.zeros(shape, dtype=np.float32))


@every
def test_no_rows_have_no_scores(library: str, objective: str) -> None:
    assert fitted(library, objective).ranker.predict(np.empty((0, 3), dtype=np.float32)).shape == (0,)


@every
def test_gains_cutoff_and_rounds_are_checked(library: str, objective: str) -> None:
    with pytest.raises(RankerError, match="are no table; one finite gain a grade"):
        fit(library, objective, gains=np.array([0.0, float("nan")]))
    with pytest.raises(RankerError, match="both are at least 1"):
        fit(library, objective, rounds=0)


@every
def test_defaults_pass_the_check_without_data(library: str, objective: str) -> None:
    config = RankerConfig(library=library, objective=objective, monotone={"noise": 1})
    rankers.check(config, features=FEATURES)
    rankers.check(config, features=("noise",))


REFUSED = {
    "lightgbm": ({"num_leafs": 3}, "LightGBM has no parameter 'num_leafs'; did you mean 'num_leaves'?"),
    "lightgbm value": ({"num_leaves": 1}, "LightGBM refuses these parameters: num_leaves = 1"),
    "lightgbm owned": ({"application": "binary"}, "ranker.application cannot be set; set ranker.objective"),
    "xgboost": ({"max_leafs": 3}, "XGBoost has no parameter 'max_leafs'; did you mean 'max_leaves'?"),
    "xgboost value": ({"max_bin": 1}, "XGBoost refuses these parameters: max_bin = 1: value 1 for Parameter max_bin"),
    "xgboost owned": ({"random_state": 3}, "ranker.random_state cannot be set; set ranker.seed"),
    "linear": ({"restart": 3}, "the linear ranker has no parameter 'restart'; did you mean 'restarts'?"),
    "linear value": ({"l2": -1.0}, "ranker.l2 = -1.0; it is a number, at least 0"),
    "linear owned": (
        {"objective": "logistic", "restarts": 3},
        "ranker.restarts cannot be set; it is a parameter of objective 'ndcg', not of 'logistic'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_parameter_is_refused_before_there_is_data(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    given_parameters, message = REFUSED[case]
    config = RankerConfig(library=case.split()[0], **given_parameters)
    with pytest.raises(RankerError, match=message):
        rankers.check(config, features=FEATURES)
    with pytest.raises(RankerError, match=message):
        rankers.fit(config, FIT, DEV, features=FEATURES, gains=GAINS, rounds=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("library", rankers.LIBRARIES)
def test_a_direction_of_no_feature_is_refused_before_there_is_data(library: str) -> None:
    with pytest.raises(RankerError, match=r"ranker\.monotone names 'usefull'; did you mean 'useful'"):
        rankers.check(RankerConfig(library=library, monotone={"usefull": 1}), features=FEATURES)


def test_every_library_of_the_configuration_is_here_and_has_a_title() -> None:
    assert set(rankers.LIBRARIES) == set(OBJECTIVES) == set(rankers.TITLES)
