"""Refreshing a bundle: a new state under the same model, whole or not at all, and what moved."""

import errno
import json
import os
import shutil
from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr import bundle, bundle_state
from ltr.errors import BundleError, BundleMismatchError, ConfigError, DataError
from ltr.features import compute, state
from ltr.features.state import State
from ltr.refresh import refresh, stability

NOW = "2024-03-01T03:00:00+00:00"
LOG = pl.DataFrame(
    {
        "query": ["hat", "hat", "scarf", "hat"],
        "product_id": ["p1", "p3", "new", "p1"],
        "position": [1, 2, 1, 1],
        "clicked": [True, False, True, False],
        "purchase": [True, False, False, False],
        "shown_at": [datetime(2024, 2, day, 12, tzinfo=UTC) for day in (3, 3, 20, 25)],
    }
).lazy()


@pytest.fixture
def path(counted_bundle, tmp_path):
    return shutil.copytree(counted_bundle, tmp_path / "bundle")


@pytest.fixture
def catalogue(path, tmp_path):
    """A file of today's products: one has gone, one has come, one has another price, one another title."""
    products = bundle.load(path).state.products
    today = products.filter(pl.col("product_id") != "p0").with_columns(
        price=pl.when(pl.col("product_id") == "p5").then(99.0).otherwise("price"),
        title=pl.when(pl.col("product_id") == "p6").then(pl.lit("warm scarf")).otherwise("title"),
    )
    new = pl.DataFrame(
        {"product_id": ["new"], "title": ["red scarf"], "brand": ["Ace"], "price": [5.0], "colour": ["any"]}
    )
    file = tmp_path / "products.csv"
    pl.concat([today, new]).sample(fraction=1, shuffle=True, seed=7).write_csv(file)
    return file


def values(loaded, query="hat", ids=("p1", "p3", "p5", "new", "p0")):
    found = compute.online(query, list(ids), loaded.feature_set, loaded.state, encoder=loaded.encoder)
    return found.view(np.uint32).tolist()


def listing(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def test_a_refresh_serves_todays_products_under_the_same_model(path, catalogue):
    before = bundle.load(path)
    model = {file: file.read_bytes() for file in (path / "model").rglob("*") if file.is_file()}
    done = refresh(path, products=catalogue, renewed=NOW)
    after = bundle.load(path)
    assert after.state.rows(["p0", "new"])[0] == -1 != after.state.rows(["new"])[0]
    assert (done.added, done.removed, done.changed) == (("new",), ("p0",), ("p5", "p6"))
    assert done.products == (24, 24)
    assert done.version == (before.state.version, after.state.version)
    assert {file: file.read_bytes() for file in model} == model
    told = json.loads((path / "bundle.json").read_text())["state"]
    assert told == {"version": after.state.version, "as_of": "2024-02-01", "directory": "state-2", "renewed": NOW}
    candidates = pl.DataFrame({"query_id": "q", "query": "scarf", "product_id": ["p1", "new", "p0"]})
    assert bundle.rerank(after, candidates).height == 3
    assert "new" in after.retriever().retrieve(candidates.head(1).select("query_id", "query"), depth=3)["product_id"]


def test_only_texts_that_are_new_are_encoded(path, catalogue):
    before = bundle.load(path)
    done = refresh(path, products=catalogue, renewed=NOW)
    assert (done.encoded, done.reused) == (2, 22)
    after = bundle.load(path)
    whole = after.encoder.encode(after.state.products["title"].to_list())
    np.testing.assert_array_equal(after.state.vectors["title"], whole)
    assert refresh(path, as_of="2024-02-05", renewed=NOW).encoded == 0
    assert before.state.schema == after.state.schema


def test_the_counts_are_those_of_the_log_and_the_time_the_day_after_its_last(path, catalogue):
    loaded = bundle.load(path)
    done = refresh(path, products=catalogue, impressions=LOG, renewed=NOW)
    assert done.as_of == ("2024-02-01", "2024-02-26")
    assert done.counts["clicks"] == (loaded.state.behaviour.totals["clicks"], 2)
    assert done.counts["purchases"] == (loaded.state.behaviour.totals["purchases"], 1)
    assert done.queries == (3, 2)
    after = bundle.load(path)
    fresh = state.build(
        after.state.products, loaded.feature_set, fields=loaded.facts.fields, encoder=loaded.encoder,
        as_of="2024-02-26", impressions=LOG, examination=1 / np.arange(1, 9),
    )  # fmt: skip
    assert fresh.version == after.state.version, "the examination is that of the model's state"
    assert values(after) != values(loaded)


def test_a_clock_that_runs_ahead_does_not_empty_the_windows(path):
    ahead = LOG.with_columns(
        shown_at=pl.col("shown_at") + pl.when(pl.col("clicked")).then(0).otherwise(900) * pl.duration(days=1)
    )
    assert refresh(path, impressions=ahead, renewed=NOW).as_of[1] == "2024-02-21"
    later = LOG.with_columns(pl.col("shown_at") + pl.duration(days=900))
    assert refresh(path, impressions=later, renewed=NOW).as_of[1] == "2026-08-14", "a log of another time altogether"


def test_without_a_log_the_counts_stay_and_find_their_products(path, catalogue):
    before = bundle.load(path)
    done = refresh(path, products=catalogue, renewed=NOW)
    after = bundle.load(path)
    assert after.state.behaviour.digest == before.state.behaviour.digest
    assert all(was == now for was, now in done.counts.values())
    at = before.feature_set.names.index("clicked")
    ids = ["p1", "p3", "p5"]
    assert [row[at] for row in values(after, ids=ids)] == [row[at] for row in values(before, ids=ids)]


def test_a_later_time_moves_the_windows(path):
    before = values(bundle.load(path))
    done = refresh(path, as_of="2024-02-20", renewed=NOW)
    assert done.as_of == ("2024-02-01", "2024-02-20")
    assert values(bundle.load(path)) != before


def test_what_moved_is_told_the_most_first(path, catalogue):
    done = refresh(path, products=catalogue, impressions=LOG, renewed=NOW)
    names = [each.feature for each in done.moved]
    assert names == ["clicked", "price"], "features that a query alone decides are not compared"
    assert done.moved[0].psi > done.moved[1].psi > 0
    price = done.moved[1]
    assert price.before == pytest.approx(np.mean([10 + at for at in range(24)]))
    assert price.after == pytest.approx(np.mean([10 + at for at in range(24) if at not in (0, 5)] + [99, 5]))
    told = done.to_json()
    assert told["added"] == {"count": 1, "examples": ["new"]}
    json.dumps(told)


def test_a_rollback_takes_the_state_before_and_can_be_taken_back(path, catalogue):
    orders = [values(bundle.load(path))]
    refresh(path, products=catalogue, impressions=LOG, renewed=NOW)
    orders.append(values(bundle.load(path)))
    assert bundle_state.roll_back(path)["as_of"] == "2024-02-01"
    assert values(bundle.load(path)) == orders[0]
    assert bundle_state.roll_back(path)["as_of"] == "2024-02-26"
    assert values(bundle.load(path)) == orders[1]


def test_two_states_are_kept_and_no_more(path, catalogue):
    for day in ("2024-02-02", "2024-02-03", "2024-02-04"):
        refresh(path, products=catalogue, as_of=day, renewed=NOW)
        bundle.load(path)
    states = sorted(each.name for each in path.iterdir() if "state" in each.name)
    manifest = json.loads((path / "bundle.json").read_text())
    assert states == sorted([manifest["state"]["directory"], manifest["previous"]["directory"]])
    assert bundle_state.roll_back(path)["as_of"] == "2024-02-03"
    refresh(path, as_of="2024-02-09", renewed=NOW)
    assert bundle_state.roll_back(path)["as_of"] == "2024-02-03"


def failing(held, error):
    """The state, whose disk is full (or whose user is impatient) once half of it is written."""

    class Failing(State):
        def save(self, directory):
            super().save(directory)
            for file in list(directory.iterdir())[:2]:
                (shutil.rmtree if file.is_dir() else os.unlink)(file)
            raise error

    return Failing(**{each.name: getattr(held, each.name) for each in fields(State) if not each.name.startswith("_")})


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FULL_IN_POLARS = pl.exceptions.ComputeError("No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(FULL, BundleError), (FULL_IN_POLARS, BundleError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["full disk", "full disk that polars meets", "Ctrl-C"],
)
def test_a_refresh_that_fails_leaves_the_bundle_as_it_was(path, error, expected):
    loaded = bundle.load(path)
    before, bytes_ = listing(path), (path / "bundle.json").read_bytes()
    with pytest.raises(expected, match="No space left on device; the bundle is as it was" if error is FULL else None):
        bundle_state.renew(loaded, failing(loaded.state, error), renewed=NOW)
    assert listing(path) == before
    assert (path / "bundle.json").read_bytes() == bytes_
    assert values(bundle.load(path)) == values(loaded)


def test_what_a_crash_left_harms_nothing_and_is_tidied_by_the_next(path):
    for name in ("state-2", ".state-abc"):
        (path / name).mkdir()
        (path / name / "products.parquet").write_bytes(b"PAR1")
    bundle.load(path)
    assert refresh(path, as_of="2024-02-02", renewed=NOW).as_of[1] == "2024-02-02"
    assert not (path / ".state-abc").exists()
    assert {each.name for each in path.glob("state*")} == {"state", "state-2"}
    bundle.load(path)


def test_a_state_that_was_loaded_stays_while_two_more_are_written(path):
    loaded = bundle.load(path)
    before = values(loaded, query="red shoe")
    for day in ("2024-02-02", "2024-02-03"):
        refresh(path, as_of=day, renewed=NOW)
    assert not (path / "state").exists()
    assert values(loaded, query="red shoe") == before


def test_two_refreshes_do_not_write_at_once(path):
    with bundle_state._alone(path), pytest.raises(BundleError, match="being renewed by another process; wait for it"):
        refresh(path, as_of="2024-02-02", renewed=NOW)
    refresh(path, as_of="2024-02-02", renewed=NOW)


def test_a_model_that_changed_meanwhile_is_a_mismatch(path):
    loaded = bundle.load(path)
    (path / "model" / "ranker" / "more").write_text("x")
    with pytest.raises(BundleMismatchError, match="its files have changed; refresh again"):
        bundle_state.renew(loaded, loaded.state, renewed=NOW)


def test_a_catalogue_without_what_the_model_reads_is_a_mismatch_naming_both_sides(path, catalogue):
    pl.read_csv(catalogue).drop("brand", "price").write_csv(catalogue)
    with pytest.raises(
        BundleMismatchError, match=r"products.csv has no brand, price; the model of .* reads brand, price, title; add"
    ):
        refresh(path, products=catalogue, renewed=NOW)


def test_a_state_of_another_schema_is_a_mismatch_naming_both_sides(path):
    loaded = bundle.load(path)
    other = state.build(
        loaded.state.products, loaded.feature_set.part(["price"]), fields=loaded.facts.fields, encoder=None
    )
    with pytest.raises(
        BundleMismatchError, match=r"reads numbers of price, tokens of title.* holds numbers of price \("
    ):
        bundle_state.renew(loaded, other, renewed=NOW)
    uncounted = state.build(
        loaded.state.products, loaded.feature_set, fields=loaded.facts.fields, encoder=loaded.encoder
    )
    with pytest.raises(BundleMismatchError, match="the state has counted none"):
        bundle_state.renew(loaded, uncounted, renewed=NOW)


NOTHING = {
    "nothing": ({}, ConfigError, "there is nothing to renew; give --products, --log or both"),
    "no time": ({"as_of": "soon"}, DataError, "as_of = 'soon' is no time"),
    "an empty log": ({"impressions": LOG.head(0)}, ConfigError, "the log has no impression"),
}


@pytest.mark.parametrize(("given", "error", "message"), NOTHING.values(), ids=NOTHING.keys())
def test_a_refresh_of_nothing_is_refused(path, given, error, message):
    with pytest.raises(error, match=message):
        refresh(path, **given, renewed=NOW)


def test_a_log_that_no_feature_reads_is_refused(small_bundle):
    with pytest.raises(ConfigError, match=r"no feature of .* reads a log; leave out --log"):
        refresh(small_bundle, impressions=LOG, renewed=NOW)


def test_a_bundle_that_was_never_refreshed_has_no_state_before(path):
    with pytest.raises(BundleError, match="has no state before its own; refresh it first"):
        bundle_state.roll_back(path)


def test_a_damaged_state_before_is_not_taken(path):
    refresh(path, as_of="2024-02-02", renewed=NOW)
    (path / "state" / "products.parquet").write_bytes(b"PAR1")
    with pytest.raises(BundleError, match=r"state/products.parquet is not what was saved"):
        bundle_state.roll_back(path)
    bundle.load(path)


def test_a_bundle_whose_counts_have_gone_is_a_mismatch(path):
    loaded = bundle.load(path)
    shutil.rmtree(path / "state" / "behaviour")
    manifest = json.loads((path / "bundle.json").read_text())
    files = manifest["files"]["state"]
    manifest["files"]["state"] = {name: digest for name, digest in files.items() if not name.startswith("behaviour/")}
    (path / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(
        BundleMismatchError, match=r"has features of behaviour, \['clicked', .*the state has counted none"
    ):
        bundle.load(path)
    assert loaded.state.behaviour is not None


def test_a_manifest_cannot_name_a_state_outside_the_bundle(path):
    manifest = json.loads((path / "bundle.json").read_text())
    for name in ("../state", "/tmp", "", 3, "state-2/.."):
        manifest["state"]["directory"] = name
        (path / "bundle.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError, match=r"bundle.json names a state"):
            bundle.load(path)


def test_a_bundle_of_an_earlier_ltr_names_no_directory(path):
    manifest = json.loads((path / "bundle.json").read_text())
    del manifest["state"]["directory"]
    (path / "bundle.json").write_text(json.dumps(manifest))
    bundle.load(path)
    refresh(path, as_of="2024-02-02", renewed=NOW)
    assert bundle_state.roll_back(path)["directory"] == "state"


floats = st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=60)


@given(floats, floats, st.randoms(use_true_random=False))
def test_stability_is_nothing_for_the_same_values_and_never_less(before, after, random):
    was, now = np.array(before, dtype=np.float32), np.array(after, dtype=np.float32)
    random.shuffle(before)
    assert stability(was, np.array(before, dtype=np.float32)) == 0
    assert 0 <= stability(was, now) < 20


def test_stability_is_that_of_its_formula():
    before, after = np.repeat([0.0, 1.0], 50).astype(np.float32), np.repeat([0.0, 1.0], [20, 80]).astype(np.float32)
    assert stability(before, after) == pytest.approx((0.2 - 0.5) * np.log(0.2 / 0.5) + (0.8 - 0.5) * np.log(0.8 / 0.5))
    gone = np.where(np.arange(100) < 10, np.nan, before).astype(np.float32)
    expected = (0.4 - 0.5) * np.log(0.4 / 0.5) + (0.1 - 0.0001) * np.log(0.1 / 0.0001)
    assert stability(before, gone) == pytest.approx(expected)
