"""The log: JSON objects, one a line, from every logger of the process; on a terminal a short line instead.

    {"time": "2026-11-21T06:35:29.123Z", "level": "ERROR", "logger": "ltr.serving.rerank", "message": "stage encode failed",
     "request_id": "…", "suppressed": 495, "exception": "Traceback (most recent call last): …"}

``suppressed`` counts the same failure in the same place since it was last told; of those, a few a second are written. Keys are
masked, also such as are wrong. Lines are written by a thread of their own: a full disk, a closed pipe or one that nobody reads
costs lines, which are counted and told when there is room again, and never keeps who logs.

>>> one = logging.LogRecord("ltr", logging.INFO, "x.py", 1, "asked with %s", ("Bearer 0123456789abcdef",), None)
>>> one.created = 0.0
>>> Lines().json(one).decode()
'{"time":"1970-01-01T00:00:00.000Z","level":"INFO","logger":"ltr","message":"asked with Bearer ***"}\\n'
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import orjson

from ltr.serving.background import Background, write_all

__all__ = ["Handler", "Limit", "Lines", "configure", "request_id"]

Form = Literal["json", "text"]

# Of the request that a task, or a thread's work for it, answers.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_WAITING: Final = 4 * 2**20  # bytes of lines not yet written
_LONGEST: Final = 32_768  # characters of a message or a traceback
_CLOSE_S: Final = 1.0
_PLACES: Final = 1_000
_UVICORN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")

# What a terminal obeys, what some readers take for the end of a line, what turns text around, and halves of a surrogate pair.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TOKEN: Final = re.compile(r"(?i)\b(bearer\s+)[!-~]+")
_HEADER: Final = re.compile(
    r"""(?i)\b((?:proxy-)?authorization|x-api-key)(['"]?\s*[:=,]\s*b?['"]?)((?:[a-z]+ +)?[!-~]+)"""
)
# What logging itself puts into a record, and uvicorn's copy of the message in colours.
_OWN: Final = frozenset(
    {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message", "taskName", "suppressed"}
)


def configure(
    *,
    level: str = "info",
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
    form: Form | None = None,
) -> Handler:
    """Send what all loggers of the process say, and what is raised and not caught, to one stream; again to do it otherwise.

    Args:
        level: the least that is written: debug, info, warning, error.
        stream: None = stderr, which may be closed.
        secrets: texts that are never written.
        form: None = text on a terminal, else JSON.
    """
    stream = sys.stderr if stream is None else stream
    if form is None:
        form = "text" if _is_terminal(stream) else "json"
    lines = Lines(tuple(secrets))
    handler = Handler(stream, lines.text if form == "text" else lines.json)
    root = logging.getLogger()
    before = list(root.handlers)
    root.addHandler(handler)
    for other in before:
        root.removeHandler(other)
        if isinstance(other, Handler):
            other.close()
    root.setLevel(level.upper())
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)
    log = logging.getLogger("ltr.serving")
    sys.excepthook = lambda kind, error, trace: log.critical("nothing caught this", exc_info=(kind, error, trace))
    threading.excepthook = lambda told: log.error(
        "thread %s ended by this", getattr(told.thread, "name", "?"), exc_info=_info(told)
    )
    return handler


class Handler(logging.Handler):
    """Writes lines behind the back of who logs.

    Args:
        stream: where to; its file descriptor is copied, so that no other file can take its place when it is closed.
        line: makes a record one line.
    """

    def __init__(self, stream: TextIO | None, line: Callable[[logging.LogRecord], bytes]) -> None:
        super().__init__()
        self._line = line
        self._limit = Limit()
        self._descriptor, self._stream = _copied(stream), stream
        self._torn = False
        self._told = 0
        self._faulty = 0
        self._background: Background[bytes] = Background(self._write, name="log", most=_WAITING)

    @property
    def dropped(self) -> int:
        """How many lines could not be written."""
        return self._background.dropped + self._faulty

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, under no lock: who logs does not wait for who else does."""
        if passed := bool(self.filter(record)):
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record's line to those that are to be written, unless the same failure was told enough."""
        try:
            if record.exc_info and record.exc_info[1] is not None:
                before = self._limit.admit(_place(record, record.exc_info[1]))
                if before is None:
                    return
                if before:
                    record.suppressed = before
            line = self._line(record)
            self._background.put(line, weight=len(line))
        # A line that cannot be made is a line less; nobody who logs has anything to do with it.
        except Exception:
            self._faulty += 1

    def flush(self) -> None:
        """Nothing: lines are on their way as soon as they are there."""

    def close(self) -> None:
        """Write what is there, within a second, and nothing after it."""
        if rest := self._limit.end():
            self.emit(_record(logging.WARNING, f"{rest:,} more of the failures above were not written"))
        self._background.close(_CLOSE_S)
        super().close()

    def _write(self, lines: Sequence[bytes]) -> int:
        lost = 0
        for line in lines:
            lost += not self._written(line)
        untold = self._background.dropped - self._told
        if untold and not lost:
            line = self._line(_record(logging.WARNING, f"{untold:,} lines of this log could not be written"))
            if self._written(line):
                self._told += untold
        return lost

    def _written(self, line: bytes) -> bool:
        if self._descriptor is None:
            return _streamed(self._stream, line)
        # What comes after half a line is a line of its own.
        data = b"\n" + line if self._torn else line
        done = write_all(self._descriptor, data)
        if done:
            self._torn = done < len(data)
        return done == len(data)


@dataclass(frozen=True)
class Lines:
    """Records to lines, without secrets and without what would move a terminal.

    Args:
        secrets: texts that are never written.
    """

    secrets: tuple[str, ...] = ()
    _secret: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Know the secrets as they are, and as Python and JSON write them."""
        told = {form for key in self.secrets if key for form in (key, repr(key)[1:-1], json.dumps(key)[1:-1])}
        # One may be the beginning of another.
        longest = "|".join(re.escape(one) for one in sorted(told, key=len, reverse=True))
        object.__setattr__(self, "_secret", re.compile(longest) if told else None)

    def json(self, record: logging.LogRecord) -> bytes:
        """An object; what ``extra`` gave the record is in it."""
        told: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": self._safe(_message(record)),
        }
        if number := request_id.get():
            told["request_id"] = self._safe(number)
        for name, value in record.__dict__.items():
            if name not in _OWN and not name.startswith("_"):
                told.setdefault(self._safe(str(name)), self._plain(value))
        if suppressed := getattr(record, "suppressed", 0):
            told["suppressed"] = suppressed
        if trace := _trace(record):
            told["exception"] = self._safe(trace)
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)

    def text(self, record: logging.LogRecord) -> bytes:
        """A short line, and a traceback below it."""
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        name = record.name.removeprefix("ltr.")
        told = [clock, f"{record.levelname.lower():<8}", name, self._safe(_message(record)).replace("\n", "\\n")]
        if number := request_id.get():
            told.append(f"[{self._safe(number)}]")
        if suppressed := getattr(record, "suppressed", 0):
            told.append(f"(and {suppressed:,} times since)")
        if trace := _trace(record):
            below = ["", *self._safe(trace).rstrip("\n").split("\n")]
            told[-1] += "\n    ".join(below)
        return (" ".join(told) + "\n").encode()

    def _plain(self, value: object) -> str | float | None:
        """A value of the record's own; anything but a small number is its text."""
        if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**53):
            return value
        return self._safe(str(value))

    def _safe(self, text: str) -> str:
        if self._secret is not None:
            text = self._secret.sub("***", text)
        text = _TOKEN.sub(r"\1***", _HEADER.sub(r"\1\2***", text))
        text = _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)
        if len(text) > _LONGEST:
            # The beginning says where it happened, the end what it was.
            text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        return text


class Limit:
    """Lets the same failure in the same place pass a few times a second.

    >>> limit = Limit(most=1, per_s=1.0, clock=iter([0.0, 0.1, 0.2, 1.5]).__next__)
    >>> [limit.admit("here") for _ in range(4)]
    [0, None, None, 2]
    """

    def __init__(self, *, most: int = 3, per_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_s, self._clock = most, per_s, clock
        self._told: dict[object, tuple[float, int, int]] = {}  # since when, how often it passed since, and did not
        # A signal's handler may log in the midst of this.
        self._lock = threading.RLock()

    def admit(self, place: object) -> int | None:
        """How often it was stopped since it last passed; None where it is to be stopped again."""
        now = self._clock()
        with self._lock:
            if len(self._told) > _PLACES:
                self._told.clear()
            since, passed, stopped = self._told.get(place, (now, 0, 0))
            if now - since >= self._per_s:
                since, passed = now, 0
            if passed >= self._most:
                self._told[place] = since, passed, stopped + 1
                return None
            self._told[place] = since, passed + 1, 0
            return stopped

    def end(self) -> int:
        """How many were stopped and not told of; forget them."""
        with self._lock:
            stopped = sum(stopped for _, _, stopped in self._told.values())
            self._told.clear()
        return stopped


def _place(record: logging.LogRecord, error: BaseException) -> object:
    """Where a failure was raised and where it was logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else None
    return record.name, record.pathname, record.lineno, type(error), raised


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # its arguments do not fit it
        return f"{record.msg!r} % {type(record.args).__name__}"


def _trace(record: logging.LogRecord) -> str:
    told = ""
    if record.exc_info and record.exc_info[1] is not None:
        with suppress(Exception):  # an exception whose text cannot be had
            told = "".join(traceback.format_exception(*record.exc_info))
        told = told or f"{type(record.exc_info[1]).__name__} that cannot be told"
    if record.stack_info:
        told += record.stack_info
    return told


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, level, __file__, 0, message, None, None)


def _info(told: threading.ExceptHookArgs) -> BaseException | None:
    return told.exc_value


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def _copied(stream: TextIO | None) -> int | None:
    """A descriptor of our own for a stream's file; None where it has none."""
    try:
        return None if stream is None else os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None


def _streamed(stream: TextIO | None, line: bytes) -> bool:
    """Write to a stream that is no file."""
    if stream is None:
        return False
    try:
        stream.write(line.decode())
        stream.flush()
    except (OSError, ValueError):
        return False
    return True
