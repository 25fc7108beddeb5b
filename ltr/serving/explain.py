"""Why a score is what it is: what each feature adds to it, by exact tree SHAP of the neutral forest (``ltr.rankers.shap``).

    score(x) = base + Σ_f contribution_f(x)

Rankers made of others add up as they do: a mean of forests has the mean of their contributions; a scaled start adds
scale · (x − mean) to its feature; a linear ranker's contribution is its own term. A transferred ranker's forest reads the other
ranker's score, which is told as one contribution of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltr.rankers import Ranker, shap
from ltr.rankers.averaged import Averaged
from ltr.rankers.forests import forest_of
from ltr.rankers.linear import LinearRanker
from ltr.rankers.started import Started
from ltr.rankers.transferred import COLUMN, Transferred

__all__ = ["Contributions", "contributions"]


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each name adds to each row's score, [row, name], above the base."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    base: float

    def rows(self) -> list[dict[str, float]]:
        """By name, a row a candidate."""
        return [dict(zip(self.names, row, strict=True)) for row in self.values.tolist()]

    def why(self, above: int, below: int) -> list[tuple[str, float]]:
        """Row ``above`` against row ``below``: differences that add up to that of the scores, the largest first."""
        differences = zip(self.names, (self.values[above] - self.values[below]).tolist(), strict=True)
        return sorted(differences, key=lambda pair: -abs(pair[1]))


def contributions(ranker: Ranker, matrix: NDArray[np.float32]) -> Contributions:
    """Explain the scores of rows of ``ranker.features``.

    Raises:
        RankerError: the ranker is none of these, or its forest does not say how many rows reached its nodes.
    """
    if isinstance(ranker, Averaged):
        parts = [contributions(member, matrix) for member in ranker.rankers]
        values = np.mean([part.values for part in parts], axis=0)
        return Contributions(ranker.features, values, float(np.mean([part.base for part in parts])))
    if isinstance(ranker, Started):
        return _started(ranker, matrix)
    if isinstance(ranker, Transferred):
        own = len(ranker.ranker.features) - 1
        score = ranker.source.predict(matrix[:, own:]).astype(np.float32)
        return contributions(
            ranker.ranker, np.insert(matrix[:, :own], ranker.ranker.features.index(COLUMN), score, axis=1)
        )
    if isinstance(ranker, LinearRanker):
        return _linear(ranker, matrix)
    phi = shap.contributions(forest_of(ranker), matrix)
    return Contributions(ranker.features, phi[:, :-1], float(phi[0, -1]) if len(phi) else 0.0)


def _started(ranker: Started, matrix: NDArray[np.float32]) -> Contributions:
    part, start = contributions(ranker.ranker, matrix), ranker.start
    mean = start.scale * start.missing
    values = part.values.copy()
    values[:, ranker.features.index(start.column)] += start.of(matrix, ranker.features) - mean
    return Contributions(part.names, values, part.base + mean)


def _linear(ranker: LinearRanker, matrix: NDArray[np.float32]) -> Contributions:
    """Each feature alone, all others missing: the terms of the sum, as a missing value adds nothing."""
    rows, width = matrix.shape
    alone = np.full((rows, width, width), np.nan, dtype=np.float32)
    alone[:, np.arange(width), np.arange(width)] = matrix
    return Contributions(ranker.features, ranker.predict(alone.reshape(-1, width)).reshape(rows, width), 0.0)
