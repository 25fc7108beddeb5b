"""Click models: each recovers what it sampled from, foretells in keeping with its samples, and says when it cannot."""

import numpy as np
import polars as pl
import pytest

from ltr import judgments
from ltr.errors import ConfigError, DataError
from ltr.judgments import COEC, CTR, DBN, DCM, MODELS, PBM, SDBN, UBM, Prior
from ltr.judgments import lists as searches
from ltr.judgments.priors import FittedPrior

PRIOR = FittedPrior(0.4, 2.0)
CURVE = 1 / np.arange(1, 11)
GAMMA = np.array(
    [[1 / (1 + 0.5 * (r - j if j else r)) if j <= r else 0.0 for j in range(11)] for r in range(10)]
)  # of position r + 1 after a click at j, or without one
TRUTH = {
    "ctr": lambda pairs: CTR(pairs, np.ones(10), PRIOR),
    "coec": lambda pairs: COEC(pairs, CURVE, PRIOR),
    "pbm": lambda pairs: PBM(pairs, CURVE, PRIOR),
    "ubm": lambda pairs: UBM(pairs, CURVE, PRIOR, GAMMA),
    "dcm": lambda pairs: DCM(pairs, CURVE, PRIOR, np.linspace(0.8, 0.4, 10)),
    "sdbn": lambda pairs: SDBN(pairs, CURVE, PRIOR, 0.5, 1.0),
    "dbn": lambda pairs: DBN(pairs, CURVE, PRIOR, 0.5, 0.9),
}


@pytest.fixture(scope="module")
def small(world):
    """Thirty queries, so that each pair is seen often."""
    return world(30, 50_000)


@pytest.fixture(scope="module")
def logs(small):
    """The log of each model's own users."""
    return {name: truth(small[0]).sample(small[1], seed=1) for name, truth in TRUTH.items()}


def missed(model, pairs, column="attraction", least=300):
    """Mean distance to the truth over the pairs that were examined often."""
    joined = model.attraction.join(pairs, on=["query_id", "product_id"], suffix=".true", how="inner")
    often = joined.filter(pl.col("examined") > least)
    assert often.height > 20
    return (often[column] - often[f"{column}.true"]).abs().mean()


def test_pbm_recovers_the_examination_curve_it_sampled_from(two_rankings):
    pairs, log, examination = two_rankings
    fitted = PBM.fit(log)
    assert fitted.examination == pytest.approx(examination, abs=0.02)
    assert missed(fitted, pairs, least=100) < 0.04


@pytest.mark.parametrize("name", ["pbm", "ubm", "dcm", "sdbn", "dbn"])
def test_a_model_recovers_the_attraction_it_sampled_from(name, small, logs):
    assert missed(MODELS[name].fit(logs[name]), small[0]) < 0.02


def test_ubm_recovers_how_examination_depends_on_the_click_before(logs):
    found = UBM.fit(logs["ubm"]).gamma
    assert found[np.tril_indices(10)] == pytest.approx(GAMMA[np.tril_indices(10)], abs=0.06)


def test_dcm_recovers_how_often_users_go_on_after_a_click(logs):
    # below the last position nothing tells
    assert DCM.fit(logs["dcm"]).continuations[:6] == pytest.approx(np.linspace(0.8, 0.4, 10)[:6], abs=0.03)


@pytest.mark.parametrize("name", ["sdbn", "dbn"])
def test_dbn_recovers_satisfaction_and_continuation(name, small, logs):
    fitted = MODELS[name].fit(logs[name])
    assert fitted.converged
    assert fitted.continuation == pytest.approx(TRUTH[name](small[0]).continuation, abs=0.01)
    assert missed(fitted, small[0], "satisfaction", least=1000) < 0.05


def test_a_known_continuation_is_kept(logs):
    assert DBN.fit(logs["dbn"], continuation=0.9).continuation == 0.9
    with pytest.raises(ConfigError, match=r"give γ in \(0, 1\]"):
        DBN.fit(logs["dbn"], continuation=1.5)


@pytest.mark.parametrize("name", MODELS)
def test_clicks_are_foretold_as_often_as_they_are_sampled(name, small, logs):
    log = logs[name]
    model = TRUTH[name](small[0])
    by_position = pl.DataFrame(
        {
            "position": log["position"],
            "clicked": log["clicked"],
            "over all": model.predict_clicks(log.lazy()),
            "given": model.predict_clicks(log, conditional=True),
        }
    )
    means = by_position.group_by("position").mean().sort("position")
    for foretold in ("over all", "given"):
        assert means[foretold].to_numpy() == pytest.approx(means["clicked"].to_numpy(), abs=0.012)  # 5 standard errors


@pytest.mark.parametrize("name", MODELS)
def test_what_is_foretold_does_not_depend_on_the_order_of_rows(name, small, logs):
    log = logs[name].head(2_000).with_row_index()
    model = TRUTH[name](small[0])
    mixed = log.sample(fraction=1.0, shuffle=True, seed=3)
    for conditional in (False, True):
        straight = model.predict_clicks(log, conditional=conditional)
        assert np.array_equal(straight[mixed["index"].to_numpy()], model.predict_clicks(mixed, conditional=conditional))


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_is_a_sample(name, small):
    model, lists = TRUTH[name](small[0]), small[1].head(3_000)
    assert model.sample(lists, seed=4).equals(model.sample(lists, seed=4))
    assert not model.sample(lists, seed=4).equals(model.sample(lists, seed=5))
    assert model.sample(lists, seed=4).drop("clicked").equals(lists)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_the_same_from_a_lazy_log_in_parts_and_in_any_order(name, logs, monkeypatch):
    log = logs[name].head(40_000)
    whole = MODELS[name].fit(log)
    monkeypatch.setattr(searches, "PART", 15_000)
    cut = MODELS[name].fit(log.sample(fraction=1.0, shuffle=True, seed=3).lazy())
    assert whole.attraction.select("query_id", "product_id", "shown", "clicked").equals(
        cut.attraction.select("query_id", "product_id", "shown", "clicked")
    )
    assert cut.attraction["attraction"].to_numpy() == pytest.approx(whole.attraction["attraction"].to_numpy(), abs=1e-3)
    assert cut.examination == pytest.approx(whole.examination, abs=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_the_attraction_table_is_what_the_contract_says(name, logs):
    found = MODELS[name].fit(logs[name].head(20_000))
    schema = found.attraction.schema
    assert [schema[column] for column in ("query_id", "product_id", "attraction", "shown", "clicked", "examined")] == [
        pl.String, pl.String, pl.Float64, pl.UInt32, pl.UInt32, pl.Float64,
    ]  # fmt: skip
    assert found.attraction["attraction"].is_between(0, 1).all()
    assert (found.attraction["examined"] <= found.attraction["shown"] + 1e-6).all()
    assert (found.attraction["examined"] >= found.attraction["clicked"] - 1e-6).all()
    assert found.attraction.select("query_id", "product_id").is_unique().all()


@pytest.mark.parametrize("name", MODELS)
def test_a_pair_that_the_log_never_showed_has_the_prior_mean(name, logs):
    model = MODELS[name].fit(logs[name].head(20_000))
    new = pl.DataFrame({"search_id": "s", "query_id": "new", "product_id": "new", "position": 1, "clicked": False})
    assert model.predict_clicks(new)[0] == pytest.approx(model.prior.mean * (1 if name == "ctr" else model_top(model)))


def model_top(model):
    """Examination of the first row of a list."""
    return 1.0 if isinstance(model, DCM | DBN) else model.examination[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_log_without_a_click_or_a_row_is_refused(name, logs):
    log = logs[name].head(100)
    with pytest.raises(DataError, match="nothing in the log was clicked"):
        MODELS[name].fit(log.with_columns(clicked=False))
    with pytest.raises(DataError, match="holds no impression"):
        MODELS[name].fit(log.clear())


@pytest.mark.parametrize("name", ["pbm", "ubm"])
def test_one_ranking_tells_no_examination_and_the_error_says_what_would(name, world):
    pairs, lists = world(50, 2_000, rankings=1)
    log = PBM(pairs, CURVE, PRIOR).sample(lists, seed=1)
    # for UBM, clicks above make other places of one position, but never of the first
    share = {"pbm": "0.0%", "ubm": "90.0%"}[name]
    with pytest.raises(
        DataError, match=rf"from attraction: {share} of .* tie no position to the first; log a second ranking"
    ):
        MODELS[name].fit(log)


def test_a_known_curve_gives_the_attraction_from_one_ranking(world):
    pairs, lists = world(20, 30_000, rankings=1)
    log = PBM(pairs, CURVE, PRIOR).sample(lists, seed=1)
    fitted = PBM.fit(log, examination=CURVE)
    assert np.array_equal(fitted.examination, CURVE)
    assert missed(fitted, pairs, least=200) < 0.03


def test_the_posterior_given_the_examination_solves_its_own_equation():
    # without a prior's weight the likelihood's slope is zero: c ÷ a = Σ e (n − c) ÷ (1 − ae)
    log = pl.DataFrame(
        {"query_id": "q", "product_id": "p", "position": [1] * 4 + [2] * 4, "clicked": [True] * 3 + [False] * 5}
    )
    a = PBM.fit(log, examination=[1.0, 0.5], prior=Prior(mean=0.5, strength=1e-9)).attraction["attraction"][0]
    assert 3 / a == pytest.approx(1 * 1 / (1 - a) + 0.5 * 4 / (1 - a / 2), rel=1e-6)


@pytest.mark.parametrize("curve", [[], [1.0, 0.0], [1.0, float("nan")], [[1.0]]])
def test_a_curve_that_is_none_is_refused(curve, logs):
    with pytest.raises(DataError, match="examination curve"):
        PBM.fit(logs["pbm"].head(100), examination=curve)


def test_a_short_curve_holds_below_its_end(logs):
    assert PBM.fit(logs["pbm"].head(100), examination=[1.0, 0.5]).examination.tolist() == [1.0] + [0.5] * 9


def test_coec_takes_the_rankers_merit_for_position_bias(two_rankings):
    _, log, examination = two_rankings
    assert (COEC.fit(log).examination[1:] < PBM.fit(log).examination[1:]).all()
    assert (COEC.fit(log).examination[2:] < examination[2:]).all()
    with pytest.raises(DataError, match="nothing was clicked at position 1"):
        COEC.fit(log.filter(~pl.col("clicked") | (pl.col("position") > 1)))


def test_the_counts_of_the_papers_are_where_everything_below_the_last_click_is_unread():
    # a list whose last click is on its last row has no tail: clicks ÷ impressions, as SDBN counts
    log = pl.DataFrame({"search_id": ["s", "s", "t", "t"], "query_id": "q", "product_id": ["a", "b", "a", "b"],
                        "position": [1, 2, 1, 2], "clicked": [True, True, False, True]})  # fmt: skip
    found = SDBN.fit(log, prior=Prior(mean=0.5, strength=1e-9)).attraction
    assert found["attraction"].to_list() == pytest.approx([1 / 2, 1], abs=1e-5)
    assert found["examined"].to_list() == [2, 2]


def test_models_are_found_by_name():
    assert judgments.model("dcm") is DCM
    with pytest.raises(ConfigError, match="'pmb' is unknown; did you mean 'pbm'"):
        judgments.model("pmb")
    with pytest.raises(AttributeError, match="no attribute 'pmb'"):
        judgments.pmb  # noqa: B018
