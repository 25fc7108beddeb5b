"""An encoder that takes the vectors of a state where it has the text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ltr.features.terms import read, sentences

if TYPE_CHECKING:
    from ltr.encoders import Encoder
    from ltr.features.state import State

__all__ = ["Reusing"]


class Reusing:
    """The encoder of a state, and all that the state has encoded; counts what it had to encode.

    Args:
        encoder: the one that made the state's vectors.
        state: where they are.
    """

    def __init__(self, encoder: Encoder, state: State) -> None:
        self._encoder = encoder
        self._known = _known(state)
        self.encoded = self.reused = 0

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self._encoder.name

    @property
    def digest(self) -> str:
        """Of the encoder."""
        return self._encoder.digest

    @property
    def dimension(self) -> int:
        """Of the encoder."""
        return self._encoder.dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of products' texts; each new text is encoded once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= dict(zip(new, self._encoder.encode(new), strict=True))
        self.encoded += len(new)
        self.reused += len(set(texts)) - len(new)
        found = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            found[row] = self._known[text]
        return found

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the encoder does."""
        return self._encoder.encode_queries(texts)

    def save(self, directory: Path) -> None:
        """As the encoder does."""
        self._encoder.save(directory)


def _known(state: State) -> dict[str, NDArray[np.float32]]:
    """Each text that the state has a vector of."""
    known: dict[str, NDArray[np.float32]] = {}
    for source in state.schema.sources:
        if source.form == "vectors":
            texts = [". ".join(cells) for cells in read(state.products, source.fields)]
            known |= zip(texts, state.vectors[source.key], strict=True)
        elif source.form == "sentences":
            told = [text for cells in read(state.products, source.fields) for text in sentences(cells)]
            known |= zip(told, state.sentences[source.key].vectors, strict=True)
    return known
