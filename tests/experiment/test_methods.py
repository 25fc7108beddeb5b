"""Rankers fitted on clicks: what each is fitted on, that no judgment of a person is read, and the table that they make."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr.config import METHODS, RankerConfig, parse
from ltr.encoders.tuning import Settings
from ltr.errors import ConfigError, JudgmentError
from ltr.experiment import methods, train
from ltr.experiment.assemble import assemble
from ltr.experiment.curve import learn
from ltr.experiment.inspection import inspect
from ltr.experiment.preflight import parts_of
from ltr.experiment.trial import trial
from ltr.experiment.tuning import tune_for

TABLE = {
    "name": "small-clicks",
    "data": {"source": "shop", "size": 300, "queries": 150},
    "simulation": {"users": "pbm", "searches": 20, "page": 20},
    "judgments": {"source": "clicks", "compare": ["ips_listwise", "position"]},
    "features": {"set": "features/lexical.toml"},
    "candidates": {"from": "retrieval", "depth": 30},
    "ranker": {"rounds": 30, "patience": 10, "learning_rate": 0.1},
    "tracking": {"uri": ""},
}


def experiment(**changes):
    return parse({**TABLE, **{key: {**TABLE.get(key, {}), **value} for key, value in changes.items()}})


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    home = tmp_path_factory.mktemp("clicks")
    return assemble(experiment(), base=home, cache=home)


@pytest.fixture(scope="module")
def clicks(assembled):
    (parts,) = parts_of(assembled.experiment, assembled.dataset, group=None)
    return methods.Clicks(assembled, parts, assembled.clicks)


def test_naive_lists_are_searches_that_were_clicked_in_top_first(clicks):
    fit = clicks._by_search().fit
    by_search = fit.group_by("search_id", maintain_order=True).agg(
        pl.col("position").is_sorted().alias("top_first"), pl.col("grade").max(), pl.col("query_id").n_unique()
    )
    assert by_search["top_first"].all()
    assert set(by_search["grade"]) == {methods.TOP}
    assert set(by_search["query_id"]) == {1}
    log = clicks.log.impressions.filter(pl.col("query_id").is_in(list(clicks.parts.fit))).collect()
    clicked = log.join(fit.select("query_id", "product_id").unique(), on=["query_id", "product_id"], how="semi")
    assert by_search.height == clicked.filter("clicked")["search_id"].n_unique()


def test_no_search_of_a_test_query_is_looked_at(clicks):
    assert not set(clicks.impressions.collect()["query_id"]) & set(clicks.parts.test)


def graded(rates):
    """What the best product of the median query has is the top grade."""
    best = rates.group_by("query_id").agg(pl.col("value").max()).filter(pl.col("value") > 0)["value"].median()
    return rates.with_columns(expected=(pl.col("value") / min(best, 1)).clip(0, 1).mul(30).round())


def test_the_raw_rate_is_clicks_by_searches(clicks):
    fit = clicks._sides("ctr").fit.filter(pl.col("grade").is_not_null())
    rates = clicks.impressions.collect().group_by("query_id", "product_id").agg(value=pl.col("clicked").mean())
    both = fit.join(graded(rates), on=["query_id", "product_id"])
    assert both.height == fit.height
    assert both["grade"].to_list() == both["expected"].to_list()


def test_inverse_propensities_divide_each_click_by_its_places_examination(clicks):
    theta = pl.Series(clicks._examination)
    fit = clicks._sides("ips_pointwise").fit.filter(pl.col("grade").is_not_null())
    searched = clicks.impressions.collect()
    told = searched.with_columns(weighed=pl.col("clicked") / theta.gather(searched["position"].cast(pl.Int64) - 1))
    rates = told.group_by("query_id", "product_id").agg(value=pl.col("weighed").sum() / pl.len())
    both = fit.join(graded(rates), on=["query_id", "product_id"])
    assert both["grade"].to_numpy() == pytest.approx(both["expected"].to_numpy(), abs=1)


def test_what_follows_a_click_counts_as_the_experiment_weighs_it(assembled):
    judgments = assembled.experiment.judgments.model_copy(update={"satisfaction": {"click": 0.0, "add_to_cart": 1.0}})
    weighed = replace(assembled, experiment=assembled.experiment.model_copy(update={"judgments": judgments}))
    (parts,) = parts_of(weighed.experiment, weighed.dataset, group=None)
    bought, clicked = (
        methods.Clicks(one, parts, one.clicks)._sides("sdbn").fit.filter(pl.col("grade").is_not_null())["grade"]
        for one in (weighed, assembled)
    )
    assert bought.to_list() != clicked.to_list()
    assert np.corrcoef(bought, clicked)[0, 1] > 0.3


def test_no_propensity_is_below_the_clip(clicks):
    clip = clicks.assembled.experiment.judgments.clip
    assert clicks._examination.min() >= clip
    assert clicks._true_examination[0] == 1
    assert clicks._true_examination[-1] == pytest.approx(clip)


def test_products_that_were_never_shown_have_no_grade(clicks):
    fit = clicks._sides("regression_em").fit
    shown = clicks.impressions.select("query_id", "product_id").unique().collect()
    assert (
        fit.filter(pl.col("grade").is_not_null()).height
        == fit.join(shown, on=["query_id", "product_id"], how="semi").height
    )
    assert fit["grade"].null_count() > 0


def test_judgments_of_people_change_nothing_but_the_ceiling(assembled):
    lying = assembled.dataset.judgments.with_columns(grade=4 - pl.col("grade"))
    pairs = assembled.pairs.with_columns(grade=4 - pl.col("grade"))
    told = {}
    for name, one in {
        "truth": assembled,
        "lie": replace(assembled, pairs=pairs, dataset=replace(assembled.dataset, judgments=lying)),
    }.items():
        (parts,) = parts_of(one.experiment, one.dataset, group=None)
        sides = methods.Clicks(one, parts, one.clicks)
        told[name] = sides.fitted("regression_em", one.experiment.ranker, 10).ranker.text
    assert told["truth"] == told["lie"]


def test_most_searches_bounds_what_is_fitted_on(assembled):
    few = assembled.experiment.model_copy(
        update={"judgments": assembled.experiment.judgments.model_copy(update={"most_searches": 1_000})}
    )
    (parts,) = parts_of(few, assembled.dataset, group=None)
    sides = methods.Clicks(replace(assembled, experiment=few), parts, assembled.clicks)._by_search()
    assert pl.concat([sides.fit, sides.dev])["search_id"].n_unique() <= 1_000


def test_a_log_of_other_queries_is_refused(assembled):
    (parts,) = parts_of(assembled.experiment, assembled.dataset, group=None)
    nothing = replace(assembled.clicks, impressions=assembled.clicks.impressions.filter(pl.lit(False)))
    with pytest.raises(JudgmentError, match=r"0 impressions .* use a longer log"):
        _ = methods.Clicks(assembled, parts, nothing).counts


def test_the_table_has_production_naive_raw_true_propensities_ceiling_and_the_one_kept(assembled):
    rows = list(trial(assembled, group=None).labels)
    assert rows[0] == "retrieval"
    fitted = [row for row in rows if row not in ("retrieval", "best_feature", "cosine")]
    assert fitted == [
        "naive",
        "ctr",
        "ips_listwise",
        "position",
        "true_propensities",
        "true_judgments",
        "regression_em",
    ]


@pytest.mark.parametrize("users", ["cascade", "dbn"])
def test_where_examination_is_no_function_of_position_no_row_claims_to_know_it(users):
    class Log:
        examination = None

    assert methods.TRUE_PROPENSITIES not in methods.rows_of(Log, "pbm", METHODS, judged=True)


def test_rows_without_people_have_no_ceiling():
    class Log:
        examination = np.ones(3)

    assert methods.rows_of(Log, "pbm", ["pbm", "dbn"], judged=False) == [
        "naive",
        "ctr",
        "dbn",
        "true_propensities",
        "pbm",
    ]


def test_unbiased_takes_over_what_xgboost_has_too():
    config = RankerConfig(library="lightgbm", learning_rate=0.2, num_leaves=7, lambda_l2=3, seed=9)
    chosen = methods._config("unbiased", config)
    assert chosen.library == "xgboost"
    assert chosen.seed == 9
    assert chosen.parameters == {"learning_rate": 0.2, "max_leaves": 7, "lambdarank_unbiased": True}


def test_training_prints_what_each_method_wins_back_and_keeps_a_bundle(tmp_path):
    result = train(experiment(), base=tmp_path, cache=tmp_path, bundles=tmp_path / "bundles")
    told = json.loads(json.dumps(result.to_json()))["recovered"]
    assert told["naive"] == "naive"
    assert told["ceiling"] == "true_judgments"
    assert told["best"]["method"] in told["methods"]
    assert set(told["methods"]) == {"ctr", "ips_listwise", "position", "true_propensities", "regression_em"}
    means = {row: by["nDCG@10"]["mean"] for row, by in result.to_json()["measures"].items()}
    for row, share in told["methods"].items():
        assert share["difference"] == pytest.approx(means[row] - means["naive"])
        assert share["low"] <= share["difference"] <= share["high"]
    assert result.rounds == result.fitted["regression_em"]["rounds"]
    inspected = inspect(Path(result.bundle), by=["length"], moved=1)
    assert inspected.ranker == "regression_em"


TAUGHT_BY_PEOPLE = {
    "learning-curve": lambda home: learn(experiment(), base=home, cache=home),
    "tune-encoder": lambda home: tune_for(
        experiment(), base=home, output=home / "out", share=0.5, negatives=1, settings=Settings()
    ),
}


@pytest.mark.parametrize("verb", TAUGHT_BY_PEOPLE)
def test_what_learns_from_people_refuses_an_experiment_on_clicks(verb, tmp_path):
    with pytest.raises(ConfigError, match=f"ltr {verb} learns from people's judgments, and 'small-clicks' learns"):
        TAUGHT_BY_PEOPLE[verb](tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    {
        "no clicks": ({"simulation": None}, "clicks come from judgments.log or from"),
        "two logs": ({"judgments": {"source": "clicks", "log": "log.ndjson"}}, "give one of them"),
        "folds": ({"split": {"folds": 5}}, "leave out split.folds"),
        "a model that is none": ({"judgments": {"source": "clicks", "model": "pmb"}}, "did you mean 'pbm'"),
        "another library": ({"ranker": {"library": "linear"}}, "fitted on clicks by LightGBM"),
        "bots without a season": ({"simulation": {"bots": 0.1}}, "randomised and bots are of a season: set days"),
        "noise in a season": ({"simulation": {"days": 3, "noise": 0.2}}, "leave out noise or days"),
        "a cut without days": ({"judgments": {"source": "clicks", "features_until": 0.5}}, "set simulation.days"),
    }.values(),
    ids=["no clicks", "two logs", "folds", "a model that is none", "another library", "bots", "noise", "a cut"],
)
def test_what_cannot_be_is_refused(changes, message):
    table = {key: value for key, value in {**TABLE, **changes}.items() if value is not None}
    with pytest.raises(ConfigError, match=message):
        parse(table)


def test_features_learnt_from_people_are_refused(tmp_path):
    (tmp_path / "set.toml").write_text(
        'name = "learnt"\n[[feature]]\nname = "rate"\nkind = "judged_rate"\n', encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"'rate'.* learnt from people's judgments.*leave_out"):
        assemble(experiment(features={"set": "set.toml"}), base=tmp_path, cache=tmp_path)


def logged(tmp_path, *, judgments=""):
    """A shop's own log, one row a search with lists, by users of another kind, beside its catalogue."""
    from ltr.config import DataConfig
    from ltr.datasets.shop import build
    from ltr.simulation import Users, attraction_of, clicks

    shop = build(DataConfig(source="shop", size=300, queries=150))
    shown = (
        shop.judgments.join(shop.queries, on="query_id", maintain_order="left")
        .select("query_id", "query", "product_id", "grade", position=pl.int_range(1, pl.len() + 1).over("query_id"))
        .filter(pl.col("position") <= 12)
    )
    log = clicks(shown, attraction_of(shown["grade"], 4), users=Users("cascade", continuation=0.6), searches=20, seed=7)
    log.group_by("search_id", maintain_order=True).agg(
        pl.col("query").first().alias("q"),
        pl.col("shown_at").first().dt.epoch("ms").alias("ts"),
        pl.col("product_id").alias("hits"),
        pl.col("product_id").filter("clicked").alias("tapped"),
    ).write_ndjson(tmp_path / "log.jsonl")
    shop.products.select("product_id", "title", "description").write_csv(tmp_path / "products.csv")
    (tmp_path / "mapping.toml").write_text(
        'shape = "searches"\n[columns]\nquery = "q"\nproduct_id = "hits"\nclicked = "tapped"\nshown_at = "ts"\n'
    )
    (tmp_path / "features").mkdir()
    table = {
        **TABLE,
        "data": {"source": "files", "products": "products.csv"},
        "judgments": {
            "source": "clicks",
            "log": "log.jsonl",
            "mapping": "mapping.toml",
            "judge": "sdbn",
            "compare": ["sdbn"],
        },
        "candidates": {"from": "judgments"},
    }
    table.pop("simulation")
    return parse(table), shown


def test_a_log_of_another_make_and_no_judgment_is_enough(tmp_path):
    config, shown = logged(tmp_path)
    assembled = assemble(config, base=tmp_path, cache=tmp_path)
    assert not assembled.judged_by_people
    assert any("No person judged" in note for note in assembled.dataset.notes)
    done = trial(assembled, group=None)
    assert [row for row in done.labels if row in done.rounds] == ["naive", "ctr", "sdbn", "regression_em"]
    run = done.runs["retrieval"]
    texts = assembled.dataset.queries.join(run, on="query_id").select("query", "product_id", "rank")
    once = shown.filter(pl.col("query_id").n_unique().over("query") == 1)
    both = texts.join(once, on=["query", "product_id"])
    assert both.height > 100
    assert both["rank"].to_list() == both["position"].to_list()


def test_behaviour_without_a_log_is_refused_before_anything_is_loaded(tmp_path):
    table = {"name": "plain", "data": {"source": "shop"}, "features": {"set": "features/product_behavior.toml"}}
    with pytest.raises(
        ConfigError, match=r"counts what shoppers did, and this experiment has no log; set judgments.log"
    ):
        assemble(parse(table), base=tmp_path, cache=tmp_path)


def test_behaviour_beside_clicks_needs_a_cut(tmp_path):
    with pytest.raises(ConfigError, match=r"counts the clicks that are the grades, too; cut the log"):
        assemble(experiment(features={"set": "features/product_behavior.toml"}), base=tmp_path, cache=tmp_path)


def test_judgments_of_people_and_a_log_for_the_features_go_together(tmp_path):
    (tmp_path / "set.toml").write_text(
        'name = "counted"\n[[feature]]\nname = "cover"\nkind = "coverage"\nfield = "title"\n'
        '[[feature]]\nname = "clicked"\nkind = "rate"\ncorrected = true\n',
        encoding="utf-8",
    )
    made = assemble(
        experiment(features={"set": "set.toml"}, judgments={"source": "ratings"}), base=tmp_path, cache=tmp_path
    )
    assert made.clicks is None
    assert made.state.behaviour is not None
    assert made.pairs["clicked"].n_unique() > 10
