"""The UBI log says what the impressions say, in the fields of UBI 1.3, and nothing of the truth."""

import json
from datetime import datetime

import polars as pl
import pytest

from ltr.errors import ConfigError
from ltr.simulation import Users, write_ubi

ACTIONS = {"click": "clicked", "add_to_cart": "add_to_cart", "purchase": "purchase"}
BUSY = {"days": 2, "randomised": 0.4, "bots": 0.1, "new": 0.3, "page": 9}


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def written(season, tmp_path):
    log, made = season(300, users=Users("pbm", eta=0.5, carting=0.8, buying=0.8), **BUSY)
    write_ubi(made, tmp_path / "ubi")
    return log, made, tmp_path / "ubi"


def is_id(value):
    return isinstance(value, str) and 0 < len(value) <= 100


def instant(text):
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def test_every_query_has_the_fields_of_ubi(written):
    log, _, directory = written
    lines = read(directory / "ubi_queries.ndjson")
    assert len(lines) == log["search_id"].n_unique()
    searches = {key[0]: rows for key, rows in log.group_by("search_id", maintain_order=True)}
    for line in lines:
        assert set(line) == {
            "timestamp", "query_id", "client_id", "user_query", "application", "object_id_field", "query_response_id",
            "query_response_hit_ids", "query_attributes",
        }  # fmt: skip
        assert all(is_id(line[name]) for name in ("query_id", "client_id", "application", "query_response_id"))
        shown = searches[line["query_id"]]
        assert line["query_response_hit_ids"] == shown["product_id"].to_list()
        assert (line["user_query"], line["client_id"]) == shown.select("query", "user_id").row(0)
        assert instant(line["timestamp"]) == shown["shown_at"][0]
        attributes = line["query_attributes"]
        assert all(isinstance(value, str) for value in attributes.values())
        assert (attributes["variant"], attributes["device"]) == shown.select("variant", "device").row(0)
        odds = [float(number) for number in attributes.get("propensity", "1").split(",")]
        odds = odds if len(odds) > 1 else odds * shown.height
        assert odds == pytest.approx(shown["propensity"].to_list(), abs=1e-6)


def test_every_event_has_the_fields_of_ubi(written):
    _, _, directory = written
    for line in read(directory / "ubi_events.ndjson"):
        assert set(line) == {
            "application", "action_name", "query_id", "session_id", "client_id", "user_id", "timestamp", "message_type",
            "user_query", "event_attributes",
        }  # fmt: skip
        assert line["action_name"] in {"impression", *ACTIONS}
        assert all(is_id(line[name]) for name in ("query_id", "session_id", "client_id", "user_id", "application"))
        attributes = line["event_attributes"]
        assert set(attributes) == {"object", "position"} | ({"revenue"} if line["action_name"] == "purchase" else set())
        assert set(attributes["position"]) == {"ordinal"}
        assert isinstance(attributes["position"]["ordinal"], int)
        assert attributes["object"]["object_id_type"] == "product"
        assert is_id(attributes["object"]["object_id"])


def test_the_events_are_the_impressions(written):
    log, _, directory = written
    events = read(directory / "ubi_events.ndjson")
    said = {
        action: sorted(
            (
                event["query_id"],
                event["event_attributes"]["position"]["ordinal"],
                event["event_attributes"]["object"]["object_id"],
                event["user_query"],
            )
            for event in events
            if event["action_name"] == action
        )
        for action in ("impression", *ACTIONS)
    }
    columns = ["search_id", "position", "product_id", "query"]
    assert said["impression"] == sorted(log.select(columns).rows())
    for action, flag in ACTIONS.items():
        assert said[action] == sorted(log.filter(flag).select(columns).rows())
        assert said[action]
    revenue = [event["event_attributes"]["revenue"] for event in events if event["action_name"] == "purchase"]
    assert sum(revenue) == pytest.approx(log["revenue"].sum())


def test_events_are_in_the_order_of_time_and_after_what_led_to_them(written):
    _, made, directory = written
    events = read(directory / "ubi_events.ndjson")
    sizes = [pl.read_parquet(part, columns=["clicked", "add_to_cart", "purchase"]) for part in made.parts]
    first = sum(sizes[0].height if flag is None else sizes[0][flag].sum() for flag in (None, *ACTIONS.values()))
    for part in (events[:first], events[first:]):
        times = [event["timestamp"] for event in part]
        assert times == sorted(times)
    order = {name: number for number, name in enumerate(("impression", *ACTIONS))}
    seen = {}
    for event in events:
        key = event["query_id"], event["event_attributes"]["object"]["object_id"]
        assert order[event["action_name"]] > seen.get(key, -1)
        seen[key] = order[event["action_name"]]


def test_the_parquet_beside_it_is_the_log_and_the_truth_stands_apart(written):
    log, made, directory = written
    assert pl.read_parquet(directory / "impressions").equals(log)
    assert sorted(path.name for path in directory.iterdir()) == [
        "impressions", "truth", "ubi_events.ndjson", "ubi_queries.ndjson",
    ]  # fmt: skip
    truth = directory / "truth"
    assert pl.read_parquet(truth / "attraction.parquet").equals(made.truth.attraction)
    assert pl.read_parquet(truth / "examination.parquet").equals(made.truth.examination)
    assert pl.read_parquet(truth / "bots.parquet").equals(made.truth.bots)
    assert {"attraction", "examination", "bot"}.isdisjoint(log.columns)
    assert 'kind = "pbm"' in (truth / "simulation.toml").read_text()


def test_one_seed_is_one_log_to_the_byte(season, tmp_path):
    for name in ("one", "two"):
        _, made = season(60, name=f"{name}-log", missing=0.2, **BUSY)
        write_ubi(made, tmp_path / name)
    for file in ("ubi_queries.ndjson", "ubi_events.ndjson"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_log_that_loses_events_loses_impressions_too(season, tmp_path):
    log, made = season(500, users=Users("pbm", carting=1), missing=0.3)
    write_ubi(made, tmp_path / "ubi")
    events = read(tmp_path / "ubi" / "ubi_events.ndjson")
    kept = sum(event["action_name"] == "impression" for event in events) / log.height
    assert abs(kept - 0.7) <= 4 * (0.3 * 0.7 / log.height) ** 0.5
    assert sum(event["action_name"] == "add_to_cart" for event in events) == log["add_to_cart"].sum()


def test_impressions_that_lie_in_the_directory_are_left_there(season, tmp_path):
    log, made = season(20, name="ubi/impressions")
    write_ubi(made, tmp_path / "ubi")
    assert pl.read_parquet(tmp_path / "ubi" / "impressions").equals(log)


def test_a_place_that_cannot_be_written_is_one_clear_error(season, tmp_path):
    _, made = season(5)
    (tmp_path / "file").write_text("taken")
    with pytest.raises(ConfigError, match="could not be written"):
        write_ubi(made, tmp_path / "file")
