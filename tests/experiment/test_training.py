"""Training: what a run says, that nothing is lost when tracking fails, and that folds test every query once."""

import json
from pathlib import Path

import polars as pl
import pytest

from ltr import bundle, tracking
from ltr.config import compared, read_experiment
from ltr.errors import ConfigError, TrackingError
from ltr.experiment import train
from ltr.experiment.judged import evaluate_bundle


def again(home, *overrides, said=None):
    config = read_experiment(home / "experiment.toml", overrides=["ranker.rounds=10", *overrides])
    say = (lambda _text: None) if said is None else said.append
    return train(config, base=home, cache=home / "cache", bundles=home / "bundles", say=say)


def test_a_run_compares_each_row_with_the_retrieval_order_and_the_ranker_with_each_row(small):
    _, result = small
    rows = list(result.table.labels)
    assert rows[0] == "retrieval"
    assert rows[-1] == "lightgbm"
    assert [(each.ranker, each.baseline) for each in result.table.comparisons] == [
        (row, "retrieval") for row in rows[1:]
    ]
    assert [(each.ranker, each.baseline) for each in result.table.against] == [("lightgbm", row) for row in rows[1:-1]]
    assert all(each.p_holm >= each.p_value for each in (*result.table.comparisons, *result.table.against))
    assert sum(result.table.queries.values()) == 80


def test_the_result_is_beside_the_experiment_and_in_the_bundle(small):
    home, result = small
    told = json.loads((home / "results" / "last.json").read_text())
    kept = json.loads((Path(result.bundle) / "results" / "result.json").read_text())
    assert told["measures"] == kept["measures"] == json.loads(json.dumps(result.to_json()))["measures"]
    assert told["bundle"] == result.bundle


def test_one_seed_makes_one_ranker(small):
    home, _ = small
    first, second = again(home), again(home)
    text = [(Path(run.bundle) / "model/ranker/ranker.txt").read_text() for run in (first, second)]
    assert text[0] == text[1]
    assert first.table.measures == second.table.measures


def test_readings_of_a_test_side_are_counted_for_each_side(small):
    home, _ = small
    before = again(home).test_reads
    assert again(home).test_reads == before + 1
    assert again(home, "split.seed=99").test_reads == 1


def test_folds_test_every_query_once_and_keep_a_ranker_of_all(small):
    home, _ = small
    result = again(home, "split.folds=4")
    per_query = pl.read_parquet(Path(result.bundle) / "results" / "per_query.parquet")
    counted = per_query.group_by("ranker").agg(pl.col("query_id").n_unique().alias("n"), pl.len().alias("rows"))
    assert counted.filter((pl.col("n") != 80) | (pl.col("rows") != 80)).is_empty()
    assert result.table.queries["test"] == 80
    bundle.load(Path(result.bundle))


def test_refitting_on_fit_and_dev_keeps_the_rounds_and_changes_the_forest(small):
    home, _ = small
    once, again_on_both = again(home), again(home, "ranker.refit=true")
    assert again_on_both.rounds == once.rounds
    text = [(Path(run.bundle) / "model/ranker/ranker.txt").read_text() for run in (once, again_on_both)]
    assert text[0].count("Tree=") == text[1].count("Tree=")
    assert text[0] != text[1]


def test_a_further_split_is_a_further_table(small):
    home, _ = small
    result = again(home, 'split.also=["intent"]')
    assert result.also["intent"].labels.keys() == result.table.labels.keys()


def test_a_tracking_server_that_is_down_loses_nothing_and_the_run_is_logged_later(small, tmp_path):
    home, _ = small
    said = []
    result = again(home, "tracking.uri=http://user:hunter2@127.0.0.1:9", said=said)
    assert result.run_id is None
    (sentence,) = [text for text in said if text.startswith("not tracked")]
    assert f"ltr track {result.bundle}" in sentence
    assert "hunter2" not in sentence + json.dumps(result.to_json())
    run_id = tracking.log_bundle(Path(result.bundle), uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert len(run_id) == 32


def test_secrets_of_a_tracking_server_are_not_kept_in_the_bundle(small):
    home, _ = small
    result = again(home, "tracking.uri=http://user:hunter2@127.0.0.1:9")
    kept = [path for path in Path(result.bundle).rglob("*.json") if "hunter2" in path.read_text(encoding="utf-8")]
    assert kept == []


def test_a_bundle_without_a_record_cannot_be_tracked(tmp_path):
    with pytest.raises(TrackingError, match="name the directory of a bundle"):
        tracking.log_bundle(tmp_path, uri="sqlite://")


def test_further_rankers_are_fitted_on_the_same_pairs_and_corrected_together(small):
    home, _ = small
    config = read_experiment(home / "experiment.toml", overrides=["ranker.rounds=10"])
    config = compared(config, ["lightgbm", "xgboost", "linear"])
    result = train(config, base=home, cache=home / "cache", bundles=home / "bundles")
    assert list(result.table.labels)[-3:] == ["xgboost", "linear", "lightgbm"]
    assert result.table.labels["linear"] == "linear ndcg"
    assert {each.baseline for each in result.table.against} >= {"xgboost", "linear"}
    assert result.fitted.keys() == {"xgboost", "linear", "lightgbm"}
    # The bundle's ranker, and its figures, are those of an experiment that compares nothing.
    alone = again(home)
    assert alone.table.measures["lightgbm"] == result.table.measures["lightgbm"]
    kept = [(Path(run.bundle) / "model/ranker/ranker.txt").read_text() for run in (alone, result)]
    assert kept[0] == kept[1]


def test_a_row_of_ones_own_is_compared_under_its_name(small):
    home, _ = small
    result = again(home, 'compare.small.library="lightgbm"', "compare.small.num_leaves=3", "compare.small.rounds=5")
    assert result.table.labels["small"] == "small: LightGBM lambdarank"
    assert result.fitted["small"]["rounds"] <= 5


@pytest.mark.parametrize("library", ["xgboost", "linear"])
def test_any_library_is_saved_and_evaluated_like_lightgbm(small, library):
    home, _ = small
    result = again(home, f"ranker.library={library}")
    assert list(result.table.labels)[-1] == library
    assert bundle.load(Path(result.bundle)).ranker.features == bundle.load(Path(result.bundle)).feature_set.names


def test_seeds_are_averaged_into_one_ranker(small):
    home, _ = small
    result = again(home, "ranker.seeds=3")
    assert result.table.measures["lightgbm"] != again(home).table.measures["lightgbm"]
    loaded = bundle.load(Path(result.bundle))
    assert loaded.ranker.features == loaded.feature_set.names


def test_repeated_folds_average_each_query_and_keep_it_once(small):
    home, _ = small
    result = again(home, "split.folds=4", "split.repeats=2")
    per_query = pl.read_parquet(Path(result.bundle) / "results" / "per_query.parquet")
    assert per_query.group_by("ranker").len()["len"].to_list() == [80] * len(result.table.labels)
    assert result.table.queries["test"] == 80
    once = [again(home, "split.folds=4", f"split.seed={seed}").table.measures["lightgbm"]["RR"].mean for seed in (7, 8)]
    assert result.table.measures["lightgbm"]["RR"].mean == pytest.approx(sum(once) / 2)


def test_features_made_elsewhere_are_fitted_and_evaluated_without_a_feature_set(tmp_path, data_home):
    home = tmp_path / "svmlight"
    home.mkdir()
    (home / "experiment.toml").write_text(
        'name = "svmlight"\n[data]\nsource = "svmlight"\njudgments = "rank.train"\ntest = "rank.test"\n'
        f'path = "{data_home / "svmlight-rank"}"\n'
        '[split]\nby = "given"\n[evaluation]\nmeasures = ["nDCG@3"]\n[tracking]\nuri = ""\n',
        encoding="utf-8",
    )
    result = again(home)
    assert result.table.queries == {"fit": 181, "dev": 20, "test": 50}
    evaluated = evaluate_bundle(Path(result.bundle), data_home / "svmlight-rank" / "rank.test")
    assert evaluated.table.measures["lightgbm"]["nDCG@3"] == result.table.measures["lightgbm"]["nDCG@3"]
    assert evaluated.table.measures["retrieval"]["nDCG@3"] == result.table.measures["retrieval"]["nDCG@3"]
    with pytest.raises(ConfigError, match="leave out --products"):
        evaluate_bundle(Path(result.bundle), data_home / "svmlight-rank" / "rank.test", products=home / "products.csv")


def test_another_bundles_score_is_a_feature_and_the_bundle_needs_no_other(small, tmp_path):
    home, first = small
    mapped = 'transfer.fields={description="title"}'
    result = again(home, f'transfer.bundle="{first.bundle}"', mapped, "features.set=features/lexical.toml")
    loaded = bundle.load(Path(result.bundle))
    assert "transfer" in loaded.ranker.importance()
    assert loaded.ranker.features == loaded.feature_set.names
    judged = tmp_path / "judged.csv"
    judged.write_text(
        "query,product_id,grade\n"
        + "\n".join(f"red dress,{p},{i % 3}" for i, p in enumerate(loaded.state.products["product_id"].head(6)))
    )
    assert evaluate_bundle(Path(result.bundle), judged).table.measures["lightgbm"]["nDCG@10"].n == 1
    with pytest.raises(ConfigError, match="was fitted with encoder 'hashing'"):
        again(home, f'transfer.bundle="{first.bundle}"', mapped, "encoder.model=other")


def test_features_learnt_from_judgments_are_kept_with_the_bundle_and_told_where_they_flatter(small, tmp_path):
    home, _ = small
    (home / "learnt.toml").write_text(
        'name = "learnt"\n[[feature]]\nname = "title_bm25"\nkind = "bm25"\nfield = "title"\n'
        '[[feature]]\nname = "rate"\nkind = "judged_rate"\nalso = ["relative"]\n'
        '[[feature]]\nname = "alike"\nkind = "judged_neighbours"\nby = "ngram"\n'
    )
    result = again(home, "features.set=learnt.toml", "ranker.refit=true")
    loaded = bundle.load(Path(result.bundle))
    assert loaded.memory is loaded.memory
    assert loaded.judged.vectors.shape[1] == 0  # nothing of this set compares queries' meanings
    parts = loaded.judged.queries.height
    assert parts == result.table.queries["fit"] + result.table.queries["dev"]
    seen = loaded.judged.queries["query"][0]
    judged = tmp_path / "judged.csv"
    judged.write_text(
        "query,product_id,grade\n"
        + "\n".join(f"{seen},{p},{i % 3}" for i, p in enumerate(loaded.state.products["product_id"].head(6)))
    )
    evaluated = evaluate_bundle(Path(result.bundle), judged)
    assert "1 of 1 queries were fitted on: their figures flatter the ranker" in evaluated.warnings
    folded = again(home, "features.set=learnt.toml", "split.folds=4")
    assert bundle.load(Path(folded.bundle)).judged.queries.height == 80
