"""A saved ranker without the library that fitted it: its trees as a neutral forest, which scores as the library does.

What serves a bundle restores its ranker here; ``rankers.restore`` is for who fits, compares or asks for importance. A ranker
made of others (a mean, a start, a transfer) is the same object either way, with members that need no library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import RankerError
from ltr.rankers import Ranker, checks, forest_lightgbm, forest_xgboost, saved
from ltr.rankers.forest import Forest

__all__ = ["NeutralRanker", "restore"]

_READ: Final[dict[str, Callable[[str], Forest]]] = {
    "lightgbm": forest_lightgbm.read_text,
    "xgboost": forest_xgboost.read_model,
}
_COMPOSED: Final = frozenset(["averaged", "started", "transferred"])


@dataclass(frozen=True, eq=False)
class NeutralRanker:
    """A forest as a ranker; what was saved is kept, so that it can be saved again."""

    held: saved.Saved = field(repr=False)
    forest: Forest = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a text of other features."""
        if self.forest.features != self.held.features:
            raise RankerError(
                f"the forest was fitted on {list(self.forest.features)}, not on {list(self.held.features)}",
                hint="ranker.txt and ranker.json do not belong together; restore both from one copy",
            )

    @property
    def features(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self.held.features

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row, bit for bit as the library does; NaN is a missing value."""
        checks.check_matrix(matrix, self.features)
        return self.forest.predict(matrix)

    def importance(self) -> dict[str, float]:
        """A neutral forest does not know: gain is the library's."""
        raise RankerError(
            f"a neutral forest of {self.held.library} has no gain", hint="restore with ltr.rankers.restore"
        )

    def save(self, directory: Path) -> None:
        """Write ranker.txt and ranker.json as they were."""
        saved.write(self.held, directory)


def restore(directory: Path) -> Ranker:
    """Load a saved ranker and import neither LightGBM nor XGBoost.

    Raises:
        RankerError: a file is not what was saved, or its text is no forest that is understood.
    """
    held = saved.read(directory)
    if held.library in _READ:
        return NeutralRanker(held, _READ[held.library](held.text))
    module: Any = importlib.import_module(saved.MODULES[held.library])
    ranker: Ranker = (
        module.restore(directory, restore=restore) if held.library in _COMPOSED else module.restore(directory)
    )
    return ranker
