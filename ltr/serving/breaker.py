"""Circuit breakers: a stage that fails again and again is left alone for a while, and the requests answered at once.

    closed ──(failures: ROW in a row, or half of the last WINDOW; or its thread is stuck)──> open
    open ──(PAUSE_S later, with the next request)──> half-open: that one request tries the stage, others are still refused
    half-open ──(it succeeds)──> closed          half-open ──(it fails)──> open

A stage fails by raising, or by ending after the request's deadline having itself taken ``most_s`` or longer; so a request that
had lost its time in the row, or was given none to speak of, says nothing against a stage.

>>> breaker = Breaker()
>>> for _ in range(ROW):
...     breaker.failed(10.0)
>>> breaker.may(10.1), breaker.may(10.3), breaker.enter(10.3), breaker.enter(10.3)
(False, True, True, False)
>>> breaker.succeeded()
>>> breaker.closed
True
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ltr.serving.answer import Degraded, Reason
from ltr.serving.lane import Job, clock

__all__ = ["PAUSE_S", "ROW", "WINDOW", "Breaker", "Circuits"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

ROW: Final = 5
WINDOW: Final = 20
PAUSE_S: Final = 0.25


class Breaker:
    """Of one stage; times are seconds of any one clock."""

    def __init__(self) -> None:
        self.closed = True
        self._row = 0
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._next = 0.0  # when it may be tried again
        self._trying = False

    def may(self, now: float) -> bool:
        """Whether the stage might be entered now."""
        return self.closed or (not self._trying and now >= self._next)

    def enter(self, now: float) -> bool:
        """Whether the stage may be entered; where the breaker is open, this one tries it and others may not."""
        if not self.closed:
            if not self.may(now):
                return False
            self._trying = True
        return True

    def succeeded(self) -> None:
        """The stage did its work."""
        if self.closed:
            self._row = 0
            self._window.append(True)
        elif self._trying:
            self.closed, self._trying = True, False

    def failed(self, now: float) -> None:
        """The stage did not."""
        if self.closed:
            self._row += 1
            self._window.append(False)
            full = len(self._window) == WINDOW
            if self._row >= ROW or (full and 2 * self._window.count(False) >= WINDOW):
                self.open(now)
        elif self._trying:
            self.open(now)

    def withdrew(self) -> None:
        """Whether the stage would have done it is not known: the next may try."""
        self._trying = False

    def open(self, now: float) -> None:
        """Leave the stage alone for a while."""
        self.closed = self._trying = False
        self._next = now + PAUSE_S
        self._row = 0
        self._window.clear()


class Circuits:
    """The breakers of all that one lane passes through; asked by the event loop, told by the lane's thread.

    Args:
        most_s: what a stage that is well does not take.
        lenient: stages whose errors say nothing of the next request; time does.
    """

    def __init__(self, most_s: float, *, lenient: Sequence[str] = ()) -> None:
        self._most_s, self._lenient = most_s, frozenset(lenient)
        self._breakers: dict[str, Breaker] = {}
        self._lock = threading.Lock()

    @property
    def open(self) -> tuple[str, ...]:
        """The stages that are left alone."""
        return tuple(sorted(stage for stage, breaker in list(self._breakers.items()) if not breaker.closed))

    def may(self, stages: Sequence[str]) -> bool:
        """Whether a request that needs these stages might pass."""
        found = [breaker for stage in stages if (breaker := self._breakers.get(stage)) and not breaker.closed]
        if not found:
            return True
        now = clock()
        with self._lock:
            return all(breaker.may(now) for breaker in found)

    def run(self, job: Job, stage: str, work: Callable[[], T]) -> T:
        """Do a stage's work for a job.

        Raises:
            Degraded: DEADLINE where the job is over, CIRCUIT_OPEN where the stage is left alone.
        """
        if job.over:
            raise Degraded(Reason.DEADLINE)
        began = clock()
        with self._lock:
            breaker = self._breakers.setdefault(stage, Breaker())
            if not breaker.enter(began):
                raise Degraded(Reason.CIRCUIT_OPEN)
        job.doing = stage
        try:
            found = work()
        except Degraded:
            self._tell(job, breaker.withdrew)
            raise
        except BaseException:
            if stage in self._lenient:
                self._tell(job, breaker.succeeded)
            else:
                self._failed(job, stage, breaker)
            raise
        finally:
            job.doing = None
        ended, closed = clock(), breaker.closed
        if ended >= job.deadline and ended - began >= self._most_s:
            self._failed(job, stage, breaker)
        else:
            self._tell(job, breaker.succeeded)
            if not closed and breaker.closed:
                _log.warning("stage %s is well again: its circuit is closed", stage)
        return found

    def stuck(self, job: Job) -> None:
        """Leave alone the stage in which a thread was given up."""
        if job.doing is not None:
            with self._lock:
                self._breakers.setdefault(job.doing, Breaker()).open(clock())

    def _tell(self, job: Job, outcome: Callable[[], None]) -> None:
        with self._lock:
            # What is told of a thread that was given up, was counted when it was.
            if not job.given_up:
                outcome()

    def _failed(self, job: Job, stage: str, breaker: Breaker) -> None:
        closed = breaker.closed
        self._tell(job, lambda: breaker.failed(clock()))
        if closed and not breaker.closed:
            _log.error("stage %s fails again and again: its circuit is open", stage)
