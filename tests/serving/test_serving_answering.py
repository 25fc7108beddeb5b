"""A permutation in time, whatever becomes of the ranker: faults are injected into real bundles."""

import asyncio
import logging
import math
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import uvloop
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ltr.errors import EncoderError
from ltr.serving import Candidate, Reason, Request, load, parse_request
from ltr.serving.answering import Answering
from ltr.serving.breaker import PAUSE_S, ROW
from ltr.serving.lane import clock
from ltr.serving.rerank import rerank
from ltr.serving.searching import Unsearchable
from ltr.serving.settings import Settings

IDS = [f"p{at}" for at in range(24)]
SOON = 0.05
LONG = 30.0
# Machines are shared: what is at once, or in time, may take so much longer.
GRACE = 0.5


def ask(query, candidates, **keys):
    return parse_request({"query": query, "candidates": list(candidates), **keys})


def ids(answer):
    return [result.product_id for result in answer.results]


def check_law(request, answer):
    """A permutation of what was sent, pinned products first and excluded ones last, with scores that are numbers."""
    sent = [candidate.product_id for candidate in request.candidates]
    assert Counter(ids(answer)) == Counter(sent)
    assert sorted(result.place for result in answer.results) == list(range(len(sent)))
    assert [result.rank for result in answer.results] == list(range(1, len(sent) + 1))
    assert all(math.isfinite(result.score) for result in answer.results)
    groups = [result.excluded - result.pinned for result in answer.results]
    assert groups == sorted(groups)
    assert all(result.excluded == (result.product_id in request.excluded) for result in answer.results)


def served(serving, course, *, settings=None, loop_factory=None, **options):
    """Run a coroutine with an Answering of its own, whose threads must end."""

    async def run():
        answering = Answering(serving, settings or Settings(), **{"patience_s": 0.05, **options})
        try:
            return await asyncio.wait_for(course(answering), 30)
        finally:
            answering.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run())


async def timed(answering, request, *, left=LONG):
    began = clock()
    answer = await answering.rerank(request, deadline=began + left)
    took = clock() - began
    check_law(request, answer)
    assert took < left + GRACE
    return answer, took


async def until(condition, *, within=5.0):
    end = clock() + within
    while not condition():
        assert clock() < end
        await asyncio.sleep(0.002)


def threads():
    return [one for one in threading.enumerate() if one.name in ("ltr-rerank", "ltr-people")]


class Fault:
    """Stands before a part of a bundle; ``now`` is what it does instead, None: nothing."""

    def __init__(self, part):
        self.part, self.now, self.calls = part, None, 0

    def __getattr__(self, name):
        return getattr(self.part, name)

    def __call__(self, *given):
        self.calls += 1
        return (self.now or self.part)(*given)

    def encode_queries(self, texts):
        self.calls += 1
        return (self.now or self.part.encode_queries)(texts)


class Hang:
    """Hangs until it is let go, then fails as whatever waited for a lost network does."""

    def __init__(self, then=None):
        self.over, self.then, self.entered = threading.Event(), then, threading.Event()

    def __call__(self, *given):
        self.entered.set()
        assert self.over.wait(25)
        if self.then is None:
            raise OSError("no such device")
        return self.then(*given)


def failing(*_given):
    raise OSError("/secret/path is gone")


def of_scorer(serving):
    fault = Fault(serving.score)
    return replace(serving, score=fault), fault


def of_encoder(serving):
    """With the encoder behind a fault, and none of its vectors remembered."""
    fault = Fault(serving.bundle.encoder.encoder)
    return replace(serving, bundle=replace(serving.bundle, encoder=fault)), fault


REQUEST = ask("red shoe", IDS, pinned=["p7"], excluded=["p0", "p3"])
RECEIVED = ["p7", *[one for one in IDS if one not in ("p0", "p3", "p7")], "p0", "p3"]


@pytest.mark.parametrize("which", ["counted", "shop", "engine"])
def test_all_is_well_and_the_answer_is_that_of_the_function(which, request):
    serving = request.getfixturevalue(which)
    match = dict.fromkeys(() if serving.embedded else serving.bundle.feature_set.match, 1.5)
    products = serving.bundle.state.products["product_id"].head(20).to_list()
    asked = ask("red shoe", [{"product_id": one, "match": match} for one in products], pinned=products[3:4])

    async def course(answering):
        for call in (answering.rerank, answering.explain):
            answer = await call(asked, deadline=clock() + LONG)
            assert (answer.results, answer.reason) == (rerank(serving, asked).results, Reason.NONE)
        explained = replace(asked, explain=True, features=True, why=(products[0], products[1]))
        answer = await answering.explain(explained, deadline=clock() + LONG)
        plain = rerank(serving, explained)
        assert (answer.results, answer.base, answer.why) == (plain.results, plain.base, plain.why)
        for lane in ("rerank", "people"):
            told = answering.state()[lane]
            assert told.pop("service_ms") > 0
            assert told == {"waiting": 0, "stuck": 0, "blocked": False, "open": []}

    served(serving, course)
    assert not threads()


def test_an_empty_list_is_answered_by_one(counted):
    async def course(answering):
        assert (await answering.rerank(ask("red shoe", []), deadline=clock())).results == ()

    served(counted, course)


def test_match_features_that_are_missing_are_no_fault_of_a_stage(engine):
    async def course(answering):
        for _ in range(3 * ROW):
            assert (await timed(answering, REQUEST))[0].reason is Reason.MISSING_MATCH
        assert answering.state()["rerank"]["open"] == []

    served(engine, course)


def test_a_switched_off_ranker_is_not_asked(counted):
    serving, fault = of_scorer(counted)

    async def course(answering):
        answering.off = True
        answer, took = await timed(answering, REQUEST)
        assert (answer.reason, ids(answer)) == (Reason.SWITCHED_OFF, RECEIVED)
        assert took < GRACE
        found = await search(answering, "red shoe")
        assert found.answer.reason is Reason.SWITCHED_OFF
        assert ids(found.answer) == [one.product_id for one in found.retrieved] != []
        assert fault.calls == 0
        answering.off = False
        assert (await timed(answering, REQUEST))[0].reason is Reason.NONE

    served(serving, course)


def test_a_scorer_that_fails_is_left_alone_and_tried_again(counted):
    serving, fault = of_scorer(counted)

    async def course(answering):
        fault.now = failing
        for _ in range(ROW):
            answer, _ = await timed(answering, REQUEST)
            assert (answer.reason, ids(answer)) == (Reason.SCORER_FAILED, RECEIVED)
        calls = fault.calls
        answer, took = await timed(answering, REQUEST)
        assert (answer.reason, ids(answer)) == (Reason.CIRCUIT_OPEN, RECEIVED)
        assert took < GRACE
        assert fault.calls == calls
        assert answering.state()["rerank"]["open"] == ["score"]
        # It stays shut while the fault lasts, and is tried now and then.
        end = clock() + 3.5 * PAUSE_S
        while clock() < end:
            assert (await timed(answering, REQUEST))[0].reason in (Reason.CIRCUIT_OPEN, Reason.SCORER_FAILED)
            await asyncio.sleep(0.005)
        assert 1 <= fault.calls - calls <= 4
        fault.now = None
        await recovered(answering)
        assert answering.state()["rerank"]["open"] == []

    served(serving, course)


async def recovered(answering, *, request=REQUEST, left=LONG, within=1.0):
    """Ask until the ranker's order comes; then always."""
    end = clock() + within + GRACE
    while (await timed(answering, request, left=left))[0].degraded:
        assert clock() < end
        await asyncio.sleep(0.01)
    assert not (await timed(answering, request, left=LONG))[0].degraded


@pytest.mark.parametrize("then", ["fails", "works"])
def test_an_encoder_that_hangs_costs_a_bounded_number_of_threads_and_service_recovers(then, counted):
    serving, fault = of_encoder(counted)
    before = threading.active_count()

    async def course(answering):
        hang = fault.now = Hang(fault.part.encode_queries if then == "works" else None)
        reasons, most = Counter(), 0
        end = clock() + 2.0
        while clock() < end:
            answers = await asyncio.gather(*(timed(answering, REQUEST, left=0.02) for _ in range(3)))
            reasons.update(answer.reason for answer, _ in answers)
            most = max(most, len(threads()))
            await asyncio.sleep(0.01)
        assert set(reasons) <= {Reason.DEADLINE, Reason.OVERLOADED, Reason.CIRCUIT_OPEN}
        assert reasons[Reason.CIRCUIT_OPEN] > reasons[Reason.DEADLINE]
        assert 2 <= most <= 3
        assert answering.state()["rerank"]["stuck"] <= 2
        assert answering.state()["rerank"]["open"] == ["encode"]
        # People have a thread of their own, which hangs by itself.
        assert answering.state()["people"] == {**answering.state()["people"], "stuck": 0, "open": []}
        fault.now = None
        hang.over.set()
        await recovered(answering)
        await until(lambda: answering.state()["rerank"]["stuck"] == 0 and len(threads()) == 1, within=1.0)

    served(serving, course, spare=2)
    assert threading.active_count() <= before


def test_an_encoder_that_hangs_once_is_back_with_a_new_thread_while_the_old_one_still_hangs(counted):
    serving, fault = of_encoder(counted)

    async def course(answering):
        hang = fault.now = Hang()
        assert (await timed(answering, REQUEST, left=0.02))[0].reason is Reason.DEADLINE
        fault.now = None
        await recovered(answering)
        assert answering.state()["rerank"]["stuck"] == 1
        hang.over.set()
        await until(lambda: answering.state()["rerank"]["stuck"] == 0)
        # What it said in the end does not count against the encoder.
        assert answering.state()["rerank"]["open"] == []

    served(serving, course)


def test_a_slow_encoder_is_left_alone_and_a_request_with_time_to_spare_is_served(counted):
    serving, fault = of_encoder(counted)

    def slow(texts):
        time.sleep(0.06)
        return fault.part.encode_queries(texts)

    async def course(answering):
        fault.now = slow
        assert not (await timed(answering, REQUEST))[0].degraded
        reasons = set()
        end = clock() + 5
        while Reason.CIRCUIT_OPEN not in reasons and clock() < end:
            reasons.add((await timed(answering, REQUEST, left=0.03))[0].reason)
            await asyncio.sleep(0.005)
        assert reasons <= {Reason.DEADLINE, Reason.CIRCUIT_OPEN, Reason.OVERLOADED}
        assert Reason.CIRCUIT_OPEN in reasons
        assert answering.state()["rerank"]["open"] == ["encode"]
        fault.now = None
        await recovered(answering)

    served(serving, course, patience_s=5.0)


def test_a_burst_is_answered_in_time_and_does_not_open_a_circuit(counted):
    serving, fault = of_scorer(counted)

    def busy(matrix):
        time.sleep(0.005)
        return fault.part(matrix)

    async def course(answering):
        fault.now = busy
        for _ in range(20):
            await timed(answering, REQUEST)
        for _ in range(3):
            burst = await asyncio.gather(*(timed(answering, REQUEST, left=0.1) for _ in range(300)))
            reasons = Counter(answer.reason for answer, _ in burst)
            assert set(reasons) <= {Reason.NONE, Reason.OVERLOADED, Reason.DEADLINE}
            assert reasons[Reason.OVERLOADED] > 150
            assert answering.state()["rerank"]["open"] == []
            assert answering.state()["rerank"]["waiting"] == 0
        fault.now = None
        await recovered(answering)
        # It does not go on refusing what it can do.
        answers = [(await timed(answering, REQUEST))[0] for _ in range(50)]
        assert not any(answer.degraded for answer in answers)

    served(serving, course)


def test_the_deadline_between_two_stages_ends_the_work(counted):
    score, scored = of_scorer(counted)
    serving, fault = of_encoder(score)

    def slow(texts):
        time.sleep(4 * SOON)
        return fault.part.encode_queries(texts)

    async def course(answering):
        fault.now = slow
        answer, _ = await timed(answering, REQUEST, left=SOON)
        assert (answer.reason, ids(answer)) == (Reason.DEADLINE, RECEIVED)
        # Where the time went.
        assert answer.timings["encode"] > SOON / 2
        await asyncio.sleep(6 * SOON)
        assert scored.calls == 0

    served(serving, course, patience_s=5.0)


def test_where_only_the_explanation_is_late_the_order_is_the_rankers(counted, monkeypatch):
    from ltr.serving import explain

    hang = Hang()
    monkeypatch.setattr(explain, "contributions", hang)
    asked = replace(REQUEST, explain=True)

    async def course(answering):
        answer = await answering.explain(asked, deadline=clock() + 0.3)
        check_law(asked, answer)
        assert (answer.reason, ids(answer)) == (Reason.NONE, ids(rerank(counted, REQUEST)))
        assert answer.notes == ("contributions would have come after the deadline",)
        assert answer.base is None
        hang.over.set()

    served(counted, course, patience_s=5.0)


def test_a_caller_who_has_gone_frees_the_lane(counted):
    serving, fault = of_encoder(counted)

    async def course(answering):
        hang = fault.now = Hang(fault.part.encode_queries)
        task = asyncio.create_task(answering.rerank(REQUEST, deadline=clock() + 0.05))
        await until(hang.entered.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Nobody waits, and still its thread is found to be stuck.
        await until(lambda: answering.state()["rerank"]["stuck"] == 1)
        fault.now = None
        hang.over.set()
        await recovered(answering)

    served(serving, course)


def test_people_who_wait_long_do_not_keep_the_shop_waiting(counted):
    serving, fault = of_encoder(counted)

    async def course(answering):
        hang = fault.now = Hang(fault.part.encode_queries)
        waiting = asyncio.create_task(answering.explain(REQUEST, deadline=clock() + LONG))
        await until(hang.entered.is_set)
        fault.now = None
        for _ in range(20):
            assert not (await timed(answering, REQUEST))[0].degraded
        hang.over.set()
        assert not (await waiting).degraded

    served(serving, course)


def test_who_asks_why_does_not_keep_the_shop_waiting_either(counted, monkeypatch):
    from ltr.serving import explain

    hang = Hang()
    monkeypatch.setattr(explain, "contributions", hang)
    asked = replace(REQUEST, explain=True)

    async def course(answering):
        waiting = asyncio.create_task(answering.rerank(asked, deadline=clock() + LONG))
        await until(hang.entered.is_set)
        for _ in range(20):
            assert not (await timed(answering, REQUEST))[0].degraded
        hang.over.set()
        assert (await waiting).notes == ("the scores are not explained: internal",)

    served(counted, course)


def test_uvloop_serves_as_asyncio_does(counted):
    serving, fault = of_encoder(counted)

    async def course(answering):
        assert not (await timed(answering, REQUEST))[0].degraded
        hang = fault.now = Hang()
        assert (await timed(answering, REQUEST, left=0.02))[0].reason is Reason.DEADLINE
        await until(lambda: answering.state()["rerank"]["stuck"] == 1)
        fault.now = None
        await recovered(answering)
        hang.over.set()

    served(serving, course, loop_factory=uvloop.new_event_loop)


def test_whatever_nobody_has_thought_of_is_answered_and_logged(counted, monkeypatch, caplog):
    def broken(*_given, **_options):
        raise RecursionError("/secret/path")

    async def course(answering):
        with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
            patched.setattr("ltr.serving.rerank.arranged", broken)
            answer, _ = await timed(answering, REQUEST)
            assert (answer.reason, ids(answer)) == (Reason.INTERNAL, RECEIVED)
            patched.setattr(
                "ltr.serving.answering.rerank", lambda *_given, **_options: rerank(counted, ask("x", IDS[:3]))
            )
            assert (await timed(answering, REQUEST))[0].reason is Reason.INTERNAL
        assert "secret" in caplog.text
        assert not (await timed(answering, REQUEST))[0].degraded

    served(counted, course)


def test_after_the_end_the_order_is_that_received(counted):
    async def course(answering):
        answering.close()
        answer, took = await timed(answering, REQUEST)
        assert (answer.reason, ids(answer)) == (Reason.CIRCUIT_OPEN, RECEIVED)
        assert took < GRACE

    served(counted, course)


def test_the_wall_clock_may_jump(counted, monkeypatch):
    async def course(answering):
        monkeypatch.setattr(time, "time", lambda: -1e9)
        assert not (await timed(answering, REQUEST))[0].degraded
        monkeypatch.setattr(time, "time", lambda: 1e12)
        assert not (await timed(answering, REQUEST))[0].degraded

    served(counted, course)


# What a part may do instead of its work, the encoder and the scorer alike.
FAULTS = {
    "none": None,
    "raises": failing,
    "raises what is none of ours": lambda *_: (_ for _ in ()).throw(MemoryError()),
    "ends the process": lambda *_: (_ for _ in ()).throw(SystemExit(1)),
    "raises an error of ours": lambda *_: (_ for _ in ()).throw(EncoderError("gone")),
    "nothing": lambda *_: None,
    "text": lambda given: "scores" * len(given),
    "one too few": lambda given: np.zeros(len(given) - 1),
    "two columns": lambda given: np.zeros((len(given), 2)),
    "not finite": lambda given: np.full(len(given), np.nan),
    "objects": lambda given: np.array([None] * len(given), dtype=object),
    "a list": lambda given: [0.0] * len(given),
    "slow": lambda given: time.sleep(0.03) or np.zeros(len(given)),
}
ASKED = st.builds(
    Request,
    st.sampled_from(["red shoe", "", "靴"]),
    st.lists(st.sampled_from([*IDS[:6], "gone", "靴"]).map(Candidate), max_size=9).map(tuple),
    pinned=st.lists(st.sampled_from(IDS[:8]), max_size=2).map(tuple),
    excluded=st.lists(st.sampled_from(IDS[:8]), max_size=2).map(tuple),
    explain=st.booleans(),
    features=st.booleans(),
)


@examples(max_examples=120)
@given(
    st.lists(ASKED, min_size=1, max_size=4),
    st.sampled_from(list(FAULTS)),
    st.sampled_from(list(FAULTS)),
    st.sampled_from([-1.0, 0.0, 0.001, 0.01, 1.0]),
    st.booleans(),
)
def test_whatever_fault_is_injected_the_answer_is_a_permutation(counted, asked, encoder, scorer, left, off):
    first, scores = of_scorer(counted)
    serving, vectors = of_encoder(first)
    scores.now, vectors.now = FAULTS[scorer], FAULTS[encoder]

    async def course(answering):
        answering.off = off
        calls = [call for one in asked for call in ((answering.rerank, one), (answering.explain, one))]
        began = clock()
        answers = await asyncio.gather(*(call(one, deadline=began + left) for call, one in calls))
        assert clock() - began < max(left, 0) + GRACE
        for (_, one), answer in zip(calls, answers, strict=True):
            check_law(one, answer)
            if off and one.candidates:
                assert answer.reason is Reason.SWITCHED_OFF

    logging.disable(logging.CRITICAL)
    try:
        served(serving, course)
    finally:
        logging.disable(logging.NOTSET)


async def search(answering, query, *, depth=10, left=LONG, **keys):
    return await answering.search(
        query, depth=depth, request=lambda found: Request(query, found, **keys), deadline=clock() + left
    )


@pytest.mark.parametrize("which", ["counted", "shop"])
def test_a_search_is_what_retrieval_found_and_its_reranking(which, request):
    serving = request.getfixturevalue(which)
    query = serving.bundle.state.products["title"][3]
    run = serving.retriever.retrieve(pl.DataFrame({"query_id": ["q"], "query": [query]}), depth=10)

    async def course(answering):
        found = await search(answering, query)
        assert [one.product_id for one in found.retrieved] == run["product_id"].to_list()
        assert [one.score for one in found.retrieved] == run["score"].to_list()
        for name in serving.bundle.feature_set.match:
            sent = np.array([one.match[name] for one in found.retrieved], dtype=np.float32)
            assert np.array_equal(sent, run[f"match.{name}"].to_numpy(), equal_nan=True)
        plain = rerank(serving, Request(query, tuple(Candidate(one) for one in run["product_id"])))
        assert (ids(found.answer), found.answer.reason) == (ids(plain), Reason.NONE)
        assert found.seconds == found.timings["retrieve"] > 0
        assert list(found.timings) == ["retrieve", "match", "encode", "features", "score"]
        excluded = await search(answering, query, excluded=(plain.results[0].product_id,))
        assert excluded.answer.results[-1].product_id == plain.results[0].product_id

    served(serving, course)


def test_a_search_that_finds_nothing_is_answered_by_nothing(shop):
    async def course(answering):
        found = await search(answering, "qwertyuiop")
        assert (found.retrieved, found.answer.results, found.answer.degraded) == ((), (), False)

    served(shop, course)


class Retriever:
    """One whose retrieval is as told."""

    def __init__(self, retrieve):
        self.retrieve = retrieve


def searching(serving, retrieve):
    """The bundle with another retriever, as its cached property keeps it."""
    changed = replace(serving)
    changed.__dict__["retriever"] = Retriever(retrieve)
    return changed


def test_a_search_whose_retrieval_fails_has_nothing_to_order_and_is_tried_again(counted, caplog):
    fault = Fault(lambda queries, depth: counted.retriever.retrieve(queries, depth=depth))
    serving = searching(counted, lambda queries, *, depth: fault(queries, depth))

    async def reason(answering):
        with pytest.raises(Unsearchable) as caught:
            await search(answering, "red shoe")
        return caught.value.reason

    async def course(answering):
        fault.now = failing
        with caplog.at_level(logging.ERROR):
            assert [await reason(answering) for _ in range(ROW + 1)] == ["retrieval_failed"] * ROW + ["circuit_open"]
        assert "secret" in caplog.text
        # Reranking needs no retrieval.
        assert not (await answering.explain(REQUEST, deadline=clock() + LONG)).degraded
        assert not (await timed(answering, REQUEST))[0].degraded
        fault.now = None
        await asyncio.sleep(PAUSE_S * 1.1)
        assert (await search(answering, "red shoe")).retrieved

    served(serving, course)


def test_a_search_engine_that_is_not_there_is_said_so(engine, monkeypatch):
    # The engine's own patience, with waits that grow, is longer than a test's.
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)

    async def course(answering):
        with pytest.raises(Unsearchable) as caught:
            await search(answering, "red shoe")
        assert caught.value.reason == "retrieval_failed"
        sent = [{"product_id": "p1", "match": {"title_match": 1.0}}]
        assert not (await timed(answering, ask("hat", sent)))[0].degraded

    served(engine, course)


def test_a_search_of_a_search_engine_reranks_what_it_finds(engine_trained):
    serving = load(engine_trained.bundle)
    assert not serving.embedded
    golden = serving.bundle.golden
    query = golden["query"][0]
    rows = golden.filter(pl.col("query") == query)

    async def course(answering):
        found = await search(answering, query, depth=30)
        assert [one.product_id for one in found.retrieved] == rows["product_id"].to_list()
        assert found.answer.reason is Reason.NONE
        order = np.argsort(-rows["score"].to_numpy().astype(np.float32), kind="stable")
        assert ids(found.answer) == [rows["product_id"][int(at)] for at in order]

    served(serving, course)


def test_a_search_whose_retrieval_hangs_is_given_up_in_time(counted):
    hang = Hang()
    serving = searching(counted, lambda _queries, *, depth: hang(depth))

    async def course(answering):
        began = clock()
        with pytest.raises(Unsearchable) as caught:
            await search(answering, "red shoe", left=SOON)
        assert caught.value.reason == "deadline"
        assert clock() - began < SOON + GRACE
        await until(lambda: answering.state()["people"]["open"] == ["retrieve"])
        assert not (await timed(answering, REQUEST))[0].degraded
        hang.over.set()

    served(serving, course)


def test_a_search_whose_ranker_hangs_shows_what_was_retrieved(counted):
    serving, fault = of_scorer(counted)

    async def course(answering):
        await search(answering, "red shoe")
        hang = fault.now = Hang()
        found = await search(answering, "red shoe", left=0.3)
        assert found.answer.reason is Reason.DEADLINE
        assert ids(found.answer) == [one.product_id for one in found.retrieved] != []
        hang.over.set()

    served(serving, course, patience_s=5.0)


def test_a_search_about_which_nothing_can_be_asked_ends_in_the_one_error(counted):
    def refused(_found):
        raise ZeroDivisionError

    async def course(answering):
        with pytest.raises(Unsearchable) as caught:
            await answering.search("red shoe", depth=5, request=refused, deadline=clock() + LONG)
        assert caught.value.reason == "internal"

    served(counted, course)


def test_two_lanes_at_once_have_the_answers_of_one(shop):
    """What the lanes share: analyzers and stems, the encoder's memory, the state's, compiled loops, polars."""
    products = shop.bundle.state.products
    titles = products["title"].to_list()
    asked = [
        ask(f"{title} {at}", products["product_id"][at : at + 12].to_list()) for at, title in enumerate(titles[:80])
    ]
    expected = [rerank(shop, one).results for one in asked]

    async def course(answering):
        calls = [call(one, deadline=clock() + LONG) for one in asked for call in (answering.rerank, answering.explain)]
        answers = await asyncio.gather(*calls)
        assert [answer.results for answer in answers] == [one for one in expected for _ in range(2)]

    fresh = replace(shop.bundle.encoder, _rows=type(shop.bundle.encoder._rows)())
    served(replace(shop, bundle=replace(shop.bundle, encoder=fresh)), course)
