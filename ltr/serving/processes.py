"""A worker as its supervisor sees it: a process, the channel to it, and whether it still answers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ltr.errors import LtrError
from ltr.serving.control import GRACE_S, Channel, Do

__all__ = ["COMMAND", "METRICS", "Asked", "Failed", "Worker", "environment"]

METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"  # the directory through which workers count together

# -P: a module in the working directory is not to stand in for one of ours.
COMMAND: Final = (sys.executable, "-P", "-m", "ltr.serving.worker")
START_S: Final = 600.0  # to load and prove the largest of bundles
DONE_S: Final = 5.0  # to do what is told
_PING_S: Final = 2.0
_SILENT: Final = 5  # pings without a word: a process that is stopped, or whose interpreter is stuck

# One worker takes one core: what libraries would start threads for is done by the thread that asks.
_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


_log = logging.getLogger(__name__)


class Failed(LtrError):
    """A worker that did not become ready; ``told`` where it could say why."""

    def __init__(self, message: str, *, told: bool) -> None:
        """Keep whether the message is the worker's own."""
        super().__init__(message)
        self.told = told


def environment(given: Mapping[str, str], *, metrics: Path, without: tuple[str, ...]) -> dict[str, str]:
    """A worker's environment: the supervisor's without its secrets, and ours where that says nothing.

    Args:
        given: the supervisor's.
        metrics: the directory through which workers share their counters.
        without: variables to leave out.
    """
    kept = {name: value for name, value in given.items() if name not in without}
    return {**_ENVIRONMENT, **kept, METRICS: str(metrics)}


# Takes what a worker asks for an admin.
Asked = Callable[["Worker", dict[str, Any]], Awaitable[None]]


class Worker:
    """One process. Where it ends, whatever the cause, ``gone`` is set."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        """Use ``started``."""
        self.pid = process.pid
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(_seen)
        self.gone = asyncio.Event()
        self._process, self._channel = process, channel
        self._numbers = itertools.count(1)
        self._doing: dict[int, asyncio.Future[bool]] = {}
        self._silent = 0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def started(
        cls,
        start: Mapping[str, Any],
        *,
        listener: socket.socket,
        environment: Mapping[str, str],
        asked: Asked,
        command: Sequence[str] = COMMAND,
    ) -> Worker:
        """Start a process, and send it what to start with.

        Args:
            start: bundle, settings, and whether the kill switch is on.
            listener: the socket that all workers accept on.
            environment: of the process.
            asked: takes what the worker asks.
            command: what is run, with the numbers of the listener and of the channel behind it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    [*command, str(listener.fileno()), str(theirs.fileno())],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(listener.fileno(), theirs.fileno()),
                    process_group=0,  # Ctrl-C at the terminal is the supervisor's alone
                )
            except OSError as error:
                ours.close()
                raise Failed(f"no process can be started: {error.strerror}", told=True) from error
        worker = cls(process, await Channel.over(ours))
        worker.tell({"start": start})
        worker._tasks = [asyncio.create_task(worker._listen(asked)), asyncio.create_task(worker._watch())]
        return worker

    @property
    def alive(self) -> bool:
        """Whether it is ready and has not ended."""
        return self.ready.done() and self.ready.exception() is None and not self.gone.is_set()

    async def do(self, what: Do) -> bool:
        """Tell it, and wait until it has done so; False where it ended instead, or does not answer."""
        if self.gone.is_set():
            return False
        number = next(self._numbers)
        done = self._doing[number] = asyncio.get_running_loop().create_future()
        self.tell({"do": what, "id": number})
        try:
            return await asyncio.wait_for(done, DONE_S)
        except TimeoutError:
            return False
        finally:
            del self._doing[number]

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message that nothing is waited for."""
        self._channel.send(message)

    async def end(self, how: Do = Do.STOP, *, within: float = GRACE_S + 1) -> None:
        """Have it end; where it does not in time, kill it."""
        self.tell({"do": how})
        try:
            await asyncio.wait_for(self.gone.wait(), within)
        except TimeoutError:
            self.kill()
            await self.gone.wait()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()  # harmless where it has ended: Popen knows

    async def _listen(self, asked: Asked) -> None:
        asks: set[asyncio.Future[None]] = set()
        try:
            while (message := await self._channel.receive()) is not None:
                self._silent = 0
                if "ready" in message:
                    self.ready.set_result(message["ready"])
                elif "failed" in message:
                    self.ready.set_exception(Failed(str(message["failed"]), told=True))
                elif "done" in message:
                    self._settle(message["done"], True)
                elif "ask" in message:
                    asks.add(task := asyncio.ensure_future(asked(self, message)))
                    task.add_done_callback(asks.discard)
        # A worker that does not speak as ours do is of no use.
        except Exception:
            _log.exception("worker %d talks nonsense", self.pid)
            self.kill()
        self._channel.close()
        await self._reap()

    async def _reap(self) -> None:
        """Wait for the process, which has closed its channel, to end."""
        deadline = asyncio.get_running_loop().time() + GRACE_S
        while self._process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                self.kill()
            await asyncio.sleep(0.01)
        if not self.ready.done():
            self.ready.set_exception(Failed(f"a worker {_ended(self._process.returncode)} as it started", told=False))
        for number in self._doing:
            self._settle(number, False)
        self.gone.set()

    async def _watch(self) -> None:
        """Kill it where it does not become ready, or falls silent. Counted in pings, since a machine may sleep."""
        try:
            await asyncio.wait_for(asyncio.shield(self.ready), START_S)
        except Failed:
            return
        except TimeoutError:
            self._silent = _SILENT
        while not self.gone.is_set():
            if self._silent >= _SILENT:
                _log.error("worker %d does not answer, and is killed", self.pid)
                self.kill()
            self._silent += 1
            self.tell({"do": Do.PING})
            await asyncio.sleep(_PING_S)

    def _settle(self, number: int, outcome: bool) -> None:
        doing = self._doing.get(number)
        if doing is not None and not doing.done():
            doing.set_result(outcome)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        return _ended(self._process.returncode)


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.strsignal(-code) or 'a signal'} (signal {-code})"
    return f"ended with code {code}"


def _seen(ready: asyncio.Future[dict[str, Any]]) -> None:
    """A failure that nobody waits for is no error of asyncio's."""
    if not ready.cancelled():
        ready.exception()
