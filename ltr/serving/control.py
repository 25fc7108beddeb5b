"""The channel between the supervisor and a worker: JSON objects, one a line, over a pair of sockets.

    worker      {"ready": facts}   {"failed": message}   {"done": n}   {"ask": what, "id": n}
    supervisor  {"start": {...}}   {"do": what, "id": n}   {"answer": {...}, "id": n}

A worker asks on behalf of an admin; the supervisor alone decides, so that all workers change together. Where the channel closes,
the other side is gone: a worker ends, a supervisor replaces the worker.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

__all__ = ["GRACE_S", "LEAVE_S", "MAX_LINE", "Ask", "Channel", "Do", "Outcome", "told"]

MAX_LINE: Final = 2**18  # bytes; the longest message is the one that starts a worker, with its keys
GRACE_S: Final = 5.0  # for requests in flight when a worker stops
LEAVE_S: Final = 90.0  # for connections to be closed by who opened them; longer than an idle one is kept


class Ask(StrEnum):
    """What an admin may ask for."""

    RELOAD = "reload"
    ROLLBACK = "rollback"
    OFF = "off"
    ON = "on"


class Do(StrEnum):
    """What a worker is told; it says when it has done it."""

    WAKE = "wake"  # accept connections
    REST = "rest"  # accept none; answer what comes over those that are open, and have them closed
    OFF = "off"
    ON = "on"
    LEAVE = "leave"  # rest until no connection is open, then end
    STOP = "stop"  # finish what is asked, then end
    PING = "ping"


@dataclass(frozen=True)
class Outcome:
    """What became of a wish: whether it came true, in words, and the facts of what serves now."""

    done: bool
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over both directions."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Of one of the sockets, which is the channel's from now on."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=MAX_LINE))

    def send(self, message: Mapping[str, Any]) -> None:
        """Send, without waiting; what nobody is there to read is lost."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None where the other side is gone, or talks nonsense."""
        try:
            line = await self._reader.readline()
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        return message if isinstance(message, dict) else None

    async def sent(self) -> None:
        """Wait until what was sent is on its way."""
        self._writer.close()
        await self._writer.wait_closed()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def told(outcome: Outcome, number: int) -> dict[str, Any]:
    """An answer as a message."""
    return {"answer": asdict(outcome), "id": number}
