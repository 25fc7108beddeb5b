"""Query vectors: the bundle's encoder, and the vectors of the queries that were asked last.

A shop's head queries are a large share of its searches; a query's vector is a function of its text, so what is kept has the
bits of what would be made.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.encoders import Encoder
from ltr.errors import EncoderError
from ltr.features.columns import Query
from ltr.features.definition import FeatureSet

__all__ = ["KEPT", "HeadQueries", "texts"]

KEPT: Final = 10_000  # vectors: 15 MB at 384 columns


@dataclass(frozen=True, eq=False)
class HeadQueries:
    """An encoder that remembers its last ``kept`` queries, whichever thread asked."""

    encoder: Encoder
    kept: int = KEPT
    _rows: OrderedDict[str, NDArray[np.float32]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self.encoder.name

    @property
    def digest(self) -> str:
        """Names the vectors."""
        return self.encoder.digest

    @property
    def dimension(self) -> int:
        """Columns of a vector."""
        return self.encoder.dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode products; they are not kept."""
        return self.encoder.encode(texts)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode queries, those that are not remembered."""
        if isinstance(texts, str):
            raise EncoderError(f"texts is the string {texts[:40]!r}", hint="give a list of strings")
        found: dict[str, NDArray[np.float32]] = {}
        with self._lock:
            for text in texts:
                if (row := self._rows.get(text)) is not None:
                    self._rows.move_to_end(text)
                    found[text] = row
        # Two threads may make the same vector at once, which costs less than waiting for each other.
        if fresh := [text for text in dict.fromkeys(texts) if text not in found]:
            made = [row.copy() for row in self.encoder.encode_queries(fresh)]
            found.update(zip(fresh, made, strict=True))
            with self._lock:
                self._rows.update(zip(fresh, made, strict=True))
                while len(self._rows) > self.kept:
                    self._rows.popitem(last=False)
        return np.array([found[text] for text in texts], dtype=np.float32).reshape(len(texts), self.dimension)

    def save(self, directory: Path) -> None:
        """Save the encoder."""
        self.encoder.save(directory)


def texts(query: str, feature_set: FeatureSet) -> list[str]:
    """What a set's features have encoded of a query: the whole of it, and the parts that they compare."""
    if not feature_set.encodes:
        return []
    if not feature_set.parts:
        return [query]
    parts = Query(query, feature_set.analyzer, {}).parts
    compared = [parts[part].text for part in feature_set.parts if parts[part].text or part == "wanted"]
    return list(dict.fromkeys([query, *compared]))
