"""A lane: one thread that does work in the order received, beside the event loop that waits for it until a deadline and no longer.

Work whose time has gone, or for which nobody waits any longer, is not begun. Work that could not be finished in time is refused
at once (``shedding``), unless the lane is idle. A thread that is still in one piece of work ``patience_s`` after its deadline
is given up: a new one takes its place, and it ends by itself should it ever come back. At most ``spare`` threads are given up
at once; while one more is stuck, everything is refused at once, and goes on as soon as one of them comes back.

Deadlines are seconds of ``clock``, which no clock that people set can move.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ltr.serving.answer import Degraded, Reason
from ltr.serving.shedding import Load

__all__ = ["PATIENCE_S", "SPARE", "Job", "Lane", "clock"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

clock: Final = time.monotonic

PATIENCE_S: Final = 0.25
SPARE: Final = 4
# Of the time that a request has, what may be planned with: half of all work takes longer than its mean. In a simulation of
# ten times the capacity, .8 cut about a quarter as many short as 1 did, and served no fewer in time.
_PLANNED: Final = 0.8
# Timers may come a little early.
_LATER_S: Final = 0.01


class Job:
    """Work that waits for its turn or has it. The work reads ``over`` between its parts, and ends where that is true.

    ``doing`` says what part it is at, for who asks why it takes so long. ``given_up`` is set when its thread was: nothing
    that it says of its work counts any longer.
    """

    __slots__ = ("_context", "_future", "_work", "began", "deadline", "doing", "ended", "given_up", "left", "weight")

    def __init__(self, work: Callable[[Job], Any], deadline: float, weight: float, future: asyncio.Future[Any]) -> None:
        self._work: Callable[[Job], Any] | None = work
        self._future = future
        # Log lines of the thread carry what the request's task has set, such as its number.
        self._context = contextvars.copy_context()
        self.deadline = deadline
        self.weight = weight
        self.began: float | None = None
        self.doing: str | None = None
        self.ended = self.left = self.given_up = False

    @property
    def over(self) -> bool:
        """Whether nobody is served by going on."""
        return self.left or self.given_up or clock() >= self.deadline

    def leave(self) -> None:
        """Say that nobody waits for it."""
        self.left, self._work = True, None

    def run(self) -> None:
        """Do the work and tell who waits; nothing is raised."""
        value, error = None, None
        try:
            if (work := self._work) is not None:
                value = self._context.run(work, self)
        # An exit or a cancellation in a thread must end neither it nor the loop.
        except BaseException as caught:
            error = caught
        self.ended = True
        if not self.left:
            try:
                self._future.get_loop().call_soon_threadsafe(_settle, self._future, (value, error))
            except RuntimeError:  # the loop was closed meanwhile
                _log.debug("nobody waits any longer")


class Lane:
    """A thread and what waits for it.

    Args:
        name: of the thread, and in the log.
        patience_s: how long after its deadline a piece of work may go on before its thread is given up.
        spare: how many threads may be given up at once.
        stuck: told of work whose thread is given up.
    """

    def __init__(
        self,
        name: str,
        *,
        patience_s: float = PATIENCE_S,
        spare: int = SPARE,
        stuck: Callable[[Job], None] = lambda _job: None,
    ) -> None:
        self.name, self.patience_s, self.spare = name, patience_s, spare
        self.load = Load()
        self.waiting = 0  # jobs
        self.given_up = 0  # threads that have not come back
        self._tell_stuck = stuck
        self._weight = 0.0  # of the jobs that wait
        self._jobs: deque[Job] = deque()
        self._current: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    async def do(self, work: Callable[[Job], T], *, deadline: float, weight: float) -> T:
        """What the work returns, or what it raises.

        Args:
            work: done in the lane's thread.
            deadline: when to stop waiting.
            weight: what it costs, in the units of all the lane's work.

        Raises:
            Degraded: DEADLINE when its time has come; at once OVERLOADED where it would come before the work is done,
                CIRCUIT_OPEN where all threads are stuck.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        job = Job(work, deadline, weight, future)
        left = self._take(job)
        timer = loop.call_later(left, _settle, future, None)
        try:
            outcome = await future
        finally:
            timer.cancel()
            if not job.ended:
                self._leave(job, loop)
        if outcome is None:
            raise Degraded(Reason.DEADLINE)
        value, error = outcome
        if error is None:
            found: T = value
            return found
        raise error if isinstance(error, Exception) else RuntimeError(f"the work ended by {error!r}") from error

    @property
    def blocked(self) -> bool:
        """Whether every thread is stuck."""
        job = self._current
        return job is not None and self._overdue(job, clock()) and self.given_up >= self.spare

    def relieve(self) -> None:
        """Give up a thread that is stuck, where another may take its place."""
        with self._changed:
            if not self._closed:
                self._manned(clock())

    def close(self, *, wait_s: float = 1.0) -> None:
        """End the threads, waiting so long for the one that works; what waits is not begun."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(wait_s)

    def _take(self, job: Job) -> float:
        """Put a job in the row; how many seconds it has."""
        with self._changed:
            now = clock()
            left = job.deadline - now
            if left <= 0:
                raise Degraded(Reason.DEADLINE)
            if self._closed or not self._manned(now):
                raise Degraded(Reason.CIRCUIT_OPEN)
            if self._busy or self.waiting:
                ahead = self._remaining(now) + self.load.seconds(self._weight)
                if ahead + self.load.seconds(job.weight) > _PLANNED * left:
                    raise Degraded(Reason.OVERLOADED)
            self._jobs.append(job)
            self.waiting += 1
            self._weight += job.weight
            self._changed.notify()
        return left

    def _leave(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody waits for it any longer; if it is being done, look again later whether its thread is stuck."""
        with self._changed:
            if not job.left and job.began is None:
                self._forget(job)
            job.leave()
            running = job.began is not None and not job.ended
        if running:
            loop.call_later(job.deadline + self.patience_s + _LATER_S - clock(), self.relieve)

    def _forget(self, job: Job) -> None:
        self.waiting -= 1
        self._weight = self._weight - job.weight if self.waiting else 0.0

    @property
    def _busy(self) -> bool:
        """Whether work is being done; who asks again as soon as it is answered may be quicker than the thread."""
        return self._current is not None and not self._current.ended

    def _remaining(self, now: float) -> float:
        """How long the present job will go on; one that has taken longer than it should, as long again as it is over."""
        job = self._current
        if job is None or job.began is None or job.ended:
            return 0.0
        return abs(self.load.seconds(job.weight) - (now - job.began))

    def _overdue(self, job: Job, now: float) -> bool:
        return not job.ended and now >= job.deadline + self.patience_s

    def _manned(self, now: float) -> bool:
        """Whether there is a thread that is not stuck, if need be a new one."""
        job = self._current
        if job is not None and self._overdue(job, now):
            if self.given_up >= self.spare:
                return False
            _log.error("the %s thread is stuck in %s; a new one takes its place", self.name, job.doing or "its work")
            job.given_up = True
            self.given_up += 1
            self._current = self._thread = None
            self._tell_stuck(job)
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=f"ltr-{self.name}", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads; the next request tries again
                self._thread = None
                return False
        return True

    def _work(self) -> None:
        job: Job | None = None
        while (job := self._next(job)) is not None:
            job.run()

    def _next(self, done: Job | None) -> Job | None:
        """The next job that somebody waits for, as soon as there is one; None where the thread is to end."""
        with self._changed:
            if self._thread is not threading.current_thread():
                self.given_up -= 1
                return None
            now = clock()
            if done is not None and done.began is not None:
                self.load.took(done.weight, now - done.began, cut=done.left or now >= done.deadline)
            self._current = None
            while not self._closed:
                while self._jobs:
                    job = self._jobs.popleft()
                    if job.left:
                        continue
                    self._forget(job)
                    now = clock()
                    if now >= job.deadline:
                        job.leave()
                        continue
                    job.began, self._current = now, job
                    return job
                self._changed.wait()
            return None


def _settle(future: asyncio.Future[Any], outcome: object) -> None:
    if not future.done():
        future.set_result(outcome)
