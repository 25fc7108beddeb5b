"""Your own log: tables under a mapping, batch by batch, from Parquet, CSV, TSV or JSON lines.

Columns are those that ``mapping.LogMapping`` names, with dots into structures and into lists of structures; ids and texts
become texts, times µs since 1970 UTC. Parquet in directories ``key=value`` has those keys for columns. A bad JSON line is
counted; a CSV whose rows have more cells than its header is refused.

>>> frame = pl.DataFrame({"query": ["hat"], "item": [[{"sku": 7}]], "shown_at": [1_700_000_000], "clicked": [["7"]]})
>>> named(frame, LogMapping(shape="searches", columns={"product_id": "item.sku"}), "log").row(0)
('hat', ['7'], 1700000000000000, ['7'])
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError, suggestion
from ltr.judgments.columns import STATES, Table
from ltr.judgments.mapping import COLUMNS, REQUIRED, LogMapping
from ltr.judgments.ndjson import EXTENSIONS, Damaged, blocks
from ltr.judgments.report import Counts
from ltr.judgments.scanner import scan

__all__ = ["LISTS", "flags", "frames", "named"]

# Columns that are lists in a table of searches.
LISTS: Final = (
    *("product_id", "position", "clicked", "add_to_cart", "purchase", "clicked_at", "dwell_s", "revenue", "propensity"),
)
_TIMES: Final = ("time", "shown_at", "clicked_at")
_NUMBERS: Final = {"position": pl.Int64, "dwell_s": pl.Float32, "revenue": pl.Float64, "propensity": pl.Float32}
_FLAGS: Final = ("clicked", "add_to_cart", "purchase")
_BATCH: Final = 1 << 18
_YES: Final = ("1", "t", "true", "y", "yes")
_NO: Final = ("0", "f", "false", "n", "no")
_FORMATS: Final = ("%+", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}


def frames(path: Path, counts: Counts) -> Iterator[pl.DataFrame]:
    """The table of a file, or of a directory of Parquet, batch by batch; what is no row of it is counted.

    Raises:
        DataError: the file does not exist, is of no known kind, or is not what its name says.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(EXTENSIONS):
        yield from _lines(path, counts)
        return
    if not path.exists():
        raise DataError(f"{path} does not exist", hint="check the path")
    separator = next((one for extension, one in _SEPARATORS.items() if name.endswith(extension)), "")
    if not (separator or path.is_dir() or name.endswith(".parquet")):
        known = ", ".join(sorted((*EXTENSIONS, *_SEPARATORS, ".parquet")))
        raise DataError(f"{path} has no known extension", hint=f"extensions: {known}, or a directory of Parquet")
    if path.is_file() and not path.stat().st_size:
        counts.note("empty_file", 1, [path.name])
        return
    try:
        if separator:
            table = pl.scan_csv(path, infer_schema=False, separator=separator, truncate_ragged_lines=False)
        else:
            table = pl.scan_parquet(path, hive_partitioning=path.is_dir())
        yield from table.collect_batches(chunk_size=_BATCH)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path} cannot be read: {reason}", hint="it may be cut short: copy or export it again"
        ) from error


def named(frame: pl.DataFrame, mapping: LogMapping, where: str) -> pl.DataFrame:
    """The frame under our names and types; what a cell cannot say is null.

    Raises:
        DataError: a column that the mapping names, or that its shape needs, is missing; or a list stands where none may.
    """
    found: dict[str, pl.Series] = {}
    for ours in COLUMNS[mapping.shape]:
        series = _column(frame, mapping.theirs(ours))
        if series is not None:
            found[ours] = _typed(series, ours, mapping, where).alias(ours)
        elif ours in mapping.columns or ours in REQUIRED[mapping.shape]:
            theirs = mapping.theirs(ours)
            raise DataError(
                f"{where} has no column {theirs!r} for {ours}",
                hint=f"name it under [columns]: {ours} = ...; {suggestion(theirs, frame.columns, noun='columns')}",
            )
    return pl.DataFrame(found)


def _lines(path: Path, counts: Counts) -> Iterator[pl.DataFrame]:
    table = Table.of({"-": ("-",)})
    first, size = 1, 0
    try:
        for block in blocks(path):
            size += len(block)
            states, lines, last = [], [], 0
            for rows in scan(block, table):
                states.append(rows.states.copy())
                lines.append(rows.lines.copy())
                last = rows.line_count
            state, line = np.concatenate(states), np.concatenate(lines)
            for code, reason in enumerate(STATES[1:], start=1):
                bad = line[state == code]
                counts.read += len(bad)
                counts.drop(reason, len(bad), [f"{path.name} line {first + each}" for each in bad[:3]])
            first += last
            yield _parsed(block, set(line[state > 0].tolist()), path)
    except Damaged as damage:
        counts.read += 1
        counts.drop("file_unreadable", 1, [f"{path.name}: {damage}"])
    if not size:
        counts.note("empty_file", 1, [path.name])


def _parsed(block: NDArray[np.uint8], bad: set[int], path: Path) -> pl.DataFrame:
    """The whole lines of a block as a table, whatever its columns."""
    rows: list[bytes] = []
    for number, line in enumerate(block.tobytes().split(b"\n")):
        row = line.strip().removesuffix(b",")
        if number in bad or not row:
            continue
        if row.startswith(b"[") or row.endswith(b"]"):
            inside = json.loads(b"[" + row.removeprefix(b"[").removesuffix(b"]") + b"]")
            rows += [json.dumps(each).encode() for each in inside]
        else:
            rows.append(row)
    if not rows:
        return pl.DataFrame()
    try:
        return pl.read_ndjson(b"\n".join(rows), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be read as a table: {reason}", hint="give each field one type") from error


def _column(frame: pl.DataFrame, theirs: str) -> pl.Series | None:
    """A column, or a field of a structure or of a list of structures, by its name with dots; None where it is not there."""
    if theirs in frame.columns:
        return frame[theirs]
    head, *rest = theirs.split(".")
    if head not in frame.columns:
        return None
    series = frame[head]
    for field in rest:
        dtype = series.dtype
        inner = dtype.inner if isinstance(dtype, pl.List) else dtype
        if not isinstance(inner, pl.Struct) or field not in {each.name for each in inner.fields}:
            return None
        if isinstance(dtype, pl.List):
            series = series.list.eval(pl.element().struct.field(field))
        else:
            series = series.struct.field(field)
    return series


def _typed(series: pl.Series, ours: str, mapping: LogMapping, where: str) -> pl.Series:
    if mapping.shape == "searches" and ours in LISTS:
        return _listed(series, ours, mapping, where)
    if series.dtype.is_nested() or series.dtype == pl.Binary:
        raise DataError(
            f"{where}: column {mapping.theirs(ours)!r} is {series.dtype}", hint="give one text or number a row"
        )
    return _scalar(series, ours, mapping.time)


def _listed(series: pl.Series, ours: str, mapping: LogMapping, where: str) -> pl.Series:
    if series.dtype == pl.String:
        series = _split(series, mapping.separator)
    if not isinstance(series.dtype, pl.List):
        raise DataError(
            f"{where}: column {mapping.theirs(ours)!r} is {series.dtype}, not a list",
            hint="shape 'searches' has lists of results; a row a product is shape 'shown'",
        )
    # What a list of clicks holds depends on clicked_by: texts serve for each.
    flat = series.explode(empty_as_null=False, keep_nulls=False)
    values = _text(flat) if ours in _FLAGS else _scalar(flat, ours, mapping.time)
    lengths = series.list.len().fill_null(0)
    row = pl.int_range(series.len(), dtype=pl.UInt32, eager=True)
    long = pl.DataFrame([row.repeat_by(lengths).explode(empty_as_null=False).alias("row"), values.alias("value")])
    lists = long.group_by("row", maintain_order=True).agg("value")
    empty = pl.lit([], dtype=pl.List(values.dtype))
    return (
        row.alias("row")
        .to_frame()
        .join(lists, on="row", how="left", maintain_order="left")
        .select(pl.col("value").fill_null(empty))
    ).to_series()


def _split(cells: pl.Series, separator: str) -> pl.Series:
    """Cells of JSON arrays, or of values with a separator between, as lists of texts."""

    def values(cell: str) -> list[str | None]:
        if cell.lstrip().startswith("["):
            try:
                return [None if value is None else str(value) for value in json.loads(cell)]
            except ValueError:
                return []
        return [value.strip() or None for value in cell.split(separator)] if cell.strip() else []

    return pl.Series([None if cell is None else values(cell) for cell in cells], dtype=pl.List(pl.String))


def _scalar(series: pl.Series, ours: str, unit: str) -> pl.Series:
    if ours in _TIMES:
        return _instants(series, unit)
    if ours in _NUMBERS:
        return series.cast(_NUMBERS[ours], strict=False)
    if ours in _FLAGS:
        return flags(series)
    return _text(series)


def _text(series: pl.Series) -> pl.Series:
    if series.dtype.is_float():
        # Whole numbers that a null has made floats of.
        whole = series.cast(pl.Int64, strict=False)
        same = (whole.cast(series.dtype) == series).fill_null(True).all()
        series = whole if same else series
    text = series.cast(pl.String)
    return text.set(text == "", None)


def flags(series: pl.Series) -> pl.Series:
    """Yes and no, from booleans, numbers (above 0 is yes) and words; null where it is neither."""
    if series.dtype == pl.Boolean:
        return series
    if series.dtype.is_numeric():
        return series > 0
    word = series.cast(pl.String).str.strip_chars().str.to_lowercase()
    number = word.cast(pl.Float64, strict=False)
    return pl.select(
        pl.when(word.is_in(_YES)).then(True).when(word.is_in(_NO) | (word == "")).then(False).otherwise(number > 0)
    ).to_series()


def _instants(series: pl.Series, unit: str) -> pl.Series:
    """µs since 1970 UTC; a time without a zone is taken as UTC."""
    dtype = series.dtype
    if isinstance(dtype, pl.Datetime):
        own = series.dt.convert_time_zone("UTC") if dtype.time_zone else series
        return own.cast(pl.Datetime("us", "UTC" if dtype.time_zone else None)).cast(pl.Int64)
    if dtype == pl.Date:
        return series.cast(pl.Datetime("us")).cast(pl.Int64)
    if dtype.is_numeric():
        return _epoch(series.cast(pl.Float64) if dtype.is_float() else series.cast(pl.Int64), unit)
    text = series.cast(pl.String)
    formats = (unit,) if "%" in unit else _FORMATS
    found = pl.Series([None] * len(text), dtype=pl.Int64)
    for form in formats:
        if (missing := found.is_null() & text.is_not_null()).any():
            parsed = text.filter(missing).str.to_datetime(form, time_unit="us", strict=False).cast(pl.Int64)
            found = found.scatter(missing.arg_true(), parsed)
    if "%" not in unit:
        found = found.fill_null(_epoch(text.cast(pl.Float64, strict=False), unit))
    return found


def _epoch(numbers: pl.Series, unit: str) -> pl.Series:
    size = numbers.abs()
    scale = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
    if unit in scale:
        return (numbers * scale[unit]).cast(pl.Int64, strict=False)
    # Seconds pass 10^11 in the year 5138.
    factor = pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    return pl.select((numbers * factor).cast(pl.Int64, strict=False)).to_series()
