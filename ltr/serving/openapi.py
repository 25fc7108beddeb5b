"""The OpenAPI 3.1 document, by hand: what is taken is taken as it says, and what it does not say is refused.

Written for the settings of one service, since its limits are theirs. Two things JSON Schema has no words for: that ``why`` names
two of the candidates, and that ``fields`` and ``context`` hold at most 1,000 keys and values in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ltr import __version__
from ltr.serving.answer import Reason
from ltr.serving.asked import ACTIONS
from ltr.serving.native import DEPTH, SIZE
from ltr.serving.request import MAX_CANDIDATES, MAX_DEPTH, MAX_ID, MAX_QUERY, MAX_TEXT, MAX_VALUES
from ltr.serving.settings import Settings

__all__ = ["document"]

Schema = dict[str, Any]

_FLOAT32: Final = 3.4028234663852886e38
_ID_PATTERN: Final = r"^[^\u0000-\u001f\u007f]*$"
_TEXT_PATTERN: Final = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$"

_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": _ID_PATTERN}
_STRING: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Schema] = {"type": "number"}
_NUMBERS: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
_ANY_OBJECT: Final[Schema] = {"type": "object"}


def document(settings: Settings, *, admin: bool) -> Schema:
    """The document of a service with these limits, with /admin or without."""
    keyed: Schema = {"security": [{"bearer": []}, {"key": []}]} if settings.keys else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ltr",
            "version": __version__,
            "summary": "Reranks the candidates of a product search",
            "description": (
                "A request that is valid and authorised is answered by every candidate once for each time that it was "
                "sent. Where the ranker's order is not to be had in time, the order is that received, `degraded` is true, "
                "and `reason` and the header X-Degraded say why. Content-Type is not looked at."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            **{path: {"post": {**operation, **keyed}} for path, operation in _asked(settings).items()},
            **{path: {"get": {**operation, **keyed}} for path, operation in _watched().items()},
            **{path: {"get": operation} for path, operation in _open(settings).items()},
            **(_admin() if admin else {}),
        },
        "components": {
            "schemas": _schemas(settings),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _asked(settings: Settings) -> dict[str, Schema]:
    return {
        "/rerank": _operation(
            "rerank",
            "Order candidates, best first; or, in the words of Hugging Face's TEI, texts",
            {"oneOf": [_ref("Rerank"), _ref("TEI")]},
            {"anyOf": [_ref("Reranked"), _ref("TEIScores")]},
        ),
        "/explain": _operation(
            "explain", "Order candidates, and say what each feature adds to each score", _ref("Rerank"), _ref("Reranked")
        ),
        "/search": _operation(
            "search", "Retrieve and rerank", _ref("Search"), _ref("Searched"), {"503": "Nothing was retrieved"}
        ),
        "/v1/rerank": _operation("rerankV1", "As Cohere's v1 and Jina's", _ref("Cohere"), _ref("CohereScores")),
        "/v2/rerank": _operation("rerankV2", "As Cohere's v2 and Jina's", _ref("Cohere"), _ref("CohereScores")),
        "/elastic/rerank": _operation(
            "rerankElastic",
            "For Elastic's custom inference service: every input gets its score",
            _ref("Elastic"),
            _ref("ElasticScores"),
        ),
    }  # fmt: skip


def _watched() -> dict[str, Schema]:
    return {
        "/metrics": _reading("metrics", "Figures for Prometheus", "text/plain", _STRING),
        "/version": _reading("version", "What answers", "application/json", _ref("Version")),
        "/openapi.json": _reading("openapi", "This document", "application/json", _ANY_OBJECT),
    }


def _open(settings: Settings) -> dict[str, Schema]:
    live = _reading("live", "Whether the process answers", "application/json", _object({"live": {"const": True}}), {})
    ready = _reading("ready", "Whether it should be sent requests", "application/json", _ref("Ready"), {})
    ready["responses"]["503"] = _response("It should not", _ref("Ready"))
    found: dict[str, Schema] = {"/health/live": live, "/health/ready": ready}
    if settings.page:
        found["/"] = _reading("page", "The page to try it at", "text/html", _STRING, {"404": "There is none"})
        found["/page/{name}"] = {
            **_reading("pageFile", "A file of the page's", "*/*", {}, {"404": "There is no such file"}),
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": _STRING}],
        }
        for path in ("/", "/page/{name}"):
            found[path]["responses"]["304"] = {"description": "Unchanged"}
    return found


def _admin() -> dict[str, Schema]:
    told = {
        "401": "No key that is valid here", "409": "It cannot be done now, and nothing has changed",
    }  # fmt: skip
    return {
        f"/admin/{action}": {
            "post": {
                "operationId": action,
                "summary": f"{action}, all workers together",
                "security": [{"bearer": []}, {"key": []}],
                "responses": {"200": _response("Done", _ANY_OBJECT), **_errors(told)},
            }
        }
        for action in ACTIONS
    }


def _operation(name: str, summary: str, asked: Schema, told: Schema, others: Mapping[str, str] | None = None) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": _response("Every candidate once for each time that it was sent", told),
            **_errors(
                {
                    "400": "The body is not JSON",
                    "401": "No key that is valid here",
                    "408": "The body was too slow",
                    "413": "The body is too large",
                    "422": "A value is wrong",
                    **(others or {}),
                }
            ),
        },
    }


def _reading(name: str, summary: str, media_type: str, told: Schema, others: Mapping[str, str] | None = None) -> Schema:
    errors = {"401": "No key that is valid here"} if others is None else others
    answer: Schema = {
        "description": summary,
        "headers": _headers(),
        "content": {media_type: {"schema": told} if told else {}},
    }
    return {"operationId": name, "summary": summary, "responses": {"200": answer, **_errors(errors)}}


def _errors(described: Mapping[str, str]) -> Schema:
    return {status: _response(description, _ref("Error")) for status, description in described.items()}


def _response(description: str, schema: Schema) -> Schema:
    return {"description": description, "headers": _headers(), "content": {"application/json": {"schema": schema}}}


def _headers() -> Schema:
    return {
        "X-Request-Id": {"required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$"}},
        "X-Degraded": {"schema": _degraded_reason()},
    }


def _schemas(settings: Settings) -> dict[str, Schema]:
    limit, most = settings.max_candidates, settings.most_ms
    ids = _list(_ID, limit)
    query: Schema = {"type": "string", "maxLength": MAX_QUERY, "pattern": _TEXT_PATTERN}
    context = _or_null(_ref(f"Plain{MAX_DEPTH}"))
    deadline = _or_null({"type": "number", "exclusiveMinimum": 0, "maximum": most})
    flag: Schema = {"type": ["boolean", "null"]}
    many = _list(_ref("Document"), limit)
    foreign: Schema = {
        "query": query,
        "top_n": _or_null({**_COUNT, "description": "null and 0: all"}),
        "return_documents": flag,
        "deadline_ms": deadline,
    }
    extras: Schema = {
        "score": _or_null(_ref("Float32")),
        "match": _or_null(
            {"type": "object", "maxProperties": MAX_VALUES, "additionalProperties": _or_null(_ref("Float32"))}
        ),
        "fields": context,
    }
    return {
        "Error": _object({"error": _STRING, "request_id": _STRING}),
        "Float32": {"type": "number", "minimum": -_FLOAT32, "maximum": _FLOAT32},
        "Candidate": {"anyOf": [_ID, _object({"product_id": _ID}, extras)]},
        "Rerank": _object(
            {"query": query, "candidates": _list(_ref("Candidate"), limit)},
            {
                "pinned": _or_null(ids),
                "excluded": _or_null(ids),
                "context": context,
                "features": flag,
                "explain": flag,
                "why": _or_null({**_list(_ID, 2), "minItems": 2, "description": "two of the candidates"}),
                "deadline_ms": deadline,
            },
        ),
        "Search": _object(
            {"query": query},
            {
                "depth": _or_null({"type": "integer", "minimum": 1, "maximum": limit, "default": min(DEPTH, limit)}),
                "size": _or_null({"type": "integer", "minimum": 1, "maximum": MAX_CANDIDATES, "default": SIZE}),
                "pinned": _or_null(ids),
                "excluded": _or_null(ids),
                "context": context,
                "deadline_ms": deadline,
            },
        ),
        "Document": {
            "description": "A product_id, JSON text that carries one, or the text of a product that is not in the catalogue",
            "anyOf": [
                _STRING,
                _lax({"product_id": _ID, "text": {"type": ["string", "null"]}, **extras}, "product_id"),
                _lax({"product_id": {"type": "null"}, "id": _ID, "text": {"type": ["string", "null"]}, **extras}, "id"),
                _lax({"product_id": {"type": "null"}, "id": {"type": "null"}, "text": _STRING}, "text"),
            ],
        },
        "Cohere": _lax({**foreign, "documents": many}, "query", "documents"),
        "Elastic": {
            "anyOf": [
                _lax({**foreign, "documents": many}, "query", "documents"),
                _lax({**foreign, "documents": {"type": "null"}, "input": many}, "query", "input"),
            ]
        },
        "TEI": {
            **_lax({"query": query, "texts": many, "return_text": flag, "deadline_ms": deadline}, "query", "texts"),
            "not": {"required": ["candidates"]},
        },
        **_plain(),
        **_answers(),
    }  # fmt: skip


def _plain() -> dict[str, Schema]:
    """Objects of the caller's own, so deep and no deeper."""
    text: Schema = {"type": "string", "maxLength": MAX_TEXT, "pattern": _TEXT_PATTERN}
    flat: list[Schema] = [text, {"type": ["number", "boolean", "null"]}]
    found: dict[str, Schema] = {}
    for depth in range(1, MAX_DEPTH + 1):
        inner = [*flat, _ref(f"Plain{depth - 1}"), _list(_ref(f"Inner{depth - 1}"), MAX_VALUES)] if depth > 1 else flat
        found[f"Inner{depth}"] = {"anyOf": inner}
        found[f"Plain{depth}"] = {
            "type": "object",
            "description": f"at most {MAX_VALUES:,} keys and values in all that it holds",
            "maxProperties": MAX_VALUES // 2,
            "propertyNames": text,
            "additionalProperties": _ref(f"Inner{depth}"),
        }
    return found


def _answers() -> dict[str, Schema]:
    fate: Schema = {
        "degraded": {"type": "boolean"},
        "reason": {"enum": [reason.value for reason in Reason]},
        "request_id": _STRING,
        "model": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
        "took_ms": {"type": "number", "minimum": 0},
    }
    rank: Schema = {"type": "integer", "minimum": 1}
    share: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    result: Schema = {"product_id": _STRING, "rank": rank, "score": _NUMBER}
    flags: Schema = {"pinned": {"const": True}, "excluded": {"const": True}}
    scored = _object({"index": _COUNT, "relevance_score": share}, {"document": _ANY_OBJECT})
    difference = _object({"feature": _STRING, "difference": _NUMBER})
    titled: Schema = {"title": _STRING}
    facts: Schema = {
        "ltr": _STRING,
        "bundle": _STRING,
        "model": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "created": {"type": ["string", "null"]},
        "state": _object({"version": _STRING, "as_of": {"type": ["string", "null"]}, "products": _COUNT}),
        "examples": _list(_STRING),
    }
    return {
        "Reranked": _object(
            {
                "results": _list(_object(result, {**flags, "features": _NUMBERS, "contributions": _NUMBERS})),
                **fate,
                "unknown": _COUNT,
            },
            {"base": _NUMBER, "why": _list(difference), "notes": _list(_STRING)},
        ),
        "Searched": _object(
            {
                "query": _STRING,
                "retrieval": _list(_object({"product_id": _STRING, "rank": rank, "score": {"type": ["number", "null"]}, **titled}, {"match": {"type": "object", "additionalProperties": {"type": ["number", "null"]}}})),
                "results": _list(_object({**result, "was": rank, **titled, "product": _ANY_OBJECT}, flags)),
                "candidates": _COUNT,
                **fate,
                "timings_ms": {"type": "object", "additionalProperties": _NUMBER},
            }
        ),
        "CohereScores": _object(
            {
                "id": _STRING,
                "results": _list(scored),
                "meta": _object(
                    {
                        "api_version": _object({"version": {"enum": ["1", "2"]}}),
                        "billed_units": _object({"search_units": _COUNT}),
                    }
                ),
                "usage": _object({"total_tokens": _COUNT}),
                **fate,
            }
        ),
        "ElasticScores": _object({"results": _list(scored), **fate}),
        "TEIScores": _list(_object({"index": _COUNT, "score": share}, {"text": _STRING})),
        "Version": _object(facts),
        "Ready": {**_object({"ready": {"type": "boolean"}}), "additionalProperties": True},
    }  # fmt: skip


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object of these keys and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _lax(properties: Schema, *required: str) -> Schema:
    """An object of these keys and any others."""
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": items, **({} if most is None else {"maxItems": most})}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _degraded_reason() -> Schema:
    return {"enum": [reason.value for reason in Reason if reason is not Reason.NONE]}
