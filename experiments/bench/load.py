"""Requests over kept-alive connections: one after another, by several clients at once, or at times that luck chose beforehand.

The last is an open loop: a request goes out when its time has come, whether or not the ones before it were answered, and its
latency runs from that time. A generator that waits for answers would leave out just the requests that a slow server makes wait.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import uvloop

CLOSE = b"connection: close"


@dataclass(frozen=True)
class Outcome:
    """What became of a request: seconds, status (0 where no answer came) and the answer's body."""

    seconds: float
    status: int
    body: bytes

    @property
    def told(self) -> dict[str, object]:
        """The body as JSON."""
        return orjson.loads(self.body)


def posted(path: str, value: object, *, key: str | None = None) -> bytes:
    """A request as it goes over the wire."""
    body = orjson.dumps(value)
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def in_turn(port: int, requests: Sequence[bytes]) -> list[Outcome]:
    """One client, one request at a time."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            start = time.perf_counter()
            connection.sendall(request)
            data = bytearray()
            while (end := _end(data)) is None or len(data) < end:
                part = connection.recv(1 << 16)
                if not part:
                    raise ConnectionError("the service hung up")
                data += part
            found.append(_outcome(bytes(data), time.perf_counter() - start))
    return found


def at_once(port: int, requests: Sequence[bytes], *, clients: int, seconds: float) -> tuple[list[Outcome], float]:
    """So many clients, each with one request at a time, for so long or until the requests are used up; and how long it took."""

    async def all_clients() -> tuple[list[Outcome], float]:
        waiting, found = iter(requests), list[Outcome]()
        start = time.perf_counter()

        async def client() -> None:
            connection = await _Connection.to(port)
            for request in waiting:
                found.append(await connection.ask(request, time.perf_counter()))
                if time.perf_counter() - start > seconds:
                    break
            connection.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        return found, time.perf_counter() - start

    return uvloop.run(all_clients())


def at_times(
    port: int, requests: Sequence[bytes], *, rate: float, seed: int = 7, patience: float = 5.0
) -> list[Outcome]:
    """So many requests a second on average, each independent of the others; no answer within ``patience`` seconds is status 0."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=len(requests))

    async def sent() -> list[Outcome]:
        idle, found, tasks = list[_Connection](), list[Outcome](), set[asyncio.Task[None]]()

        async def one(request: bytes, due: float) -> None:
            connection = None
            try:
                async with asyncio.timeout(patience):
                    connection = idle.pop() if idle else await _Connection.to(port)
                    found.append(await connection.ask(request, due))
                    idle.append(connection)
            except (OSError, TimeoutError):
                found.append(Outcome(time.perf_counter() - due, 0, b""))
                if connection is not None:
                    connection.close()

        start = time.perf_counter() + 0.05
        for request, due in zip(requests, (start + np.cumsum(gaps)).tolist(), strict=True):
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            task = asyncio.create_task(one(request, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        for connection in idle:
            connection.close()
        return found

    return uvloop.run(sent())


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.data, self.end = bytearray(), 0
        self.answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def to(cls, port: int) -> "_Connection":
        """Open one."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.end = self.end or _end(self.data) or 0
        if self.end and len(self.data) >= self.end and self.answer and not self.answer.done():
            self.answer.set_result(bytes(self.data))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer and not self.answer.done():
            self.answer.set_exception(ConnectionError("the service hung up"))

    async def ask(self, request: bytes, since: float) -> Outcome:
        """Send, and wait for the whole answer."""
        self.data, self.end = bytearray(), 0
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return _outcome(await self.answer, time.perf_counter() - since)

    def close(self) -> None:
        self.transport.close()


def _end(data: bytes | bytearray) -> int | None:
    """Where an answer ends; None while its head is not whole."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    at = data.lower().find(b"content-length:", 0, head)
    return head + 4 + (int(data[at + 15 : data.find(b"\r", at)]) if at >= 0 else 0)


def _outcome(answer: bytes, seconds: float) -> Outcome:
    head = answer.find(b"\r\n\r\n")
    return Outcome(seconds, int(answer[9:12]), answer[head + 4 :])
