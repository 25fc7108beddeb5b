"""Many searches a request (``_msearch``), a few requests at a time, none of them answered in part."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ltr.errors import EngineError
from ltr.retrieval.prepared import WORDS
from ltr.retrieval.target import Target, preference

__all__ = ["IN_FLIGHT", "TOGETHER", "Search", "ask", "in_flight", "reason"]

# Measured on movies, two cores for server and client: 50 searches a request and one at a time keep a third of them idle.
TOGETHER: Final = 100
IN_FLIGHT: Final = 3

_AGAIN: Final = frozenset({429, 502, 503, 504})
_ATTEMPTS: Final = 5
_TOLD: Final = ("status", "error", "timed_out", "_shards.total", "_shards.failed", "_shards.failures")
_SHOWN: Final = 60

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Search:
    """A search body as JSON, and the text that it is for."""

    text: str
    body: str


def ask(target: Target, searches: Sequence[Search], *, keep: Sequence[str]) -> list[dict[str, Any]]:
    """Send one request; a search that the server was too busy for, or that a shard failed, is sent again.

    Args:
        target: where.
        searches: at most ``TOGETHER``.
        keep: paths of what is wanted of each answer, such as "hits.hits._id".

    Raises:
        EngineError: no answer, a search that is refused, or one that is answered in part.
    """
    found: list[dict[str, Any]] = [{} for _ in searches]
    wanted = list(range(len(searches)))
    chance = random.SystemRandom()
    for attempt in range(_ATTEMPTS):
        for number, answer in zip(wanted, _sent(target, [searches[n] for n in wanted], keep), strict=True):
            found[number] = answer
        wanted = [number for number in wanted if _worth_another(found[number])]
        if not wanted:
            break
        if attempt + 1 < _ATTEMPTS:
            time.sleep(chance.uniform(0, 0.25 * 2**attempt))
    for search, answer in zip(searches, found, strict=True):
        _check(target, search, answer)
    return found


def in_flight(call: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """``map`` with a few calls at once; after an error nothing new is begun."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) > IN_FLIGHT:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def reason(error: Any) -> str:
    """What an engine says went wrong, the outermost and the innermost of it."""
    if not isinstance(error, dict):
        return str(error)
    causes = error.get("root_cause") or error.get("failed_shards") or [error]
    cause = causes[0].get("reason", causes[0]) if "shard" in causes[0] else causes[0]
    told = [cause.get("reason") if isinstance(cause, dict) else cause]
    deeper = error.get("caused_by")
    while isinstance(deeper, dict):
        told, deeper = [told[0], deeper.get("reason")], deeper.get("caused_by")
    return ": ".join(dict.fromkeys(str(each) for each in told if each)) or str(error.get("type", error))


def _sent(target: Target, searches: Sequence[Search], keep: Sequence[str]) -> list[dict[str, Any]]:
    lines = (f'{{"preference":"{preference(search.text)}"}}\n{search.body}\n' for search in searches)
    answer = target.engine.call(
        "POST",
        target.path("_msearch"),
        "".join(lines).encode(),
        params={
            "include_named_queries_score": True,
            "filter_path": ",".join(f"responses.{path}" for path in (*keep, *_TOLD)),
        },
        # The limit is one search's; the server takes them a few at a time.
        timeout_s=target.timeout_s * (1 + len(searches) / 10),
    )
    answers: list[dict[str, Any]] = answer.get("responses", [])
    if len(answers) != len(searches):
        raise EngineError(
            f"{target.engine.url} answers {len(answers)} of {len(searches)} searches", hint="is that a proxy's answer?"
        )
    return answers


def _worth_another(answer: Mapping[str, Any]) -> bool:
    if "error" in answer:
        return answer.get("status") in _AGAIN
    return bool(answer.get("_shards", {}).get("failed"))


def _check(target: Target, search: Search, answer: Mapping[str, Any]) -> None:
    asked = f"{search.text[:_SHOWN]}…" if len(search.text) > _SHOWN else search.text
    if "error" in answer:
        told, status = reason(answer["error"]), answer.get("status")
        raise EngineError(
            f"{target.engine.url} refuses the search for {asked!r} in {target.index!r}: {told}",
            hint=_advice(told, status),
            status=status,
        )
    shards = answer.get("_shards", {})
    if failed := shards.get("failed"):
        failures = shards.get("failures") or [{}]
        raise EngineError(
            f"{failed} of {shards.get('total', '?')} shards of {target.index!r} fail in the search for {asked!r}: "
            f"{reason(failures[0].get('reason', 'no reason given'))}",
            hint="what is missing would be taken for not matching: try again when the index is whole",
        )
    if answer.get("timed_out"):
        raise EngineError(
            f"the search for {asked!r} in {target.index!r} runs out of its time and is answered in part",
            hint="leave timeout and terminate_after out of the body, or give it more time",
        )


def _advice(told: str, status: int | None) -> str:
    if status in _AGAIN:
        return "the server is busy: try again later"
    if "maxClauseCount" in told or "too many" in told.lower():
        return f"ask fewer fields or fuzzy ones, or raise indices.query.bool.max_clause_count: {WORDS} words are asked for at most"
    if told == "closed":
        return "open the index: POST /INDEX/_open"
    if "For input string" in told:
        return "[retrieval] id_field is of numbers in the index, and a product's id is none: take the field that has the ids"
    if "negative" in told:
        return "scores are never negative: declare at_least = 0 for the numbers"
    return ""
