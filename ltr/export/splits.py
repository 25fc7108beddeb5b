"""What a split asks, made ready for engines: exact float32 and double thresholds, and what cannot be exact refused.

Features reach an engine's evaluator as float32, so a threshold t, a double in LightGBM, has one float32 neighbour on either
side. LightGBM's ``x <= t`` is the plugin's ``x < c`` for c = the smallest float32 strictly greater than t; rounding t instead
sends rows on the threshold the wrong way (Goldberg, ACM Computing Surveys 23, 1991, on neighbours).

LightGBM also reads every |x| <= z, z = float32(1e-35), as 0. The whole of [-z, z] therefore goes to the side of 0, which one
threshold says exactly: t in [0, z) sends [-z, z] left, as z does; t in [-z, 0) sends it right, as the double just below -z does.
Elsewhere [-z, z] is on one side already.

>>> import numpy as np
>>> float(above(np.array([0.1]))[0])                            # float32(0.1) is greater than the double 0.1
0.10000000149011612
>>> float(above(np.array([1e300]))[0])                          # every finite number goes left
inf
>>> as_lightgbm(np.array([0.0, -1e-36, 5.0])).tolist()
[1.0000000180025095e-35, -1.0000000180025096e-35, 5.0]
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ExportError, RankerError
from ltr.rankers.forest import Forest, Kind, Missing, Tree
from ltr.rankers.forests import forest_of

__all__ = ["above", "as_lightgbm", "constants", "forest_for", "shortest", "thresholds", "values"]

# LightGBM's kZeroThreshold, a float32 literal compared in double.
_ZERO: Final = float(np.float32(1e-35))
# What JSON, which has no infinity, says instead: float32 reads it as infinite.
_BEYOND: Final = 1e39


def forest_for(ranker: Any) -> Forest:
    """The ranker's forest, where an engine can evaluate it exactly.

    Raises:
        ExportError: it cannot; the message says why and what to do.
    """
    try:
        forest = forest_of(ranker)
    except RankerError as error:
        raise ExportError(f"the ranker cannot be exported: {error}") from error
    for number, tree in enumerate(forest.trees):
        if (tree.kind == Kind.MEMBER).any():
            raise ExportError(
                f"tree {number} asks for categories, which neither engine's trees do",
                hint="fit without categorical features",
            )
        if _zero_is_missing(tree):
            raise ExportError(
                f"tree {number} sends 0 another way than its threshold says (zero_as_missing)",
                hint="fit with zero_as_missing = false: an engine's trees know only absent values as missing",
            )
    return forest


def thresholds(forest: Forest, tree: Tree) -> NDArray[np.float64]:
    """Each node's threshold, for float32 values compared as they are."""
    return as_lightgbm(tree.threshold) if forest.library == "lightgbm" else tree.threshold


def as_lightgbm(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds of ``x <= t`` that read [-z, z] as 0 by themselves."""
    left = (threshold >= 0) & (threshold < _ZERO)
    right = (threshold < 0) & (threshold >= -_ZERO)
    return np.select([left, right], [_ZERO, np.nextafter(-_ZERO, -np.inf)], threshold)


def above(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The smallest float32 strictly greater than each threshold; infinity is greater than all that is finite."""
    with np.errstate(over="ignore", under="ignore"):
        near = threshold.astype(np.float32)
        later = np.nextafter(near, np.float32(np.inf))
    found: NDArray[np.float32] = np.where(near.astype(np.float64) > threshold, near, later)
    return found


def values(forest: Forest, tree: Tree) -> NDArray[np.float64]:
    """What each leaf adds: a random forest's mean is shared out among its trees."""
    return tree.value / len(forest.trees) if forest.average_output else tree.value


def constants(forest: Forest) -> list[float]:
    """What the sum begins with: XGBoost adds its trees to the base score."""
    return [forest.base_score] if forest.base_score else []


def shortest(numbers: NDArray[np.float32]) -> list[float]:
    """Each as the double with the fewest digits that is read back as the same float32, by way of double or at once.

    >>> shortest(np.float32([0.1, np.inf]))
    [0.1, 1e+39]
    """
    found = [float(str(number)) for number in numbers]
    with np.errstate(over="ignore", under="ignore"):
        back = np.array(found).astype(np.float32)
    exact = numbers.astype(np.float64)
    return [
        float(np.copysign(_BEYOND, whole)) if np.isinf(whole) else text if same else float(whole)
        for text, same, whole in zip(found, back == numbers, exact, strict=True)
    ]


def _zero_is_missing(tree: Tree) -> bool:
    """Whether LightGBM's zero_as_missing sends 0 elsewhere than ``0 <= threshold`` does."""
    asked = (tree.kind != Kind.LEAF) & (tree.missing == Missing.ZERO)
    return bool((asked & (tree.default_left != (tree.threshold >= 0))).any())
