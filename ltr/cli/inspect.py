"""``ltr inspect BUNDLE``: in which queries the ranker is better or worse, and the queries that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.output import console, counted, p_value, print_json, with_interval

if TYPE_CHECKING:
    from ltr.experiment.inspection import Inspection, Mover, Segment, Shown

__all__ = ["inspect"]

_NOT_PROVEN: Final = "not proven"
# Columns that are not to be broken: "(0.1234 to 0.1234)".
_INTERVAL: Final = 18
# What stands beside two titles: rank, grades, moved, and the space between.
_BESIDE: Final = 36
# What a segmentation is called above its parts, and what its parts are; a column of the queries goes by its own name.
_HEADINGS: Final = {
    "length": ("query length", "words"),
    "popularity": ("popularity", "head, torso and tail: a third of all searches each, the most popular queries first"),
    "unseen": ("unseen products", "unseen: a relevant product in no judgment that the ranker was fitted on"),
}


def inspect(
    bundle: Annotated[str, typer.Argument(help="A bundle directory.")],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Segments: length, popularity, unseen, or a column of the queries; may be repeated. "
            "Default: the first three, as far as known.",
            metavar="SEGMENTS",
        ),
    ] = None,
    moved: Annotated[
        int, typer.Option(min=0, max=1_000, help="How many queries that gained most to show, and that lost most.")
    ] = 5,
    against: Annotated[
        str, typer.Option(help="The row to compare with: retrieval, best_feature, cosine, ...", metavar="ROW")
    ] = "retrieval",
    measure: Annotated[str | None, typer.Option(help="A measure of the bundle; default: the first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare a bundle's ranker with another row of its table by segments, and show what moved, list beside list."""
    from ltr.experiment.inspection import inspect as inspected

    found = inspected(Path(bundle), by=by or None, against=against, measure=measure, moved=moved)
    if as_json:
        print_json(found.to_json())
        return
    out = console()
    out.print(_segments(found))
    for sentence in _sentences(found):
        out.print(Text(sentence), soft_wrap=True)
    for title, movers in (("gained", found.gained), ("lost", found.lost)):
        for mover in movers:
            heading = f"{title} {abs(mover.difference):.4f}: {_line(mover.query)}"
            values = f"  ({mover.query_id}; {mover.against:.4f} → {mover.ranker:.4f})"
            out.print(Text.assemble((heading, "bold"), values), soft_wrap=True)
            out.print(_lists(found, mover, width=out.width))
        if moved and not movers:
            out.print(Text(f"no query {title}"))
    for note in found.notes:
        out.print(Text(note), soft_wrap=True)


def _sentences(found: Inspection) -> list[str]:
    tests = sum(len(parts) for parts in found.segments.values())
    meanings = [_HEADINGS[name][1] for name in found.segments if name in _HEADINGS and name != "length"]
    unknown = [f"{_HEADINGS[name][0]}: not known, {why}" for name, why in found.missing.items()]
    return [
        f"p is Holm-corrected over {counted(tests, 'segment')}; that of all queries is of one test",
        *meanings,
        *unknown,
    ]


def _segments(found: Inspection) -> Table:
    table = Table(
        title=f"{found.bundle}: {found.measure} of the tested queries",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("segment")
    table.add_column("queries", justify="right")
    ranker, against = (found.labels[row].replace(": ", ":\n") for row in (found.ranker, found.against))
    table.add_column(f"{ranker}\n(95 % interval)", justify="right", min_width=_INTERVAL)
    table.add_column(against, justify="right")
    table.add_column("difference\n(95 % interval)", justify="right", min_width=_INTERVAL + 2)
    table.add_column("p (Holm)", justify="right", min_width=len(_NOT_PROVEN))
    table.add_row(*_cells(found.whole), end_section=True)
    for name, parts in found.segments.items():
        table.add_row(Text(_HEADINGS[name][0] if name in _HEADINGS else name, style="bold"))
        for number, part in enumerate(parts, start=1):
            table.add_row(*_cells(part, indent="  "), end_section=number == len(parts))
    return table


def _cells(part: Segment, indent: str = "") -> list[Text]:
    compared = part.comparison
    verdict = ("better" if compared.difference > 0 else "worse") if compared.proven else _NOT_PROVEN
    cells = [
        # A measure may be undefined for queries without a relevant product.
        f"{part.queries:,}" if compared.n == part.queries else f"{compared.n:,}\nof {part.queries:,}",
        with_interval(part.ranker, ".4f"),
        with_interval(part.against, ".4f").partition("\n")[0],
        with_interval(compared, "+.4f"),
        f"{p_value(compared.p_holm)}\n{verdict}" if compared.n else "",
    ]
    return [Text(indent + _line(part.name)), *map(Text, cells)]


def _lists(found: Inspection, mover: Mover, *, width: int) -> Table:
    graded = any(shown and shown.grade is not None for rank in mover.lists for shown in (rank.against, rank.ranker))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    for row in (found.against, found.ranker):
        # A row a rank: a long title is cut, so that both lists fit side by side.
        table.add_column(found.labels[row], max_width=(width - _BESIDE) // 2, no_wrap=True, overflow="ellipsis")
        if graded:
            table.add_column("grade", justify="right")
    table.add_column("moved", justify="right")
    for rank in mover.lists:
        cells = [Text(str(rank.rank))]
        for shown in (rank.against, rank.ranker):
            cells.append(Text(_line(shown.title) if shown else ""))
            if graded:
                cells.append(Text(_grade(shown, found.grade_labels)))
        table.add_row(*cells, _moved(rank.moved, new=rank.ranker is not None))
    return table


def _moved(by: int | None, *, new: bool) -> Text:
    if by is None:
        return Text("new" if new else "")
    return Text(f"{by:+d}" if by else "=", style="green" if by > 0 else "red" if by < 0 else "")


def _grade(shown: Shown | None, labels: Sequence[str]) -> str:
    """The grade, by its letter on a scale of letters; a dash for a product without a judgment."""
    if shown is None:
        return ""
    if shown.grade is None:
        return "–"
    letters = all(len(label) == 1 for label in labels) and shown.grade in range(len(labels))
    return labels[int(shown.grade)] if letters else f"{shown.grade:g}"


def _line(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())
