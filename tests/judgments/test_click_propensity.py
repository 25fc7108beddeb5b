"""Propensities by every method: they agree with the truth and with one another, and say what they cannot tell."""

import numpy as np
import polars as pl
import pytest

from ltr.errors import ConfigError, DataError
from ltr.judgments import PBM
from ltr.judgments.priors import FittedPrior
from ltr.judgments.propensity import by_em, harvested, randomised
from ltr.judgments.regression import by_regression, logistic
from ltr.judgments.statistics import by_position
from ltr.simulation.traffic import rearranged

CURVE = 1 / np.arange(1, 11)
PRIOR = FittedPrior(0.4, 2.0)


def test_harvesting_and_em_agree_with_the_truth_and_with_one_another(two_rankings):
    _, log, examination = two_rankings
    cells = by_position(log)
    one, other = harvested(cells), by_em(cells)
    for curve in (one, other):
        assert curve.examination == pytest.approx(examination, abs=0.02)
        assert ((curve.low <= examination) & (examination <= curve.high)).mean() >= 0.9
        assert (curve.high - curve.low)[1:].max() < 0.06
    assert ((one.low <= other.high) & (other.low <= one.high)).all()
    assert np.abs(one.examination - other.examination).max() < 0.01


@pytest.mark.parametrize("method", [harvested, by_em])
def test_about_95_of_100_intervals_cover_the_truth(method, world):
    covered = []
    for seed in range(30):
        pairs, lists = world(120, 3_000, seed=seed)
        found = method(PBM(pairs, CURVE, PRIOR).sample(lists, seed=seed), seed=seed)
        covered.append((found.low <= CURVE)[1:] & (found.high >= CURVE)[1:])
    assert np.mean(covered) == pytest.approx(0.93, abs=0.05)


@pytest.mark.parametrize("method", [harvested, by_em])
def test_one_ranking_is_refused_with_the_share_of_pairs_that_tell(method, world):
    pairs, lists = world(50, 2_000, rankings=1)
    with pytest.raises(DataError, match=r"0(\.0)?% of the \(query, product\) pairs"):
        method(PBM(pairs, CURVE, PRIOR).sample(lists, seed=1))


@pytest.mark.parametrize("method", [harvested, by_em])
def test_a_floor_clips_and_the_notes_say_where(method, two_rankings):
    found = method(two_rankings[1], floor=0.2, resamples=20)
    assert found.examination.min() == found.low.min() == 0.2
    assert any("clipped to 0.2 at position 5 to 10" in note or "at position 6 to 10" in note for note in found.notes)
    with pytest.raises(ConfigError, match="a floor of 0 clips no propensity"):
        method(two_rankings[1], floor=0.0)


def test_few_queries_have_no_interval(world):
    pairs, lists = world(5, 3_000)
    found = harvested(PBM(pairs, CURVE, PRIOR).sample(lists, seed=1))
    assert np.isnan(found.low).all()
    assert "no interval: clicks of 5 queries are too few to resample" in found.notes
    assert np.isfinite(found.examination).all()


def test_a_seed_is_an_interval(two_rankings):
    cells = by_position(two_rankings[1])
    assert np.array_equal(harvested(cells, seed=3).low, harvested(cells, seed=3).low)
    assert not np.array_equal(harvested(cells, seed=3).low, harvested(cells, seed=4).low)


def test_harvesting_reads_the_rates_of_the_pairs_that_two_positions_have_in_common():
    # a: 8 of 10 and 4 of 10; b stood at the first alone and says nothing
    log = [("a", 1, 8), ("a", 2, 4), ("b", 1, 1)]
    rows = [("q", name, k, at < clicked) for name, k, clicked in log for at in range(10)]
    frame = pl.DataFrame(rows, schema=["query_id", "product_id", "position", "clicked"], orient="row")
    assert harvested(frame, resamples=0).examination == pytest.approx([1, 4 / 8])


@pytest.fixture(scope="module")
def luck(world):
    """Lists of one ranking, a third of which luck rearranged, by scheme."""

    def log(scheme):
        from ltr.simulation import Season

        pairs, lists = world(100, 30_000, rankings=1)
        rng = np.random.default_rng(5)
        sizes = np.full(30_000, 10)
        shows, propensity = rearranged(
            lists["position"].to_numpy(), sizes, rng.random(30_000) < 1 / 3, Season(scheme=scheme, top=8), rng
        )
        moved = lists.with_columns(lists["product_id"].gather(shows), propensity=pl.Series(propensity))
        return PBM(pairs, CURVE, PRIOR).sample(moved, seed=1)

    return log


@pytest.mark.parametrize("scheme", ["shuffle", "swap"])
def test_randomised_lists_tell_the_curve_that_one_ranking_hides(luck, scheme):
    log = luck(scheme)
    found = randomised(log)
    assert found.examination == pytest.approx(CURVE[:8], abs=0.03)
    assert ((found.low <= CURVE[:8]) & (found.high >= CURVE[:8])).mean() >= 0.85
    assert found.notes[0] == f"{log.filter(pl.col('propensity') < 1)['search_id'].n_unique():,} randomised searches"


def test_without_randomised_lists_the_method_says_how_to_make_some(two_rankings):
    with pytest.raises(DataError, match="the log has no propensity; shuffle the top"):
        randomised(two_rankings[1])
    with pytest.raises(DataError, match="no list of the log was randomised"):
        randomised(two_rankings[1].with_columns(propensity=pl.lit(None, dtype=pl.Float32)))


@pytest.fixture(scope="module")
def one_ranking(world):
    """(log of one ranking, features that know the attraction)."""
    pairs, lists = world(300, 50_000, rankings=1)
    odds = pl.col("attraction").log() - (1 - pl.col("attraction")).log()
    noise = pl.Series(np.random.default_rng(3).normal(size=pairs.height))
    return (
        PBM(pairs, CURVE, PRIOR).sample(lists, seed=1),
        pairs.select("query_id", "product_id", telling=odds, other=noise),
    )


def test_regression_tells_the_curve_of_one_ranking_where_features_tell_attraction(one_ranking):
    log, features = one_ranking
    found = by_regression(log, features, logistic)
    assert found.examination == pytest.approx(CURVE, abs=0.02)
    assert ((found.low <= CURVE) & (found.high >= CURVE)).mean() >= 0.7
    assert found.notes == ("attraction from 2 features: what they do not know of it is laid on the position",)


def test_features_that_know_nothing_lay_the_rankers_merit_on_the_position(one_ranking):
    log, features = one_ranking
    blind = by_regression(log, features.drop("telling"), logistic, resamples=0)
    rate = log.group_by("position").agg(pl.col("clicked").mean()).sort("position")["clicked"].to_numpy()
    assert blind.examination == pytest.approx(rate / rate[0], abs=0.02)


def test_the_regressor_is_given_rates_and_examinations(one_ranking):
    log, features = one_ranking
    asked = []

    def mean(matrix, labels, weights):
        asked.append((matrix.dtype, matrix.shape[1], labels.min() >= 0, labels.max() <= 1, weights.min() > 0))
        rate = float(labels @ weights / weights.sum())
        return lambda rows: np.full(len(rows), rate)

    by_regression(log, features, mean, resamples=2)
    assert set(asked) == {(np.dtype(np.float32), 2, True, True, True)}


def test_pairs_without_features_are_left_out_and_counted(one_ranking):
    log, features = one_ranking
    some = by_regression(log, features.filter(pl.col("query_id") < "q0150"), logistic, resamples=0)
    missing = log.filter(pl.col("query_id") >= "q0150").select("query_id", "product_id").n_unique()
    assert f"{missing:,} (query, product) pairs have no features and are left out" in some.notes
    with pytest.raises(DataError, match="none of the log's"):
        by_regression(log, features.with_columns(query_id=pl.lit("other")), logistic)
    with pytest.raises(DataError, match="no feature among"):
        by_regression(log, features.select("query_id", "product_id"), logistic)


def test_logistic_regression_solves_its_own_equation():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(5_000, 2)).astype(np.float32)
    labels = 1 / (1 + np.exp(-(0.5 + x @ np.array([1.0, -2.0]))))
    weights = rng.uniform(0.1, 3, size=5_000)
    found = logistic(x, labels, weights)
    assert found(x) == pytest.approx(labels, abs=0.01)
    assert float(weights @ (labels - found(x))) == pytest.approx(0, abs=1e-3)
    assert np.isfinite(found(np.array([[np.nan, 1e30]], np.float32))).all()
