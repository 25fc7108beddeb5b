"""One thread beside the event loop: in the order received, until the deadline and no longer, replaced when it is stuck."""

import asyncio
import contextvars
import threading
import time

import pytest

from ltr.serving.answer import Degraded, Reason
from ltr.serving.lane import Lane, clock
from ltr.serving.shedding import Load

SOON = 0.05
LONG = 30.0


def running(test):
    """Run a test's coroutine with a lane of its own, whose threads must all end."""

    def run(**options):
        async def course():
            lane = Lane("test", **{"patience_s": 0.05, **options})
            try:
                return await asyncio.wait_for(test(lane), 20)
            finally:
                lane.close()

        return asyncio.run(course())

    return run


def later(seconds):
    return clock() + seconds


async def refused(coroutine):
    with pytest.raises(Degraded) as caught:
        await coroutine
    return caught.value.reason


async def until(condition, *, within=5.0):
    """Wait until it holds."""
    end = clock() + within
    while not condition():
        assert clock() < end
        await asyncio.sleep(0.002)


class Gate:
    """Work that hangs until it is let go."""

    def __init__(self):
        self.open, self.entered = threading.Event(), threading.Semaphore(0)
        self.came_back = 0

    def __call__(self, _job=None):
        self.entered.release()
        assert self.open.wait(20)
        self.came_back += 1
        return "came back"


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ltr-test")]


def test_the_clock_is_one_that_nobody_can_set():
    assert clock is time.monotonic
    assert not time.get_clock_info("monotonic").adjustable


def test_work_is_done_in_one_thread_beside_the_loop_in_the_order_received():
    @running
    async def course(lane):
        order, where = [], set()

        def work(number):
            def do(_job):
                order.append(number)
                where.add(threading.current_thread())
                return number * number

            return do

        found = await asyncio.gather(*(lane.do(work(at), deadline=later(LONG), weight=1) for at in range(50)))
        assert found == [at * at for at in range(50)]
        assert order == list(range(50))
        assert len(where) == 1
        (thread,) = where
        assert thread.daemon
        assert thread is not threading.current_thread()

    course()
    assert not threads()


def test_what_the_work_raises_is_raised_and_what_would_end_a_process_is_an_error():
    @running
    async def course(lane):
        def failing(error):
            def do(_job):
                raise error

            return lane.do(do, deadline=later(LONG), weight=1)

        with pytest.raises(ZeroDivisionError):
            await failing(ZeroDivisionError())
        for error in (SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()):
            with pytest.raises(RuntimeError, match=type(error).__name__):
                await failing(error)
        assert await lane.do(lambda _job: "well", deadline=later(LONG), weight=1) == "well"

    course()


def test_work_sees_what_the_task_that_asked_has_set():
    number = contextvars.ContextVar("number", default=0)

    @running
    async def course(lane):
        async def ask(value):
            number.set(value)
            return await lane.do(lambda _job: number.get(), deadline=later(LONG), weight=1)

        assert await asyncio.gather(*map(ask, (3, 1, 2))) == [3, 1, 2]

    course()


def test_who_waits_is_told_at_the_deadline_and_the_work_sees_that_it_is_over():
    @running
    async def course(lane):
        over = []

        def slow(job):
            over.append(job.over)
            time.sleep(4 * SOON)
            over.append(job.over)

        began = clock()
        assert await refused(lane.do(slow, deadline=began + SOON, weight=1)) is Reason.DEADLINE
        assert SOON * 0.9 <= clock() - began < 3 * SOON
        await until(lambda: len(over) == 2)
        assert over == [False, True]
        assert lane.given_up == 0

    course(patience_s=5.0)


def test_time_that_has_gone_already_is_not_waited_for():
    @running
    async def course(lane):
        assert await refused(lane.do(lambda _job: 1, deadline=clock(), weight=1)) is Reason.DEADLINE
        assert not threads()

    course()


def test_work_whose_deadline_passed_in_the_row_is_never_begun():
    @running
    async def course(lane):
        gate, begun = Gate(), []
        first = asyncio.create_task(lane.do(gate, deadline=later(LONG), weight=1))
        await until(lambda: gate.entered.acquire(blocking=False))
        second = lane.do(lambda _job: begun.append(1), deadline=later(SOON), weight=0)
        assert await refused(second) is Reason.DEADLINE
        assert lane.waiting == 0
        third = asyncio.create_task(lane.do(lambda _job: "third", deadline=later(LONG), weight=1))
        await asyncio.sleep(0)
        gate.open.set()
        assert (await first, await third) == ("came back", "third")
        assert begun == []

    course()


def test_a_caller_who_goes_away_frees_its_place_and_ends_its_work():
    @running
    async def course(lane):
        gate, begun, over = Gate(), [], []

        def first(job):
            gate()
            over.append(job.over)

        running_ = asyncio.create_task(lane.do(first, deadline=later(LONG), weight=1))
        await until(lambda: gate.entered.acquire(blocking=False))
        queued = asyncio.create_task(lane.do(lambda _job: begun.append(1), deadline=later(LONG), weight=1))
        await until(lambda: lane.waiting == 1)
        for task in (queued, running_):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert lane.waiting == 0
        gate.open.set()
        assert await lane.do(lambda _job: "next", deadline=later(LONG), weight=1) == "next"
        assert (begun, over) == ([], [True])

    course()


def test_a_stuck_thread_is_replaced_and_ends_by_itself_when_it_comes_back():
    @running
    async def course(lane):
        gate = Gate()
        assert await refused(lane.do(gate, deadline=later(SOON), weight=1)) is Reason.DEADLINE
        await until(lambda: lane.given_up == 1)
        assert told == ["its work"]
        assert await lane.do(lambda _job: "new", deadline=later(LONG), weight=1) == "new"
        assert len(threads()) == 2
        gate.open.set()
        await until(lambda: lane.given_up == 0 and len(threads()) == 1)
        assert gate.came_back == 1
        assert await lane.do(lambda _job: "still there", deadline=later(LONG), weight=1) == "still there"

    told = []
    course(stuck=lambda job: told.append(job.doing or "its work"))


def test_who_waits_behind_stuck_work_is_served_by_the_new_thread():
    @running
    async def course(lane):
        gate = Gate()
        stuck = asyncio.create_task(lane.do(gate, deadline=later(SOON), weight=1))
        await until(lambda: gate.entered.acquire(blocking=False))
        assert await lane.do(lambda _job: "served", deadline=later(LONG), weight=1) == "served"
        assert await refused(stuck) is Reason.DEADLINE
        gate.open.set()

    course()


def test_no_more_threads_are_given_up_than_allowed_and_service_goes_on_when_they_come_back():
    @running
    async def course(lane):
        gate = Gate()
        reasons, most = [], 0
        end = clock() + 1.5
        while clock() < end:
            began = clock()
            reasons.append(await refused(lane.do(gate, deadline=began + 0.02, weight=1)))
            assert clock() - began < 0.5
            most = max(most, len(threads()))
            await asyncio.sleep(0.005)
        assert lane.given_up == 2
        assert most == 3
        assert lane.blocked
        began = clock()
        assert await refused(lane.do(gate, deadline=began + LONG, weight=1)) is Reason.CIRCUIT_OPEN
        assert clock() - began < 0.5
        assert reasons[-1] is Reason.CIRCUIT_OPEN
        gate.open.set()
        await until(lambda: not lane.blocked, within=1.0)
        assert await lane.do(lambda _job: "again", deadline=later(LONG), weight=1) == "again"
        await until(lambda: lane.given_up == 0 and len(threads()) == 1, within=1.0)

    course(spare=2)


def test_a_system_without_threads_refuses_until_there_are_some(monkeypatch):
    @running
    async def course(lane):
        def start(_thread):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            assert await refused(lane.do(lambda _job: 1, deadline=later(LONG), weight=1)) is Reason.CIRCUIT_OPEN
        assert await lane.do(lambda _job: 1, deadline=later(LONG), weight=1) == 1

    course()


def test_what_could_not_be_done_in_time_is_refused_at_once_and_the_row_stays_short():
    @running
    async def course(lane):
        def work(_job):
            time.sleep(0.01)

        for _ in range(30):
            await lane.do(work, deadline=later(LONG), weight=100)
        began = clock()
        burst = [lane.do(work, deadline=began + 0.4, weight=100) for _ in range(300)]
        asked = [asyncio.create_task(one) for one in burst]
        await asyncio.sleep(0)
        assert lane.waiting < 50
        found = await asyncio.gather(*asked, return_exceptions=True)
        reasons = [one.reason for one in found if isinstance(one, Degraded)]
        assert reasons.count(Reason.OVERLOADED) > 150
        assert found.count(None) >= 1
        assert lane.waiting == 0

    course(patience_s=5.0)


def test_an_idle_lane_tries_whatever_it_remembers_and_so_recovers_from_a_slow_spell():
    @running
    async def course(lane):
        for _ in range(100):
            lane.load.took(1, 10.0)
        assert lane.load.seconds(1) > 1.0
        for _ in range(60):
            assert await lane.do(lambda _job: 1, deadline=later(SOON * 10), weight=1) == 1
        assert lane.load.seconds(1) < 0.1
        found = await asyncio.gather(*(lane.do(lambda _job: 1, deadline=later(LONG), weight=1) for _ in range(20)))
        assert found == [1] * 20

    course()


def test_work_that_takes_far_longer_than_it_should_is_not_waited_for():
    @running
    async def course(lane):
        for _ in range(100):
            lane.load.took(1, 0.001)
        gate = Gate()
        stuck = asyncio.create_task(lane.do(gate, deadline=later(LONG), weight=1))
        await until(lambda: gate.entered.acquire(blocking=False))
        await asyncio.sleep(0.2)
        began = clock()
        assert await refused(lane.do(lambda _job: 1, deadline=began + 0.03, weight=1)) is Reason.OVERLOADED
        gate.open.set()
        assert await stuck == "came back"

    course()


def test_a_closed_lane_refuses_and_its_threads_end():
    async def course():
        lane = Lane("test")
        assert await lane.do(lambda _job: 1, deadline=later(LONG), weight=1) == 1
        lane.close()
        assert not threads()
        assert await refused(lane.do(lambda _job: 1, deadline=later(LONG), weight=1)) is Reason.CIRCUIT_OPEN
        lane.close()

    asyncio.run(course())


def test_a_loop_that_was_closed_meanwhile_does_not_end_the_thread():
    lane, gate = Lane("test", patience_s=5.0), Gate()

    async def leave():
        task = asyncio.create_task(lane.do(gate, deadline=later(LONG), weight=1))
        await until(lambda: gate.entered.acquire(blocking=False))
        task.cancel()

    async def ask():
        return await lane.do(lambda _job: "still there", deadline=later(LONG), weight=1)

    asyncio.run(leave())
    gate.open.set()
    assert asyncio.run(ask()) == "still there"
    lane.close()


def test_the_mean_follows_the_work_and_one_pause_does_not_move_it_far():
    load = Load()
    for _ in range(200):
        load.took(300, 0.003)
    assert load.seconds(100) == pytest.approx(0.001)
    load.took(300, 5.0)
    assert load.seconds(300) == pytest.approx(0.003 * (1 + 3 / 8))
    for _ in range(60):
        load.took(300, 0.030)
    assert load.seconds(300) == pytest.approx(0.030, rel=0.05)
    load.took(300, 0.001, cut=True)
    assert load.seconds(300) == pytest.approx(0.030, rel=0.05)
    load.took(300, 0.001)
    assert load.seconds(300) < 0.028
