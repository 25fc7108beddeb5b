"""A ranker that reads another one's score: the same sum whoever works it out, saved and restored whole."""

import numpy as np
import polars as pl
import pytest

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.transferred import Source, Transferred

GAINS = np.array([0.0, 1.0, 3.0])


def pairs(seed, *names):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(400, len(names))).astype(np.float32)
    grade = np.clip(np.round(values.sum(axis=1) / 2 + 1), 0, 2)
    frame = pl.DataFrame(values, schema=list(names))
    ids = [f"q{row // 10:02}" for row in range(400)]
    return frame.with_columns(
        query_id=pl.Series(ids),
        product_id=pl.Series([str(row) for row in range(400)]),
        grade=pl.Series(grade),
        weight=1.0,
    )


@pytest.fixture(scope="module")
def transferred():
    config = RankerConfig(rounds=10)
    other = rankers.fit(config, pairs(1, "a", "b", "gone"), None, features=["a", "b", "gone"], gains=GAINS).ranker
    source = Source(other, ("their_a", "their_b", None))
    ours = pairs(2, "x", "their_a", "their_b")
    score = source.predict(ours.select(source.read).to_numpy())
    ours = ours.with_columns(transfer=pl.Series(score.astype(np.float32)))
    own = rankers.fit(config, ours, None, features=["x", "transfer"], gains=GAINS).ranker
    return Transferred(own, source), ours


def test_the_score_is_the_fitted_rankers_over_the_others_score(transferred):
    ranker, ours = transferred
    assert ranker.features == ("x", "their_a", "their_b")
    matrix = ours.select(ranker.features).to_numpy()
    expected = ranker.ranker.predict(ours.select("x", "transfer").to_numpy())
    assert np.array_equal(ranker.predict(matrix), expected)
    assert set(ranker.importance()) == {"x", "transfer"}


def test_a_feature_that_is_not_here_is_missing_for_the_other_ranker(transferred):
    ranker, ours = transferred
    rows = ours.select("their_a", "their_b").to_numpy()
    whole = np.column_stack([rows, np.full(len(rows), np.nan, dtype=np.float32)])
    assert np.array_equal(ranker.source.predict(rows), ranker.source.ranker.predict(whole))


def test_it_is_restored_as_it_was_saved_and_a_changed_part_is_refused(transferred, tmp_path):
    ranker, ours = transferred
    ranker.save(tmp_path)
    restored = rankers.restore(tmp_path)
    matrix = ours.select(ranker.features).to_numpy()
    assert restored.features == ranker.features
    assert np.array_equal(restored.predict(matrix), ranker.predict(matrix))
    header = tmp_path / "source" / "ranker.json"
    header.write_text(header.read_text().replace('"rounds": 10', '"rounds": 9'))
    with pytest.raises(RankerError, match=r"source/ranker\.json is not the one that was saved"):
        rankers.restore(tmp_path)


def test_a_ranker_that_does_not_read_the_score_is_refused(transferred):
    ranker, _ = transferred
    with pytest.raises(RankerError, match="does not read 'transfer'"):
        Transferred(ranker.source.ranker, ranker.source)
