"""A UBI log becomes impressions, whatever is wrong with it, and each of its records is accounted for."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltr.judgments import gathering, spill
from ltr.judgments.impressions import Filters, LogMapping, read_log
from made.ubi import LIST, START, event, search

LOOSE = Filters(
    max_searches_per_hour=None, min_searches_per_click=None, max_session_searches=None, max_clicks_per_search=None
)


def test_a_click_joins_the_impression_of_its_product_in_its_search(log):
    found, report = log([*LIST, event(product="p2", position=2, second=9)])
    assert found.select("search_id", "query_id", "query", "product_id", "position", "clicked").rows() == [
        ("s1", "red hat", "Red  Hat", f"p{place}", place, place == 2) for place in (1, 2, 3)
    ]
    assert found.filter("clicked")["clicked_at"].item() == START + timedelta(seconds=9)
    assert found["shown_at"].unique().to_list() == [START]
    assert (found["session_id"][0], found["user_id"][0]) == ("z1", "c1")
    assert (report.kept, report.dropped, report.noted) == (4, {}, {})
    assert report.actions == {"click": ("click", 1), "impression": ("impression", 3)}
    assert report.positions == {1: (1, 0), 2: (1, 1), 3: (1, 0)}


@pytest.mark.parametrize(
    ("lines", "dropped", "rows"),
    {
        "a truncated line": ([*LIST, json.dumps(event())[:60]], {"truncated": 1}, 3),
        "no JSON": ([*LIST, "hello"], {"malformed": 1}, 3),
        "no object": ([*LIST, "7"], {"not_an_object": 1}, 3),
        "an object of another kind": ([*LIST, {"a": 1}], {"unknown_record": 1}, 3),
        "no action": ([*LIST, event(action_name=None), event(action_name="")], {"no_action": 2}, 3),
        "an action that is no text": ([*LIST, event(action_name=5)], {"wrong_type": 1}, 3),
        "no timestamp": ([*LIST, event(timestamp=None), event(timestamp="soon"), event(timestamp=[])], {"no_timestamp": 3}, 3),
        "an action of another kind": ([*LIST, event("hover")], {"other_action": 1}, 3),
        "no search id": ([*LIST, event(query_id=None), event(query_id="")], {"no_search_id": 2}, 3),
        "ids that are no ids": ([*LIST, event(query_id=[1]), event(product={"a": 1}), event(product=True)], {"wrong_type": 3}, 3),
        "no product": ([*LIST, event(product=None), event(event_attributes={})], {"no_product": 2}, 3),
        "only clicks": ([event(), event(product="p2")], {"no_list": 2}, 0),
        "a product that was not shown": ([*LIST, event(product="p9")], {"not_shown": 1}, 3),
        "the same click twice": ([*LIST, event(), event()], {"duplicate_event": 1}, 3),
        "a later click on the same": ([*LIST, event(), event(second=5), event(second=9)], {"repeated_click": 2}, 3),
        "the same impression twice": ([*LIST, LIST[0]], {"duplicate_event": 1}, 3),
        "a product shown again below": ([*LIST, event("impression", product="p1", position=9, second=4)], {"shown_again": 1}, 3),
        "a clock that was never set": ([*LIST, event("impression", product="p4", timestamp=0)], {"absurd_time": 1}, 3),
        "a clock of the far future": ([*LIST, event("impression", product="p4", timestamp="2087-01-01T00:00:00Z")], {"absurd_time": 1}, 3),
        "a query without text": ([event("impression", user_query=None), event(user_query=" ")], {"no_query_text": 2}, 0),
        "a query without result ids": ([*LIST, search("s2", ids=())], {"no_list": 1}, 3),
        "an impression without a position": ([*LIST, event("impression", product="p4", position=None)], {"no_position": 1}, 3),
        "an impression with an empty position": (
            [*LIST, event("impression", event_attributes={"object": {"object_id": "p4"}, "position": {}})],
            {"no_position": 1},
            3,
        ),
        "a position of 0 in a log that begins at 1": ([*LIST, *LIST, event("impression", product="p4", position=0)], {"duplicate_event": 3, "no_position": 1}, 3),
        "a position below": ([*LIST, event("impression", product="p4", position=-2)], {"no_position": 1}, 3),
        "a position that is no number": ([*LIST, event("impression", product="p4", position="top")], {"no_position": 1}, 3),
        "a position of 10,000": ([*LIST, event("impression", product="p4", position=10_000)], {"beyond_max_position": 1}, 3),
        "a position beyond 16 bits": ([*LIST, event("impression", product="p4", position=70_000)], {"beyond_max_position": 1}, 3),
        "a position beyond 32 bits": ([*LIST, event("impression", product="p4", position=10**12)], {"no_position": 1}, 3),
        "nothing": (b"", {}, 0),
    }.values(),
    ids=lambda value: None,
)  # fmt: skip
def test_what_is_wrong_is_counted_by_its_reason(log, lines, dropped, rows):
    found, report = log(lines)
    assert report.dropped == dropped
    assert found.height == rows
    assert report.sentences()
    assert json.loads(report.to_json())["dropped"] == dropped


def test_examples_are_lines_of_the_file_and_at_most_three(log):
    _, report = log(["", *LIST, "{", "{", "{", "{"], name="events.ndjson")
    assert report.dropped == {"truncated": 4}
    assert [example.partition("-")[2] for example in report.examples["truncated"]] == [
        f"events.ndjson line {line}" for line in (5, 6, 7)
    ]


def test_positions_that_begin_at_0_are_moved_and_said(log):
    found, report = log([event("impression", product=f"p{place}", position=place) for place in range(3)])
    assert found["position"].to_list() == [1, 2, 3]
    assert report.noted == {"zero_based": 3}
    assert report.notes == ("positions begin at 0 and were moved to begin at 1",)


def test_each_application_has_its_own_first_position(log):
    mixed = [
        event("impression", search=name, product=f"p{place}", position=place + first, application=name)
        for name, first in (("old", 0), ("new", 1))
        for place in range(3)
    ]
    found, report = log(mixed)
    assert found.sort("search_id", "position")["position"].to_list() == [1, 2, 3, 1, 2, 3]
    assert report.notes == ("positions of old begin at 0 and were moved to begin at 1",)


def test_a_mapping_settles_where_positions_begin(log):
    lines = [event("impression", product=f"p{place}", position=place) for place in range(3)]
    found, report = log(lines, mapping=LogMapping(shape="ubi", first_position=1))
    assert found["position"].to_list() == [1, 2]
    assert report.dropped == {"no_position": 1}


def test_positions_as_objects_are_read_and_told_as_an_old_version(log):
    found, report = log([event("impression", product=f"p{place}", position={"index": place}) for place in (1, 2)])
    assert found["position"].to_list() == [1, 2]
    assert report.noted == {"ordinal_as_object": 2}
    assert report.versions == {"1.0 or 1.1, by positions as objects": 2}


def test_result_ids_are_the_list_where_the_log_has_no_impressions(log):
    propensities = {"propensity": "0.5,0.25,1", "variant": "b", "device": "phone", "team": "t"}
    found, report = log([search(query_attributes=propensities), event(position=7, second=3), search("s2", ids=["p1"])])
    first = found.filter(pl.col("search_id") == "s1")
    assert first.select("product_id", "position", "clicked", "propensity").rows() == [
        ("p3", 1, False, 0.5),
        ("p1", 2, True, 0.25),
        ("p2", 3, False, 1.0),
    ]
    assert first.select("variant", "device", "team").unique().rows() == [("b", "phone", "t")]
    assert report.noted == {"list_from_result_ids": 2, "search_without_events": 1}
    assert report.kept == 3


def test_result_ids_are_no_list_where_the_application_logs_impressions(log):
    found, report = log([*LIST, search("s2")])
    assert found["search_id"].unique().to_list() == ["s1"]
    assert report.dropped == {"no_list": 1}


def test_missing_positions_are_taken_from_the_result_ids(log):
    found, report = log([search(), *(event("impression", product=f"p{n}", position=None) for n in (1, 2, 3, 4))])
    assert dict(found.select("product_id", "position").rows()) == {"p3": 1, "p1": 2, "p2": 3}
    assert report.noted["position_recovered"] == 3
    assert report.dropped == {"no_position": 1}


def test_result_ids_under_their_documented_name_and_as_numbers(log):
    found, report = log([search(query_response_hit_ids=None, query_response_objects_ids=[7, "8"]), event(product=7)])
    assert found.select("product_id", "clicked").rows() == [("7", True), ("8", False)]
    assert "as documented, by query_response_objects_ids" in report.versions


def test_result_ids_may_be_the_engines_own(log):
    inside = {"object": {"object_id": "sku-1", "internal_id": "p1"}, "position": {"ordinal": 2}}
    found, report = log([search(), event(event_attributes=inside)])
    assert found.filter("clicked")["product_id"].to_list() == ["p1"]
    assert report.noted["internal_id"] == 1


def test_a_searchs_own_record_tells_its_text_and_an_events_message_at_need(log):
    own = [search("s1", ids=()), event("impression", user_query="other")]
    asked = event("search", "s2", user_query=None, message_type="QUERY", message="Blue hat", event_attributes=None)
    shown = event("impression", "s2", user_query=None)
    found, report = log([*own, asked, shown])
    assert dict(found.select("search_id", "query").rows()) == {"s1": "red hat", "s2": "Blue hat"}
    assert report.noted == {"query_differs": 1, "query_from_message": 1}
    assert report.dropped == {"other_action": 1}


def test_actions_are_those_of_every_version_and_of_the_mapping(log):
    actions = ["click_through", "Item-Click", "tap"]
    lines = [*LIST, *(event(action, product=f"p{place}", second=place) for place, action in enumerate(actions, 1))]
    found, report = log(lines, mapping=LogMapping(shape="ubi", actions={"tap": "click"}))
    assert found["clicked"].all()
    assert report.actions["tap"] == ("click", 1)
    _, without = log(lines, mapping=LogMapping(shape="ubi", actions={"click_through": "none"}))
    assert without.dropped == {"other_action": 2}
    assert "actions that are not mapped: click_through 1, tap 1" in without.sentences()


def test_a_mapping_says_where_fields_are(log):
    lines = [
        event(
            "impression",
            application=None,
            when="03.02.2026 10:00",
            timestamp=None,
            event_attributes={"sku": "p1", "rank": 4},
        )
    ]
    columns = {"product_id": "event_attributes.sku", "position": "event_attributes.rank", "time": "when"}
    found, _ = log(lines, mapping=LogMapping(shape="ubi", columns=columns, time="%d.%m.%Y %H:%M", first_position=1))
    assert found.select("product_id", "position", "shown_at").row(0) == ("p1", 4, datetime(2026, 2, 3, 10, tzinfo=UTC))


def test_carts_purchases_and_revenue_join_as_clicks_do(log):
    def bought(product, revenue, second):
        inside = {"object": {"object_id": product}, "position": {"ordinal": 1}, "revenue": revenue}
        return event("purchase", second=second, event_attributes=inside)

    found, _ = log([*LIST, event("add_to_cart", product="p2"), bought("p1", 2.5, 1), bought("p1", 4, 2)])
    assert found.select("clicked", "add_to_cart", "purchase", "revenue").rows() == [
        (False, False, True, 6.5),
        (False, True, False, None),
        (False, False, False, None),
    ]


def test_clocks_that_jump_are_noted_and_their_clicks_kept(log):
    found, report = log([*LIST, event(second=-60), event(product="p2", second=7_200)])
    assert found["clicked"].sum() == 2
    assert report.noted == {"click_before_shown": 1, "late_click": 1}


def test_ids_with_quotes_and_unicode_stay_what_they_are(log):
    odd = "p\"'é\u2028\U0001f600\\\n"
    found, _ = log(
        [event("impression", odd, odd, user_query="ＲＥＤ straße"), event(search=odd, product=odd, user_query=None)]
    )
    assert found.select("search_id", "product_id", "query_id", "clicked").row(0) == (odd, odd, "red strasse", True)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_bulk_requests_are_read_and_ids_that_repeat_are_dropped(log, ending):
    events = [*LIST, event(), event(second=5)]
    named = [
        {"index": {"_index": "ubi_events", "_id": f"{each['action_name']} {each['event_attributes']}"}}
        for each in events
    ]
    lines = ending.join(json.dumps(line) for pair in zip(named, events, strict=True) for line in pair).encode()
    found, report = log(lines)
    assert report.noted == {"bulk_action_line": 5}
    assert report.dropped == {"duplicate_id": 1}
    assert report.read == 5
    assert found["clicked"].sum() == 1


@pytest.mark.parametrize(
    "wrapped",
    {
        "an array": lambda events: json.dumps(events),
        "arrays of one": lambda events: "\n".join(json.dumps([each]) for each in events),
        "an array over lines": lambda events: "[\n" + ",\n".join(map(json.dumps, events)) + "\n]\n",
        "an indented array": lambda events: json.dumps(events, indent=2),
        "a search response": lambda events: json.dumps(
            {"hits": {"hits": [{"_source": each} for each in events]}}, indent=1
        ),
        "hits of a scroll": lambda events: "\n".join(json.dumps({"_index": "i", "_source": each}) for each in events),
        "a byte-order mark": lambda events: "\ufeff" + "\n".join(map(json.dumps, events)),
        "blank lines": lambda events: "\n\n \r\n".join(map(json.dumps, events)) + "\n\n",
    }.values(),
    ids=lambda value: None,
)
def test_events_are_the_same_in_every_wrapping(log, wrapped):
    events = [*LIST, event(product="p3", second=2)]
    expected, _ = log(events)
    found, report = log(wrapped(events).encode(), name="log.json")
    assert found.equals(expected)
    assert report.dropped == {}


lists = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 3),
        st.integers(0, 6),
        st.sampled_from(["impression", "click", "purchase", "hover"]),
    ),
    max_size=40,
)


def noisy(records):
    """Searches and events at times of their own, some of them faulty."""
    lines = [search(f"s{number}", ids=[f"p{n}" for n in range(number)], second=number / 7) for number in range(3)]
    for at, (number, client, product, action) in enumerate(records):
        lines.append(event(action, f"s{number}", f"p{product}", product + 1, second=at + 0.5, client_id=f"c{client}"))
    return [*lines, "{", event(action_name=None)]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=lists, seed=st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(log, records, seed):
    lines = noisy(records)
    found, report = log(lines)
    seed.shuffle(lines)
    again, shuffled = log(lines)
    assert again.sort("search_id", "product_id").equals(found.sort("search_id", "product_id"))
    assert (shuffled.dropped, shuffled.noted) == (report.dropped, report.noted)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=lists)
def test_a_log_in_parts_on_disk_is_the_log_in_memory(log, records):
    lines = noisy(records)
    whole, report = log(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "_TOGETHER", 5)
        patch.setattr(spill, "_HELD", 7)
        parted, told = log(lines)
    assert parted.sort("search_id", "product_id").equals(whole.sort("search_id", "product_id"))
    assert (told.dropped, told.noted, told.positions) == (report.dropped, report.noted, report.positions)


def test_a_log_of_many_blocks_is_the_log_of_one(tmp_path):
    lines = [each for number in range(400) for each in noisy([(number % 6, 1, number % 7, "click")])[:-2]]
    data = "\n".join(json.dumps(each | {"query_id": each["query_id"] + str(at % 97)}) for at, each in enumerate(lines))
    (tmp_path / "log.ndjson").write_text(data)
    (tmp_path / "broken.ndjson").write_text(data + "\n{")
    one = read_log(tmp_path / "log.ndjson", directory=tmp_path / "one", filters=LOOSE)
    blocks = gathering.blocks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "blocks", lambda path: blocks(path, size=2_000))
        many = read_log(tmp_path / "broken.ndjson", directory=tmp_path / "many", filters=LOOSE)
    assert many.scan().collect().equals(one.scan().collect())
    assert many.report.examples["truncated"] == [f"broken.ndjson line {len(lines) + 1}"]
    assert {**many.report.dropped, "truncated": 0} == {**one.report.dropped, "truncated": 0}
