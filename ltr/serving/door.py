"""The door that every HTTP request passes: its time of arrival, its id, and an answer even where the application fails.

    X-Request-Id              the caller's own or a new one, in every answer and in the log
    X-Content-Type-Options    nosniff

Errors say what was wrong with the request, and nothing of the inside: {"error": ..., "request_id": ...}.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ltr.errors import CandidateError
from ltr.serving.access import request_id
from ltr.serving.asked import Told
from ltr.serving.bodies import GoneError, RefusedError

__all__ = ["HANDLERS", "OTHER", "Door", "Visit", "json", "refusal", "visit_of"]

OTHER: Final = "other"  # the endpoint of paths that are none, in metrics

_GONE: Final = 499  # as nginx counts a caller who hung up; nobody is sent it
_KEY: Final = "ltr.visit"
_log = logging.getLogger(__name__)


@dataclass
class Visit:
    """One request's.

    Args:
        request_id: the caller's or ours.
        arrived: seconds of ``time.monotonic``.
        after: done when the answer is sent, so that its caller does not wait for it.
    """

    request_id: str
    arrived: float
    after: Callable[[], None] | None = None


def visit_of(scope: Scope) -> Visit:
    """The visit of a request that came through the door."""
    visit: Visit = scope[_KEY]
    return visit


class Door:
    """Middleware; it may be the outermost.

    Args:
        app: what is inside.
        told: who is told of what was refused.
        endpoints: paths by which it is told.
    """

    def __init__(self, app: ASGIApp, *, told: Told, endpoints: Collection[str]) -> None:
        self._app, self._told, self._endpoints = app, told, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, and see that it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = scope[_KEY] = Visit(request_id(scope["headers"]), time.monotonic())
        if self._told.request_id is not None:
            # Each request has a task of its own, and so a context of its own.
            self._told.request_id.set(visit.request_id)
        status = 0
        signs = [(b"x-request-id", visit.request_id.encode()), (b"x-content-type-options", b"nosniff")]

        async def signed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *signs]
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, signed)
        except GoneError:
            status = _GONE
        except Exception:
            _log.exception("%s %s failed", scope["method"], self._endpoint(scope))
            if status:
                raise  # half an answer is out; the server cuts the connection
            await _failed(visit)(scope, receive, signed)
        self._tell(scope, visit, status)

    def _endpoint(self, scope: Scope) -> str:
        path: str = scope["path"]
        return path if path in self._endpoints else OTHER

    def _tell(self, scope: Scope, visit: Visit, status: int) -> None:
        try:
            if visit.after is not None:
                visit.after()
            if status >= 400 and self._told.metrics is not None:
                self._told.metrics.refused(self._endpoint(scope), status)
        # The answer is out; what is told of it must not end the connection.
        except Exception:
            _log.exception("an answer could not be told")


def json(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as an answer; what JSON has no word for is told by its text."""
    return Response(orjson.dumps(value, default=str), status, headers, "application/json")


def refusal(scope: Scope, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as an answer."""
    return json({"error": message, "request_id": visit_of(scope).request_id}, status=status, headers=headers)


def _failed(visit: Visit) -> Response:
    return json({"error": "internal error", "request_id": visit.request_id}, status=500)


async def _refused(request: HTTPRequest, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        raise error
    return refusal(request.scope, error.status, error.message, error.headers)


async def _wrong(request: HTTPRequest, error: Exception) -> Response:
    return refusal(request.scope, 422, str(error))


async def _unrouted(request: HTTPRequest, error: Exception) -> Response:
    """No such path, or no such method there; OPTIONS is answered with the methods that there are."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code != 405:
        return refusal(request.scope, 404, "there is nothing here")
    allowed = ", ".join(sorted({*(error.headers or {}).get("Allow", "").split(", "), "OPTIONS"} - {""}))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed})
    return refusal(request.scope, 405, "this method is not for this path", {"Allow": allowed})


HANDLERS: Final[Mapping[Any, Any]] = {RefusedError: _refused, CandidateError: _wrong, HTTPException: _unrouted}
