"""What an index holds: its fields under dotted names, from ``_mapping`` or, where that is refused, from ``_field_caps``.

Objects are flattened (``brand.name``); a nested object's fields keep its path; multi-fields are ``subfields`` of their field.
Objects with ``enabled: false`` hold nothing that could be searched and are passed over. Several indexes behind one name are read
as one: the last of them by name, which is the newest of a data stream, tells a field's type, and ``differing`` says where
others disagree.

>>> read_properties({"price": {"type": "float"}, "brand": {"properties": {"name": {"type": "keyword"}}}})["brand.name"].kind
'keyword'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ltr.engine.connection import Engine, path_of
from ltr.errors import EngineError, suggestion

__all__ = ["KINDS", "EngineField", "IndexMapping", "Subfield", "missing_index", "read", "read_properties"]

# The engines' types by what they are to us; any other (vectors, places, ranges, flattened objects ...) is None.
KINDS: Final = {
    **dict.fromkeys(("text", "match_only_text", "search_as_you_type", "annotated_text"), "text"),
    **dict.fromkeys(("keyword", "constant_keyword", "wildcard", "version", "ip", "icu_collation_keyword"), "keyword"),
    **dict.fromkeys(
        (
            "long",
            "integer",
            "short",
            "byte",
            "double",
            "float",
            "half_float",
            "scaled_float",
            "unsigned_long",
            "rank_feature",
        ),
        "number",
    ),
    "boolean": "boolean",
    "date": "time",
    "date_nanos": "time",
}

_VECTORS: Final = ("dense_vector", "knn_vector", "sparse_vector", "rank_features", "semantic_text")
# Types that hold no doc values, of those that are single values to us.
_UNDOCUMENTED: Final = frozenset({"rank_feature"})


@dataclass(frozen=True)
class Subfield:
    """A multi-field: the same value indexed in another way."""

    type: str
    analyzer: str | None = None
    normalizer: str | None = None


@dataclass(frozen=True)
class EngineField:
    """One field.

    Args:
        name: dotted.
        type: as the engine calls it.
        subfields: name -> how it is indexed again.
        nested: the path of the nested object that it is in.
        analyzer: of a text field; None = standard.
        dims: of a vector.
        alias: the field that it is another name of.
        runtime: worked out at each search, and in no document.
        indexed: False where it cannot be searched.
        doc_values: whether the engine can hand out the value that it holds.
        fed: whether other fields are copied into it (copy_to).
        positions: whether it can be searched for phrases.
    """

    name: str
    type: str
    subfields: Mapping[str, Subfield] = field(default_factory=dict)
    nested: str | None = None
    analyzer: str | None = None
    dims: int | None = None
    alias: str | None = None
    runtime: bool = False
    indexed: bool = True
    doc_values: bool = False
    fed: bool = False
    positions: bool = True

    @property
    def kind(self) -> str | None:
        """What it is to us: text, keyword, number, boolean, time; None for what is none of these."""
        return KINDS.get(self.type)

    @property
    def vector(self) -> bool:
        """Whether it holds vectors."""
        return self.type in _VECTORS

    @property
    def stored(self) -> bool:
        """Whether documents themselves have it."""
        return self.alias is None and not self.runtime


@dataclass(frozen=True)
class IndexMapping:
    """The fields of an index, an alias, a data stream or a pattern.

    Args:
        index: as it was named.
        indices: the concrete indexes behind it, sorted.
        fields: by dotted name, in the order of the mapping.
        source: False where an index keeps no _source.
        whole: False where ``_mapping`` was refused: analyzers and sizes of vectors are not known then.
        differing: one sentence for each field that is not of one type everywhere.
    """

    index: str
    indices: tuple[str, ...]
    fields: Mapping[str, EngineField]
    source: bool = True
    whole: bool = True
    differing: tuple[str, ...] = ()


def read(engine: Engine, index: str) -> IndexMapping:
    """Read the mappings; never more is asked than a key with ``read`` may see.

    Raises:
        EngineError: no such index, or no field in it, or no leave to read it.
    """
    try:
        answer: dict[str, Any] = engine.call("GET", path_of(index, "_mapping"))
    except EngineError as error:
        if error.status == 403:
            return _by_capabilities(engine, index)
        if error.status == 404:
            raise missing_index(engine, index) from error
        raise
    if not answer:
        raise missing_index(engine, index)
    told = {name: answer[name].get("mappings") or {} for name in sorted(answer)}
    by_index = {
        name: {**read_properties(mapping.get("properties") or {}), **_runtime(mapping.get("runtime") or {})}
        for name, mapping in told.items()
    }
    fields: dict[str, EngineField] = {}
    for each in by_index.values():
        fields |= each
    if not fields:
        raise EngineError(f"index {index!r} of {engine.url} has no field", hint="name the index that has the products")
    source = all((mapping.get("_source") or {}).get("enabled", True) for mapping in told.values())
    return IndexMapping(index, tuple(told), fields, source=source, differing=tuple(_differing(by_index, fields)))


def read_properties(
    properties: Mapping[str, Any], *, prefix: str = "", nested: str | None = None
) -> dict[str, EngineField]:
    """The fields of ``properties``, objects flattened."""
    found: dict[str, EngineField] = {}
    for key, told in properties.items():
        name, kind = prefix + key, told.get("type", "object")
        if kind in ("object", "nested", "passthrough"):
            if told.get("enabled", True):
                inner = name if kind == "nested" else nested
                found |= read_properties(told.get("properties") or {}, prefix=f"{name}.", nested=inner)
            continue
        found[name] = _field(name, kind, told, nested)
    fed = {target for told in _leaves(properties) for target in _listed(told.get("copy_to"))}
    for name in fed & found.keys():
        found[name] = _fed(found[name])
    # An alias has its target's type, and nothing of its own.
    for name, each in found.items():
        if each.alias in found:
            found[name] = EngineField(name, found[each.alias].type, nested=nested, alias=each.alias)
    return found


def missing_index(engine: Engine, index: str) -> EngineError:
    """The error for an index that is not there, with what is, as far as it may be known."""
    told = engine.call("GET", "/_alias", allow=(400, 401, 403, 404, 405))
    names: set[str] = set()
    for name, each in told.items() if isinstance(told, dict) and "error" not in told else ():
        names |= {name, *each.get("aliases", {})}
    there = sorted(name for name in names if not name.startswith("."))
    hint = suggestion(index, there, noun="indexes") if there else "check its name, and that your key may read it"
    return EngineError(f"{engine.url} has no index {index!r}", hint=hint)


def _field(name: str, kind: str, told: Mapping[str, Any], nested: str | None) -> EngineField:
    documented = kind not in ("text", "match_only_text", "search_as_you_type", "annotated_text") and KINDS.get(kind)
    return EngineField(
        name,
        kind,
        {
            key: Subfield(each.get("type", "object"), each.get("analyzer"), each.get("normalizer"))
            for key, each in (told.get("fields") or {}).items()
        },
        nested=nested,
        analyzer=told.get("analyzer"),
        dims=told.get("dims") or told.get("dimension"),
        alias=told.get("path") if kind == "alias" else None,
        indexed=told.get("index", True) is not False,
        positions=told.get("index_options", "positions") in ("positions", "offsets"),
        doc_values=bool(documented) and kind not in _UNDOCUMENTED and told.get("doc_values", True) is not False,
    )


def _fed(given: EngineField) -> EngineField:
    return EngineField(**{**given.__dict__, "fed": True})


def _runtime(runtime: Mapping[str, Any]) -> dict[str, EngineField]:
    return {name: EngineField(name, told.get("type", "keyword"), runtime=True) for name, told in runtime.items()}


def _leaves(properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for told in properties.values():
        yield told
        yield from _leaves(told.get("properties") or {})


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _differing(by_index: Mapping[str, Mapping[str, EngineField]], fields: Mapping[str, EngineField]) -> Iterator[str]:
    """Where concrete indexes give a field another type: numbers of another width are the same to us."""
    for name, taken in fields.items():
        others = {
            index: each[name].type
            for index, each in by_index.items()
            if name in each and (each[name].kind, each[name].nested) != (taken.kind, taken.nested)
        }
        if others:
            told = ", ".join(f"{kind} in {index}" for index, kind in others.items())
            yield f"Field {name!r} is taken as {taken.type}; it is {told}."


def _by_capabilities(engine: Engine, index: str) -> IndexMapping:
    """The fields as searches see them, where the mapping itself may not be read."""
    answer = engine.call("GET", path_of(index, "_field_caps"), params={"fields": "*"}, allow=(404,))
    if "error" in answer:
        raise missing_index(engine, index)
    told: dict[str, dict[str, Any]] = {
        name: {kind: of for kind, of in kinds.items() if kind != "unmapped"}
        for name, kinds in sorted(answer.get("fields", {}).items())
        if not name.startswith("_") and not any(of.get("metadata_field") for of in kinds.values())
    }
    nested = [name for name, kinds in told.items() if "nested" in kinds]
    leaves = {name: kinds for name, kinds in told.items() if kinds and not kinds.keys() & {"object", "nested"}}
    fields: dict[str, EngineField] = {}
    differing = []
    for name, kinds in leaves.items():
        kind = next(iter(kinds))
        parent = name.rpartition(".")[0]
        if parent in fields:  # sorted: a field comes before its subfields
            fields[parent] = EngineField(
                **{
                    **fields[parent].__dict__,
                    "subfields": {**fields[parent].subfields, name[len(parent) + 1 :]: Subfield(kind)},
                }
            )
            continue
        if len(kinds) > 1:
            differing.append(f"Field {name!r} is taken as {kind}; it is also {', '.join(list(kinds)[1:])}.")
        path = max((path for path in nested if name.startswith(f"{path}.")), key=len, default=None)
        fields[name] = EngineField(
            name,
            kind,
            nested=path,
            indexed=kinds[kind].get("searchable", True),
            doc_values=KINDS.get(kind) is not None and kinds[kind].get("aggregatable", False),
        )
    if not fields:
        raise missing_index(engine, index)
    indices = answer.get("indices") or [index]
    indices = [indices] if isinstance(indices, str) else indices
    return IndexMapping(index, tuple(sorted(indices)), fields, whole=False, differing=tuple(differing))
