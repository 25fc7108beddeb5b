"""Robots that click on everything are found by what they do; a person who clicks a lot is not taken for one."""

import json

import pytest

from ltr.errors import ConfigError
from ltr.judgments.filters import filters
from ltr.judgments.impressions import Filters, read_log


def event(search, client, action, place, minute):
    return {
        "application": "shop",
        "action_name": action,
        "query_id": search,
        "client_id": client,
        "session_id": client,
        "timestamp": f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00.000Z",
        "user_query": "red shoe",
        "event_attributes": {"object": {"object_id": f"p{place}"}, "position": {"ordinal": place}},
    }


def written(path, *, searches, clicked):
    """One visitor's searches of twelve products, the first ``clicked`` of each clicked on; and a calm neighbour's."""
    lines = []
    for number in range(searches):
        for client, most in (("flood", clicked), ("calm", 1)):
            search = f"{client}-{number}"
            lines += [event(search, client, "impression", place, number) for place in range(1, 13)]
            lines += [event(search, client, "click", place, number) for place in range(1, most + 1)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


def clients(log):
    return {search.partition("-")[0] for search in log.scan().collect()["search_id"]}


@pytest.mark.parametrize(
    ("searches", "clicked", "kept"),
    {
        "everything, again and again": (6, 12, {"calm"}),
        "everything, but few times": (4, 12, {"calm", "flood"}),
        "a lot, as people may": (6, 8, {"calm", "flood"}),
    }.values(),
    ids=["everything, again and again", "everything, but few times", "a lot, as people may"],
)
def test_a_visitor_who_clicks_most_of_every_list_is_left_out(tmp_path, searches, clicked, kept):
    log = read_log(written(tmp_path / "log.ndjson", searches=searches, clicked=clicked), directory=tmp_path / "shown")
    assert clients(log) == kept
    dropped = log.report.dropped.get("bot_click_flood", 0)
    assert dropped == (0 if "flood" in kept else searches * 24)


def test_the_filter_can_be_switched_off(tmp_path):
    path = written(tmp_path / "log.ndjson", searches=6, clicked=12)
    log = read_log(path, directory=tmp_path / "shown", filters=Filters(max_clicks_per_search=None))
    assert clients(log) == {"calm", "flood"}


@pytest.mark.parametrize(
    ("given", "said"),
    {
        "a name": ({"max_postion": 3}, "unknown key 'max_postion'; did you mean 'max_position'"),
        "a value": ({"max_position": 0}, "max_position"),
        "a pattern": ({"internal_pattern": "("}, "no regular expression"),
    }.values(),
    ids=["a name", "a value", "a pattern"],
)
def test_a_filter_that_is_none_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        filters(given, where="--filter")


def test_off_switches_a_filter_off():
    assert filters({"max_clicks_per_search": "off"}, where="--filter").max_clicks_per_search is None
