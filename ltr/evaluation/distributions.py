"""Tails and quantiles of the distributions that online tests stand on.

>>> round(float(t_tails(2.0, 10)), 4), round(float(t_quantile(0.975, 10)), 3), round(normal_quantile(0.975), 3)
(0.0734, 2.228, 1.96)
>>> round(chi_squared_tail(3.84, 1), 3), round(sign_p(8, 10), 4)          # 2 · (1 + 10 + 45) ÷ 2¹⁰
(0.05, 0.1094)
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltr.errors import ConfigError, MissingExtraError

__all__ = ["chi_squared_tail", "normal_quantile", "sign_p", "t_quantile", "t_tails", "upper_end"]


def t_tails(t: ArrayLike, degrees: ArrayLike) -> NDArray[np.float64]:
    """The two-sided p of Student's t; NaN where either is."""
    return np.asarray(2 * _special().stdtr(degrees, -np.abs(t)), dtype=np.float64)


def t_quantile(probability: float, degrees: ArrayLike) -> NDArray[np.float64]:
    """The quantile of Student's t."""
    return np.asarray(_special().stdtrit(degrees, probability), dtype=np.float64)


def normal_quantile(probability: float) -> float:
    """The quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)


def chi_squared_tail(statistic: float, degrees: int) -> float:
    """P(χ² ≥ statistic)."""
    return float(_special().chdtrc(degrees, statistic))


def sign_p(wins: int, decided: int) -> float:
    """The exact two-sided sign test (binomial, ½) of so many wins among those that were decided; 1 where none was.

    >>> sign_p(5, 10), sign_p(0, 0)
    (1.0, 1.0)
    """
    fewer = min(wins, decided - wins)
    return min(1.0, 2 * float(_special().bdtr(float(fewer), decided, 0.5))) if decided else 1.0


def upper_end(level: float) -> float:
    """The probability up to the upper end of a two-sided interval; ConfigError where the level is no share.

    >>> upper_end(0.95)
    0.975
    """
    if not 0 < level < 1:
        raise ConfigError(f"level is {level:g}", hint="give a share between 0 and 1, such as .95")
    return (1 + level) / 2


def _special() -> Any:
    try:
        from scipy import special
    except ImportError as error:
        raise MissingExtraError("scipy", "train") from error
    return special
