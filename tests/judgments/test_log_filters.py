"""Robots, long sessions and one's own house go, each counted; dwell time runs to the session's next event."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ltr.judgments import gathering, spill
from ltr.judgments.impressions import Filters, read_log

START = datetime(2026, 1, 1, tzinfo=UTC)
OFF = {
    "max_searches_per_hour": None,
    "min_searches_per_click": None,
    "max_session_searches": None,
    "max_clicks_per_search": None,
}


def event(action, search, second, product="p1", client="c", session="z", **other):
    return {
        "action_name": action,
        "query_id": search,
        "timestamp": (START + timedelta(seconds=second)).isoformat(timespec="milliseconds"),
        "client_id": client,
        "session_id": session,
        "user_query": "hat",
        "event_attributes": {"object": {"object_id": product}, "position": {"ordinal": 1}},
    } | other


def searches(client, count, *, apart, clicks=(), session="z"):
    """So many searches of a client, some seconds apart, those of these numbers with a click."""
    for number in range(count):
        yield event("impression", f"{client}-{number}", number * apart, client=client, session=f"{client}{session}")
        if number in clicks:
            yield event("click", f"{client}-{number}", number * apart + 1, client=client, session=f"{client}{session}")


@pytest.fixture
def log(tmp_path):
    count = iter(range(1_000))

    def read(events, **filters):
        number = next(count)
        path = tmp_path / f"{number}.ndjson"
        path.write_text("\n".join(map(json.dumps, events)))
        found = read_log(path, directory=tmp_path / str(number), filters=Filters(**(OFF | filters)))
        report = found.report
        assert report.read == report.kept + sum(report.dropped.values())
        return found.scan().collect(), report

    return read


def test_a_visitor_who_searches_too_often_in_an_hour_goes_whole(log):
    events = [*searches("fast", 11, apart=60, clicks=[0]), *searches("slow", 11, apart=400, clicks=[0])]
    found, report = log(events, max_searches_per_hour=10)
    assert found["user_id"].unique().to_list() == ["slow"]
    assert report.dropped == {"bot_rate": 12}
    assert log(events, max_searches_per_hour=11)[1].dropped == {}


def test_many_impressions_of_a_search_are_one_search(log):
    shown = [event("impression", "s", 1, product=f"p{number}") for number in range(50)]
    assert log(shown, max_searches_per_hour=1, max_session_searches=1)[1].dropped == {}


def test_a_visitor_who_never_clicks_goes_after_so_many_searches(log):
    events = [
        *searches("scraper", 5, apart=9_000),
        *searches("buyer", 5, apart=9_000, clicks=[3]),
        *searches("new", 4, apart=9_000),
    ]
    found, report = log(events, min_searches_per_click=5)
    assert found["user_id"].unique().sort().to_list() == ["buyer", "new"]
    assert report.dropped == {"bot_no_clicks": 5}


def test_a_cart_or_a_purchase_shows_a_person_as_a_click_does(log):
    for action in ("add_to_cart", "purchase"):
        events = [*searches("quiet", 5, apart=9_000), event(action, "quiet-2", 18_001, client="quiet")]
        assert log(events, min_searches_per_click=5)[1].dropped == {}


def test_a_session_that_is_too_long_goes_and_the_visitors_others_stay(log):
    events = [*searches("a", 5, apart=9_000, session="long"), *searches("b", 3, apart=9_000)]
    events += [event("impression", "a-later", 99_000, client="a", session="other")]
    found, report = log(events, max_session_searches=4)
    assert found["search_id"].sort().to_list() == ["a-later", "b-0", "b-1", "b-2"]
    assert report.dropped == {"long_session": 5}


def test_ones_own_house_goes_by_id_and_by_pattern(log):
    events = [
        event("impression", name, at, client=name, session=f"z{name}", user_id=user)
        for at, (name, user) in enumerate((("qa-1", "eve"), ("ann", ""), ("bob", "")))
    ]
    found, report = log(events, internal=("zann",), internal_pattern=r"^qa-\d")
    assert found["user_id"].to_list() == ["bob"]
    assert report.dropped == {"internal": 2}


def test_a_log_of_robots_alone_leaves_nothing_and_says_so(log):
    found, report = log(searches("robot", 400, apart=1), max_searches_per_hour=300)
    assert found.is_empty()
    assert report.dropped == {"bot_rate": 400}
    assert "400 records read, 0 kept: 0 impressions" in report.sentences()[0]


def test_visitors_are_judged_over_all_parts_of_the_log(log, monkeypatch):
    events = [
        event
        for pair in zip(searches("fast", 40, apart=60), searches("slow", 40, apart=900), strict=True)
        for event in pair
    ]
    whole, report = log(events, max_searches_per_hour=30)
    monkeypatch.setattr(gathering, "_TOGETHER", 7)
    monkeypatch.setattr(spill, "_HELD", 9)
    parted, told = log(events, max_searches_per_hour=30)
    assert parted.sort("search_id").equals(whole.sort("search_id"))
    assert told.dropped == report.dropped == {"bot_rate": 40}


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no regular expression"):
        Filters(internal_pattern="(")


def dwell(log, *later, **click):
    shown = [event("impression", "s", 0, product=name) for name in ("p1", "p2")]
    found, _ = log([*shown, event("click", "s", 10, **click), *later])
    return found.filter("clicked")["dwell_s"].to_list()


def test_dwell_runs_to_the_sessions_next_event_whatever_it_is(log):
    assert dwell(log, event("hover", "s", 14.5, product="p2")) == [4.5]
    assert dwell(log, event("impression", "s2", 40)) == [30.0]
    assert dwell(log, {"query_id": "s2", "user_query": "x", "timestamp": "2026-01-01T00:00:25Z", "client_id": "c"}) == [
        None
    ]


def test_what_is_logged_of_the_same_product_ends_no_dwell(log):
    cart, again = event("add_to_cart", "s", 10.001), event("click", "s", 12)
    assert dwell(log, cart, again, event("impression", "s2", 70)) == [60.0]


def test_dwell_is_not_known_at_the_end_of_a_session_or_after_half_an_hour(log):
    assert dwell(log) == [None]
    assert dwell(log, event("impression", "s2", 12, client="other", session="y")) == [None]
    assert dwell(log, event("impression", "s2", 10 + 1_800)) == [1_800.0]
    assert dwell(log, event("impression", "s2", 10 + 1_801)) == [None]


def test_dwell_is_that_of_the_first_click_however_the_lines_are_sorted(log):
    events = [
        event("impression", "s", 0),
        event("click", "s", 5),
        event("click", "s", 50),
        event("impression", "t", 65, product="p9"),
    ]
    forwards, _ = log(events)
    backwards, _ = log(events[::-1])
    assert forwards.sort("search_id").equals(backwards.sort("search_id"))
    assert forwards.filter("clicked").select("clicked_at", "dwell_s").row(0) == (START + timedelta(seconds=5), 60.0)


def test_positions_beyond_the_last_are_left_out_of_lists_of_either_kind(log):
    hits = {
        "query_id": "h",
        "user_query": "x",
        "timestamp": "2026-01-01T00:00:00Z",
        "query_response_hit_ids": list("abcde"),
        "application": "other",
    }
    shown = [
        event("impression", "s", 0, product=f"p{at}")
        | {"event_attributes": {"object": {"object_id": f"p{at}"}, "position": {"ordinal": at}}}
        for at in range(1, 5)
    ]
    found, report = log([hits, *shown], max_position=3)
    assert found.group_by("search_id").agg(pl.col("position").max()).sort("search_id").rows() == [("h", 3), ("s", 3)]
    assert report.dropped == {"beyond_max_position": 1}
    assert report.noted["result_ids_beyond_max"] == 2
