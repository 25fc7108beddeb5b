"""The results as people read them: one table from every expected.toml, one from the benchmarks' measured.json.

``experiments/README.md`` is this page; README.md quotes it between two markers. Both are written by ``ltr reproduce
--accept`` and ``make bench``, and a test holds them to the files that they come from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ltr.config import read_experiment
from ltr.experiment import expectation, names
from ltr.experiment.expectation import Figure

__all__ = ["BEGIN", "END", "page", "tables", "write"]

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


def tables(root: Path) -> str:
    """The table of quality and the table of speed and memory."""
    return "\n".join([*_quality(root), "", *_speed(root / "experiments" / "bench" / "measured.json"), ""])


def write(root: Path) -> None:
    """Write experiments/README.md, and the part of README.md between the markers where there is one."""
    (root / "experiments" / "README.md").write_text(page(root), encoding="utf-8")
    readme = root / "README.md"
    if not readme.exists():
        return
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        readme.write_text(f"{before}{BEGIN}\n\n{tables(root)}\n{END}{after}", encoding="utf-8")


def _quality(root: Path) -> list[str]:
    lines = [
        "| experiment | ranking | nDCG@10 | RR | AP | asked for | reproduce with |",
        "|---|---|---|---|---|---|---|",
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


def _speed(path: Path) -> list[str]:
    measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lines = ["| benchmark | figure | bound | measured on | reproduce with |", "|---|---|---|---|---|"]
    for name, entry in measured.items():
        for figure in entry["figures"]:
            bound = (
                ""
                if figure["bound"] is None
                else f"≤ {figure['bound']:g} {figure['unit']}: "
                + ("met" if figure["value"] <= figure["bound"] else "not met")
            )
            lines.append(
                f"| {figure['what']} | {figure['value']:g} {figure['unit']} | {bound} | "
                f"{entry['machine']}, {entry['date']} | `make bench BENCH={name}` |"
            )
    return lines
