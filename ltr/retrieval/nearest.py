"""Nearest neighbours by cosine, exact: every product is looked at, and nothing depends on which queries come together.

>>> catalogue = unit_vectors(np.float32([[1, 0], [0, 0], [3, 4]]))
>>> catalogue.cosines(np.float32([1, 0]), np.array([2, 1, 0]))
array([0.6, nan, 1. ], dtype=float32)
>>> [rows.tolist() for rows in catalogue.nearest(np.float32([[0, 1], [1, 0]]), depth=5)]
[[2, 0], [0, 2]]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.retrieval.fusion import best

__all__ = ["Vectors", "unit_vectors"]

# Cosines that are in memory at once: 64 MiB.
_BLOCK: Final = 1 << 24


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of the products that have one: vector i belongs to product rows[i]; numbers is the inverse, else −1."""

    unit: NDArray[np.float32]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def cosines(self, vector: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosine with these products, each row worked out on its own; NaN where product or query has no vector."""
        result = np.full(len(rows), np.nan, dtype=np.float32)
        numbers = np.where(rows < 0, -1, self.numbers[rows])
        known = (numbers >= 0) & _has_length(vector[None])
        result[known] = np.einsum("ij,j->i", self.unit[numbers[known]], vector)
        return result

    def nearest(self, queries: NDArray[np.float32], depth: int) -> Iterator[NDArray[np.int64]]:
        """For each query the products of highest cosine, best first; none for a query without a vector.

        One matrix product for many queries finds who may be among them, ``cosines`` then decides. The two may differ by
        rounding, up to dimension · 2⁻²³ for unit vectors; what lies within twice that of the last place is kept.
        """
        size = max(1, _BLOCK // max(1, len(self.unit)))
        depth = min(depth, len(self.unit))
        for start in range(0, len(queries), size):
            block = queries[start : start + size]
            known = _has_length(block)
            for vector, answerable, rough in zip(
                block, known, np.where(known[:, None], block, 0) @ self.unit.T, strict=True
            ):
                if depth and answerable:
                    margin = 4 * len(vector) * 2.0**-23 * float(np.linalg.norm(vector))
                    rows = self.rows[rough >= np.partition(rough, -depth)[-depth] - margin]
                    yield rows[best(self.cosines(vector, rows), np.arange(len(rows)), depth)]
                else:
                    yield np.zeros(0, dtype=np.int64)


def unit_vectors(vectors: NDArray[np.float32]) -> Vectors:
    """Index one vector a product, scaled to unit length; a row that is zero or not finite is no vector."""
    vectors = vectors.astype(np.float32, copy=False)
    having = _has_length(vectors)
    rows = np.flatnonzero(having)
    kept = vectors if having.all() else vectors[having]
    lengths = _lengths(kept)
    # An encoder's rows are of unit length already; a copy of a large catalogue's vectors is worth avoiding.
    unit = kept if np.allclose(lengths, 1, rtol=0, atol=1e-5) else (kept / lengths[:, None]).astype(np.float32)
    numbers = np.full(len(vectors), -1, dtype=np.int64)
    numbers[rows] = np.arange(len(rows))
    return Vectors(unit, rows, numbers)


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    # In float64, where no square of a float32 overflows or vanishes.
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return lengths


def _has_length(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    lengths = _lengths(vectors)
    return np.isfinite(lengths) & (lengths > 0)
