"""A stage that fails again and again is left alone for a while; what is no fault of its own does not count."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.serving.answer import Degraded, Reason
from ltr.serving.breaker import PAUSE_S, ROW, WINDOW, Breaker, Circuits
from ltr.serving.lane import Job, clock


def opened(*, at=0.0):
    breaker = Breaker()
    breaker.open(at)
    return breaker


def test_failures_in_a_row_open_it_and_one_success_in_between_does_not():
    breaker = Breaker()
    for _ in range(3):
        for _ in range(ROW - 1):
            breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.closed
    for _ in range(ROW):
        breaker.failed(0.0)
    assert not breaker.closed


def test_half_of_the_last_outcomes_open_it_however_they_are_mixed():
    breaker = Breaker()
    for _ in range(WINDOW // 2 - 1):
        breaker.succeeded()
        breaker.failed(0.0)
    assert breaker.closed
    breaker.succeeded()
    breaker.failed(0.0)
    assert not breaker.closed


def test_a_few_failures_among_many_successes_leave_it_closed():
    breaker = Breaker()
    for _ in range(100):
        for outcome in (breaker.succeeded, breaker.succeeded, lambda: breaker.failed(0.0)):
            outcome()
    assert breaker.closed


def test_one_at_a_time_tries_an_open_one_and_success_closes_it():
    breaker = opened()
    assert not breaker.may(PAUSE_S * 0.9)
    assert breaker.may(PAUSE_S)
    assert [breaker.enter(PAUSE_S) for _ in range(3)] == [True, False, False]
    assert not breaker.may(PAUSE_S * 9)
    breaker.succeeded()
    assert breaker.closed
    assert breaker.enter(PAUSE_S)


def test_a_trial_that_fails_opens_it_for_as_long_again():
    breaker = opened()
    assert breaker.enter(1.0)
    breaker.failed(2.0)
    assert (breaker.may(2.0 + PAUSE_S * 0.9), breaker.may(2.0 + PAUSE_S)) == (False, True)


def test_a_trial_that_says_nothing_leaves_it_to_the_next():
    breaker = opened()
    assert breaker.enter(1.0)
    breaker.withdrew()
    assert not breaker.closed
    assert breaker.enter(1.0)


def test_what_was_begun_before_it_opened_does_not_close_it():
    breaker = opened()
    breaker.succeeded()
    breaker.failed(5.0)
    assert not breaker.closed
    assert breaker.enter(PAUSE_S)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["enter", "succeeded", "failed", "withdrew", "open"]), max_size=60))
def test_after_whatever_has_happened_a_success_closes_it_within_two_pauses(steps):
    breaker, now = Breaker(), 0.0
    for step in steps:
        now += 0.01
        getattr(breaker, step)(*([now] if step in ("enter", "failed", "open") else []))
    breaker.succeeded()
    if not breaker.closed:
        assert breaker.enter(now + PAUSE_S)
        breaker.succeeded()
    assert breaker.closed


MOST_S = 0.03


def job(*, left=10.0):
    return Job(lambda _job: None, clock() + left, 1.0, asyncio.new_event_loop().create_future())


@pytest.fixture
def circuits():
    return Circuits(MOST_S, lenient=("explain",))


@pytest.fixture(autouse=True)
def loops_closed(monkeypatch):
    """Close the loops that the jobs' futures belong to."""
    made, new = [], asyncio.new_event_loop
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: made.append(new()) or made[-1])
    yield
    for loop in made:
        loop.close()


def fail(circuits, stage, error, *, times=ROW, **options):
    def work():
        raise error

    for _ in range(times):
        with pytest.raises(type(error)):
            circuits.run(job(**options), stage, work)


def test_stages_pass_and_what_they_return_is_returned(circuits):
    assert [circuits.run(job(), "score", lambda at=at: at) for at in range(50)] == list(range(50))
    assert circuits.open == ()


def test_a_stage_that_raises_again_and_again_is_left_alone_and_the_others_are_not(circuits):
    fail(circuits, "score", ZeroDivisionError())
    assert circuits.open == ("score",)
    assert (circuits.may(["match"]), circuits.may(["match", "score"])) == (True, False)
    with pytest.raises(Degraded) as caught:
        circuits.run(job(), "score", lambda: pytest.fail("it is not to be tried"))
    assert caught.value.reason is Reason.CIRCUIT_OPEN
    assert circuits.run(job(), "match", lambda: 1) == 1
    time.sleep(PAUSE_S * 1.1)
    assert circuits.may(["score"])
    assert circuits.run(job(), "score", lambda: 1) == 1
    assert circuits.open == ()


def test_a_stage_that_says_itself_why_the_order_stays_is_not_at_fault(circuits):
    fail(circuits, "match", Degraded(Reason.MISSING_MATCH), times=3 * WINDOW)
    assert circuits.open == ()


def test_a_request_whose_time_has_gone_says_nothing_of_the_stage(circuits):
    for _ in range(3 * WINDOW):
        with pytest.raises(Degraded) as caught:
            circuits.run(job(left=-0.001), "encode", lambda: pytest.fail("it is not to be begun"))
        assert caught.value.reason is Reason.DEADLINE
    assert circuits.open == ()


def test_a_request_that_had_lost_its_time_in_the_row_says_nothing_of_the_stage():
    circuits = Circuits(5.0)
    for _ in range(2 * ROW):
        late = job(left=0.01)

        def work(late=late):
            while not late.over:
                time.sleep(0.002)

        circuits.run(late, "encode", work)
    assert circuits.open == ()


def test_a_stage_that_takes_a_whole_deadline_and_ends_after_it_fails(circuits):
    for _ in range(ROW):
        circuits.run(job(left=MOST_S / 2), "encode", lambda: time.sleep(MOST_S * 1.2))
    assert circuits.open == ("encode",)


def test_a_slow_stage_is_well_where_the_request_has_the_time(circuits):
    for _ in range(ROW):
        circuits.run(job(), "encode", lambda: time.sleep(MOST_S * 1.2))
    assert circuits.open == ()


def test_errors_of_a_stage_that_an_order_stands_without_do_not_count(circuits):
    fail(circuits, "explain", ValueError("not explained"), times=3 * WINDOW)
    assert circuits.open == ()


def test_the_stage_that_a_thread_is_stuck_in_is_left_alone_and_what_it_says_afterwards_does_not_count(circuits):
    stuck = job()

    def hang():
        assert stuck.doing == "encode"
        stuck.given_up = True
        circuits.stuck(stuck)
        return 1

    assert circuits.run(stuck, "encode", hang) == 1
    assert circuits.open == ("encode",)
    elsewhere = job()
    circuits.stuck(elsewhere)
    assert circuits.open == ("encode",)


def test_a_thread_that_was_given_up_goes_no_further(circuits):
    gone = job()
    gone.given_up = True
    with pytest.raises(Degraded):
        circuits.run(gone, "score", lambda: pytest.fail("nobody is served by it"))
