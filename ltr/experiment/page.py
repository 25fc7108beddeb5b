"""The results as people read them: one table from every expected.toml, one from the benchmarks' measured.json.

``experiments/README.md`` is this page; README.md quotes it between two markers, of the benchmarks what has a bound. Both are written by ``ltr reproduce
--accept`` and ``make bench``, and a test holds them to the files that they come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ltr.config import read_experiment
from ltr.experiment import expectation, names
from ltr.experiment.expectation import RECOVERED, Figure

__all__ = ["BEGIN", "END", "amount", "bound", "met", "page", "tables", "write"]

BEGIN: Final = "<!-- results: written by ltr reproduce --accept and make bench -->"
END: Final = "<!-- end of results -->"

_HEADING: Final = """# Experiments

One directory each: `experiment.toml` asks the question, `expected.toml` holds the figures that `ltr reproduce` re-checks,
`results/` keeps what was found last on this machine. `bench` measures speed and memory.

"""


def page(root: Path) -> str:
    """The text of experiments/README.md."""
    questions = [
        f"- `{name}`: {read_experiment(root / 'experiments' / name / 'experiment.toml').question}"
        for name in names(root)
        if (root / "experiments" / name / "expected.toml").exists()
    ]
    return _HEADING + "\n".join(questions) + "\n\n" + tables(root)


def tables(root: Path, *, bounded: bool = False) -> str:
    """The table of quality and the table of speed and memory; ``bounded``: of that, only figures that have a bound."""
    speed = _speed(root / "experiments" / "bench" / "measured.json", bounded=bounded)
    return "\n".join([*_quality(root), "", *speed, ""])


def write(root: Path) -> None:
    """Write experiments/README.md, and the part of README.md between the markers where there is one."""
    (root / "experiments" / "README.md").write_text(page(root), encoding="utf-8")
    readme = root / "README.md"
    if not readme.exists():
        return
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        readme.write_text(f"{before}{BEGIN}\n\n{tables(root, bounded=True)}\n{END}{after}", encoding="utf-8")


def met(figure: Mapping[str, Any]) -> bool | None:
    """Whether a benchmark's figure is within its bound; None where it has none.

    >>> met({"value": 2, "bound": 1}), met({"value": 2, "bound": 1, "better": "higher"}), met({"value": 2, "bound": None})
    (False, True, None)
    """
    if figure["bound"] is None:
        return None
    within = figure["value"] >= figure["bound"] if _more(figure) else figure["value"] <= figure["bound"]
    return bool(within)


def amount(figure: Mapping[str, Any]) -> str:
    """A benchmark's figure with its unit.

    >>> amount({"value": 312000.0, "unit": "pairs/s"})
    '312,000 pairs/s'
    """
    return f"{figure['value']:,g} {figure['unit']}".strip()


def bound(figure: Mapping[str, Any]) -> str:
    """The bound of a benchmark's figure, and whether it is met; "" where it has none."""
    within = met(figure)
    if within is None:
        return ""
    limit = amount({"value": figure["bound"], "unit": figure["unit"]})
    return f"{'≥' if _more(figure) else '≤'} {limit}: {'met' if within else 'not met'}"


def _quality(root: Path) -> list[str]:
    lines = [
        "| experiment | ranking | nDCG@10 | RR | AP | won back | asked for | reproduce with |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names(root):
        path = root / "experiments" / name / "expected.toml"
        if not path.exists():
            continue
        expected = expectation.read(path)
        splits = {name: expected.test} | {f"{name}, {column} kept together": by for column, by in expected.also.items()}
        for split, rows in splits.items():
            for row, figures in rows.items():
                cells = [split, row, *(_cell(figures.get(measure)) for measure in ("nDCG@10", "RR", "AP"))]
                cells.append(f"{figures[RECOVERED].value:.0%}" if RECOVERED in figures else "")
                lines.append(f"| {' | '.join(cells)} | {_asked(figures)} | `ltr reproduce {name}` |")
    return lines


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.4f}"


def _asked(figures: dict[str, Figure]) -> str:
    """The least that the project asks of a row, and whether it is met."""
    asked = {name: figure for name, figure in figures.items() if figure.minimum is not None}
    return "; ".join(
        f"{name} ≥ {figure.minimum:g}: {'met' if figure.value >= (figure.minimum or 0) else 'not met'}"
        for name, figure in asked.items()
    )


def _more(figure: Mapping[str, Any]) -> bool:
    return bool(figure.get("better") == "higher")


def _speed(path: Path, *, bounded: bool) -> list[str]:
    measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lines = ["| benchmark | figure | bound | measured on | reproduce with |", "|---|---|---|---|---|"]
    lines += [
        f"| {figure['what']} | {amount(figure)} | {bound(figure)} | {entry['machine']}, {entry['date']} | "
        f"`make bench BENCH={name}` |"
        for name, entry in measured.items()
        for figure in entry["figures"]
        if not bounded or figure["bound"] is not None
    ]
    return lines
