"""Rankers: features to scores, fitted on lists of graded products.

Each library's module has ``fit`` and ``restore`` as below; these pick the module, which alone imports the library.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ltr.config import RankerConfig

__all__ = ["LIBRARIES", "Fitted", "Ranker", "fit", "restore"]

LIBRARIES: Final = {"lightgbm": "ltr.rankers.lightgbm"}


class Ranker(Protocol):
    """A fitted ranker: ``predict`` takes float32 rows in the order of ``features``; ``importance`` is total gain."""

    @property
    def features(self) -> tuple[str, ...]: ...  # noqa: D102
    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]: ...  # noqa: D102
    def importance(self) -> dict[str, float]: ...  # noqa: D102
    def save(self, directory: Path) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Fitted:
    """A ranker, its rounds (the best on dev), dev nDCG by round, seconds of fitting, and what ``lists`` kept out of it."""

    ranker: Ranker
    rounds: int
    curve: list[float]
    seconds: float
    dropped: dict[str, int] = field(default_factory=dict)


def fit(config: RankerConfig, fit_pairs: pl.DataFrame, dev_pairs: pl.DataFrame | None, *, features: Sequence[str],
        gains: NDArray[np.float64], cutoff: int = 10, rounds: int | None = None) -> Fitted:  # fmt: skip
    """Fit the ranker of ``config.library``; see its module for what each argument does."""
    how = {"features": features, "gains": gains, "cutoff": cutoff, "rounds": rounds}
    fitted: Fitted = importlib.import_module(LIBRARIES[config.library]).fit(config, fit_pairs, dev_pairs, **how)
    return fitted


def restore(directory: Path) -> Ranker:
    """Load a saved ranker, whatever library made it: the directory's ranker.json says which."""
    from ltr.rankers.saved import read

    ranker: Ranker = importlib.import_module(LIBRARIES[read(directory).library]).restore(directory)
    return ranker
