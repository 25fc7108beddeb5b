"""Other services' rerank requests and answers: Cohere and Jina (v1, v2, with OpenSearch's connector), Elastic, TEI.

    Cohere, Jina   {"query", "documents", "top_n", "return_documents", "model", ...}
    Elastic        the same, its documents as ``documents`` or ``input``; every input gets its score, whatever top_n says
    TEI            {"query", "texts", "return_text", ...} on /rerank

A dialect is two pure functions, of which the second is given what the first kept. Keys that we do not know are passed over, as
each of these services has some of its own. Scores are 1 down to 1/n by rank, in degraded answers too: bounded, no two alike, so
that who sorts by them gets our order, and Elastic's max(s, 0) + min(exp(s), 1) keeps it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ltr.errors import CandidateError
from ltr.serving import documents, native
from ltr.serving.answer import Answer
from ltr.serving.native import Signed
from ltr.serving.request import MAX_CANDIDATES, Request, parse_request

__all__ = ["DIALECTS", "TEI", "Dialect", "Shape"]


@dataclass(frozen=True)
class Shape:
    """What of a request shapes the answer.

    Args:
        sent: the documents as they came.
        top_n: how many results are told; None: all.
        returned: whether documents are told.
    """

    sent: list[Any]
    top_n: int | None = None
    returned: bool = False


@dataclass(frozen=True)
class Dialect:
    """A way to ask and to be answered.

    Args:
        parse: a JSON value to a request and what shapes its answer; CandidateError for the first fault.
        render: an answer in that shape, as a JSON value.
    """

    parse: Callable[..., tuple[Request, Shape]]
    render: Callable[[Answer, Shape, Signed], Any]


def parse_cohere(value: object, *, known: documents.Known, limit: int = MAX_CANDIDATES) -> tuple[Request, Shape]:
    """Read a request of Cohere's, of either version, or of Jina's."""
    request, table = _read(value, "documents", known, limit)
    return request, Shape(table["documents"], _top_n(table), _flag(table, "return_documents"))


def parse_elastic(value: object, *, known: documents.Known, limit: int = MAX_CANDIDATES) -> tuple[Request, Shape]:
    """Read a request of Elastic's, in the words that its custom service was given; top_n is checked, and cuts nothing."""
    input_ = isinstance(value, dict) and value.get("documents") is None and value.get("input") is not None
    key = "input" if input_ else "documents"
    request, table = _read(value, key, known, limit)
    _top_n(table)
    return request, Shape(table[key], returned=_flag(table, "return_documents"))


def parse_tei(value: object, *, known: documents.Known, limit: int = MAX_CANDIDATES) -> tuple[Request, Shape]:
    """Read a request of TEI's."""
    request, table = _read(value, "texts", known, limit)
    return request, Shape(table["texts"], returned=_flag(table, "return_text"))


def render_v1(answer: Answer, shape: Shape, signed: Signed) -> dict[str, Any]:
    """An answer that reads as Cohere's first version and as Jina's."""
    return _render(answer, shape, signed, "1")


def render_v2(answer: Answer, shape: Shape, signed: Signed) -> dict[str, Any]:
    """An answer that reads as Cohere's second version and as Jina's."""
    return _render(answer, shape, signed, "2")


def render_elastic(answer: Answer, shape: Shape, signed: Signed) -> dict[str, Any]:
    """An answer for ``$.results[*].index``, ``relevance_score`` and, where asked for, ``document.text``."""
    return {"results": _results(answer, shape), **native.fate(answer), **native.signature(signed)}


def render_tei(answer: Answer, shape: Shape, signed: Signed) -> list[dict[str, Any]]:
    """A list; whether it is degraded is in the headers alone."""
    scores = answer.descending
    return [
        {"index": one.place, "score": scores[at], **({"text": _text(shape.sent[one.place])} if shape.returned else {})}
        for at, one in enumerate(answer.results)
    ]


TEI: Final = Dialect(parse_tei, render_tei)
DIALECTS: Final = {
    "/v1/rerank": Dialect(parse_cohere, render_v1),
    "/v2/rerank": Dialect(parse_cohere, render_v2),
    "/elastic/rerank": Dialect(parse_elastic, render_elastic),
}


def _read(value: object, key: str, known: documents.Known, limit: int) -> tuple[Request, dict[str, Any]]:
    if not isinstance(value, dict):
        raise CandidateError(f"the request is {reprlib.repr(value)}", hint="give a JSON object")
    for wanted in ("query", key):
        if value.get(wanted) is None:
            raise CandidateError(f"the request lacks {wanted!r}", hint=f'give {{"query": ..., "{key}": [...]}}')
    asked = parse_request({"query": value["query"], "candidates": []})
    return replace(asked, candidates=documents.read(value[key], key, known=known, limit=limit)), value


def _render(answer: Answer, shape: Shape, signed: Signed, version: str) -> dict[str, Any]:
    # One search unit is what Cohere counts a request of up to 100 documents as; no text is cut into tokens here.
    return {
        "id": signed.request_id,
        "results": _results(answer, shape),
        "meta": {"api_version": {"version": version}, "billed_units": {"search_units": 1}},
        "usage": {"total_tokens": 0},
        **native.fate(answer),
        **native.signature(signed),
    }


def _results(answer: Answer, shape: Shape) -> list[dict[str, Any]]:
    told = zip(answer.results[: shape.top_n], answer.descending, strict=False)
    if not shape.returned:
        return [{"index": one.place, "relevance_score": score} for one, score in told]
    return [
        {"index": one.place, "relevance_score": score, "document": documents.echo(shape.sent[one.place])}
        for one, score in told
    ]


def _text(document: object) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    return text if isinstance(text, str) else ""


def _top_n(table: dict[str, Any]) -> int | None:
    """How many results are told; null and, as in vLLM, 0 are all of them."""
    value = table.get("top_n")
    if value is None:
        return None
    if type(value) not in (int, float) or value < 0 or value != int(value):
        raise CandidateError(f"top_n is {reprlib.repr(value)}", hint="give a whole number of results, or null for all")
    return int(value) or None


def _flag(table: dict[str, Any], key: str) -> bool:
    value = table.get(key)
    if value is not None and type(value) is not bool:
        raise CandidateError(f"{key} is {reprlib.repr(value)}", hint="give true or false")
    return bool(value)
