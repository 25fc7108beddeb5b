"""``ltr judge``, ``ltr propensity`` and ``ltr agreement``: from a log to a table, and one sentence for a fault."""

import json

import numpy as np
import polars as pl
import pytest
import typer
from typer.main import get_command

from ltr.cli.agreement import agreement
from ltr.cli.judge import judge
from ltr.cli.propensity import propensity
from ltr.datasets.files import read_judgments
from ltr.errors import ConfigError, DataError, JudgmentError
from ltr.judgments import PBM
from ltr.judgments.priors import FittedPrior

CURVE = 1 / np.arange(1, 6)
WORDS = ("red", "blue", "green", "black", "white", "small", "large", "soft", "warm", "light")


@pytest.fixture
def ltr(capsys, monkeypatch, tmp_path):
    """Run the verbs as the command line does; returns standard output and standard error."""
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    app = typer.Typer(rich_markup_mode=None)
    for verb in (judge, propensity, agreement):
        app.command(verb.__name__)(verb)

    def run(*arguments):
        get_command(app).main([str(argument) for argument in arguments], prog_name="ltr", standalone_mode=False)
        return capsys.readouterr()

    return run


def log_of(directory, rankings, searches=6_000):
    """Impressions of a shop whose products are attractive where their title has the query's word; and the catalogue."""
    rng = np.random.default_rng(7)
    titles = [" ".join(rng.permutation(WORDS)[:3]) for _ in range(60)]
    attraction = np.array([[0.7 if word in title.split() else 0.1 for title in titles] for word in WORDS])
    best = np.argsort(-(attraction + rng.normal(0, 0.6, attraction.shape)), axis=1)[:, :5]
    orders = [best, np.roll(best, 2, axis=1)][:rankings]
    query = rng.integers(len(WORDS), size=searches)
    shown = np.stack(orders)[rng.integers(rankings, size=searches), query].ravel()
    queries = np.repeat(np.array(WORDS)[query], 5)
    lists = pl.DataFrame(
        {
            "search_id": np.repeat(np.array([f"s{at}" for at in range(searches)]), 5),
            "query_id": queries,
            "query": queries,
            "product_id": np.array([f"p{at}" for at in range(60)])[shown],
            "position": np.tile(np.arange(1, 6, dtype=np.uint16), searches),
        }
    )
    pairs = pl.DataFrame(
        {
            "query_id": np.repeat(WORDS, 60),
            "product_id": np.tile([f"p{at}" for at in range(60)], len(WORDS)),
            "attraction": attraction.ravel(),
        }
    )
    clicked = PBM(pairs, CURVE, FittedPrior(0.4, 2.0)).sample(lists, seed=1)
    (directory / "log.ndjson").write_text(ubi(clicked), encoding="utf-8")
    pl.DataFrame({"product_id": [f"p{at}" for at in range(60)], "title": titles, "kind": ["a", "b"] * 30}).write_csv(
        directory / "products.csv"
    )
    return directory / "log.ndjson"


def ubi(clicked):
    """A UBI log: each search with the ids of its results, each click, and a purchase after every third."""
    at = (pl.col("search_id").rle_id() * 60 + pl.datetime(2026, 1, 1).dt.epoch("s")).cast(pl.Int64)
    rows = clicked.with_columns(timestamp=pl.from_epoch(at).dt.strftime("%Y-%m-%dT%H:%M:%SZ"), client_id="search_id")
    searches = rows.group_by("search_id", "client_id", "timestamp", maintain_order=True).agg(
        pl.col("query").first().alias("user_query"), pl.col("product_id").alias("query_response_hit_ids")
    )
    clicks = rows.filter("clicked")
    events = pl.concat([clicks.with_columns(action_name=pl.lit("click")),
                        clicks.gather_every(3).with_columns(action_name=pl.lit("purchase"))])  # fmt: skip
    place = pl.struct(object=pl.struct(object_id="product_id"), position=pl.struct(ordinal="position"))
    told = events.select(
        "action_name", "client_id", "timestamp", pl.col("search_id").alias("query_id"), place.alias("event_attributes")
    )
    return searches.rename({"search_id": "query_id"}).write_ndjson() + told.write_ndjson()


@pytest.fixture
def two(tmp_path):
    return log_of(tmp_path, 2)


@pytest.fixture
def one(tmp_path):
    return log_of(tmp_path, 1)


def test_judgments_are_a_table_that_every_verb_reads(ltr, two, tmp_path):
    told = ltr("judge", two, "-o", tmp_path / "judged.parquet").out
    assert "30,000 impressions of 6,000 searches for 10 queries" in told
    assert "judgments of 10 queries" in told
    assert "held-out searches" in told
    _, judged = read_judgments(tmp_path / "judged.parquet", scale="graded")
    table = pl.read_parquet(tmp_path / "judged.parquet")
    assert table.columns[:5] == ["query_id", "query", "product_id", "grade", "weight"]
    assert {"attraction", "shown", "clicked", "examined"} <= set(table.columns)
    assert judged.height == table.height
    assert set(judged["grade"]) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_json_says_what_was_read_and_what_was_found(ltr, two, tmp_path):
    found = json.loads(ltr("judge", two, "-o", tmp_path / "judged.csv", "--json").out)
    assert found["report"]["impressions"] == 30_000
    assert found["examination"] == pytest.approx(CURVE, abs=0.04)
    assert found["tied"] > 0.2
    assert found["judgments"] == sum(found["grades"].values()) == pl.read_csv(tmp_path / "judged.csv").height
    assert found["fitness"]["pbm"]["perplexity"] < found["fitness"]["rates"]["perplexity"]


def test_scale_weights_and_levels_are_as_asked(ltr, two, tmp_path):
    ltr("judge", two, "-o", tmp_path / "judged.csv", "--model", "sdbn", "--scale", "0-10", "--top", "0.5",
        "--weight", "click=1", "--weight", "purchase=2", "--weight", "satisfied=0.5",
        "--products", tmp_path / "products.csv", "--levels", "kind", "--levels", "product_id")  # fmt: skip
    grades = pl.read_csv(tmp_path / "judged.csv")["grade"]
    assert grades.max() > 4
    assert grades.max() <= 10


def test_the_report_is_written_as_json(ltr, two, tmp_path):
    ltr("judge", two, "-o", tmp_path / "judged.csv", "--report", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["searches"] == 6_000


WRONG = {
    "model": (["--model", "pmb"], ConfigError, "did you mean 'pbm'"),
    "scale": (["--scale", "grade"], ConfigError, "did you mean 'graded'"),
    "weight": (["--weight", "buy=1"], ConfigError, "names nothing; weights: add_to_cart"),
    "number": (["--weight", "purchase=much"], ConfigError, "write it as purchase=2"),
    "levels": (["--levels", "brand"], ConfigError, "give --products FILE"),
    "unknown level": (["--products", "products.csv", "--levels", "brand"], DataError, r"lack the prior's levels \['brand'\]"),
    "products alone": (["--products", "products.csv"], ConfigError, "name a column"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "fault", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_option_is_one_sentence(ltr, two, tmp_path, monkeypatch, options, fault, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fault, match=said):
        ltr("judge", two, "-o", "judged.csv", *options)
    assert not (tmp_path / "judged.csv").exists()


def test_the_output_is_checked_before_the_log_is_read(ltr, tmp_path):
    with pytest.raises(ConfigError, match="is no table"):
        ltr("judge", tmp_path / "absent.ndjson", "-o", tmp_path / "judged.qrels")
    with pytest.raises(ConfigError, match="is no directory"):
        ltr("judge", tmp_path / "absent.ndjson", "-o", tmp_path / "absent" / "judged.csv")


def test_one_ranking_is_refused_by_pbm_and_judged_by_a_cascade(ltr, one, tmp_path):
    with pytest.raises(DataError, match="log a second ranking"):
        ltr("judge", one, "-o", tmp_path / "judged.csv")
    ltr("judge", one, "-o", tmp_path / "judged.csv", "--model", "sdbn")
    assert pl.read_csv(tmp_path / "judged.csv").height == 50


EMPTY = {
    "no byte": "",
    "a click on what was never shown": '{"action_name": "click", "query_id": "s", "timestamp": "2026-01-01T00:00:00Z", '
    '"event_attributes": {"object": {"object_id": "p"}, "position": {"ordinal": 1}}}\n',
}


@pytest.mark.parametrize("verb", ["judge", "propensity"])
@pytest.mark.parametrize("lines", EMPTY.values(), ids=EMPTY)
def test_a_log_of_which_nothing_is_left_says_why(ltr, tmp_path, verb, lines):
    (tmp_path / "log.ndjson").write_text(lines)
    options = ["-o", tmp_path / "judged.csv"] if verb == "judge" else []
    said = "1 record dropped: a search whose list is not known" if lines else "0 records read"
    with pytest.raises(DataError, match=f"nothing is left of the log: .*{said}"):
        ltr(verb, tmp_path / "log.ndjson", *options)


def test_the_real_log_is_judged_with_its_quirks_told(ltr, data_home, tmp_path):
    log = data_home / "ubi-sample" / "ubi_queries_events.ndjson"
    told = ltr("judge", log, "-o", tmp_path / "judged.parquet").out
    assert "records dropped" in told
    assert "moved to count from 1" in told
    queries, judged = read_judgments(tmp_path / "judged.parquet", scale="graded")
    assert judged.height > 500
    assert queries.height > 100
    assert judged["weight"].mean() < 0.5  # few clicks make no certainty


def test_curves_stand_side_by_side_and_what_a_log_cannot_say_is_told(ltr, two):
    told = ltr("propensity", two).out
    assert "harvested" in told
    assert "not from this log: no list of the log was randomised" in " ".join(told.split())
    assert "give the catalogue by --products FILE" in " ".join(told.split())
    found = json.loads(ltr("propensity", two, "--json").out)
    assert set(found["curves"]) == {"harvested", "em"}
    for curve in found["curves"].values():
        assert curve["examination"] == pytest.approx(CURVE, abs=0.04)


def test_with_the_catalogue_one_ranking_has_a_curve(ltr, one, tmp_path):
    found = json.loads(ltr("propensity", one, "--products", tmp_path / "products.csv", "--json").out)
    assert set(found["curves"]) == {"regression"}
    assert found["curves"]["regression"]["examination"] == pytest.approx(CURVE, abs=0.04)
    assert "0.0% of the (query, product) pairs" in found["refused"]["em"]


def test_two_files_agree_by_the_texts_of_their_queries(ltr, tmp_path):
    (tmp_path / "a.csv").write_text(
        "query_id,query,product_id,grade\n1,Red  Shoe,p,3\n1,Red  Shoe,q,0\n1,Red  Shoe,r,1\n"
    )
    (tmp_path / "b.csv").write_text("query,docid,rating\nred shoe,p,3\nred shoe,q,2\nblue shoe,q,1\n")
    found = json.loads(ltr("agreement", tmp_path / "a.csv", tmp_path / "b.csv", "--json").out)
    assert (found["both"], found["only_one"], found["only_other"]) == (2, 1, 1)
    assert found["disagreements"] == [
        {"query_id": "red shoe", "product_id": "q", "grade": 0.0, "other": 2.0, "apart": -2.0}
    ]
    told = ltr("agreement", tmp_path / "a.csv", tmp_path / "b.csv").out
    assert "0 and 2: 'red shoe', q" in told
    assert "quadratically weighted" in told


def test_files_without_a_pair_in_common_are_refused(ltr, tmp_path):
    (tmp_path / "a.csv").write_text("query,product_id,grade\nshoe,p,3\n")
    (tmp_path / "b.csv").write_text("query,product_id,grade\nhat,p,3\n")
    with pytest.raises(JudgmentError, match="pair in common"):
        ltr("agreement", tmp_path / "a.csv", tmp_path / "b.csv")


def test_letters_and_numbers_are_read_as_convert_reads_them(ltr, tmp_path):
    (tmp_path / "a.csv").write_text("query,product_id,grade\nshoe,p,E\nshoe,q,I\n")
    (tmp_path / "b.csv").write_text("query,product_id,grade\nshoe,p,3\nshoe,q,0\n")
    assert json.loads(ltr("agreement", tmp_path / "a.csv", tmp_path / "b.csv", "--json").out)["kappa"] == 1.0
