"""The application: what is valid and authorised gets 200 and a permutation, whatever fails; everything else its own status."""

import asyncio
import logging
import math
import re
import time
from collections import Counter
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import __version__
from ltr.serving import Candidate, Reason, Request, parse_request
from ltr.serving.asked import ControlError, Told
from ltr.serving.native import Search, Signed, render_search
from ltr.serving.rerank import rerank
from ltr.serving.searching import Found, Unsearchable
from made.http_service import ADMIN_KEY, KEY, OTHER_KEY, Service

IDS = [f"p{at}" for at in range(24)]
ASK = {"query": "red shoe", "candidates": IDS[:5]}
POSTED = {
    "/rerank": ASK,
    "/explain": ASK,
    "/search": {"query": "red shoe"},
    "/v1/rerank": {"query": "red shoe", "documents": IDS[:5]},
    "/v2/rerank": {"query": "red shoe", "documents": IDS[:5]},
    "/elastic/rerank": {"query": "red shoe", "input": IDS[:5]},
}


@pytest.fixture(scope="module")
def service(counted):
    with Service(counted) as service:
        yield service


class Failing:
    """What answers, where nothing goes as promised."""

    def __init__(self, real, error):
        self.serving, self.error = real.serving, error

    async def rerank(self, _request, *, deadline):
        raise self.error

    async def explain(self, _request, *, deadline):
        raise self.error

    async def search(self, _query, *, depth, request, deadline):
        raise self.error

    def state(self):
        raise self.error


class Recorder:
    """Who is told: what a metric and a log would be."""

    def __init__(self, fails=False):
        self.answers, self.refusals, self.kept, self.fails = [], [], [], fails

    def answered(self, endpoint, answer, seconds, *, retrieve=None):
        if self.fails:
            raise RuntimeError("no counter left")
        self.answers.append((endpoint, answer, seconds, retrieve))

    def refused(self, endpoint, status):
        self.refusals.append((endpoint, status))

    def render(self):
        return b"answers_total 1\n", "text/plain; version=1.0.0; charset=utf-8"

    def write(self, request_id, request, answer, *, shown=None):
        self.kept.append((request_id, request, answer, shown))


# Our own answers


def test_an_answer_of_ours(service, counted):
    answer = service.post("/rerank", {**ASK, "pinned": ["p3"], "excluded": ["p0"]}, headers={"X-Request-Id": "r-1"})
    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert [one["product_id"] for one in told["results"]][0::4] == ["p3", "p0"]
    assert [one["rank"] for one in told["results"]] == [1, 2, 3, 4, 5]
    assert [one.get("pinned") for one in told["results"]] == [True, None, None, None, None]
    assert [one.get("excluded") for one in told["results"]] == [None, None, None, None, True]
    assert {key: told[key] for key in ("degraded", "reason", "request_id", "unknown")} == {
        "degraded": False, "reason": "", "request_id": "r-1", "unknown": 0,
    }  # fmt: skip
    assert told["model"] == counted.model[:12]
    assert told["took_ms"] > 0
    assert not {"base", "why", "notes"} & told.keys()
    assert "x-degraded" not in answer.headers


def test_it_is_what_the_pure_function_says(service, counted):
    told = service.post("/rerank", {"query": "blue hat", "candidates": IDS}).json()["results"]
    pure = rerank(counted, parse_request({"query": "blue hat", "candidates": IDS})).results
    assert [(one["product_id"], one["score"]) for one in told] == [(one.product_id, one.score) for one in pure]


def test_an_explanation_adds_up(service):
    told = service.post("/explain", {**ASK, "why": ["p1", "p2"]}).json()
    scores = {one["product_id"]: one["score"] for one in told["results"]}
    for one in told["results"]:
        assert one["features"].keys() == one["contributions"].keys()
        assert told["base"] + sum(one["contributions"].values()) == pytest.approx(one["score"], abs=1e-5)
    assert sum(one["difference"] for one in told["why"]) == pytest.approx(scores["p1"] - scores["p2"], abs=1e-5)
    assert [abs(one["difference"]) for one in told["why"]] == sorted(
        (abs(one["difference"]) for one in told["why"]), reverse=True
    )


def test_a_search_shows_both_orders(service, counted):
    told = service.post("/search", {"query": "red shoe", "depth": 12, "size": 4, "excluded": ["p0"]}).json()
    assert told["query"] == "red shoe"
    assert [one["rank"] for one in told["retrieval"]] == [one["rank"] for one in told["results"]] == [1, 2, 3, 4]
    retrieved = service.post("/search", {"query": "red shoe", "depth": 12, "size": 12}).json()
    places = {one["product_id"]: one["rank"] for one in retrieved["retrieval"]}
    assert told["retrieval"] == retrieved["retrieval"][:4]
    assert told["candidates"] == len(places) <= 12
    assert all(one["was"] == places[one["product_id"]] for one in told["results"])
    assert retrieved["results"][-1]["product_id"] != "p0"
    products = counted.bundle.state.products
    for one in told["results"]:
        at = int(one["product_id"][1:])
        assert one["title"] == products["title"][at]
        expected = {"title": products["title"][at], "brand": products["brand"][at], "price": 10.0 + at, "colour": "any"}
        assert one["product"] == {field: value for field, value in expected.items() if value is not None}
    assert {"retrieve", "features", "score"} <= told["timings_ms"].keys()


@pytest.mark.parametrize(
    ("change", "message"),
    {
        "a key of /rerank's": ({"candidates": ["p1"]}, "the request has key 'candidates'"),
        "a key misspelt": ({"detph": 3}, "did you mean 'depth'?"),
        "no query": ({"query": None}, "the request lacks 'query'"),
        "no number": ({"depth": "3"}, "depth is '3'; give a whole number from 1 to 1,000"),
        "none at all": ({"size": 0}, "size is 0"),
        "too many": ({"depth": 1_001}, "depth is 1001"),
        "a fraction": ({"size": 1.5}, "size is 1.5"),
        "a bool": ({"size": True}, "size is True"),
        "pinned": ({"pinned": "p1"}, "pinned is 'p1'; give a list"),
        "a deadline": ({"deadline_ms": 0}, "deadline_ms is 0; give milliseconds above 0, at most 60000"),
    }.values(),
)
def test_a_search_that_is_none_is_refused(service, change, message):
    answer = service.post("/search", {"query": "red shoe", **change})
    assert answer.status_code == 422
    assert message in answer.json()["error"]


def test_a_search_without_candidates_is_503(counted):
    with Service(counted, answering=lambda real: Failing(real, Unsearchable("retrieval_failed"))) as service:
        answer = service.post("/search", {"query": "red shoe"})
        assert answer.status_code == 503
        assert answer.json()["error"] == "no candidates were retrieved (retrieval_failed)"


# What is refused


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[1, 2", b"nonsense", b'{"query": NaN}', b'{"query": Infinity}', b'{"query": 1e999}',
        b'{"query": "\\ud800"}', b'{"query": "\xed\xa0\x80"}', b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"query": "\x01"}',
        b"[" * 100_000, b'{"a":' * 100_000, b"{}{}", b"\x00",
    ],
)  # fmt: skip
def test_what_is_not_json_is_400(service, path, body):
    answer = service.send(path, body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the body is not JSON: ")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("value", [None, 1, "text", [], [ASK], True])
def test_json_that_is_no_object_is_422(service, path, value):
    answer = service.post(path, value)
    assert answer.status_code == 422
    assert "give a JSON object" in answer.json()["error"]


WRONG = {
    "no query": {"query": None},
    "no candidates": {"candidates": None},
    "a query that is a number": {"query": 3},
    "a query too long": {"query": "x" * 1_001},
    "control characters": {"query": "a\x07b"},
    "a candidate that is a number": {"candidates": ["p1", 2]},
    "a candidate without id": {"candidates": [{"score": 1}]},
    "a score in words": {"candidates": [{"product_id": "p1", "score": "high"}]},
    "a score beyond float32": {"candidates": [{"product_id": "p1", "score": 1e39}]},
    "a whole number of 400 digits": {"candidates": [{"product_id": "p1", "score": 10**300}]},
    "a match feature in words": {"candidates": [{"product_id": "p1", "match": {"title": "high"}}]},
    "fields too deep": {"candidates": [{"product_id": "p1", "fields": {"a": [[[[[[[[1]]]]]]]]}}]},
    "an id of a control character": {"candidates": ["p\x001"]},
    "an id too long": {"candidates": ["p" * 513]},
    "candidates that are an object": {"candidates": {"p1": 1}},
    "too many candidates": {"candidates": ["p1"] * 1_001},
    "10,000 candidates": {"candidates": ["p1"] * 10_000},
    "pinned that is a text": {"pinned": "p1"},
    "excluded with a number": {"excluded": [1]},
    "context that is a list": {"context": [1]},
    "features in words": {"features": "yes"},
    "explain as a number": {"explain": 1},
    "why of one": {"why": ["p1"]},
    "why of a stranger": {"why": ["p1", "p99"]},
    "a key of nobody's": {"model": "prod"},
    "a deadline of nothing": {"deadline_ms": 0},
    "a deadline before": {"deadline_ms": -5},
    "a deadline in words": {"deadline_ms": "30"},
    "a deadline beyond the most": {"deadline_ms": 60_001},
    "a deadline that is a bool": {"deadline_ms": True},
    "a deadline without end": {"deadline_ms": 10**300},
}


@pytest.mark.parametrize("path", ["/rerank", "/explain"])
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_422_and_named(service, path, change):
    answer = service.post(path, {**ASK, **change})
    assert answer.status_code == 422
    assert next(iter(change)) in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.json().keys() == {"error", "request_id"}
    assert len(answer.json()["error"]) < 500


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["p1", "red shoe", "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["query", "candidates", "documents", "texts", "input", "product_id", "id", "text", "match",
                         "fields", "score", "pinned", "why", "top_n", "depth", "size", "context", "deadline_ms"]),
        inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(sorted(POSTED)), ANYTHING)
def test_any_json_is_answered_or_refused(service, path, value):
    answer = service.post(path, value)
    assert answer.status_code in (200, 422) or (path == "/search" and answer.status_code == 503)


@settings(max_examples=150)
@given(st.sampled_from(sorted(POSTED)), st.data())
def test_one_value_of_any_kind_in_a_right_request(service, path, data):
    key = data.draw(st.sampled_from([*POSTED[path], "deadline_ms", "context", "pinned"]))
    answer = service.post(path, {**POSTED[path], key: data.draw(ANYTHING)})
    assert answer.status_code in (200, 422) or (path == "/search" and answer.status_code == 503)


def test_ten_thousand_candidates_are_answered_where_the_settings_allow_them(counted):
    with Service(counted, max_candidates=10_000) as service:
        sent = [f"p{at % 30}" for at in range(10_000)]
        told = service.post("/rerank", {"query": "hat", "candidates": sent}).json()
        assert not told["degraded"]
        assert Counter(one["product_id"] for one in told["results"]) == Counter(sent)
        assert service.post("/rerank", {"query": "hat", "candidates": [*sent, "p1"]}).status_code == 422


def test_an_empty_list_has_an_empty_answer(service):
    told = service.post("/rerank", {"query": "hat", "candidates": []}).json()
    assert (told["results"], told["degraded"]) == ([], False)
    assert service.post("/v1/rerank", {"query": "hat", "documents": []}).json()["results"] == []
    assert service.post("/rerank", {"query": "hat", "texts": []}).json() == []


@pytest.mark.parametrize(
    "candidates",
    [
        ["p1", "p1", "p1", "p2"],
        ["p1", "gone", "p2", "gone"],
        [
            {"product_id": "p1", "score": None, "match": None, "fields": None},
            {"product_id": "p1", "match": {"a": None}},
        ],
        ["靴", "a b", "<script>", "p\u200b1", "👟"],
    ],
)
def test_whatever_was_sent_comes_back_as_often(service, candidates):
    told = service.post("/rerank", {"query": "hat\t\n", "candidates": candidates}).json()["results"]
    ids = [one if isinstance(one, str) else one["product_id"] for one in candidates]
    assert Counter(one["product_id"] for one in told) == Counter(ids)


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from([*IDS[:6], "gone", "P1", "靴"]), max_size=14),
    st.lists(st.sampled_from([*IDS[:4], "gone"]), max_size=3),
    st.lists(st.sampled_from([*IDS[:4], "gone"]), max_size=3),
    st.booleans(),
    st.sampled_from(["/rerank", "/explain"]),
)
def test_an_answer_of_ours_is_a_permutation(service, candidates, pinned, excluded, features, path):
    asked = {"query": "red", "candidates": candidates, "pinned": pinned, "excluded": excluded, "features": features}
    results = service.post(path, asked).json()["results"]
    assert Counter(one["product_id"] for one in results) == Counter(candidates)
    assert [one["rank"] for one in results] == list(range(1, len(candidates) + 1))
    scores = [one["score"] for one in results if not one.get("pinned") and not one.get("excluded")]
    assert scores == sorted(scores, reverse=True)


# Bodies that are slow, large, or break off


def chunk(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_announced_too_large_is_413_and_not_read(service):
    sent, read = service.exchange(
        "/rerank", [chunk(b"x")], headers=[(b"content-length", str(service.settings.max_body + 1).encode())]
    )
    assert (sent[0]["status"], read) == (413, 0)
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("announced", [b"9" * 5_000, b"99999999999999999999"])
def test_nor_is_one_announced_beyond_all_measure(service, announced):
    sent, read = service.exchange("/rerank", [chunk(b"x")], headers=[(b"content-length", announced)])
    assert (sent[0]["status"], read) == (413, 0)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")], [(b"content-length", b"much")]])
def test_one_that_was_not_announced_is_413_as_soon_as_it_is_too_large(service, headers):
    part = b"x" * 2**20
    allowed = service.settings.max_body // len(part)
    sent, read = service.exchange("/rerank", [chunk(part)] * 100, headers=headers)
    assert (sent[0]["status"], read) == (413, allowed + 1)


def test_a_body_of_the_largest_size_is_read(counted):
    body = b'{"query": "hat", "candidates": ["p1"]}'
    with Service(counted, max_body=len(body)) as service:
        assert service.send("/rerank", body).status_code == 200
        assert service.send("/rerank", body + b" ").status_code == 413


def test_a_body_that_trickles_is_408(counted):
    with Service(counted, body_s=0.05) as service:
        started = time.monotonic()
        sent, read = service.exchange("/rerank", [chunk(b'{"query"'), 30.0, chunk(b": 3}", more=False)])
        assert (sent[0]["status"], read) == (408, 1)
        assert time.monotonic() - started < 10
        assert (b"connection", b"close") in sent[0]["headers"]
        assert service.exchange("/rerank", [], stays=True)[0][0]["status"] == 408


def test_a_body_in_many_parts_is_one(service):
    body = b'{"query": "hat", "candidates": ["p1", "p2"]}'
    parts = [chunk(body[at : at + 1]) for at in range(len(body))] + [chunk(b"", more=False)]
    assert service.exchange("/rerank", parts)[0][0]["status"] == 200


@pytest.mark.parametrize("messages", [[], [chunk(b'{"query": "hat"')]], ids=["at once", "in the middle"])
def test_a_caller_who_is_gone_is_sent_nothing(counted, messages):
    recorder = Recorder()
    with Service(counted, told=Told(metrics=recorder)) as service:
        assert service.exchange("/rerank", messages) == ([], len(messages))
        assert recorder.refusals == [("/rerank", 499)]


# Whatever fails


@pytest.mark.parametrize("path", [path for path in POSTED if path != "/search"])
@pytest.mark.parametrize("error", [RuntimeError("the secret of /work"), MemoryError(), RecursionError(), KeyError("x")])
def test_a_valid_request_is_answered_whatever_is_raised(counted, caplog, path, error):
    with Service(counted, answering=lambda real: Failing(real, error)) as service:
        answer = service.post(path, POSTED[path])
    assert (answer.status_code, answer.headers["x-degraded"]) == (200, "internal")
    told = answer.json()
    assert (told["degraded"], told["reason"]) == (True, "internal")
    places = [one.get("index", one.get("rank", 0) - 1) for one in told["results"]]
    assert places == [0, 1, 2, 3, 4]
    assert "secret" not in answer.text
    assert caplog.records[-1].exc_info[1] is error


def test_so_is_one_whose_answer_makes_no_sense(counted, caplog):
    class Mad(Failing):
        async def rerank(self, request, *, deadline):
            return "nonsense"

    with Service(counted, answering=lambda real: Mad(real, None)) as service:
        assert service.post("/rerank", ASK).json()["reason"] == "internal"
        assert [one["index"] for one in service.post("/rerank", {"query": "q", "texts": ["a", "b"]}).json()] == [0, 1]


@pytest.mark.parametrize(("method", "path"), [("GET", "/health/ready"), ("POST", "/search")])
def test_anything_else_that_fails_is_500_and_says_nothing_internal(counted, caplog, method, path):
    recorder = Recorder()
    with Service(
        counted, told=Told(metrics=recorder), answering=lambda real: Failing(real, RuntimeError("the secret of /work"))
    ) as service:
        answer = service.ask(method, path, content=b'{"query": "hat"}')
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error", "request_id": answer.headers["x-request-id"]}
    assert "the secret" in caplog.text
    assert recorder.refusals == [(path, 500)]


def test_who_is_told_cannot_spoil_an_answer(counted, caplog):
    with Service(counted, told=Told(metrics=Recorder(fails=True))) as service:
        assert service.post("/rerank", ASK).json()["degraded"] is False
    assert "an answer could not be told" in caplog.text


def test_degraded_answers_say_why(service):
    service.real.off = True
    try:
        answer = service.post("/rerank", ASK)
        tei = service.post("/rerank", {"query": "q", "texts": ["p1"]})
    finally:
        service.real.off = False
    assert answer.json()["reason"] == answer.headers["x-degraded"] == tei.headers["x-degraded"] == "switched_off"
    assert [one["product_id"] for one in answer.json()["results"]] == ASK["candidates"]


def test_a_deadline_begins_when_the_request_arrives(counted):
    seen = []

    class Clocked(Failing):
        async def rerank(self, request, *, deadline):
            seen.append(deadline - time.monotonic())
            return rerank(self.serving, request)

    with Service(
        counted, answering=lambda real: Clocked(real, None), deadline_ms=500.0, most_ms=5_000.0, body_s=10.0
    ) as service:
        body = b'{"query": "hat", "candidates": ["p1"]}'
        service.exchange("/rerank", [chunk(body[:5]), 0.2, chunk(body[5:], more=False)])
        service.post("/rerank", {**ASK, "deadline_ms": 4_000})
        service.post("/elastic/rerank", {"query": "hat", "input": ["p1"], "deadline_ms": 4_000})
    assert seen[0] <= 0.3
    assert 0.3 < seen[1] <= 4
    assert 0.3 < seen[2] <= 4


def test_a_time_too_short_is_degraded_and_whole(service):
    told = service.post("/rerank", {**ASK, "deadline_ms": 1e-6}).json()
    assert told["reason"] in ("deadline", "overloaded")
    assert [one["product_id"] for one in told["results"]] == ASK["candidates"]


# Keys


@pytest.fixture(scope="module")
def keyed(counted):
    with Service(counted, keys=(KEY, OTHER_KEY)) as service:
        yield service


KEYED = [*(("POST", path) for path in POSTED), ("GET", "/metrics"), ("GET", "/version"), ("GET", "/openapi.json")]


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": f"Bearer {KEY}x"}], ids=str)
def test_without_a_valid_key_it_is_401_whatever_is_sent(keyed, method, path, headers):
    for content in (b'{"query": "hat"}', b"nonsense", b"x" * (keyed.settings.max_body + 1)):
        answer = keyed.ask(method, path, content=content, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["error"] == "this needs a key that is valid here"


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_any_valid_key_will_do(keyed, method, path, key):
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        assert keyed.post(path, POSTED[path], headers=headers).status_code == 200 if method == "POST" else True
        assert method == "POST" or keyed.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/", "/page/page.css"])
def test_health_and_the_page_need_no_key(keyed, path):
    assert keyed.get(path).status_code == 200


def test_a_key_is_in_no_answer_and_no_log(keyed, caplog):
    caplog.set_level(logging.DEBUG)
    answers = [keyed.get("/nowhere", headers={"X-API-Key": KEY}), keyed.post("/rerank", [], headers={"X-API-Key": KEY})]
    assert all(KEY not in answer.text + str(answer.headers) for answer in answers)
    assert KEY not in caplog.text
    assert KEY not in repr(keyed.settings)


# Admin


class Control:
    def __init__(self):
        self.done = []

    async def do(self, action):
        if action == "rollback":
            raise ControlError("there is nothing to go back to")
        await asyncio.sleep(0)
        self.done.append(action)
        return {"message": f"{action} is done"}


ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.mark.parametrize("action", ["reload", "off", "on"])
def test_an_admin_has_it_done(counted, action):
    control = Control()
    with Service(counted, control=control, admin_keys=(ADMIN_KEY,)) as service:
        answer = service.send(f"/admin/{action}", b'{"path": "/etc/passwd"}', headers=ADMIN)
    assert (answer.status_code, answer.json()) == (200, {"message": f"{action} is done"})
    assert control.done == [action]


def test_what_cannot_be_done_is_409(counted):
    with Service(counted, control=Control(), admin_keys=(ADMIN_KEY,)) as service:
        answer = service.post("/admin/rollback", headers=ADMIN)
    assert (answer.status_code, answer.json()["error"]) == (409, "there is nothing to go back to")


def test_an_admin_has_a_key_of_its_own(counted):
    control = Control()
    with Service(counted, control=control, keys=(KEY,), admin_keys=(ADMIN_KEY,)) as service:
        for headers in ({}, {"X-API-Key": KEY}, {"X-API-Key": "wrong"}):
            assert service.post("/admin/off", headers=headers).status_code == 401
        assert service.post("/rerank", ASK, headers=ADMIN).status_code == 401
        assert service.get("/admin/off", headers=ADMIN).status_code == 405
        assert service.post("/admin/shell", headers=ADMIN).status_code == 404
    assert control.done == []


@pytest.mark.parametrize(("control", "keys"), [(None, (ADMIN_KEY,)), (Control(), ()), (None, ())])
def test_without_admin_keys_there_is_no_admin(counted, control, keys):
    with Service(counted, control=control, admin_keys=keys) as service:
        for action in ("reload", "rollback", "off", "on"):
            assert service.post(f"/admin/{action}", headers=ADMIN).status_code == 404


# Paths and methods


@pytest.mark.parametrize(
    "path", ["/nowhere", "/rerank/", "/health", "/health/live/", "/page/", "/page/../app.py", "/admin/off"]
)
def test_a_path_that_is_none_is_404_and_leads_nowhere(service, path):
    for method in ("GET", "POST"):
        answer = service.ask(method, path)
        assert (answer.status_code, answer.json()["error"]) == (404, "there is nothing here")
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *(f"/page/{name}" for name in ("../app.py", "..%2fapp.py", "/etc/passwd", "app.py", "INDEX.HTML", "page.css\0")),
        "//rerank", "/page/\udce9", "/*", "*", "", "/rerank;a=b",
    ],
)  # fmt: skip
def test_a_path_is_a_name_in_a_list_and_nothing_else(service, path):
    sent, _ = service.exchange(path, [], method="GET")
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *((method, path, "OPTIONS, POST") for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD") for path in POSTED),
        *((method, "/version", "GET, HEAD, OPTIONS") for method in ("POST", "PUT", "DELETE", "TRACE", "BREW")),
    ],
)
def test_another_method_is_405_and_the_right_ones_are_named(service, method, path, allowed):
    answer = service.ask(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert method == "HEAD" or answer.json()["error"] == "this method is not for this path"


@pytest.mark.parametrize("path", ["/rerank", "/version", "/", "/health/live"])
def test_options_names_the_methods_and_allows_no_other_site(service, path):
    answer = service.ask("OPTIONS", path, headers={"Origin": "https://evil", "Access-Control-Request-Method": "POST"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "OPTIONS" in answer.headers["allow"]
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/version", "/health/ready", "/metrics", "/openapi.json", "/", "/page/page.css"])
def test_head_is_get_without_the_body(service, path):
    head, whole = service.ask("HEAD", path), service.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert path == "/health/ready" or head.headers["content-length"] == str(len(whole.content))


def test_a_content_type_is_not_looked_at(service):
    for kind in ("application/x-www-form-urlencoded", "text/plain", "image/png", ""):
        assert service.post("/rerank", ASK, headers={"Content-Type": kind}).status_code == 200


# The page, and what is watched


def test_the_page_loads_nothing_from_elsewhere(service):
    answer = service.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    for name in re.findall(r'(?:href|src)="(page/[^"]+)"', answer.text):
        file = service.get(f"/{name}")
        assert (file.status_code, file.headers["cache-control"]) == (200, "no-cache")
        assert file.headers["content-security-policy"] == answer.headers["content-security-policy"]


def test_a_file_is_sent_again_when_it_has_changed(service):
    first = service.get("/page/page.js")
    again = service.get("/page/page.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert service.get("/page/page.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_service_can_do_without_its_page(counted):
    with Service(counted, page=False) as service:
        assert [service.get(path).status_code for path in ("/", "/page/page.css")] == [404, 404]


def test_live_and_ready(service):
    assert service.get("/health/live").json() == {"live": True}
    ready = service.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"], ready.json()["off"]) == (200, True, False)
    service.app.state.draining = True
    try:
        assert (service.get("/health/ready").status_code, service.get("/health/live").status_code) == (503, 200)
        assert service.post("/rerank", ASK).json()["degraded"] is False
    finally:
        service.app.state.draining = False


def test_who_can_answer_nobody_is_not_ready(counted):
    class Blocked(Failing):
        def state(self):
            return {"rerank": {"blocked": True}}

    with Service(counted, answering=lambda real: Blocked(real, None)) as service:
        answer = service.get("/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "rerank": {"blocked": True}})


def test_the_version_says_what_answers(service, counted):
    state = counted.bundle.state
    told = service.get("/version").json()
    golden = counted.bundle.golden
    queries = [] if golden is None else golden["query"].unique(maintain_order=True).to_list()
    assert told == {
        "ltr": __version__, "bundle": counted.bundle.path.name, "model": counted.model,
        "created": counted.manifest["created"],
        "state": {"version": state.version, "as_of": "2024-02-01", "products": 24},
        "examples": queries[:6],
    }  # fmt: skip


def test_a_golden_query_is_an_example(shop):
    with Service(shop) as service:
        examples = service.get("/version").json()["examples"]
    assert 1 <= len(examples) <= 6
    assert set(examples) <= set(shop.bundle.golden["query"])


def test_what_happens_is_told(counted):
    recorder, name = Recorder(), ContextVar("name", default="")
    seen = []

    class Named(Failing):
        async def rerank(self, request, *, deadline):
            seen.append(name.get())
            return rerank(self.serving, request)

    told = Told(metrics=recorder, answer_log=recorder, request_id=name)
    with Service(counted, told=told, answering=lambda real: Named(real, None)) as service:
        service.post("/rerank", ASK, headers={"X-Request-Id": "r-1"})
        service.post("/v1/rerank", {"query": "hat", "documents": ["p1", "p2"], "top_n": 1})
        service.post("/rerank", [])
        service.get("/nowhere/../with/a/secret")
        metrics = service.get("/metrics")
    assert seen[0] == "r-1"
    assert [(endpoint, retrieve) for endpoint, _, _, retrieve in recorder.answers] == [
        ("/rerank", None),
        ("/v1/rerank", None),
    ]
    assert all(0 < seconds < 60 for _, _, seconds, _ in recorder.answers)
    assert [(one, len(request.candidates), shown) for one, request, _, shown in recorder.kept] == [
        ("r-1", 5, None), (seen[1], 2, 1),
    ]  # fmt: skip
    assert recorder.refusals == [("/rerank", 422), ("other", 404)]
    assert (metrics.content, metrics.headers["content-type"]) == recorder.render()


def test_a_search_is_told_with_what_was_shown_and_an_explanation_is_not_kept(counted):
    recorder = Recorder()
    with Service(counted, told=Told(metrics=recorder, answer_log=recorder)) as service:
        service.post("/search", {"query": "red shoe", "size": 3})
        service.post("/explain", ASK)
    assert [endpoint for endpoint, *_ in recorder.answers] == ["/search", "/explain"]
    assert recorder.answers[0][3] > 0
    assert [(request.query, shown) for _, request, _, shown in recorder.kept] == [("red shoe", 3)]


def test_without_anyone_to_tell_there_are_no_figures(service):
    assert (service.get("/metrics").status_code, service.get("/metrics").content) == (200, b"")


def test_each_request_has_an_id_of_its_own(service):
    ids = {service.get("/health/live").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_a_bundle_that_gets_no_match_features_says_so(engine):
    with Service(engine) as service:
        told = service.post("/rerank", {"query": "hat", "candidates": ["a", "b"]})
    assert (told.json()["reason"], told.headers["x-degraded"]) == (Reason.MISSING_MATCH, "missing_match")


def test_a_search_engines_scores_are_told_so_that_the_list_can_be_asked_about_again(engine):
    names = engine.bundle.feature_set.match
    retrieved = tuple(
        Candidate(product_id, score, dict.fromkeys(names, match))
        for product_id, score, match in (("a", 3.0, 1.5), ("b", 2.0, math.nan), ("c", 1.0, 0.25))
    )
    answer = rerank(engine, Request("hat", retrieved))
    told = render_search(
        Search(depth=3, size=2, asked=Request("hat", ())), Found(retrieved, answer, {}), engine, Signed("r", "m", 1.0)
    )
    assert [one["match"] for one in told["retrieval"]] == [dict.fromkeys(names, 1.5), dict.fromkeys(names)]
    again = [{"product_id": one["product_id"], "match": one["match"]} for one in told["retrieval"]]
    with Service(engine) as service:
        assert service.post("/rerank", {"query": "hat", "candidates": again}).json()["reason"] == ""


def test_more_may_be_wanted_than_is_found(counted):
    with Service(counted, max_candidates=2) as service:
        told = service.post("/search", {"query": "red shoe", "size": 1_000}).json()
    assert len(told["results"]) == told["candidates"] == 2


def test_its_own_limit_of_candidates_is_told(counted):
    with Service(counted, max_candidates=2) as service:
        answers = [
            service.post(path, {"query": "hat", key: ["p1", "p2", "p3"]})
            for path, key in (("/rerank", "candidates"), ("/v1/rerank", "documents"), ("/rerank", "texts"))
        ]
    assert {answer.status_code for answer in answers} == {422}
    assert all("has 3 entries; at most 2 are read" in answer.json()["error"] for answer in answers)
