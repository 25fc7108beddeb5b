"""The supervisor: shifts of workers on one socket, of which one serves; kept alive, and changed as one.

It holds no bundle, and imports nothing that does: what goes wrong with one goes wrong in a worker. A shift serves one bundle, as
that was when the shift was started. A reload starts another shift beside it, and only when all of that are ready does it accept in
the place of the old one, which rests, loaded, until the next reload. A rollback wakes it, and another goes forward again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ltr.errors import LtrError
from ltr.serving.control import GRACE_S, LEAVE_S, Ask, Do, Outcome, told
from ltr.serving.processes import Asked, Failed, Worker
from ltr.serving.settings import Settings

__all__ = ["Shift", "Start", "Supervisor"]

# Starts a worker: of a bundle, with settings, with the ranker off or on, and with what takes its asks.
Start = Callable[[Path, Settings, bool, Asked], Awaitable[Worker]]

_log = logging.getLogger(__name__)

# Seconds before each further try to replace a worker that ended as it started, or soon after.
_DELAYS: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
_STEADY_S: Final = 10.0


@dataclass(eq=False)
class Shift:
    """Workers of one bundle and with the same settings, which serve or rest together."""

    bundle: Path
    settings: Settings
    workers: list[Worker] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all are ready and none has ended."""
        return all(worker.alive for worker in self.workers)

    async def do(self, what: Do) -> bool:
        """Tell those that are ready; whether all of them have done it."""
        return all(await asyncio.gather(*(worker.do(what) for worker in self.workers if worker.alive)))


class Supervisor:
    """Keeps workers, and changes what they serve.

    Args:
        bundle: a directory or a link to one, which is followed anew at each reload.
        settings: read anew for each shift, since keys may have changed; LtrError where they cannot be.
        start: starts a worker.
    """

    def __init__(self, bundle: Path, settings: Callable[[], Settings], *, start: Start) -> None:
        """Start nothing yet."""
        self._bundle, self._settings, self._start = bundle, settings, start
        self._shifts: list[Shift] = []  # all that may have a worker
        self._serving: Shift | None = None
        self._resting: Shift | None = None
        self._off = self._closing = False
        self._changing = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> Mapping[str, Any]:
        """Start the first shift and return the facts of what it serves.

        Raises:
            Failed: it cannot serve.
        """
        self._serving = shift = await self._recruited()
        self._keep(shift)
        await shift.do(Do.WAKE)
        return shift.facts

    async def reload(self) -> Outcome:
        """Serve the bundle as it is now, from new workers; where they do not become ready, nothing changes."""
        return await self._alone("reload", self._reload)

    async def rollback(self) -> Outcome:
        """Serve what was served before the last reload or rollback."""
        return await self._alone("rollback", self._roll_back)

    async def switch(self, off: bool) -> Outcome:
        """Turn the ranker off or on: in all workers, and those that are to come."""
        self._off, what = off, Do.OFF if off else Do.ON
        workers = [worker for shift in self._shifts for worker in shift.workers]
        ready = [worker for worker in workers if worker.alive]
        for worker in workers:
            if not worker.ready.done():  # it may be long in hearing it
                worker.tell({"do": what})
        if all(await asyncio.gather(*(worker.do(what) for worker in ready))):
            return self._outcome(f"the ranker is {what}")
        return self._refused(f"the ranker is {what}, but for a worker that does not answer and is being replaced")

    async def close(self, *, at_once: bool = False) -> None:
        """End all workers, at once or when they have finished what is asked."""
        self._closing = True
        workers = [worker for shift in self._shifts for worker in shift.workers]
        for worker in workers if at_once else ():
            worker.kill()
        await asyncio.gather(*(worker.end() for worker in workers))

    async def _reload(self) -> Outcome:
        if (before := self._serving) is None:
            return self._refused("the service is starting")
        try:
            shift = await self._recruited()
        except LtrError as error:
            return self._refused(f"nothing has changed: {error}")
        if not await shift.do(Do.WAKE):
            self._spawn(self._retire(shift))
            return self._refused("nothing has changed: a new worker ended as it began to serve")
        self._serving, retired, self._resting = shift, self._resting, before
        self._keep(shift)
        await before.do(Do.REST)
        if retired is not None:
            self._spawn(self._retire(retired))
        return self._outcome(f"{shift.bundle} is served; a rollback serves {before.bundle} as it was")

    async def _roll_back(self) -> Outcome:
        before, resting = self._serving, self._resting
        if before is None or resting is None:
            return self._refused("nothing was served before: there has been no reload")
        if resting.settings != before.settings:
            return self._refused("keys have changed since: link the bundle that was served before, and reload")
        if not resting.whole or not await resting.do(Do.WAKE):
            await resting.do(Do.REST)
            return self._refused("a worker of what was served before has ended: link that bundle, and reload")
        self._serving, self._resting = resting, before
        await before.do(Do.REST)
        return self._outcome(f"{resting.bundle} is served as it was; another rollback goes forward again")

    async def _alone(self, name: str, change: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Change what is served; one change at a time."""
        if self._changing:
            return self._refused(f"a {self._changing} is under way: ask again when it is done")
        self._changing = name
        try:
            outcome = await change()
        finally:
            self._changing = ""
        _log.log(logging.INFO if outcome.done else logging.ERROR, "%s: %s", name, outcome.message)
        return outcome

    async def _recruited(self) -> Shift:
        """A new shift, all of which are ready; Failed, and no worker of it left, where they do not become so."""
        shift = Shift(Path(os.path.realpath(self._bundle)), self._settings())
        self._shifts.append(shift)
        try:
            for _ in range(shift.settings.workers):
                shift.workers.append(await self._started(shift))
            facts = await asyncio.gather(*(asyncio.shield(worker.ready) for worker in shift.workers))
            if any(other != facts[0] for other in facts):
                raise Failed(f"{shift.bundle} changed while it was loaded; reload again", told=True)
        except BaseException:
            for worker in shift.workers:
                worker.kill()
            self._shifts.remove(shift)
            raise
        shift.facts = facts[0]
        return shift

    async def _started(self, shift: Shift) -> Worker:
        return await self._start(shift.bundle, shift.settings, self._off, self._asked)

    def _keep(self, shift: Shift) -> None:
        """From now on, replace those that end."""
        for at in range(len(shift.workers)):
            self._spawn(self._mind(shift, at))

    async def _mind(self, shift: Shift, at: int) -> None:
        """Replace the worker in this place whenever it ends while the shift serves."""
        clock = asyncio.get_running_loop().time
        tries, since = 0, clock()
        while True:
            await (ended := shift.workers[at]).gone.wait()
            if self._closing or shift not in (self._serving, self._resting):
                return
            _log.error("worker %d %s", ended.pid, ended.ending)
            if clock() - since > _STEADY_S:
                tries = 0
            await asyncio.sleep(_DELAYS[min(tries, len(_DELAYS) - 1)])
            tries += 1
            if shift is not self._serving or self._closing:
                _log.error("a rollback is refused from now on: the worker that ended was of what was served before")
                return
            try:
                shift.workers[at] = worker = await self._started(shift)
                facts = await asyncio.shield(worker.ready)
            except Failed as error:
                _log.error("no worker takes its place yet: %s", error)
                continue
            since = clock()
            if facts != shift.facts:
                _log.warning("worker %d serves %s, others %s: reload", worker.pid, facts, shift.facts)
            if shift is self._serving:
                await worker.do(Do.WAKE)

    async def _asked(self, worker: Worker, message: dict[str, Any]) -> None:
        """Do what a worker asks for an admin."""
        ask = Ask(message["ask"])
        if ask is Ask.RELOAD:
            outcome = await self.reload()
        elif ask is Ask.ROLLBACK:
            outcome = await self.rollback()
        else:
            outcome = await self.switch(ask is Ask.OFF)
        worker.tell(told(outcome, message["id"]))

    async def _retire(self, shift: Shift) -> None:
        """End a shift when nobody is connected to it any longer."""
        await asyncio.gather(*(worker.end(Do.LEAVE, within=LEAVE_S + 2 * GRACE_S) for worker in shift.workers))
        self._shifts.remove(shift)

    def _outcome(self, message: str, *, done: bool = True) -> Outcome:
        facts = self._serving.facts if self._serving else {}
        return Outcome(done, message, {**facts, "off": self._off})

    def _refused(self, message: str) -> Outcome:
        return self._outcome(message, done=False)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)
