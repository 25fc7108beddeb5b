"""Scales of grades, and what a grade is worth: the gain that nDCG sums."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ConfigError, suggestion

__all__ = ["GAINS", "SCALES", "Gain", "Scale", "are_gains", "exponential", "gain_table", "linear", "scale"]

Gain = Callable[[float], float]


@dataclass(frozen=True)
class Scale:
    """An ordinal scale of grades: the whole numbers 0 to maximum, 0 being irrelevant, each with a label."""

    name: str
    maximum: int
    labels: tuple[str, ...]


SCALES: Final = {
    "binary": Scale("binary", 1, ("irrelevant", "relevant")),
    "graded": Scale("graded", 4, ("bad", "fair", "good", "excellent", "perfect")),
    "esci": Scale("esci", 3, ("I", "C", "S", "E")),  # irrelevant, complement, substitute, exact
    "wands": Scale("wands", 2, ("Irrelevant", "Partial", "Exact")),
}


def scale(name: str) -> Scale:
    """The named scale, or "0-N" for N up to 30: LightGBM's own table of gains ends there.

    >>> scale("0-10").maximum
    10
    """
    if name in SCALES:
        return SCALES[name]
    found = re.fullmatch(r"0-([1-9]\d?)", name)
    if not found or int(found[1]) > 30:
        raise ConfigError(f"scale {name!r} is unknown", hint=suggestion(name, [*SCALES, "0-N (N ≤ 30)"], noun="scales"))
    maximum = int(found[1])
    return Scale(name, maximum, tuple(str(grade) for grade in range(maximum + 1)))


def linear(grade: float) -> float:
    """The grade itself (Järvelin & Kekäläinen, TOIS 2002; what trec_eval sums)."""
    return float(grade)


def exponential(grade: float) -> float:
    """2^grade − 1 (Burges et al., ICML 2005): the highest grades outweigh the rest."""
    return math.pow(2.0, grade) - 1.0


# ESCI's repository (amazon-science/esci-data, ranking/) publishes two tables: train.py fits with S .1 and C .01, while
# the command that scores its runs swaps the two. A figure set beside a published one must name the same table.
GAINS: Final[dict[str, Gain | tuple[float, ...]]] = {
    "linear": linear,
    "exponential": exponential,
    "esci": (0.0, 0.01, 0.1, 1.0),
    "esci-swapped": (0.0, 0.1, 0.01, 1.0),
    # WANDS (Chen et al., ECIR 2022) publishes labels without gains. Since nDCG knows no unit, this table, the grades 2, 1
    # and 0 that others give the labels, and linear gains are all one.
    "wands": (0.0, 0.5, 1.0),
}


def gain_table(gains: str | Sequence[float], scale: Scale) -> NDArray[np.float64]:
    """The gain of each grade of a scale: float64[maximum + 1], from a name of GAINS or the numbers themselves.

    A gain is finite and at least 0. That of grade zero is 0, since an unjudged product counts as grade zero.

    >>> gain_table("exponential", scale("esci"))
    array([0., 1., 3., 7.])
    """
    if isinstance(gains, str) and gains not in GAINS:
        raise ConfigError(f"gains {gains!r} are unknown", hint=suggestion(gains, GAINS, noun="gains"))
    chosen = GAINS[gains] if isinstance(gains, str) else tuple(gains)
    values = chosen if isinstance(chosen, tuple) else tuple(chosen(grade) for grade in range(scale.maximum + 1))
    if len(values) != scale.maximum + 1:
        raise ConfigError(
            f"gains {gains!r} have {len(values)} values; scale {scale.name!r} has {scale.maximum + 1} grades",
            hint="give one gain a grade, that of grade 0 first",
        )
    if not are_gains(values):
        raise ConfigError(f"gains {gains!r} are not finite and at least 0, with 0 for grade 0 and some gain above it")
    return np.array(values, dtype=np.float64)


def are_gains(values: tuple[float, ...]) -> bool:
    """Whether numbers are gains: finite and at least 0, that of grade 0 first and 0, and some above it."""
    return all(math.isfinite(value) and value >= 0 for value in values) and values[:1] == (0,) and max(values) > 0
