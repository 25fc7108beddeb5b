"""Feature hashing (Weinberger et al., ICML 2009) of words and their character n-grams (Bojanowski et al., TACL 2017).

    v_j = Σ_f [h(f) = j] · s(f) · w(f),   then v / ‖v‖

f runs over the words of the text and over the 3- and 4-grams of ‹word›, h and the sign s come from BLAKE2b, so that they
are the same on every machine and in every process. A word weighs 1 + ln tf, its n-grams together as much: a misspelt word
keeps most of its n-grams. Needs no model. A text without words has the zero vector, whose cosine with all is 0.

>>> encoder = HashingEncoder()
>>> near, same, far = encoder.encode_queries(["running shoes", "runing shoe", "garden hose"])
>>> bool(near @ same > 0.3 > near @ far)
True
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.encoders import saved
from ltr.encoders.rows import Kind, Made, collect
from ltr.text import fold

__all__ = ["DIMENSION", "HashingEncoder", "restore"]

DIMENSION: Final = 256

_DIGEST: Final = hashlib.sha256(f"ltr hashing 1, {DIMENSION}".encode()).hexdigest()
_WORD: Final = re.compile(r"\w+")
# Bounds, since queries come from outside: characters of a text and of a word.
_TEXT: Final = 10_000
_LETTERS: Final = 64
# Texts a step, so that progress shows and vectors are kept as they are made.
_STEP: Final = 1_024

Columns = tuple[NDArray[np.intp], NDArray[np.float64]]


@dataclass(frozen=True)
class HashingEncoder:
    """The encoder that needs no model; a vector is a function of its text alone, for products and queries alike."""

    name: str = "hashing"
    digest: str = _DIGEST
    dimension: int = DIMENSION
    runtime: str = ""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode products."""
        return collect(self, texts, kind="product")

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode queries."""
        return collect(self, texts, kind="query")

    def rows(self, texts: Sequence[str], *, kind: Kind) -> Iterator[Made]:
        """Yield the rows of distinct texts, some at a time."""
        words: dict[str, Columns] = {}
        for start in range(0, len(texts), _STEP):
            step = texts[start : start + _STEP]
            yield np.arange(start, start + len(step)), np.stack([_vector(text, words) for text in step])

    def save(self, directory: Path) -> None:
        """Write encoder.json: the name says it all."""
        saved.write(saved.Saved("hashing", self.name, self.digest, self.dimension), directory)


def restore(_header: saved.Saved, _directory: Path) -> HashingEncoder:
    """Restore the hashing encoder."""
    return HashingEncoder()


def _vector(text: str, words: dict[str, Columns]) -> NDArray[np.float32]:
    counts = Counter(_WORD.findall(fold(text[:_TEXT])))
    if not counts:
        return np.zeros(DIMENSION, dtype=np.float32)
    for word in counts.keys() - words.keys():
        words[word] = _columns(word[:_LETTERS])
    columns = np.concatenate([words[word][0] for word in counts])
    weights = np.concatenate([words[word][1] * (1 + math.log(count)) for word, count in counts.items()])
    total = np.bincount(columns, weights=weights, minlength=DIMENSION)
    norm = math.sqrt(total @ total)
    # Signed features may cancel out, if hardly ever.
    return (total / norm if norm > 0 else total).astype(np.float32)


def _columns(word: str) -> Columns:
    marked = f"<{word}>"
    grams = [marked[start : start + n] for n in (3, 4) for start in range(len(marked) - n + 1)]
    weights = [1.0] + [1 / math.sqrt(len(grams))] * len(grams)
    hashed = np.array([_hash(feature) for feature in (f"= {word}", *grams)], dtype=np.uint64)
    signs = 1.0 - 2.0 * (hashed & np.uint64(1)).astype(np.float64)
    return ((hashed >> np.uint64(1)) % DIMENSION).astype(np.intp), signs * weights


def _hash(feature: str) -> int:
    return int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
