"""One request that changes an engine: said before it is sent, sent once, and known to be done.

A part of a deployment is a function that reads what is there and gives the step that is left: ``done`` where nothing is. What
was lost on the way, or done by somebody else in the meantime, is therefore found by asking again.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ltr.engine.connection import Engine
from ltr.errors import EngineError

__all__ = ["Part", "Step", "exists", "kind_of", "put", "send"]

# A model of tens of megabytes is compiled before the answer comes.
_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class Step:
    """One request of a deployment.

    Args:
        method, path: where it goes.
        why: what for, in one line.
        body: JSON; None = no body.
        writes: whether it changes the engine.
        done: whether the engine has it already.
    """

    method: str
    path: str
    why: str
    body: Any = field(default=None, repr=False)
    writes: bool = True
    done: bool = False

    @property
    def size(self) -> int:
        """Bytes of the body."""
        if self.body is None:
            return 0
        return len(json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode())

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: without the body, which may be large."""
        return {
            "method": self.method,
            "path": self.path,
            "bytes": self.size,
            "why": self.why,
            "writes": self.writes,
            "done": self.done,
        }


Part = Callable[[Engine], Step]


def put(engine: Engine, part: Part) -> Step:
    """Do what a part still lacks; returns its step, ``done`` where nothing had to be.

    Raises:
        EngineError: the engine refuses it, and does not have it either.
    """
    step = part(engine)
    if step.done:
        return step
    try:
        send(engine, step)
    except EngineError as error:
        # Refused because somebody else has just put the same, or done and the answer lost.
        try:
            there = part(engine).done
        except EngineError:
            there = False
        if not there:
            raise error from None
    return step


def send(engine: Engine, step: Step) -> Any:
    """Send a step. A store that is out of memory for a moment (limit_exceeded_exception) is asked again, as one that is busy is.

    Raises:
        EngineError: the engine refuses, or does not answer.
    """
    chance = random.SystemRandom()
    for attempt in range(engine.retries + 1):
        try:
            answer = engine.call(step.method, step.path, step.body, timeout_s=_TIMEOUT_S, allow=(500,))
        except EngineError as error:
            if error.status == 413:
                raise EngineError(
                    f"{engine.url} takes no request of {step.size:,} bytes ({step.method} {step.path})",
                    hint="fit fewer or smaller trees, or raise the server's http.max_content_length (100mb by default)",
                    status=413,
                ) from error
            raise
        if not (isinstance(answer, dict) and "error" in answer):
            return answer
        if kind_of(answer) != "limit_exceeded_exception" or attempt == engine.retries:
            break
        time.sleep(chance.uniform(0, min(10.0, 0.25 * 2**attempt)))
    raise EngineError(
        f"{engine.url} answers {step.method} {step.path} with 500: {_told(answer)}",
        hint="look into the server's log",
        status=500,
    )


def exists(engine: Engine, path: str) -> bool:
    """Whether there is an answer other than 404 to a GET, of which only the outline is sent."""
    told = engine.call("GET", path, params={"filter_path": "found,_id,trained_model_configs.model_id"}, allow=(404,))
    return not (isinstance(told, dict) and (told.get("found") is False or "error" in told))


def kind_of(answer: Any) -> str:
    """The type of an error, as the engines name it; empty where there is none."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("type", "")) if isinstance(error, dict) else ""


def _told(answer: dict[str, Any]) -> str:
    error = answer["error"]
    return str(error.get("reason") or error.get("type")) if isinstance(error, dict) else str(error)[:200]
