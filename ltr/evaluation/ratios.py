"""Ratios of sums over users: their delta method, their difference between two groups, and their bootstrap.

    R = Σ xᵤ ÷ Σ yᵤ,   lᵤ = R + (xᵤ − R yᵤ) ÷ ȳ,   Var(R) ≈ s²(l) ÷ n

x is a user's clicks, say, and y the user's searches. Searches of one user are alike, so that a search is no unit to count by;
users are, and lᵤ turns the ratio into a mean over them (Deng, Knoblich & Lu, KDD 2018; Budylin et al., WSDM 2018). Its t is
taken with n − 1 degrees of freedom, that of a difference with Welch's. Functions work on the last axis, many tests at once.

>>> clicks, searches = np.array([1.0, 0.0, 3.0]), np.array([2.0, 1.0, 5.0])
>>> float(linearised(clicks, searches).mean())
0.5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ConfigError
from ltr.evaluation.distributions import t_quantile, t_tails, upper_end

__all__ = ["Estimated", "Floats", "bootstrapped", "bootstrapped_p", "linearised", "mean", "percentiles", "welch"]

Floats = NDArray[np.float64]
# Cells of one chunk of resamples: 2 MiB of complex numbers stay in cache.
_CELLS: Final = 1 << 17


@dataclass(frozen=True, eq=False)
class Estimated:
    """A value, its standard error and the degrees of freedom of its t; NaN where it is not defined."""

    value: Floats
    standard_error: Floats
    degrees: Floats

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """The confidence interval by Student's t."""
        half = t_quantile(upper_end(level), self.degrees) * self.standard_error
        return self.value - half, self.value + half

    def p_value(self) -> Floats:
        """The two-sided p of "it is 0"; 1 where nothing varies about 0, or where nothing is known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p = t_tails(self.value / self.standard_error, self.degrees)
        return np.where(np.isnan(p), 1.0, p)


def linearised(numerator: Floats, denominator: Floats) -> Floats:
    """A value a user whose mean is the ratio of the sums and whose variance is that of the ratio; NaN where Σ y = 0."""
    total = denominator.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = numerator.sum(axis=-1, keepdims=True) / total
        scaled: Floats = ratio + (numerator - ratio * denominator) * (denominator.shape[-1] / total)
    return scaled


def mean(values: Floats) -> Estimated:
    """The mean of independent values.

    >>> [float(end) for end in mean(np.array([1.0, 2.0, 3.0])).interval()]        # 2 ± 4.3027/√3
    [-0.48413771175..., 4.48413771175...]
    """
    n = values.shape[-1]
    value, error = _mean_and_error(values)
    return Estimated(value, error, np.full(np.shape(value), float(max(n - 1, 1))))


def welch(control: Floats, treatment: Floats) -> Estimated:
    """mean(treatment) − mean(control) of independent values, with the degrees of freedom of Welch (Biometrika 1947)."""
    ours, error = _mean_and_error(treatment)
    theirs, other = _mean_and_error(control)
    variance = error**2 + other**2
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = variance**2 / (error**4 / max(treatment.shape[-1] - 1, 1) + other**4 / max(control.shape[-1] - 1, 1))
    return Estimated(ours - theirs, np.sqrt(variance), np.where(np.isfinite(degrees), degrees, 1.0))


def bootstrapped(numerator: Floats, denominator: Floats, *, seed: int, resamples: int) -> Floats:
    """The ratio in each of so many resamples of the users (Efron 1979), NaN where Σ y is 0; of 1-dimensional arrays.

    >>> bool(np.ptp(bootstrapped(np.ones(9), np.full(9, 2.0), seed=7, resamples=5)) == 0)
    True
    """
    if resamples < 1:
        raise ConfigError(f"{resamples} resamples", hint="give at least 1")
    n = len(numerator)
    generator = np.random.default_rng(seed)
    # Both sums by one gather.
    pairs = numerator + 1j * denominator
    found = np.empty(resamples, dtype=np.complex128)
    step = max(1, _CELLS // max(n, 1))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        found[start : start + rows] = pairs[generator.integers(0, n, size=(rows, n), dtype=np.int32)].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = found.real / found.imag
    return ratios


def percentiles(resampled: Floats, *, level: float) -> tuple[float, float]:
    """The middle ``level`` of resampled values; NaN where one of them is."""
    end = upper_end(level)
    low, high = np.quantile(resampled, [1 - end, end])
    return float(low), float(high)


def bootstrapped_p(resampled: Floats) -> float:
    """The two-sided p of "it is 0" by which side of 0 the resamples are on (Efron & Tibshirani 1993, section 15.4).

        p = 2 · (1 + min(#{≤ 0}, #{≥ 0})) ÷ (1 + resamples), at most 1

    >>> bootstrapped_p(np.array([0.1, 0.2, -0.1])), bootstrapped_p(np.ones(99))
    (1.0, 0.02)
    """
    if np.isnan(resampled).any():
        return 1.0
    fewer = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(resampled)))


def _mean_and_error(values: Floats) -> tuple[Floats, Floats]:
    n = values.shape[-1]
    if n < 2:
        value = values[..., 0] if n else np.full(values.shape[:-1], np.nan)
        return np.asarray(value, dtype=np.float64), np.full(values.shape[:-1], np.nan)
    spread = values.std(axis=-1, ddof=1)
    # Equal values differ in their last bits after scaling.
    spread = np.where(spread > 1e-12 * np.abs(values).max(axis=-1), spread, 0.0)
    return np.asarray(values.mean(axis=-1)), np.asarray(spread / np.sqrt(n))
