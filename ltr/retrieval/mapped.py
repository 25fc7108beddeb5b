"""The fields that queries ask for, and whether the index has them.

An engine answers a query on a field that is not there with no hits and without a word: the feature would be 0 for ever. So
the fields of each clause are looked up once, before anything is asked.

>>> [use.field for use in uses({"multi_match": {"query": "red", "fields": ["title^3", "brand.name"]}})]
['title', 'brand.name']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal

from ltr.errors import EngineError, suggestion

if TYPE_CHECKING:
    from ltr.engine.mapping import IndexMapping

__all__ = ["Use", "check", "check_vector", "uses"]

# Queries that name the field as a key, as a list, or as a value of "field", and what that must be.
_KEYED: Final[dict[str, Literal["text", "anything"]]] = {
    **dict.fromkeys(("match", "match_phrase", "match_phrase_prefix", "match_bool_prefix", "fuzzy", "prefix"), "text"),
    **dict.fromkeys(
        ("term", "terms", "terms_set", "range", "wildcard", "regexp", "intervals", "span_term"), "anything"
    ),
}
_LISTED: Final[dict[str, Literal["text"]]] = dict.fromkeys(
    ("multi_match", "combined_fields", "simple_query_string", "query_string"), "text"
)
_LEAVES: Final[dict[str, Literal["text", "number", "anything"]]] = {
    **_KEYED,
    **_LISTED,
    "exists": "anything",
    "field_value_factor": "number",
}
_SETTINGS: Final = frozenset({"boost", "_name"})

_TEXTUAL: Final = ("text", "keyword")
_FACTORS: Final = ("number", "boolean", "time")


@dataclass(frozen=True)
class Use:
    """A field, what it must be for the query on it, and the nested objects that the query is within."""

    field: str
    query: str
    needs: Literal["text", "number", "anything"]
    within: tuple[str, ...] = ()


def uses(query: Any, *, within: tuple[str, ...] = ()) -> Iterator[Use]:
    """The fields of a query, as far as it is made of the engines' everyday parts."""
    if isinstance(query, list):
        for each in query:
            yield from uses(each, within=within)
    if not isinstance(query, dict):
        return
    for name, value in query.items():
        if name in _LEAVES and isinstance(value, dict):
            for field, settings in _fields(name, value):
                lenient = isinstance(settings, dict) and settings.get("lenient")
                yield Use(field, name, "anything" if lenient else _LEAVES[name], within)
        elif name == "nested" and isinstance(value, dict) and "path" in value:
            yield from uses(value.get("query"), within=(*within, str(value["path"])))
        else:
            yield from uses(value, within=within)


def check(mapping: IndexMapping, wanted: Mapping[str, Any]) -> None:
    """Raise EngineError where the index cannot answer a query; ``wanted`` is asker -> query, such as "feature 'x'"."""
    known = _known(mapping)
    for asker, query in wanted.items():
        for use in uses(query):
            names = [name for name in known if fnmatchcase(name, use.field)] if "*" in use.field else [use.field]
            if not names or not all(_is_there(name, known) for name in names):
                raise EngineError(
                    f"{asker} asks for field {use.field!r}, which index {mapping.index!r} lacks",
                    hint=suggestion(use.field, known, noun="its fields"),
                )
            for name in names:
                if name in known:
                    _check_kind(asker, use, name, known)
                    _check_nested(asker, use, name, mapping)


def _fields(name: str, value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fields of a query, each with its settings."""
    if name in _KEYED:
        return [(field, of) for field, of in value.items() if field not in _SETTINGS and not field.startswith("_")]
    if name in _LISTED:
        return [(str(field).partition("^")[0], value) for field in value.get("fields", ())]
    return [(str(value["field"]), None)] if "field" in value else []


def check_vector(mapping: IndexMapping, field: str, dimension: int) -> None:
    """Raise EngineError where ``field`` does not hold vectors of that many dimensions."""
    having = {name: each for name, each in mapping.fields.items() if each.vector}
    if field not in having:
        what = f"is {mapping.fields[field].type}" if field in mapping.fields else "is not there"
        raise EngineError(
            f"[retrieval] vector: field {field!r} of index {mapping.index!r} {what}",
            hint=(suggestion(field, having, noun="fields of vectors") + "; " if having else "")
            + "`ltr index` makes it",
        )
    if (dims := having[field].dims) not in (None, dimension):
        raise EngineError(
            f"field {field!r} of index {mapping.index!r} holds vectors of {dims} dimensions, and the encoder's have {dimension}",
            hint="index the catalogue again with the experiment's own encoder",
        )


def _known(mapping: IndexMapping) -> dict[str, str | None]:
    """Field or subfield -> its kind."""
    from ltr.engine.mapping import KINDS

    known: dict[str, str | None] = {}
    for name, field in mapping.fields.items():
        known[name] = field.kind
        known |= {f"{name}.{key}": KINDS.get(each.type) for key, each in field.subfields.items()}
        if field.type == "search_as_you_type":
            known |= dict.fromkeys((f"{name}._2gram", f"{name}._3gram", f"{name}._index_prefix"), "text")
    return known


def _is_there(name: str, known: Mapping[str, str | None]) -> bool:
    # Types of no everyday kind, such as flattened objects, may have keys below them that no mapping lists.
    parents = (name[:at] for at, character in enumerate(name) if character == ".")
    return name in known or any(parent in known and known[parent] is None for parent in parents)


def _check_kind(asker: str, use: Use, name: str, known: Mapping[str, str | None]) -> None:
    kind, needed = known[name], {"text": _TEXTUAL, "number": _FACTORS}.get(use.needs)
    if needed is None or kind is None or kind in needed:
        return
    below = [other for other, of in known.items() if other.startswith(f"{name}.") and of in needed]
    others = [other for other, of in known.items() if of in needed]
    raise EngineError(
        f"{asker}: {use.query} is for {' and '.join(needed)} fields, and {name!r} is {kind}",
        hint=f"take {below[0]!r}" if below else suggestion(name, others, noun=f"{needed[0]} fields"),
    )


def _check_nested(asker: str, use: Use, name: str, mapping: IndexMapping) -> None:
    field = mapping.fields.get(name) or mapping.fields.get(name.rpartition(".")[0])
    path = field.nested if field else None
    if path is not None and path not in use.within:
        raise EngineError(
            f"{asker}: field {name!r} is in the nested object {path!r}, where no other query sees it",
            hint=f'set [retrieval.nested] "{name}" = "{path}"',
        )
