"""Bulk requests: bounded, in flight together, sent again where the server was busy, and every document counted once."""

import json
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.engine import connect
from ltr.engine.bulk import Outcome, Rejection, cut, send
from ltr.errors import EngineError
from made.scripted_server import RESET, scripted

BUSY = {"type": "es_rejected_execution_exception", "reason": "queue full"}
BROKEN = {
    "type": "document_parsing_exception",
    "reason": "failed to parse field [since]",
    "caused_by": {"reason": "year out of range"},
}


def documents(*names):
    return [f'{{"index":{{"_id":"{name}"}}}}\n{{}}\n'.encode() for name in names]


def ids(request):
    return [json.loads(line)["index"]["_id"] for line in request.body.splitlines()[::2]]


def answering(statuses):
    """A server that answers each document with the next of its statuses, 201 when there is none left."""
    left, lock = {name: list(each) for name, each in statuses.items()}, threading.Lock()

    def answer(request):
        items = []
        with lock:
            for name in ids(request):
                status = left[name].pop(0) if left.get(name) else 201
                error = {429: BUSY, 503: BUSY, 400: BROKEN}.get(status)
                items.append({"index": {"_id": name, "status": status, **({"error": error} if error else {})}})
        return 200, {"errors": True, "items": items}

    return answer


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """How long was waited, without waiting."""
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def test_what_a_busy_server_refuses_goes_out_again_alone(waits):
    outcome = Outcome()
    with scripted(answering({"b": [429, 503], "c": [429]})) as server:
        send(connect(server.url), "shop", [documents("a", "b", "c", "d")], outcome=outcome)
    assert [ids(request) for request in server.asked] == [["a", "b", "c", "d"], ["b", "c"], ["b"]]
    assert outcome == Outcome(4, [])
    assert [0 <= wait <= 0.25 * 2**attempt for attempt, wait in enumerate(waits)] == [True, True]


def test_a_document_that_is_wrong_is_not_sent_again_and_says_why():
    outcome = Outcome()
    with scripted(answering({"b": [400], "c": [429, 400]})) as server:
        send(connect(server.url), "shop", [documents("a", "b"), documents("c")], outcome=outcome)
    assert outcome.accepted == 1
    reason = "failed to parse field [since]: year out of range"
    assert sorted(outcome.rejected, key=str) == [Rejection("b", reason), Rejection("c", reason)]


def test_a_server_that_stays_busy_is_an_error():
    with (
        scripted(answering({"a": [429] * 100})) as server,
        pytest.raises(EngineError, match="too busy: 1 documents") as told,
    ):
        send(connect(server.url), "shop", [documents("a", "b")], outcome=Outcome())
    assert told.value.status == 429


def test_a_request_that_is_too_large_for_something_on_the_way_is_halved():
    def answer(request):
        return answering({})(request) if len(ids(request)) <= 2 else (413, "<h1>Request Entity Too Large</h1>")

    outcome = Outcome()
    with scripted(answer) as server:
        send(connect(server.url), "shop", [documents(*"abcdefg")], outcome=outcome)
    assert outcome.accepted == 7
    assert sorted(name for request in server.asked if len(ids(request)) <= 2 for name in ids(request)) == [*"abcdefg"]
    with scripted((413, "no")) as server, pytest.raises(EngineError, match="413"):
        send(connect(server.url), "shop", [documents("a", "b")], outcome=outcome)


def test_a_connection_that_breaks_costs_nothing():
    outcome = Outcome()
    with scripted(RESET, answering({})) as server:
        send(connect(server.url), "shop", [documents("a"), documents("b")], outcome=outcome)
    assert outcome.accepted == 2


def test_an_error_says_how_far_it_came_and_stops_the_rest():
    def answer(request):
        return (403, {"error": "read-only"}) if "b" in ids(request) else answering({})(request)

    outcome, taken = Outcome(), []

    def batches():
        for name in "abcdefgh":
            taken.append(name)
            yield documents(name)

    with scripted(answer) as server, pytest.raises(EngineError, match="read-only"):
        send(connect(server.url), "shop", batches(), outcome=outcome, in_flight=1)
    assert (outcome.accepted, taken) == (1, ["a", "b"])


def test_requests_are_in_flight_together_but_no_more_than_that():
    busy, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(2, timeout=10)

    def answer(request):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        together.wait()
        with lock:
            busy[0] -= 1
        return answering({})(request)

    outcome, progress = Outcome(), []
    with scripted(answer) as server:
        send(
            connect(server.url), "shop", [documents(name) for name in "abcdef"],
            outcome=outcome, in_flight=2, advance=progress.append,
        )  # fmt: skip
    assert most == [2]
    assert sum(progress) == outcome.accepted == 6


def test_an_answer_of_another_length_is_no_engines():
    with scripted((200, {"items": []})) as server, pytest.raises(EngineError, match="answers for 0 of 1 documents"):
        send(connect(server.url), "shop", [documents("a")], outcome=Outcome())


@settings(max_examples=60)
@given(lines=st.lists(st.binary(min_size=1, max_size=20)), most=st.integers(1, 30))
def test_a_cut_keeps_all_lines_in_order_and_within_the_bound(lines, most):
    batches = [*cut(lines, most_bytes=most)]
    assert [line for batch in batches for line in batch] == lines
    assert all(batch and (len(batch) == 1 or sum(map(len, batch)) <= most) for batch in batches)
    assert all(sum(map(len, one)) + len(other[0]) > most for one, other in pairwise(batches))
