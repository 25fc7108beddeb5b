"""A report says what became of every record, for a person and for a program."""

import json
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.judgments.gathering import first_positions, span
from ltr.judgments.report import DROPPED, NOTED, Counts, Fates
from ltr.judgments.spill import Spill
from ltr.judgments.wording import normalise, query_key, query_keys


def test_counts_add_up_and_keep_three_examples_in_order():
    one, other = Counts(), Counts()
    one.read, other.read = 5, 7
    one.drop("truncated", 2, ["a", "b"])
    other.drop("truncated", 4, ["c", "d", "e", "f"])
    other.note("no_zone", 3)
    other.note("epoch_timestamp", 0, ["never"])
    one.actions["click"] += 2
    one.add(other)
    report = one.report(kept=6, meaning={"click": "click"})
    assert (report.read, report.dropped, report.noted) == (12, {"truncated": 6}, {"no_zone": 3})
    assert report.examples == {"truncated": ["a", "b", "c"]}
    assert report.actions == {"click": ("click", 2)}


def test_sentences_tell_the_most_first_and_json_tells_all():
    counts = Counts()
    counts.read = 9
    counts.drop("malformed", 1, ["log line 3"])
    counts.drop("not_shown", 5)
    counts.note("zero_based", 2)
    counts.actions["hover"] += 4
    when = datetime(2026, 1, 2, tzinfo=UTC)
    report = counts.report(
        kept=3,
        impressions=1,
        searches=1,
        queries=1,
        clicks=1,
        positions={1: (1, 1)},
        first=when,
        last=when,
        notes=("odd",),
    )
    assert report.sentences() == [
        "9 records read, 3 kept: 1 impression of 1 search for 1 query, 1 clicked, 0 added to cart, 0 bought, 2026-01-02 to 2026-01-02",
        f"5 records dropped: {DROPPED['not_shown']}",
        f"1 record dropped: {DROPPED['malformed']} (log line 3)",
        "actions that are not mapped: hover 4",
        f"2 noted: {NOTED['zero_based']}",
        "odd",
    ]
    told = json.loads(report.to_json())
    assert (told["positions"], told["first"], told["kept"]) == ({"1": [1, 1]}, when.isoformat(), 3)


def test_what_a_healthy_log_has_is_no_fault():
    counts = Counts()
    for reason in DROPPED:
        counts.drop(reason, 1)
    faults = counts.report(kept=0).faults()
    assert faults.keys() == DROPPED.keys() - {
        *(
            "other_action",
            "repeated_click",
            "internal",
            "bot_rate",
            "bot_no_clicks",
            "bot_click_flood",
            "long_session",
            "beyond_max_position",
        )
    }


def test_a_record_is_dropped_for_the_first_reason_that_holds():
    fates, counts = Fates(4), Counts()
    fates.drop("truncated", np.array([True, False, False, False]))
    fates.drop("no_action", np.array([True, True, False, False]))
    fates.drop("truncated", np.array([False, False, False, True]))
    fates.count(counts, np.arange(10, 14))
    assert counts.dropped == {"truncated": 2, "no_action": 1}
    assert counts.examples == {"truncated": ["10", "13"], "no_action": ["11"]}
    assert fates.alive.tolist() == [False, False, True, False]
    assert fates.holding("truncated").tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("zero", "one", "first"), [(100, 100, 0), (95, 100, 0), (3, 0, 0), (1, 2, 1), (0, 50, 1), (5, 100, 1), (0, 0, 1)]
)
def test_positions_begin_at_0_where_the_top_is_there_about_as_often_as_the_next(zero, one, first):
    counted = {(0, True, 0): zero, (0, True, 1): one}
    assert first_positions(counted_of(counted))[0] == first
    assert first_positions(counted_of(counted), given=1)[0] == 1


def counted_of(counts):
    return Counter(counts)


def test_impressions_settle_the_first_position_before_clicks_do():
    clicks_say_0 = {(0, False, 0): 50, (0, False, 1): 1}
    assert first_positions(counted_of(clicks_say_0)) == {0: 0}
    assert first_positions(counted_of(clicks_say_0 | {(0, True, 1): 80})) == {0: 1}


def test_ten_years_around_the_median_day_are_not_absurd():
    low, high = span(counted_of({0: 1, 20_000: 500, 20_001: 400, 80_000: 3}))
    day = 86_400_000_000
    assert (low, high) == ((20_000 - 3_653) * day, (20_000 + 3_653) * day)
    assert span(counted_of({}))[0] < 0 < span(counted_of({}))[1]


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_the_short_way_for_ascii_is_the_long_way(text):
    assert normalise(text) == " ".join(text.casefold().split())


def test_queries_that_a_shopper_would_call_the_same_have_one_key():
    same = ["Red  Hat", "ｒｅｄ hat", " red\that\n", "RED HAT", "red\u00a0hat"]
    assert {query_key(text) for text in same} == {"red hat"}
    assert query_key("Straße ﬁlm") == "strasse film"
    keys = query_keys(pl.Series([*same, None, "  ", "blue"]))
    assert keys.to_list() == [*["red hat"] * 5, None, None, "blue"]


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_a_spill_gives_back_each_row_once_in_its_part_and_in_order(tmp_path, monkeypatch, parts):
    monkeypatch.setattr("ltr.judgments.spill._HELD", 40)
    keys = np.random.default_rng(7).integers(2**63, size=333, dtype=np.uint64)
    frame = pl.DataFrame({"key": keys, "row": np.arange(333), "text": [f"é{n}" for n in range(333)]})
    spill = Spill(tmp_path / "spill", parts=parts, key="key")
    for start in range(0, 333, 17):
        spill.add(frame[start : start + 17])
    found = [spill.part(number) for number in range(parts)]
    for number, part in enumerate(found):
        assert part.equals(frame.filter(pl.col("key") % parts == number))
    spill.close()
    assert not (tmp_path / "spill").exists()


def test_an_empty_spill_has_the_columns_that_it_was_given():
    spill = Spill(None, parts=1, key="key")
    spill.add(pl.DataFrame(schema={"key": pl.UInt64}))
    assert spill.part(0).schema == {"key": pl.UInt64}
