"""What the verbs share of output: consoles, the measures table, JSON, and where things lie."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ltr.errors import ConfigError
from ltr.experiment.result import Rows

__all__ = ["cache_home", "console", "measures_table", "p_value", "print_json", "warn"]


def console() -> Console:
    """Standard output; a file or pipe gets lines wide enough for the tables."""
    return Console() if sys.stdout.isatty() else Console(width=160, highlight=False)


def warn(text: str) -> None:
    """One warning on standard error, so that --json keeps standard output to itself."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"warning: {text}", style="yellow"))


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def cache_home() -> Path:
    """LTR_CACHE_HOME, else ~/.cache/ltr: encoders, vectors and downloads."""
    given = os.environ.get("LTR_CACHE_HOME")
    path = Path(given) if given else Path.home() / ".cache" / "ltr"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the cache {str(path)!r} cannot be made: {error.strerror}", hint="set LTR_CACHE_HOME"
        ) from error
    return path


def measures_table(rows: Rows, *, title: str) -> Table:
    """Rank rows by first measure with interval, the other measures, and the difference to the first row."""
    first, *others = next(iter(rows.measures.values()))
    compared = {comparison.ranker: comparison for comparison in rows.comparisons}
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("ranking", overflow="fold")
    table.add_column(first, justify="right", overflow="fold")
    table.add_column("95 % interval", justify="right")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("difference", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("p (Holm)", justify="right")
    table.add_column("")
    for row, label in rows.labels.items():
        values = rows.measures[row]
        cells = [label, f"{values[first].mean:.4f}", f"{values[first].low:.4f} to {values[first].high:.4f}"]
        cells += [f"{values[name].mean:.4f}" for name in others]
        if comparison := compared.get(row):
            verdict = ("better" if comparison.difference > 0 else "worse") if comparison.proven else "not proven"
            cells += [
                f"{comparison.difference:+.4f}",
                f"{comparison.low:+.4f} to {comparison.high:+.4f}",
                p_value(comparison.p_holm),
                verdict,
            ]
        else:
            cells += ["", "", "", "baseline"]
        table.add_row(*[Text(cell) for cell in cells])
    return table


def p_value(value: float) -> str:
    """A p-value as papers print it."""
    return "<.0001" if value < 0.0001 else f"{value:.4f}".lstrip("0") if value < 1 else "1"
