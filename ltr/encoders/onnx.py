"""A sentence encoder in ONNX: onnxruntime and tokenizers, and nothing of what it was trained with.

One session of one thread serves all; parallel texts run it from parallel threads. So a query, encoded alone, has the same
bits whatever runs beside it and on however many threads. Float32 products go in batches of equal length, without
padding: neighbours then touch no more than the rounding of the last bits (cosine 1 − 1e-6). An int8 model quantises
activations by one scale for the whole batch, which moved single texts to a cosine of .954 from what they are alone
(MiniLM, movie titles); therefore int8 products are encoded alone, too, at three fifths of a batch's speed on titles and nine
tenths on long texts.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.encoders import saved
from ltr.encoders.rows import Kind, Made, collect
from ltr.errors import EncoderError, MissingExtraError

__all__ = ["OnnxEncoder", "restore"]

# Tokens a batch, at most: attention takes heads × length² floats a text.
_TOKENS: Final = 2_048
# Texts that are tokenised and sorted by length at a time.
_SLAB: Final = 4_096
# A text is cut before it is tokenised; English has some 4 characters a token.
_CHARACTERS_A_TOKEN: Final = 40
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class OnnxEncoder:
    """An exported model, its tokenizer and the directory that they came from."""

    header: saved.Saved
    directory: Path
    session: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    inputs: tuple[str, ...]
    runtime: str
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self.header.name

    @property
    def digest(self) -> str:
        """Names the vectors."""
        return self.header.digest

    @property
    def dimension(self) -> int:
        """Columns of a vector."""
        return self.header.dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode products."""
        return collect(self, texts, kind="product")

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode queries, each alone."""
        if len(texts) == 1 and isinstance(texts, list) and isinstance(texts[0], str):
            # What serving asks for, without what only many texts need.
            return self._run(np.array([self._tokenise(texts[0], "query")], dtype=np.int64))
        return collect(self, texts, kind="query")

    def rows(self, texts: Sequence[str], *, kind: Kind) -> Iterator[Made]:
        """Yield the rows of distinct texts, the longest of each slab first."""
        alone = kind == "query" or self.header.precision == "int8"
        for start in range(0, len(texts), _SLAB):
            tokens = [self._tokenise(text, kind) for text in texts[start : start + _SLAB]]
            batches = [[place] for place in range(len(tokens))] if alone else _by_length(tokens)
            batches.sort(key=lambda batch: -len(tokens[batch[0]]))
            made = self._run_all([np.array([tokens[place] for place in batch], dtype=np.int64) for batch in batches])
            for batch, vectors in zip(batches, made, strict=True):
                yield np.array(batch) + start, vectors

    def save(self, directory: Path) -> None:
        """Write model, tokenizer and header; hard links to the cache where that can be."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.header.files:
            saved.place(self.directory / name, directory / name)
        saved.write(self.header, directory)

    def _tokenise(self, text: str, kind: Kind) -> list[int]:
        text = text[: _CHARACTERS_A_TOKEN * self.header.max_length]
        if not text.isascii():
            text = _SURROGATE.sub("\ufffd", text)
        ids: list[int] = self.tokenizer.encode(self.header.prompts.get(kind, "") + text).ids
        return ids

    def _run_all(self, batches: list[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        workers = min(self.workers, len(batches))
        if workers < 2:
            yield from map(self._run, batches)
            return
        pool = ThreadPoolExecutor(workers)
        try:
            yield from pool.map(self._run, batches)
        finally:
            # After Ctrl-C, what has not begun does not begin.
            pool.shutdown(cancel_futures=True)

    def _run(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        # Texts of a batch are equally long and single, so nothing is masked and all is of the first type.
        feeds = dict.fromkeys(self.inputs, ids)
        if "attention_mask" in feeds:
            feeds["attention_mask"] = np.ones_like(ids)
        if "token_type_ids" in feeds:
            feeds["token_type_ids"] = np.zeros_like(ids)
        vectors: NDArray[np.float32] = self.session.run(None, feeds)[0]
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)[:, None]).astype(np.float32)
        return unit


def restore(header: saved.Saved, directory: Path) -> OnnxEncoder:
    """Load model and tokenizer from a directory whose files have been verified."""
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(error.name or "onnxruntime", "serve") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(header.max_length)
        session = onnxruntime.InferenceSession(
            str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
    # Both libraries raise bare exceptions of their own.
    except Exception as error:
        raise EncoderError(
            f"{directory} holds no model that onnxruntime {onnxruntime.__version__} loads ({error})",
            hint="install the newest onnxruntime, or save the encoder again",
        ) from error
    runtime = f"onnxruntime {onnxruntime.__version__} {platform.machine()}"
    inputs = tuple(entry.name for entry in session.get_inputs())
    return OnnxEncoder(header, directory, session, tokenizer, inputs, runtime)


def _by_length(tokens: list[list[int]]) -> list[list[int]]:
    """Places of texts of equal length, in batches of at most ``_TOKENS`` tokens."""
    batches = []
    for length, group in groupby(
        sorted(range(len(tokens)), key=lambda place: len(tokens[place])), lambda place: len(tokens[place])
    ):
        places = list(group)
        size = max(1, _TOKENS // max(1, length))
        batches += [places[start : start + size] for start in range(0, len(places), size)]
    return batches
