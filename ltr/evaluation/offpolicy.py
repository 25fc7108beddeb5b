"""Off-policy evaluation: what a ranker would have earned, from searches that another one answered at random.

    IPS    V = 1/n Σᵢ Σₖ wᵢₖ rᵢₖ,   wᵢₖ = P(target shows this product at place k) ÷ P(it was shown there)
    SNIPS  V = (Σ w r ÷ Σ w) · (Σ w's expectation ÷ n)

r is the reward of an impression, the denominator of w the logged ``propensity`` of the product at its place. The estimate is
of rewards a search and unbiased where a reward depends on the product and its place (the item-position model: Li, Abbasi-Yadkori,
Kveton, Muthukrishnan, Vinay & Wen, KDD 2018); for one action a search it is Horvitz & Thompson's (JASA 1952), and SNIPS that of
Swaminathan & Joachims (NeurIPS 2015), which varies less. Weights above ``clip`` are cut there (Ionides 2008), which takes
from V what ``clipped`` says of the weight: the interval is then that of the lower value.

Intervals are by users (``ratios``): by Student's t of the linearised value, or by a percentile bootstrap of users.

What the log could never have shown cannot be estimated, and is refused: places where another product stood for certain, or
where the products seen have all the probability; and weights whose mean is far from 1, as it is where support is missing or
the propensities are not those of the log (Li, Chen, Kleban & Gupta, KDD 2014).

>>> shown = [("s1", "q", "a", 1, True, 0.5), ("s2", "q", "b", 1, False, 0.5), ("s3", "q", "a", 1, True, 0.5),
...          ("s4", "q", "b", 1, True, 0.5)]
>>> columns = ["search_id", "query_id", "product_id", "position", "clicked", "propensity"]
>>> log = pl.DataFrame(shown, schema=columns, orient="row")
>>> run = pl.DataFrame({"query_id": ["q", "q"], "product_id": ["a", "b"], "rank": [1, 2]})
>>> found = evaluate_policy(log, run, cutoff=1, unit="search_id")
>>> found.value, found.logged, found.effective
(1.0, 0.75, 2.0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from ltr.errors import ConfigError, suggestion
from ltr.evaluation.offpolicy_weights import Weighted, weighted
from ltr.evaluation.ratios import Floats, linearised, mean, percentiles

__all__ = ["INTERVALS", "METHODS", "OffPolicy", "evaluate_policy", "value_of"]

METHODS: Final = ("ips", "snips")
INTERVALS: Final = ("t", "bootstrap")
_CELLS: Final = 1 << 20


@dataclass(frozen=True)
class OffPolicy:
    """The value of a target policy.

    Args:
        value: reward a search.
        low: of its interval.
        high: likewise.
        logged: reward a search of what was shown, over the same places.
        searches: in the log.
        users: in the log.
        effective: (Σ w)² ÷ Σ w² in searches (Kish 1965): so many searches by the target itself would tell as much.
        mean_weight: 1 but for luck.
        largest_weight: before clipping.
        clipped: share of the weight that clipping took.
        method: of METHODS.
    """

    value: float
    low: float
    high: float
    logged: float
    searches: int
    users: int
    effective: float
    mean_weight: float
    largest_weight: float
    clipped: float
    method: str


def evaluate_policy(
    impressions: pl.DataFrame | pl.LazyFrame,
    target: pl.DataFrame,
    *,
    cutoff: int,
    reward: str = "clicked",
    method: Literal["ips", "snips"] = "snips",
    clip: float | None = None,
    unit: str = "user_id",
    interval: Literal["t", "bootstrap"] = "t",
    seed: int = 7,
    resamples: int = 2_000,
    level: float = 0.95,
) -> OffPolicy:
    """The value of a target ranker by a log with propensities.

    Args:
        impressions: ``ltr.frames``, with ``propensity``. Where only some searches were randomised, those alone.
        target: a run of every query in the log; or query_id, product_id, position, probability of a stochastic policy.
        cutoff: places that count, from the top.
        reward: of ``offpolicy_weights.REWARDS``.
        method: of METHODS.
        clip: the largest weight; None = as they are.
        unit: who varies: user_id, session_id or search_id.
        interval: of INTERVALS.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of the interval.

    Raises:
        ConfigError: an option that is none.
        DataError: columns or propensities are missing, a query has no list, or the log does not support the target.
    """
    sums = weighted(impressions, target, cutoff=cutoff, reward=reward, clip=clip, unit=unit)
    return value_of(sums, method=method, interval=interval, seed=seed, resamples=resamples, level=level)


def value_of(
    sums: Weighted,
    *,
    method: Literal["ips", "snips"] = "snips",
    interval: Literal["t", "bootstrap"] = "t",
    seed: int = 7,
    resamples: int = 2_000,
    level: float = 0.95,
) -> OffPolicy:
    """The estimate of those sums."""
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is unknown", hint=suggestion(method, METHODS, noun="methods"))
    if interval not in INTERVALS:
        raise ConfigError(f"interval {interval!r} is unknown", hint=suggestion(interval, INTERVALS, noun="intervals"))
    value = float(_estimate(sums, method, np.ones((1, len(sums.reward))))[0])
    if interval == "t":
        found = mean(_by_user(sums, method))
        low, high = (float(end) for end in found.interval(level))
    else:
        low, high = percentiles(_bootstrapped(sums, method, seed, resamples), level=level)
    searches, due, weight = (float(each.sum()) for each in (sums.searches, sums.due, sums.weight))
    return OffPolicy(
        value=value,
        low=low,
        high=high,
        logged=float(sums.logged.sum()) / searches,
        searches=round(searches),
        users=len(sums.searches),
        effective=weight**2 / sums.squares * searches / due if sums.squares and due else 0.0,
        mean_weight=weight / due if due else math.nan,
        largest_weight=sums.largest,
        clipped=sums.clipped,
        method=method,
    )


def _estimate(sums: Weighted, method: str, times: Floats) -> Floats:
    """The value where each user counts so many times, a row a resample."""
    searches = times @ sums.searches
    with np.errstate(divide="ignore", invalid="ignore"):
        if method == "ips":
            return np.asarray(times @ sums.reward / searches)
        return np.asarray((times @ sums.reward) / (times @ sums.weight) * (times @ sums.due) / searches)


def _by_user(sums: Weighted, method: str) -> Floats:
    """Values whose mean is the estimate and whose variance is that of the estimate (the delta method)."""
    if method == "ips":
        return linearised(sums.reward, sums.searches)
    # V = R · D: each factor's own share of the variance, with the other as it is.
    rate, places = linearised(sums.reward, sums.weight), linearised(sums.due, sums.searches)
    return np.asarray(rate.mean() * places + places.mean() * (rate - rate.mean()))


def _bootstrapped(sums: Weighted, method: str, seed: int, resamples: int) -> Floats:
    if resamples < 1:
        raise ConfigError(f"{resamples} resamples", hint="give at least 1")
    n = len(sums.reward)
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // n)
    found = []
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        found.append(
            _estimate(sums, method, np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64))
        )
    return np.concatenate(found)
