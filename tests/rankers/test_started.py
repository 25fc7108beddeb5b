"""A forest begun from an order: never worse than it without a reason, exact, saved whole."""

import numpy as np
import polars as pl
import pytest

from ltr import rankers
from ltr.config import RankerConfig, compared, parse
from ltr.errors import ConfigError, RankerError
from ltr.rankers.lists import judged_lists
from ltr.rankers.started import Started, begin

FEATURES = ["good", "noise"]
GAINS = np.array([0.0, 1.0])


def pairs(seed, *, lists=30):
    """Lists in which ``good`` decides and ``noise`` does not; one value in ten is missing."""
    generator = np.random.default_rng(seed)
    good = generator.normal(size=lists * 10).astype(np.float32)
    noise = generator.normal(size=lists * 10).astype(np.float32)
    grade = (good + generator.normal(size=lists * 10) > 0.8).astype(np.float32)
    good[::10] = np.nan
    ids = [f"q{row // 10:03}" for row in range(lists * 10)]
    return pl.DataFrame(
        {
            "query_id": ids,
            "product_id": [str(row) for row in range(lists * 10)],
            "grade": grade,
            "good": good,
            "noise": noise,
        }
    ).with_columns(weight=1.0)


def fitted(library, **keys):
    config = RankerConfig(library=library, rounds=30, patience=5, start="good", **keys)
    return rankers.fit(config, pairs(1), pairs(2), features=FEATURES, gains=GAINS)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_the_score_is_the_start_and_the_forest_together(library):
    ranker = fitted(library).ranker
    assert isinstance(ranker, Started)
    matrix = pairs(3).select(FEATURES).to_numpy()
    mean = np.nanmean(pairs(1)["good"].to_numpy()[judged_rows(pairs(1))].astype(np.float64))
    filled = np.where(np.isnan(matrix[:, 0]), mean, matrix[:, 0].astype(np.float64))
    assert ranker.start.missing == pytest.approx(mean)
    assert np.array_equal(ranker.predict(matrix), ranker.start.scale * filled + ranker.ranker.predict(matrix))


def judged_rows(frame):
    """Rows of lists with two grades, which are all that fitting sees."""
    mixed = frame.group_by("query_id").agg(pl.col("grade").n_unique() > 1).filter("grade")["query_id"]
    return frame["query_id"].is_in(mixed.implode()).to_numpy()


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_the_dev_curve_is_of_the_start_and_the_forest_together(library):
    from ltr import evaluation, frames, measures

    done = fitted(library)
    dev = pairs(2)
    scores = done.ranker.predict(dev.select(FEATURES).to_numpy())
    run = frames.ranked(dev.select("query_id", "product_id", score=pl.Series(scores)))
    binary = measures.scale("binary")
    judgments = frames.check(dev.select("query_id", "product_id", "grade", "weight"), "judgments")
    measure = measures.parse("nDCG@10")
    values = evaluation.evaluate(run, judgments, [measure], gains=GAINS, scale=binary)[str(measure)].drop_nans()
    assert done.curve[done.rounds - 1] == pytest.approx(values.mean(), abs=1e-6)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_forest_of_one_round_keeps_nearly_the_order_that_it_began_from(library):
    config = RankerConfig(library=library, start="good", rounds=1)
    ranker = rankers.fit(config, pairs(1), None, features=FEATURES, gains=GAINS).ranker
    matrix = pairs(4).drop_nans().select(FEATURES).to_numpy()
    assert np.corrcoef(ranker.predict(matrix), matrix[:, 0])[0, 1] > 0.95


def test_it_is_restored_as_it_was_saved_and_averages_over_seeds(tmp_path):
    matrix = pairs(3).select(FEATURES).to_numpy()
    for name, ranker in {"one": fitted("lightgbm").ranker, "mean": fitted("lightgbm", seeds=2).ranker}.items():
        ranker.save(tmp_path / name)
        restored = rankers.restore(tmp_path / name)
        assert np.array_equal(restored.predict(matrix), ranker.predict(matrix))
    header = tmp_path / "one" / "forest" / "ranker.json"
    header.write_text(header.read_text().replace('"format": 1', '"format":  1'))
    with pytest.raises(RankerError, match="is not the one that was saved"):
        rankers.restore(tmp_path / "one")


def test_a_start_that_is_no_feature_or_always_missing_is_refused():
    with pytest.raises(RankerError, match=r"ranker\.start = 'goood'; did you mean 'good'"):
        rankers.check(RankerConfig(start="goood"), features=FEATURES)
    lists = judged_lists(pairs(1).with_columns(good=pl.lit(float("nan"))), features=FEATURES, gains=GAINS, split="fit")
    with pytest.raises(RankerError, match="missing in every row"):
        begin("good", lists, FEATURES)


def test_a_linear_ranker_takes_no_start_and_is_compared_without_one():
    base = {"name": "demo", "data": {"source": "shop"}}
    with pytest.raises(ConfigError, match="it weighs the feature itself"):
        parse({**base, "ranker": {"library": "linear", "start": "good"}})
    started = compared(parse({**base, "ranker": {"start": "good"}}), ["linear", "xgboost"])
    assert started.compare["linear"].start is None
    assert started.compare["xgboost"].start == "good"
