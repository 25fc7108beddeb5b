"""Named clauses: queries that ride along in a request, each of which the engine scores for every hit on its own.

A hit then has ``matched_queries = {"~0": 9.5, "~2": 1.0}``. Names are short because they come back with every hit; their sign
keeps them apart from names of the shop's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.retrieval.prepared import Prepared, prepare

__all__ = ["SIGN", "Named", "name_clauses", "named"]

SIGN: Final = "~"


@dataclass(frozen=True)
class Named:
    """Named clauses of features, and columns for whatever else has a name; get one from ``name_clauses``."""

    features: tuple[str, ...]
    others: tuple[str, ...]
    missing: NDArray[np.float32]
    _clauses: Prepared

    @cached_property
    def _columns(self) -> dict[str, int]:
        names = [f"{SIGN}{number}" for number in range(len(self.features))] + [f"{SIGN}{name}" for name in self.others]
        return {name: column for column, name in enumerate(names)}

    def written(self, text: str) -> str:
        """The clauses for a text, JSON with commas between."""
        return self._clauses.filled(text)[1:-1]

    def parsed(self, text: str) -> list[Any]:
        """The same as JSON values."""
        found: list[Any] = json.loads(self._clauses.filled(text))
        return found

    def with_others(self, *names: str) -> Named:
        """The same with further columns, of clauses that the caller names."""
        missing = np.concatenate([self.missing, np.full(len(names), np.nan, dtype=np.float32)])
        return Named(self.features, names, missing, self._clauses)

    def values(self, matched: Sequence[Mapping[str, float]]) -> NDArray[np.float32]:
        """One row a hit, one column a feature and other name; what did not match has its ``missing`` value."""
        values = np.tile(self.missing, (len(matched), 1))
        known = self._columns
        rows: list[int] = []
        columns: list[int] = []
        scores: list[float] = []
        for row, each in enumerate(matched):
            rows += [row] * len(each)
            columns += [known.get(name, -1) for name in each]
            scores += each.values()
        at, own = np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)
        ours = own >= 0
        values[at[ours], own[ours]] = np.array(scores, dtype=np.float64)[ours]
        return values


def name_clauses(clauses: Mapping[str, Any], missing: Mapping[str, float]) -> Named:
    """Name the clause of each feature; a feature that ``missing`` has no value for is NaN where it does not match."""
    values = np.array([missing.get(feature, np.nan) for feature in clauses], dtype=np.float32)
    wrapped = [named(str(number), clause) for number, clause in enumerate(clauses.values())]
    return Named(tuple(clauses), (), values, prepare(wrapped))


def named(name: str, query: Any) -> dict[str, Any]:
    """The query under a name of ours; its score is its own."""
    return {"bool": {"_name": f"{SIGN}{name}", "must": [query]}}
