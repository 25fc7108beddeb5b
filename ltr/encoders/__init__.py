"""Encoders: text to vectors, so that the cosine of a query and a product is a feature.

The contract: an engine makes rows (``onnx``, ``hashing``); ``load`` puts ``vectors``, a file of all rows ever made, before
it, ``restore`` does not, so serving needs onnxruntime and tokenizers only. sentence-transformers is loaded where a model
has to be exported, once (``sentence``). A query is encoded alone, so its vector is a function of its text, bit for bit; a
product's vector is one too but for the last bits that a float32 batch may round differently. The two are kept apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ltr.config import EncoderConfig

__all__ = ["Encoder", "load", "restore"]

# onnxruntime would tell its makers which models run on which processors (1.29 on; read when it is imported).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Encoder(Protocol):
    """Texts to L2-normalised float32 rows; ``save`` writes all that ``restore`` needs. Equal digests, equal vectors."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def dimension(self) -> int: ...  # noqa: D102
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...  # noqa: D102
    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]: ...  # noqa: D102
    def save(self, directory: Path) -> None: ...  # noqa: D102


def load(config: EncoderConfig, *, cache: Path) -> Encoder:
    """Find the encoder that ``config.model`` names, export it if it is new here, and remember all it encodes.

    Args:
        config: model and precision; relative paths start from the working directory.
        cache: the directory for exported models (``encoders/<digest>``) and for vectors (``vectors/<digest>``).

    Raises:
        EncoderError: the model is not to be found, is not understood, or the cache cannot be written.
    """
    from ltr.encoders.resolve import engine
    from ltr.encoders.vectors import remember

    return remember(engine(config, cache=cache), cache=cache)


def restore(directory: Path, *, cache: Path | None = None) -> Encoder:
    """Load what ``save`` wrote, after checking it against its hashes; with a cache, nothing is encoded twice."""
    from ltr.encoders import saved

    engine = saved.restore(directory)
    if cache is None:
        return engine
    from ltr.encoders import vectors

    return vectors.remember(engine, cache=cache)
