"""What of a search body decides which products come and in which order; the rest of it is for the page that a person sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from ltr.errors import ConfigError

__all__ = [
    "RANKS",
    "check",
    "filters",
    "multi_match",
    "nearest",
    "number",
    "ordering",
    "query_of",
    "relevance",
    "sorts",
]

Body = dict[str, Any]

# Neither hits nor their order depend on these.
_SHOWN: Final = frozenset(
    {
        "aggregations", "aggs", "docvalue_fields", "explain", "ext", "fields", "from", "highlight", "profile",
        "script_fields", "seq_no_primary_term", "size", "_source", "stats", "stored_fields", "suggest",
        "track_scores", "track_total_hits", "version",
    }
)  # fmt: skip
# What is looked into here and in ``serving``, and must be objects.
_OBJECTS: Final = (("query",), ("query", "bool"), ("collapse",), ("rank",), ("rank", "rrf"), ("retriever",))
# The body brings a ranking of several parts of its own.
RANKS: Final = ("knn", "retriever", "rank", "sub_searches")
# A neighbour list is exact where as many are looked at as there are; with so many it is all but that.
_LOOKED_AT: Final = 1_000
_MOST_LOOKED_AT: Final = 10_000


def multi_match(fields: Mapping[str, float], combine: Literal["sum", "best"]) -> Body:
    """The body of a query over weighted fields.

    >>> multi_match({"title": 2.0}, "sum")
    {'query': {'multi_match': {'query': '{{query}}', 'type': 'most_fields', 'fields': ['title^2']}}}
    """
    kind = "most_fields" if combine == "sum" else "best_fields"
    weighted = [f"{field}^{weight:.9g}" for field, weight in fields.items()]
    return {"query": {"multi_match": {"query": "{{query}}", "type": kind, "fields": weighted}}}


def check(body: Mapping[str, Any]) -> None:
    """ConfigError where a part of a body is of a shape that no engine takes.

    >>> check({"query": {"match": {"title": "{{query}}"}}, "rescore": [{"window_size": 50}]})
    """
    retriever = body.get("retriever")
    kinds = [("retriever", kind) for kind in retriever] if isinstance(retriever, dict) else []
    for path in (*_OBJECTS, *kinds):
        part: Any = body
        for key in path:
            part = part.get(key, {})
        if not isinstance(part, dict):
            raise _misshapen(".".join(path), part)
    rescore = body.get("rescore", [])
    for each in rescore if isinstance(rescore, list) else [rescore]:
        if not isinstance(each, dict):
            raise _misshapen("rescore", each)


def number(given: Any, name: str) -> int:
    """A whole number of a body, written in digits or as text.

    >>> number("10", "size")
    10
    """
    try:
        return int(given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} of the search body is {given!r}", hint="give a whole number") from error


def _misshapen(name: str, given: Any) -> ConfigError:
    return ConfigError(f"{name} of the search body is {given!r}", hint="give an object, as the engine wants it")


def ordering(body: Mapping[str, Any]) -> Body:
    """The parts of a body that decide about hits and order."""
    kept = {key: value for key, value in body.items() if key not in _SHOWN}
    if "collapse" in kept:
        kept["collapse"] = {key: value for key, value in kept["collapse"].items() if key != "inner_hits"}
    return kept


def sorts(body: Mapping[str, Any]) -> list[Any]:
    """The keys of the body's sort, an empty list where it has none."""
    given = body.get("sort")
    return [] if given is None else given if isinstance(given, list) else [given]


def relevance(body: Mapping[str, Any]) -> bool:
    """Whether the hits come by score, best first; keys after the score only part equal ones."""
    keys = sorts(body)
    if not keys:
        return True
    name, wanted = next(iter(keys[0].items())) if isinstance(keys[0], dict) and keys[0] else (keys[0], "desc")
    order = wanted.get("order", "desc") if isinstance(wanted, dict) else wanted
    return name == "_score" and order == "desc"


def query_of(body: Mapping[str, Any]) -> Any:
    """The query whose score a product has for itself, whatever else is found.

    Raises:
        ConfigError: the body has none: its order comes of ranks, or of a sort.
    """
    standard = body.get("retriever", {}).get("standard", {})
    query = body.get("query", standard.get("query"))
    if query is None:
        raise ConfigError(
            "the search body has no query by which judged products could be scored",
            hint='give [retrieval] a body with "query", or fields, or set candidates.from = "retrieval"',
        )
    if "filter" in standard and "query" not in body:
        return {"bool": {"must": [query], "filter": standard["filter"]}}
    return query


def filters(body: Mapping[str, Any]) -> list[Any]:
    """What the body demands of every hit, for the list of neighbours to obey too: filter, must_not and post_filter."""
    found: list[Any] = []
    outer = body.get("query", {}).get("bool", {})
    for key in ("filter", "must_not"):
        given = outer.get(key, [])
        each = given if isinstance(given, list) else [given]
        if each:
            found.append({"bool": {key: each}})
    if "post_filter" in body:
        found.append(body["post_filter"])
    return found


def nearest(field: str, vector: list[float], k: int) -> Body:
    """A ``knn`` of the k products whose vectors are nearest."""
    return {"field": field, "query_vector": vector, "k": k, "num_candidates": min(_MOST_LOOKED_AT, max(k, _LOOKED_AT))}
