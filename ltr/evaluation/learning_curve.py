"""What more judgments would bring: a power law through the measure at growing numbers of fitted queries.

    m(n) = a − b · n^(−c),   b ≥ 0, c > 0

is the form in which learning curves are found to fall off (Viering & Loog, TPAMI 2023); a is what no number of queries would
exceed. Its interval resamples the queries that were measured, each with its values at every n, and fits again.

>>> sizes = np.array([25, 50, 100, 200])
>>> law = fit_law(sizes, 0.8 - 0.9 * sizes**-0.5)
>>> round(law.asymptote, 2), round(law.at(400), 3), law.needed(0.9)
(0.8, 0.755, None)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltr.errors import MeasureError
from ltr.evaluation.bootstrap import Estimate

__all__ = ["Law", "fit_law", "gain_of_more"]

# Fewer sizes than parameters fix nothing.
_LEAST = 3
# Rates found for real learners lie within; a twentieth is nearly a straight line, two is nearly a step.
_RATES = np.exp(np.linspace(math.log(0.05), math.log(2.0), 400))


@dataclass(frozen=True)
class Law:
    """m(n) = asymptote − scale · n^(−rate)."""

    asymptote: float
    scale: float
    rate: float

    def at(self, queries: float) -> float:
        """The measure expected of a ranker fitted on so many queries."""
        return float(self.asymptote - self.scale * queries**-self.rate)

    def needed(self, value: float) -> int | None:
        """The queries to fit on for the measure to be expected at ``value``; None where it lies beyond the asymptote."""
        if value >= self.asymptote or self.scale <= 0:
            return None
        exponent = math.log(self.scale / (self.asymptote - value)) / self.rate
        return max(1, math.ceil(math.exp(exponent) - 1e-6)) if exponent < 40 else None


def fit_law(sizes: NDArray[np.int64], values: NDArray[np.float64], *, highest: float = 1.0) -> Law:
    """Least squares over at least three sizes; ``highest`` bounds the asymptote (1 for nDCG and its kin)."""
    if len(sizes) < _LEAST or len(sizes) != len(values) or not np.isfinite(values).all():
        raise MeasureError(
            f"{len(sizes)} sizes fix no learning curve", hint=f"at least {_LEAST}, with a finite value each"
        )
    asymptotes, scales, rates = _laws(sizes, values[None, :], highest)
    return Law(float(asymptotes[0]), float(scales[0]), float(rates[0]))


def _laws(sizes: NDArray[np.int64], values: NDArray[np.float64], highest: float) -> tuple[NDArray[np.float64], ...]:
    """Asymptote, scale and rate of each row of values[r, s]: a grid of rates, for each a bounded linear problem."""
    means = values.mean(axis=1)
    least = np.full(len(values), np.inf)
    asymptotes, scales, rates = means.copy(), np.zeros(len(values)), np.ones(len(values))
    for rate in _RATES:
        fall = sizes.astype(np.float64) ** -rate
        centred = fall - fall.mean()
        scale = np.maximum(0.0, -((values - means[:, None]) @ centred) / np.square(centred).sum())
        asymptote = means + scale * fall.mean()
        beyond = asymptote > highest
        scale = np.where(beyond, np.maximum(0.0, (highest - values) @ fall / np.square(fall).sum()), scale)
        asymptote = np.where(beyond, highest, asymptote)
        error = np.square(asymptote[:, None] - scale[:, None] * fall - values).sum(axis=1)
        better = error < least
        least = np.where(better, error, least)
        asymptotes, scales = np.where(better, asymptote, asymptotes), np.where(better, scale, scales)
        rates = np.where(better, rate, rates)
    return asymptotes, scales, rates


def gain_of_more(
    sizes: NDArray[np.int64], by_query: NDArray[np.float64], queries: int, *, seed: int = 7, resamples: int = 1_000
) -> Estimate:
    """What the law expects of ``queries`` beyond the largest size measured, with the bootstrap interval of that gain.

    Args:
        sizes: numbers of fitted queries, rising; int64[s].
        by_query: the measure of each test query at each size, without NaN; float64[q, s].
        queries: the number to fit on instead of sizes[-1].
        seed: of the bootstrap.
        resamples: of the test queries.
    """
    law = fit_law(sizes, by_query.mean(axis=0))
    generator = np.random.default_rng(seed)
    drawn = np.stack(
        [by_query[generator.integers(0, len(by_query), len(by_query))].mean(axis=0) for _ in range(resamples)]
    )
    _, scales, rates = _laws(sizes, drawn, 1.0)
    gains = scales * (float(sizes[-1]) ** -rates - float(queries) ** -rates)
    low, high = np.quantile(gains, [0.025, 0.975])
    return Estimate(law.at(queries) - law.at(int(sizes[-1])), float(low), float(high), len(by_query))
