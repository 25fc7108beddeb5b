"""The type of a catalogue's column: guessed from its values, or declared; then converted, or refused with the value named.

    text      String or List(String); empty texts and lists are null
    keyword   the same, for values that are matched as a whole: brand, colour, tags
    number    Float64; NaN is null, an infinite value is refused
    boolean   Boolean; true/false, yes/no, 1/0
    time      Datetime in UTC; ISO 8601, taken for UTC where no offset is given
    vector    List(Float32), all of one length

>>> guess(pl.Series(["12.50", "7"]), strings_only=True), guess(pl.Series(["007", "011"]), strings_only=True)
('number', 'keyword')
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from ltr.datasets import FieldType
from ltr.datasets.tables import place
from ltr.errors import DataError

__all__ = ["guess", "text", "typed"]

# A leading zero marks a code, not a number: 007 is not 7.
_NUMBER: Final = r"(?i)^\s*[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|nan|inf|infinity)\s*$"
# Float64 holds every integer of 15 digits; longer ones are article numbers such as an EAN with a suffix.
_CODE: Final = r"^\s*\d{16,}\s*$"
_DAY: Final = r"^\s*\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?\s*$"
_TRUE: Final = ("true", "yes", "1", "t", "y")
_FALSE: Final = ("false", "no", "0", "f", "n")
# What a type is told by; right too for who evaluates a bundle on this file, and has nothing else to change.
_TRAIN: Final = "give what the type wants, or train with another type in [data.fields]"


def guess(column: pl.Series, *, strings_only: bool = False) -> FieldType | None:
    """The type that a column's values suggest; None for a nested or binary one, which cannot be a field.

    Strings are text where many have several words and they differ, else keyword: at most three words a value on average
    and each value twice on average (brand, colour), or at most one value in ten with a blank in it (codes, addresses).

    Args:
        column: the values.
        strings_only: the file knows strings only (CSV), so that numbers and booleans among them are looked for.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        if dtype.inner.is_float():
            return "vector"
        return None if dtype.inner.is_nested() else "keyword"
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.Date, pl.Datetime):
        return "time"
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        return "keyword"
    return _guess_strings(column.drop_nulls(), strings_only=strings_only) if dtype == pl.String else None


def typed(frame: pl.DataFrame, fields: Mapping[str, FieldType], *, path: Path) -> pl.DataFrame:
    """The frame with its fields under their types; ``path`` is where it comes from, row for row."""
    return frame.with_columns(_CONVERSIONS[kind](frame[name], path) for name, kind in fields.items())


def text(column: pl.Series) -> pl.Series:
    """Values as String: an identifier that a column with gaps made a float (7.0) is written 7, and blank ones are null."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.drop_nulls()
        # Beyond 2⁵³ a float no longer says which integer it was.
        if ((whole.abs() < 2.0**53) & (whole == whole.round())).all():
            column = column.cast(pl.Int64)
    if column.dtype != pl.String:
        column = column.cast(pl.String)
    return column.set(column.str.strip_chars() == "", None)


def _guess_strings(values: pl.Series, *, strings_only: bool) -> FieldType:
    if not values.len():
        return "keyword"
    if values.str.contains(_DAY).all() and _times(values).null_count() == 0:
        return "time"
    if strings_only:
        if (
            values.str.contains(_NUMBER).all()
            and values.str.contains(r"\d").any()
            and not values.str.contains(_CODE).any()
        ):
            return "number"
        if values.str.to_lowercase().is_in(["true", "false"]).all():
            return "boolean"
    words = values.str.count_matches(r"\S+")
    short_and_few = int(words.sum()) <= 3 * values.len() and values.n_unique() * 2 <= values.len()
    single = int((words > 1).sum()) * 10 <= values.len()
    return "keyword" if short_and_few or single else "text"


def _strings(column: pl.Series, path: Path) -> pl.Series:
    if isinstance(column.dtype, pl.List | pl.Array):
        if column.dtype.inner.is_nested():
            raise _refusal(
                column, path, 0, "is a list of lists or objects", "a text or keyword is a string or a list of strings"
            )
        name = column.name
        lists = (
            column.cast(pl.List(pl.String))
            .to_frame()
            .select(pl.col(name).list.eval(pl.element().filter(pl.element().str.strip_chars() != "")))[name]
        )
        return lists.set(lists.list.len() == 0, None)
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        raise _refusal(column, path, 0, f"is {column.dtype}", "a text or keyword is a string or a list of strings")
    return text(column)


def _number(column: pl.Series, path: Path) -> pl.Series:
    given = column
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        column = column.set(column == "", None)
        given = column
    if given.dtype.is_nested() or given.dtype.is_temporal() or given.dtype == pl.Binary:
        raise _refusal(given, path, 0, f"is {given.dtype}, not a number", _TRAIN)
    numbers = given.cast(pl.Float64, strict=False)
    unread = numbers.is_null() & given.is_not_null()
    if unread.any():
        row = int(unread.arg_max() or 0)
        raise _refusal(
            given,
            path,
            row,
            f"{given[row]!r} is not a number",
            "write 1299.50, or train with it as keyword or text in [data.fields]",
        )
    infinite = numbers.is_infinite().fill_null(False)
    if infinite.any():
        raise _refusal(
            given, path, int(infinite.arg_max() or 0), "is infinite", "leave it empty where the value is not known"
        )
    return numbers.fill_nan(None)


def _boolean(column: pl.Series, path: Path) -> pl.Series:
    if column.dtype == pl.Boolean:
        return column
    values = text(column).str.to_lowercase()
    result = values.is_in(_TRUE)
    unread = ~values.is_in([*_TRUE, *_FALSE])
    if unread.any():
        row = int(unread.arg_max() or 0)
        raise _refusal(column, path, row, f"{column[row]!r} is not a boolean", "write true or false")
    return result


def _time(column: pl.Series, path: Path) -> pl.Series:
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        aware = column.dtype.time_zone is not None
        return (column.dt.convert_time_zone("UTC") if aware else column.dt.replace_time_zone("UTC")).dt.cast_time_unit(
            "us"
        )
    values = _times(text(column))
    unread = values.is_null() & column.is_not_null()
    if unread.any():
        row = int(unread.arg_max() or 0)
        raise _refusal(column, path, row, f"{column[row]!r} is not a time", "write 2026-01-31 or 2026-01-31T12:00:00Z")
    return values


def _times(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [_moment(value) for value in values], dtype=pl.Datetime("us", "UTC"))


def _moment(value: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat((value or "").strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _vector(column: pl.Series, path: Path) -> pl.Series:
    if not isinstance(column.dtype, pl.List | pl.Array) or not column.dtype.inner.is_numeric():
        raise _refusal(column, path, 0, f"is {column.dtype}, not a list of numbers", _TRAIN)
    vectors = column.cast(pl.List(pl.Float32))
    length = vectors.list.len()
    odd = (length != length.drop_nulls().first()).fill_null(False)
    if odd.any():
        remedy = "make all of one length, or train with it as keyword in [data.fields]"
        raise _refusal(column, path, int(odd.arg_max() or 0), "is a vector of another length", remedy)
    values = vectors.drop_nulls().explode()
    if not values.is_finite().all() or values.null_count():
        raise _refusal(
            column, path, 0, "holds vectors with missing or infinite values", "leave the whole vector empty there"
        )
    return vectors


_CONVERSIONS: Final = {
    "text": _strings,
    "keyword": _strings,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "vector": _vector,
}


def _refusal(column: pl.Series, path: Path, row: int, fault: str, remedy: str) -> DataError:
    return DataError(f"{path} {place(path, row)}, column {column.name!r}: {fault}", hint=remedy)
