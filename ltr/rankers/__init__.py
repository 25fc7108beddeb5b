"""Rankers: features to scores, fitted on lists of graded products.

Each library's module has ``fit`` and ``restore`` as below; these pick the module, which alone imports the library.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ltr.config import RankerConfig

__all__ = ["LIBRARIES", "TITLES", "Fitted", "Ranker", "check", "fit", "restore"]

LIBRARIES: Final = {name: f"ltr.rankers.{name}" for name in ("lightgbm", "xgboost", "linear")}
TITLES: Final = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "linear": "linear"}


class Ranker(Protocol):
    """A fitted ranker: ``predict`` takes float32 rows in the order of ``features``; ``importance`` is total gain."""

    @property
    def features(self) -> tuple[str, ...]: ...  # noqa: D102
    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]: ...  # noqa: D102
    def importance(self) -> dict[str, float]: ...  # noqa: D102
    def save(self, directory: Path) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Fitted:
    """A ranker, its rounds (the best on dev), dev nDCG by round, seconds, what ``lists`` kept out, and what to know."""

    ranker: Ranker
    rounds: int
    curve: list[float]
    seconds: float
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fit(config: RankerConfig, fit_pairs: pl.DataFrame, dev_pairs: pl.DataFrame | None, *, features: Sequence[str],
        gains: NDArray[np.float64], cutoff: int = 10, rounds: int | None = None) -> Fitted:  # fmt: skip
    """Fit the ranker of ``config.library``, or the mean of ``config.seeds`` of them; see its module for the arguments."""
    how: dict[str, Any] = {"features": features, "gains": gains, "cutoff": cutoff, "rounds": rounds}
    if config.seeds > 1:
        from ltr.rankers.averaged import fit_averaged

        alone = config.model_copy(update={"seeds": 1})
        return fit_averaged(alone, fit_pairs, dev_pairs, seeds=config.seeds, **how)
    fitted: Fitted = importlib.import_module(LIBRARIES[config.library]).fit(config, fit_pairs, dev_pairs, **how)
    return fitted


def check(config: RankerConfig, *, features: Sequence[str]) -> None:
    """Raise, without data, the RankerError that ``fit`` would raise for a parameter or a monotone direction."""
    from ltr.rankers.started import check as check_start

    check_start(config.start, features)
    importlib.import_module(LIBRARIES[config.library]).check(config, features=features)


def restore(directory: Path) -> Ranker:
    """Load a saved ranker, whatever library made it: the directory's ranker.json says which."""
    from ltr.rankers.saved import MODULES, read

    ranker: Ranker = importlib.import_module(MODULES[read(directory).library]).restore(directory)
    return ranker
