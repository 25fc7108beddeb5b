"""How large a difference is, which ones would be seen, and how many queries it takes (Cohen 1988; Sakai, SIGIR 2016).

Power is the probability that the paired t-test at level α proves a difference that is there. It grows with the effect
size d = mean(differences) ÷ s(differences) and with the number of queries n: t then follows the noncentral t distribution
with n − 1 degrees of freedom about d·√n. s is taken from the differences given, so that a handful of queries gives a rough
answer. The randomisation test, which ``compare`` uses, has nearly the same power.

>>> differences = np.array([0.1, 0.2, -0.1, 0.3, 0.0, 0.1, -0.2, 0.2])
>>> round(effect_size(differences), 3), round(detectable(differences), 3), queries_needed(differences)
(0.449, 0.193, 41)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ConfigError, MissingExtraError
from ltr.evaluation.paired import standard_deviation

__all__ = ["detectable", "effect_size", "power_of", "queries_needed"]


def effect_size(differences: NDArray[np.float64]) -> float:
    """Cohen's d of paired differences: mean ÷ s. 0 where all are 0, NaN where s is not known or 0.

    Cohen calls .2 small, .5 medium and .8 large.

    >>> effect_size(np.array([1.0, 2.0, 3.0]))
    2.0
    """
    deviation = standard_deviation(differences)
    if deviation > 0:
        return float(differences.mean()) / deviation
    return math.nan if np.any(differences) or not len(differences) else 0.0


def detectable(differences: NDArray[np.float64], *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The least mean difference that as many queries, as varied as these, would prove with probability ``power``.

    In the unit of the differences; NaN for fewer than two. A true difference below it is likely to go unproven.

    >>> round(detectable(np.array([-1.0, 1.0] * 17)), 3)
    0.502
    """
    _check(power, alpha)
    deviation = standard_deviation(differences)
    if not deviation > 0:
        return deviation
    n = len(differences)
    low, high = 0.0, 1.0
    while power_of(high, n, alpha=alpha) < power:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(middle, n, alpha=alpha) < power else (low, middle)
    return high * deviation


def queries_needed(differences: NDArray[np.float64], *, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The least number of queries that would prove the difference observed with probability ``power``.

    None where there is none such: the mean is 0, or fewer than two differences are known.

    >>> queries_needed(np.array([1.5, -0.5] * 50))              # d = .4975
    34
    """
    _check(power, alpha)
    effect = abs(effect_size(differences))
    if len(differences) >= 2 and standard_deviation(differences) == 0 and np.any(differences):
        return 2
    # An effect of 1e-7 takes 8e14 queries: a mean that is 0 but for rounding.
    if not effect > 1e-7:
        return None
    low, high = 1, 2
    while power_of(effect, high, alpha=alpha) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power_of(effect, middle, alpha=alpha) < power else (low, middle)
    return high


def power_of(effect: float, n: int, *, alpha: float = 0.05) -> float:
    """The probability that the two-sided paired t-test of n ≥ 2 differences proves an effect size.

    >>> round(power_of(0.2, 60, alpha=0.1), 7)                  # Cohen 1988, example 2.5; R: pwr.t.test
    0.4555818
    """
    try:
        from scipy.special import nctdtr, stdtrit
    except ImportError as error:
        raise MissingExtraError("scipy", "train") from error
    bound = stdtrit(n - 1, 1 - alpha / 2)
    centre = abs(effect) * math.sqrt(n)
    # Far from the centre the lower tail is below 1e-9, and scipy's is NaN.
    lower = nctdtr(n - 1, centre, -bound) if centre < 4 else 0.0
    return float(1 - nctdtr(n - 1, centre, bound) + lower)


def _check(power: float, alpha: float) -> None:
    if not 0 < alpha < power < 1:
        raise ConfigError(f"power {power:g} at alpha {alpha:g}", hint="give 0 < alpha < power < 1, such as .05 and .8")
