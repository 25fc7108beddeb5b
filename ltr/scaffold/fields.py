"""What the fields of an index are to a shop: guessed from names, types and a sample of values, each guess with its reason.

A name is believed where type and values do not contradict it; what no name tells, the values do: long texts describe, short
ones that differ name a product, few values that recur are facets, values that never recur are identifiers.

>>> wanted = {"name": EngineField("name", "text"), "price": EngineField("price", "float", doc_values=True)}
>>> rows = pl.DataFrame({"name": ["red shoe", "blue hat", "red hat"], "price": [9.0, 7.5, 30.0]})
>>> [(each.name, each.role) for each in guess(IndexMapping("shop", ("shop",), wanted), rows)]
[('name', 'title'), ('price', 'price')]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from ltr.engine.mapping import EngineField, IndexMapping
from ltr.scaffold.words import ATTRIBUTE_NAMES, ATTRIBUTE_VALUES, STOP_WORDS, telling, words
from ltr.text import fold

__all__ = ["LEFT_OUT", "TEXTS", "Guess", "Sample", "guess", "language", "sampled"]

# Roles that a query is compared with, the weightiest first, and those that nothing is made of.
TEXTS: Final = (
    "title",
    "brand",
    "category",
    "tags",
    "colour",
    "size",
    "material",
    "audience",
    "identifier",
    "facet",
    "text",
    "description",
)
LEFT_OUT: Final = ("link", "code", "attribute name", "date", "vector", "empty", "constant", "other")

# The types that a role told by a name may have.
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "link": ("text", "keyword"),
    "rating_count": ("number",),
    "rating": ("number",),
    "list_price": ("number",),
    "price": ("number",),
    "popularity": ("number",),
    "stock": ("number", "boolean"),
    "identifier": ("text", "keyword", "number"),
    **dict.fromkeys(("brand", "category", "colour", "size", "material", "audience", "tags"), ("text", "keyword")),
    "description": ("text", "keyword"),
    "title": ("text", "keyword"),
}
_LONG: Final = 12.0  # words on average from which a text describes
_ADDRESS: Final = re.compile(r"^(?:https?:)?//|^/[\w/.-]+$|\.(?:jpe?g|png|gif|webp|svg)$")
_MOST_READ: Final = 200  # texts whose language is looked at


@dataclass(frozen=True)
class Sample:
    """What a sample says of a field; shares are of the documents that have it, ``filled`` is of all.

    Args:
        filled: share of documents with a value.
        several: share with more than one.
        distinct: different values ÷ values.
        recurring: different values.
        length: words of a value on average.
        low: the least number.
        high: the greatest number.
        whole: whether all numbers are.
        addresses: share of values that are addresses.
        digits: share of values without a letter.
        example: a value.
    """

    filled: float
    several: float = 0.0
    distinct: float = 0.0
    recurring: int = 0
    length: float = 0.0
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    addresses: float = 0.0
    digits: float = 0.0
    example: str = ""


@dataclass(frozen=True)
class Guess:
    """A field, what it is taken for, and why."""

    field: EngineField
    role: str
    why: str
    sample: Sample

    @property
    def name(self) -> str:
        """Of the field."""
        return self.field.name


def guess(mapping: IndexMapping, rows: pl.DataFrame) -> list[Guess]:
    """A guess for each field of the index, in the mapping's order; one field at most is the title, and one the price.

    Args:
        mapping: of the index.
        rows: a sample of its documents, as ``ltr.engine.scan.sample`` gives it.
    """
    guesses = [
        _guess(each, sampled(rows[each.name]) if each.name in rows.columns else Sample(0.0), mapping)
        for each in mapping.fields.values()
    ]
    for role, other in (("title", _text_of), ("price", lambda _each: "number")):
        guesses = _one(guesses, role, other)
    if not any(each.role == "title" for each in guesses):
        guesses = _titled(guesses)
    return guesses


def sampled(values: pl.Series) -> Sample:
    """What a column of a sample says."""
    there = values.drop_nulls()
    if not values.len() or not there.len():
        return Sample(0.0)
    filled = there.len() / values.len()
    several = 0.0
    if isinstance(there.dtype, pl.List):
        several = float((there.list.len() > 1).mean() or 0)  # type: ignore[arg-type]
        there = there.explode().drop_nulls()
    common: dict[str, Any] = {
        "filled": filled,
        "several": several,
        "distinct": there.n_unique() / there.len(),
        "recurring": there.n_unique(),
        "example": str(there[0])[:60],
    }
    if there.dtype == pl.String:
        return Sample(
            **common,
            length=float(there.str.count_matches(r"\S+").mean() or 0),  # type: ignore[arg-type]
            addresses=sum(bool(_ADDRESS.search(value)) for value in there) / there.len(),
            digits=float((~there.str.contains(r"\p{L}")).mean() or 0),  # type: ignore[arg-type]
        )
    if there.dtype.is_numeric():
        return Sample(
            **common,
            low=float(there.min()),  # type: ignore[arg-type]
            high=float(there.max()),  # type: ignore[arg-type]
            whole=bool((there == there.round()).all()),
        )
    return Sample(**common)


def language(guesses: list[Guess], rows: pl.DataFrame) -> str:
    """The analyzer for the language that the texts are in; "standard" where none of them is known.

    The mapping's analyzer tells first, else the words that every text of a language has.
    """
    wanted = [each for each in guesses if each.role in ("title", "description", "text") and each.field.stored]
    named = Counter(
        known
        for each in wanted
        for analyzer in [each.field.analyzer, *(of.analyzer for of in each.field.subfields.values())]
        if (known := fold(analyzer or "")) in STOP_WORDS
    )
    if named:
        return named.most_common(1)[0][0]
    counted: Counter[str] = Counter()
    for each in wanted:
        column = rows[each.name].drop_nulls().head(_MOST_READ)
        for text in column.explode() if isinstance(column.dtype, pl.List) else column:
            said = fold(text).split()
            counted.update({known: sum(word in stop for word in said) for known, stop in STOP_WORDS.items()})
    best = counted.most_common(1)
    return best[0][0] if best and best[0][1] >= 3 else "standard"


def _guess(of: EngineField, sample: Sample, mapping: IndexMapping) -> Guess:
    role, why = _role(of, sample, mapping)
    return Guess(of, role, why, sample)


def _role(of: EngineField, sample: Sample, mapping: IndexMapping) -> tuple[str, str]:
    found = _by_type(of) or _by_gaps(of, sample) or _attribute(of, mapping)
    if found is not None:
        return found
    for told in telling(of.name):
        if of.kind in _KINDS[told.role] and (why := _agrees(told.role, of, sample)):
            # A number cannot be asked for words: the engine would refuse the search.
            role = "code" if (told.role, of.kind) == ("identifier", "number") else told.role
            return role, f"named {told.word!r} ({told.language}); {why}"
    return _by_values(of, sample)


def _by_type(of: EngineField) -> tuple[str, str] | None:
    if of.alias is not None:
        return "other", f"another name of {of.alias}"
    if of.runtime:
        return "other", "worked out at each search, and in no document"
    if of.vector:
        return "vector", f"type {of.type}{f' of {of.dims} numbers' if of.dims else ''}: not copied, no feature reads it"
    if of.kind is None:
        return "other", f"type {of.type}: no feature reads it"
    return None


def _by_gaps(of: EngineField, sample: Sample) -> tuple[str, str] | None:
    if not sample.filled:
        if of.fed and of.kind == "text" and of.indexed:
            return "text", "other fields are copied into it (copy_to): the engine can match it, and no document has it"
        return "empty", "no document of the sample has a value"
    if of.kind == "time":
        return "date", f"type {of.type}: copied, but no kind of feature reads a time yet"
    if sample.recurring == 1 and of.kind != "boolean":
        return "constant", f"always {sample.example!r}"
    return None


def _attribute(of: EngineField, mapping: IndexMapping) -> tuple[str, str] | None:
    """A list of name and value: the value is text to match, the name says nothing of a product."""
    parent, _, _ = of.name.rpartition(".")
    if not parent or of.kind not in ("text", "keyword"):
        return None
    beside = [name for name in mapping.fields if name.rpartition(".")[0] == parent]
    names, values = (
        [name for name in beside if set(words(name.rpartition(".")[2])) & listed]
        for listed in (ATTRIBUTE_NAMES - ATTRIBUTE_VALUES, ATTRIBUTE_VALUES)
    )
    if not names or not values:
        return None
    if of.name in values:
        return "tags", f"values of the attributes in {parent}{' (nested)' if of.nested else ''}"
    return (
        ("attribute name", f"what the attributes in {parent} are called, the same in most products")
        if (of.name in names)
        else None
    )


def _agrees(role: str, of: EngineField, sample: Sample) -> str:
    """What type and values say for a role; empty where they speak against it."""
    if of.kind == "boolean":
        return _filled(sample)
    if of.kind == "number":
        fits = {
            "rating": sample.low >= 0 and sample.high <= 100,
            "rating_count": sample.whole,
        }.get(role, True)
        return f"{_filled(sample)}, {sample.low:g} to {sample.high:g}" if fits else ""
    fits = {
        "link": sample.addresses > 0.5 or not of.indexed,
        "title": sample.length < 3 * _LONG and sample.distinct >= 0.2,
        "description": sample.length > 2,
        "identifier": sample.length < 2,
        "brand": sample.digits < 0.9,
        "category": sample.digits < 0.9,
    }.get(role, True)
    if not fits or (sample.addresses > 0.5 and role != "link"):
        return ""
    if role in ("title", "description"):
        return _texts(sample)
    return f"{_filled(sample)}, {sample.recurring:,} values such as {sample.example!r}"


def _by_values(of: EngineField, sample: Sample) -> tuple[str, str]:
    if of.kind == "number":
        if sample.whole and sample.distinct > 0.98 and sample.low >= 1_000:
            return "code", f"whole numbers that never recur, such as {sample.example}"
        return "number", f"{_filled(sample)}, {sample.low:g} to {sample.high:g}"
    if of.kind == "boolean":
        return "flag", _filled(sample)
    if sample.addresses > 0.5:
        return "link", f"such as {sample.example!r}"
    if sample.length >= _LONG:
        return "description", f"long texts: {_texts(sample)}"
    if of.kind == "text":
        return "text", _texts(sample)
    if sample.distinct > 0.95 and sample.length < 2:
        return "identifier", f"keywords that never recur, such as {sample.example!r}"
    if sample.digits > 0.9:
        return "code", f"keywords without a letter, such as {sample.example!r}"
    return "facet", f"keywords that recur: {sample.recurring:,} values such as {sample.example!r}"


def _one(guesses: list[Guess], role: str, other: Callable[[Guess], str]) -> list[Guess]:
    """The guesses with one field in the role: one that is searched as text, then fuller, then named earlier."""
    those = [each for each in guesses if each.role == role]
    if len(those) < 2:
        return guesses
    kept = max(those, key=lambda each: (each.field.kind != "keyword", each.field.nested is None, each.sample.filled))
    return [
        replace(each, role=other(each), why=f"{each.why}; {kept.name} is the {role}")
        if each.role == role and each is not kept
        else each
        for each in guesses
    ]


def _titled(guesses: list[Guess]) -> list[Guess]:
    """The guesses with a title that no name told: the fullest short text whose values differ."""
    fit = [
        each
        for each in guesses
        if each.role in ("text", "facet", "identifier", "description")
        and each.sample.filled >= 0.5
        and each.sample.distinct >= 0.3
        and each.field.nested is None
    ]
    if not fit:
        return guesses
    rank: Mapping[str, int] = {"text": 3, "facet": 2, "description": 1, "identifier": 0}
    kept = max(fit, key=lambda each: (rank[each.role], each.sample.distinct, each.sample.filled))
    return [
        replace(
            each, role="title", why=f"no name tells the title, and this is the likeliest text: {_texts(each.sample)}"
        )
        if each is kept
        else each
        for each in guesses
    ]


def _text_of(each: Guess) -> str:
    return "facet" if each.field.kind == "keyword" else "text"


def _filled(sample: Sample) -> str:
    return f"{sample.filled:.0%} filled"


def _texts(sample: Sample) -> str:
    return f"{_filled(sample)}, {sample.length:.1f} words, {sample.distinct:.0%} distinct"
