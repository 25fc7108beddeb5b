"""Fixed points found faster: SQUAREM (Varadhan & Roland, Scandinavian Journal of Statistics 2008).

EM moves in ever smaller steps along one direction. Two steps tell how much smaller they get; SQUAREM goes at once where they
lead and lets one more step correct it. ``squarem`` stops where a step moves no value by more than the tolerance, measured
before extrapolation, and says whether it did.

>>> squarem(lambda x: 0.9 * x + 0.1, np.zeros(1), tolerance=1e-9).values.round(6).tolist()
[1.0]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Settled", "squarem"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settled:
    """Where the steps led, how many there were, and whether the last moved nothing by more than the tolerance."""

    values: Floats
    steps: int
    converged: bool


def squarem(
    step: Callable[[Floats], Floats],
    start: Floats,
    *,
    tolerance: float = 1e-6,
    limit: int = 1000,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Settled:
    """Iterate ``step`` to its fixed point; extrapolated values are kept ``within`` bounds."""
    values, steps = start, 0
    while steps < limit:
        first = step(values)
        second = step(first)
        steps += 2
        change, bend = first - values, second - 2 * first + values
        if np.max(np.abs(second - first), initial=0.0) < tolerance:
            return Settled(second, steps, True)
        curvature = float(np.linalg.norm(bend))
        length = -max(1.0, float(np.linalg.norm(change)) / curvature) if curvature > 0 else -1.0
        leap = np.clip(values - 2 * length * change + length**2 * bend, *within)
        values = step(leap) if np.all(np.isfinite(leap)) else second
        steps += 1
    return Settled(values, steps, False)
