"""What the verbs share of output: consoles, the measures table, JSON, and where things lie."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ltr.datasets import download
from ltr.errors import ConfigError
from ltr.evaluation import Comparison, Estimate
from ltr.experiment.result import Rows, finite

__all__ = [
    "UNDEFINED",
    "cache_home",
    "console",
    "counted",
    "facts_table",
    "made_by",
    "measures_table",
    "p_value",
    "print_json",
    "split_measures",
    "warn",
    "with_interval",
]


# No query has a value: none has a relevant product, and the rule skips those.
UNDEFINED: Final = "undefined"


def console() -> Console:
    """Standard output; a file or pipe gets lines wide enough for the tables."""
    return Console() if sys.stdout.isatty() else Console(width=160, highlight=False)


def warn(text: str) -> None:
    """One warning on standard error, so that --json keeps standard output to itself."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"warning: {text}", style="yellow"))


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(finite(value), ensure_ascii=False, allow_nan=False) + "\n")


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it is not one.

    >>> counted(1, "query"), counted(1200, "query"), counted(0, "tree")
    ('1 query', '1,200 queries', '0 trees')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def split_measures(given: list[str] | None) -> list[str] | None:
    """The names in --measures, with blanks or commas outside brackets between, or given again; None where it was not.

    >>> split_measures(["nDCG(gains=esci, ideal=list)@10, RR", "AP"])
    ['nDCG(gains=esci,ideal=list)@10', 'RR', 'AP']
    """
    if not given:
        return None
    text = re.sub(r"\s*,\s*(?=[^(]*\))", ",", " ".join(given))
    names = re.split(r"[,\s]+(?![^(]*\))", text.strip(", \n"))
    if names == [""]:
        raise ConfigError("--measures names no measure", hint="for example --measures 'nDCG@10 RR'")
    return names


def cache_home() -> Path:
    """The cache that downloads use too, made if it is not there."""
    path = download.cache_home()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the cache {str(path)!r} cannot be made: {error.strerror}", hint="set LTR_CACHE_HOME"
        ) from error
    return path


def measures_table(rows: Rows, *, title: str) -> Table:
    """A row each: the first measure and the difference to the first row with their 95 % intervals, the other measures."""
    first, *others = next(iter(rows.measures.values()))
    compared = {comparison.ranker: comparison for comparison in rows.comparisons}
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("ranking")
    table.add_column(f"{first}\n(95 % interval)", justify="right")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("difference\n(95 % interval)", justify="right")
    table.add_column("p (Holm)", justify="right")
    table.add_column("", no_wrap=True)
    for row, label in rows.labels.items():
        values = rows.measures[row]
        cells = [label.replace(": ", ":\n"), with_interval(values[first], ".4f")]
        cells += [_number(values[name].mean, ".4f") for name in others]
        if comparison := compared.get(row):
            verdict = ("better" if comparison.difference > 0 else "worse") if comparison.proven else "not proven"
            cells += [with_interval(comparison, "+.4f"), p_value(comparison.p_holm), verdict]
        else:
            cells += ["", "", "baseline"]
        table.add_row(*[Text(cell) for cell in cells])
    return table


def made_by(queries: int, *, gains: str, scale: str, empty: str) -> str:
    """What a table of measures was made by."""
    return f"{counted(queries, 'query')}; gains {gains} on scale {scale}; queries without a relevant product: {empty}"


def facts_table(facts: dict[str, str]) -> Table:
    """Names and sentences, the sentences wrapped under themselves; what is empty is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="bold")
    grid.add_column(overflow="fold")
    for name, text in facts.items():
        if text:
            grid.add_row(name, Text(text))
    return grid


def with_interval(value: Estimate | Comparison, form: str) -> str:
    """The value, and its interval on a line of its own."""
    middle = value.mean if isinstance(value, Estimate) else value.difference
    if not math.isfinite(middle):
        return UNDEFINED
    return f"{middle:{form}}\n({value.low:{form}} to {value.high:{form}})"


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else UNDEFINED


def p_value(value: float) -> str:
    """A p-value as papers print it."""
    if not math.isfinite(value):
        return UNDEFINED
    return "<.0001" if value < 0.0001 else f"{value:.4f}".lstrip("0") if value < 1 else "1"
