import numpy as np
import pytest

from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers.attraction import Attraction, Tallies, cross_fitted, fit_attraction

CONFIG = RankerConfig(library="lightgbm", learning_rate=0.1, patience=20)
POSITIONS = 10
NAMES = ("a", "b", "c")


def shop(seed=7, *, queries=3_000, searches=10, theta=None):
    """Pairs whose attraction follows from three features, one ranking by a noisy view of it, and its clicks."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(queries * POSITIONS, 3)).astype(np.float32)
    attraction = 1 / (1 + np.exp(-(1.5 * matrix[:, 0] + matrix[:, 1] - 1)))
    view = (matrix[:, 0] + rng.normal(size=len(matrix))).reshape(queries, POSITIONS)
    position = (np.argsort(np.argsort(-view, axis=1), axis=1) + 1).ravel().astype(np.int64)
    theta = 1 / np.arange(1, POSITIONS + 1) if theta is None else theta
    clicked = rng.binomial(searches, theta[position - 1] * attraction).astype(float)
    return (
        matrix,
        attraction,
        theta,
        Tallies(np.arange(len(matrix)), position, np.full(len(matrix), float(searches)), clicked),
    )


@pytest.mark.parametrize(
    "theta", [1 / np.arange(1, POSITIONS + 1), np.array([1, 0.9, 0.5, 0.5, 0.5, 0.3, 0.3, 0.1, 0.1, 0.1])]
)
def test_examination_and_attraction_are_recovered_from_one_ranking(theta):
    matrix, attraction, _, tallies = shop(theta=theta)
    other, _, _, held_out = shop(seed=8, queries=500, theta=theta)
    fitted = fit_attraction(CONFIG, matrix, tallies, features=NAMES, dev=(other, held_out))
    assert fitted.examination == pytest.approx(theta, abs=0.05)
    assert np.corrcoef(fitted.predict(matrix), attraction)[0, 1] > 0.97


def test_a_known_examination_is_left_as_it_is():
    matrix, attraction, theta, tallies = shop()
    fitted = fit_attraction(CONFIG, matrix, tallies, features=NAMES, dev=None, examination=theta, rounds=60)
    assert fitted.examination.tolist() == theta.tolist()
    assert fitted.rounds == 60
    assert fitted.predict(matrix).mean() == pytest.approx(attraction.mean(), abs=0.03)


def test_beyond_its_end_a_known_examination_stays_as_it_ends():
    matrix, _, theta, tallies = shop(queries=300)
    fitted = fit_attraction(CONFIG, matrix, tallies, features=NAMES, dev=None, examination=theta[:4], rounds=5)
    assert fitted.examination.tolist() == [*theta[:4], *[theta[3]] * 6]


def test_one_seed_is_one_model():
    matrix, _, _, tallies = shop(queries=300)
    one, other = (fit_attraction(CONFIG, matrix, tallies, features=NAMES, dev=None, rounds=20) for _ in range(2))
    assert one.examination.tolist() == other.examination.tolist()
    assert one.predict(matrix).tolist() == other.predict(matrix).tolist()


def test_a_pair_shown_at_two_places_is_one_pair():
    matrix, _, _, tallies = shop(queries=300)
    twice = Tallies(
        np.repeat(tallies.pair, 2),
        np.repeat(tallies.position, 2),
        np.repeat(tallies.shown / 2, 2),
        np.repeat(tallies.clicked / 2, 2),
    )
    one = fit_attraction(CONFIG, matrix, tallies, features=NAMES, dev=None, rounds=20)
    other = fit_attraction(CONFIG, matrix, twice, features=NAMES, dev=None, rounds=20)
    assert other.examination == pytest.approx(one.examination, abs=1e-6)


def test_a_log_without_a_click_is_refused():
    matrix, _, _, tallies = shop(queries=30)
    silent = Tallies(tallies.pair, tallies.position, tallies.shown, np.zeros(len(matrix)))
    with pytest.raises(RankerError, match="no click to learn from; collect a longer log"):
        fit_attraction(CONFIG, matrix, silent, features=NAMES, dev=None)


def test_a_cross_fitted_row_comes_from_a_model_without_its_fold():
    seen = []

    def fit(rows):
        seen.append(rows.tolist())
        number = len(seen)
        return Attraction(lambda matrix: np.full(len(matrix), number / 10), np.ones(1), 1)

    folds = np.repeat([0, 1], 20)
    found = cross_fitted(folds, np.zeros((40, 1), dtype=np.float32), fit)
    assert seen == [(folds != 0).tolist(), (folds != 1).tolist()]
    assert found.tolist() == [0.1] * 20 + [0.2] * 20


def test_tallies_of_some_pairs_are_renumbered():
    tallies = Tallies(np.array([0, 1, 1, 2]), np.array([1, 1, 2, 3]), np.ones(4), np.zeros(4))
    kept = tallies.of(np.array([False, True, True]))
    assert kept.pair.tolist() == [0, 0, 1]
    assert kept.position.tolist() == [1, 2, 3]
