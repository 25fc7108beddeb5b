"""A few texts over which two forms of one model are compared before the newer one is trusted.

They differ in length, script and case, since a trace that froze one of these would pass on texts like the one traced.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLE", "cosines"]

SAMPLE: Final = (
    "sofa",
    "Wireless NOISE-CANCELLING headphones",
    "men's waterproof hiking boots, size 42.5",
    "Crème brûlée torch (für die Küche)",
    "無線ヘッドホン",
    "A retired detective returns to the harbour town of his childhood, where the ferry that sank forty years ago "
    "is seen again on a foggy night, and nobody but the baker's daughter believes him.",
    "stackable storage box with lid, 45 x 30 x 20 cm, clear plastic, for clothes, toys and shoes; " * 20,
)


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each row of one matrix with the same row of the other; −1 where either is not finite."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    cosine: NDArray[np.float64] = np.einsum("ij,ij->i", a, b) / np.maximum(norms, 1e-300)
    return np.nan_to_num(cosine, nan=-1.0)
