"""Deploying and rolling back: what is sent in which order, and what a failure on the way leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ltr.deployment import native, plugin, pointer
from ltr.deployment.smoke import smoke
from ltr.deployment.smoke import step as smoke_step
from ltr.deployment.steps import Part, Step, put
from ltr.engine.connection import Engine, path_of
from ltr.errors import EngineError, LtrError

if TYPE_CHECKING:
    from ltr.export import Export

__all__ = ["Deployed", "deploy", "plan", "rollback"]

# What an export that says nothing of it searches: every field that the index searches by default.
_SEARCH: Final = {"query": {"multi_match": {"query": "{{query}}"}}}


@dataclass(frozen=True)
class Deployed:
    """What applications that call the template get.

    Args:
        name: of the template.
        version: of model and search, which answers.
        model: what the engine calls the model.
        before: the version that a rollback takes; None where there is none.
        changed: whether anything was written, or would be.
        steps: what was sent or, of a dry run, would be; ``done`` = it was there already.
        old: models of further versions, which stay until they are pruned.
        notes: what a person should know, one sentence each.
    """

    name: str
    version: str
    model: str
    before: str | None
    changed: bool
    steps: tuple[Step, ...]
    old: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "version": self.version,
            "model": self.model,
            "before": self.before,
            "changed": self.changed,
            "steps": [step.to_json() for step in self.steps],
            "old": list(self.old),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Planned:
    """What a deployment comes to, and what is there before it."""

    now: pointer.Head | None
    version: str
    before: str
    rescore: Any
    body: dict[str, Any]
    model: list[Part]
    templates: list[Part]
    steps: list[Step]
    old: list[str]
    removals: list[Step]
    notes: list[str]


def plan(engine: Engine, export: Export, index: str, *, body: Mapping[str, Any] | None = None) -> list[Step]:
    """Every request of a deployment, in order; ``done`` what the engine has already. Nothing is written.

    Raises:
        EngineError: the engine cannot take it.
        ExportError: the search body cannot be rescored.
    """
    return _plan(engine, export, index, body, prune=False).steps


def deploy(
    engine: Engine,
    export: Export,
    *,
    index: str,
    body: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    prune: bool = False,
    told: Callable[[Step], None] = lambda _step: None,
) -> Deployed:
    """Put an export into an engine, the template that applications call last.

    Args:
        engine: Elasticsearch or OpenSearch.
        export: of kind plugin or native.
        index: an index or alias with documents, which the model is tried on.
        body: the search that is rescored, {{query}} in it; None = the export's.
        dry_run: only read; the steps are those that would be sent.
        prune: remove the versions but this and the one before.
        told: called with each step once it has been sent.

    Raises:
        EngineError: the engine cannot take it, or failed; the message says what answers now and what stays.
        ExportError: the search body cannot be rescored.
    """
    planned = _plan(engine, export, index, body, prune=prune)
    steps, old = planned.steps, planned.old
    if not dry_run and not all(step.done for step in steps):
        steps = _put(engine, export, index, planned, told)
    if prune:
        if not dry_run:
            _remove(engine, planned, told)
        steps, old = [*steps, *planned.removals], []
    changed = any(step.writes and not step.done for step in steps)
    before = planned.before or None
    notes = tuple(planned.notes)
    return Deployed(export.name, planned.version, export.version, before, changed, tuple(steps), tuple(old), notes)


def rollback(
    engine: Engine, name: str, *, dry_run: bool = False, told: Callable[[Step], None] = lambda _step: None
) -> Deployed:
    """Have applications get the version before; which one it is, the engine itself remembers.

    Raises:
        EngineError: there is none, or it has been removed.
    """
    now = pointer.current(engine, name)
    if now is None:
        raise EngineError(f"{engine.url} has no stored template {name!r}", hint="check the name, or deploy first")
    version, before = now.version, now.after
    if not before:
        raise EngineError(f"{name!r} answers with {version}, and there is no version before it", hint="deploy another")
    text = pointer.stored(engine, before)
    found = pointer.read(text) if text is not None else None
    model = pointer.model_of(text) if text is not None and found else None
    if text is None or found is None or model is None or not _kind(model[0]).has(engine, model[1]):
        raise EngineError(
            f"{before}, the version before {version}, has been removed; {name!r} answers as before",
            hint="deploy its export again",
        )
    after = found.after if found.after in now.kept else ""
    text = pointer.source(json.loads(pointer.without_head(text)), pointer.Head(before, after, now.kept))
    part = pointer.part(name, text, f"what applications call: {before} instead of {version}", whole=True)
    step = part(engine) if dry_run else put(engine, part)
    if not dry_run:
        told(step)
    return Deployed(name, before, model[1], after or None, True, (step,))


def _plan(engine: Engine, export: Export, index: str, body: Mapping[str, Any] | None, *, prune: bool) -> _Planned:
    notes = _ready(engine, export)
    if engine.call("HEAD", path_of(index), allow=(404,)) is None:
        raise EngineError(f"{engine.url} has no index {index!r}", hint="name the index or alias that is searched")
    name, rescore = export.name, export.rescore["rescore"]
    now = pointer.current(engine, name)
    given = body or export.about.get("search")
    if not given:
        notes.append("the export names no search: the template asks every field that the index searches by default")
    search = pointer.body_of(given or _SEARCH, rescore)
    if export.kind == "native":
        notes.append(native.page(given or _SEARCH, rescore))
    version = pointer.version_of(export.version, search)
    before = "" if now is None else now.after if now.version == version else now.version
    known = now.kept if now else ()
    kept = tuple(filter(None, (before, version))) if prune else tuple(dict.fromkeys((*known, version)))
    head = pointer.Head(version, before)
    pointed = pointer.source(search, replace(head, kept=kept))
    pointer.check(engine, pointed)
    told = f"what applications call: {version}" + (
        f" instead of {now.version}" if now and before == now.version else ""
    )
    templates = [
        pointer.part(version, pointer.source(search, head), "this model's search, kept for a rollback", whole=False),
        pointer.part(name, pointed, told, whole=True),
    ]
    model = _parts(engine, export)
    steps = [part(engine) for part in model]
    last = [part(engine) for part in templates]
    steps = [*steps, smoke_step(index, rescore, done=all(step.done for step in (*steps, *last))), *last]
    old = [one for one in _versions(engine, export) if one not in (export.version, _model(before))]
    searches = [Step("DELETE", path_of("_scripts", one), "an old search") for one in known if one not in kept]
    # A search before its model, so that none names a model that is gone.
    removals = [*searches, *(step for one in old for step in _kind(export.kind).removal(one))]
    return _Planned(
        now, version, before, rescore, search, model, templates, steps, old, removals if prune else [], notes
    )


def _put(engine: Engine, export: Export, index: str, planned: _Planned, told: Callable[[Step], None]) -> list[Step]:
    sent: list[Step] = []

    def one(step: Step) -> None:
        sent.append(step)
        told(step)

    try:
        for part in planned.model:
            one(put(engine, part))
        smoke(engine, index, planned.rescore, planned.body)
        one(smoke_step(index, planned.rescore, done=False))
        for part in planned.templates:
            one(put(engine, part))
    except LtrError as error:
        raise _stopped(engine, export, planned, sent, error) from error
    return sent


def _remove(engine: Engine, planned: _Planned, told: Callable[[Step], None]) -> None:
    for step in planned.removals:
        try:
            engine.call(step.method, step.path, allow=(404,))
        except EngineError as error:
            raise EngineError(
                f"{planned.version} answers now, but what is old could not be removed: {error}", status=error.status
            ) from error
        told(step)


def _stopped(engine: Engine, export: Export, planned: _Planned, sent: list[Step], error: LtrError) -> EngineError:
    """What failed, what answers now, and what stays."""
    status = getattr(error, "status", None)
    if isinstance(error, EngineError) and export.kind == "native":
        error = native.licence(engine, error)
    answers = (
        f"{export.name!r} answers as before, with {planned.now.version}"
        if planned.now
        else f"there is no {export.name!r} yet"
    )
    if status is None and len(sent) > len(planned.steps) - 2:
        answers = f"whether {export.name!r} has changed is not known"
    put_now = [step.path for step in sent if step.writes and not step.done]
    stays = f"what was put stays, and nobody calls it ({', '.join(put_now)}); " if put_now else ""
    return EngineError(f"{error}; {answers}; {stays}deploy again to go on", status=status)


def _ready(engine: Engine, export: Export) -> list[str]:
    if export.kind == "native":
        native.ready(engine)
        return []
    plugin.ready(engine)
    return plugin.notes(engine, export.model)


def _parts(engine: Engine, export: Export) -> list[Part]:
    if export.kind == "native":
        return native.parts(engine, export.version, export.model)
    return plugin.parts(export.version, export.featureset or {}, export.model)


def _kind(kind: str) -> ModuleType:
    return native if kind == "native" else plugin


def _versions(engine: Engine, export: Export) -> list[str]:
    """Every model of this name that the engine has; another name may begin the same."""
    found = _kind(export.kind).versions(engine, f"{export.name}-")
    return [one for one in found if re.fullmatch(re.escape(export.name) + "-[0-9a-f]{10}", one)]


def _model(version: str) -> str:
    """The model of a version."""
    return version.rpartition("-")[0]
