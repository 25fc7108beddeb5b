"""Who may ask: keys in ``Authorization: Bearer K`` or ``X-API-Key: K``, several at once, compared in constant time.

Digests are compared, all of them for each request: how long that takes tells neither how much of a key was right nor which
one it was.

>>> keys = Keys(["first-of-two-keys", "second-of-two-keys"])
>>> keys.allow([(b"x-api-key", b"second-of-two-keys")]), keys.allow([(b"authorization", b"Bearer third")])
(True, False)
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Iterable
from typing import Final

__all__ = ["Headers", "Keys", "header", "request_id"]

Headers = Iterable[tuple[bytes, bytes]]

_BEARER: Final = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")


class Keys:
    """The keys that open something; without any it is open to all."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def allow(self, headers: Headers) -> bool:
        """Whether a request carries one of them."""
        if not self._digests:
            return True
        allowed = False
        for given in _given(headers):
            digest = hashlib.sha256(given).digest()
            for own in self._digests:
                allowed |= hmac.compare_digest(own, digest)
        return allowed


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of a name, which is in lower case."""
    return next((value for own, value in headers if own == name), None)


def request_id(headers: Headers) -> str:
    """The caller's own X-Request-Id where a log can carry it, else a new one."""
    given = header(headers, b"x-request-id")
    return given.decode("ascii") if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _given(headers: Headers) -> list[bytes]:
    found = []
    if (key := header(headers, b"x-api-key")) is not None:
        found.append(key)
    if bearer := _BEARER.fullmatch(header(headers, b"authorization") or b""):
        found.append(bearer[1])
    return found
