"""The stored search template that applications call, and the versions before it.

    POST /INDEX/_search/template    {"id": NAME, "params": {"query": "usb cable", "from": 0, "size": 10}}

NAME is the one thing that changes when a model is put in or taken back, in one request. Each version is kept as a template of
its own, called after model and search; a comment at its head says which version it came after, so that the way back is in the
engine itself, for any machine and after any restart. NAME's own head also says which versions are kept:

    {{! ltr version=movies-5d2c1f7a01-90ab34 after=movies-90ab34ce02-90ab34 kept=... }}{"query": ..., "rescore": ...}

Mustache writes values into JSON with JSON's escapes, so a shopper's quotes and braces are data; the engine is asked to
render the template, and its answer compared, before anything is put.

>>> text = source({"query": {"match": {"title": "{{query}}"}}}, Head("movies-5d2c", after="movies-90ab"))
>>> text
'{{! ltr version=movies-5d2c after=movies-90ab kept= }}{"query":{"match":{"title":"{{query}}"}}}'
>>> read(text)
Head(version='movies-5d2c', after='movies-90ab', kept=())
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ltr.deployment.steps import Part, Step, kind_of
from ltr.engine.connection import Engine, path_of
from ltr.engine.template import fill, names
from ltr.errors import EngineError, ExportError

__all__ = [
    "Head",
    "body_of",
    "check",
    "current",
    "model_of",
    "page_of",
    "part",
    "read",
    "source",
    "stored",
    "version_of",
    "without_head",
]

_HEAD: Final = re.compile(r"\{\{! ltr version=(\S+) after=(\S*) kept=(\S*) \}\}")
_SORTS: Final = (None, "_score", ["_score"], [{"_score": "desc"}], [{"_score": {"order": "desc"}}])
_PAGE: Final = {"from": 0, "size": 10}
# A parameter with what it is where it is not given.
_USUAL: Final = "{{?}}{{^?}}={{/?}}"
# What a shopper may type, and must arrive as it is.
_TYPED: Final = 'usb "cable" \\ 5\' {{query}} é\n'


@dataclass(frozen=True)
class Head:
    """What a template's comment says.

    Args:
        version: what answers.
        after: the version before it, which a rollback takes; empty where there is none.
        kept: every version that is kept, of the template that applications call.
    """

    version: str
    after: str = ""
    kept: tuple[str, ...] = ()


def body_of(body: Mapping[str, Any], rescore: Any) -> dict[str, Any]:
    """The search of the template: the shop's own body, then the model's rescore; ``from`` and ``size`` as parameters.

    Raises:
        ExportError: the body sorts by something else than the score, or has a retriever: no engine rescores either.
    """
    if "retriever" in body:
        raise ExportError(
            "the search body has a retriever, and an engine takes no rescore beside one",
            hint="write its search as query and knn, and give it with --body",
        )
    if body.get("sort") not in _SORTS:
        raise ExportError(
            "the search body sorts its hits itself, and an engine does not rescore those",
            hint="take sort out of the body; applications that sort need no model",
        )
    theirs = body.get("rescore", [])
    both = [*(theirs if isinstance(theirs, list) else [theirs]), rescore]
    page = {key: _USUAL.replace("?", key).replace("=", str(usual)) for key, usual in page_of(body).items()}
    return {**body, "rescore": both if len(both) > 1 else rescore, **page}


def page_of(body: Mapping[str, Any]) -> dict[str, int]:
    """``from`` and ``size`` where an application gives none: the body's own, else the engine's.

    Raises:
        ExportError: one of them is no whole number from 0.
    """
    found = {}
    for key, usual in _PAGE.items():
        value = body.get(key, usual)
        value = usual if value == f"{{{{{key}}}}}" else value
        if isinstance(value, bool) or not str(value).isdecimal():
            raise ExportError(
                f"the search body has {key} = {value!r}",
                hint=f"give a whole number from 0; it is what counts where an application gives no {key}",
            )
        found[key] = int(value)
    return found


def version_of(model: str, body: Mapping[str, Any]) -> str:
    """What a search with a model is called: the model's own versioned name, and a digest of the search."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"{model}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def source(body: Mapping[str, Any], head: Head) -> str:
    """A template's text."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"{{{{! ltr version={head.version} after={head.after} kept={','.join(head.kept)} }}}}{text}"


def read(text: str) -> Head | None:
    """The head of a template's text; None of a template that is not ours."""
    found = _HEAD.match(text)
    return Head(found[1], found[2], tuple(filter(None, found[3].split(",")))) if found else None


def without_head(text: str) -> str:
    """What a template's text searches, whatever was there before it."""
    return _HEAD.sub("", text, count=1)


def model_of(text: str) -> tuple[str, str] | None:
    """Kind and name of the model that a template's text rescores with; None where it names none."""
    rescores = json.loads(without_head(text)).get("rescore", [])
    for one in reversed(rescores if isinstance(rescores, list) else [rescores]):
        if "learning_to_rank" in one:
            return "native", str(one["learning_to_rank"]["model_id"])
        asked = one.get("query", {}).get("rescore_query", {})
        if "sltr" in asked:
            return "plugin", str(asked["sltr"]["model"])
    return None


def stored(engine: Engine, identifier: str) -> str | None:
    """The text of a stored template; None where there is none.

    Raises:
        EngineError: there is a stored script of that name, of another language.
    """
    told = engine.call("GET", path_of("_scripts", identifier), allow=(404,))
    script = told.get("script") if isinstance(told, dict) else None
    if not isinstance(script, dict):
        return None
    if script.get("lang") != "mustache":
        raise EngineError(
            f"the stored script {identifier!r} of {engine.url} is {script.get('lang')}, and no search template",
            hint="export under another name",
        )
    text = script.get("source")
    return text if isinstance(text, str) else json.dumps(text)


def current(engine: Engine, name: str) -> Head | None:
    """The head of the template that applications call; None where there is none.

    Raises:
        EngineError: there is one of that name that ltr did not put.
    """
    text = stored(engine, name)
    if text is None:
        return None
    found = read(text)
    if found is None:
        raise EngineError(
            f"the stored template {name!r} of {engine.url} was not put there by ltr, and is left as it is",
            hint="export under another name (--name)",
        )
    return found


def part(identifier: str, text: str, why: str, *, whole: bool) -> Part:
    """A stored template as a part; ``whole`` = its head counts too."""

    def lacking(engine: Engine) -> Step:
        there = stored(engine, identifier)
        same = there is not None and (there == text or (not whole and without_head(there) == without_head(text)))
        script = {"script": {"lang": "mustache", "source": text}}
        return Step("PUT", path_of("_scripts", identifier), why, script, done=same)

    return lacking


def check(engine: Engine, text: str) -> None:
    """Have the engine render a template, without putting it: what a shopper types must arrive as it was typed.

    Raises:
        EngineError: the engine has no search templates, or renders another search.
    """
    body = json.loads(without_head(text))
    values: dict[str, Any] = {**dict.fromkeys(names(body), "x"), "query": _TYPED, "from": 3, "size": 7}
    told = engine.call("POST", "/_render/template", {"source": text, "params": values}, allow=(400, 403, 404, 405, 500))
    if "template_output" not in told:
        raise EngineError(
            f"{engine.url} renders no search template ({kind_of(told) or told.get('error') or 'no reason given'})",
            hint="applications call the model through one: enable the engine's lang-mustache module, or rerank with `ltr search`",
        )
    expected = {**fill(body, **values), "from": "3", "size": "7"}
    if told["template_output"] != expected:
        raise EngineError(
            f"{engine.url} renders the search template otherwise than it was meant",
            hint="take mustache tags but {{query}} out of the search body",
        )
