"""Rows: what every engine yields, and how they become one matrix.

An engine is asked for the rows of distinct texts and yields them in whatever order it makes them, so that a file of vectors
can stand before it and keep what is made even when the work is broken off.

>>> import numpy as np
>>> class Lengths:
...     dimension = 1
...     def rows(self, texts, *, kind):
...         yield np.arange(len(texts)), np.array([[len(text)] for text in texts], dtype=np.float32)
>>> collect(Lengths(), ["a", "bcd", "a"], kind="query").tolist()
[[1.0], [3.0], [1.0]]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ltr.errors import EncoderError
from ltr.progress import bar

__all__ = ["Engine", "Kind", "Made", "Rows", "collect"]

Kind = Literal["product", "query"]

# Places in the texts asked for, and their vectors.
Made: TypeAlias = tuple[NDArray[np.intp], NDArray[np.float32]]

# Below this many texts a bar would only flicker.
_WORTH_A_BAR = 64


class Rows(Protocol):
    """What makes rows."""

    @property
    def dimension(self) -> int: ...  # noqa: D102
    def rows(self, texts: Sequence[str], *, kind: Kind) -> Iterator[Made]: ...  # noqa: D102


class Engine(Rows, Protocol):
    """An encoder that can have its vectors kept: ``runtime`` names the software whose upgrade may change the last bits."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def runtime(self) -> str: ...  # noqa: D102
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...  # noqa: D102
    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]: ...  # noqa: D102
    def save(self, directory: Path) -> None: ...  # noqa: D102


def collect(source: Rows, texts: Sequence[str], *, kind: Kind) -> NDArray[np.float32]:
    """Matrix of the rows of ``texts``, in their order; a text that is repeated is asked for once."""
    if isinstance(texts, str):
        raise EncoderError(f"texts is the string {texts[:40]!r}", hint="give a list of strings")
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    for text in places:
        if not isinstance(text, str):
            raise EncoderError(f"a text is {text!r}, not a string", hint="fill missing texts with '' first")
    matrix = np.empty((len(places), source.dimension), dtype=np.float32)
    noun = "queries" if kind == "query" else "products"
    if len(places) < _WORTH_A_BAR:
        for made, vectors in source.rows(list(places), kind=kind):
            matrix[made] = vectors
    else:
        with bar(f"encoding {noun}", total=len(places)) as advance:
            for made, vectors in source.rows(list(places), kind=kind):
                matrix[made] = vectors
                advance(len(made))
    if len(places) == len(texts):
        return matrix
    return matrix[[places[text] for text in texts]]
