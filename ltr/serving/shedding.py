"""How long work takes, so that what could not be finished in time is not begun (admission control).

Seconds per unit of weight, as a mean in which each new measurement counts an eighth (exponentially weighted):

    mean ← mean + (seconds ÷ weight − mean) / 8

A measurement counts as four times the mean at most, so that one pause of the machine does not turn requests away, and a spell
of them does after a few. Whoever decides must let work begin when there is nothing else to do, whatever the mean says: that is
how the mean recovers after a slow spell.

>>> load = Load()
>>> for _ in range(100):
...     load.took(RERANK_FIXED + 100, 0.003)
>>> round(load.seconds(RERANK_FIXED + 100) * 1000, 2)
3.0
"""

from __future__ import annotations

from typing import Final

__all__ = ["RERANK_FIXED", "Load"]

# What a request costs beside its candidates (its vector, most of all), in candidates.
RERANK_FIXED: Final = 200

# Before anything is measured: 5 ms for 100 candidates.
_START: Final = 0.005 / (RERANK_FIXED + 100)
_SHARE: Final = 1 / 8
_MOST: Final = 4.0


class Load:
    """The mean; written by the thread that works, read by any."""

    def __init__(self) -> None:
        self._mean = _START

    def seconds(self, weight: float) -> float:
        """How long work of this weight takes."""
        return self._mean * weight

    def took(self, weight: float, seconds: float, *, cut: bool = False) -> None:
        """Count work that took so long; where it was cut short, it would have taken longer, and cannot lower the mean."""
        measured = min(seconds / weight, self._mean * _MOST)
        if not cut or measured > self._mean:
            self._mean += (measured - self._mean) * _SHARE
