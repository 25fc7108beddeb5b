"""One table from one file: Parquet, CSV, TSV or JSON Lines, plain or compressed with gzip.

Text stays text: cells of CSV and TSV are strings ("007" is not 7), an empty cell is null, and who knows a column to be a
number converts it. UTF-8 is strict. What cannot be read is one DataError that names the file and, where there are lines,
the line. CSV is RFC 4180 with the first row as header, read by the standard library: its line numbers are exact, and a
quote inside an unquoted cell (5" pipe) is a quote. Where the header has no comma, semicolons or tabs in it separate the
cells, as spreadsheets write them where the comma is the decimal point.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "shop.csv"
>>> _ = path.write_text("sku,title\\n007,red shoe\\n")
>>> read_table(path).rows()
[('007', 'red shoe')]
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, NoReturn

import polars as pl

from ltr.errors import DataError
from ltr.lines import decode, read_bytes

__all__ = ["FORMATS", "cells_are_text", "place", "read_table", "reading_parquet"]

FORMATS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".tsv": "tsv"}

# The format's own separator first, then what else a header may show.
_SEPARATORS: Final = {"csv": (",", ";", "\t"), "tsv": ("\t", ";", ",")}
_HEADER: Final = 1 << 16  # characters that are searched for it


def read_table(path: Path, *, lone: bool = False) -> pl.DataFrame:
    """Read the table in a file; its extension names the format.

    Args:
        path: .parquet, .csv, .tsv, .jsonl or .ndjson, each also with .gz.
        lone: accept a CSV row of one cell as one whose other cells are empty (Quepid writes unrated queries so).
    """
    form = _format(path)
    if form == "parquet":
        data = read_bytes(path) if path.suffix.lower() == ".gz" else None
        with reading_parquet(path), io.BytesIO(data) if data is not None else path.open("rb") as file:
            return pl.read_parquet(file)
    text = _text(path)
    return _read_lines(text, path) if form == "jsonl" else _read_cells(text, path, _separator(text, form), lone=lone)


def cells_are_text(path: Path) -> bool:
    """Whether the format knows strings only, so that a number in it has to be recognised."""
    return _format(path) in _SEPARATORS


def place(path: Path, *rows: int) -> str:
    """Where rows of ``read_table`` (0 = the first) stand in its file, for messages; reads a text file again."""
    form = _format(path)
    if form == "parquet":
        return _listed("row", [row + 1 for row in rows])
    text = _text(path)
    if form == "jsonl":
        lines = (number for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    else:
        lines = (number for number, _ in islice(_rows(text, path, _separator(text, form)), 1, None))
    wanted = dict.fromkeys(rows, 0)
    for row, line in enumerate(islice(lines, max(rows) + 1)):
        if row in wanted:
            wanted[row] = line
    return _listed("line", [wanted[row] for row in rows])


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn what polars and the system say of a Parquet file into a DataError."""
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path} is empty (0 bytes)", hint="copy or export it again")
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().splitlines()[0].removeprefix("parquet: ")
        raise DataError(
            f"{path} is not a whole Parquet file ({reason})", hint="it may be cut short: copy or export it again"
        ) from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint="check the path") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}", hint="give a file that may be read"
        ) from error


def _format(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for extension, form in FORMATS.items():
        if name.endswith(extension):
            return form
    if path.is_dir():
        raise DataError(f"{path} cannot be read: it is a directory", hint="name the file in it")
    raise DataError(
        f"{path} has no known extension", hint=f"extensions: {', '.join(sorted(FORMATS))}, each also with .gz"
    )


def _text(path: Path) -> str:
    text = decode(read_bytes(path), path)
    if "\0" in text:
        raise DataError(f"{path} holds NUL characters, as UTF-16 does", hint="save it as UTF-8")
    return text


def _separator(text: str, form: str) -> str:
    """The format's separator where the header has it outside quotes, else the likeliest that the header has.

    >>> _separator('"sku";"title, long"', "csv"), _separator('"sku, or id";"title",price', "csv"), _separator("sku", "csv")
    (';', ',', ',')
    """
    own, *others = _SEPARATORS[form]
    bare: list[str] = []
    quoted, before = False, own
    for character in text[:_HEADER].lstrip("\r\n"):
        if character == '"' and (quoted or before in '",;\t'):
            quoted = not quoted
        elif character in "\r\n" and not quoted:
            break
        elif not quoted:
            bare.append(character)
        before = character
    return own if own in bare else max((own, *others), key=bare.count)


def _listed(noun: str, numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"{noun}s {', '.join(most)} and {last}" if most else f"{noun} {last}"


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
