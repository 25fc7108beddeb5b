"""Bundles: whole or not at all, verified, and the same order after loading."""

import errno
import json
import os
import shutil
from dataclasses import replace

import polars as pl
import pytest

from ltr import bundle
from ltr.errors import BundleError, BundleMismatchError


@pytest.fixture
def copy(small_bundle, tmp_path):
    return shutil.copytree(small_bundle, tmp_path / "copy")


@pytest.fixture(scope="module")
def loaded(small_bundle):
    return bundle.load(small_bundle)


def lists(loaded, *queries, depth=20):
    frame = pl.DataFrame({"query_id": [f"q{i}" for i, _ in enumerate(queries)], "query": list(queries)})
    return loaded.retriever().retrieve(frame, depth=depth).join(frame, on="query_id", maintain_order="left")


def test_a_loaded_bundle_orders_the_test_lists_as_training_did(loaded, small_bundle):
    runs = pl.read_parquet(small_bundle / "results" / "runs.parquet")
    trained = runs.filter(pl.col("ranker") == "lightgbm").drop("ranker")
    queries = pl.read_parquet(small_bundle / "results" / "per_query.parquet").select("query_id", "query").unique()
    queries = queries.join(trained, on="query_id", how="semi").sort("query_id")
    candidates = loaded.retriever().retrieve(queries, depth=30).join(queries, on="query_id", maintain_order="left")
    again = bundle.rerank(loaded, candidates)
    assert again.select("query_id", "product_id", "rank").equals(trained.select("query_id", "product_id", "rank"))
    assert again["score"].equals(trained["score"])


def test_reranking_returns_every_candidate_once(loaded):
    candidates = lists(loaded, "red shoes", "black dress")
    again = bundle.rerank(loaded, candidates)
    pairs = ["query_id", "product_id"]
    assert again.select(pairs).sort(pairs).equals(candidates.select(pairs).sort(pairs))


def test_a_list_does_not_depend_on_its_neighbours(loaded):
    both, alone = lists(loaded, "red shoes", "black dress"), lists(loaded, "red shoes")
    first = bundle.rerank(loaded, both).filter(pl.col("query_id") == "q0")
    assert first.equals(bundle.rerank(loaded, alone))


def test_unknown_products_are_ranked_too(loaded):
    candidates = lists(loaded, "red shoes", depth=3)
    stranger = candidates.head(1).with_columns(product_id=pl.lit("no such product"))
    again = bundle.rerank(loaded, pl.concat([candidates, stranger]))
    assert again.height == candidates.height + 1


def test_with_a_cache_no_text_is_encoded_twice_and_the_order_is_the_same(loaded, small_bundle, tmp_path):
    candidates = lists(loaded, "red shoes")
    once = bundle.rerank(bundle.load(small_bundle, cache=tmp_path), candidates)
    assert once.equals(bundle.rerank(loaded, candidates))
    (kept,) = (tmp_path / "vectors").iterdir()
    size = sum(file.stat().st_size for file in kept.iterdir())
    assert once.equals(bundle.rerank(bundle.load(small_bundle, cache=tmp_path), candidates))
    assert sum(file.stat().st_size for file in kept.iterdir()) == size > 0


def change(path, **fields):
    manifest = json.loads((path / "bundle.json").read_text()) | fields
    (path / "bundle.json").write_text(json.dumps(manifest))


def truncate(path):
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


DAMAGE = {
    "a truncated ranker": (lambda p: truncate(p / "model/ranker/ranker.txt"), "ranker.txt is not what was saved"),
    "a changed experiment": (lambda p: (p / "model/experiment.json").write_text("{}"), "experiment.json is not what"),
    "a missing file": (lambda p: (p / "model/catalogue.json").unlink(), "catalogue.json is missing"),
    "a file too many": (lambda p: (p / "state/more").write_text("x"), "state/more is not what was saved"),
    "a newer format": (lambda p: change(p, format=99), "format 99; this ltr reads 1 to 1.*upgrade"),
    "no format": (lambda p: change(p, format="1"), "format '1'"),
    "a part out of place": (lambda p: change(p, files={"../model": {}}), "unknown part '../model'"),
    "no parts": (lambda p: change(p, files={}), "names no files"),
    "files that are a list": (lambda p: change(p, files=[1]), "names no files"),
    "a part that is a number": (
        lambda p: change(p, files={"model": {}, "state": 3}),
        "does not list the files of state",
    ),
    "a part that is not listed": (lambda p: change(p, files={"model": {}}), "does not list the files of state"),
    "a manifest that is not JSON": (lambda p: (p / "bundle.json").write_text("{"), "bundle.json cannot be read"),
    "a manifest of another shape": (lambda p: (p / "bundle.json").write_text("[]"), "is not a JSON object"),
    "no manifest": (lambda p: (p / "bundle.json").unlink(), "holds no bundle.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bundle_is_refused_with_its_reason(damage, copy):
    harm, message = DAMAGE[damage]
    harm(copy)
    with pytest.raises(BundleError, match=message):
        bundle.load(copy)


def test_what_is_no_directory_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is not a directory"):
        bundle.load(tmp_path / "none")


def saved(loaded, parent, name="again", results=lambda _directory: None):
    return bundle.save(
        parent,
        name,
        experiment=loaded.experiment,
        facts=loaded.facts,
        feature_set=loaded.feature_set,
        ranker=loaded.ranker,
        state=loaded.state,
        encoder=loaded.encoder,
        judged=loaded.judged,
        created="2026-01-01T00:00:00+00:00",
        results=results,
    )


def test_two_bundles_of_one_name_stand_side_by_side(loaded, tmp_path):
    first, second = saved(loaded, tmp_path), saved(loaded, tmp_path)
    assert (first.name, second.name) == ("again", "again-2")
    assert bundle.load(second).feature_set == loaded.feature_set


def full_disk(_directory):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(_directory):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("fault", "error"), [(full_disk, BundleError), (interrupted, KeyboardInterrupt)])
def test_a_save_that_fails_leaves_nothing_and_earlier_bundles_as_they_were(fault, error, loaded, tmp_path):
    first = saved(loaded, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(error):
        saved(loaded, tmp_path, results=fault)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    bundle.load(first)


def test_a_full_disk_says_what_to_do(loaded, tmp_path):
    with pytest.raises(BundleError, match="No space left on device; free some space"):
        saved(loaded, tmp_path, results=full_disk)


def full_disk_in_polars(_directory):
    raise pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)")


def test_a_full_disk_that_polars_meets_is_a_full_disk_too(loaded, tmp_path):
    with pytest.raises(BundleError, match=r"No space left on device.*; free some space"):
        saved(loaded, tmp_path, results=full_disk_in_polars)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_state_is_not_taken_for_none(loaded):
    from ltr.features import state as states

    nothing = states.build(
        loaded.state.products.clear(), loaded.feature_set, fields=loaded.facts.fields, encoder=loaded.encoder
    )
    candidates = lists(loaded, "red shoes", depth=5)
    empty = bundle.rerank(loaded, candidates, state=nothing)
    assert not empty["score"].equals(bundle.rerank(loaded, candidates)["score"])


def test_a_place_that_cannot_be_written_is_named(loaded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot write under"):
        saved(loaded, tmp_path / "file")


def test_a_state_of_another_catalogue_is_a_mismatch_naming_both_sides(loaded, tmp_path):
    fewer = {name: kind for name, kind in loaded.facts.fields.items() if name != "stock"}
    path = saved(replace(loaded, facts=replace(loaded.facts, fields=fewer)), tmp_path)
    with pytest.raises(BundleMismatchError, match=r"the state holds .*'stock'.*the model was fitted on"):
        bundle.load(path)


def test_a_ranker_of_other_features_is_a_mismatch(loaded, tmp_path):
    fewer = (
        replace(loaded.feature_set, features=loaded.feature_set.features[:-1])
        if hasattr(loaded.feature_set, "__dataclass_fields__")
        else loaded.feature_set.model_copy(update={"features": loaded.feature_set.features[:-1]})
    )
    path = saved(replace(loaded, feature_set=fewer), tmp_path)
    with pytest.raises(BundleMismatchError, match="the ranker has"):
        bundle.load(path)
