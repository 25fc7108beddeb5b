"""Is one ranker better than another? The paired randomisation test, corrected for how many are compared.

Randomisation test (Fisher 1935; for rankings Smucker, Allan & Carterette, CIKM 2007): were there no difference, each
query's difference dᵢ would be as likely to be −dᵢ. p is the share of sign flips whose |mean| reaches the one observed:

    p = (1 + #{|Σ sᵢ dᵢ| ≥ |Σ dᵢ|}) ÷ (1 + permutations),  sᵢ = ±1 at random

Where at most 16 differences are not 0, all sign flips are counted instead and p is exact. Over several rankers p is corrected
by Holm's method (Scandinavian Journal of Statistics 1979), which bounds the chance of even one false claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, MeasureError, suggestion
from ltr.evaluation.bootstrap import interval

__all__ = ["ALPHA", "Comparison", "compare", "holm", "randomisation_p"]

ALPHA: Final = 0.05

# 2¹⁶ sums take less time than 10,000 random flips of 2,300 queries.
_EXACT: Final = 16
# Signs of one chunk: 2 MiB of float64 stays in cache.
_CELLS: Final = 1 << 18


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


def compare(
    per_query: Mapping[str, pl.DataFrame],
    *,
    baseline: str,
    measure: str,
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
        seed: of the sign flips and of the bootstrap; each row starts from it anew.
        permutations: random sign flips.
        resamples: of the bootstrap.
        level: of the bootstrap interval.
    """
    if baseline not in per_query:
        raise ConfigError(f"baseline {baseline!r} was not run", hint=suggestion(baseline, per_query, noun="rankers"))
    columns = {ranker: _column(frame, ranker, measure) for ranker, frame in per_query.items()}
    rankers = [ranker for ranker in per_query if ranker != baseline]
    differences = {ranker: _paired(columns[ranker], columns[baseline]) for ranker in rankers}
    p_values = [randomisation_p(differences[ranker], seed=seed, permutations=permutations) for ranker in rankers]
    return [
        _comparison(
            differences[ranker],
            interval(differences[ranker], seed=seed, resamples=resamples, level=level),
            (ranker, baseline, measure),
            (p_value, p_holm),
        )
        for ranker, p_value, p_holm in zip(rankers, p_values, holm(p_values), strict=True)
    ]


def randomisation_p(differences: NDArray[np.float64], *, seed: int = 7, permutations: int = 10_000) -> float:
    """The two-sided p-value of paired differences.

    >>> randomisation_p(np.array([0.1, 0.2, 0.3]))      # exact: only +++ and −−− of the 8 reach 0.6
    0.25
    """
    if permutations < 1:
        raise ConfigError(f"{permutations} permutations", hint="give at least 1")
    # A difference of 0 is the same under either sign.
    moving = differences[differences != 0]
    # Equal sums differ in their last bits with the order of summing; they must count as equal.
    reached = abs(moving.sum()) - 1e-12 * np.abs(moving).sum()
    if len(moving) <= _EXACT:
        return float(np.mean(np.abs(_all_sums(moving)) >= reached))
    count = int(np.count_nonzero(np.abs(_random_sums(moving, seed, permutations)) >= reached))
    return (1 + count) / (1 + permutations)


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


def _paired(ranker: pl.DataFrame, baseline: pl.DataFrame) -> NDArray[np.float64]:
    both = ranker.join(baseline, on="query_id", suffix="_baseline", how="inner").sort("query_id")
    return both.select(pl.col("value") - pl.col("value_baseline")).to_series().drop_nans().to_numpy()


def _comparison(
    differences: NDArray[np.float64],
    bounds: tuple[float, float],
    names: tuple[str, str, str],
    p_values: tuple[float, float],
) -> Comparison:
    ranker, baseline, measure = names
    p_value, p_holm = p_values
    return Comparison(
        ranker=ranker,
        baseline=baseline,
        measure=measure,
        difference=float(differences.mean()) if len(differences) else float("nan"),
        low=bounds[0],
        high=bounds[1],
        p_value=p_value,
        p_holm=p_holm,
        n=len(differences),
        proven=p_holm < ALPHA,
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
    )


def _all_sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ sᵢ dᵢ of all 2ⁿ sign flips."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _random_sums(differences: NDArray[np.float64], seed: int, permutations: int) -> NDArray[np.float64]:
    """Σ sᵢ dᵢ of random sign flips, a chunk at a time: Σ (2bᵢ − 1) dᵢ with random bits bᵢ."""
    generator = np.random.default_rng(seed)
    n, total = len(differences), differences.sum()
    sums = np.empty(permutations)
    step = max(1, _CELLS // n)
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        bits = generator.integers(0, 256, size=(rows, -(-n // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=n).astype(np.float64)
        sums[start : start + rows] = 2.0 * (signs @ differences) - total
    return sums
