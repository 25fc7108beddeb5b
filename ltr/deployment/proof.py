"""The proof inside the engine: an export's golden rows and real candidates, scored by the engine's own evaluator.

Scratch, all under one random name, ltr-parity-..., and removed again, after failures and Ctrl-C too:

    an index        one document a golden row, one float field a feature, absent where the value is
    a feature set   each feature reads its field as the score (field_value_factor), and does not match where it is absent
    the model       as it was exported

float32 numbers survive JSON and a float field exactly, so the engine's scores must be those that the emulation of its release
expects, to the bit. Where an index is named, the real queries run too: the engine says each feature's value of real documents and
the model's score, and the emulation must come to the same score from those values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.deployment import native, plugin
from ltr.deployment.scratch import index_rows, put_model, scratch, stored
from ltr.engine.connection import Engine, path_of
from ltr.engine.template import fill
from ltr.errors import EngineError
from ltr.progress import bar

if TYPE_CHECKING:
    from ltr.export import Export, ParityReport

__all__ = ["generation_of", "parity"]

_CHUNK: Final = 500
# Elasticsearch releases that the plugin was built for before and after o19s #482 (2024-01).
_O19S: Final = (8, 12)
_NAN_TO_NO: Final = (3, 2)
_MISSING: Final = (3, 8)
_LOG: Final = "ltr_parity"
_QUERIES: Final = 5
_DEPTH: Final = 50
_WORDS: Final = 4
_TIMEOUT_S: Final = 60.0


def parity(engine: Engine, export: Export, *, index: str | None = None) -> ParityReport:
    """Score the golden rows inside the engine and compare; then, where an index is named, real candidates.

    Returns:
        The report on the golden rows that an engine can make. ``by_generation`` is of the rule for absent values that the
        engine's release has or, where a fix was carried back to it, the one that it turns out to have; "real candidates"
        stands beside it.

    Raises:
        EngineError: the engine cannot take the export, or what is scratch could not be removed; the message names it.
    """
    from ltr.export import parity as proof
    from ltr.export.emulation import GENERATIONS

    (native if export.kind == "native" else plugin).ready(engine)
    kept = export.golden[proof.ENGINE].to_numpy()
    rows = proof.matrix(export.golden, export.features)[kept]
    with scratch(engine, export.kind) as name:
        index_rows(engine, name, rows)
        rescore = put_model(engine, export, name, [stored(place) for place in range(len(export.features))])
        scores = _scores(engine, name, rescore, len(rows))
    likely = generation_of(engine, export.kind)
    others = [each for each in GENERATIONS[export.kind] if each != likely]
    reports = {each: proof.compare(export, {each: scores}, kept=kept) for each in (likely, *others)}
    generation = next((each for each, report in reports.items() if report.by_generation[each] == 0.0), likely)
    report = reports[generation]
    if index is None:
        return report
    with scratch(engine, export.kind) as name:
        found = _real(engine, export, name, index, generation)
    return replace(report, by_generation={**report.by_generation, "real candidates": found})


def generation_of(engine: Engine, kind: str) -> str:
    """Which rule for absent values the engine's release has (``ltr.export.emulation``)."""
    if kind == "native":
        return "native"
    version = engine.probe.version[:2]
    if engine.probe.flavour == "opensearch":
        return "missing" if version >= _MISSING else "nan_to_no" if version >= _NAN_TO_NO else "zero"
    return "missing" if version > _O19S else "zero"


def _scores(engine: Engine, name: str, rescore: Mapping[str, Any], count: int) -> NDArray[np.float32]:
    """The engine's score of each row."""
    found = np.full(count, np.nan, dtype=np.float32)
    with bar("scored by the engine", total=count) as advance:
        for start in range(0, count, _CHUNK):
            body = {
                "size": _CHUNK,
                "_source": False,
                "query": {"bool": {"filter": [{"range": {"row": {"gte": start, "lt": start + _CHUNK}}}]}},
                "rescore": {"window_size": _CHUNK, **fill(rescore, query="")},
            }
            hits = _hits(engine.call("POST", path_of(name, "_search"), body, timeout_s=_TIMEOUT_S))
            for hit in hits:
                found[int(hit["_id"])] = hit["_score"]
            advance(len(hits))
    return found


def _real(engine: Engine, export: Export, name: str, index: str, generation: str) -> float:
    """The largest difference between the engine's scores of real documents and the emulation's, from the engine's values."""
    rescore = {"window_size": _DEPTH, **put_model(engine, export, name, None)}
    largest = 0.0
    for text in _texts(engine, index):
        candidates: dict[str, Any] = {
            "bool": {"must": [{"match_all": {}}], "should": [{"multi_match": {"query": text, "lenient": True}}]}
        }
        asked = {"size": _DEPTH, "_source": False, "rescore": fill(rescore, query=text)}
        if export.kind == "native":
            hits = _hits(engine.call("POST", path_of(index, "_search"), {**asked, "query": candidates}))
            values = _named(engine, export, index, text, [hit["_id"] for hit in hits])
        else:
            logging = {"sltr": {"_name": _LOG, "store": name, "featureset": name, "params": {"query": text}}}
            candidates["bool"]["filter"] = [logging]
            log = {"ltr_log": {"log_specs": {"name": _LOG, "named_query": _LOG}}}
            hits = _hits(engine.call("POST", path_of(index, "_search"), {**asked, "query": candidates, "ext": log}))
            values = [{each["name"]: each.get("value") for each in _logged(hit)} for hit in hits]
        if not hits:
            continue
        rows = np.array([[each.get(feature) for feature in export.features] for each in values], dtype=np.float64)
        expected, _ = export.trees.score(rows.astype(np.float32), generation=generation)
        given = np.array([hit["_score"] for hit in hits], dtype=np.float32)
        difference = np.abs(given.astype(np.float64) - expected.astype(np.float64))
        largest = max(largest, float(np.where(np.isnan(difference), np.inf, difference).max()))
    return largest


def _logged(hit: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(log[_LOG] for log in hit["fields"]["_ltrlog"] if _LOG in log)
    return found


def _named(engine: Engine, export: Export, index: str, text: str, ids: list[str]) -> list[dict[str, Any]]:
    """Each feature of each document, as the scores of named queries: the native model logs nothing."""
    extractors = export.model["inference_config"]["learning_to_rank"]["feature_extractors"]
    named = []
    for each in extractors:
        feature, query = each["query_extractor"]["feature_name"], fill(each["query_extractor"]["query"], query=text)
        named.append({"bool": {"must": [query], "_name": feature}})
    body = {
        "size": len(ids),
        "_source": False,
        "query": {"bool": {"filter": [{"ids": {"values": ids}}], "should": named}},
    }
    told = engine.call("POST", path_of(index, "_search"), body, params={"include_named_queries_score": True})
    found = {hit["_id"]: dict(hit.get("matched_queries", {})) for hit in _hits(told)}
    return [found.get(each, {}) for each in ids]


def _texts(engine: Engine, index: str) -> list[str]:
    """Queries that have candidates: words of some documents; and one with all that could pass for syntax."""
    hits = _hits(engine.call("POST", path_of(index, "_search"), {"size": _QUERIES, "query": {"match_all": {}}}))
    found = [next(_words(hit.get("_source")), "") for hit in hits]
    texts = list(dict.fromkeys(text for text in found if text))
    return [*texts, *(f"{text} \"5' {{{{query}}}} \\ +x*" for text in texts[:1])]


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _words(each)
    if isinstance(value, str) and any(letter.isalpha() for letter in value):
        yield " ".join(value.split()[:_WORDS])


def _hits(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    shards = told.get("_shards", {})
    if shards.get("failed"):
        reason = (shards.get("failures") or [{}])[0].get("reason", {}).get("reason", "no reason given")
        raise EngineError(f"the search failed on {shards['failed']} shards: {reason}")
    hits: list[dict[str, Any]] = told["hits"]["hits"]
    return hits
