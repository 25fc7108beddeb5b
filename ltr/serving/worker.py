"""A worker: one bundle, loaded, proven and warmed, behind HTTP on a socket that its supervisor has opened.

    python -m ltr.serving.worker LISTENER CHANNEL        (numbers of inherited file descriptors)

Another bundle or state is another worker. It ends when it is told to, when it is sent SIGTERM, and when the channel to the
supervisor closes, whatever became of that.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ltr.errors import LtrError, MissingExtraError
from ltr.serving.control import GRACE_S, LEAVE_S, Ask, Channel, Do, Outcome
from ltr.serving.processes import METRICS
from ltr.serving.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from ltr.serving.answer_log import AnswerLog
    from ltr.serving.answering import Answering
    from ltr.serving.asked import Action
    from ltr.serving.connections import Server
    from ltr.serving.loaded import Serving
    from ltr.serving.metrics import Metrics

__all__ = ["Asking", "main", "watched"]

_log = logging.getLogger(__name__)
_FAILED: Final = 1
_BLOCKED_S: Final = 10


class Asking:
    """An admin's wishes, passed to the supervisor (``ltr.serving.asked.Control``)."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        """Ask through this function."""
        self._send = send
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}

    async def do(self, action: Action) -> Mapping[str, Any]:
        """Have it done, and tell what serves now; ControlError where it cannot be done."""
        from ltr.serving.asked import ControlError

        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send({"ask": Ask(action), "id": number})
        try:
            outcome = await answer
        finally:
            del self._waiting[number]
        if not outcome.done:
            raise ControlError(outcome.message)
        return {"message": outcome.message, **outcome.facts}

    def answered(self, message: Mapping[str, Any]) -> None:
        """Take in an answer of the supervisor's."""
        self._settle(message["id"], Outcome(**message["answer"]))

    def lost(self) -> None:
        """Tell those who wait that nobody will answer."""
        for number in list(self._waiting):
            self._settle(number, Outcome(False, "the service is ending"))

    def _settle(self, number: int, outcome: Outcome) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)


@dataclass(frozen=True)
class _Desk:
    """All that answers in this process."""

    serving: Serving
    answering: Answering
    metrics: Metrics
    answer_log: AnswerLog | None
    app: Starlette
    server: Server

    def tell(self) -> None:
        """Have the metrics know how it stands."""
        state = self.answering.state()
        lanes = [lane for lane in state.values() if isinstance(lane, Mapping)]
        self.metrics.state(
            {
                "queue": sum(lane["waiting"] for lane in lanes),
                "stuck": sum(lane["stuck"] for lane in lanes),
                "circuits": {stage for lane in lanes for stage in lane["open"]},
                "off": state["off"],
                "answer_log_dropped": self.answer_log.dropped if self.answer_log else 0,
                "log_dropped": sum(getattr(handler, "dropped", 0) for handler in logging.getLogger().handlers),
            }
        )

    def close(self) -> None:
        """End its threads, when what they have to write is written."""
        self.answering.close()
        if self.answer_log:
            self.answer_log.close()


class _Duty:
    """What the supervisor says is done to whatever there is of the worker yet."""

    def __init__(self, channel: Channel, *, off: bool) -> None:
        self.asking = Asking(channel.send)
        self._channel, self._off = channel, off
        self._desk: _Desk | None = None
        self._leaving: asyncio.Task[None] | None = None

    def take(self, desk: _Desk) -> None:
        """Serve from here on."""
        self._desk = desk
        desk.answering.off = self._off

    async def listen(self) -> None:
        """Do what is told until there is nobody to tell."""
        try:
            while (message := await self._channel.receive()) is not None:
                if "answer" in message:
                    self.asking.answered(message)
                else:
                    await self._do(Do(message["do"]))
                    self._channel.send({"done": message.get("id")})
            # The supervisor has ended without a word; what it would have removed is there yet.
            shutil.rmtree(os.environ.get(METRICS, ""), ignore_errors=True)
        # Such as no descriptor left to accept with: another worker may do better.
        except Exception:
            _log.exception("what the supervisor says cannot be done")
        self.asking.lost()
        self.end()

    async def _do(self, what: Do) -> None:
        desk = self._desk
        if what in (Do.OFF, Do.ON):
            self._off = what is Do.OFF
            if desk is not None:
                desk.answering.off = self._off
        elif what is Do.STOP or (what is Do.LEAVE and desk is None):
            self.end()
        elif desk is not None and what in (Do.WAKE, Do.REST, Do.LEAVE):
            desk.app.state.draining = what is not Do.WAKE
            if what is Do.WAKE:
                await desk.server.wake()
            elif what is Do.REST:
                desk.server.rest()
            elif self._leaving is None:
                self._leaving = asyncio.create_task(desk.server.leave(LEAVE_S))

    def end(self) -> None:
        """Finish what is asked; where nothing can have been asked, end at once, in the midst of loading."""
        if self._desk is None:
            os._exit(0)
        self._desk.app.state.draining = True
        self._desk.server.stop()


async def _work(listener: socket.socket, end: socket.socket) -> int:
    channel = await Channel.over(end)
    message = await channel.receive()
    if message is None:
        return 0
    start = message["start"]
    duty = _Duty(channel, off=start["off"])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, duty.end)
    listening = asyncio.create_task(duty.listen())
    try:
        settings = _settings(start["settings"])
        logs = _logs(settings)
        # In a thread, so that the supervisor is heard meanwhile.
        serving = await asyncio.to_thread(_loaded, Path(start["bundle"]))
        desk = _desk(serving, settings, listener, duty.asking)
    except Exception as error:
        channel.send({"failed": _reason(error)})
        await channel.sent()
        return _FAILED
    duty.take(desk)
    # What is there now stays: the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    channel.send({"ready": _facts(serving)})
    if serving.embedded:
        # The index of /search takes seconds, for which /rerank need not wait.
        threading.Thread(target=lambda: serving.retriever, name="ltr-index", daemon=True).start()
    await desk.server.serve()
    desk.close()
    logs.close()
    listening.cancel()
    return 0


def _settings(told: Mapping[str, Any]) -> Settings:
    keys = {name: tuple(told[name]) for name in ("keys", "admin_keys")}
    log = told["answer_log"]
    return Settings(**{**told, **keys, "answer_log": Path(log) if log else None})


def _logs(settings: Settings) -> logging.Handler:
    from ltr.serving import logs

    return logs.configure(secrets=(*settings.keys, *settings.admin_keys))


def _loaded(path: Path) -> Serving:
    from ltr.serving.loaded import load

    return load(path)


def _desk(serving: Serving, settings: Settings, listener: socket.socket, asking: Asking) -> _Desk:
    from ltr.serving import logs
    from ltr.serving.answer_log import AnswerLog
    from ltr.serving.answering import Answering
    from ltr.serving.app import app
    from ltr.serving.asked import Told
    from ltr.serving.connections import Server, configured
    from ltr.serving.metrics import Facts, Metrics

    answering, metrics, log = Answering(serving, settings), Metrics(Facts.of(serving)), None
    if settings.answer_log is not None:
        name, state = serving.bundle.experiment.name, serving.bundle.state.version
        log = AnswerLog(settings.answer_log, application=name, model=serving.model, state=state)
    made = app(answering, settings, told=Told(metrics, log, logs.request_id), control=asking)
    server = Server(configured(made), listener, head_s=settings.body_s, grace_s=int(GRACE_S))
    desk = _Desk(serving, answering, metrics, log, made, server)
    dead = watched(answering, server.stop)

    def each_second() -> None:
        desk.tell()
        dead()

    server.each_second = each_second
    return desk


def watched(answering: Answering, stop: Callable[[], None], *, within: int = _BLOCKED_S) -> Callable[[], None]:
    """What is to be called each second: it stops a worker whose threads have all been stuck for so many, and will not come back."""
    blocked = 0

    def look() -> None:
        nonlocal blocked
        blocked = blocked + 1 if answering.state()["rerank"]["blocked"] else 0
        if blocked == within:
            _log.error("every thread has been stuck for %d seconds; another worker takes this one's place", within)
            stop()

    return look


def _facts(serving: Serving) -> dict[str, Any]:
    """What the supervisor and admins are told of what serves."""
    state = serving.bundle.state
    return {
        "bundle": str(serving.bundle.path),
        "model": serving.model[:12],
        "state": state.version[:12],
        "as_of": state.as_of,
        "products": len(state),
    }


def _reason(error: Exception) -> str:
    """Why no worker came of it, for admins: what is ours to say, and nothing of the inside."""
    if isinstance(error, LtrError):
        return str(error)
    if isinstance(error, ImportError) and not (error.name or "ltr").startswith("ltr"):
        return str(MissingExtraError(str(error.name).partition(".")[0], "serve"))
    _log.error("a worker failed as it started", exc_info=error)
    return f"a worker failed as it started ({type(error).__name__}); the log has more"


def main(arguments: list[str]) -> int:
    """Work until told to end."""
    listener, end = (socket.socket(fileno=int(number)) for number in arguments)
    # Sent from a terminal to all at once; the supervisor says what is to be done.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The loop is to have its turn soon after a ranking thread has taken one: at Python's own 5 ms, a saturated worker answered at a
    # median of 116 ms where it takes 19 with this.
    sys.setswitchinterval(1e-4)
    try:
        import uvloop
    except ImportError as error:
        end.sendall(json.dumps({"failed": _reason(error)}).encode() + b"\n")
        return _FAILED
    return uvloop.run(_work(listener, end))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
