"""Columns under our names: as experiment.toml maps them, else by the names that they usually have.

>>> frame = pl.DataFrame({"user_query": ["hat"], "docID": ["7"], "stars": [4]})
>>> renamed(frame, {"grade": "stars"}, JUDGMENTS, path=Path("ratings.csv"), configured=True).columns
['grade', 'query', 'product_id']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from ltr.errors import ConfigError, DataError, JudgmentError, suggestion

__all__ = ["ALIASES", "JUDGMENTS", "PRODUCTS", "ROW", "Kind", "renamed"]

# Names that say what a column is, the most telling first; capitals do not count.
ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "query_id": ("query_id", "qid"),
    "query": ("query", "keywords", "user_query"),
    "product_id": ("product_id", "doc_id", "docid", "docno", "item_id", "sku", "id"),
    "grade": ("grade", "rating", "relevance", "label", "esci_label"),
    "weight": ("weight",),
}

# The row in the file, kept beside the judgments until they are checked, so that a message can name the line.
ROW: Final = "row in file"


@dataclass(frozen=True)
class Kind:
    """A kind of file: the section that maps its columns, the columns with usual names, those it must have."""

    section: str
    usual: tuple[str, ...]
    required: tuple[str, ...]
    fault: type[DataError]


PRODUCTS: Final = Kind("data.columns", ("product_id",), ("product_id",), DataError)
JUDGMENTS: Final = Kind("data.judgment_columns", tuple(ALIASES), ("query", "product_id", "grade"), JudgmentError)


def renamed(
    frame: pl.DataFrame, columns: Mapping[str, str], kind: Kind, *, path: Path, configured: bool
) -> pl.DataFrame:
    """The frame under our names; a mapped column hides another of our name, and columns of no kind keep theirs.

    Args:
        frame: what the file holds, perhaps with ``ROW``.
        columns: ours -> the file's own.
        kind: of file.
        path: for messages.
        configured: the experiment.toml at hand names this very file, so that a mapped column must be there. A file that a
            saved bundle meets may have our names instead, and has no experiment.toml to mend.
    """
    present = [name for name in frame.columns if name != ROW]
    for ours, theirs in columns.items():
        if configured and theirs not in present:
            raise kind.fault(
                f"{path} has no column {theirs!r}, which [{kind.section}] maps to {ours!r}",
                hint=suggestion(theirs, present, noun="columns"),
            )
        if kind is JUDGMENTS and ours not in ALIASES:
            raise ConfigError(f"[{kind.section}] has no key {ours!r}", hint=suggestion(ours, ALIASES, noun="keys"))
    mapping = {ours: theirs for ours, theirs in columns.items() if theirs in present}
    folded = {name.lower(): name for name in reversed(present) if name not in mapping.values()}
    for ours in kind.usual:
        usual = next((folded[alias] for alias in ALIASES[ours] if alias in folded), None)
        if usual is not None:
            mapping.setdefault(ours, usual)
    if missing := [ours for ours in kind.required if ours not in mapping]:
        raise kind.fault(
            f"{path} has no column for {' and '.join(missing)}; it has {', '.join(present)}",
            hint=_remedy(missing[0], columns, kind, configured=configured),
        )
    for ours in kind.usual:
        if ours in mapping and (dtype := frame.schema[mapping[ours]]) and (dtype.is_nested() or dtype == pl.Binary):
            raise kind.fault(f"{path}: column {mapping[ours]!r} is {dtype}", hint="give one string or number a row")
    rest = [name for name in frame.columns if name not in mapping and name not in mapping.values()]
    return frame.select(*(pl.col(theirs).alias(ours) for ours, theirs in mapping.items()), *rest)


def _remedy(ours: str, columns: Mapping[str, str], kind: Kind, *, configured: bool) -> str:
    if configured:
        return f'name it in experiment.toml: [{kind.section}] {ours} = "COLUMN"'
    names = dict.fromkeys([*([columns[ours]] if ours in columns else []), *ALIASES[ours]])
    return f"rename a column: {ours} may be called {', '.join(names)}"
