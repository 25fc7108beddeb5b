"""Answers in time, whatever becomes of the ranker: a bundle behind lanes, breakers and a kill switch.

``rerank`` never raises and is not late by more than the event loop itself is; what it answers is a permutation of the
candidates, in the order received with a reason where the ranker's is not to be had. Two lanes keep people, who search and want
explanations and have seconds, out of the way of the shop's requests, which have milliseconds.

    missing_match … scorer_failed   of the stages themselves (``rerank``)
    deadline        the time went by, in the row or in a stage
    overloaded      it would have: not begun
    circuit_open    a stage fails again and again, or every thread is stuck: not begun
    switched_off    ``off`` is set
    internal        anything else; the log has it
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ltr.serving.answer import Answer, Degraded, Reason, Stage, arranged, as_received
from ltr.serving.breaker import Circuits
from ltr.serving.lane import PATIENCE_S, SPARE, Job, Lane, clock
from ltr.serving.loaded import Serving
from ltr.serving.request import Candidate, Request
from ltr.serving.rerank import degraded, rerank
from ltr.serving.searching import FAILED, RETRIEVE, Found, Unsearchable, retrieved
from ltr.serving.settings import Settings
from ltr.serving.shedding import RERANK_FIXED

__all__ = ["Answering"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

# An order stands without its explanation.
_NEEDED: Final = (Stage.MATCH, Stage.ENCODE, Stage.FEATURES, Stage.SCORE)


class Answering:
    """A bundle that answers; made and asked in one event loop, ``close`` ends its threads.

    Args:
        serving: the bundle.
        settings: ``deadline_ms`` and ``people_ms`` are also what a stage that is well does not take.
        patience_s: how long after its deadline a stage may go on before its thread is given up.
        spare: how many threads a lane may have given up at once.
    """

    def __init__(
        self, serving: Serving, settings: Settings, *, patience_s: float = PATIENCE_S, spare: int = SPARE
    ) -> None:
        self.serving = serving
        self.off = False
        self._shop = _Road("rerank", settings.deadline_ms / 1000, patience_s, spare)
        self._people = _Road("people", settings.people_ms / 1000, patience_s, spare)

    async def rerank(self, request: Request, *, deadline: float) -> Answer:
        """Answer a request by the deadline, in seconds of ``lane.clock``; one that asks why does not keep the shop waiting."""
        asks_why = request.explain or request.why is not None
        return await self._answered(self._people if asks_why else self._shop, request, deadline)

    async def explain(self, request: Request, *, deadline: float) -> Answer:
        """The same for somebody who asks why."""
        return await self._answered(self._people, request, deadline)

    async def search(
        self, query: str, *, depth: int, request: Callable[[tuple[Candidate, ...]], Request], deadline: float
    ) -> Found:
        """Retrieve, and rerank what was found.

        Args:
            query: what was typed.
            depth: how many candidates are retrieved, at most.
            request: what is asked about the candidates.
            deadline: as of ``rerank``.

        Raises:
            Unsearchable: there are no candidates, because retrieval failed, came too late or was not tried.
        """
        passage = _Passage(self.serving, self._people.circuits)

        def work(job: Job) -> Found:
            passage.job = job
            passage.candidates = passage.run(RETRIEVE, lambda: retrieved(self.serving, query, depth))
            passage.request = request(passage.candidates)
            answer = degraded(passage.request, Reason.SWITCHED_OFF) if self.off else self._reranked(passage)
            return Found(passage.candidates, answer, passage.timings)

        try:
            return await self._people.take(work, (RETRIEVE,), deadline, depth)
        except Degraded as cut:
            failed = cut.reason
        # Whatever fails, the caller is told in one way.
        except Exception as error:
            if passage.candidates is None:
                _log.exception("retrieval failed")
                raise Unsearchable(FAILED) from error
            _log.exception("a search failed")
            failed = Reason.INTERNAL
        if passage.candidates is None:
            raise Unsearchable(failed)
        try:
            asked = passage.request or request(passage.candidates)
        except Exception as error:
            raise Unsearchable(Reason.INTERNAL) from error
        return Found(passage.candidates, passage.so_far(asked, failed), passage.timings)

    def state(self) -> dict[str, Any]:
        """What there is to tell of it: by lane how many wait, how long 100 candidates take, what is stuck and what is open."""
        return {"off": self.off, "rerank": self._shop.state(), "people": self._people.state()}

    def close(self) -> None:
        """End the threads; what is asked afterwards is answered in the order received."""
        self._shop.lane.close()
        self._people.lane.close()

    async def _answered(self, road: _Road, request: Request, deadline: float) -> Answer:
        passage = _Passage(self.serving, road.circuits, request)

        def work(job: Job) -> Answer:
            passage.job = job
            return self._reranked(passage)

        try:
            if not request.candidates:
                return Answer(())
            if self.off:
                return degraded(request, Reason.SWITCHED_OFF)
            return await road.take(work, _NEEDED, deadline, len(request.candidates))
        except Degraded as cut:
            return passage.so_far(request, cut.reason)
        # The shopper is to see products, whatever this is.
        except Exception:
            _log.exception("a request failed")
            return degraded(request, Reason.INTERNAL)

    def _reranked(self, passage: _Passage) -> Answer:
        """The pure function's answer, in a lane's thread."""
        request = passage.request
        if request is None:
            raise RuntimeError("nothing is asked")
        answer = rerank(self.serving, request, run=passage.run)
        if len(answer.results) != len(request.candidates):
            raise RuntimeError(f"{len(request.candidates)} candidates have {len(answer.results)} results")
        return answer


class _Road:
    """A lane and the breakers of what passes through it."""

    def __init__(self, name: str, most_s: float, patience_s: float, spare: int) -> None:
        self.circuits = Circuits(most_s, lenient=(Stage.EXPLAIN,))
        self.lane = Lane(name, patience_s=patience_s, spare=spare, stuck=self.circuits.stuck)

    async def take(self, work: Callable[[Job], T], needed: Sequence[str], deadline: float, candidates: int) -> T:
        """Have work done, or refuse it at once."""
        if not self.circuits.may(needed):
            raise Degraded(Reason.CIRCUIT_OPEN)
        return await self.lane.do(work, deadline=deadline, weight=RERANK_FIXED + candidates)

    def state(self) -> dict[str, Any]:
        return {
            "waiting": self.lane.waiting,
            "service_ms": round(self.lane.load.seconds(RERANK_FIXED + 100) * 1000, 3),
            "stuck": self.lane.given_up,
            "blocked": self.lane.blocked,
            "open": list(self.circuits.open),
        }


@dataclass
class _Passage:
    """A request on its way through the stages, and what it has got so far, in case that it gets no further."""

    serving: Serving
    circuits: Circuits
    request: Request | None = None
    job: Job | None = None
    candidates: tuple[Candidate, ...] | None = None
    _scores: NDArray[np.float32] | None = None
    _began: dict[str, float] = field(default_factory=dict)
    _took: dict[str, float] = field(default_factory=dict)

    def run(self, stage: str, work: Callable[[], T], /) -> T:
        """As ``rerank`` wants it: no stage is begun when the time has gone."""
        if self.job is None:
            raise RuntimeError("the work has no turn")
        self._began[stage] = clock()
        try:
            found = self.circuits.run(self.job, stage, work)
        finally:
            self._took[stage] = clock() - self._began[stage]
        if stage == Stage.SCORE:
            self._scores = cast("NDArray[np.float32]", found)
        return found

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage, until now of one that goes on."""
        now, took = clock(), dict(self._took)
        return {stage: took.get(stage, now - began) for stage, began in dict(self._began).items()}

    def so_far(self, request: Request, reason: Reason) -> Answer:
        """The ranker's order where the scores are there, else the order received."""
        timings = {stage: seconds for stage, seconds in self.timings.items() if stage != RETRIEVE}
        told = cast("dict[Stage, float]", timings)
        if reason is not Reason.DEADLINE or self._scores is None or len(self._scores) != len(request.candidates):
            return Answer(as_received(request), reason, told)
        asked = {"feature values": request.features, "contributions": request.explain, "why": request.why is not None}
        return Answer(
            arranged(request, self._scores),
            timings=told,
            notes=tuple(f"{what} would have come after the deadline" for what, wanted in asked.items() if wanted),
        )
