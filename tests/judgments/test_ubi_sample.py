"""OpenSearch's own UBI sample: three applications in one bulk file, with the quirks that its report is to name."""

import json
import os
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from ltr.frames import check
from ltr.judgments.impressions import Filters, read_log


@pytest.fixture(scope="module")
def sample():
    home = os.environ.get("LTR_DATA_HOME")
    path = Path(home or ".") / "ubi-sample" / "ubi_queries_events.ndjson"
    if not home or not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("LTR_DATA_HOME does not hold ubi-sample")
        pytest.skip("set LTR_DATA_HOME to a directory with ubi-sample")
    return path


@pytest.fixture(scope="module")
def log(sample, tmp_path_factory):
    return read_log(sample, directory=tmp_path_factory.mktemp("sample") / "out", filters=Filters())


@pytest.fixture(scope="module")
def records(sample):
    lines = [json.loads(line) for line in sample.read_text().splitlines()]
    return [line for line in lines if "index" not in line]


def test_every_record_of_the_sample_is_accounted_for(log, records):
    report = log.report
    assert report.read == len(records) == 3_921
    assert report.kept + sum(report.dropped.values()) == report.read
    assert report.noted["bulk_action_line"] == report.read


def test_actions_are_those_of_the_file(log, records):
    named = Counter(record["action_name"] for record in records if "action_name" in record)
    assert {name: count for name, (_, count) in log.report.actions.items()} == named
    assert log.report.actions["item_click"][0] == "click"
    assert log.report.actions["global_click"][0] == "none"


def test_one_application_begins_at_0_and_the_other_at_1(log, records):
    assert log.report.notes == ("positions of esci_ubi_sample begin at 0 and were moved to begin at 1",)
    assert log.report.noted["zero_based"] == 1_000
    shown = log.scan().select("search_id", "product_id", "position").collect()
    logged = {
        (record["query_id"], record["event_attributes"]["object"]["object_id"]): (
            record["event_attributes"]["position"]["ordinal"] + (record["application"] == "esci_ubi_sample")
        )
        for record in records
        if record.get("action_name") == "impression"
    }
    assert shown.height == 1_979
    assert all(logged[search, product] == position for search, product, position in shown.rows())


def test_clicks_are_those_whose_product_was_shown(log, records):
    shown = {(row[0], row[1]) for row in log.scan().select("search_id", "product_id").collect().rows()}
    clicked = {
        (record["query_id"], record["event_attributes"]["object"]["object_id"])
        for record in records
        if record.get("action_name") == "click"
    }
    found = log.scan().filter("clicked").select("search_id", "product_id").collect()
    assert set(found.rows()) == clicked & shown
    assert log.report.positions[1] == (288, 41)


def test_texts_are_told_by_searches_events_and_messages(log):
    found = check(log.scan().collect(), "impressions")
    assert found["query_id"].n_unique() == log.report.queries == 147
    assert log.report.noted["query_from_message"] > 0
    assert found.filter(pl.col("query_id") != pl.col("query_id").str.to_lowercase()).is_empty()


def test_the_report_names_the_samples_quirks(log):
    report = log.report
    assert report.dropped.keys() == {"other_action", "no_list", "no_query_text", "repeated_click", "not_shown"}
    assert report.noted.keys() >= {
        "epoch_timestamp",
        "session_inside",
        "search_repeated",
        "query_differs",
        "late_click",
    }
    assert any("type_filter 62" in sentence for sentence in report.sentences())
