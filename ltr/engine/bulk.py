"""Bulk indexing: bounded requests, several in flight, what a busy server refuses sent again.

An item that is answered 429 or 503 goes out again after a wait that doubles (full jitter), with the others of its request that
were; any other error of an item is the item's own, and final. A request that is too large for something on the way (413)
is halved. To send an item twice means the same as to send it once: its id and its content are settled.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ltr.engine.connection import path_of
from ltr.errors import EngineError

if TYPE_CHECKING:
    from ltr.engine.connection import Engine

__all__ = ["MOST_BYTES", "Outcome", "Rejection", "cut", "send"]

MOST_BYTES: Final = 5_000_000

_BUSY: Final = frozenset({429, 503})
_ATTEMPTS: Final = 10
_LONGEST_WAIT_S: Final = 15.0
# A server that merges segments of vectors takes its time; an answer that is late costs the whole request again.
_PATIENCE_S: Final = 120.0
_ANSWER: Final = "errors,items.*._id,items.*.status,items.*.error"


@dataclass(frozen=True)
class Rejection:
    """A document that the server will not have."""

    product_id: str
    reason: str


@dataclass
class Outcome:
    """How many documents went in, and which will not."""

    accepted: int = 0
    rejected: list[Rejection] = field(default_factory=list)


def send(
    engine: Engine,
    index: str,
    batches: Iterable[Sequence[bytes]],
    *,
    outcome: Outcome,
    in_flight: int = 3,
    advance: Callable[[int], None] = lambda _done: None,
) -> None:
    """Send all batches into an index; ``outcome`` says how far it came, also after an error.

    Args:
        engine: may be used by several threads.
        index: by name.
        batches: each of one document's lines an element; see ``cut``.
        outcome: what is counted up.
        in_flight: requests at a time.
        advance: told how many documents are done.

    Raises:
        EngineError: the server does not answer, or refuses a whole request.
    """
    pending: set[Future[Outcome]] = set()

    def gather(until: int) -> None:
        while len(pending) > until:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            pending.difference_update(done)
            for each in done:
                told = each.result()
                outcome.accepted += told.accepted
                outcome.rejected += told.rejected
                advance(told.accepted + len(told.rejected))

    with ThreadPoolExecutor(in_flight, thread_name_prefix="bulk") as threads:
        try:
            for batch in batches:
                pending.add(threads.submit(_request, engine, index, batch))
                gather(in_flight - 1)
            gather(0)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def cut(lines: Sequence[bytes], *, most_bytes: int = MOST_BYTES) -> Iterable[Sequence[bytes]]:
    """Runs of documents of at most so many bytes; a document that is larger goes alone.

    >>> [*cut([b"aa", b"bb", b"cccccc", b"d"], most_bytes=4)]
    [[b'aa', b'bb'], [b'cccccc'], [b'd']]
    """
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def _request(engine: Engine, index: str, lines: Sequence[bytes]) -> Outcome:
    """Send one batch until every document is in or refused for good."""
    chance = random.SystemRandom()
    outcome = Outcome()
    for attempt in range(_ATTEMPTS):
        try:
            items = _answered(engine, index, lines)
        except EngineError as error:
            if error.status != 413 or len(lines) < 2:
                raise
            halves = (lines[: len(lines) // 2], lines[len(lines) // 2 :])
            for told in [_request(engine, index, half) for half in halves]:
                outcome.accepted += told.accepted
                outcome.rejected += told.rejected
            return outcome
        busy = [line for line, item in zip(lines, items, strict=True) if item["status"] in _BUSY]
        final = [item for item in items if item["status"] not in _BUSY]
        refused = [Rejection(str(item.get("_id")), _reason(item["error"])) for item in final if item["status"] >= 400]
        outcome.accepted += len(final) - len(refused)
        outcome.rejected += refused
        if not busy:
            return outcome
        lines = busy
        time.sleep(chance.uniform(0, min(_LONGEST_WAIT_S, 0.25 * 2**attempt)))
    raise EngineError(
        f"{engine.url} is too busy: {len(lines)} documents of a request are refused after {_ATTEMPTS} attempts",
        hint="try again later",
        status=429,
    )


def _answered(engine: Engine, index: str, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    answer = engine.call(
        "POST",
        path_of(index, "_bulk"),
        b"".join(lines),
        params={"filter_path": _ANSWER},
        timeout_s=max(engine.timeout_s, _PATIENCE_S),
    )
    items = [next(iter(item.values())) for item in answer.get("items", ())]
    if len(items) != len(lines):
        raise EngineError(f"{engine.url} answers for {len(items)} of {len(lines)} documents", hint="is it an engine?")
    return items


def _reason(error: Any) -> str:
    """What the server says of a document, down to the cause."""
    told = []
    while isinstance(error, dict):
        told.append(str(error.get("reason", "")))
        error = error.get("caused_by")
    return ": ".join(dict.fromkeys(filter(None, told))) or str(error)
