"""Is one ranker better than another? A paired test of each, corrected for how many are compared.

The tests are those of ``paired``, the randomisation test unless another is named. Over several rankers p is corrected by
Holm's method (Scandinavian Journal of Statistics 1979), which bounds the chance of even one false claim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, MeasureError, suggestion
from ltr.evaluation.bootstrap import interval
from ltr.evaluation.paired import TESTS
from ltr.evaluation.power import effect_size

__all__ = ["ALPHA", "Comparison", "compare", "differences", "holm", "matched"]

ALPHA: Final = 0.05


@dataclass(frozen=True)
class Comparison:
    """A ranker against the baseline by one measure.

    Args:
        difference: mean of ranker − baseline over the n queries that both have a value for.
        low: of the bootstrap interval of the difference.
        high: of the same.
        p_value: two-sided, for this row alone.
        p_holm: corrected for all rows.
        proven: p_holm < .05, in either direction.
        wins: queries where the ranker is above the baseline; losses and ties likewise.
        effect: Cohen's d of the differences, None where they do not vary (JSON has no NaN).
        test: the test that p_value is of.
    """

    ranker: str
    baseline: str
    measure: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    n: int
    proven: bool
    wins: int
    losses: int
    ties: int
    effect: float | None
    test: str


def compare(
    per_query: Mapping[str, pl.DataFrame],
    *,
    baseline: str,
    measure: str,
    test: Literal["randomisation", "t", "wilcoxon", "bootstrap"] = "randomisation",
    seed: int = 7,
    permutations: int = 10_000,
    resamples: int = 10_000,
    level: float = 0.95,
) -> list[Comparison]:
    """Compare every other ranker with the baseline, in the order given.

    Args:
        per_query: ranker -> its frame from ``evaluate``.
        baseline: a key of per_query.
        measure: a column of every frame.
        test: of the differences; see paired. Name it before looking at what each would say.
        seed: of the sign flips and of the bootstrap; each row starts from it anew.
        permutations: random sign flips of the randomisation test.
        resamples: of the bootstrap interval and the bootstrap test.
        level: of the bootstrap interval.
    """
    if baseline not in per_query:
        raise ConfigError(f"baseline {baseline!r} was not run", hint=suggestion(baseline, per_query, noun="rankers"))
    if test not in TESTS:
        raise ConfigError(f"test {test!r} is unknown", hint=suggestion(test, TESTS, noun="tests"))
    draws = permutations if test == "randomisation" else resamples
    moved = {
        ranker: differences(frame, per_query[baseline], measure=measure, names=(ranker, baseline))
        for ranker, frame in per_query.items()
        if ranker != baseline
    }
    p_values = [TESTS[test](by_query, seed=seed, draws=draws) for by_query in moved.values()]
    return [
        _comparison(
            by_query,
            interval(by_query, seed=seed, resamples=resamples, level=level),
            (ranker, baseline, measure, test),
            (p_value, p_holm),
        )
        for (ranker, by_query), p_value, p_holm in zip(moved.items(), p_values, holm(p_values), strict=True)
    ]


def differences(
    ranker: pl.DataFrame,
    baseline: pl.DataFrame,
    *,
    measure: str,
    names: tuple[str, str] = ("the ranker", "the baseline"),
) -> NDArray[np.float64]:
    """Ranker − baseline by query, sorted by query_id, where both have a value: what tests, effect and power are of.

    >>> a = pl.DataFrame({"query_id": ["q1", "q2"], "RR": [1.0, float("nan")]})
    >>> differences(a, a.with_columns(RR=0.25), measure="RR")
    array([0.75])
    """
    both = matched(ranker, baseline, measure=measure, names=names)
    return both.select(pl.col("value") - pl.col("value_baseline")).to_series().to_numpy()


def matched(ranker: pl.DataFrame, baseline: pl.DataFrame, *, measure: str, names: tuple[str, str]) -> pl.DataFrame:
    """The values that both have, as columns value and value_baseline beside query_id, sorted by it."""
    columns = [_column(frame, name, measure) for frame, name in zip((ranker, baseline), names, strict=True)]
    both = columns[0].join(columns[1], on="query_id", suffix="_baseline", how="inner").sort("query_id")
    return both.filter(pl.col("value").is_not_nan() & pl.col("value_baseline").is_not_nan())


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected by Holm's step-down method, in the order given.

        p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎),  p₍₁₎ ≤ … ≤ p₍ₘ₎

    >>> holm([0.01, 0.04, 0.03])             # 3 × .01, then 2 × .03, then the larger of .06 and 1 × .04
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    corrected = np.empty(len(given))
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(given), 0, -1) * given[order]))
    return [float(p) for p in corrected]


def _column(frame: pl.DataFrame, ranker: str, measure: str) -> pl.DataFrame:
    if measure not in frame.columns:
        measures = [name for name in frame.columns if name != "query_id"]
        raise MeasureError(
            f"{ranker!r} was not evaluated by {measure!r}", hint=suggestion(measure, measures, noun="measures")
        )
    return frame.select("query_id", value=measure)


def _comparison(
    by_query: NDArray[np.float64],
    bounds: tuple[float, float],
    names: tuple[str, str, str, str],
    p_values: tuple[float, float],
) -> Comparison:
    ranker, baseline, measure, test = names
    p_value, p_holm = p_values
    effect = effect_size(by_query)
    return Comparison(
        ranker=ranker,
        baseline=baseline,
        measure=measure,
        difference=float(by_query.mean()) if len(by_query) else float("nan"),
        low=bounds[0],
        high=bounds[1],
        p_value=p_value,
        p_holm=p_holm,
        n=len(by_query),
        proven=p_holm < ALPHA,
        wins=int((by_query > 0).sum()),
        losses=int((by_query < 0).sum()),
        ties=int((by_query == 0).sum()),
        effect=None if math.isnan(effect) else effect,
        test=test,
    )
