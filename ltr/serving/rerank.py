"""Reranking as a function of a loaded bundle and a request: every candidate once for each time that it was sent, best first.

The stages are those of ``ltr evaluate``, with the same bits and so the same order: the engine's scores (``match``), the query's
vector (``encode``), ``features`` and ``score``. Whatever a stage raises, the answer is the order received and says why; the
error goes to the log. Who has a deadline to keep passes ``run``, which runs each stage and may raise ``Degraded`` itself.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ltr.errors import LtrError, RankerError
from ltr.features import compute
from ltr.serving import encoding
from ltr.serving.answer import FAILED, Answer, Degraded, Reason, Stage, arranged, as_received
from ltr.serving.request import Request

if TYPE_CHECKING:
    from ltr.serving.explain import Contributions
    from ltr.serving.loaded import Serving

__all__ = ["Run", "degraded", "directly", "rerank"]

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Run(Protocol):
    """What runs a stage: it returns what the work returns, or raises ``Degraded`` with a reason of its own."""

    def __call__(self, stage: Stage, work: Callable[[], T], /) -> T: ...  # noqa: D102


def directly(_stage: Stage, work: Callable[[], T], /) -> T:
    """Run a stage, however long it takes."""
    return work()


def rerank(serving: Serving, request: Request, *, run: Run = directly) -> Answer:
    """Answer a request."""
    if not request.candidates:
        return Answer(())
    course = _Course(run)
    rows = serving.bundle.state.rows(_ids(request))
    unknown = int(np.count_nonzero(rows < 0))
    try:
        match = course.take(Stage.MATCH, lambda: _match(serving, request))
        course.take(Stage.ENCODE, lambda: _encode(serving, request.query))
        matrix = course.take(Stage.FEATURES, lambda: _features(serving, request, match, rows))
        scores = course.take(Stage.SCORE, lambda: _scores(serving, matrix))
    except Degraded as degraded_by:
        return Answer(as_received(request), degraded_by.reason, course.timings, unknown)
    missing = float(np.count_nonzero(np.isnan(matrix))) / matrix.size if matrix.size else 0.0
    told = _told(serving.bundle.ranker.features, matrix) if request.features else None
    parts, notes = _explained(course, serving, request, matrix)
    return Answer(
        arranged(request, scores, told=told, contributions=parts.rows() if parts and request.explain else None),
        timings=course.timings,
        unknown=unknown,
        missing=missing,
        base=parts.base if parts else None,
        why=_why(request, parts) if parts and request.why else None,
        notes=notes,
    )


def degraded(request: Request, reason: Reason) -> Answer:
    """The order received, for who cannot or must not ask the ranker."""
    return Answer(as_received(request), reason)


@dataclass(frozen=True)
class _Course:
    """The stages of one answer."""

    run: Run
    timings: dict[Stage, float] = field(default_factory=dict)

    def take(self, stage: Stage, work: Callable[[], T]) -> T:
        """Run a stage; Degraded, whatever it raises."""
        started = time.perf_counter()
        try:
            return self.run(stage, work)
        except Degraded:
            raise
        # Whatever a stage fails of, the shopper is to see products.
        except Exception as error:
            _log.exception("stage %s failed", stage.value)
            raise Degraded(FAILED[stage]) from error
        finally:
            self.timings[stage] = time.perf_counter() - started


def _ids(request: Request) -> list[str]:
    return [candidate.product_id for candidate in request.candidates]


def _match(serving: Serving, request: Request) -> dict[str, NDArray[np.float32]]:
    """The engine's score of each candidate by feature: as sent, else worked out where the engine is our own."""
    names = serving.bundle.feature_set.match
    if not names:
        return {}
    sent = [{name: one.match[name] for name in names if name in one.match} for one in request.candidates]
    whole = all(len(one) == len(names) for one in sent)
    if not whole and not serving.embedded and not any(sent):
        raise Degraded(Reason.MISSING_MATCH)
    own = {} if whole or not serving.embedded else serving.matched(request.query, _ids(request))
    found = {}
    for name in names:
        values = np.array([one.get(name, math.nan) for one in sent], dtype=np.float32)
        if name in own:
            absent = np.array([name not in one for one in sent])
            values = np.where(absent, own[name], values)
        found[name] = values
    return found


def _encode(serving: Serving, query: str) -> None:
    """Have the query's vectors ready in the encoder's memory, so that features find them there."""
    wanted = encoding.texts(query, serving.bundle.feature_set)
    if wanted and serving.bundle.encoder is not None:
        serving.bundle.encoder.encode_queries(wanted)


def _features(
    serving: Serving, request: Request, match: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    bundle = serving.bundle
    return compute.online(
        request.query,
        _ids(request),
        bundle.feature_set,
        bundle.state,
        match=match,
        encoder=bundle.encoder,
        memory=bundle.memory,
        rows=rows,
    )


def _scores(serving: Serving, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores in float32, in which ``frames.ranked`` orders."""
    scores = serving.score(matrix)
    if scores.shape != (len(matrix),):
        raise RankerError(f"{len(matrix)} candidates have scores of shape {scores.shape}")
    with np.errstate(over="ignore"):
        return scores.astype(np.float32)


def _told(names: tuple[str, ...], matrix: NDArray[np.float32]) -> list[dict[str, float | None]]:
    return [
        {name: value if math.isfinite(value) else None for name, value in zip(names, row, strict=True)}
        for row in matrix.tolist()
    ]


def _explained(
    course: _Course, serving: Serving, request: Request, matrix: NDArray[np.float32]
) -> tuple[Contributions | None, tuple[str, ...]]:
    """Contributions where they are asked for; an order stands without them."""
    if not request.explain and request.why is None:
        return None, ()
    from ltr.serving import explain

    try:
        return course.take(Stage.EXPLAIN, lambda: explain.contributions(serving.bundle.ranker, matrix)), ()
    except Degraded as failed:
        cause = failed.__cause__
        return None, (f"the scores are not explained: {cause if isinstance(cause, LtrError) else failed.reason}",)


def _why(request: Request, parts: Contributions) -> tuple[tuple[str, float], ...]:
    ids = _ids(request)
    above, below = (ids.index(product_id) for product_id in request.why or ())
    return tuple(parts.why(above, below))
