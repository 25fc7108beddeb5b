"""Our own requests beside what ``request`` reads of them, and our own answers: /rerank, /explain and /search.

/rerank, /explain   {"query", "candidates", ..., "deadline_ms"}
/search             {"query", "depth", "size", "pinned", "excluded", "context", "deadline_ms"}
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ltr.errors import CandidateError, suggestion
from ltr.serving.answer import Answer, Result
from ltr.serving.request import MAX_CANDIDATES, MAX_ID, Candidate, Request, parse_request

if TYPE_CHECKING:
    from ltr.serving.loaded import Serving
    from ltr.serving.searching import Found

__all__ = [
    "DEPTH",
    "SEARCH_KEYS",
    "SIZE",
    "Search",
    "Signed",
    "deadline_ms",
    "details",
    "fate",
    "parse",
    "parse_explain",
    "parse_search",
    "render",
    "render_search",
    "signature",
]

DEPTH: Final = 100
SIZE: Final = 10
SEARCH_KEYS: Final = ("query", "depth", "size", "pinned", "excluded", "context", "deadline_ms")


@dataclass(frozen=True)
class Signed:
    """What stands under an answer: the request's id, the first characters of the model's digest, milliseconds since the request arrived."""

    request_id: str
    model: str
    took_ms: float


@dataclass(frozen=True)
class Search:
    """A search asked for: how deep it retrieves, how much of it is told, and what the list is to be asked with."""

    depth: int
    size: int
    asked: Request

    def of(self, candidates: tuple[Candidate, ...]) -> Request:
        """The request for what was retrieved."""
        return replace(self.asked, candidates=candidates)


def parse(value: object, *, limit: int) -> Request:
    """Read a request of ours."""
    return parse_request(value, limit=limit, beside=("deadline_ms",))


def parse_explain(value: object, *, limit: int) -> Request:
    """Read one for whose answer features and contributions are told, said or not."""
    return replace(parse(value, limit=limit), features=True, explain=True)


def parse_search(value: object, *, limit: int) -> Search:
    """Read a search."""
    if not isinstance(value, dict):
        raise CandidateError(f"the request is {reprlib.repr(value)}", hint="give a JSON object")
    for key in value:
        if key not in SEARCH_KEYS:
            hint = suggestion(str(key)[:MAX_ID], SEARCH_KEYS, noun="keys")
            raise CandidateError(f"the request has key {reprlib.repr(key)}", hint=hint)
    if value.get("query") is None:
        raise CandidateError("the request lacks 'query'", hint='give {"query": ...}')
    plain = {key: value[key] for key in ("query", "pinned", "excluded", "context") if key in value}
    asked = parse_request({**plain, "candidates": []}, limit=limit)
    # Of fewer candidates than are to be told, all are told.
    return Search(_count(value, "depth", min(DEPTH, limit), limit), _count(value, "size", SIZE, MAX_CANDIDATES), asked)


def deadline_ms(value: object, *, usual: float, most: float) -> float:
    """What a request may take, of any dialect.

    >>> deadline_ms({"query": "shoes", "deadline_ms": 12}, usual=30, most=10_000)
    12.0
    """
    given = value.get("deadline_ms") if isinstance(value, dict) else None
    if given is None:
        return usual
    # JSON has no NaN, and a whole number of any size compares.
    if type(given) not in (int, float) or not 0 < given <= most:
        raise CandidateError(
            f"deadline_ms is {reprlib.repr(given)}", hint=f"give milliseconds above 0, at most {most:g}"
        )
    return float(given)


def render(answer: Answer, signed: Signed) -> dict[str, Any]:
    """An answer of ours."""
    told: dict[str, Any] = {
        "results": [_result(one) for one in answer.results],
        **fate(answer),
        **signature(signed),
        "unknown": answer.unknown,
    }
    if answer.base is not None:
        told["base"] = answer.base
    if answer.why is not None:
        told["why"] = [{"feature": feature, "difference": difference} for feature, difference in answer.why]
    if answer.notes:
        told["notes"] = answer.notes
    return told


def render_search(search: Search, found: Found, serving: Serving, signed: Signed) -> dict[str, Any]:
    """Both orders, side by side."""
    answer = found.answer
    first, best = found.retrieved[: search.size], answer.results[: search.size]
    products = details(serving, {one.product_id for one in first} | {one.product_id for one in best})
    title = serving.bundle.facts.title
    titles = {product_id: str(of.get(title) or "") for product_id, of in products.items()}
    return {
        "query": search.asked.query,
        "retrieval": [
            {"product_id": one.product_id, "rank": rank, "score": one.score, "title": titles.get(one.product_id, "")}
            | ({} if serving.embedded else {"match": _scores(one)})
            for rank, one in enumerate(first, start=1)
        ],
        "results": [
            {
                **_result(one),
                "was": one.place + 1,
                "title": titles.get(one.product_id, ""),
                "product": products.get(one.product_id, {}),
            }
            for one in best
        ],
        "candidates": len(answer.results),
        **fate(answer),
        **signature(signed),
        # A stage's name is more than a plain string, of which alone JSON's keys are made.
        "timings_ms": {str(stage): round(seconds * 1_000, 3) for stage, seconds in found.timings.items()},
    }


def details(serving: Serving, product_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """What the catalogue says of products, without what is missing; those that it lacks are left out."""
    state = serving.bundle.state
    known = state.rows(list(product_ids))
    columns = [name for name in state.products.columns if serving.bundle.facts.fields.get(name) != "vector"]
    rows = state.products[known[known >= 0]].select(columns).to_dicts()
    return {row.pop("product_id"): {field: value for field, value in row.items() if value is not None} for row in rows}


def fate(answer: Answer) -> dict[str, Any]:
    """Whether the order is that received, and why."""
    return {"degraded": answer.degraded, "reason": answer.reason.value}


def signature(signed: Signed) -> dict[str, Any]:
    """What stands under every answer."""
    return {"request_id": signed.request_id, "model": signed.model, "took_ms": signed.took_ms}


def _result(one: Result) -> dict[str, Any]:
    told: dict[str, Any] = {"product_id": one.product_id, "rank": one.rank, "score": one.score}
    if one.pinned:
        told["pinned"] = True
    if one.excluded:
        told["excluded"] = True
    if one.features is not None:
        told["features"] = one.features
    if one.contributions is not None:
        told["contributions"] = one.contributions
    return told


def _scores(one: Candidate) -> dict[str, float | None]:
    """What a search engine gave, for who asks about the same list again."""
    return {name: score if math.isfinite(score) else None for name, score in one.match.items()}


def _count(table: Mapping[str, Any], key: str, usual: int, most: int) -> int:
    value = table.get(key)
    if value is None:
        return usual
    if type(value) not in (int, float) or value != int(value) or not 1 <= value <= most:
        raise CandidateError(f"{key} is {reprlib.repr(value)}", hint=f"give a whole number from 1 to {most:,}")
    return int(value)
