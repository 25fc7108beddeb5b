"""The shop's side of reranking: one file to copy, standard library only; the order given on any failure, in time.

    shop = Client("https://ltr.internal", api_key=key)       # once, at start: resolves the name, loads certificates
    page = shop.rerank("red shoes", ["P12", "P7", "P901"], timeout_ms=50)
    page.candidates, page.degraded, page.reason              # every candidate as given, as often as given

One deadline covers all of a call: waiting for the name, connecting, sending, and every byte of the answer. Names are
resolved in a thread of their own and renewed each 30 s; a call waits, until its deadline, for the first time only.
Connections are kept alive, used by one thread at a time, and never shared with a forked process; one that the server
closed meanwhile is replaced once, within the same deadline. Redirects are not followed, proxies not used, nothing is
logged. A call blocks: from asyncio, `await asyncio.to_thread(shop.rerank, …)`.

`reason` is "" where all went well, the service's own word where it answered degraded, else one of
    unreachable   no name, no connection, TLS refused         timeout       the deadline passed
    cut_off       the connection broke before the end         status_503    any status but 200, by its number
    bad_answer    not HTTP, not JSON, or of another shape     too_big       an answer far longer than the list explains
    wrong_ids     ids lost, repeated or invented              paused        the breaker is open: nothing was sent
    unsendable    a field that JSON cannot say                error         anything else: please report it
Five failures in a row (400 to 499 but 429 are none) open the breaker: for a quarter of a second every call answers at
once; then one call at a time tries the service, and the first answer closes the breaker.
"""

from __future__ import annotations

import functools
import http.client
import io
import json
import os
import re
import socket
import ssl
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

__all__ = ["Client", "Reranked", "rerank"]

_Order = tuple[list[int], bool, str]  # places in the list sent, best first; degraded; reason
C = TypeVar("C", bound="str | Mapping[str, Any]")

SENT = ("product_id", "score", "match", "fields")  # what of a candidate given as a dict goes to the service
NAME_S, NAME_RETRY_S = 30.0, 0.25  # until a name is looked up again: one that was found, one that was not
IDLE_S, IDLE_CONNECTIONS = 30.0, 64  # balancers drop idle connections without a word
ANSWER_BYTES, RESULT_BYTES = 16_384, 256  # at most this, and for each candidate this and its id, escaped
PARSE_BYTES_PER_S = 20e6  # an answer that could not be parsed by the deadline is not begun


@dataclass(frozen=True, slots=True)
class Reranked(Generic[C]):
    """The candidates, best first; where the service could not say, in the order given, with the reason."""

    candidates: list[C]
    degraded: bool = False
    reason: str = ""


def rerank(
    query: str,
    candidates: Iterable[C],
    *,
    url: str = "http://127.0.0.1:8080",
    timeout_ms: float = 50,
    api_key: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Reranked[C]:
    """`Client.rerank` without a client to keep: one is kept for each url and key.

    >>> rerank("red shoes", ["P12", "P7"], url="http://127.0.0.1:1")
    Reranked(candidates=['P12', 'P7'], degraded=True, reason='unreachable')
    """
    return _client(url, api_key).rerank(query, candidates, timeout_ms=timeout_ms, options=options)


class Client:
    """A reranking service at one URL, for any number of threads; ValueError for a url or key that cannot be.

    `timeout_ms` is the default of each call, `breaker_failures` opens the breaker (0: never), `breaker_ms` is how long
    it stays open, `tls` replaces the system's certificates. `close()` drops idle connections, as the end of it does.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        api_key: str | None = None,
        timeout_ms: float = 50,
        breaker_failures: int = 5,
        breaker_ms: float = 250,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url and not (parts.query or parts.fragment)
        if not plain or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("url must be http(s)://host[:port][/path], in ASCII, without user, query or fragment")
        if api_key is not None and not re.fullmatch(r"[!-~]+", api_key):
            raise ValueError("api_key must be visible ASCII characters, without spaces")
        secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if secure else 80)
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._timeout_ms, self._failure_limit, self._pause_s = timeout_ms, breaker_failures, breaker_ms / 1000
        authorization = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
        self._head = (
            f"POST {parts.path.rstrip('/')}/rerank HTTP/1.1\r\nHost: {parts.netloc}\r\n{authorization}"
            "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: "
        )
        self._idle: deque[tuple[socket.socket, float]] = deque()
        weakref.finalize(self, _drop, self._idle)
        self._start()

    def rerank(
        self,
        query: str,
        candidates: Iterable[C],
        *,
        timeout_ms: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Reranked[C]:
        """Rerank candidates: product ids, or dicts with "product_id" (of which only `SENT` is sent).

        `options` are further keys of the request, such as pinned or context. ValueError, before anything is sent, for
        what only a programmer gets wrong: a query or a candidate of another kind, a timeout that is none.
        """
        started = monotonic()
        timeout_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        given, ids = _checked(query, candidates, timeout_ms)
        if not given:
            return Reranked(given)
        deadline = started + timeout_ms / 1000
        if os.getpid() != self._process:
            self._start()
        try:
            sent = [one if isinstance(one, str) else {key: one[key] for key in SENT if key in one} for one in given]
            body = json.dumps({"query": query, "candidates": sent, **(options or {})}, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            return Reranked(given, True, "unsendable")
        admitted, probe = self._admit(deadline)
        if not admitted:
            return Reranked(given, True, "paused")
        try:
            request = f"{self._head}{len(body)}\r\n\r\n".encode() + body
            order, degraded, reason = self._exchange(request, ids, deadline)
            alive = True
        except Exception as error:  # a search box must not break on its reranker, whatever went wrong
            order, degraded, reason = list(range(len(given))), True, _reason(error)
            alive = reason.startswith("status_4") and reason != "status_429"
        self._record(alive, probe)
        return Reranked([given[at] for at in order], degraded, reason)

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        _drop(self._idle)

    def _start(self) -> None:
        """Begin with nothing open and nothing known; again in a forked process, whose parent owns what was."""
        _drop(self._idle)
        self._lock, self._failures, self._paused_until = threading.Lock(), 0, 0.0
        self._resolved, self._renew_at = threading.Event(), 0.0
        self._resolver: threading.Thread | None = None
        self._addresses: list[tuple[int, Any]] = []
        self._renew()
        self._process = os.getpid()

    def _admit(self, deadline: float) -> tuple[bool, bool]:
        """Whether a call may ask, and whether it is the one probe of an open breaker."""
        with self._lock:
            if not 0 < self._failure_limit <= self._failures:
                return True, False
            if (now := monotonic()) < self._paused_until:
                return False, False
            self._paused_until = max(deadline, now + self._pause_s)  # should this probe never return, there is a next
            return True, True

    def _record(self, alive: bool, probe: bool) -> None:
        with self._lock:
            self._failures = 0 if alive else self._failures + 1
            until = monotonic() + self._pause_s
            self._paused_until = until if probe else max(until, self._paused_until)

    def _renew(self) -> None:
        """Look the name up again when it is time to, in a thread: the system's resolver knows no deadline."""
        with self._lock:
            if monotonic() >= self._renew_at and not (self._resolver and self._resolver.is_alive()):
                self._resolver = threading.Thread(target=self._resolve, name="ltr-client-resolver", daemon=True)
                with suppress(RuntimeError):  # no more threads to be had: calls time out until there are
                    self._resolver.start()

    def _resolve(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
            self._renew_at = monotonic() + NAME_S
        except (OSError, UnicodeError):  # what was known stays
            self._renew_at = monotonic() + NAME_RETRY_S
        self._resolved.set()

    def _connect(self, deadline: float) -> socket.socket:
        """A new connection, to the first address that takes one; each has its equal share of the time left."""
        self._renew()
        if not self._resolved.wait(_left(deadline)):
            raise TimeoutError
        failure: Exception = OSError("no address")
        addresses = self._addresses
        for at, (family, address) in enumerate(addresses):
            connection: socket.socket | None = None
            try:
                connection = socket.socket(family, socket.SOCK_STREAM)
                connection.settimeout(_left(deadline) / (len(addresses) - at))
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    connection.settimeout(_left(deadline))
                    connection = self._tls.wrap_socket(connection, server_hostname=self._host)
                self._addresses = addresses[at:] + addresses[:at]
                return connection
            except OSError as error:
                failure = error
                if connection:
                    connection.close()
        raise failure if isinstance(failure, TimeoutError) else _Fault("unreachable")

    def _exchange(self, request: bytes, ids: list[str], deadline: float) -> _Order:
        """Ask over a kept connection; where that proves stale, or none is kept, over a new one."""
        if kept := self._kept():
            try:
                return self._ask(kept, request, ids, deadline)
            except _Stale:
                pass
            except TimeoutError:
                _drop(self._idle)  # lest each of them be silent, and cost a call of its own
                raise
        return self._ask(self._connect(deadline), request, ids, deadline)

    def _ask(self, connection: socket.socket, request: bytes, ids: list[str], deadline: float) -> _Order:
        """Ask, and keep the connection if the answer was right; a wrong one may have been meant for somebody else."""
        limit = ANSWER_BYTES + sum(RESULT_BYTES + 6 * len(one) for one in ids)
        answer, reusable = _Answer(connection, limit, deadline), False
        try:
            with suppress(ConnectionError):  # who hangs up on a question may have said why
                rest = memoryview(request)
                while rest:
                    connection.settimeout(_left(deadline))
                    rest = rest[connection.send(rest) :]
            response = http.client.HTTPResponse(cast(socket.socket, answer), method="POST")
            response.begin()
            if response.status != 200:
                raise _Fault(f"status_{response.status}")
            if (response.length or 0) > limit:
                raise _Fault("too_big")
            order = _read(response.read(), ids, deadline)
            reusable = not response.will_close and len(self._idle) < IDLE_CONNECTIONS
            return order
        except OSError as error:
            if answer.size or isinstance(error, TimeoutError):
                raise
            raise _Stale from error
        except http.client.HTTPException as error:
            raise _Fault("cut_off" if isinstance(error, http.client.IncompleteRead) else "bad_answer") from error
        finally:
            if reusable:
                self._idle.append((connection, monotonic()))
            else:
                connection.close()

    def _kept(self) -> socket.socket | None:
        """Of the idle connections, the last used that is still open, and on which nobody has spoken out of turn."""
        with suppress(IndexError):
            while self._idle[0][1] < monotonic() - IDLE_S:
                self._idle.popleft()[0].close()
            while True:
                connection, _ = self._idle.pop()
                try:
                    connection.settimeout(0)
                    connection.recv(1)
                except (BlockingIOError, ssl.SSLWantReadError):
                    return connection
                except OSError:
                    pass
                connection.close()
        return None


class _Fault(Exception):
    """A failure, by the name that the caller gets to read."""


class _Stale(OSError):
    """The connection broke before the first byte of an answer."""


class _Answer(io.RawIOBase):
    """What arrives on a connection for one question: held to its deadline, and to a number of bytes."""

    def __init__(self, connection: socket.socket, limit: int, deadline: float) -> None:
        self._connection, self._limit, self._deadline, self.size = connection, limit, deadline, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_left(self._deadline))
        size = self._connection.recv_into(buffer)
        self.size += size
        if self.size > self._limit:
            raise _Fault("too_big")
        return size

    def makefile(self, _mode: str) -> io.BufferedReader:
        """All that HTTPResponse asks of a socket."""
        return io.BufferedReader(self, 65_536)


def _checked(query: str, candidates: Iterable[C], timeout_ms: float) -> tuple[list[C], list[str]]:
    """The candidates and their ids; ValueError for what cannot be one."""
    if not isinstance(query, str):
        raise ValueError(f"query must be a string, not {type(query).__name__}")
    if not 0 < timeout_ms <= 3_600_000:
        raise ValueError(f"timeout_ms must be above 0 and at most an hour, not {timeout_ms!r}")
    if isinstance(candidates, str | bytes | Mapping):
        raise ValueError(f"candidates must be a list, not one {type(candidates).__name__}")
    given = list(candidates)
    ids: list[str] = []
    for at, one in enumerate(given):
        product_id = one.get("product_id") if isinstance(one, Mapping) else one
        if not isinstance(product_id, str):
            raise ValueError(f"candidate {at} must be a string, or a dict with a string at 'product_id'")
        ids.append(product_id)
    return given, ids


def _read(body: bytes, ids: list[str], deadline: float) -> _Order:
    """The order that an answer puts the list in, as places in it; whether the answer is degraded, and why."""
    if len(body) > _left(deadline) * PARSE_BYTES_PER_S:
        raise TimeoutError
    try:
        answer = json.loads(body)
        degraded, reason = answer.get("degraded", False), answer.get("reason")
        ranked = sorted((one["rank"], one["product_id"]) for one in answer["results"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _Fault("bad_answer") from error
    whole = all(type(rank) is int and type(one) is str for rank, one in ranked)
    if not whole or type(degraded) is not bool or [rank for rank, _ in ranked] != list(range(1, len(ranked) + 1)):
        raise _Fault("bad_answer")
    places: dict[str, list[int]] = {}
    for at in reversed(range(len(ids))):
        places.setdefault(ids[at], []).append(at)
    try:
        order = [places[one].pop() for _, one in ranked]
    except LookupError as error:
        raise _Fault("wrong_ids") from error
    if len(order) != len(ids):
        raise _Fault("wrong_ids")
    printable = isinstance(reason, str) and re.fullmatch(r"[\w .:,-]{1,100}", reason, re.ASCII)
    return order, degraded, "" if not degraded else str(reason) if printable else "unknown"


def _reason(error: Exception) -> str:
    if isinstance(error, _Fault):
        return str(error)
    if isinstance(error, TimeoutError):
        return "timeout"
    return "cut_off" if isinstance(error, OSError) else "error"


def _left(deadline: float) -> float:
    """Seconds until the deadline, above 0; TimeoutError where there are none."""
    if (left := deadline - monotonic()) <= 0:
        raise TimeoutError
    return left


def _drop(idle: deque[tuple[socket.socket, float]]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop()[0].close()


@functools.lru_cache(maxsize=32)
def _client(url: str, api_key: str | None) -> Client:
    return Client(url, api_key=api_key)
