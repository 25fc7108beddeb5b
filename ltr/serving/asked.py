"""What the HTTP application asks of what stands behind it: answers, control of the service, and being told of what happened.

``Answering`` never raises from ``rerank`` and ``explain``, and answers in time. ``Told`` and ``Control`` may be absent: the
application answers without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from ltr.serving.answer import Answer
from ltr.serving.loaded import Serving
from ltr.serving.request import Candidate, Request
from ltr.serving.searching import Found

__all__ = ["ACTIONS", "Action", "AnswerLog", "Answering", "Control", "ControlError", "Metrics", "Told"]

Action = Literal["reload", "rollback", "off", "on"]
ACTIONS: Final[tuple[Action, ...]] = ("reload", "rollback", "off", "on")


class Answering(Protocol):
    """A loaded bundle that answers; deadlines are in seconds of ``time.monotonic``."""

    @property
    def serving(self) -> Serving:
        """The bundle."""

    async def rerank(self, request: Request, *, deadline: float) -> Answer:
        """Order the candidates."""

    async def explain(self, request: Request, *, deadline: float) -> Answer:
        """Order and explain them."""

    async def search(
        self, query: str, *, depth: int, request: Callable[[tuple[Candidate, ...]], Request], deadline: float
    ) -> Found:
        """Retrieve and order; Unsearchable where there is nothing to order."""

    def state(self) -> Mapping[str, Any]:
        """Facts for who watches it."""


class Metrics(Protocol):
    """What counts."""

    def answered(self, endpoint: str, answer: Answer, seconds: float, *, retrieve: float | None = None) -> None:
        """Count an answer, given so long after its request arrived; ``retrieve``: seconds of retrieval, of a search."""

    def refused(self, endpoint: str, status: int) -> None:
        """Count a request that was not answered, by the status that it got."""

    def render(self) -> tuple[bytes, str]:
        """The figures, and their content type."""


class AnswerLog(Protocol):
    """What keeps answers, so that clicks can be joined to them."""

    def write(self, request_id: str, request: Request, answer: Answer, *, shown: int | None = None) -> None:
        """Keep an answer of which the caller was given so many results; None: all."""


@dataclass(frozen=True)
class Told:
    """Who is told of requests and answers; None: nobody."""

    metrics: Metrics | None = None
    answer_log: AnswerLog | None = None
    request_id: ContextVar[str] | None = None


class ControlError(Exception):
    """What was asked of the service cannot be done now; the message is for who asked."""


class Control(Protocol):
    """What changes the service as a whole."""

    async def do(self, action: Action) -> Mapping[str, Any]:
        """Do it, and tell what has come of it; ControlError where it cannot be done."""
