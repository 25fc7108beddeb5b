"""What the verbs share of output: consoles, the measures table, JSON, and where things lie."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ltr.datasets import download
from ltr.errors import ConfigError
from ltr.evaluation import Comparison, Estimate
from ltr.experiment.result import Rows, finite

__all__ = ["cache_home", "console", "facts_table", "measures_table", "p_value", "print_json", "warn"]


def console() -> Console:
    """Standard output; a file or pipe gets lines wide enough for the tables."""
    return Console() if sys.stdout.isatty() else Console(width=160, highlight=False)


def warn(text: str) -> None:
    """One warning on standard error, so that --json keeps standard output to itself."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"warning: {text}", style="yellow"))


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(finite(value), ensure_ascii=False, allow_nan=False) + "\n")


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
        cells = [label.replace(": ", ":\n"), _with_interval(values[first], ".4f")]
        cells += [f"{values[name].mean:.4f}" for name in others]
        if comparison := compared.get(row):
            verdict = ("better" if comparison.difference > 0 else "worse") if comparison.proven else "not proven"
            cells += [_with_interval(comparison, "+.4f"), p_value(comparison.p_holm), verdict]
        else:
            cells += ["", "", "baseline"]
        table.add_row(*[Text(cell) for cell in cells])
    return table


def facts_table(facts: dict[str, str]) -> Table:
    """Names and sentences, the sentences wrapped under themselves; what is empty is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="bold")
    grid.add_column(overflow="fold")
    for name, text in facts.items():
        if text:
            grid.add_row(name, Text(text))
    return grid


def _with_interval(value: Estimate | Comparison, form: str) -> str:
    middle = value.mean if isinstance(value, Estimate) else value.difference
    return f"{middle:{form}}\n({value.low:{form}} to {value.high:{form}})"


def p_value(value: float) -> str:
    """A p-value as papers print it."""
    return "<.0001" if value < 0.0001 else f"{value:.4f}".lstrip("0") if value < 1 else "1"
