import shutil

import polars as pl
import pytest

from ltr import bundle
from ltr.errors import BundleError, ConfigError
from ltr.experiment import retrain_without


@pytest.fixture
def again(small, tmp_path):
    """How to run it again: from a copy of its directory, since runs write beside experiment.toml."""
    (tmp_path / "experiment.toml").symlink_to(small[0] / "experiment.toml")
    (tmp_path / "features").symlink_to(small[0] / "features")
    return {"cache": small[0] / "cache", "bundles": tmp_path / "bundles", "base": tmp_path}


def test_the_experiment_of_a_bundle_runs_again_without_features_and_says_what_they_were_worth(small, again):
    home, result = small
    before = bundle.load(home / "bundles" / result.bundle.rpartition("/")[2])
    gone = [name for name in before.feature_set.names if "cosine" in name or "centroid" in name]
    assert gone
    reduced = retrain_without(before.path, gone, **again)
    after = bundle.load(again["bundles"] / reduced.result.bundle.rpartition("/")[2])
    assert set(after.feature_set.names) == set(before.feature_set.names) - set(gone)
    cost = reduced.cost
    means = [r.table.measures["lightgbm"]["nDCG@10"].mean for r in (result, reduced.result)]
    assert cost.difference == pytest.approx(means[1] - means[0])
    assert cost.low <= cost.difference <= cost.high
    assert cost.n == result.table.measures["lightgbm"]["nDCG@10"].n


def test_where_the_experiment_is_must_be_known(small, small_bundle, tmp_path):
    with pytest.raises(ConfigError, match="experiment 'small' is neither a name under experiments nor a path"):
        retrain_without(small_bundle, ["title_bm25"], cache=small[0] / "cache", bundles=tmp_path)


def test_what_is_no_feature_and_all_of_them_are_refused(small_bundle, again):
    with pytest.raises(ConfigError, match="'titel_bm25' is no feature; did you mean 'title_bm25'"):
        retrain_without(small_bundle, ["titel_bm25"], **again)
    with pytest.raises(ConfigError, match="nothing is left of feature set 'product_search'"):
        retrain_without(small_bundle, bundle.load(small_bundle).feature_set.names, **again)
    assert not again["bundles"].exists()


def test_a_bundle_without_its_results_cannot_say_what_it_costs(small_bundle, again, tmp_path):
    copy = shutil.copytree(small_bundle, tmp_path / "copy")
    (copy / "results" / "per_query.parquet").unlink()
    with pytest.raises(BundleError, match=r"per_query\.parquet cannot be read"):
        retrain_without(copy, ["title_bm25"], **again)
    pl.DataFrame({"other": [1]}).write_parquet(copy / "results" / "per_query.parquet")
    with pytest.raises(BundleError, match="does not say what it measured"):
        retrain_without(copy, ["title_bm25"], **again)
