"""features/README.md: every kind with its scope, formula and parameters, from the docstrings; what it costs and is worth,
from measured.json beside it.

``python -m ltr.features.page`` writes it, and so do the two benchmarks that measure; a test checks that it is up to date.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from ltr.features.definition import COPIES
from ltr.features.kinds import KINDS
from ltr.features.negation import NEGATIONS
from ltr.features.params import Kind, Scope

__all__ = ["MEASURED", "catalogue_page", "write"]

MEASURED: Final = "measured.json"

_UNKNOWN: Final = "not measured"

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
as = "zscore"               # or instead of the value: title_bm25 itself is what it is worth in its list
missing = 0.0               # else NaN, which the ranker sees as missing
```

`part` asks for one part of a query alone: of "wine glasses without stem", `"wanted"` is "wine glasses" and `"unwanted"`
"stem". Other queries are wanted whole, and their unwanted part is missing. The words that part a query are English
({words}) and known to the analyzers {known}.

`rate` and `count` read a click log, of which the state keeps the counts by whole UTC day. A list sees the days before its
own `as_of`, or the state's where it has none: no value changes with what is logged on that day or later. A feature that is
to be learnt from must not count the clicks that its grades are made of: cut the log at a day, features before it, grades
from it on. `ltr refresh` renews the counts of a bundle.

A value is missing where the product is not in the catalogue, or the field is empty. No value is ever infinite.
`also` takes {copies}, `as` the same; other features read the value itself. The state holds a field only in the forms that the set's kinds read.

This page is generated from the docstrings and from measured.json: `python -m ltr.features.page`.
"""


def catalogue_page(measured: Mapping[str, Any] | None = None) -> str:
    """The text of features/README.md; ``measured`` is what measured.json holds."""
    figures = measured or {}
    copies = ", ".join(f'`"{kind}"` (`<name>_{ending}`)' for kind, ending in COPIES.items())
    words, known = ", ".join(NEGATIONS["english"]), " and ".join(f'`"{name}"`' for name in NEGATIONS)
    head = _HEAD.format(copies=copies, words=words, known=known)
    return "\n".join([head, *_table(figures), *_measuring(figures), *_sections()]) + "\n"


def write(directory: Path) -> None:
    """Write README.md into the directory of the feature sets."""
    path = directory / MEASURED
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    (directory / "README.md").write_text(catalogue_page(measured), encoding="utf-8")


def _table(measured: Mapping[str, Any]) -> Iterator[str]:
    yield "## Kinds"
    yield ""
    yield "| kind | scope | parameters | what it says | cost, µs | worth, nDCG@10 |"
    yield "|---|---|---|---|---|---|"
    for name in sorted(KINDS):
        kind = KINDS[name]
        keys = ", ".join(f"`{key}`" for key in kind.params.model_fields) or "–"
        cells = [f"[`{name}`](#{name})", _scope(kind.scope), keys, _paragraphs(kind)[0]]
        yield f"| {' | '.join([*cells, _cost(measured, name), _worth(measured, name)])} |"


def _measuring(measured: Mapping[str, Any]) -> Iterator[str]:
    """How each column was measured, and when, on what, and by which command."""
    for part in ("cost", "worth"):
        if part in measured:
            told = measured[part]
            yield f"\n{part.capitalize()}: {told['note']}. {told['machine']}, {told['date']}, `{told['command']}`."


def _cost(measured: Mapping[str, Any], kind: str) -> str:
    figure = measured.get("cost", {}).get("kinds", {}).get(kind)
    return _UNKNOWN if figure is None else f"{float(format(figure['value'], '.2g')):,g} a {figure['unit']}"


def _worth(measured: Mapping[str, Any], kind: str) -> str:
    """The fall without the kind; a dash where no set that was measured has it."""
    figures = measured.get("worth", {}).get("kinds", {})
    if kind not in figures:
        return _UNKNOWN
    figure = figures[kind]
    if figure is None:
        return "–"
    where = "" if figure["on"] == "msrd" else f", {figure['on']}"
    low, high = (f"{figure[end]:.4f}".replace("-", "−") for end in ("low", "high"))
    return f"{figure['value']:+.4f}".replace("-", "−") + f" ({low} to {high}){where}"


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
    if get_origin(annotation) is Union:  # a choice or none
        annotation = get_args(annotation)[0]
    return f": {', '.join(map(str, get_args(annotation)))}" if get_origin(annotation) is Literal else ""


if __name__ == "__main__":
    write(Path("features"))
