"""Documents of other services' dialects, as candidates: these services rank texts, we rank products.

A text is the product of that id; or JSON that carries an id, such as a search engine can keep in one field of its index; or else
a product that the catalogue lacks, which is scored as one: an engine sends a made-up text to try a service out. Any text will do,
so what JSON carries beside its id counts where it is right. An object carries ``product_id`` or ``id``, in the shape of our own
candidates, or a ``text``; there a wrong value is an error, as its sender wrote it for us.

>>> read(["P12", "how big\\n", '{"product_id": "P7", "score": 2.5}', {"id": "P3", "vendor": 9}], "documents", known=lambda _: False)
(Candidate(product_id='P12', ...), Candidate(product_id='#1', ...), Candidate(product_id='P7', score=2.5, ...), Candidate(product_id='P3', ...))
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from ltr.errors import CandidateError
from ltr.serving.request import MAX_CANDIDATES, MAX_ID, Candidate, parse_candidate

__all__ = ["Known", "echo", "read"]

Known = Callable[[str], bool]

_CARRIED: Final = ("score", "match", "fields")


def read(documents: object, key: str, *, known: Known, limit: int = MAX_CANDIDATES) -> tuple[Candidate, ...]:
    """Read a list of documents.

    Args:
        documents: what JSON was parsed to.
        key: where they were found.
        known: whether the catalogue has a product_id.
        limit: how many there may be.

    Raises:
        CandidateError: the first fault.
    """
    if not isinstance(documents, list):
        raise CandidateError(f"{key} is {reprlib.repr(documents)}", hint="give a list of texts or objects")
    if len(documents) > limit:
        raise CandidateError(f"{key} has {len(documents):,} entries", hint=f"at most {limit:,} are read")
    return tuple([_read(one, key, at, known) for at, one in enumerate(documents)])


def echo(document: object) -> dict[str, Any]:
    """A document as an answer repeats it: its text, and of an object whatever is not nested."""
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if not isinstance(value, dict | list)}
    return {"text": document}


def _read(document: object, key: str, at: int, known: Known) -> Candidate:
    if type(document) is str:
        # Nearly every document of nearly every request.
        if 0 < len(document) <= MAX_ID and document[0] not in " {" and document.isprintable():
            return Candidate(document)
        return _of_text(document, at, known)
    if not isinstance(document, dict):
        raise CandidateError(
            f"{key}[{at}] is {reprlib.repr(document)}", hint="give a product_id, a text, or an object with one of these"
        )
    where = f"{key}[{at}]"
    text = document.get("text")
    if text is not None and type(text) is not str:
        raise CandidateError(f"{where}.text is {reprlib.repr(text)}", hint="give a string")
    if (carried := _carried(document)) is not None:
        return parse_candidate(carried, where)
    if text is None:
        raise CandidateError(f"{where} names no product", hint="give product_id, id or text")
    return _of_text(text, at, known)


def _of_text(text: str, at: int, known: Known) -> Candidate:
    found = _of_json(text) if text.lstrip()[:1] == "{" else None
    return found or _lenient(text) or Candidate(_stranger(at, known))


def _of_json(text: str) -> Candidate | None:
    """What a text carries as JSON; None where it is none, or names no product."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    carried = _carried(value) if isinstance(value, dict) else None
    return None if carried is None else _lenient(carried) or _lenient(carried["product_id"])


def _carried(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Our own candidate in an object that has other keys too; None where it names no product."""
    product_id = value.get("product_id")
    if product_id is None:
        product_id = value.get("id")
    if product_id is None:
        return None
    return {"product_id": product_id, **{key: value[key] for key in _CARRIED if key in value}}


def _lenient(value: object) -> Candidate | None:
    try:
        return parse_candidate(value, "")
    except CandidateError:
        return None


def _stranger(at: int, known: Known) -> str:
    """The id of a text that is too long or too odd to be one itself; no product's."""
    product_id = f"#{at}"
    while known(product_id):
        product_id = f"#{product_id}"
    return product_id
