"""The proof that a bundle does here what it did where it was saved, before it answers anyone.

Golden feature rows must score exactly. Vectors of golden queries must have a cosine of at least SAME with what the encoder
makes here: processors round differently, and another encoder is far from that. Bundles of before there were any have nothing
to prove.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.bundle_golden import QUERIES
from ltr.errors import BundleError, BundleMismatchError

if TYPE_CHECKING:
    from pathlib import Path

    from ltr.bundle import Bundle
    from ltr.encoders import Encoder

__all__ = ["SAME", "check_rows", "check_vectors", "read_vectors"]

SAME: Final = 0.999


def check_rows(bundle: Bundle, score: Callable[[NDArray[np.float32]], NDArray[np.float64]]) -> int:
    """How many golden rows there are, all of which score exactly as saved.

    Raises:
        BundleError: one does not; it names the first.
        BundleMismatchError: they are of other features.
    """
    golden = bundle.golden
    if golden is None:
        return 0
    names = bundle.ranker.features
    if lacking := [name for name in (*names, "query", "product_id", "score") if name not in golden.columns]:
        raise BundleMismatchError(f"{bundle.path}: the golden rows lack {lacking[:3]}", hint="train again")
    scores = score(golden.select(names).to_numpy().astype(np.float32, copy=False))
    saved = golden["score"].to_numpy()
    # As bits, so that neither NaN nor a sign of zero slips through.
    if len(differ := np.flatnonzero(scores.view(np.int64) != saved.view(np.int64))):
        at = int(differ[0])
        raise BundleError(
            f"{bundle.path}: {len(differ)} of {len(saved)} golden rows score otherwise than when the bundle was saved; the "
            f"first is product {golden['product_id'][at]!r} for {golden['query'][at]!r}: {scores[at]!r}, not {saved[at]!r}",
            hint="serve the bundle before it, and train again",
        )
    return len(saved)


def read_vectors(path: Path) -> pl.DataFrame | None:
    """Golden queries of a bundle: query, and its vector as the encoder made it when the bundle was saved; None without."""
    file = path / "model" / QUERIES
    if not file.is_file():
        return None
    try:
        return pl.read_parquet(file).select(pl.col("query").cast(pl.String), pl.col("vector"))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint="copy the bundle again, or train again") from error


def check_vectors(encoder: Encoder, golden: pl.DataFrame, *, where: str) -> int:
    """How many golden queries there are, all of which are encoded as when they were saved.

    Raises:
        BundleError: one is not; it names the first.
    """
    queries = golden["query"].to_list()
    saved = np.array(golden["vector"].to_list(), dtype=np.float64).reshape(len(queries), -1)
    made = encoder.encode_queries(queries).astype(np.float64)
    if made.shape != saved.shape:
        raise BundleError(
            f"{where}: golden query vectors have shape {saved.shape}, the encoder's {made.shape}", hint="train again"
        )
    norms = np.linalg.norm(saved, axis=1) * np.linalg.norm(made, axis=1)
    products = np.einsum("ij,ij->i", saved, made)
    # A text without words has no direction here and had none there.
    cosines = np.where(norms > 0, products / np.where(norms > 0, norms, 1), (saved == made).all(axis=1))
    # NaN is no vector either.
    if len(differ := np.flatnonzero(~(cosines >= SAME))):
        at = int(differ[0])
        raise BundleError(
            f"{where}: {len(differ)} of {len(queries)} golden queries are encoded otherwise than when the bundle was "
            f"saved; the first is {queries[at]!r}, of cosine {cosines[at]:.4f} where {SAME} is the least",
            hint="install the release of onnxruntime that it was saved with, or train again here",
        )
    return len(queries)
