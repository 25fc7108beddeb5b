"""query.json: the shop's own search body, word for word but for ``{{query}}``, or one to start from.

>>> marked('{"query": {"match": {"title": "red shoes"}}, "size": 24}', "red shoes", where="body.json")
'{"query": {"match": {"title": "{{query}}"}}, "size": 24}'
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ltr.errors import ConfigError
from ltr.lines import decode, read_bytes
from ltr.scaffold.fields import TEXTS, Guess

__all__ = ["QUERY", "body_of", "marked", "read", "weights"]

QUERY: Final = "{{query}}"

_WEIGHTS: Final = {"title": 3.0, "brand": 2.0, "identifier": 2.0, "category": 1.5, "description": 0.5}
# A JSON string; a key is one that a colon follows.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?', re.DOTALL)


def read(path: Path, text: str | None) -> str:
    """The user's body with ``{{query}}`` in it.

    Args:
        path: of the JSON.
        text: what the shopper typed in it, where it is a recorded request.
    """
    given = decode(read_bytes(path), path)
    try:
        body = json.loads(given)
    except ValueError as error:
        raise ConfigError(
            f"{path} is not JSON: {error}",
            hint="give the body that your application sends to _search; of a template, one that was filled in",
        ) from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path} is no search body", hint="give a JSON object, as your application sends it")
    return marked(given, text, where=str(path))


def marked(given: str, text: str | None, *, where: str) -> str:
    """The JSON with ``{{query}}`` in place of a text, wherever a string is that text, else holds it; no other letter moves."""
    if text is None:
        if QUERY not in given:
            raise ConfigError(
                f"{where} has no {QUERY}",
                hint=f"write {QUERY} where the shopper's words stand, or say what they are: --query-text 'red shoes'",
            )
        return given
    if not text.strip():
        raise ConfigError("--query-text is empty", hint="give what the shopper typed in the body")

    def replaced(whole: bool) -> str:
        def one(found: re.Match[str]) -> str:
            literal = found.group().removesuffix(found["key"] or "")
            value = json.loads(literal)
            if found["key"] or (value != text if whole else text not in value):
                return found.group()
            return json.dumps(value.replace(text, QUERY), ensure_ascii=False)

        return _STRING.sub(one, given)

    for whole in (True, False):
        if (found := replaced(whole)) != given:
            return found
    raise ConfigError(f"{where} has no string with {text!r}", hint="give the words as they stand in it, capitals too")


def weights(guesses: Sequence[Guess]) -> dict[str, float]:
    """The engine's fields that are searched, with subfields of keywords that are text -> weight."""
    found: dict[str, float] = {}
    for each in guesses:
        if each.role not in TEXTS or not each.field.indexed or each.field.nested is not None:
            continue
        name = each.name
        if each.field.kind == "keyword":
            texts = [sub for sub, of in each.field.subfields.items() if of.type == "text"]
            name = f"{name}.{texts[0]}" if texts else name
        found[name] = _WEIGHTS.get(each.role, 1.0)
    return found


def body_of(guesses: Sequence[Guess]) -> dict[str, Any]:
    """A body to start from: all texts, the title counting most; nested ones beside them; no filter yet."""
    fields = [f"{name}^{weight:g}" if weight != 1 else name for name, weight in weights(guesses).items()]
    flat = {"multi_match": {"query": QUERY, "fields": fields, "type": "best_fields", "tie_breaker": 0.3}}
    within: Mapping[str, list[str]] = {
        path: [each.name for each in guesses if each.role in TEXTS and each.field.nested == path and each.field.indexed]
        for path in dict.fromkeys(each.field.nested for each in guesses if each.field.nested is not None)
    }
    nested = [
        {
            "nested": {
                "path": path,
                "score_mode": "max",
                "query": {"multi_match": {"query": QUERY, "fields": inner}},
            }
        }
        for path, inner in within.items()
        if inner
    ]
    asked = [*([flat] if fields or not nested else []), *nested]
    must = asked[0] if len(asked) == 1 else {"bool": {"should": asked, "minimum_should_match": 1}}
    return {"query": {"bool": {"must": [must], "filter": []}}}
