"""One feature, one engine query: what Elasticsearch and OpenSearch are asked so that they see what the ranker was fitted on.

A query is JSON in which "{{query}}" stands for what the shopper typed: filled in by ``ltr.engine.fill`` for named queries, by
mustache in the plugin's templates and in Elastic's query extractors. ``explicit`` makes it match every document, so that no
feature is ever absent and every release of the plugin, whatever it takes an absent one for, sees the same number:

    {"bool": {"must": [{"match_all": {"boost": 0}}], "should": [QUERY]}}              0 where QUERY does not match

An engine's scores are float32 and never negative, so a feature needs ``missing`` ≥ 0, and a number ``at_least`` ≥ 0.

>>> from ltr.features.definition import parse
>>> wanted = parse({"name": "tiny", "feature": [
...     {"name": "in_title", "kind": "match", "field": "title", "missing": 0},
...     {"name": "price", "kind": "number", "field": "price", "log": True, "at_least": 0, "missing": 0},
...     {"name": "alike", "kind": "cosine", "field": "title"}]})
>>> clause(wanted.features[0])
{'match': {'title': {'query': '{{query}}'}}}
>>> list(unsupported(wanted))
['alike']
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from ltr.errors import ExportError
from ltr.features.definition import Feature, FeatureSet
from ltr.features.match import MatchParams
from ltr.features.product import NumberParams

__all__ = ["QUERY", "clause", "clauses", "explicit", "missing", "unsupported"]

QUERY: Final = "{{query}}"

Query = dict[str, Any]

# What to write instead of a kind of ours; any other kind has no like.
_INSTEAD: Final = {
    "bm25": 'kind = "match" asks the engine for its own BM25',
    "coverage": 'kind = "match" with operator = "and" and constant = true says whether all terms are there',
    "exact": 'kind = "match" with query = "term" on a keyword field or subfield',
    "phrase": 'kind = "match" with query = "match_phrase"',
    "prefix": 'kind = "match" with query = "match_bool_prefix"',
    "keyword": 'kind = "match" on a text field or subfield of the values',
    "ngram": 'kind = "match" with fuzziness = "AUTO", or on a subfield of n-grams',
    "number_in_query": 'kind = "match" on a text subfield of the number, with constant = true',
}
_BY_SCOPE: Final = {
    "list": "an engine scores one product at a time and never sees the list",
    "query": "it is of the query alone, and an engine scores products",
}


def clause(feature: Feature, *, nested: Mapping[str, str] | None = None, booleans: Collection[str] = ()) -> Query:
    """The query whose score the feature is, where a product matches it.

    Args:
        feature: of kind match or number.
        nested: field -> the nested object that it is in.
        booleans: fields that are no numbers to an engine: 1 where they are true.

    Raises:
        ExportError: no engine expresses the feature.
    """
    if reason := _unfit(feature, booleans):
        raise ExportError(f"feature {feature.name!r}: {reason}")
    params, within = feature.params, nested or {}
    if isinstance(params, MatchParams):
        fields = params.fields or (params.field or "",)
        paths = {within.get(field) for field in fields}
        if len(paths) > 1:
            raise ExportError(
                f"feature {feature.name!r}: its fields are in nested objects and outside", hint="split it into several"
            )
        query = _matched(params, [f"{name}.{params.subfield}" if params.subfield else name for name in fields])
        return _inside(query, paths.pop(), "max")
    if isinstance(params, NumberParams):
        query = _true(params.field) if params.field in booleans else _number(params)
        return _inside(query, within.get(params.field), "min")
    raise ExportError(f"feature {feature.name!r}: kind {feature.kind!r} is no query")


def explicit(
    feature: Feature,
    *,
    nested: Mapping[str, str] | None = None,
    booleans: Collection[str] = (),
    name: str | None = None,
) -> Query:
    """The same for every document: ``feature.missing`` where it does not match; ``name`` makes it a named query."""
    asked = clause(feature, nested=nested, booleans=booleans)
    should = [asked]
    if feature.missing:
        absent = {"bool": {"must_not": [asked]}}
        should.append({"constant_score": {"filter": absent, "boost": feature.missing}})
    named = {"_name": name} if name is not None else {}
    return {"bool": {"must": [{"match_all": {"boost": 0}}], "should": should, **named}}


def clauses(feature_set: FeatureSet, *, nested: Mapping[str, str] | None = None) -> dict[str, Query]:
    """The queries of the features that come with the candidates (kind match), whatever they count as when they are absent."""
    return {
        feature.name: clause(_declared(feature), nested=nested)
        for feature in feature_set.features
        if feature.kind == "match"
    }


def missing(feature_set: FeatureSet) -> dict[str, float]:
    """What those features are where they do not match, as far as the set says; else NaN."""
    return {
        feature.name: feature.missing
        for feature in feature_set.features
        if feature.kind == "match" and feature.missing is not None
    }


def unsupported(feature_set: FeatureSet, *, booleans: Collection[str] = ()) -> dict[str, str]:
    """The features that no engine expresses: why, and what could be done."""
    return {feature.name: reason for feature in feature_set.features if (reason := _unfit(feature, booleans))}


def _unfit(feature: Feature, booleans: Collection[str]) -> str:
    """Why an engine cannot express a feature; empty where it can."""
    params, scope = feature.params, feature.definition.scope
    if feature.definition.learnt:
        return "it is learnt from judgments, which an engine does not hold; serve it, or leave it out"
    if feature.form or scope in _BY_SCOPE:
        return f"{_BY_SCOPE.get(scope, _BY_SCOPE['list'])}; serve it, or leave it out"
    if not isinstance(params, MatchParams | NumberParams):
        instead = _INSTEAD.get(feature.kind)
        return f"kind {feature.kind!r} is worked out by ltr alone; {instead or 'serve it, or leave it out'}"
    if isinstance(params, NumberParams) and params.field in booleans:
        plain = not params.log and not params.at_least and feature.missing == 0
        return (
            "" if plain else "a field of true and false is 1 where it is true, else 0; declare missing = 0 and no more"
        )
    if isinstance(params, NumberParams) and (params.at_least is None or params.at_least < 0):
        return "an engine's scores are never negative; declare at_least = 0, which counts what is below as missing"
    if feature.missing is None or feature.missing < 0:
        return "what a product without it has must be a number from 0; declare missing = 0"
    return ""


def _matched(params: MatchParams, fields: list[str]) -> Query:
    settings: Query = {}
    if params.operator != "or":
        settings["operator"] = params.operator
    if params.fuzziness is not None:
        settings["fuzziness"] = params.fuzziness
    if params.slop:
        settings["slop"] = params.slop
    query: Query
    if params.fields:
        query = {"multi_match": {"query": QUERY, "type": params.type or "best_fields", "fields": fields, **settings}}
    elif params.query in ("term", "fuzzy"):
        query = {params.query: {fields[0]: {"value": QUERY, **settings}}}
    else:
        query = {params.query: {fields[0]: {"query": QUERY, **settings}}}
    return {"constant_score": {"filter": query}} if params.constant else query


def _number(params: NumberParams) -> Query:
    """A number as a score; the range keeps out what is missing or below, one of which would fail the whole search."""
    factor: Query = {"field": params.field}
    if params.log:
        factor["modifier"] = "ln1p"
    return {
        "function_score": {
            "query": {"range": {params.field: {"gte": params.at_least}}},
            "field_value_factor": factor,
            "boost_mode": "replace",
        }
    }


def _true(field: str) -> Query:
    return {"constant_score": {"filter": {"term": {field: {"value": True}}}}}


def _inside(query: Query, path: str | None, mode: str) -> Query:
    return query if path is None else {"nested": {"path": path, "query": query, "score_mode": mode}}


def _declared(feature: Feature) -> Feature:
    """The feature as an engine could have it; only exporting insists that it says what it is where it is absent."""
    return replace(feature, missing=0.0)
