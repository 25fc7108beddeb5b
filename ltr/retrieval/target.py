"""The index that is asked: what it is called, what of it is a product's id, what it allows."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ltr.engine.connection import path_of
from ltr.errors import EngineError, suggestion
from ltr.retrieval.prepared import written

if TYPE_CHECKING:
    from ltr.engine import Engine
    from ltr.engine.mapping import EngineField, IndexMapping

__all__ = ["Target", "find", "preference"]

# The engines' own, where an index sets none.
_RESULTS: Final = 10_000
_TERMS: Final = 65_536
# More ids in one search make it no faster.
_TOGETHER: Final = 1_000

_IDENTIFYING: Final = frozenset(
    {"keyword", "constant_keyword", "long", "integer", "short", "byte", "unsigned_long", "version"}
)


@dataclass(frozen=True)
class Target:
    """One index, alias or data stream; get one from ``find``.

    Args:
        results: index.max_result_window, the most hits that one search may reach down to.
        rescored: index.max_rescore_window.
        together: the most ids in one search.
        mapping: its fields.
    """

    engine: Engine
    index: str
    id_field: str | None
    timeout_s: float
    results: int
    rescored: int
    together: int
    mapping: IndexMapping

    def path(self, verb: str) -> str:
        """The path of a verb on this index."""
        return path_of(self.index, verb)

    def among(self, ids: Iterable[str]) -> str:
        """The JSON of a query that these ids match; each is given as JSON."""
        if self.id_field is None:
            return f'{{"ids":{{"values":[{",".join(ids)}]}}}}'
        return f'{{"terms":{{{written(self.id_field)}:[{",".join(ids)}]}}}}'

    @property
    def identified(self) -> dict[str, Any]:
        """What a request needs so that its hits say whose they are."""
        return {} if self.id_field is None else {"docvalue_fields": [self.id_field]}

    def product_id(self, hit: Mapping[str, Any]) -> str | None:
        """The product of a hit; None where the hit does not say."""
        if self.id_field is None:
            return hit.get("_id")
        values = hit.get("fields", {}).get(self.id_field)
        return str(values[0]) if values else None


def find(engine: Engine, index: str, *, id_field: str | None, timeout_s: float) -> Target:
    """Read limits and fields of an index.

    Raises:
        EngineError: it is not there, may not be read, or ``id_field`` is no field that identifies a product.
    """
    from ltr.engine import mapping

    limits = "index.max_result_window,index.max_rescore_window,index.max_terms_count"
    # Whoever may search is not always allowed to read settings.
    told = engine.call("GET", path_of(index, "_settings", limits), params={"flat_settings": True}, allow=(403, 404))
    if told.get("status") == 404:
        raise EngineError(
            str(mapping.missing_index(engine, index)),
            hint="`ltr index` puts the catalogue there; or correct [retrieval] index",
        )
    every = [each.get("settings", {}) for each in told.values() if isinstance(each, dict)]
    results = min((int(each.get("index.max_result_window", _RESULTS)) for each in every), default=_RESULTS)
    rescored = min((int(each.get("index.max_rescore_window", results)) for each in every), default=results)
    terms = min((int(each.get("index.max_terms_count", _TERMS)) for each in every), default=_TERMS)
    fields = mapping.read(engine, index)
    if id_field is not None:
        _check_identifying(fields, id_field)
    # One more hit than ids tells that an id stands for several documents.
    together = max(1, min(_TOGETHER, results - 1, terms))
    return Target(engine, index, id_field, timeout_s, results, rescored, together, fields)


def preference(text: str) -> str:
    """The same for the same text, so that one query is answered by the same copies of the shards each time.

    Copies count deleted documents differently, and so score differently, until their segments are merged.
    """
    return f"ltr-{zlib.crc32(text.encode()):08x}"


def _check_identifying(mapping: IndexMapping, id_field: str) -> None:
    types = {name: field.type for name, field in mapping.fields.items() if _identifies(field.type)}
    for name, field in mapping.fields.items():
        types |= {f"{name}.{key}": each.type for key, each in field.subfields.items() if _identifies(each.type)}
    if id_field not in types:
        has: EngineField | None = mapping.fields.get(id_field)
        what = f"is of type {has.type}" if has else f"is not in index {mapping.index!r}"
        raise EngineError(
            f"[retrieval] id_field {id_field!r} {what}",
            hint=suggestion(id_field, types, noun="fields that can be a product's id"),
        )


def _identifies(kind: str) -> bool:
    return kind in _IDENTIFYING
