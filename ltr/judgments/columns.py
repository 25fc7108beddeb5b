"""Columns of a block of JSON lines: texts, numbers, times and the elements of arrays.

>>> table = Table.of({"id": ("id",), "at": ("at",), "n": ("n",)})
>>> wanted = Wanted(table, texts={"id": [0]}, codes={}, integers={"n": 2}, instant=1)
>>> found = columns(padded(b'{"id": "7", "at": "1970-01-01T00:00:01Z", "n": 3}\\n{"id": 8, "n": "x"}'), wanted)
>>> found.texts((["id"], None))[0]["id"].to_list(), found.instants[0].tolist(), [each.tolist() for each in found.integers["n"]]
(['7', '8'], [1000000, 0], [[3, 0], [1, 4]])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments import jsonvalues
from ltr.judgments.jsonbytes import padded
from ltr.judgments.jsonvalues import BAD, EPOCH, FINE, NO_ZONE
from ltr.judgments.scanner import KINDS, STATES, Rows, Table, scan

__all__ = [
    "BAD",
    "EPOCH",
    "FINE",
    "KINDS",
    "NO_ZONE",
    "STATES",
    "UNITS",
    "Columns",
    "Table",
    "Wanted",
    "columns",
    "padded",
]

# Units of numbers that count from 1970; "" is told by how large the number is.
UNITS: Final = {"": 0, "s": 1, "ms": 2, "us": 3, "ns": 4}
_ARRAY: Final = KINDS.index("array")


@dataclass(frozen=True)
class Wanted:
    """The columns to make of lines; slots are those of ``table``, of a column's the first that is given.

    Args:
        table: the members to keep.
        texts: by name, the slots of String columns; the empty text is null.
        codes: by name, the slot of a text with few different values.
        integers: by name, the slot of whole numbers.
        instant: the slot of a time.
        unit: of times that are numbers: s, ms, us, ns, or "" where their size tells.
        arrays: slots whose elements are wanted.
        unhashed: texts whose hash is not wanted.
    """

    table: Table
    texts: Mapping[str, Sequence[int]]
    codes: Mapping[str, int]
    integers: Mapping[str, int]
    instant: int
    unit: str = ""
    arrays: Sequence[int] = ()
    unhashed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Columns:
    """What a block of lines holds; a row is an object, or a faulty line.

    Args:
        states: an index into ``STATES`` by row.
        lines: the row's line, 0 = the block's first.
        kinds: slot × row, an index into ``KINDS``.
        hashes: by name, of each row's text or number, 0 where there is none.
        codes: by name, the number of each row's text, -1 where there is none, and the texts by number.
        integers: by name, whole numbers, also of texts and with a fraction of zeros, and ``FINE``, ``BAD`` or 0 where none.
        instants: µs since 1970 UTC of ISO 8601 or of numbers, and ``FINE``, ``NO_ZONE`` (taken as UTC), ``EPOCH``, ``BAD``
            or 0.
        elements: ``row``, ``rank`` (1 = first), ``text`` and ``hash`` of each array's elements; of others than texts and
            numbers the text is null.
        line_count: lines of the block, blank ones too.
    """

    states: NDArray[np.uint8]
    lines: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    hashes: dict[str, NDArray[np.uint64]]
    codes: dict[str, tuple[NDArray[np.int32], list[str]]]
    integers: dict[str, tuple[NDArray[np.int64], NDArray[np.uint8]]]
    instants: tuple[NDArray[np.int64], NDArray[np.uint8]]
    elements: pl.DataFrame
    line_count: int
    _values: NDArray[np.uint8]
    _spans: Mapping[str, tuple[NDArray[Any], ...]]

    def texts(self, *wanted: tuple[Sequence[str], NDArray[np.int64] | None]) -> list[pl.DataFrame]:
        """String columns by name, of these rows (None = all), for each that is wanted: a number is its text, "" is null."""
        spans = [
            {
                name: self._spans[name] if rows is None else tuple(each[rows] for each in self._spans[name])
                for name in names
            }
            for names, rows in wanted
        ]
        return _strings(self._values, spans)


def columns(data: NDArray[np.uint8], wanted: Wanted) -> Columns:
    """Read a padded block of lines."""
    making = _Making(data, wanted)
    rows = None
    for rows in scan(data, wanted.table):
        making.add(rows)
    return making.made(rows)


class _Making:
    """Columns under way: each handful of rows is worked out while it is in the processor's cache."""

    def __init__(self, data: NDArray[np.uint8], wanted: Wanted) -> None:
        self._wanted = wanted
        most = max((len(slots) for slots in wanted.texts.values()), default=1)
        self._slots = np.array([[*slots, *[-1] * (most - len(slots))] for slots in wanted.texts.values()], np.int64)
        self._rows, self._room = 0, max(64, len(data) // 128)
        self._hashed = np.array([name not in wanted.unhashed for name in wanted.texts], np.bool_)
        self._arrays: dict[str, NDArray[Any]] = {
            "states": np.empty(self._room, np.uint8),
            "lines": np.empty(self._room, np.int64),
            "kinds": np.empty((self._room, len(wanted.table.names)), np.uint8),
            "at": np.empty(self._room, np.int64),
            "at state": np.empty(self._room, np.uint8),
            "begins": np.empty((self._room, len(wanted.texts)), np.uint32),
            "sizes": np.empty((self._room, len(wanted.texts)), np.uint32),
            "hashes": np.empty((self._room, len(wanted.texts)), np.uint64),
        }
        for name in wanted.codes:
            self._arrays[f"code {name}"] = np.empty(self._room, np.int32)
        for name in wanted.integers:
            self._arrays[f"integer {name}"] = np.empty(self._room, np.int64)
            self._arrays[f"state {name}"] = np.empty(self._room, np.uint8)
        # Room for as many texts as there may be rows; pages that are not touched cost nothing.
        self._known = {name: self._dictionary(len(data)) for name in wanted.codes}
        self._counts = dict.fromkeys(wanted.codes, 0)
        self._elements: list[NDArray[np.int64]] = []

    def add(self, rows: Rows) -> None:
        first, count = self._rows, len(rows.states)
        while first + count > self._room:
            self._grow()
        end = self._rows = first + count
        own = {name: array[first:end] for name, array in self._arrays.items()}
        own["states"][:], own["lines"][:], own["kinds"][:] = rows.states, rows.lines, rows.kinds

        def spans(slot: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
            return rows.values, rows.starts[:, slot], rows.lengths[:, slot], rows.kinds[:, slot]

        told = rows.values, rows.kinds, rows.starts, rows.lengths
        jsonvalues.spans(*told, self._slots, self._hashed, own["begins"], own["sizes"], own["hashes"])
        own["at"][:], own["at state"][:] = 0, 0
        unit = UNITS[self._wanted.unit]
        jsonvalues.instants(*spans(self._wanted.instant), unit, own["at"], own["at state"])
        for name, slot in self._wanted.integers.items():
            own[f"integer {name}"][:], own[f"state {name}"][:] = 0, 0
            jsonvalues.integers(*spans(slot), own[f"integer {name}"], own[f"state {name}"])
        for name, slot in self._wanted.codes.items():
            known, count = self._known[name], self._counts[name]
            self._counts[name] = jsonvalues.codes(*spans(slot), *known, count, own[f"code {name}"])
        for slot in self._wanted.arrays:
            if (rows.kinds[:, slot] == _ARRAY).any():
                self._add_elements(rows, slot, first)

    def made(self, rows: Rows | None) -> Columns:
        end = self._rows
        arrays = {name: array[:end] for name, array in self._arrays.items()}
        values = rows.values[: rows.used + 1] if rows is not None else np.zeros(1, np.uint8)
        spans = {name: (arrays["begins"][:, at], arrays["sizes"][:, at]) for at, name in enumerate(self._wanted.texts)}
        elements = np.concatenate([np.empty((0, 5), np.int64), *self._elements])
        ids = (elements[:, 2].astype(np.uint32), elements[:, 3].astype(np.uint32))
        (text,) = _strings(values, [{"text": ids}])
        return Columns(
            states=arrays["states"],
            lines=arrays["lines"],
            kinds=arrays["kinds"].T,
            hashes={
                name: np.ascontiguousarray(arrays["hashes"][:, at])
                for at, name in enumerate(self._wanted.texts)
                if self._hashed[at]
            },
            codes={name: (arrays[f"code {name}"], self._names(name, values)) for name in self._wanted.codes},
            integers={name: (arrays[f"integer {name}"], arrays[f"state {name}"]) for name in self._wanted.integers},
            instants=(arrays["at"], arrays["at state"]),
            elements=text.select(
                pl.Series("row", elements[:, 0].astype(np.uint32)),
                pl.Series("rank", elements[:, 1].astype(np.int32)),
                "text",
                pl.Series("hash", elements[:, 4].view(np.uint64)),
            ),
            line_count=rows.line_count if rows is not None else 0,
            _values=values,
            _spans=spans,
        )

    def _grow(self) -> None:
        self._room *= 2
        self._arrays = {name: np.concatenate([each, np.empty_like(each)]) for name, each in self._arrays.items()}

    def _dictionary(self, size: int) -> tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.uint32]]:
        # An object with a member has at least six bytes.
        most = max(64, size // 6)
        return np.zeros(1 << (2 * most).bit_length(), np.int32), np.empty(most, np.uint32), np.empty(most, np.uint32)

    def _names(self, name: str, values: NDArray[np.uint8]) -> list[str]:
        _, begins, sizes = self._known[name]
        spans = zip(begins[: self._counts[name]].tolist(), sizes[: self._counts[name]].tolist(), strict=True)
        return [values[begin : begin + size].tobytes().decode() for begin, size in spans]

    def _add_elements(self, rows: Rows, slot: int, first: int) -> None:
        spans = rows.values, rows.starts[:, slot], rows.lengths[:, slot], rows.kinds[:, slot]
        found = np.empty((jsonvalues.elements(*spans, np.empty((0, 5), np.int64)), 5), np.int64)
        jsonvalues.elements(*spans, found)
        found[:, 0] += first
        self._elements.append(found)


def _strings(values: NDArray[np.uint8], frames: Sequence[Mapping[str, tuple[NDArray[Any], ...]]]) -> list[pl.DataFrame]:
    """String columns of the bytes from so many on, null where there are none."""
    given = [span for frame in frames for span in frame.values() if span[1].any()]
    text = pl.Series(dtype=pl.String)
    if given:
        blob = pl.Series(values).reshape((1, -1)).cast(pl.List(pl.UInt8)).cast(pl.Binary)
        # All columns in one slice, since each slice of a literal copies it.
        whole = pl.DataFrame(
            {part: np.concatenate([span[at] for span in given]) for at, part in enumerate(("start", "length"))}
        )
        text = whole.select(
            pl.when(pl.col("length") > 0).then(pl.lit(blob).first().bin.slice("start", "length").cast(pl.String))
        ).to_series()
    made, at = [], 0
    for frame in frames:
        columns = []
        for name, (_, sizes) in frame.items():
            if sizes.any():
                columns.append(text[at : at + len(sizes)].alias(name))
                at += len(sizes)
            else:
                columns.append(pl.repeat(None, len(sizes), dtype=pl.String, eager=True).alias(name))
        made.append(pl.DataFrame(columns))
    return made
