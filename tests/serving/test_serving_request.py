"""What may be sent and what may not: one error each, that names the key and what is allowed."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import CandidateError
from ltr.serving.request import (
    MAX_CANDIDATES,
    MAX_DEPTH,
    MAX_ID,
    MAX_QUERY,
    MAX_TEXT,
    MAX_VALUES,
    Candidate,
    Request,
    parse_request,
)

LEAST = {"query": "shoes", "candidates": []}


def with_candidate(**keys):
    return {"query": "shoes", "candidates": ["p0", {"product_id": "p1", **keys}]}


def nested(depth):
    value = "deep"
    for _ in range(depth):
        value = [value]
    return {"at": value}


def test_ids_and_objects_are_candidates_in_the_order_sent_and_repeated_ones_are_kept():
    sent = {
        "query": "red shoes",
        "candidates": [
            "p7",
            {"product_id": "p12", "score": 3, "match": {"a": 2.5, "b": None}, "fields": {"t": "x"}},
            "p7",
        ],
        "pinned": ["p12"],
        "excluded": ["p3"],
        "context": {"session": "s1", "list": [1, {"two": None}]},
        "features": True,
        "explain": True,
        "why": ["p12", "p7"],
    }
    found = parse_request(json.loads(json.dumps(sent)))
    assert [one.product_id for one in found.candidates] == ["p7", "p12", "p7"]
    assert found.candidates[1].score == 3.0
    assert found.candidates[1].match["a"] == 2.5
    assert math.isnan(found.candidates[1].match["b"])
    assert found.candidates[1].fields == {"t": "x"}
    assert (found.pinned, found.excluded, found.why) == (("p12",), ("p3",), ("p12", "p7"))
    assert found.context == sent["context"]
    assert found.features
    assert found.explain


def test_null_is_as_good_as_absent_and_no_candidates_are_a_list_too():
    keys = ("pinned", "excluded", "context", "features", "explain", "why")
    assert parse_request(LEAST | dict.fromkeys(keys)) == parse_request(LEAST) == Request("shoes", ())
    sent = with_candidate(score=None, match=None, fields=None)
    assert parse_request(sent).candidates == (Candidate("p0"), Candidate("p1"))


def test_limits_are_what_is_just_allowed():
    largest = {
        "query": "q" * MAX_QUERY,
        "candidates": ["p" * MAX_ID] * MAX_CANDIDATES,
        "context": {"text": "t" * MAX_TEXT, **nested(MAX_DEPTH - 1)},
    }
    assert len(parse_request(largest).candidates) == MAX_CANDIDATES
    assert len(parse_request({"query": "", "candidates": ["p"] * 10_000}, limit=10_000).candidates) == 10_000


def test_keys_that_the_caller_reads_itself_are_let_through():
    assert parse_request(LEAST | {"deadline_ms": 20}, beside=["deadline_ms"]) == parse_request(LEAST)


def test_tabs_line_ends_and_every_script_may_be_in_a_query():
    query = "röd\tsko\r\n靴 👟 \u200f"
    assert parse_request(LEAST | {"query": query}).query == query


FAULTS = {
    "no object": ([], r"the request is \[\]; give a JSON object"),
    "no query": ({"candidates": []}, "the request lacks 'query'"),
    "a query of null": ({"query": None, "candidates": []}, "the request lacks 'query'"),
    "no candidates": ({"query": "x"}, "the request lacks 'candidates'"),
    "an unknown key": (LEAST | {"canditates": 1}, "key 'canditates'; did you mean 'candidates'?"),
    "a query of a number": (LEAST | {"query": 5}, "query is 5; give a string"),
    "a query too long": (LEAST | {"query": "q" * 1_001}, "query has 1,001 characters; at most 1,000"),
    "a control character": (LEAST | {"query": "a\x00b"}, r"query has '\\x00' at place 1; leave control"),
    "half a surrogate pair": (LEAST | {"query": "a\ud83d"}, r"query has '\\ud83d' at place 1"),
    "candidates of a text": (LEAST | {"candidates": "p1"}, "candidates is 'p1'; give a list"),
    "candidates of an object": (LEAST | {"candidates": {"p1": 1}}, "candidates is {'p1': 1}; give a list"),
    "too many": (LEAST | {"candidates": ["p"] * 1_001}, "candidates has 1,001 entries; at most 1,000"),
    "an id of a number": (LEAST | {"candidates": ["p", 12]}, r"candidates\[1\] is 12; give a product_id as a string"),
    "an id of null": (LEAST | {"candidates": [None]}, r"candidates\[0\] is None"),
    "an id of true": (LEAST | {"candidates": [True]}, r"candidates\[0\] is True"),
    "an empty id": (LEAST | {"candidates": [""]}, r"candidates\[0\] has 0 characters; a product_id has 1 to 512"),
    "an id too long": (LEAST | {"candidates": ["p" * 513]}, r"candidates\[0\] has 513 characters"),
    "an id of two lines": (LEAST | {"candidates": ["p\n1"]}, r"candidates\[0\] is 'p\\n1'; leave control"),
    "an object without id": (LEAST | {"candidates": [{"score": 1}]}, r"candidates\[0\] lacks 'product_id'"),
    "an object with an id of 7": (LEAST | {"candidates": [{"product_id": 7}]}, r"candidates\[0\]\.product_id is 7"),
    "an unknown key of one": (with_candidate(scores=1), r"candidates\[1\] has key 'scores'; did you mean 'score'"),
    "a score of a text": (with_candidate(score="3.5"), r"candidates\[1\]\.score is '3\.5'; give a finite number"),
    "a score of true": (with_candidate(score=True), r"candidates\[1\]\.score is True; give a finite number"),
    "a score of NaN": (with_candidate(score=math.nan), r"candidates\[1\]\.score is nan; give a finite number"),
    "a score beyond float32": (with_candidate(score=1e39), r"score is 1e\+39; give a finite number within float32"),
    "a score of a huge integer": (with_candidate(score=10**400), r"candidates\[1\]\.score is 1000"),
    "match of a list": (with_candidate(match=[1]), r"candidates\[1\]\.match is \[1\]; give a JSON object"),
    "match of infinity": (with_candidate(match={"a": -math.inf}), r"match\['a'\] is -inf; give a finite"),
    "match of a text": (with_candidate(match={"a": "1"}), r"match\['a'\] is '1'; give a finite"),
    "match of too many": (with_candidate(match=dict.fromkeys(map(str, range(1_001)), 1)), "match has 1,001 features"),
    "fields of a text": (with_candidate(fields="red"), r"candidates\[1\]\.fields is 'red'; give a JSON object"),
    "fields too deep": (with_candidate(fields=nested(MAX_DEPTH)), "fields is nested more than 8 deep"),
    "fields too many": (with_candidate(fields={"a": [1] * MAX_VALUES}), "fields has over 1,000 keys and values"),
    "fields of infinity": (with_candidate(fields={"a": [math.inf]}), "fields holds inf; numbers are finite"),
    "fields of bytes": (with_candidate(fields={"a": b"x"}), "fields holds b'x'; give JSON values"),
    "a field's text too long": (with_candidate(fields={"a": "t" * 10_001}), "a text in .*fields has 10,001 characters"),
    "a field's control character": (with_candidate(fields={"a": "\x1b[2J"}), r"fields has '\\x1b' at place 0"),
    "context of a list": (LEAST | {"context": []}, r"context is \[\]; give a JSON object"),
    "context too deep": (LEAST | {"context": nested(100_000)}, "context is nested more than 8 deep"),
    "pinned of a text": (LEAST | {"pinned": "p1"}, "pinned is 'p1'; give a list"),
    "pinned of a number": (LEAST | {"pinned": [1]}, r"pinned\[0\] is 1; a product_id is a string"),
    "excluded of null": (LEAST | {"excluded": ["p", None]}, r"excluded\[1\] is None; a product_id is a string"),
    "features of a text": (LEAST | {"features": "yes"}, "features is 'yes'; give true or false"),
    "explain of one": (LEAST | {"explain": 1}, "explain is 1; give true or false"),
    "why of one": (LEAST | {"candidates": ["p"], "why": ["p"]}, "why has 1 product_ids; name two candidates"),
    "why of a stranger": (LEAST | {"candidates": ["p"], "why": ["p", "x"]}, "why names 'x', which is no candidate"),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_error_that_says_what_is_allowed(sent, said):
    with pytest.raises(CandidateError, match=said) as caught:
        parse_request(sent)
    assert len(str(caught.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
CANDIDATE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("product_id", "score", "match", "fields", "other"), JSON)
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "query": st.text(max_size=9) | JSON,
            "candidates": st.lists(st.text(min_size=1, max_size=3) | CANDIDATE | JSON, max_size=4) | JSON,
            **dict.fromkeys(("pinned", "excluded", "context", "features", "explain", "why"), JSON),
        },
    )
    | JSON
)
def test_whatever_is_sent_is_a_request_or_a_candidate_error(sent):
    try:
        found = parse_request(sent)
    except CandidateError:
        return
    assert len(found.candidates) == len(sent["candidates"])
