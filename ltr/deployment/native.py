"""Models in Elasticsearch's own learning_to_rank: one trained model per version, with its queries inside.

Elastic's licence lets only Enterprise and trial clusters put one; searching the rest of the engine needs no such licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ltr.deployment.pointer import page_of
from ltr.deployment.steps import Part, Step, exists
from ltr.engine.connection import Engine, path_of
from ltr.errors import EngineError, ExportError

__all__ = ["has", "licence", "page", "parts", "ready", "removal", "versions"]

_LICENCES: Final = ("enterprise", "trial")
_FIRST: Final = (8, 12)
# From here on the engine works out the fields itself, and refuses to be told.
_UNTOLD: Final = (8, 15)
_PAGE: Final = 100
_INSTEAD: Final = "export --to plugin for the free plugin, or rerank with `ltr search`, which needs neither"


def ready(engine: Engine) -> None:
    """Elasticsearch, new enough, under a licence that lets models be put.

    Raises:
        EngineError: it is not; the message says what to do.
    """
    flavour, version = engine.probe.flavour, engine.probe.version
    shown = ".".join(map(str, version))
    if flavour != "elasticsearch":
        raise EngineError(
            f"{engine.url} is {flavour} {shown}, and only Elasticsearch has native learning_to_rank", hint=_INSTEAD
        )
    if version[:2] < _FIRST:
        raise EngineError(f"{engine.url} is Elasticsearch {shown}, and learning_to_rank came with 8.12", hint=_INSTEAD)
    told = engine.call("GET", "/_license", allow=(400, 403, 404, 405, 410))
    licence = told.get("license") if isinstance(told, dict) else None
    # Where it may not be asked (serverless, a narrow key), putting the model tells.
    if isinstance(licence, dict) and (licence.get("type") not in _LICENCES or licence.get("status") != "active"):
        raise _unlicensed(engine, f"its licence is {licence.get('type')} ({licence.get('status')})")
    told = engine.call("GET", path_of("_ml", "trained_models", "ltr-*"), params={"size": 1}, allow=(400, 404, 405))
    if "count" not in told:
        raise EngineError(f"{engine.url} has no machine learning: it knows no /_ml/trained_models", hint=_INSTEAD)


def parts(engine: Engine, name: str, model: Mapping[str, Any]) -> list[Part]:
    """What a version consists of: one document."""
    body = {**model, "metadata": {**model.get("metadata", {}), "ltr": {"version": name}}}
    if engine.probe.version[:2] < _UNTOLD:
        extractors = model["inference_config"]["learning_to_rank"]["feature_extractors"]
        body["input"] = {"field_names": [each["query_extractor"]["feature_name"] for each in extractors]}
    path = path_of("_ml", "trained_models", name)

    def ranker(asked: Engine) -> Step:
        step = Step("PUT", path, "the model, with its features as queries (Enterprise or trial licence)", body)
        told = asked.call("GET", path, allow=(404,))
        found = next(iter(told.get("trained_model_configs", ())), None)
        if found is None:
            return step
        theirs = (found.get("metadata") or {}).get("ltr")
        if theirs != {"version": name}:
            raise EngineError(
                f"{path} is there already, and not from this export",
                hint="somebody else put it: export under another name (--name), or remove it",
                status=409,
            )
        return Step(step.method, step.path, step.why, body, done=True)

    return [ranker]


def page(body: Mapping[str, Any], rescore: Mapping[str, Any]) -> str:
    """What to know of pages, which the model's window has to cover.

    Raises:
        ExportError: the search's own page is larger than the window, or no page.
    """
    window, size = int(rescore["window_size"]), sum(page_of(body).values())
    if size > window:
        raise ExportError(
            f"the search shows {size} hits, and the model orders {window}, of which Elasticsearch shows none further",
            hint=f"set candidates.depth to {size} or more and train again, or show fewer",
        )
    return f"Elasticsearch refuses a page that ends after hit {window}, where the model's window ends"


def licence(engine: Engine, error: EngineError) -> EngineError:
    """What a refusal of 403 is: most often the licence."""
    return _unlicensed(engine, str(error)) if error.status == 403 else error


def has(engine: Engine, name: str) -> bool:
    """Whether there is a model of this name."""
    return exists(engine, path_of("_ml", "trained_models", name))


def versions(engine: Engine, prefix: str) -> list[str]:
    """Names that begin with the prefix; the engine sends no definitions with them."""
    found: list[str] = []
    while True:
        told = engine.call(
            "GET",
            path_of("_ml", "trained_models", f"{prefix}*"),
            params={"from": len(found), "size": _PAGE, "filter_path": "trained_model_configs.model_id"},
            allow=(404,),
        )
        page = [each["model_id"] for each in told.get("trained_model_configs", ())]
        found += page
        if len(page) < _PAGE:
            return found


def removal(name: str) -> list[Step]:
    """What takes a version away."""
    return [Step("DELETE", path_of("_ml", "trained_models", name), "an old model")]


def _unlicensed(engine: Engine, told: str) -> EngineError:
    return EngineError(
        f"{engine.url} takes no native model: {told}; Elastic's learning_to_rank needs an Enterprise licence or a trial",
        hint=f"start a trial (POST /_license/start_trial), or {_INSTEAD}",
        status=403,
    )
