"""HTTP over connections: uvicorn's protocol, bounded where it waits for ever, and a server that can cease to accept.

What uvicorn leaves open: a client that never finishes its headers, or sends them without end. What it has no word for: a worker
that accepts nothing new while it goes on to answer over the connections that it has, each of which it closes with an answer, so
that no caller's request is lost on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BACKLOG", "KEEP_ALIVE_S", "MAX_HEAD", "Server", "configured"]

BACKLOG: Final = 1024  # connections that wait to be accepted, such as while a worker is replaced
KEEP_ALIVE_S: Final = 75  # idle; longer than callers keep theirs (ltr.client: 30), lest one asks as it is closed
MAX_HEAD: Final = 2**16  # bytes of a request before its body


class _Connection(HttpToolsProtocol):
    """One client's."""

    waiting_since = math.inf  # for the rest of a request's head
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        if self.waiting_since == math.inf and (self.cycle is None or self.cycle.response_complete):
            self.waiting_since, self._head = self.loop.time(), 0
        super().data_received(data)
        if self.waiting_since < math.inf:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self.waiting_since = math.inf
        super().on_headers_complete()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # who does not read would have it stay open
        else:
            super().timeout_keep_alive_handler()


def configured(app: Any) -> uvicorn.Config:
    """An application's server: uvloop, httptools, and the application's own logs in the place of uvicorn's."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=_Connection,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
    )


class Server(uvicorn.Server):
    """A server that begins at rest: ``wake`` has it accept, ``rest`` has it cease to.

    Args:
        config: from ``configured``.
        listener: a listening socket, which it leaves open.
        head_s: seconds for the head of a request to arrive.
        grace_s: seconds for requests in flight when it stops.

    ``each_second`` is called so often.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket, *, head_s: float, grace_s: int) -> None:
        config.timeout_graceful_shutdown = grace_s
        super().__init__(config)
        self._listener, self._head_s = listener, head_s
        self._accepting: asyncio.Server | None = None
        self.each_second: Callable[[], None] = lambda: None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application; accept nothing yet."""
        await super().startup(sockets=sockets or [])

    async def wake(self) -> None:
        """Accept connections."""
        if self._accepting is None:
            loop = asyncio.get_running_loop()
            self._accepting = await loop.create_server(
                lambda: _Connection(self.config, self.server_state, self.lifespan.state),
                sock=self._listener.dup(),
                backlog=BACKLOG,
            )
        self._say_close(False)

    def rest(self) -> None:
        """Accept none, and close those that are open as they are answered."""
        if self._accepting is not None:
            self._accepting.close()
            self._accepting = None
        self._say_close(True)

    async def leave(self, patience: float) -> None:
        """Rest until nobody is connected, or patience ends; then stop."""
        self.rest()
        deadline = asyncio.get_running_loop().time() + patience
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        self.stop()

    def stop(self) -> None:
        """Finish what is asked, then end."""
        self.rest()
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: hang up on those whose request does not begin."""
        late = asyncio.get_running_loop().time() - self._head_s
        for connection in list(self.server_state.connections):
            if getattr(connection, "waiting_since", math.inf) < late:
                connection.transport.close()
        if counter % 10 == 0:
            self.each_second()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's."""
        yield

    def _say_close(self, close: bool) -> None:
        self.config.encoded_headers = [(b"connection", b"close")] if close else []
        dated = [header for header in self.server_state.default_headers if header[0] != b"connection"]
        self.server_state.default_headers = dated + self.config.encoded_headers
