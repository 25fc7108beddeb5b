"""A request to rerank, out of plain JSON values: each fault is one CandidateError that names the key and what is allowed.

    {"query": "red shoes",
     "candidates": ["p7", {"product_id": "p12", "score": 3.5, "match": {"title_match": 2.25}, "fields": {"title": "..."}}],
     "pinned": ["p12"], "excluded": ["p3"], "context": {"session": "s1"}, "features": true, "explain": true, "why": ["p7", "p12"]}

A candidate is an id or an object; an id may come twice and is then answered twice. Null is as good as absent, and in
``match`` the engine's word for "asked, and does not match".

>>> parse_request({"query": "shoes", "candidates": ["p7", {"product_id": "p12", "score": 3.5}]}).candidates[1].score
3.5
>>> parse_request({"query": "shoes", "candidates": ["p7", 12]})
Traceback (most recent call last):
ltr.errors.CandidateError: candidates[1] is 12; give a product_id as a string, or an object with product_id
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeGuard

from ltr.errors import CandidateError, suggestion

__all__ = [
    "MAX_CANDIDATES",
    "MAX_DEPTH",
    "MAX_ID",
    "MAX_QUERY",
    "MAX_TEXT",
    "MAX_VALUES",
    "Candidate",
    "Request",
    "parse_candidate",
    "parse_request",
]

MAX_CANDIDATES: Final = 1_000  # also of pinned and of excluded
MAX_QUERY: Final = 1_000  # characters: as many as features read of a query
MAX_ID: Final = 512  # characters: as long as Elasticsearch's _id
MAX_TEXT: Final = 10_000  # characters of one string in fields or context
MAX_VALUES: Final = 1_000  # in one candidate's match or fields, or in the context
MAX_DEPTH: Final = 8  # objects and lists within fields or context

_NONE: Final[Mapping[str, Any]] = {}
_KEYS: Final = ("query", "candidates", "pinned", "excluded", "context", "features", "explain", "why")
_CANDIDATE_KEYS: Final = ("product_id", "score", "match", "fields")
_LARGEST: Final = 3.4028234663852886e38  # of float32
# What JSON may carry and no log, terminal or index should: controls and halves of a surrogate pair. A query may have been
# pasted, with its tabs and line ends.
_IN_ID: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_IN_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Candidate(NamedTuple):
    """A product to rank.

    Args:
        product_id: known to the bundle or not.
        score: of the first pass.
        match: the engine's score by feature; NaN where it was asked and does not match.
        fields: what the caller says of the product; kept for the log, no feature reads it.
    """

    product_id: str
    score: float | None = None
    match: Mapping[str, float] = _NONE
    fields: Mapping[str, Any] = _NONE


@dataclass(frozen=True)
class Request:
    """What is asked.

    Args:
        query: what the shopper typed; "" where there was nothing to type.
        candidates: in the order of the first pass.
        pinned: product_ids that come first, in this order; those that are no candidates are passed over.
        excluded: product_ids that come last, pinned or not.
        context: the caller's own words for the log.
        features: whether the answer tells each candidate's feature values.
        explain: whether it tells what each feature adds to each score.
        why: two candidates' product_ids, the first of which is to be explained against the second.
    """

    query: str
    candidates: tuple[Candidate, ...]
    pinned: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    features: bool = False
    explain: bool = False
    why: tuple[str, str] | None = None


def parse_request(value: object, *, limit: int = MAX_CANDIDATES, beside: Collection[str] = ()) -> Request:
    """Read a request.

    Args:
        value: what JSON was parsed to.
        limit: how many candidates may be asked about.
        beside: further keys that the caller reads itself.

    Raises:
        CandidateError: the first fault.
    """
    table = _object(value, "the request")
    _known(table, (*_KEYS, *beside), "the request")
    for key in ("query", "candidates"):
        if table.get(key) is None:
            raise CandidateError(f"the request lacks {key!r}", hint='give {"query": ..., "candidates": [...]}')
    given = _list(table["candidates"], "candidates", limit)
    candidates = tuple([_candidate(one, at) for at, one in enumerate(given)])
    return Request(
        query=_text(table["query"], "query", MAX_QUERY),
        candidates=candidates,
        pinned=_ids(table, "pinned", limit),
        excluded=_ids(table, "excluded", limit),
        context=_plain(table, "context", "context"),
        features=_flag(table, "features"),
        explain=_flag(table, "explain"),
        why=_pair(table, candidates),
    )


def _candidate(value: object, at: int) -> Candidate:
    # Nearly every candidate of nearly every request.
    if _legal(value):
        return Candidate(value)
    return parse_candidate(value, f"candidates[{at}]")


def parse_candidate(value: object, where: str) -> Candidate:
    """Read one candidate, an id or an object, found at ``where``.

    Raises:
        CandidateError: the first fault.
    """
    if isinstance(value, str):
        return Candidate(_id(value, where))
    if not isinstance(value, dict):
        raise CandidateError(
            f"{where} is {_shown(value)}", hint="give a product_id as a string, or an object with product_id"
        )
    _known(value, _CANDIDATE_KEYS, where)
    if value.get("product_id") is None:
        raise CandidateError(f"{where} lacks 'product_id'", hint="name the product by a string")
    # Where a value stands is put in words only for one that may be wrong.
    product_id, score = value["product_id"], value.get("score")
    return Candidate(
        product_id=product_id if _legal(product_id) else _id(product_id, f"{where}.product_id"),
        score=score if score is None or _within(score) else _number(score, f"{where}.score"),
        match=_match(value, where),
        fields=_NONE if value.get("fields") is None else _plain(value, "fields", f"{where}.fields"),
    )


def _match(table: Mapping[str, Any], where: str) -> Mapping[str, float]:
    if table.get("match") is None:
        return _NONE
    given = _object(table["match"], f"{where}.match")
    if len(given) > MAX_VALUES:
        raise CandidateError(f"{where}.match has {len(given):,} features", hint=f"at most {MAX_VALUES:,} are read")
    return {
        name: score
        if _within(score)
        else (math.nan if score is None else _number(score, f"{where}.match[{_shown(name)}]"))
        for name, score in given.items()
    }


def _legal(value: object) -> TypeGuard[str]:
    """Whether a value is a product_id beyond doubt; others may be one too."""
    return type(value) is str and 0 < len(value) <= MAX_ID and value.isprintable()


def _within(value: object) -> TypeGuard[float]:
    """Whether a value is a number beyond doubt; others may be one too."""
    return type(value) is float and abs(value) <= _LARGEST


def _number(value: object, where: str) -> float:
    # A bool is an int to Python, and no number to JSON.
    if type(value) is float or type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if abs(number) <= _LARGEST:
            return number
    raise CandidateError(f"{where} is {_shown(value)}", hint="give a finite number within float32, or null")


def _id(value: object, where: str) -> str:
    if type(value) is not str:
        raise CandidateError(
            f"{where} is {_shown(value)}", hint=f"a product_id is a string of 1 to {MAX_ID} characters"
        )
    if not 0 < len(value) <= MAX_ID:
        raise CandidateError(f"{where} has {len(value):,} characters", hint=f"a product_id has 1 to {MAX_ID}")
    if not value.isprintable() and _IN_ID.search(value):
        raise CandidateError(f"{where} is {_shown(value)}", hint="leave control characters and lone surrogates out")
    return value


def _text(value: object, where: str, most: int) -> str:
    if type(value) is not str:
        raise CandidateError(f"{where} is {_shown(value)}", hint=f"give a string of at most {most:,} characters")
    if len(value) > most:
        raise CandidateError(f"{where} has {len(value):,} characters", hint=f"at most {most:,} are read")
    if not value.isprintable() and (found := _IN_TEXT.search(value)):
        raise CandidateError(
            f"{where} has {found[0]!r} at place {found.start()}",
            hint="leave control characters and lone surrogates out",
        )
    return value


def _ids(table: Mapping[str, Any], key: str, limit: int) -> tuple[str, ...]:
    if table.get(key) is None:
        return ()
    return tuple([_id(one, f"{key}[{at}]") for at, one in enumerate(_list(table[key], key, limit))])


def _pair(table: Mapping[str, Any], candidates: tuple[Candidate, ...]) -> tuple[str, str] | None:
    if table.get("why") is None:
        return None
    found = _ids(table, "why", MAX_CANDIDATES)
    if len(found) != 2:
        raise CandidateError(f"why has {len(found)} product_ids", hint="name two candidates: why is A above B")
    known = {candidate.product_id for candidate in candidates}
    if stray := next((one for one in found if one not in known), None):
        raise CandidateError(f"why names {_shown(stray)}, which is no candidate", hint="name two of the candidates")
    return found[0], found[1]


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key)
    if value is not None and type(value) is not bool:
        raise CandidateError(f"{key} is {_shown(value)}", hint="give true or false")
    return bool(value)


def _plain(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """An object of the caller's own, as deep and as large as is allowed; without recursion, which depth could exhaust."""
    if table.get(key) is None:
        return _NONE
    found = _object(table[key], where)
    waiting: list[tuple[Any, int]] = [(found, 1)]
    values = 0
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            _text(value, f"a text in {where}", MAX_TEXT)
        elif isinstance(value, float) and not math.isfinite(value):
            raise CandidateError(f"{where} holds {value}", hint="numbers are finite")
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise CandidateError(f"{where} is nested more than {MAX_DEPTH} deep", hint="flatten it")
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            values += len(inner)
            if values > MAX_VALUES:
                raise CandidateError(f"{where} has over {MAX_VALUES:,} keys and values", hint="leave some out")
            waiting += [(one, depth + 1) for one in inner]
        elif value is not None and not isinstance(value, bool | int | float):
            raise CandidateError(f"{where} holds {_shown(value)}", hint="give JSON values")
    return found


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CandidateError(f"{where} is {_shown(value)}", hint="give a JSON object")
    return value


def _list(value: object, where: str, limit: int) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise CandidateError(f"{where} is {_shown(value)}", hint="give a list")
    if len(value) > limit:
        raise CandidateError(f"{where} has {len(value):,} entries", hint=f"at most {limit:,} are read")
    return list(value)


def _known(table: Mapping[str, Any], keys: Collection[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise CandidateError(
                f"{where} has key {_shown(key)}", hint=suggestion(str(key)[:MAX_ID], keys, noun="keys")
            )


def _shown(value: object) -> str:
    """A value for a message, short whatever was sent."""
    return reprlib.repr(value)
