"""features/README.md: every kind with its scope, formula and parameters, written from the docstrings.

``python -m ltr.features.page`` writes it; a test checks that it is up to date.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ltr.features.definition import COPIES
from ltr.features.kinds import KINDS
from ltr.features.params import Kind, Scope

__all__ = ["catalogue_page"]

_HEAD: Final = """\
# Feature sets

One TOML file a set. An experiment names its set under `[features] set`; each feature is a kind with parameters:

```toml
name = "product_search"
analyzer = "english"        # also "standard", any Snowball language, and either with "+stop"

[[feature]]
name = "title_bm25"         # one name everywhere: column, model input, engine feature
kind = "bm25"               # a kind of the table below; further keys are its parameters
field = "title"
also = ["relative"]         # a copy of list scope: title_bm25_relative
missing = 0.0               # else NaN, which the ranker sees as missing
```

A value is missing where the product is not in the catalogue, or the field is empty. No value is ever infinite.
`also` takes {copies}. The state holds a field only in the forms that the set's kinds read.

This page is generated from the docstrings: `python -m ltr.features.page`.
"""


def catalogue_page() -> str:
    """The text of features/README.md."""
    copies = " and ".join(f'`"{kind}"` (`<name>_{ending}`)' for kind, ending in COPIES.items())
    return "\n".join([_HEAD.format(copies=copies), *_table(), *_sections()]) + "\n"


def _table() -> Iterator[str]:
    yield "## Kinds"
    yield ""
    yield "| kind | scope | parameters | what it says |"
    yield "|---|---|---|---|"
    for name in sorted(KINDS):
        kind = KINDS[name]
        keys = ", ".join(f"`{key}`" for key in kind.params.model_fields) or "–"
        yield f"| [`{name}`](#{name}) | {_scope(kind.scope)} | {keys} | {_paragraphs(kind)[0]} |"


def _sections() -> Iterator[str]:
    for name in sorted(KINDS):
        kind = KINDS[name]
        _, formula, *notes = _paragraphs(kind)
        yield f"\n### {name}\n\n```text\n{formula}\n```"
        for note in notes:
            yield f"\n{note}"
        if kind.params.model_fields:
            yield "\n| parameter | default | meaning |\n|---|---|---|"
            for key, info in kind.params.model_fields.items():
                yield f"| `{key}` | {_default(info)} | {info.description}{_choices(info)} |"


def _paragraphs(kind: Kind) -> list[str]:
    """The docstring's parts: what the kind is, its formula, notes."""
    text = inspect.cleandoc(kind.compute.__doc__ or "")
    first, formula, *notes = (textwrap.dedent(part) for part in text.split("\n\n"))
    return [" ".join(first.split()), formula, *(" ".join(note.split()) for note in notes)]


def _scope(scope: Scope) -> str:
    return scope.replace("_", " × ")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return {None: "–", (): "–", True: "`true`", False: "`false`"}.get(info.default, f"`{info.default}`")


def _choices(info: FieldInfo) -> str:
    annotation: Any = info.annotation
    return f": {', '.join(map(str, get_args(annotation)))}" if get_origin(annotation) is Literal else ""


if __name__ == "__main__":
    Path("features/README.md").write_text(catalogue_page(), encoding="utf-8")
