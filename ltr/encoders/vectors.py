"""The file of vectors: what an encoder has made once is read back, never made again.

    <cache>/vectors/<digest>/index            header (magic, dimension, generation), then a record a row: key, checksum
    <cache>/vectors/<digest>/<generation>.f32  float32 rows
    <cache>/vectors/<digest>/lock              held by the one who appends

The key is the SHA-256 of kind, runtime and text; the checksum is the CRC-32 of key and row. Rows are written before their
records, so what a crash leaves behind is no row, and the next to append writes over it. Readers take no lock. A file that
turns out to be damaged is replaced by a new generation, with a warning: one rename switches index and rows together, and
who still reads the old rows keeps them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import uuid
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.encoders.rows import Engine, Kind, Made, collect
from ltr.errors import EncoderError

__all__ = ["Remembered", "VectorFile", "key", "remember"]

_HEADER: Final = struct.Struct("<8sI32s")
_RECORD: Final = struct.Struct("<32sI")
_MAGIC: Final = b"ltrvec 1"
# Rows that Ctrl-C or a crash may cost.
_APPEND: Final = 512


def remember(engine: Engine, *, cache: Path) -> Remembered:
    """Put the file of vectors in ``cache`` before an engine."""
    return Remembered(engine, VectorFile(cache / "vectors" / engine.digest, engine.dimension))


def key(text: str, *, kind: Kind, runtime: str) -> bytes:
    """Name a row: SHA-256 of kind, runtime and text."""
    return hashlib.sha256(f"{kind}\0{runtime}\0{text}".encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Remembered:
    """An engine behind its file of vectors."""

    engine: Engine
    file: VectorFile

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self.engine.name

    @property
    def digest(self) -> str:
        """Names the vectors."""
        return self.engine.digest

    @property
    def dimension(self) -> int:
        """Columns of a vector."""
        return self.engine.dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode products, each once and for all."""
        return collect(self, texts, kind="product")

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode queries, each once and for all."""
        return collect(self, texts, kind="query")

    def save(self, directory: Path) -> None:
        """Save the engine; the vectors stay in the cache."""
        self.engine.save(directory)

    def rows(self, texts: Sequence[str], *, kind: Kind) -> Iterator[Made]:
        """Yield the rows of distinct texts: those that are on file, then those that have to be made."""
        keys = [key(text, kind=kind, runtime=self.engine.runtime) for text in texts]
        known, vectors = self.file.read(keys)
        yield known, vectors
        missing = np.setdiff1d(np.arange(len(texts)), known)
        if not missing.size:
            return
        waiting: list[Made] = []
        try:
            for made, fresh in self.engine.rows([texts[place] for place in missing], kind=kind):
                waiting.append((missing[made], fresh))
                yield waiting[-1]
                if sum(len(places) for places, _ in waiting) >= _APPEND:
                    self._keep(keys, waiting)
        except BaseException:
            # Above all Ctrl-C: its reason is what the user must see, so a full disk is passed over here.
            with suppress(EncoderError):
                self._keep(keys, waiting)
            raise
        self._keep(keys, waiting)

    def _keep(self, keys: Sequence[bytes], waiting: list[Made]) -> None:
        if waiting:
            places = np.concatenate([places for places, _ in waiting])
            vectors = np.concatenate([vectors for _, vectors in waiting])
            waiting.clear()
            self.file.append([keys[place] for place in places], vectors)


@dataclass
class VectorFile:
    """Rows by key in a directory that several processes may share; remembers what of the index it has read."""

    directory: Path
    dimension: int
    _generation: bytes = b""
    _rows: dict[bytes, tuple[int, int]] = field(default_factory=dict, repr=False)  # key -> row, checksum
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def read(self, keys: Sequence[bytes]) -> Made:
        """Places of the keys that are on file, and their rows; every row is checked."""
        nothing = np.empty(0, dtype=np.intp), np.empty((0, self.dimension), dtype=np.float32)
        with self._lock:
            try:
                self._refresh()
                found = [(place, *self._rows[name]) for place, name in enumerate(keys) if name in self._rows]
                if not found:
                    return nothing
                stored = np.memmap(self._data, dtype="<f4", mode="r", shape=(self._count, self.dimension))
                vectors = np.array(stored[[row for _, row, _ in found]], dtype=np.float32)
                for (place, _, checksum), vector in zip(found, vectors, strict=True):
                    if _checksum(keys[place], vector) != checksum:
                        raise _DamageError("a row is not what was written")
            except (_DamageError, ValueError, FileNotFoundError) as error:
                self._replace(error)
                return nothing
            except OSError as error:
                raise self._failed(error) from error
            return np.array([place for place, _, _ in found], dtype=np.intp), vectors

    def append(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Add rows; what another process has added since is left out."""
        with self._lock:
            try:
                with self._locked():
                    try:
                        self._refresh()
                    except (_DamageError, FileNotFoundError) as error:
                        self._warn(error)
                        self._begin()
                    if not self._generation:
                        self._begin()
                    self._write(keys, vectors)
            except OSError as error:
                raise self._failed(error) from error

    @property
    def _data(self) -> Path:
        return self.directory / f"{self._generation.decode()}.f32"

    def _write(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        new = [place for place, name in enumerate(keys) if name not in self._rows]
        rows = np.ascontiguousarray(vectors[new], dtype="<f4")
        records = [(keys[place], _checksum(keys[place], row)) for place, row in zip(new, rows, strict=True)]
        _write_at(self._data, self._count * self.dimension * 4, rows.tobytes())
        _write_at(
            self.directory / "index",
            _HEADER.size + self._count * _RECORD.size,
            b"".join(_RECORD.pack(*record) for record in records),
        )
        for name, checksum in records:
            self._rows[name] = (self._count, checksum)
            self._count += 1

    def _refresh(self) -> None:
        """Read what has been added to the index, all of it where the generation is another."""
        try:
            stream = (self.directory / "index").open("rb")
        except FileNotFoundError:
            self._forget(b"")
            return
        with stream:
            header = stream.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise _DamageError("its index has no header")
            magic, dimension, generation = _HEADER.unpack(header)
            if magic != _MAGIC or dimension != self.dimension or not generation.isalnum():
                raise _DamageError("its index has another header")
            if generation != self._generation:
                self._forget(generation)
            stream.seek(_HEADER.size + self._count * _RECORD.size)
            records = stream.read()
        # A torn record at the end is one that is still being written, or never will be.
        for start in range(0, len(records) - _RECORD.size + 1, _RECORD.size):
            name, checksum = _RECORD.unpack_from(records, start)
            self._rows[name] = (self._count, checksum)
            self._count += 1
        if self._data.stat().st_size < self._count * self.dimension * 4:
            raise _DamageError("rows are missing")

    def _forget(self, generation: bytes) -> None:
        self._generation, self._rows, self._count = generation, {}, 0

    def _replace(self, error: Exception) -> None:
        """Begin anew, unless another process has done so already."""
        damaged = self._generation
        self._warn(error)
        try:
            with self._locked():
                with suppress(_DamageError, FileNotFoundError):
                    self._refresh()
                    if self._generation != damaged:
                        return
                self._begin()
        except OSError as failure:
            raise self._failed(failure) from failure

    def _begin(self) -> None:
        """Switch to an empty generation; called with the lock held."""
        generation = uuid.uuid4().hex.encode()
        (self.directory / f"{generation.decode()}.f32").touch()
        draft = self.directory / "index.draft"
        draft.write_bytes(_HEADER.pack(_MAGIC, self.dimension, generation))
        os.replace(draft, self.directory / "index")
        self._forget(generation)
        for old in self.directory.glob("*.f32"):
            if old != self._data:
                old.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # released when the file is closed
            yield

    def _warn(self, error: Exception) -> None:
        warnings.warn(
            f"{self.directory}: the vectors kept there are damaged ({error}); they are made again", stacklevel=2
        )

    def _failed(self, error: OSError) -> EncoderError:
        return EncoderError(
            f"vectors cannot be kept in {str(self.directory)!r}: {error.strerror or error}",
            hint="free some space there, or choose another cache directory",
        )


class _DamageError(Exception):
    """The files are not what was written."""


def _checksum(name: bytes, vector: NDArray[np.float32]) -> int:
    return zlib.crc32(vector.tobytes(), zlib.crc32(name))


def _write_at(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(content)
