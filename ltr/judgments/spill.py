"""Rows parted by a hash, in memory while they are few and on disk beyond, so that each part fits in memory by itself.

The partitioning phase of the Grace hash join (Kitsuregawa, Tanaka & Moto-oka, New Generation Computing 1983). Rows keep
their order within a part. Written as Arrow without compression: that is three times as fast as Parquet, and soon removed.

>>> spill = Spill(None, parts=1, key="k")
>>> spill.add(pl.DataFrame({"k": [7], "v": ["a"]}))
>>> spill.part(0)["v"].to_list()
['a']
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Spill"]

# Rows that are held before they are written; some 250 bytes each.
_HELD: Final = 1 << 19


class Spill:
    """Frames of one schema, added in any number and read back a part at a time.

    Args:
        directory: where files are written, made when they are; None = nowhere, for one part.
        parts: how many; one stays in memory.
        key: an unsigned hash; a row is in part key mod parts.
    """

    def __init__(self, directory: Path | None, *, parts: int, key: str) -> None:
        self._directory, self._parts, self._key = directory, parts, key
        self._held: list[pl.DataFrame] = []
        self._rows = 0
        self._files: list[tuple[Path, NDArray[np.int64]]] = []
        self._empty: pl.DataFrame | None = None

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return self._parts

    def add(self, frame: pl.DataFrame) -> None:
        """Take in rows."""
        if self._empty is None:
            self._empty = frame.clear()
        self._held.append(frame)
        self._rows += frame.height
        if self._parts > 1 and self._rows >= _HELD:
            self._write()

    def part(self, number: int) -> pl.DataFrame:
        """The rows of a part, in the order in which they came."""
        if self._parts == 1:
            return pl.concat(self._held) if self._held else pl.DataFrame()
        if self._held:
            self._write()
        empty = self._empty if self._empty is not None else pl.DataFrame()
        frames = [
            pl.scan_ipc(path).slice(int(ends[number]), int(ends[number + 1] - ends[number])).collect()
            for path, ends in self._files
            if ends[number + 1] > ends[number]
        ]
        # Columns that a file lacks are null in it.
        return pl.concat([empty, *frames], how="diagonal")

    def close(self) -> None:
        """Remove what was written and forget what is held."""
        self._held, self._files = [], []
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _write(self) -> None:
        if self._directory is None:
            raise ValueError("a spill of several parts needs a directory")
        self._directory.mkdir(parents=True, exist_ok=True)
        frame = pl.concat(self._held)
        self._held, self._rows = [], 0
        part = (frame[self._key] % self._parts).cast(pl.UInt16).to_numpy()
        order = np.argsort(part, kind="stable")
        ends = np.zeros(self._parts + 1, np.int64)
        np.cumsum(np.bincount(part, minlength=self._parts), out=ends[1:])
        path = self._directory / f"{len(self._files):06}.arrow"
        said = [name for name in frame.columns if frame[name].null_count() < frame.height]
        frame.select(said)[order].write_ipc(path, compression="uncompressed")
        self._files.append((path, ends))
