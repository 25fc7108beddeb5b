"""The shop's side against real services on real sockets, each wrong in its own way: no answer ever breaks the page.

Times are generous here, since machines are shared; how tight the deadline holds is a figure of `make bench`.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltr import client as client_module
from ltr.client import Client, Reranked, rerank

GIVEN = ["P12", "P7", "P901"]
LATE_S = 2.0  # what a shared machine may add to a deadline


class Service:
    """A server on a port of its own that answers every question by `answer(connection, question)`.

    An answer of bytes is sent; None hangs up. `connections` and `questions` count and keep what came.
    """

    def __init__(self, answer, *, port=0, tls=None):
        self.answer, self.tls = answer, tls
        self.over = threading.Event()
        self.questions, self.connections, self.threads = [], [], []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.begin(self.accept)

    def begin(self, work, *args):
        self.threads.append(threading.Thread(target=work, args=args, daemon=True))
        self.threads[-1].start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
                if self.over.is_set():
                    connection.close()
                    return
                connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections.append(connection)
            self.begin(self.serve, connection)

    def serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                while question := read_question(stream):
                    self.questions.append(question)
                    answer = self.answer(connection, question)
                    if answer is None:
                        return
                    connection.sendall(answer)
        except OSError:
            pass

    def close(self):
        self.over.set()
        for one in self.connections:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


def read_question(stream):
    """The head's lines and the JSON of one request, or None at the end."""
    if not (first := stream.readline()):
        return None
    head = [first.decode().strip()]
    while line := stream.readline().strip():
        head.append(line.decode())
    lengths = [int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:")]
    return head, json.loads(stream.read(lengths[0])) if lengths else None


@contextmanager
def service(answer, **more):
    serving = Service(answer, **more)
    try:
        yield serving
    finally:
        serving.close()


@contextmanager
def shop(url, **more):
    """A client that closes what it kept."""
    more = {"timeout_ms": 5000, "breaker_failures": 0} | more
    calling = Client(url, **more)
    try:
        yield calling
    finally:
        calling.close()


def http(body, *, status="200 OK", headers=()):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def results(ids, **more):
    ranked = [{"product_id": one, "rank": rank, "score": 1 / rank} for rank, one in enumerate(ids, 1)]
    return {"results": ranked, "degraded": False} | more


def ids_of(question):
    return [one if isinstance(one, str) else one["product_id"] for one in question[1]["candidates"]]


def backwards(_connection, question):
    return http(results(ids_of(question)[::-1]))


def says(answer):
    """A service that says the same to everybody, then hangs up."""

    def say(connection, _question):
        connection.sendall(answer)

    return say


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_candidates_come_back_in_the_order_of_the_service():
    with service(backwards) as serving, shop(serving.url) as calling:
        assert calling.rerank("red shoes", GIVEN) == Reranked(GIVEN[::-1], degraded=False, reason="")
        head, question = serving.questions[0]
        assert head[0] == "POST /rerank HTTP/1.1"
        assert question == {"query": "red shoes", "candidates": GIVEN}


def test_the_plain_function_keeps_one_connection_for_a_url():
    with service(backwards) as serving:
        for _ in range(3):
            assert rerank("x", GIVEN, url=serving.url, timeout_ms=5000).candidates == GIVEN[::-1]
        assert len(serving.connections) == 1
        client_module._client(serving.url, None).close()


def test_dicts_come_back_as_given_and_only_what_the_service_knows_is_sent():
    rich = {"product_id": "P1", "score": 2.5, "match": {"title": 1.0}, "stock": object()}
    with service(backwards) as serving, shop(serving.url) as calling:
        answer = calling.rerank("x", [rich, "P2"])
        assert answer.candidates[0] == "P2"
        assert answer.candidates[1] is rich
        assert serving.questions[0][1]["candidates"] == [
            {"product_id": "P1", "score": 2.5, "match": {"title": 1.0}},
            "P2",
        ]


def test_options_are_further_keys_of_the_request():
    with service(backwards) as serving, shop(serving.url) as calling:
        calling.rerank("x", GIVEN, options={"pinned": ["P7"]})
        assert serving.questions[0][1]["pinned"] == ["P7"]


def test_repeated_candidates_come_back_as_often_as_sent_each_in_its_turn():
    first, second = {"product_id": "A", "score": 1}, {"product_id": "A", "score": 2}
    with service(lambda *_: http(results(["A", "B", "A"]))) as serving, shop(serving.url) as calling:
        answer = calling.rerank("x", [first, second, "B"])
        assert answer.candidates == [first, "B", second]
        assert answer.candidates[0] is first


def test_results_are_ordered_by_rank_wherever_they_stand_in_the_answer():
    shuffled = {"results": [{"product_id": one, "rank": rank} for one, rank in zip(GIVEN, [2, 3, 1], strict=True)]}
    with service(lambda *_: http(shuffled)) as serving, shop(serving.url) as calling:
        assert calling.rerank("x", GIVEN).candidates == ["P901", "P12", "P7"]


def test_an_answer_that_is_itself_degraded_keeps_its_order_and_its_reason():
    answer = http(results(GIVEN[::-1], degraded=True, reason="missing_match"))
    with service(lambda *_: answer) as serving, shop(serving.url) as calling:
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN[::-1], degraded=True, reason="missing_match")


@pytest.mark.parametrize("reason", [None, 7, "", "line\nbreak", "\ud800", "x" * 101])
def test_a_reason_that_a_log_could_not_bear_is_not_passed_on(reason):
    answer = http(results(GIVEN, degraded=True, reason=reason))
    with service(lambda *_: answer) as serving, shop(serving.url) as calling:
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason="unknown")


def test_no_candidates_need_no_service():
    assert rerank("x", [], url=f"http://127.0.0.1:{free_port()}") == Reranked([])


def test_ten_thousand_candidates_are_reranked():
    many = [f"P{at}" for at in range(10_000)]
    with service(backwards) as serving, shop(serving.url, timeout_ms=20_000) as calling:
        assert calling.rerank("x", many) == Reranked(many[::-1])


def test_ids_and_queries_may_be_any_text():
    odd = ["", "ü", '"', "\\", "\x00", "🩴", "\ud800", "a" * 5000]
    with service(backwards) as serving, shop(serving.url) as calling:
        assert calling.rerank('snow ☃ "\r\n', odd) == Reranked(odd[::-1])


def chunked(body, size):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"


GOOD = json.dumps(results(GIVEN[::-1])).encode()
FINE = {
    "chunks": chunked(GOOD, 7),
    "one chunk": chunked(GOOD, 10_000),
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + GOOD,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + GOOD,
    "an interim answer first": b"HTTP/1.1 100 Continue\r\n\r\n" + http(GOOD),
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(GOOD) + GOOD,
    "no phrase": b"HTTP/1.1 200\r\ncontent-length:%d\r\n\r\n" % len(GOOD) + GOOD,
}


@pytest.mark.parametrize("answer", FINE.values(), ids=FINE)
def test_answers_of_any_framing_are_read(answer):
    with service(says(answer)) as serving, shop(serving.url) as calling:
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN[::-1])


def ranked(*pairs):
    return http({"results": [{"product_id": one, "rank": rank} for one, rank in pairs]})


FAULTY = {
    "nothing": (b"", "cut_off"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "bad_answer"),
    "half a body": (http(GOOD)[:-20], "cut_off"),
    "a length too long": (http(GOOD).replace(b"Length: ", b"Length: 1"), "cut_off"),
    "a length too short": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + GOOD, "bad_answer"),
    "a length of words": (b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n", "bad_answer"),
    "half its chunks": (chunked(GOOD, 7)[:-40], "cut_off"),
    "chunks of no size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx", "cut_off"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n" * 9, "bad_answer"),
    "a line without end": (b"HTTP/1.1 200 " + b"x" * 10_000_000, "too_big"),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"A: %s\r\n" % (b"b" * 1000) * 10_000, "too_big"),
    "headers by the hundred": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 150, "bad_answer"),
    "not JSON": (http(b"<html>Welcome to nginx!</html>"), "bad_answer"),
    "not UTF-8": (http(b'{"results": "\xff"}'), "bad_answer"),
    "deep JSON": (http(b"[" * 16_000), "bad_answer"),
    "a list": (http([]), "bad_answer"),
    "null": (http(None), "bad_answer"),
    "no results": (http({}), "bad_answer"),
    "results of text": (http({"results": "P12"}), "bad_answer"),
    "results of ids": (http({"results": GIVEN}), "bad_answer"),
    "degraded by word": (http(results(GIVEN, degraded="no")), "bad_answer"),
    "ranks that are NaN": (ranked(("P12", float("nan")), ("P7", float("nan")), ("P901", float("nan"))), "bad_answer"),
    "ranks that are text": (ranked(("P12", "1"), ("P7", "2"), ("P901", "3")), "bad_answer"),
    "ranks that are truths": (ranked(("P12", True), ("P7", 2), ("P901", 3)), "bad_answer"),
    "ranks that are fractions": (ranked(("P12", 1.0), ("P7", 2.0), ("P901", 3.0)), "bad_answer"),
    "ranks that repeat": (ranked(("P12", 1), ("P7", 1), ("P901", 2)), "bad_answer"),
    "ranks from zero": (ranked(("P12", 0), ("P7", 1), ("P901", 2)), "bad_answer"),
    "ids that are numbers": (ranked((12, 1), (7, 2), (901, 3)), "bad_answer"),
    "no ids at all": (http(results([])), "wrong_ids"),
    "an id lost": (http(results(GIVEN[:2])), "wrong_ids"),
    "an id repeated": (http(results(["P12", "P7", "P7"])), "wrong_ids"),
    "an id too many": (http(results([*GIVEN, "P7"])), "wrong_ids"),
    "an id invented": (http(results(["P12", "P7", "P8"])), "wrong_ids"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "status_204"),
    "a redirect": (http(b"", status="307 Temporary Redirect", headers=["Location: /elsewhere"]), "status_307"),
    "bad request": (http({}, status="400 Bad Request"), "status_400"),
    "bad key": (http({}, status="401 Unauthorized"), "status_401"),
    "too large": (http({}, status="413 Content Too Large"), "status_413"),
    "too many": (http({}, status="429 Too Many Requests"), "status_429"),
    "a crash": (http(GOOD, status="500 Internal Server Error"), "status_500"),
    "no service": (http({}, status="503 Service Unavailable"), "status_503"),
}


@pytest.mark.parametrize(("answer", "reason"), FAULTY.values(), ids=FAULTY)
def test_a_faulty_answer_leaves_the_order_given(answer, reason):
    with service(says(answer)) as serving, shop(serving.url) as calling:
        begun = time.monotonic()
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason=reason)
        assert time.monotonic() - begun < LATE_S
        assert len(serving.questions) == 1  # a fresh connection is not tried twice
        assert not calling._idle


HUGE = 100_000_000
HEADS = {
    "by its length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE,
    "by a length past all memory": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 10**18,
    "in one chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % HUGE,
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_an_answer_of_100_mb_is_not_read(head):
    sent = []

    def pour(connection, _question):
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b" " * (HUGE // 100))
            sent.append(1)

    with service(pour) as serving, shop(serving.url) as calling:
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason="too_big")
    assert len(sent) < 50


def black_hole(connection, _question):
    connection.recv(1)  # until the client gives up


def trickle(answer):
    def drip(connection, _question):
        for at in range(len(answer)):
            connection.sendall(answer[at : at + 1])
            time.sleep(0.001)
        connection.recv(1)

    return drip


def stall(answer):
    """Says some, then no more."""

    def begin(connection, _question):
        connection.sendall(answer)
        connection.recv(1)

    return begin


SLOW = {
    "accepts and never answers": black_hole,
    "stops in the head": stall(http(GOOD)[:30]),
    "stops in the body": stall(http(GOOD)[:-1]),
    "stops in a chunk": stall(chunked(GOOD, 7)[:100]),
    "never ends an answer without a length": stall(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD),
    "one byte of the head a millisecond": trickle(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 3000),
    "one byte of the body a millisecond": trickle(http(b" " * 3000)),
    "one interim answer after another": trickle(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_a_slow_service_costs_no_more_than_the_deadline(answer):
    with service(answer) as serving, shop(serving.url) as calling:
        begun = time.monotonic()
        assert calling.rerank("x", GIVEN, timeout_ms=150) == Reranked(GIVEN, degraded=True, reason="timeout")
        assert 0.15 <= time.monotonic() - begun < 0.15 + LATE_S


def test_a_service_that_takes_no_more_of_the_question_costs_no_more_than_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with shop(f"http://127.0.0.1:{listener.getsockname()[1]}") as calling:
            long = ["P" * 1000 + str(at) for at in range(20_000)]
            begun = time.monotonic()
            assert calling.rerank("x", long, timeout_ms=500) == Reranked(long, degraded=True, reason="timeout")
            assert time.monotonic() - begun < 0.5 + LATE_S


def test_a_full_backlog_costs_no_more_than_the_deadline():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        try:
            for _ in range(4):  # beyond the backlog the system lets connections wait unanswered
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(listener.getsockname())
            with shop(f"http://127.0.0.1:{listener.getsockname()[1]}") as calling:
                begun = time.monotonic()
                assert calling.rerank("x", GIVEN, timeout_ms=150) == Reranked(GIVEN, degraded=True, reason="timeout")
                assert time.monotonic() - begun < 0.15 + LATE_S
        finally:
            for one in waiting:
                one.close()


def test_a_service_that_is_down_is_unreachable():
    with shop(f"http://127.0.0.1:{free_port()}") as calling:
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason="unreachable")


def test_a_service_killed_while_it_answers_leaves_the_order_given():
    def die(connection, _question):
        connection.sendall(http(GOOD)[:60])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, as the killed do

    with service(die) as serving, shop(serving.url) as calling:
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason="cut_off")


def test_a_refusal_before_the_whole_question_was_read_is_understood():
    refusal = http({}, status="413 Content Too Large", headers=["Connection: close"])

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            connection = listener.accept()[0]
            with connection:
                connection.recv(100)
                connection.sendall(refusal)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        long = ["P" * 1000 + str(at) for at in range(5_000)]
        with shop(f"http://127.0.0.1:{listener.getsockname()[1]}") as calling:
            assert calling.rerank("x", long) == Reranked(long, degraded=True, reason="status_413")
        thread.join()


def test_a_redirect_takes_the_key_nowhere():
    with service(backwards) as elsewhere:
        away = http(b"", status="308 Permanent Redirect", headers=[f"Location: {elsewhere.url}/rerank"])
        with service(says(away)) as serving, shop(serving.url, api_key="secret") as calling:
            assert calling.rerank("x", GIVEN).reason == "status_308"
            assert not elsewhere.connections


def test_the_key_is_sent_as_a_bearer_and_shown_nowhere():
    with service(backwards) as serving, shop(serving.url, api_key="s3cret") as calling:
        answer = calling.rerank("x", GIVEN)
        assert "Authorization: Bearer s3cret" in serving.questions[0][0]
        assert "s3cret" not in f"{calling!r}{answer!r}"


def test_a_url_may_have_a_path():
    with service(backwards) as serving, shop(f"{serving.url}/shop/ltr/") as calling:
        assert not calling.rerank("x", GIVEN).degraded
        assert serving.questions[0][0][0] == "POST /shop/ltr/rerank HTTP/1.1"


# Connections.


def test_calls_one_after_another_share_a_connection():
    with service(backwards) as serving, shop(serving.url) as calling:
        assert {calling.rerank(str(at), GIVEN).reason for at in range(20)} == {""}
        assert len(serving.connections) == 1


def test_a_connection_closed_between_calls_is_replaced():
    with service(says(http(GOOD))) as serving, shop(serving.url) as calling:
        for _ in range(4):
            assert calling.rerank("x", GIVEN) == Reranked(GIVEN[::-1])
            serving.threads[-1].join(10)  # it has hung up
        assert len(serving.questions) == 4


def test_a_connection_closed_on_the_next_question_is_replaced_once():
    def second_is_refused(connection, question):
        asked[connection] = asked.get(connection, 0) + 1
        return backwards(connection, question) if asked[connection] == 1 else None

    asked = {}
    with service(second_is_refused) as serving, shop(serving.url) as calling:
        assert [calling.rerank("x", GIVEN).reason for _ in range(3)] == [""] * 3
        assert len(serving.connections) == 3
        assert len(serving.questions) == 5


def test_a_service_that_hangs_up_on_every_question_is_asked_twice_at_most():
    def answer(connection, question):
        return backwards(connection, question) if len(serving.questions) == 1 else None

    with service(answer) as serving, shop(serving.url) as calling:
        assert not calling.rerank("x", GIVEN).degraded
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason="cut_off")
        assert len(serving.questions) == 3


def test_connections_gone_silent_cost_one_call_not_one_each():
    together, gone = threading.Barrier(8), set()

    def answer(connection, question):
        if connection in gone:
            return black_hole(connection, question)
        if question[1]["query"] == "together":
            together.wait(10)
        return backwards(connection, question)

    with service(answer) as serving, shop(serving.url) as calling:
        with ThreadPoolExecutor(8) as pool:
            assert all(not one.degraded for one in pool.map(lambda _: calling.rerank("together", GIVEN), range(8)))
        gone.update(serving.connections)
        assert calling.rerank("x", GIVEN, timeout_ms=100).reason == "timeout"
        assert not calling.rerank("x", GIVEN).degraded


def test_an_answer_nobody_asked_for_is_not_taken_for_the_next():
    other = http(results(["P901", "P12", "P7"]))

    def twice(_connection, _question):
        return http(GOOD) + other

    with service(twice) as serving, shop(serving.url) as calling:
        for _ in range(5):
            answer = calling.rerank("x", GIVEN)
            assert answer.candidates == GIVEN[::-1] or answer.degraded


def test_a_connection_that_says_it_closes_is_not_kept():
    with service(lambda *_: http(GOOD, headers=["Connection: close"])) as serving, shop(serving.url) as calling:
        calling.rerank("x", GIVEN)
        assert not calling._idle


def test_sixteen_threads_get_each_its_own_answer():
    def ask(worker):
        own = [f"{worker}-{at}" for at in range(20)]
        return all(calling.rerank(f"{worker}", own) == Reranked(own[::-1]) for _ in range(20))

    with service(backwards) as serving, shop(serving.url, timeout_ms=30_000) as calling:
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(16)))
        assert len(serving.connections) <= 16


def test_a_forked_process_opens_a_connection_of_its_own():
    script = """
import os, sys
from ltr.client import Client
calling = Client(sys.argv[1], timeout_ms=5000)
first = calling.rerank("parent", ["A", "B"])
child = os.fork()
again = calling.rerank(f"{child}", ["A", "B"])
if child == 0:
    os._exit(0 if again.candidates == ["B", "A"] else 1)
sys.exit(os.waitpid(child, 0)[1] or first != again or again.candidates != ["B", "A"])
"""
    with service(backwards) as serving:
        subprocess.run([sys.executable, "-c", script, serving.url], check=True, timeout=60)
        assert len(serving.questions) == 3
        assert len(serving.connections) == 2


def test_a_client_that_is_forgotten_closes_its_connections():
    with service(backwards) as serving:
        calling = Client(serving.url, timeout_ms=5000)
        calling.rerank("x", GIVEN)
        kept = calling._idle[0][0]
        calling._resolver.join()
        del calling
        assert kept.fileno() == -1


# Names.


def test_a_name_that_resolves_slowly_costs_no_more_than_the_deadline(monkeypatch):
    known, resolve = threading.Event(), socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *at, **how: known.wait(30) and resolve("127.0.0.1", *at[1:], **how)
    )
    with service(backwards) as serving, shop(f"http://ltr.example:{serving.port}") as calling:
        begun = time.monotonic()
        assert calling.rerank("x", GIVEN, timeout_ms=150) == Reranked(GIVEN, degraded=True, reason="timeout")
        assert time.monotonic() - begun < 0.15 + LATE_S
        known.set()
        assert calling.rerank("x", GIVEN) == Reranked(GIVEN[::-1])
        assert f"Host: ltr.example:{serving.port}" in serving.questions[0][0]


def test_a_name_that_is_not_found_is_unreachable_until_it_is(monkeypatch):
    resolve = socket.getaddrinfo

    def unknown(*_at, **_how):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with service(backwards) as serving:
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with shop(f"http://ltr.example:{serving.port}") as calling:
            assert calling.rerank("x", GIVEN).reason == "unreachable"
            monkeypatch.setattr(socket, "getaddrinfo", lambda *at, **how: resolve("127.0.0.1", *at[1:], **how))
            deadline = time.monotonic() + 10
            while calling.rerank("x", GIVEN).degraded and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not calling.rerank("x", GIVEN).degraded


def test_an_address_that_refuses_is_passed_over_for_the_next(monkeypatch):
    resolve = socket.getaddrinfo

    def two(_host, port, **how):
        return resolve("127.0.0.2", free_port(), **how) + resolve("127.0.0.1", port, **how)

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with service(backwards) as serving, shop(f"http://ltr.example:{serving.port}") as calling:
        assert not calling.rerank("x", GIVEN).degraded


# The breaker.


def test_after_failures_in_a_row_the_breaker_answers_at_once_until_the_service_is_back():
    port = free_port()
    with shop(f"http://127.0.0.1:{port}", breaker_failures=3, breaker_ms=800) as calling:
        assert [calling.rerank("x", GIVEN).reason for _ in range(3)] == ["unreachable"] * 3
        with service(backwards, port=port) as serving:
            assert calling.rerank("x", GIVEN) == Reranked(GIVEN, degraded=True, reason="paused")
            assert not serving.questions
            time.sleep(0.85)
            assert [calling.rerank("x", GIVEN).reason for _ in range(5)] == [""] * 5


def test_an_open_breaker_lets_one_call_at_a_time_try():
    with service(black_hole) as serving, shop(serving.url, breaker_failures=2, breaker_ms=50) as calling:
        for _ in range(2):
            assert calling.rerank("x", GIVEN, timeout_ms=50).reason == "timeout"
        time.sleep(0.1)
        with ThreadPoolExecutor(16) as pool:
            reasons = list(pool.map(lambda _: calling.rerank("x", GIVEN, timeout_ms=1000).reason, range(16)))
        assert sorted(reasons) == ["paused"] * 15 + ["timeout"]
        assert len(serving.connections) == 3


def test_a_probe_that_fails_keeps_the_breaker_open():
    with shop(f"http://127.0.0.1:{free_port()}", breaker_failures=1, breaker_ms=500) as calling:
        reasons = []
        for pause in (0, 0, 0.55, 0):
            time.sleep(pause)
            reasons.append(calling.rerank("x", GIVEN).reason)
        assert reasons == ["unreachable", "paused", "unreachable", "paused"]


@pytest.mark.parametrize(("status", "opens"), [("401 Unauthorized", False), ("422 No", False), ("429 Busy", True)])
def test_what_is_wrong_with_one_request_does_not_open_the_breaker(status, opens):
    with (
        service(lambda *_: http({}, status=status)) as serving,
        shop(serving.url, breaker_failures=2, breaker_ms=60_000) as calling,
    ):
        reasons = [calling.rerank("x", GIVEN).reason for _ in range(4)]
        assert reasons == [f"status_{status[:3]}"] * 2 + (["paused"] * 2 if opens else [f"status_{status[:3]}"] * 2)


def test_failures_that_are_not_in_a_row_do_not_open_the_breaker():
    def every_other(_connection, _question):
        return http(GOOD) if len(serving.questions) % 2 else http({}, status="500 No")

    with service(every_other) as serving, shop(serving.url, breaker_failures=2) as calling:
        assert [calling.rerank("x", GIVEN).reason for _ in range(6)] == ["", "status_500"] * 3


# What only a programmer gets wrong.


@pytest.mark.parametrize(
    "wrong", [[7], [None], ["A", {}], [{"id": "A"}], [{"product_id": 7}], [b"A"], "A", {"product_id": "A"}]
)
def test_candidates_of_another_kind_are_refused_before_anything_is_sent(wrong):
    with service(backwards) as serving, shop(serving.url) as calling:
        with pytest.raises(ValueError, match="candidate"):
            calling.rerank("x", wrong)
        assert not serving.connections


@pytest.mark.parametrize("timeout_ms", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(timeout_ms):
    with pytest.raises(ValueError, match="timeout_ms"):
        rerank("x", GIVEN, timeout_ms=timeout_ms)


def test_a_query_that_is_not_text_is_refused():
    with pytest.raises(ValueError, match="query must be a string, not NoneType"):
        rerank(None, GIVEN)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://u:pw@x", "http://x?a", "http://x/\r\nA: b", "http://ü"]
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match="url must be") as refused:
        Client(url)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "ü"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(key):
    with pytest.raises(ValueError, match="api_key must be visible ASCII characters, without spaces"):
        Client(api_key=key)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"x"])
def test_a_field_that_json_cannot_say_leaves_the_order_given(value):
    with service(backwards) as serving, shop(serving.url) as calling:
        strange = [{"product_id": "A", "score": value}, "B"]
        answer = calling.rerank("x", strange)
        assert (answer.degraded, answer.reason) == (True, "unsendable")
        assert answer.candidates[0] is strange[0]
        assert not serving.connections


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that only its own holder trusts: (certificate, key)."""
    home = tmp_path_factory.mktemp("tls")
    paths = home / "certificate.pem", home / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    try:
        subprocess.run([*command.split(), "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    except FileNotFoundError:
        if os.environ.get("CI"):
            pytest.fail("CI needs openssl")
        pytest.skip("needs the openssl command")
    return paths


def test_tls_is_spoken_and_its_certificates_are_verified(certificate):
    holding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    holding.load_cert_chain(*certificate)
    with service(backwards, tls=holding) as serving:
        url = f"https://localhost:{serving.port}"
        with shop(url) as stranger:
            assert stranger.rerank("x", GIVEN).reason == "unreachable"
        with shop(url, tls=ssl.create_default_context(cafile=certificate[0])) as friend:
            assert [friend.rerank("x", GIVEN) for _ in range(3)] == [Reranked(GIVEN[::-1])] * 3
        assert len(serving.connections) == 1
        with shop(serving.url) as plain:
            assert plain.rerank("x", GIVEN).degraded


# Laws.

IDS = st.sampled_from(["A", "B", "C", "a", "ü", ""])
LISTS = st.lists(IDS, min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | IDS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["results", "product_id", "rank", "degraded", "reason"]), inner, max_size=4)
    ),
    max_leaves=12,
)
RESULTS = st.lists(
    st.fixed_dictionaries({"product_id": IDS, "rank": st.integers(0, 9)}, optional={"score": JSON}), max_size=8
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | RESULTS.map(lambda found: json.dumps({"results": found, "degraded": False}).encode())
    | LISTS.map(lambda ids: json.dumps(results(ids)).encode())
)
HEADERS = st.lists(
    st.sampled_from(
        [
            "Content-Length: 5",
            "Content-Length: -1",
            "Transfer-Encoding: chunked",
            "Connection: close",
            ":",
            "A",
            "\x80: b",
        ]
    ),
    max_size=3,
)
STATUSES = st.sampled_from(["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 503 No", "HTTP/2 200", "HTTP/1.1 -1 x", ""])
ANSWERS = (
    st.binary(max_size=300)
    | BODIES.map(http)
    | st.builds(
        lambda status, headers, body: "\r\n".join([status, *headers, "", ""]).encode("latin-1") + body,
        STATUSES,
        HEADERS,
        BODIES,
    )
)


@pytest.fixture(scope="module")
def parrot():
    """A service that says what `said` holds, to whomever, then hangs up; and its client."""

    def say(connection, _question):
        connection.sendall(serving.said)

    with service(say) as serving, shop(serving.url, timeout_ms=10_000) as calling:
        yield serving, calling


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(candidates=LISTS, answer=ANSWERS)
def test_whatever_the_service_says_the_result_is_a_permutation(parrot, candidates, answer):
    serving, calling = parrot
    serving.said = answer
    reranked = calling.rerank("x", candidates)
    assert sorted(reranked.candidates) == sorted(candidates)
    assert reranked.degraded == bool(reranked.reason)
    assert reranked.reason not in ("error", "timeout", "unreachable")


@settings(max_examples=100)
@given(data=st.data(), candidates=LISTS)
def test_any_order_of_the_service_is_the_order_of_the_result(parrot, data, candidates):
    serving, calling = parrot
    order = data.draw(st.permutations(candidates))
    serving.said = http(results(order))
    assert calling.rerank("x", candidates) == Reranked(order)


# One file, to copy.


def test_the_file_alone_works_without_ltr_and_with_the_standard_library_only(tmp_path):
    (tmp_path / "reranking.py").write_bytes(Path(client_module.__file__).read_bytes())
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import reranking
answer = reranking.rerank("x", ["A", "B"], url=sys.argv[2], timeout_ms=5000)
assert answer.candidates == ["B", "A"], answer
foreign = {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names - {"reranking", "__main__"}
assert not foreign, foreign
"""
    with service(backwards) as serving:
        subprocess.run([sys.executable, "-I", "-S", "-c", script, tmp_path, serving.url], check=True, timeout=60)
