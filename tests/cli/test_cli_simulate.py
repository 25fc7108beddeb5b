"""``ltr simulate``: a log, whole or not at all, of the experiment's own data and orders."""

import json

import polars as pl
import pytest

from ltr.cli.application import invoke
from ltr.config import read_experiment
from ltr.errors import ConfigError, JudgmentError
from ltr.experiment.simulating import RANKERS, rankings
from ltr.frames import check
from ltr.simulation import Season

EXPERIMENT = """
name = "tiny"
[data]
source = "shop"
size = 300
queries = 40
[features]
set = "tiny.toml"
[candidates]
from = "{origin}"
depth = 30
[encoder]
model = "hashing"
"""
FEATURES = """
name = "tiny"
analyzer = "english"
[[feature]]
name = "title"
kind = "match"
field = "title"
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The directory of a small experiment, with a cache of its own."""
    home = tmp_path / "experiment"
    home.mkdir()
    (home / "experiment.toml").write_text(EXPERIMENT.format(origin="retrieval"), encoding="utf-8")
    (home / "tiny.toml").write_text(FEATURES, encoding="utf-8")
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    return home


def simulate(home, output, *more):
    return invoke(["simulate", str(home), "--searches", "300", "-o", str(output), *more])


def test_the_log_and_its_truth_are_written_and_counted(tiny, tmp_path, capsys):
    assert simulate(tiny, tmp_path / "log", "--users", "dbn", "--days", "3", "--page", "5", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    log = check(pl.read_parquet(tmp_path / "log" / "impressions"), "impressions")
    assert told == {
        "output": str(tmp_path / "log"),
        "users": "dbn",
        "rankers": ["retrieval", "flat"],
        "days": 3,
        "seed": 7,
        "searches": log["search_id"].n_unique(),
        "impressions": log.height,
        "clicks": log["clicked"].sum(),
        "add_to_carts": log["add_to_cart"].sum(),
        "purchases": log["purchase"].sum(),
        "randomised": log.filter(pl.col("propensity") < 1)["search_id"].n_unique(),
        "by_bots": told["by_bots"],
    }
    assert log["position"].max() == 5
    assert set(log["variant"]) == {"retrieval", "flat"}
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == [
        "impressions", "truth", "ubi_events.ndjson", "ubi_queries.ndjson",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "experiment", "log"]


def test_one_seed_is_one_log_and_another_is_another(tiny, tmp_path):
    for name, seed in {"one": "3", "two": "3", "other": "4"}.items():
        assert simulate(tiny, tmp_path / name, "--seed", seed) == 0
    one, two, other = ((tmp_path / name / "ubi_events.ndjson").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other


def test_a_person_is_told_what_was_made(tiny, tmp_path, capsys):
    simulate(tiny, tmp_path / "log", "--bots", "0", "--start", "2025-03-01", "--days", "1")
    told = capsys.readouterr().out
    assert "300 searches by pbm users" in told
    assert "searches by bots: 0" in told
    assert "truth/" in told
    assert [path.name for path in (tmp_path / "log" / "impressions").iterdir()] == ["2025-03-01-0000.parquet"]


def test_what_is_there_already_is_left_alone(tiny, tmp_path):
    (tmp_path / "log").mkdir()
    assert simulate(tiny, tmp_path / "log") == 0
    before = (tmp_path / "log" / "ubi_events.ndjson").read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        simulate(tiny, tmp_path / "log", "--seed", "9")
    assert (tmp_path / "log" / "ubi_events.ndjson").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        simulate(tiny, tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be made"):
        simulate(tiny, tmp_path / "file" / "log")


FAULTS = {
    "users": (["--users", "pmb"], "did you mean 'pbm'"),
    "searches": (["--searches", "0"], "0 searches"),
    "day": (["--start", "yesterday"], "'yesterday' is no day"),
    "page": (["--page", "0"], "page is 0"),
    "bots": (["--bots", "2"], "bots is 2"),
    "ranker": (["--ranker", "retreival"], "did you mean 'retrieval'"),
    "seed": (["--seed", "-1"], "seed is -1"),
    "experiment": (["--set", "data.size=none"], "size"),
}


@pytest.mark.parametrize(("options", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_sentence_and_leaves_nothing_behind(tiny, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        simulate(tiny, tmp_path / "log", *options)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "experiment"}


@pytest.fixture
def orders(tiny, tmp_path):
    """The experiment's production orders: (dataset, rankings)."""

    def make(names, *, origin="retrieval", overrides=None):
        from ltr import datasets

        (tiny / "experiment.toml").write_text(EXPERIMENT.format(origin=origin), encoding="utf-8")
        experiment = read_experiment(tiny / "experiment.toml", overrides=overrides)
        dataset = datasets.load(experiment.data, base=tiny)
        return dataset, rankings(experiment, dataset, names, base=tiny, cache=tmp_path)

    return make


def test_the_retrieval_order_is_the_one_that_training_meets(orders, tiny, tmp_path):
    from ltr.experiment.assemble import assemble

    for overrides in (None, ["retrieval.vector=title"]):
        _, found = orders(["retrieval"], overrides=overrides)
        config = read_experiment(tiny / "experiment.toml", overrides=overrides)
        run = assemble(config, base=tiny, cache=tmp_path).run
        assert (
            found["retrieval"]
            .select("query_id", "product_id", "rank")
            .equals(run.select("query_id", "product_id", "rank"))
        )


@pytest.mark.parametrize("origin", ["retrieval", "judgments"])
def test_every_order_is_a_run_and_no_two_are_the_same(orders, origin):
    _, found = orders(RANKERS, origin=origin)
    assert list(found) == list(RANKERS)
    for run in found.values():
        check(run, "run")
    assert len({tuple(run["product_id"]) for run in found.values()}) == 3


def test_the_popular_order_is_that_of_the_catalogue(orders):
    dataset, found = orders(["popularity"], origin="judgments")
    assert list(found) == ["popularity"]
    ranked = found["popularity"].join(
        dataset.products.select("product_id", "popularity"), on="product_id", how="left", maintain_order="left"
    )
    for _, rows in ranked.group_by("query_id"):
        known = rows["popularity"].drop_nulls()
        assert known.equals(known.sort(descending=True))
        assert rows["popularity"].head(len(known)).null_count() == 0


def test_an_order_that_cannot_be_says_so(orders, tiny):
    dataset, _ = orders(["retrieval"])
    poor = dataset.__class__(**{**dataset.__dict__, "fields": {"title": "text"}})
    config = read_experiment(tiny / "experiment.toml", overrides=None)
    with pytest.raises(ConfigError, match="does not say what is popular"):
        rankings(config, poor, ["popularity"], base=tiny, cache=tiny)
    with pytest.raises(ConfigError, match="no ranker is named"):
        rankings(config, dataset, [], base=tiny, cache=tiny)


def test_grades_off_the_named_scale_are_refused(tiny, tmp_path):
    with pytest.raises(JudgmentError, match="off scale 'binary'"):
        simulate(tiny, tmp_path / "log", "--set", "judgments.scale=binary")
    assert not (tmp_path / "log").exists()


def test_the_defaults_of_the_verb_are_those_of_a_season(tiny, tmp_path):
    import tomllib

    simulate(tiny, tmp_path / "log")
    asked = tomllib.loads((tmp_path / "log" / "truth" / "simulation.toml").read_text(encoding="utf-8"))
    usual = Season(days=7)
    assert asked["season"] == {name: getattr(usual, name) for name in asked["season"]}


def test_clicks_on_real_movies_follow_their_judgments(data_home, tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_DATA_HOME", str(data_home))
    (tmp_path / "experiment.toml").write_text(
        'name = "movies"\n[data]\nsource = "msrd"\n[features]\nset = "tiny.toml"\n'
    )
    (tmp_path / "tiny.toml").write_text(FEATURES)
    options = ["--abandonment", "0", "--bots", "0", "--randomised", "1", "--ranker", "retrieval"]
    invoke(["simulate", str(tmp_path), "--searches", "5000", "-o", str(tmp_path / "log"), *options])
    log = pl.read_parquet(tmp_path / "log" / "impressions")
    rates = log.filter(pl.col("position") <= 10).group_by("position").agg(pl.col("clicked").mean()).sort("position")
    ratio = (rates["clicked"] / rates["clicked"][0]).to_numpy()
    # A click rate of .5 at the top: the error of a ratio is below 4 · √(1/(5000 · .5) · 2 k) / k.
    assert all(abs(found - 1 / k) <= 4 * (2 * k / 2_500) ** 0.5 / k for k, found in enumerate(ratio, 1))
