"""The answer log: each answer as a search of User Behavior Insights 1.3 (``ubi_queries``), so that clicks join back to it.

    {"timestamp": "2026-11-21T06:35:29.123Z", "application": "shop", "query_id": "…", "client_id": "…", "session_id": "…",
     "user_query": "red shoes", "query_response_id": request id, "query_response_hit_ids": ["p7", "p12"],
     "query_attributes": {"variant": "9f86d081884c", "ranker": "9f86d081884c", "state": "2c26b46b68ff", "degraded": "false",
                          "propensity": "1", "scores": "1.25,0.5"}}

Result ids are in the order answered, from position 1; whoever clicks sends ``query_id``, the product and its position, and
``ltr judge`` reads both files as one log. ``propensity`` is the probability with which each product stands where it does: 1,
since equal requests have equal answers. ``variant`` is who ordered the list: the ranker, or ``received`` where the answer is
degraded (then with the reason, and without scores), unless the caller is in an experiment of its own and says which. Of a
request's ``context`` are read, where they are texts or whole numbers:

    query_id, search_id    what clicks will be sent with; else the request id is
    client_id, session_id, user_id    also as client, session, user
    variant, experiment_id, device, team    into query_attributes

Lines are written by a thread of their own, several workers' into one file. A line that cannot be written, for a full disk or a
full queue, is counted and let go; a file that was moved away or removed is made anew.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from ltr.serving.answer import Answer, Result
from ltr.serving.background import Background, write_all
from ltr.serving.request import Request

__all__ = ["RECEIVED", "AnswerLog"]

RECEIVED: Final = "received"

_log = logging.getLogger(__name__)

_WAITING: Final = 100_000  # results not yet written: some 20 MB
_NAP_S: Final = 0.05
# Results that are made lines, and written, in one go: what the thread holds the interpreter for, some .1 ms.
_TOGETHER: Final = 500
_LONGEST: Final = 100  # characters: what UBI's own index keeps of an id
_SHORT: Final = 12  # digits of a digest

_WHO: Final = {
    "client_id": ("client_id", "client"),
    "session_id": ("session_id", "session"),
    "user_id": ("user_id", "user"),
}
_SEARCH: Final = ("query_id", "search_id")
# JSON may hold them as they are, and some readers take them for the end of a line.
_ENDS: Final = {end.encode(): f"\\u{ord(end):04x}".encode() for end in "\x85\u2028\u2029"}
_ARMS: Final = frozenset({"variant", "experiment_id"})
_NONE: Final[Mapping[str, str]] = {}
_ATTRIBUTES: Final = ("variant", "experiment_id", "device", "team")


class _Told(NamedTuple):
    """What is kept of an answer until it is written: nothing that a caller could make large."""

    at: float
    request_id: str
    query: str
    search: str
    who: Mapping[str, str]
    attributes: Mapping[str, str]
    results: tuple[Result, ...]
    reason: str
    unknown: int


class AnswerLog:
    """Answers on their way into a file; ``write`` never raises and never waits.

    Args:
        path: of the file; it may grow for ever, so have it rotated.
        application: the shop's name for itself in its own log.
        model: the digest of the ranker.
        state: the version of the state.
        waiting: how many results may wait to be written.
    """

    def __init__(self, path: Path, *, application: str, model: str, state: str = "", waiting: int = _WAITING) -> None:
        self._application = application
        self._model, self._state = model[:_SHORT], state[:_SHORT]
        self._file = _File(path)
        self._unsaid = 0
        self._background: Background[_Told | None] = Background(
            self._take, name="answer-log", most=waiting, nap_s=_NAP_S
        )

    @property
    def dropped(self) -> int:
        """How many answers were not written."""
        return self._background.dropped + self._unsaid

    def write(self, request_id: str, request: Request, answer: Answer, *, shown: int | None = None) -> None:
        """Log an answer.

        Args:
            request_id: under which it was answered.
            request: what was asked.
            answer: what was answered.
            shown: how many results the caller was given; None = all.
        """
        try:
            told = _told(request_id, request, answer, shown)
            self._background.put(told, weight=1 + len(told.results))
        # An answer that cannot be logged is an answer all the same.
        except Exception:
            self._unsaid += 1

    def reopen(self) -> None:
        """Let go of the file, and go on in the one that has its name then."""
        self._background.put(None, weight=0)

    def close(self, within_s: float = 2.0) -> bool:
        """Write what is there within so many seconds; whether it was."""
        return self._background.close(within_s)

    def _take(self, waiting: list[_Told | None]) -> int:
        if any(one is None for one in waiting):
            self._file.close()
        told = [one for one in waiting if one is not None]
        self._file.follow()
        return sum(self._written(some) for some in _batches(told))

    def _written(self, some: Sequence[_Told]) -> int:
        """Write a batch; how many are lost."""
        lines = []
        for one in some:
            # Text that is no UTF-8, which no request that was parsed has.
            with suppress(TypeError, ValueError):
                lines.append(self._line(one))
        return len(some) - self._file.write(lines)

    def _line(self, told: _Told) -> bytes:
        at = datetime.fromtimestamp(told.at, UTC).isoformat(timespec="milliseconds")
        # Who runs an experiment of his own knows best what its arms are.
        ours = {} if told.attributes.keys() & _ARMS else {"variant": RECEIVED if told.reason else self._model}
        attributes = {
            **ours,
            "ranker": self._model,
            "state": self._state,
            "degraded": "true" if told.reason else "false",
            "propensity": "1",
            **told.attributes,
        }
        if told.reason:
            attributes["reason"] = told.reason
        else:
            attributes["scores"] = _joined([one.score for one in told.results])
        counts = {
            "pinned": sum(one.pinned for one in told.results),
            "excluded": sum(one.excluded for one in told.results),
            "unknown": told.unknown,
        }
        attributes |= {name: str(count) for name, count in counts.items() if count}
        record = {
            "timestamp": at.replace("+00:00", "Z"),
            "application": self._application,
            "query_id": told.search or told.request_id,
            **told.who,
            "user_query": told.query,
            "query_response_id": told.request_id,
            "query_response_hit_ids": [one.product_id for one in told.results],
            "query_attributes": attributes,
        }
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        for end, escaped in _ENDS.items():
            line = line.replace(end, escaped)
        return line


class _File:
    """A file to which several processes append lines; used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._known: tuple[int, int] | None = None
        self._failing = False

    def follow(self) -> None:
        """Let go of a file that no longer has its name."""
        try:
            found = os.stat(self._path)
            same = (found.st_dev, found.st_ino) == self._known
        except OSError:
            same = False
        if not same:
            self.close()

    def write(self, lines: Sequence[bytes]) -> int:
        """Append lines, each whole or not at all; how many were."""
        if not lines:
            return 0
        if self._descriptor is None and not self._open():
            return 0
        data = b"".join(lines)
        done = write_all(self._descriptor, data) if self._descriptor is not None else 0
        if done == len(data):
            self._tell(failing=False)
            return len(lines)
        whole = data.rfind(b"\n", 0, done) + 1
        self._shorten(done - whole)
        self._tell(failing=True)
        return data.count(b"\n", 0, whole)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = self._known = None

    def _open(self) -> bool:
        flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        for mode in (os.O_RDWR, os.O_WRONLY):
            # What was searched, and by whom, is for the service's own user and group.
            with suppress(OSError):
                self._descriptor = os.open(self._path, flags | mode, 0o640)
                break
        else:
            self._tell(failing=True)
            return False
        found = os.fstat(self._descriptor)
        self._known = found.st_dev, found.st_ino
        # Half a line that a crash has left must not spoil ours.
        with suppress(OSError):
            if found.st_size and os.pread(self._descriptor, 1, found.st_size - 1) != b"\n":
                write_all(self._descriptor, b"\n")
        return True

    def _shorten(self, torn: int) -> None:
        """Take back half a line, while it is the last."""
        if not torn or self._descriptor is None:
            return
        with suppress(OSError):
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if os.fstat(self._descriptor).st_size == end:
                os.ftruncate(self._descriptor, end - torn)

    def _tell(self, *, failing: bool) -> None:
        """Say it once when the file cannot be written, and once when it can again."""
        if failing and not self._failing:
            _log.error("answers cannot be logged to %s: is the disk full, the directory there?", self._path)
        if self._failing and not failing:
            _log.warning("answers are logged to %s again", self._path)
        self._failing = failing


def _told(request_id: str, request: Request, answer: Answer, shown: int | None) -> _Told:
    results = answer.results if shown is None else answer.results[:shown]
    if results and (results[0].features is not None or results[0].contributions is not None):
        results = tuple(one._replace(features=None, contributions=None) for one in results)
    context = request.context
    who, attributes, search = _NONE, _NONE, ""
    if context:
        who = {ours: found for ours, names in _WHO.items() if (found := _first(context, names))}
        attributes = {name: found for name in _ATTRIBUTES if (found := _first(context, (name,)))}
        search = _first(context, _SEARCH)
    return _Told(
        time.time(), request_id, request.query, search, who, attributes, results, answer.reason.value, answer.unknown
    )


def _first(context: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of these that is a short text or a whole number; "" where none is."""
    for name in names:
        value = context.get(name)
        text = value if type(value) is str else str(value) if type(value) is int and abs(value) < 2**63 else ""
        if 0 < len(text) <= _LONGEST:
            return text
    return ""


def _joined(scores: Sequence[float]) -> str:
    """Scores with the digits that tell them apart in float32, in which they are."""
    return orjson.dumps(np.array(scores, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()


def _batches(told: Sequence[_Told]) -> Iterator[list[_Told]]:
    some: list[_Told] = []
    size = 0
    for one in told:
        some.append(one)
        size += len(one.results)
        if size >= _TOGETHER:
            yield some
            some, size = [], 0
    if some:
        yield some
