"""Models in the o19s plugin and OpenSearch LTR: a store, a feature set, a model, under the same name per version.

A model is immutable and copies its feature set. One model is read to see whether it is ours; models are never listed, since
the plugin would send them whole (100 MB and more): versions are known by their feature sets, which are small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ltr.deployment.steps import Part, Step, exists
from ltr.engine.connection import Engine, path_of
from ltr.errors import EngineError
from ltr.export.plugin import CACHE, COMPILED

__all__ = ["cache_bytes", "has", "notes", "parts", "ready", "removal", "versions"]

_DEFAULT: Final = "_default_"
_PAGE: Final = 100


def ready(engine: Engine) -> None:
    """The plugin is there and switched on.

    Raises:
        EngineError: it is not; the message says what to do.
    """
    told = engine.call("GET", "/_ltr", allow=(400, 404, 405, 500))
    if isinstance(told, dict) and "stores" in told:
        return
    flavour, version = engine.probe.flavour, ".".join(map(str, engine.probe.version))
    if isinstance(told, dict) and told.get("status") == 500:
        raise EngineError(
            f"the ranking plugin of {engine.url} answers with an error: it may be switched off",
            hint="set ltr.plugin.enabled to true, and look into the server's log",
            status=500,
        )
    where = (
        "install the plugin opensearch-ltr on every node"
        if flavour == "opensearch"
        else f"install the Elasticsearch Learning to Rank plugin (o19s) for {version} on every node"
    )
    raise EngineError(
        f"{engine.url} ({flavour} {version}) has no ranking plugin: it knows no /_ltr",
        hint=f"{where}; or rerank with `ltr search`, which needs no plugin",
    )


def notes(engine: Engine, model: Mapping[str, Any]) -> list[str]:
    """What to know before a model is put: whether it outgrows the cache."""
    size, room = COMPILED * len(str(model["model"]["model"]["definition"])), cache_bytes(engine)
    if size <= room:
        return []
    return [
        f"compiled, the model takes about {size / 1e6:,.0f} MB, and ltr.caches.max_mem of {engine.url} is "
        f"{room / 1e6:,.0f} MB: it would be compiled again at every query, about a second each; raise that setting on "
        "every node, or fit fewer or smaller trees"
    ]


def parts(name: str, featureset: Mapping[str, Any], model: Mapping[str, Any]) -> list[Part]:
    """What a version consists of, in the order in which it is put."""

    def store(engine: Engine) -> Step:
        stores = engine.call("GET", "/_ltr").get("stores", {})
        return Step("PUT", "/_ltr", "the plugin's store of models, an index", done=_DEFAULT in stores)

    def features(engine: Engine) -> Step:
        count = len(featureset["featureset"]["features"])
        step = Step("PUT", path_of("_ltr", "_featureset", name), f"the {count} features as queries", {**featureset})
        there = _element(engine, "featureset", name)
        return step if there is None else _same(step, _queries(there), _queries(featureset["featureset"]))

    def ranker(engine: Engine) -> Step:
        path = path_of("_ltr", "_featureset", name, "_createmodel")
        step = Step("POST", path, "the model, with a copy of its features", {**model})
        there = _element(engine, "model", name)
        if there is None:
            return step
        ours = (_definition(model["model"]["model"]), _queries(featureset["featureset"]))
        return _same(step, (_definition(there["model"]), _queries(there["feature_set"])), ours)

    return [store, features, ranker]


def has(engine: Engine, name: str) -> bool:
    """Whether there is a model of this name."""
    return exists(engine, path_of("_ltr", "_model", name))


def versions(engine: Engine, prefix: str) -> list[str]:
    """Names that begin with the prefix, by their feature sets."""
    found: list[str] = []
    while True:
        told = engine.call(
            "GET",
            "/_ltr/_featureset",
            params={"prefix": prefix, "from": len(found), "size": _PAGE, "filter_path": "hits.hits._source.name"},
            allow=(404,),
        )
        page = [hit["_source"]["name"] for hit in (told.get("hits") or {}).get("hits", ())]
        found += page
        if len(page) < _PAGE:
            return found


def removal(name: str) -> list[Step]:
    """What takes a version away, the model first."""
    return [
        Step("DELETE", path_of("_ltr", "_model", name), "an old model"),
        Step("DELETE", path_of("_ltr", "_featureset", name), "its features"),
    ]


def cache_bytes(engine: Engine) -> int:
    """The room for compiled models on a node: what ltr.caches.max_mem says, else the plugin's default for its heap."""
    told = engine.call(
        "GET",
        "/_nodes/_local",
        params={"filter_path": "nodes.*.settings.ltr,nodes.*.jvm.mem.heap_max_in_bytes"},
        allow=(400, 403, 404),
    )
    node: dict[str, Any] = next(iter((told.get("nodes") or {}).values()), {}) if isinstance(told, dict) else {}
    heap = int(node.get("jvm", {}).get("mem", {}).get("heap_max_in_bytes", 10 * CACHE))
    dynamic = engine.call("GET", "/_cluster/settings", params={"flat_settings": True}, allow=(400, 403, 404))
    for setting in (dynamic.get("transient"), dynamic.get("persistent"), node.get("settings")):
        if isinstance(setting, dict) and (given := _setting(setting)):
            return _bytes(given, heap)
    if engine.probe.flavour == "opensearch" and engine.probe.version[:2] > (3, 8):
        return min(heap // 10, max(heap // 100, CACHE))
    return min(heap // 10, CACHE)


def _setting(settings: Mapping[str, Any]) -> str:
    nested = settings.get("ltr")
    caches = nested.get("caches") if isinstance(nested, dict) else None
    found = caches.get("max_mem") if isinstance(caches, dict) else settings.get("ltr.caches.max_mem")
    return str(found or "")


def _bytes(text: str, heap: int) -> int:
    """An engine's size in bytes, such as 50mb or 10%."""
    number = "".join(letter for letter in text if letter.isdigit() or letter == ".")
    unit = text.lower().removeprefix(number).strip()
    if unit == "%":
        return int(heap * float(number) / 100)
    scale = {"": 1, "b": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30}
    return int(float(number) * scale[unit]) if number and unit in scale else CACHE


def _element(engine: Engine, kind: str, name: str) -> dict[str, Any] | None:
    """A stored element, None where there is none."""
    told = engine.call("GET", path_of("_ltr", f"_{kind}", name), allow=(404,))
    held = told.get("_source", {}).get(kind) if isinstance(told, dict) else None
    return held if isinstance(held, dict) else None


def _same(step: Step, there: Any, ours: Any) -> Step:
    if there != ours:
        raise EngineError(
            f"{step.path.replace('/_createmodel', '')} is there already, with another content",
            hint="somebody else put it: export under another name (--name), or remove it",
            status=409,
        )
    return Step(step.method, step.path, step.why, step.body, done=True)


def _queries(featureset: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What two equal feature sets agree on: the plugin keeps a template as the text of its JSON."""
    return [
        (each["name"], sorted(each.get("params", ())), each.get("template_language"), _parsed(each.get("template")))
        for each in featureset["features"]
    ]


def _definition(model: Mapping[str, Any]) -> Any:
    return model.get("type"), _parsed(model.get("definition"))


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
