"""How many more judgments? The ranker fitted on ever fewer of the queries, each time measured on the same others.

Cross-validated by query on all queries outside the test side, which is not read. The smaller sets lie within the larger
ones, each has its own dev queries, and the best single feature is chosen on those, as it would be with so few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from ltr import evaluation, measures
from ltr.config import Experiment
from ltr.errors import JudgmentError
from ltr.evaluation import Estimate, learning_curve
from ltr.experiment.assemble import Assembled, assemble
from ltr.experiment.preflight import groups_of, need_ratings, parts_of
from ltr.experiment.result import intervals
from ltr.experiment.rows import by_feature, by_ranker
from ltr.experiment.split import Parts, folds
from ltr.experiment.trial import Stages, best_on_dev, evaluated, fitted, of
from ltr.progress import bar

__all__ = ["LearningCurve", "learn"]

_FOLDS: Final = 5
_SIZES: Final = 6
_FEWEST: Final = 10


@dataclass(frozen=True)
class LearningCurve:
    """The measure by the number of queries fitted on, and what twice and four times as many are expected to bring.

    Args:
        queries: rising; those fitted on and stopped on together.
        judgments: how many of them there are for so many queries, on average over the folds.
        ranker: the estimate at each size.
        best_feature: the same for the best single feature.
        expected: number of queries -> expected gain over the largest size; empty where fewer than three sizes were measured.
        asymptote: what no number of queries is expected to exceed; None likewise.
    """

    experiment: str
    measure: str
    queries: tuple[int, ...]
    judgments: tuple[int, ...]
    ranker: tuple[Estimate, ...]
    best_feature: tuple[Estimate, ...]
    expected: Mapping[int, Estimate]
    asymptote: float | None
    needed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        points = [
            {"queries": n, "judgments": judged, **intervals({"ranker": ranker, "best_feature": feature})}
            for n, judged, ranker, feature in zip(
                self.queries, self.judgments, self.ranker, self.best_feature, strict=True
            )
        ]
        gains = [{"queries": n, "gain": intervals({"gain": each})["gain"]} for n, each in self.expected.items()]
        told = {"experiment": self.experiment, "measure": self.measure, "points": points, "expected": gains}
        return told | {"asymptote": self.asymptote, "needed": self.needed}


def learn(
    experiment: Experiment,
    *,
    base: Path,
    cache: Path,
    target: float | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> LearningCurve:
    """Measure the learning curve of an experiment.

    Args:
        experiment: the configuration; [split] says what is test, and the folds where it has any (else five).
        base: the directory of experiment.toml.
        cache: where encoders and vectors are kept.
        target: a value of the first measure; ``needed`` is then the number of queries that it is expected to take.
        say: told each warning as it arises.
    """
    need_ratings(experiment, "learning-curve")
    assembled = assemble(experiment, base=base, cache=cache)
    for warning in assembled.audit.warnings:
        say(warning)
    measure = measures.parse(experiment.evaluation.measures[0])
    parts = _folds(assembled)
    sizes = _sizes(min(len(part.fit) + len(part.dev) for part in parts))
    ranker, feature, judged = [], [], []
    with bar("learning curve", total=len(sizes) * len(parts)) as advance:
        for size in sizes:
            ours, single, counts = [], [], []
            for part in parts:
                fewer = _fewer(part, size, seed=experiment.split.seed)
                stages = Stages(assembled, fewer, groups_of(assembled.dataset, experiment.split.group))
                kept = fitted(stages, experiment.ranker).ranker
                best = best_on_dev(stages.fit, fewer, measure)
                test = of(stages.of(experiment.ranker).pairs, part.test)
                ours.append(evaluated(assembled, by_ranker(test, kept), part.test, [measure]))
                single.append(evaluated(assembled, by_feature(test, best), part.test, [measure]))
                counts.append(of(assembled.dataset.judgments, (*fewer.fit, *fewer.dev)).height)
                advance(1)
            ranker.append(pl.concat(ours).sort("query_id"))
            feature.append(pl.concat(single).sort("query_id"))
            judged.append(round(sum(counts) / len(counts)))
    by_query = np.column_stack([frame[str(measure)].to_numpy() for frame in ranker])
    by_query = by_query[np.isfinite(by_query).all(axis=1)]
    law = learning_curve.fit_law(np.array(sizes), by_query.mean(axis=0)) if len(sizes) > 2 and len(by_query) else None
    return LearningCurve(
        experiment=experiment.name,
        measure=str(measure),
        queries=tuple(sizes),
        judgments=tuple(judged),
        ranker=tuple(evaluation.summarise(frame)[str(measure)] for frame in ranker),
        best_feature=tuple(evaluation.summarise(frame)[str(measure)] for frame in feature),
        expected={}
        if law is None
        else {
            more * sizes[-1]: learning_curve.gain_of_more(np.array(sizes), by_query, more * sizes[-1])
            for more in (2, 4)
        },
        asymptote=None if law is None else law.asymptote,
        needed=None if law is None or target is None else law.needed(target),
    )


def _folds(assembled: Assembled) -> list[Parts]:
    experiment = assembled.experiment
    groups = groups_of(assembled.dataset, experiment.split.group)
    if experiment.split.folds is None:
        (parts,) = parts_of(experiment, assembled.dataset, group=experiment.split.group)
        groups = {query: groups[query] for query in (*parts.fit, *parts.dev)}
    # Each query is measured once: not on those whose answers the encoder knows.
    groups = {query: group for query, group in groups.items() if query not in assembled.tuned_on}
    return folds(groups, experiment.split.folds or _FOLDS, dev=experiment.split.dev, seed=experiment.split.seed)


def _sizes(most: int) -> list[int]:
    """Six sizes at most, each half of the next, none below ten queries.

    >>> _sizes(80), _sizes(9_000)
    ([10, 20, 40, 80], [281, 562, 1125, 2250, 4500, 9000])
    """
    if most < _FEWEST:
        raise JudgmentError(f"{most} queries to fit on make no learning curve", hint="judge more queries")
    return [size for power in reversed(range(_SIZES)) if (size := most >> power) >= _FEWEST]


def _fewer(parts: Parts, size: int, *, seed: int) -> Parts:
    """``size`` of the queries to fit and stop on, in the same proportion; smaller sets lie within larger ones."""
    share = size / (len(parts.fit) + len(parts.dev))
    dev = max(1, round(share * len(parts.dev)))
    return Parts(_first(parts.fit, size - dev, seed), _first(parts.dev, dev, seed), parts.test)


def _first(query_ids: tuple[str, ...], number: int, seed: int) -> tuple[str, ...]:
    def place(query_id: str) -> bytes:
        return hashlib.sha256(f"curve {seed} {query_id}".encode()).digest()

    return tuple(sorted(sorted(query_ids, key=place)[:number]))
