"""``ltr interleave`` and ``ltr abtest``: from a log to a plan, lists, assignments and verdicts; and one sentence for a fault."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from typer.main import get_command

from ltr.cli.application import app
from ltr.errors import CandidateError, ConfigError, DataError
from ltr.evaluation.assignment import assign
from ltr.evaluation.interleaving import interleave

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ltr(capsys, monkeypatch, tmp_path):
    """Run a verb as the command line does; returns its exit code and standard output."""
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments):
        code = get_command(app).main([str(argument) for argument in arguments], prog_name="ltr", standalone_mode=False)
        return code or 0, capsys.readouterr().out

    return run


@pytest.fixture
def told(ltr):
    """The JSON object that a verb prints."""
    return lambda *arguments: json.loads(ltr(*arguments, "--json")[1])


def ubi(path, searches):
    """A UBI log of (search, user, variant, teams, products, clicked), a search an hour."""
    lines = []
    for number, (search, user, variant, teams, products, clicked) in enumerate(searches):
        at = (START + timedelta(hours=number % 160)).isoformat()
        attributes = {"variant": variant, **({"team": ",".join(team or "" for team in teams)} if teams else {})}
        lines.append(
            {"query_id": search, "client_id": user, "user_query": "shoe", "timestamp": at,
             "query_response_hit_ids": list(products), "query_attributes": attributes}
        )  # fmt: skip
        for product in clicked:
            event = {"object": {"object_id": product}, "position": {"ordinal": products.index(product) + 1}}
            lines.append(
                {
                    "action_name": "click",
                    "query_id": search,
                    "client_id": user,
                    "timestamp": at,
                    "event_attributes": event,
                }
            )
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def interleaved(tmp_path):
    """A log of interleaved lists whose second ranking has the better product at its top."""
    rng = np.random.default_rng(7)
    searches = []
    for number in range(900):
        made = interleave("abcd", "cabd", seed=f"s{number}")
        clicked = [product for product in made.product_ids if rng.random() < (0.35 if product == "c" else 0.15)]
        searches.append((f"s{number}", f"u{number % 300}", None, made.teams, made.product_ids, clicked))
    return ubi(tmp_path / "interleaved.ndjson", searches)


@pytest.fixture
def divided(tmp_path):
    """A log of an A/B test assigned by the product's own hash, whose treatment has more clicks."""
    rng = np.random.default_rng(8)
    users = [f"u{number}" for number in range(500)]
    variant = dict(zip(users, assign(users, experiment="spring", weights={"control": 1, "treatment": 1}), strict=True))
    searches = []
    for number in range(1_500):
        user = users[number % 500]
        rate = 0.2 if variant[user] == "control" else 0.35
        searches.append(
            (f"s{number}", user, variant[user], None, "abcd", [each for each in "abcd" if rng.random() < rate])
        )
    return ubi(tmp_path / "divided.ndjson", searches)


def runs(tmp_path):
    paths = []
    for name, lists in (("a", {"q1": "abc", "q2": "xy"}), ("b", {"q1": "bca", "q3": "z"})):
        paths.append(tmp_path / f"{name}.run")
        paths[-1].write_text(
            "".join(
                f"{query} Q0 {product} {rank} {9 - rank} {name}\n"
                for query, products in lists.items()
                for rank, product in enumerate(products, 1)
            ),
            encoding="utf-8",
        )
    return paths


def test_an_interleaved_ubi_log_prefers_the_better_ranking(ltr, told, interleaved):
    found = told("interleave", "analyse", interleaved, "--planned", 200)
    assert found["preference"]["proven"]
    assert found["preference"]["delta"] > 0
    assert found["preference"]["searches"] == 900
    assert found["looks"][-1]["difference"] == pytest.approx(found["preference"]["delta"])
    for test in ("sign", "bootstrap"):
        assert told("interleave", "analyse", interleaved, "--test", test)["preference"]["proven"]
    code, text = ltr("interleave", "analyse", interleaved, "--planned", 200)
    assert code == 0
    assert "B is preferred" in text
    assert "looked at daily" in text


def test_a_plan_of_an_interleaving_from_clicks_and_from_interleaved_searches(ltr, told, interleaved, divided):
    clicks = told("interleave", "plan", divided, "--detect", 0.02)
    assert clicks["basis"].startswith("clicks")
    assert told("interleave", "plan", divided, "--detect", 0.04)["plan"]["users"] < clicks["plan"]["users"]
    own = told("interleave", "plan", interleaved, "--days", 14)
    assert own["basis"] == "interleaved searches"
    assert own["plan"]["difference"] > 0
    assert "searches" in ltr("interleave", "plan", interleaved, "--days", 14)[1]


def test_a_merge_is_what_the_library_makes(ltr, told, tmp_path):
    a, b = runs(tmp_path)
    (found,) = told("interleave", "merge", a, b, "--query", "q1", "--search", "s9", "--pin", "1=p", "--length", 3)[
        "lists"
    ]
    made = interleave("abc", "bca", seed="s9", pinned={1: "p"}, length=3)
    assert (found["search_id"], found["query_id"]) == ("s9", "q1")
    assert (tuple(found["product_ids"]), tuple(found["teams"])) == (made.product_ids, made.teams)
    everything = told("interleave", "merge", a, b)["lists"]
    assert {each["query_id"]: each["product_ids"] for each in everything if each["query_id"] != "q1"} == {
        "q2": ["x", "y"],
        "q3": ["z"],
    }
    assert "search s9, query q1" in ltr("interleave", "merge", a, b, "--query", "q1", "--search", "s9")[1]


@pytest.mark.parametrize("name", ["lists.csv", "lists.parquet"])
def test_lists_of_many_searches_are_written_with_their_teams(ltr, tmp_path, name):
    a, b = runs(tmp_path)
    searches = tmp_path / "searches.csv"
    searches.write_text("search_id,query_id\ns1,q1\ns2,q1\ns3,q2\n", encoding="utf-8")
    code, text = ltr("interleave", "merge", a, b, "--searches", searches, "--method", "balanced", "-o", tmp_path / name)
    assert (code, text.startswith("3 lists in")) == (0, True)
    read = pl.read_csv if name.endswith("csv") else pl.read_parquet
    made = interleave("abc", "bca", seed="s2", method="balanced")
    rows = read(tmp_path / name).filter(pl.col("search_id") == "s2").sort("position")
    assert tuple(rows["product_id"]) == made.product_ids
    assert tuple(rows["team"]) == made.teams


def test_an_a_b_test_is_read_by_user(ltr, told, divided):
    found = told("abtest", "analyse", divided, "--planned", 500)
    assert not found["sample_ratio"]["mismatch"]
    assert sum(found["sample_ratio"]["observed"].values()) == 500
    clicks = found["effects"][0]
    assert (clicks["measure"], clicks["proven"]) == ("clicks_per_search", True)
    assert clicks["low"] < 4 * 0.15 < clicks["high"]
    assert [each["measure"] for each in found["looks"]] == [each["measure"] for each in found["effects"]]
    code, text = ltr("abtest", "analyse", divided, "--measures", "CTR conversion", "--method", "bootstrap")
    assert code == 0
    assert "as intended" in text
    assert "higher" in text


def test_a_sample_ratio_mismatch_is_a_check_that_failed(ltr, told, divided):
    code, text = ltr("abtest", "analyse", divided, "--weights", "control=3,treatment=1")
    assert code == 1
    assert "SAMPLE RATIO MISMATCH" in text
    assert "higher" not in text
    assert told("abtest", "analyse", divided, "--weights", "control=3", "--weights", "treatment=1")["sample_ratio"][
        "mismatch"
    ]


def test_a_log_from_before_adjusts(told, divided):
    plain, adjusted = told("abtest", "analyse", divided), told("abtest", "analyse", divided, "--before", divided)
    assert adjusted["adjusted"]
    assert (
        adjusted["effects"][0]["high"] - adjusted["effects"][0]["low"]
        < plain["effects"][0]["high"] - plain["effects"][0]["low"]
    )


def test_a_plan_of_an_a_b_test(ltr, told, divided):
    needed = told("abtest", "plan", divided, "--lift", 0.05)
    assert needed["plan"]["difference"] == pytest.approx(0.05 * needed["log"]["value"])
    found = told("abtest", "plan", divided, "--days", needed["plan"]["days"])
    assert found["lift"] <= 0.05
    assert "users" in ltr("abtest", "plan", divided, "--lift", 0.05)[1]


def test_users_are_assigned_line_by_line(ltr, told, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text("u1\n\nu2\r\n", encoding="utf-8")
    code, text = ltr("abtest", "assign", "--experiment", "spring", "--users", users, "u3")
    given = ["u3", "u1", "u2"]
    expected = assign(given, experiment="spring", weights={"control": 1, "treatment": 1})
    assert (code, text) == (0, "".join(f"{user}\t{variant}\n" for user, variant in zip(given, expected, strict=True)))
    thirds = told("abtest", "assign", "--experiment", "spring", "--weights", "a=2,b=1", "u1")
    assert thirds["variants"] == {"u1": assign(["u1"], experiment="spring", weights={"a": 2, "b": 1})[0]}


@pytest.mark.parametrize(
    ("arguments", "fault", "message"),
    [
        (("interleave", "plan", "LOG"), ConfigError, "none of --detect, --days is given; give one of them"),
        (("interleave", "plan", "LOG", "--detect", ".1", "--days", 3), ConfigError, "--detect and --days of"),
        (("interleave", "analyse", "LOG"), DataError, "no search of the log is interleaved"),
        (("interleave", "merge", "RUN", "RUN", "--pin", "one=p"), ConfigError, "--pin 'one=p' is not PLACE=PRODUCT"),
        (("interleave", "merge", "RUN", "RUN", "--pin", "0=p"), CandidateError, "'p' is pinned to place 0"),
        (("interleave", "merge", "RUN", "RUN", "--query", "q9"), DataError, "neither run has a list for query 'q9'"),
        (("interleave", "merge", "RUN", "RUN", "--search", "s"), ConfigError, "--search needs the query"),
        (("interleave", "merge", "RUN", "RUN", "-o", "x.txt"), ConfigError, "--output x.txt is no .csv or .parquet"),
        (("interleave", "merge", "RUN", "RUN", "--searches", "RUN"), DataError, "lacks .*'search_id'"),
        (
            ("interleave", "merge", "RUN", "RUN", "--searches", "RUN", "--query", "q"),
            ConfigError,
            "has its own searches",
        ),
        (("interleave", "merge", "RUN", "RUN", "--searches", "none.csv"), DataError, "none.csv cannot be read as CSV"),
        (("abtest", "analyse", "LOG", "--control", "old"), ConfigError, "nobody saw the control 'old'"),
        (("abtest", "analyse", "LOG", "--measures", "nDCG"), ConfigError, "measure 'nDCG' is unknown"),
        (("abtest", "analyse", "LOG", "--weights", "control"), ConfigError, "--weights 'control' is not VARIANT=SHARE"),
        (
            ("abtest", "analyse", "LOG", "--weights", "control=x"),
            ConfigError,
            "--weights 'control=x' is not VARIANT=SHARE",
        ),
        (("abtest", "assign", "--experiment", "e"), ConfigError, "no user is given"),
        (("abtest", "assign", "--experiment", "e", "--users", "none.txt"), DataError, "none.txt does not exist"),
        (("abtest", "plan", "LOG"), ConfigError, "none of --lift, --days is given"),
        (("abtest", "plan", "LOG", "--lift", ".1", "--share", "1"), ConfigError, "share is 1.0 and part 1"),
    ],
)
def test_bad_input_is_one_sentence(ltr, divided, tmp_path, arguments, fault, message):
    stand_ins = {"LOG": divided, "RUN": runs(tmp_path)[0]}
    with pytest.raises(fault, match=message):
        ltr(*(stand_ins.get(argument, argument) for argument in arguments))
