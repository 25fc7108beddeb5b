"""The body of a request, held to a number of bytes and of seconds, and the JSON in it.

What is refused here is refused before anything is known of the request: 413 as soon as it is too large, announced or not; 408
when its last byte is late; 400 for what is not JSON (RFC 8259: neither NaN nor halves of a surrogate pair, at most 1,024 deep).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Receive

from ltr.serving.access import Headers, header

__all__ = ["GoneError", "RefusedError", "parse_json", "read_body"]


class RefusedError(Exception):
    """An answer with another status than 200; the message is for the caller."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep what is to be sent."""
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class GoneError(Exception):
    """The caller hung up; nobody waits for an answer."""


async def read_body(headers: Headers, receive: Receive, *, most: int, seconds: float) -> bytes:
    """Read a body of at most ``most`` bytes, the last of which arrives within ``seconds``.

    Raises:
        RefusedError: it is larger, or later.
        GoneError: the caller hung up.
    """
    announced = header(headers, b"content-length")
    # Longer than any number of bytes has digits, int() would not read it.
    if announced and announced.isdigit() and (len(announced) > 18 or int(announced) > most):
        raise _too_large(most)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, most)
    except TimeoutError as error:
        raise RefusedError(408, f"the body did not arrive within {seconds:g} s", {"Connection": "close"}) from error


async def _read(receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def parse_json(body: bytes) -> Any:
    """Parse a body; RefusedError where it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from error


def _too_large(most: int) -> RefusedError:
    # What still comes of it is not read, so the connection cannot carry another request.
    return RefusedError(413, f"the body is larger than {most:,} bytes", {"Connection": "close"})
