"""One table from one file: Parquet, CSV, TSV or JSON Lines, plain or compressed with gzip.

Text stays text: cells of CSV and TSV are strings ("007" is not 7), an empty cell is null, and who knows a column to be a
number converts it. UTF-8 is strict. What cannot be read is one DataError that names the file and, where there are lines,
the line. CSV is RFC 4180 with the first row as header, read by the standard library: its line numbers are exact, and a
quote inside an unquoted cell (5" pipe) is a quote.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "shop.csv"
>>> _ = path.write_text("sku,title\\n007,red shoe\\n")
>>> read_table(path).rows()
[('007', 'red shoe')]
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, NoReturn

import polars as pl

from ltr.errors import DataError

__all__ = ["FORMATS", "cells_are_text", "place", "read_table", "reading_parquet"]

FORMATS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".tsv": "tsv"}

_SEPARATORS: Final = {"csv": ",", "tsv": "\t"}


def read_table(path: Path, *, lone: bool = False) -> pl.DataFrame:
    """Read the table in a file; its extension names the format.

    Args:
        path: .parquet, .csv, .tsv, .jsonl or .ndjson, each also with .gz.
        lone: accept a CSV row of one cell as one whose other cells are empty (Quepid writes unrated queries so).
    """
    form = _format(path)
    if form == "parquet":
        data = _bytes(path) if path.suffix.lower() == ".gz" else None
        with reading_parquet(path), io.BytesIO(data) if data is not None else path.open("rb") as file:
            return pl.read_parquet(file)
    text = _text(_bytes(path), path)
    return _read_lines(text, path) if form == "jsonl" else _read_cells(text, path, _SEPARATORS[form], lone=lone)


def cells_are_text(path: Path) -> bool:
    """Whether the format knows strings only, so that a number in it has to be recognised."""
    return _format(path) in _SEPARATORS


def place(path: Path, row: int) -> str:
    """Where a row of ``read_table`` (0 = the first) stands in its file, for messages; reads a text file again."""
    form = _format(path)
    if form == "parquet":
        return f"row {row + 1}"
    text = _text(_bytes(path), path)
    if form == "jsonl":
        lines = (number for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    else:
        lines = (number for number, _ in islice(_rows(text, path, _SEPARATORS[form]), 1, None))
    return f"line {next(islice(lines, row, None))}"


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn what polars and the system say of a Parquet file into a DataError."""
    try:
        if not path.stat().st_size:
            raise DataError(f"{path} is empty (0 bytes)", hint="copy or export it again")
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().splitlines()[0].removeprefix("parquet: ")
        raise DataError(
            f"{path} is not a whole Parquet file ({reason})", hint="it may be cut short: copy or export it again"
        ) from error
    except OSError as error:
        _unreadable(path, error)


def _format(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for extension, form in FORMATS.items():
        if name.endswith(extension):
            return form
    raise DataError(
        f"{path} has no known extension", hint=f"extensions: {', '.join(sorted(FORMATS))}, each also with .gz"
    )


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        _unreadable(path, error)
    if path.suffix.lower() == ".gz" and data:
        try:
            data = gzip.decompress(data)
        except gzip.BadGzipFile as error:
            raise DataError(f"{path} is not gzip: {error}", hint="take .gz off its name, or copy it again") from error
        except (EOFError, zlib.error) as error:
            raise DataError(f"{path} is cut short or damaged: {error}", hint="copy or download it again") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes)", hint="copy or export it again")
    return data


def _unreadable(path: Path, error: OSError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise DataError(f"{path} does not exist", hint="check the path") from error
    raise DataError(f"{path} cannot be read: {error.strerror or error}", hint="give a file that may be read") from error


def _text(data: bytes, path: Path) -> str:
    # A byte-order mark, as spreadsheets write it, is no part of the first column's name.
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: line {line} holds byte 0x{data[error.start]:02X}",
            hint="save it as UTF-8, for example with iconv -f WINDOWS-1252 -t UTF-8",
        ) from error
    if "\0" in text:
        raise DataError(f"{path} holds NUL characters, as UTF-16 does", hint="save it as UTF-8")
    return text


def _rows(text: str, path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line that each row starts on and its cells, the header first; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path} line {line}: {error}",
            hint=f"close each quoted cell, and write a quote inside one twice; a cell has at most {csv.field_size_limit():,} characters",
        ) from error


def _read_cells(text: str, path: Path, separator: str, *, lone: bool) -> pl.DataFrame:
    rows = _rows(text, path, separator)
    try:
        _, header = next(rows)
    except StopIteration:
        raise DataError(f"{path} has no header", hint="the first line names the columns") from None
    names = [name.strip() for name in header]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has more than one column named {twice[0]!r}", hint="rename or remove one")
    table: list[list[str]] = []
    for line, cells in rows:
        if len(cells) != len(names):
            if not (lone and len(cells) == 1):
                raise DataError(
                    f"{path} line {line} has {len(cells)} cells where the header has {len(names)}",
                    hint=f"put quotes around a cell that holds {separator!r}",
                )
            cells += [""] * (len(names) - 1)
        table.append(cells)
    columns = {name: [cells[index] or None for cells in table] for index, name in enumerate(names)}
    return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))


def _read_lines(text: str, path: Path) -> pl.DataFrame:
    if not text.strip():
        raise DataError(f"{path} has no line", hint="JSON Lines has one object a line")
    try:
        return pl.read_ndjson(text.encode(), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = _json_fault(text) or str(error).strip().splitlines()[0]
        raise DataError(f"{path} is not JSON Lines: {reason}", hint="write one JSON object a line") from error


def _json_fault(text: str) -> str:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_constant=_no_constant)
        except ValueError as error:
            return f"line {number}: {error}"
        if not isinstance(value, dict):
            return f"line {number} holds {line.strip()[:40]!r}, not an object"
    return ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value; write null where a value is not known")
