"""How much of what biased clicks cost is won back: the share of the gap between naive clicks and true judgments.

    recovered(m) = (M(m) − M(naive)) / (M(true) − M(naive)),   M the mean of a measure over queries

A ratio of means over the same queries: its interval is the percentile bootstrap over queries, drawn for all three alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

__all__ = ["Recovered", "recovered"]

_RESAMPLES: Final = 10_000
_AT_ONCE: Final = 500


@dataclass(frozen=True)
class Recovered:
    """The share of the gap, and the paired difference to naive clicks, each with its interval.

    The share is NaN where the ceiling is not above naive clicks, its interval where it is not so in every resample.
    """

    share: float
    share_low: float
    share_high: float
    difference: float
    low: float
    high: float


def recovered(
    per_query: Mapping[str, pl.DataFrame], *, naive: str, ceiling: str, measure: str, seed: int = 7, level: float = 0.95
) -> dict[str, Recovered]:
    """Each row but naive itself, over the queries that the measure is defined for.

    Args:
        per_query: row -> query_id and a column a measure, of the same queries.
        naive: the row of the ranker that took clicks for relevance.
        ceiling: that of the ranker fitted on true judgments.
        measure: the column.
        seed: of the bootstrap.
        level: of the intervals.

    >>> values = {"naive": [0.5, 0.5], "ips": [0.6, 0.8], "true": [0.7, 0.9]}
    >>> frames = {row: pl.DataFrame({"query_id": ["a", "b"], "RR": of}) for row, of in values.items()}
    >>> round(recovered(frames, naive="naive", ceiling="true", measure="RR")["ips"].share, 3)      # .2 of .3
    0.667
    """
    rows = list(per_query)
    aligned = [per_query[row].sort("query_id")[measure].to_numpy() for row in rows]
    values = np.stack(aligned)
    values = values[:, np.isfinite(values).all(axis=0)]
    over = values - values[rows.index(naive)]
    count = over.shape[1]
    if not count:
        nothing = Recovered(*[float("nan")] * 6)
        return {row: nothing for row in rows if row != naive}
    generator = np.random.default_rng(seed)
    drawn = np.concatenate(
        [
            over[:, generator.integers(0, count, size=(min(_AT_ONCE, _RESAMPLES - start), count))].mean(axis=2)
            for start in range(0, _RESAMPLES, _AT_ONCE)
        ],
        axis=1,
    )
    means, whole = over.mean(axis=1), rows.index(ceiling)
    tails = [(1 - level) / 2, (1 + level) / 2]
    shares = means / means[whole] if means[whole] > 0 else np.full(len(rows), np.nan)
    of_drawn = drawn / drawn[whole] if (drawn[whole] > 0).all() else np.full_like(drawn, np.nan)
    found = {}
    for at, row in enumerate(rows):
        if row == naive:
            continue
        ends, (low, high) = np.quantile(of_drawn[at], tails), np.quantile(drawn[at], tails)
        found[row] = Recovered(
            float(shares[at]), float(ends[0]), float(ends[1]), float(means[at]), float(low), float(high)
        )
    return found
