"""JSON templates: ``{{name}}`` within a string stands for a value."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from ltr.errors import ConfigError
from ltr.lines import decode, read_bytes

__all__ = ["fill", "names", "read_body"]

_NAME: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def fill(template: Any, **values: Any) -> Any:
    """The template with each ``{{name}}`` replaced; a string that is nothing else becomes the value itself, of any type.

    Values go into parsed JSON and not into its text, so quotes, braces and Lucene's syntax in them are plain text. Keys of
    objects are left as they are, and so is a name that has no value.

    >>> fill({"size": "{{size}}", "q": "{{query}} shoes"}, size=10, query='red"')
    {'size': 10, 'q': 'red" shoes'}
    """
    if isinstance(template, dict):
        return {key: fill(value, **values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, **values) for value in template]
    if not isinstance(template, str):
        return template
    if (whole := _NAME.fullmatch(template)) and whole[1] in values:
        return values[whole[1]]
    return _NAME.sub(lambda found: str(values.get(found[1], found[0])), template)


def names(template: Any) -> set[str]:
    """The names that stand for values anywhere in a template.

    >>> sorted(names({"a": ["{{query}}", {"b": "{{ size }}"}]}))
    ['query', 'size']
    """
    if isinstance(template, dict):
        return set().union(*map(names, template.values()))
    if isinstance(template, list):
        return set().union(*map(names, template))
    return set(_NAME.findall(template)) if isinstance(template, str) else set()


def read_body(path: Path, *, option: str = "") -> dict[str, Any]:
    """A search body from a file of JSON, ``{{query}}`` in it; ``option`` is what named the file, for messages."""
    place = f"{option} {path}".strip()
    try:
        body = json.loads(decode(read_bytes(path), path))
    except ValueError as error:
        raise ConfigError(f"{place} is not JSON: {error}", hint="give the body that is sent to _search") from error
    if not isinstance(body, dict) or "query" not in names(body):
        raise ConfigError(
            f"{place} is no search body with {{{{query}}}} in it",
            hint='write {{query}} where the shopper\'s words go, such as {"match": {"title": "{{query}}"}}',
        )
    return body
