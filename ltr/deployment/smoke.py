"""The smoke query: the model answers on the index before anybody is sent to it.

Two searches. Every document may match, so that there is something to score whatever the index holds; and the template's own
search, so that the engine has taken body and rescore together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from ltr.deployment.steps import Step
from ltr.engine.connection import Engine, path_of
from ltr.engine.template import fill, names
from ltr.errors import EngineError

__all__ = ["smoke", "step"]

_HITS: Final = 10
# Compiling a large model takes a while, the first time.
_TIMEOUT_S: Final = 60.0
_ASKED: Final = "test"


def step(index: str, rescore: Any, *, done: bool) -> Step:
    """The smoke query as a step, which writes nothing."""
    why = f"the smoke query: the new model must score documents of {index}"
    return Step("POST", path_of(index, "_search"), why, _search(rescore), writes=False, done=done)


def smoke(engine: Engine, index: str, rescore: Any, body: Mapping[str, Any]) -> None:
    """Ask the model about the index.

    Args:
        engine: which has the model.
        index: with at least one document.
        rescore: that names the model.
        body: the template's search.

    Raises:
        EngineError: no document, a shard that failed, a hit without a score, a search that is refused.
    """
    asked = _search(rescore)
    if not _scored(engine, index, asked):
        raise EngineError(
            f"index {index!r} of {engine.url} has no document to try the model on", hint="index the catalogue first"
        )
    filled = {**body, "from": 0, "size": asked["size"]}
    if names(filled) <= {"query"}:
        _scored(engine, index, fill(filled, query=_ASKED))


def _search(rescore: Any) -> dict[str, Any]:
    size = min(_HITS, int(rescore.get("window_size", _HITS)))
    return {"size": size, "_source": False, "query": {"match_all": {}}, "rescore": fill(rescore, query=_ASKED)}


def _scored(engine: Engine, index: str, body: Mapping[str, Any]) -> int:
    told = engine.call("POST", path_of(index, "_search"), body, timeout_s=_TIMEOUT_S)
    shards = told.get("_shards", {})
    if shards.get("failed"):
        reason = (shards.get("failures") or [{}])[0].get("reason", {}).get("reason", "no reason given")
        raise EngineError(f"the model fails on {shards['failed']} shards of index {index!r}: {reason}")
    hits = told["hits"]["hits"]
    bad = [hit for hit in hits if not isinstance(hit.get("_score"), int | float) or not math.isfinite(hit["_score"])]
    if bad:
        raise EngineError(
            f"the model gives document {bad[0].get('_id')!r} of index {index!r} the score {bad[0].get('_score')!r}",
            hint="`ltr parity` compares the engine's scores with those expected",
        )
    return len(hits)
