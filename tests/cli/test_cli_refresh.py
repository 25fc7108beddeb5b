"""``ltr refresh``: files in, a renewed bundle and what moved out."""

import json
import shutil

import polars as pl
import pytest

from ltr import bundle
from ltr.cli.application import invoke
from ltr.errors import BundleError, BundleMismatchError, ConfigError, DataError, LtrError

SEARCHES = [("s1", "hat", ["p1", "p3"]), ("s2", "HAT", ["p3", "p4", "p1"])]
CLICKED = {("s1", "p1"), ("s2", "p4")}


@pytest.fixture
def path(counted_bundle, tmp_path):
    return shutil.copytree(counted_bundle, tmp_path / "bundle")


@pytest.fixture
def files(path, tmp_path):
    """Today's catalogue, and a log of two searches as UBI and as a table of one's own."""
    bundle.load(path).state.products.filter(pl.col("product_id") != "p0").write_csv(tmp_path / "products.csv")
    rows = []
    with (tmp_path / "log.ndjson").open("w") as stream:
        for search, query, shown in SEARCHES:
            common = {"query_id": search, "client_id": "c", "timestamp": "2024-02-10T10:00:00Z"}
            lines = [common | {"user_query": query, "query_response_hit_ids": shown}]
            for position, product in enumerate(shown, start=1):
                place = {"object": {"object_id": product}, "position": {"ordinal": position}}
                actions = ["impression", *(["click"] if (search, product) in CLICKED else [])]
                lines += [common | {"action_name": action, "event_attributes": place} for action in actions]
                rows.append((search, query, product, position, "2024-02-10T10:00:00Z", int("click" in actions)))
            stream.writelines(json.dumps(line) + "\n" for line in lines)
    names = ["list", "words", "sku", "place", "time", "hit"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(tmp_path / "log.csv")
    (tmp_path / "log.toml").write_text(
        'shape = "shown"\n[columns]\nsearch_id = "list"\nquery = "words"\nproduct_id = "sku"\nposition = "place"\n'
        'shown_at = "time"\nclicked = "hit"\n'
    )
    return tmp_path


@pytest.fixture
def ltr(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments):
        assert invoke([str(argument) for argument in arguments]) == 0
        return capsys.readouterr()

    return run


def test_a_refresh_tells_what_it_did_as_json(ltr, path, files):
    log = ["--log", files / "log.ndjson"]
    told = json.loads(ltr("refresh", path, "--products", files / "products.csv", *log, "--json").out)
    assert told["removed"] == {"count": 1, "examples": ["p0"]}
    assert told["as_of"] == ["2024-02-01", "2024-02-11"]
    assert told["counts"]["clicks"][1] == len(CLICKED)
    assert told["counts"]["impressions"][1] == sum(len(shown) for *_, shown in SEARCHES)
    assert told["queries"] == [3, 1], "hat and HAT are one"
    assert told["moved"][0]["feature"] == "clicked"
    assert told["log"], "what the log was like"
    assert not list((files / "cache").iterdir()), "nothing of the log is left"
    assert bundle.load(path).state.as_of == "2024-02-11"


def test_a_refresh_tells_what_it_did_in_sentences(ltr, path, files):
    out = ltr("refresh", path, "--products", files / "products.csv").out
    for sentence in (
        "24 → 23: 1 removed (such as p0)",
        "0 encoded, 23 as they were",
        "the state is state-2; ltr refresh",
    ):
        assert sentence in out
    assert "2024-02-01" in out
    assert "features by how far they moved" in out
    out = ltr("refresh", path, "--rollback").out
    assert "the state is that of 2024-02-01 again" in out
    assert len(bundle.load(path).state) == 24


def test_a_log_of_another_make_goes_through_a_mapping(ltr, path, files):
    ltr("refresh", path, "--log", files / "log.ndjson")
    expected = bundle.load(path).state.behaviour.totals
    shutil.rmtree(files / "cache")
    ltr("refresh", path, "--log", files / "log.csv", "--mapping", files / "log.toml")
    assert bundle.load(path).state.behaviour.totals == expected


def test_a_column_that_no_feature_reads_may_be_absent_with_a_warning(ltr, path, files):
    pl.read_csv(files / "products.csv").drop("colour").write_csv(files / "products.csv")
    told = ltr("refresh", path, "--products", files / "products.csv", "--json")
    assert "lacks colour, which no feature reads" in told.err


def test_a_rollback_tells_the_state_that_is_in_use(ltr, path, files):
    ltr("refresh", path, "--as-of", "2024-02-03")
    told = json.loads(ltr("refresh", path, "--rollback", "--json").out)
    assert (told["state"]["as_of"], told["state"]["directory"]) == ("2024-02-01", "state")


FAULTS = {
    "nothing": ([], ConfigError, "nothing to renew"),
    "a rollback to another": (
        ["--rollback", "--as-of", "2024-01-01"],
        ConfigError,
        "--rollback takes the state before",
    ),
    "a mapping of nothing": (
        ["--mapping", "x.toml", "--as-of", "2024-01-01"],
        ConfigError,
        "--mapping is given without",
    ),
    "no file": (["--products", "none.csv"], DataError, "none.csv"),
    "no log": (["--log", "none.ndjson"], DataError, "none.ndjson"),
    "no state before": (["--rollback"], BundleError, "no state before"),
    "no time": (["--as-of", "13 May"], DataError, "as_of = '13 May' is no time"),
}


@pytest.mark.parametrize(("options", "error", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_sentence_and_the_bundle_is_as_it_was(ltr, path, options, error, message):
    before = (path / "bundle.json").read_bytes()
    with pytest.raises(error, match=message):
        ltr("refresh", path, *options)
    assert issubclass(error, LtrError)
    assert (path / "bundle.json").read_bytes() == before
    bundle.load(path)


def test_a_catalogue_that_the_model_cannot_read_is_a_mismatch(ltr, path, files):
    pl.read_csv(files / "products.csv").drop("brand").write_csv(files / "products.csv")
    with pytest.raises(BundleMismatchError, match="has no brand; the model of"):
        ltr("refresh", path, "--products", files / "products.csv")


def test_a_refreshed_bundle_is_evaluated_on_another_catalogue_with_the_counts_it_has(ltr, path, files):
    ltr("refresh", path, "--products", files / "products.csv", "--log", files / "log.ndjson")
    (files / "judgments.csv").write_text("query,product_id,grade\nhat,p1,2\nhat,p3,0\nred shoe,p4,1\nred shoe,p6,0\n")
    how = ["--judgments", files / "judgments.csv", "--products", files / "products.csv"]
    assert json.loads(ltr("evaluate", path, *how, "--json").out)["measures"]["RR"]["mean"] > 0
