"""A ranker that has another one's score as a feature: what is learnt where judgments are many, where they are few.

The other ranker stays as it was fitted. Its score is one more column, COLUMN, so that the fitted one decides how far to
trust it (feature augmentation; Daumé III, ACL 2007, discusses it among baselines of domain adaptation).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr import rankers
from ltr.errors import RankerError
from ltr.rankers import Ranker, saved

__all__ = ["COLUMN", "Source", "Transferred", "restore"]

COLUMN: Final = "transfer"
VERSION: Final = "1"
_COPY: Final = "fit it again, or restore the directory from a copy"


@dataclass(frozen=True)
class Source:
    """The other ranker, and the column that each of its features stands in here; None = missing here."""

    ranker: Ranker
    columns: tuple[str | None, ...]

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that are there."""
        return tuple(column for column in self.columns if column is not None)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score rows of the columns ``read``."""
        whole = np.full((len(matrix), len(self.columns)), np.nan, dtype=np.float32)
        whole[:, [at for at, column in enumerate(self.columns) if column is not None]] = matrix
        return self.ranker.predict(whole)


@dataclass(frozen=True)
class Transferred:
    """A ranker fitted with COLUMN among its features; it is given the source's columns instead."""

    ranker: Ranker
    source: Source

    def __post_init__(self) -> None:
        """Refuse a ranker that does not read the score."""
        if COLUMN not in self.ranker.features:
            raise RankerError(f"the ranker does not read {COLUMN!r}", hint=f"fit it on a set with column {COLUMN!r}")

    @property
    def features(self) -> tuple[str, ...]:
        """Its own columns but for COLUMN, then the source's."""
        return (*(name for name in self.ranker.features if name != COLUMN), *self.source.read)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score rows of ``features``."""
        own = len(self.ranker.features) - 1
        score = self.source.predict(matrix[:, own:]).astype(np.float32)
        return self.ranker.predict(np.insert(matrix[:, :own], self.ranker.features.index(COLUMN), score, axis=1))

    def importance(self) -> dict[str, float]:
        """Of the fitted ranker's features, COLUMN among them."""
        return self.ranker.importance()

    def save(self, directory: Path) -> None:
        """Write both rankers into directories of their own, then ranker.txt and ranker.json."""
        self.ranker.save(directory / "own")
        self.source.ranker.save(directory / "source")
        told = {
            "columns": self.source.columns,
            "sha256": {part: saved.header(directory / part) for part in ("own", "source")},
        }
        text = json.dumps(told, indent=2) + "\n"
        saved.write(saved.Saved("transferred", VERSION, self.features, 1, text), directory)


def restore(directory: Path, *, restore: Callable[[Path], Ranker] = rankers.restore) -> Transferred:
    """Load what ``save`` wrote, each part by ``restore``; RankerError where one is not the one that was saved."""
    held = saved.read(directory)
    try:
        told = json.loads(held.text)
        columns, promised = tuple(told["columns"]), {part: told["sha256"][part] for part in ("own", "source")}
    except (ValueError, KeyError, TypeError) as error:
        raise RankerError(f"{directory / 'ranker.txt'} names no parts ({error!r})", hint=_COPY) from error
    for part, digest in promised.items():
        if saved.header(directory / part) != digest:
            raise RankerError(
                f"{directory / part / 'ranker.json'} is not the one that was saved (SHA-256 differs)", hint=_COPY
            )
    return Transferred(restore(directory / "own"), Source(restore(directory / "source"), columns))
