"""What parity needs in an engine for a moment: all under one random name, ltr-parity-..., and removed again.

Removed after failures and Ctrl-C too. The plugin gets a store of its own, which goes as one; nothing else is touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.deployment import native
from ltr.deployment.steps import Step, send
from ltr.engine.connection import Engine, path_of
from ltr.errors import EngineError, LtrError
from ltr.progress import bar

if TYPE_CHECKING:
    from ltr.export import Export

__all__ = ["index_rows", "put_model", "scratch", "stored"]

_CHUNK: Final = 500
_TIMEOUT_S: Final = 60.0


@contextmanager
def scratch(engine: Engine, kind: str) -> Iterator[str]:
    """A name of which nothing is left afterwards."""
    name = f"ltr-parity-{secrets.token_hex(4)}"
    try:
        yield name
    except BaseException as error:
        left = _removed(engine, kind, name)
        if left and isinstance(error, LtrError):
            raise EngineError(f"{error}; {left}") from error
        raise
    if left := _removed(engine, kind, name):
        raise EngineError(left)


def _removed(engine: Engine, kind: str, name: str) -> str:
    """Remove what is called so; returns what to say where that failed."""
    model = path_of("_ml", "trained_models", name) if kind == "native" else path_of("_ltr", name)
    left = []
    for path in (model, path_of(name)):
        try:
            engine.call("DELETE", path, allow=(404,))
        except EngineError as error:
            left.append(f"{path} ({error})")
    return f"scratch could not be removed: {', '.join(left)}; DELETE it" if left else ""


def index_rows(engine: Engine, name: str, rows: NDArray[np.float32]) -> None:
    """One document a row: its number, and each value that is there."""
    count = rows.shape[1]
    fields = {f"f{place}": {"type": "float"} for place in range(count)}
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "mapping": {"total_fields": {"limit": count + 100}}}
    mappings = {"dynamic": False, "properties": {"row": {"type": "integer"}, **fields}}
    engine.call("PUT", path_of(name), {"settings": {"index": settings}, "mappings": mappings}, timeout_s=_TIMEOUT_S)
    with bar("golden rows into the engine", total=len(rows)) as advance:
        for start in range(0, len(rows), _CHUNK):
            lines: list[Any] = []
            for row, values in enumerate(rows[start : start + _CHUNK].astype(np.float64).tolist(), start=start):
                there = {f"f{place}": value for place, value in enumerate(values) if value == value}
                lines += [{"index": {"_id": str(row)}}, {"row": row, **there}]
            told = engine.call("POST", path_of(name, "_bulk"), lines, timeout_s=_TIMEOUT_S)
            if told.get("errors"):
                bad = next(item["index"]["error"] for item in told["items"] if "error" in item["index"])
                raise EngineError(f"{engine.url} refuses a golden row: {bad.get('reason')}")
            advance(len(lines) // 2)
    engine.call("POST", path_of(name, "_refresh"), timeout_s=_TIMEOUT_S)


def stored(place: int) -> dict[str, Any]:
    """The query whose score is a field, and which does not match where the field is absent."""
    return {
        "function_score": {
            "query": {"exists": {"field": f"f{place}"}},
            "field_value_factor": {"field": f"f{place}"},
            "boost_mode": "replace",
        }
    }


def put_model(engine: Engine, export: Export, name: str, queries: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Put the model under a scratch name, its features as they are or these queries; returns the rescore that uses it."""
    if export.kind == "native":
        body = export.model
        if queries is not None:
            asked = [
                {"query_extractor": {"feature_name": feature, "query": query}}
                for feature, query in zip(export.features, queries, strict=True)
            ]
            config = {"learning_to_rank": {"feature_extractors": asked}}
            body = {**body, "inference_config": config}
        (part,) = native.parts(engine, name, body)
        send(engine, part(engine))
        return {"learning_to_rank": {"model_id": name, "params": {"query": "{{query}}"}}}
    features = (export.featureset or {})["featureset"]["features"]
    if queries is not None:
        features = [{**each, "params": [], "template": query} for each, query in zip(features, queries, strict=True)]
    send(engine, Step("PUT", path_of("_ltr", name), "a store of its own"))
    whole = {"featureset": {"name": name, "features": features}}
    send(engine, Step("PUT", path_of("_ltr", name, "_featureset", name), "the features", whole))
    model = {"model": {**export.model["model"], "name": name}}
    send(engine, Step("POST", path_of("_ltr", name, "_featureset", name, "_createmodel"), "the model", model))
    query = {"sltr": {"store": name, "model": name, "params": {"query": "{{query}}"}}}
    return {"query": {"query_weight": 0, "rescore_query_weight": 1, "rescore_query": query}}
