"""Always-valid inference: a test that may be looked at every day, and stopped whenever it is clear.

With D the difference after n users, SE its standard error and z = D ÷ SE,

    Λₙ = (1 + nρ²)^−½ · exp(½ z² · nρ² ÷ (1 + nρ²)),   p = min over the looks of 1 ÷ Λ, at most 1
    D ± SE · √((1 + nρ²) ÷ nρ² · (ln(1 + nρ²) − 2 ln α)),   all looks' intervals intersected

Λ is the likelihood ratio mixed over effects from N(0, ρ²σ²) (Robbins, Annals of Mathematical Statistics 1970; the mSPRT of
Johari, Koomen, Pekelis & Walsh, Operations Research 2022), and with an estimated variance an asymptotic confidence sequence
(Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals of Statistics 2024). Whatever the number of looks, p falls below α
under no difference with probability α at most, once there are users enough for the normal distribution to hold: looks before
``burn_in`` users count for nothing (Bibaut, Kallus & Lindon 2022).

ρ is not to be chosen by what is seen. It makes the interval narrowest at ``planned`` users; one planned at three times as
many or as few is hardly wider. At that number it is some 1.5 times as wide as an interval that is looked at once.

>>> seen = always_valid([0.10, 0.08, 0.07], [0.05, 0.03, 0.02], [400, 1_100, 2_500], planned=2_500)
>>> seen.p_value.round(3), seen.low.round(3), seen.high.round(3)
(array([0.482, 0.131, 0.013]), array([-0.071, -0.013,  0.009]), array([0.271, 0.173, 0.131]))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltr.errors import ConfigError
from ltr.evaluation.ratios import Floats

__all__ = ["BURN_IN", "AlwaysValid", "always_valid", "mixture_variance"]

BURN_IN: Final = 100


@dataclass(frozen=True, eq=False)
class AlwaysValid:
    """What each look says, together with all before it, the looks on the last axis.

    Args:
        p_value: never rises from a look to the next.
        low: of the confidence sequence, never falls; −∞ before the burn-in is over.
        high: never rises.
    """

    p_value: Floats
    low: Floats
    high: Floats


def always_valid(
    difference: ArrayLike,
    standard_error: ArrayLike,
    users: ArrayLike,
    *,
    planned: float,
    alpha: float = 0.05,
    burn_in: int = BURN_IN,
) -> AlwaysValid:
    """p-values and confidence sequence of successive looks.

    Args:
        difference: at each look, of all users so far. NaN, as before there are users of both variants, says nothing.
        standard_error: of it.
        users: all so far.
        planned: the number of users at which the interval is to be narrowest; set before the first look.
        alpha: 1 − the level of the confidence sequence.
        burn_in: looks at fewer users count for nothing.

    Raises:
        ConfigError: alpha no probability, or nothing planned.
    """
    d, se, n = (np.asarray(each, dtype=np.float64) for each in (difference, standard_error, users))
    grown = n * mixture_variance(planned, alpha=alpha)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        evidence = 0.5 * (d / se) ** 2 * grown / (1 + grown) - 0.5 * np.log1p(grown)
        half = se * np.sqrt((1 + grown) / grown * (np.log1p(grown) - 2 * math.log(alpha)))
    known: NDArray[np.bool_] = (n >= burn_in) & np.isfinite(d) & (se > 0)
    p_value = np.where(known, np.exp(np.minimum(-evidence, 0.0)), 1.0)
    low, high = np.where(known, d - half, -np.inf), np.where(known, d + half, np.inf)
    return AlwaysValid(
        np.minimum.accumulate(p_value, axis=-1),
        np.maximum.accumulate(low, axis=-1),
        np.minimum.accumulate(high, axis=-1),
    )


def mixture_variance(planned: float, *, alpha: float = 0.05) -> float:
    """ρ², the variance of the mixture in units of the variance of one user's value.

        ρ² = (−2 ln α + ln(−2 ln α) + 1) ÷ planned          (Waudby-Smith et al. 2024, appendix; nearly the best there is)

    >>> round(mixture_variance(1_000), 5)
    0.00878
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha is {alpha:g}", hint="give a probability such as .05")
    if not 0 < planned < math.inf:
        raise ConfigError(f"{planned:g} users are planned", hint="give the number that the test is planned for")
    bits = -2 * math.log(alpha)
    # Above α = e^−½ the formula leaves its range; any positive variance is valid.
    return (bits + math.log(max(bits, 1.0)) + 1) / planned
