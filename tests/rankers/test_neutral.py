"""What is restored without its library scores as what the library restores, whatever the ranker is made of."""

import numpy as np
import pytest

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers import neutral, saved
from ltr.rankers.forests import forest_of
from ltr.rankers.started import Start, Started
from ltr.rankers.transferred import COLUMN, Source, Transferred
from made.ranked import shop

FEATURES = ("useful", "noise", "gaps")
GAINS = np.array([0.0, 1.0, 3.0, 7.0])
ROWS = shop(20, seed=4).select(FEATURES).to_numpy()


def fit(features=FEATURES, **config):
    pairs = shop() if COLUMN not in features else shop().rename({"useful": COLUMN})
    chosen = RankerConfig(rounds=10, **config)
    return rankers.fit(chosen, pairs, None, features=features, gains=GAINS, rounds=10).ranker


MADE = {
    "a forest of LightGBM": lambda: fit(),
    "a forest of XGBoost": lambda: fit(library="xgboost"),
    "a mean of LightGBM's": lambda: fit(seeds=2, bagging_fraction=0.7, bagging_freq=1),
    "a mean of XGBoost's": lambda: fit(library="xgboost", seeds=2),
    "a forest on a start": lambda: fit(start="useful"),
    "a mean of such": lambda: fit(start="useful", seeds=2),
    "a linear ranker": lambda: fit(library="linear"),
    "one on another's score": lambda: Transferred(fit(features=(COLUMN, "noise")), Source(fit(), FEATURES)),
    "one on the score of a mean on a start": lambda: Transferred(
        fit(features=(COLUMN, "noise")), Source(fit(start="useful", seeds=2), FEATURES)
    ),
    "a start by hand": lambda: Started(fit(library="xgboost"), Start("gaps", 2.0, 0.5)),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_the_scores_are_those_of_the_library_bit_for_bit(make, tmp_path):
    made = make()
    made.save(tmp_path / "ranker")
    restored = neutral.restore(tmp_path / "ranker")
    rows = np.random.default_rng(1).normal(size=(200, len(made.features))).astype(np.float32)
    rows[np.random.default_rng(2).random(rows.shape) < 0.2] = np.nan
    assert restored.features == made.features
    assert restored.predict(rows).tobytes() == made.predict(rows).tobytes()


def test_what_is_saved_again_is_what_was_saved(tmp_path):
    fit().save(tmp_path / "first")
    restored = neutral.restore(tmp_path / "first")
    restored.save(tmp_path / "second")
    assert saved.read(tmp_path / "second") == saved.read(tmp_path / "first")
    assert forest_of(restored) is restored.forest


def test_it_has_no_importance_and_says_who_has(tmp_path):
    fit().save(tmp_path)
    with pytest.raises(RankerError, match=r"neutral forest of lightgbm has no gain; .*rankers\.restore"):
        neutral.restore(tmp_path).importance()


def test_a_text_of_other_features_and_rows_of_another_width_are_refused(tmp_path):
    fit().save(tmp_path)
    held = saved.read(tmp_path)
    saved.write(saved.Saved(held.library, held.version, ("a", "b", "c"), held.rounds, held.text), tmp_path)
    with pytest.raises(RankerError, match="do not belong together"):
        neutral.restore(tmp_path)
    saved.write(held, tmp_path)
    with pytest.raises(RankerError, match="2"):
        neutral.restore(tmp_path).predict(ROWS[:, :2])


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_member_that_is_not_the_one_that_was_saved_is_refused(library, tmp_path):
    fit(library=library, seeds=2).save(tmp_path)
    fit(library=library, seed=99).save(tmp_path / "1")
    with pytest.raises(RankerError, match=r"1/ranker\.json is not the one that was saved"):
        neutral.restore(tmp_path)
