"""What comes back: every candidate once for each time that it was sent, best first, and what became of the stages.

A degraded answer is an answer too: the candidates in the order received, pinned ones first and excluded ones last, with
scores that fall from 1, and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ltr.serving.request import Request

__all__ = ["FAILED", "Answer", "Degraded", "Reason", "Result", "Stage", "arranged", "as_received"]

# JSON has no infinity; the order among such scores is settled before they are written.
_LARGEST: Final = float(np.finfo(np.float32).max)


class Stage(StrEnum):
    """What an answer passes through, in order."""

    MATCH = "match"
    ENCODE = "encode"
    FEATURES = "features"
    SCORE = "score"
    EXPLAIN = "explain"


class Reason(StrEnum):
    """Why the order is that received; NONE where it is the ranker's. The last five are for what stands around the function."""

    NONE = ""
    MISSING_MATCH = "missing_match"  # the ranker reads a search engine's scores, and none came with the candidates
    MATCH_FAILED = "match_failed"
    ENCODER_FAILED = "encoder_failed"
    FEATURES_FAILED = "features_failed"
    SCORER_FAILED = "scorer_failed"
    DEADLINE = "deadline"  # the time that the caller gave has gone
    OVERLOADED = "overloaded"  # more requests than can be answered in time
    CIRCUIT_OPEN = "circuit_open"  # a stage failed again and again, and is left alone for a while
    SWITCHED_OFF = "switched_off"  # by the kill switch
    INTERNAL = "internal"


FAILED: Final = {
    Stage.MATCH: Reason.MATCH_FAILED,
    Stage.ENCODE: Reason.ENCODER_FAILED,
    Stage.FEATURES: Reason.FEATURES_FAILED,
    Stage.SCORE: Reason.SCORER_FAILED,
    Stage.EXPLAIN: Reason.INTERNAL,
}


class Degraded(Exception):
    """Raised on the way to an answer, by a stage or by what runs it: the order is to be that received."""

    def __init__(self, reason: Reason) -> None:
        """Keep the reason."""
        super().__init__(reason.value)
        self.reason = reason


class Result(NamedTuple):
    """A candidate in its place.

    ``place`` is where it stood in the request, from 0. ``score`` is the ranker's, in float32 as ``ltr evaluate`` has it: it falls
    with the rank but for pinned and excluded products. A feature that is missing is None.
    """

    product_id: str
    place: int
    rank: int
    score: float
    pinned: bool
    excluded: bool
    features: Mapping[str, float | None] | None = None
    contributions: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Answer:
    """The results, and what there is to know of them.

    Args:
        results: best first.
        reason: why the order is that received; NONE where it is the ranker's.
        timings: seconds by stage, of those that were begun.
        unknown: how many candidates the catalogue lacks; all their features are missing, and they are ranked by that.
        missing: the share of feature values that are missing.
        base: the score that contributions start from, where they were asked for.
        why: each feature's part in A's score above B's, the largest first, where it was asked.
        notes: what was asked for and cannot be told.
    """

    results: tuple[Result, ...]
    reason: Reason = Reason.NONE
    timings: Mapping[Stage, float] = field(default_factory=dict)
    unknown: int = 0
    missing: float = 0.0
    base: float | None = None
    why: tuple[tuple[str, float], ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether the order is that received."""
        return self.reason is not Reason.NONE

    @property
    def descending(self) -> list[float]:
        """Scores from 1 down to 1/n by rank alone, no two alike: for callers that sort by score themselves."""
        return _descending(len(self.results))


def arranged(request: Request, scores: NDArray[np.float32], *, told: Sequence[Mapping[str, float | None]] | None = None,
             contributions: Sequence[Mapping[str, float]] | None = None) -> tuple[Result, ...]:  # fmt: skip
    """The candidates by score, best first; ties keep the order received, NaN comes last."""
    order = np.argsort(-scores, kind="stable").tolist()
    shown = np.nan_to_num(scores, nan=-_LARGEST, posinf=_LARGEST, neginf=-_LARGEST).tolist()
    # A hundred results a request: made all at once, they take half of the time.
    places, product_ids, pinned, excluded = zip(*_placed(request, order), strict=True)
    return tuple(
        map(
            Result._make,
            zip(
                product_ids, places, range(1, len(places) + 1), map(shown.__getitem__, places), pinned, excluded,
                repeat(None) if told is None else map(told.__getitem__, places),
                repeat(None) if contributions is None else map(contributions.__getitem__, places),
                strict=False,
            ),
        )
    )  # fmt: skip


def as_received(request: Request) -> tuple[Result, ...]:
    """The candidates in the order received, with scores that fall."""
    scores = _descending(len(request.candidates))
    return tuple(
        Result(product_id, at, rank, scores[rank - 1], pinned, excluded)
        for rank, (at, product_id, pinned, excluded) in enumerate(_placed(request, range(len(scores))), start=1)
    )


def _placed(request: Request, order: Sequence[int]) -> list[tuple[int, str, bool, bool]]:
    """Place in the request, product, pinned and excluded, in their order: pinned products first as they are pinned, excluded ones last."""
    candidates = request.candidates
    if not request.pinned and not request.excluded:
        return [(at, candidates[at].product_id, False, False) for at in order]
    excluded = set(request.excluded)
    pins = {product_id: place for place, product_id in enumerate(reversed(request.pinned))}
    first, middle, last = [], [], []
    for at in order:
        product_id = candidates[at].product_id
        if product_id in excluded:
            last.append((at, product_id, False, True))
        elif product_id in pins:
            first.append((at, product_id, True, False))
        else:
            middle.append((at, product_id, False, False))
    # Numbered from the end, so that the first mention of a product counts.
    first.sort(key=lambda one: -pins[one[1]])
    return [*first, *middle, *last]


def _descending(count: int) -> list[float]:
    return [(count - at) / count for at in range(count)]
