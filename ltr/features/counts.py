"""Behaviour counts: what was shown, clicked and bought, by key and whole UTC day.

Every count is a whole number (examined impressions in units of 2⁻²⁰, revenue in hundredths), so a sum has the same bits in
whatever order the log was read. What a key did before a day is the difference of two running sums.

A row of the log counts on the day of the last that is known of it: the day it was shown, or that of clicked_at where that
is later. So a day that has ended never changes with what is logged afterwards.

>>> day("2024-05-01T23:59:59Z") - day("2024-05-01") , day("2024-05-02T01:00:00+02:00") - day("2024-05-01")
(0, 0)
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import BundleError, DataError
from ltr.features.params import Key
from ltr.features.terms import plain, read
from ltr.judgments.wording import query_key

__all__ = ["UNITS", "Behaviour", "Level", "day", "key_of", "load", "values_of"]

# What can be counted, and the unit of one count.
UNITS: Final = {
    "impressions": 1.0,
    "examined": 2.0**-20,
    "clicks": 1.0,
    "add_to_carts": 1.0,
    "purchases": 1.0,
    "revenue": 0.01,
}

# Of a query's characters: a longer one is no query that comes again.
_LONGEST: Final = 1_000
# Cells have to be told apart by int64.
_MOST: Final = 2**62
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class Level:
    """The counts of one key by day.

    Args:
        keys: the keys' numbers, ascending.
        bounds: entries bounds[i] to bounds[i + 1] are those of key i.
        days: of each entry, days since 1970-01-01, ascending within a key.
        sums: measure -> running sums: entries i to j − 1 come to sums[j] − sums[i].
    """

    keys: NDArray[np.int64]
    bounds: NDArray[np.int64]
    days: NDArray[np.int32]
    sums: Mapping[str, NDArray[np.int64]]

    @classmethod
    def of(cls, key: NDArray[np.int64], days: NDArray[np.int32], counts: Mapping[str, NDArray[Any]]) -> Level:
        """Sum by key and day; days on which nothing was counted are left out.

        Args:
            key: of each row, from 0 on.
            days: of each row.
            counts: measure -> uint8, int32 or int64 of each row.
        """
        from ltr.features import windows

        if not counts.keys() & {"impressions", "examined"} and len(key):
            some = reduce(or_, (values != 0 for values in counts.values()))
            key, days, counts = key[some], days[some], {name: values[some] for name, values in counts.items()}
        first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)
        span, known = last - first + 1, None
        if int(key.max(initial=0)) * span >= _MOST:
            known, key = np.unique(key, return_inverse=True)
        cells = windows.cells(key, days, first, last)
        greatest = int(cells.max(initial=0))
        if greatest < 2 * len(cells):
            # A place for every key and day is little more than what is summed.
            counts = {name: windows.placed(values, cells, greatest + 1) for name, values in counts.items()}
            there = np.zeros(greatest + 1, dtype=np.bool_)
            there[cells] = True
            cells = np.flatnonzero(there)
            rows = cells.astype(np.uint32)
        elif (cells[1:] < cells[:-1]).any():
            cells, rows = windows.ordered(cells, greatest)
        else:
            rows = np.arange(len(cells), dtype=np.uint32)
        keys, bounds, days, starts = windows.laid(cells, first, last)
        sums = {name: windows.running(values, rows, starts) for name, values in counts.items()}
        return cls(keys if known is None else known[keys], bounds, days, sums)

    def table(self) -> pl.DataFrame:
        """The table that it was made of."""
        key, counts = (
            np.repeat(self.keys, np.diff(self.bounds)),
            {name: np.diff(each) for name, each in self.sums.items()},
        )
        return pl.DataFrame({"key": key, "day": self.days, **counts})


@dataclass(frozen=True, eq=False)
class Behaviour:
    """What shoppers did before a day.

    Args:
        until: the day, since 1970-01-01; events of earlier days are counted.
        names: what the numbers in keys stand for, in ascending order: "query" -> normalised texts, "product" -> ids, a
            catalogue field -> its values in plain form.
        levels: the counts by key.
        examination: by position, from the first on; that of the last holds for all below it. None = not known.
    """

    until: int
    names: Mapping[str, pl.Series]
    levels: Mapping[Key, Level]
    examination: NDArray[np.float64] | None = None

    def query(self, text: str) -> int:
        """The number of a query; −1 for one that nobody asked."""
        return _find(self.names["query"], key_of(text)) if "query" in self.names else -1

    def numbers(self, name: str, wanted: pl.Series) -> NDArray[np.int64]:
        """The number of each product or value; −1 where there is none."""
        known = pl.DataFrame({"name": self.names[name]}).with_row_index("number")
        found = pl.DataFrame({"name": wanted}).join(known, on="name", how="left", maintain_order="left")
        return found["number"].cast(pl.Int64).fill_null(-1).to_numpy()

    def place(self, key: Key, numbers: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Key numbers from those of query, product and field; −1 where one is −1."""
        first, *others = key.parts
        found = numbers[first].astype(np.int64, copy=False)
        for part in others:
            size, lacking = len(self.names[key.field if part == "field" else part]), (found < 0) | (numbers[part] < 0)
            found = found * size + numbers[part]
            found[lacking] = -1
        return found

    @property
    def totals(self) -> dict[str, float]:
        """All that was counted, by measure."""
        # Of a field, what products without a value did is not counted, so those come last.
        keys = sorted(self.levels, key=lambda key: "field" in key.parts, reverse=True)
        found = {name: int(sums[-1]) * UNITS[name] for key in keys for name, sums in self.levels[key].sums.items()}
        return {measure: found[measure] for measure in UNITS if measure in found}

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(f"{self.until}\n".encode())
        for name, series in sorted(self.names.items()):
            digest.update(json.dumps([name, *series.to_list()]).encode())
        for key, level in sorted(self.levels.items()):
            digest.update(f"{key}\n".encode())
            arrays: list[NDArray[Any]] = [level.keys, level.bounds, level.days]
            for array in (*arrays, *(level.sums[name] for name in sorted(level.sums))):
                digest.update(np.ascontiguousarray(array).data)
        if self.examination is not None:
            digest.update(self.examination.tobytes())
        return digest.hexdigest()

    def save(self, directory: Path) -> None:
        """Write it into a directory, which is made."""
        directory.mkdir()
        keys = sorted(self.levels)
        header = {
            "until": self.until,
            "names": sorted(self.names),
            "levels": [{"parts": key.parts, "field": key.field} for key in keys],
            "examination": None if self.examination is None else self.examination.tolist(),
        }
        for number, name in enumerate(sorted(self.names)):
            pl.DataFrame({"name": self.names[name]}).write_parquet(directory / f"names.{number}.parquet")
        for number, key in enumerate(keys):
            self.levels[key].table().write_parquet(directory / f"level.{number}.parquet")
        (directory / "behaviour.json").write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")


def load(directory: Path) -> Behaviour:
    """Read what ``Behaviour.save`` wrote; BundleError where it is not that."""
    try:
        header = json.loads((directory / "behaviour.json").read_text(encoding="utf-8"))
        names = {
            name: pl.read_parquet(directory / f"names.{number}.parquet")["name"]
            for number, name in enumerate(header["names"])
        }
        levels = {
            Key(tuple(key["parts"]), key["field"]): _level(pl.read_parquet(directory / f"level.{number}.parquet"))
            for number, key in enumerate(header["levels"])
        }
        examination = header["examination"]
        return Behaviour(
            header["until"], names, levels, None if examination is None else np.array(examination, dtype=np.float64)
        )
    except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise BundleError(
            f"{directory} cannot be read: {error}", hint="copy the bundle again, or train again"
        ) from error


def day(time: str) -> int:
    """The UTC day of a time in ISO 8601, in days since 1970-01-01; a time without a zone is UTC."""
    try:
        given = datetime.fromisoformat(time)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"as_of = {time!r} is no time", hint="write it as 2024-05-01 or 2024-05-01T00:00:00Z"
        ) from error
    aware = given if given.tzinfo else given.replace(tzinfo=UTC)
    return (aware.astimezone(UTC).date() - _EPOCH).days


def key_of(query: str) -> str:
    """The text that a query is counted under, which is its query_id in a log.

    >>> key_of("  Red   SHOE ")
    'red shoe'
    """
    return query_key(query[:_LONGEST])


def values_of(products: pl.DataFrame, field: str) -> pl.Series:
    """Each product's value of a field in plain form; several count as one, null where there is none."""
    return pl.Series(
        ["\n".join(form for value in cells if (form := plain(value))) or None for cells in read(products, (field,))],
        dtype=pl.String,
    )


def _find(names: pl.Series, wanted: str) -> int:
    """A binary search: no dictionary of millions of texts is held."""
    at = bisect.bisect_left(names, wanted)
    return at if at < len(names) and names[at] == wanted else -1


def _level(table: pl.DataFrame) -> Level:
    """What ``Level.table`` told."""
    key, days, *counts = (table[name].to_numpy(writable=True) for name in table.columns)
    return Level.of(key, days, dict(zip(table.columns[2:], counts, strict=True)))
