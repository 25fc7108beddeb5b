"""Documents as columns: what a hit says of each field, under the field's dotted name.

Text and keywords are taken from ``_source``. Numbers, booleans and times are what the engine holds (doc values): rounded as the
field's type rounds them, whatever the date's format, the least of several; where it holds none, as in nested objects, they are
read from ``_source``. Arrays of objects become lists: ``attributes.value``.

>>> values({"brand.name": "Ace", "sizes": [{"eu": 42}, {"eu": 43}]}, ("sizes", "eu"))
[42, 43]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from ltr.engine.mapping import EngineField

__all__ = ["ID", "Hit", "Rows", "asked_of", "values"]

# The column that names a document.
ID: Final = "_id"

# What an engine lets one search ask of doc values (index.max_docvalue_fields_search).
_DOC_VALUES: Final = 100

_SCHEMA: Final[dict[str, pl.DataType]] = {
    "text": pl.List(pl.String()),
    "keyword": pl.List(pl.String()),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "time": pl.Datetime("us", "UTC"),
}

Hit = dict[str, Any]


def asked_of(fields: Sequence[EngineField]) -> dict[str, Any]:
    """What a search body asks for, so that ``Rows`` has what it needs."""
    held = _held(fields)
    return {
        "_source": [each.name for each in fields if each.name not in held] or False,
        "docvalue_fields": [
            {"field": each.name, "format": "epoch_millis"} if each.kind == "time" else {"field": each.name}
            for each in fields
            if each.name in held
        ],
    }


def values(node: Any, path: Sequence[str]) -> list[Any]:
    """All values under a path, in order, whatever objects and arrays lie on the way; a key may be dotted itself."""
    if isinstance(node, list):
        return [value for each in node for value in values(each, path)]
    if not path:
        return [] if node is None or isinstance(node, dict) else [node]
    if not isinstance(node, dict):
        return []
    found = []
    for end in range(1, len(path) + 1):
        if (key := ".".join(path[:end])) in node:
            found += values(node[key], path[end:])
    return found


@dataclass
class Rows:
    """Columns of documents; ``unread`` counts the values that are not of their field's type."""

    fields: Sequence[EngineField]
    unread: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Settle which values come from where."""
        self._held = _held(self.fields)
        self._paths = {each.name: tuple(each.name.split(".")) for each in self.fields}

    def frame(self, hits: Sequence[Hit]) -> pl.DataFrame:
        """The hits as a frame: ``ID``, then the fields; keywords as lists."""
        columns: dict[str, pl.Series] = {ID: pl.Series([hit["_id"] for hit in hits], dtype=pl.String)}
        for each in self.fields:
            if each.name in self._held:
                found = [(hit.get("fields") or {}).get(each.name) or [] for hit in hits]
            else:
                path = self._paths[each.name]
                found = [values(hit.get("_source") or {}, path) for hit in hits]
            cells = [self._cell(each, given) for given in found]
            columns[each.name] = pl.Series(cells, dtype=_SCHEMA[each.kind or ""])
        return pl.DataFrame(columns)

    def _cell(self, of: EngineField, given: list[Any]) -> Any:
        name, kind = of.name, of.kind or ""
        if kind in ("text", "keyword"):
            strings = [str(value).lower() if isinstance(value, bool) else str(value) for value in given]
            return strings or None
        read = [value for value in (_READ[kind](value) for value in given) if value is not None]
        if len(read) < len(given):
            self.unread[name] = self.unread.get(name, 0) + len(given) - len(read)
        return min(read, default=None)


def _held(fields: Sequence[EngineField]) -> frozenset[str]:
    """The fields whose values the engine is asked for, times first, whose format only it knows."""
    wanted = [
        each
        for each in fields
        if each.doc_values and each.nested is None and each.kind in ("number", "boolean", "time")
    ]
    return frozenset(each.name for each in sorted(wanted, key=lambda each: each.kind != "time")[:_DOC_VALUES])


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number - number == 0 else None  # neither NaN nor infinite


def _boolean(value: Any) -> bool | None:
    return {"true": True, "false": False, "": False}.get(str(value).lower())


def _time(value: Any) -> datetime | None:
    """Milliseconds since 1970, or ISO 8601; four digits are a year."""
    try:
        if isinstance(value, str) and len(value) == 4 and value.isdigit():
            return datetime(int(value), 1, 1, tzinfo=UTC)
        if isinstance(value, int | float) or value.split(".")[0].lstrip("-").isdigit():
            return datetime.fromtimestamp(float(value) / 1_000, tz=UTC)
        moment = datetime.fromisoformat(value)
    except (AttributeError, OverflowError, OSError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_READ: Final[dict[str, Callable[[Any], Any]]] = {"number": _number, "boolean": _boolean, "time": _time}
