"""The mean of rankers: its formula, its directory, and one forest instead of several."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers import saved
from ltr.rankers.averaged import Averaged, fit_averaged, merged
from ltr.rankers.forest_lightgbm import read_text
from ltr.rankers.forest_xgboost import read_model

FEATURES = ["a", "b", "c"]
GAINS = np.array([0.0, 1.0, 3.0])


def shop(seed: int, queries: int = 40, size: int = 10) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(queries * size, 3))
    grade = np.clip(np.round(rows[:, 0] + rng.normal(size=len(rows)) + 1), 0, 2)
    return pl.DataFrame(
        {
            "query_id": np.repeat([f"q{i:02}" for i in range(queries)], size),
            "product_id": [f"p{i}" for i in range(len(rows))],
            "grade": grade.astype(np.float32),
            "weight": np.ones(len(rows), dtype=np.float32),
        }
        | {name: rows[:, place].astype(np.float32) for place, name in enumerate(FEATURES)}
    )


FIT, DEV = shop(1), shop(2, 20)
ROWS = DEV.select(FEATURES).to_numpy()
HOW = {"features": FEATURES, "gains": GAINS, "rounds": 12}


def average(library: str = "lightgbm", *, seeds: int = 3, dev: pl.DataFrame | None = DEV, **config: object):
    return fit_averaged(RankerConfig(library=library, seed=5, **config), FIT, dev, seeds=seeds, **HOW)


@pytest.mark.parametrize("library", rankers.LIBRARIES)
def test_the_score_is_the_mean_of_rankers_of_following_seeds(library: str) -> None:
    found = average(library)
    alone = [rankers.fit(RankerConfig(library=library, seed=seed), FIT, DEV, **HOW) for seed in (5, 6, 7)]
    scores = [one.ranker.predict(ROWS) for one in alone]
    assert np.array_equal(found.ranker.predict(ROWS), (scores[0] + scores[1] + scores[2]) / 3)
    each = [one.ranker.importance()["a"] for one in alone]
    assert found.ranker.importance()["a"] == sum(each) / 3
    assert found.ranker.features == tuple(FEATURES)
    assert found.ranker.rounds == tuple(one.rounds for one in alone)
    assert found.rounds == sorted(one.rounds for one in alone)[1]
    assert len(found.curve) == min(len(one.curve) for one in alone)
    assert found.curve[0] == pytest.approx(sum(one.curve[0] for one in alone) / 3)
    assert found.notes[0] == (
        f"the mean of 3 {rankers.TITLES[library]} rankers of {', '.join(str(one.rounds) for one in alone)} rounds"
    )


@pytest.mark.parametrize("library", rankers.LIBRARIES)
def test_what_is_saved_comes_back_whole(library: str, tmp_path: Path) -> None:
    fresh = average(library).ranker
    fresh.save(tmp_path)
    restored = rankers.restore(tmp_path)
    assert restored == fresh
    assert restored.predict(ROWS).tobytes() == fresh.predict(ROWS).tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "ranker.json", "ranker.txt"]


def test_one_seed_is_the_ranker_itself_and_none_is_refused() -> None:
    assert average(seeds=1).ranker == rankers.fit(RankerConfig(seed=5), FIT, DEV, **HOW).ranker
    with pytest.raises(RankerError, match=r"ranker\.seeds = 0; it is at least 1"):
        average(seeds=0)


def test_the_last_seed_is_followed_by_the_first() -> None:
    config = RankerConfig(seed=2**31 - 1)
    second = fit_averaged(config, FIT, None, seeds=2, **HOW).ranker.rankers[1]
    assert second == rankers.fit(RankerConfig(seed=0), FIT, None, **HOW).ranker


def test_a_member_of_another_average_is_refused(tmp_path: Path) -> None:
    average().ranker.save(tmp_path / "one")
    average(num_leaves=3).ranker.save(tmp_path / "other")
    for file in ("ranker.txt", "ranker.json"):
        (tmp_path / "one/1" / file).write_bytes((tmp_path / "other/1" / file).read_bytes())
    with pytest.raises(RankerError, match=r"1/ranker\.json is not the one that was saved"):
        rankers.restore(tmp_path / "one")
    (tmp_path / "one/1/ranker.json").unlink()
    with pytest.raises(RankerError, match=r"1/ranker\.json cannot be read: No such file"):
        rankers.restore(tmp_path / "one")


def test_a_text_without_members_is_refused(tmp_path: Path) -> None:
    held = saved.Saved("averaged", "1", ("a",), 1, json.dumps({"members": [3]}))
    saved.write(held, tmp_path)
    with pytest.raises(RankerError, match="names no members"):
        rankers.restore(tmp_path)


def test_rankers_of_other_features_make_no_average() -> None:
    first = rankers.fit(RankerConfig(library="linear"), FIT, None, **HOW).ranker
    second = rankers.fit(RankerConfig(library="linear"), FIT, None, **(HOW | {"features": ["a", "b"]})).ranker
    with pytest.raises(RankerError, match="read different features"):
        Averaged((first, second), (1, 1))
    with pytest.raises(RankerError, match="0 rankers and 0 rounds make no average"):
        Averaged((), ())


@pytest.mark.parametrize("boosting", ["gbdt", "rf"])
def test_forests_of_lightgbm_merge_into_one_of_the_same_score(boosting: str) -> None:
    ranker = average(boosting=boosting, dev=None).ranker
    forests = [read_text(one.text) for one in ranker.rankers]
    one = merged(forests)
    rows = np.concatenate([ROWS, np.where(np.arange(ROWS.size).reshape(ROWS.shape) % 5 == 0, np.nan, ROWS)])
    np.testing.assert_allclose(one.predict(rows), ranker.predict(rows), rtol=0, atol=1e-12)
    assert len(one.trees) == sum(len(forest.trees) for forest in forests)
    assert type(one).from_json(one.to_json()).to_json() == one.to_json()


def test_what_cannot_be_merged_is_refused() -> None:
    forests = [read_model(one.text) for one in average("xgboost").ranker.rankers]
    with pytest.raises(RankerError, match="XGBoost's forests cannot be merged exactly; average their scores"):
        merged(forests)
    with pytest.raises(RankerError, match="come from one library"):
        merged([*forests, read_text(average(seeds=1).ranker.text)])
    with pytest.raises(RankerError, match="come from one library"):
        merged([])
