"""One seed, many independent streams: each part of a simulation draws from its own, in whatever order parts are made.

>>> stream(7, 1).random() == stream(7, 1).random(), stream(7, 1).random() == stream(7, 2).random()
(True, False)
"""

from __future__ import annotations

import numpy as np

from ltr.errors import ConfigError

__all__ = ["stream"]


def stream(seed: int, *path: int) -> np.random.Generator:
    """The stream of a seed at a path of numbers; ConfigError for a negative seed (``numpy.random.SeedSequence``)."""
    if seed < 0:
        raise ConfigError(f"seed is {seed}", hint="give 0 or a positive whole number")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))
