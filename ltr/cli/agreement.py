"""``ltr agreement A B``: two sets of judgments compared, whether by clicks, by people or by a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.convert import read_table
from ltr.cli.output import console, counted, facts_table, print_json

if TYPE_CHECKING:
    import polars as pl

    from ltr.judgments.agreement import Agreement
    from ltr.measures import Scale

__all__ = ["agreement"]


def agreement(
    one: Annotated[Path, typer.Argument(help="Judgments: CSV, TSV, Parquet or JSON Lines.", metavar="A")],
    other: Annotated[Path, typer.Argument(help="Judgments of the same queries.", metavar="B")],
    scale: Annotated[
        str | None, typer.Option(help="The scale of both, such as esci or 0-10; default: letters esci, else numbers.")
    ] = None,
    top: Annotated[int, typer.Option(help="Disagreements to print.", min=0)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two sets of judgments: weighted kappa, Spearman, Kendall, and where they are furthest apart."""
    from ltr import measures
    from ltr.judgments.agreement import agreement as compared

    on = measures.scale(scale) if scale else None
    found = compared(_read(one, on), _read(other, on))
    largest = found.disagreements.head(top)
    if as_json:
        names = (
            "both",
            "only_one",
            "only_other",
            "queries",
            "kappa",
            "spearman",
            "kendall",
            "within",
            "compared",
            "same",
        )
        print_json(
            {name: getattr(found, name) for name in names}
            | {"table": found.table.tolist(), "disagreements": largest.to_dicts()}
        )
        return
    out = console()
    out.print(facts_table(_facts(found, one, other)))
    out.print(Text(f"grades of {one} (down) and {other} (across)", style="bold"))
    out.print(_table(found))
    if largest.height:
        out.print(Text("furthest apart", style="bold"))
        for row in largest.iter_rows(named=True):
            out.print(
                Text(f"  {row['grade']:g} and {row['other']:g}: {row['query_id']!r}, {row['product_id']}"),
                soft_wrap=True,
            )


def _read(path: Path, on: Scale | None) -> pl.DataFrame:
    """Judgments by the normalised text of their query, which two files have in common where their ids are their own."""
    from ltr.judgments.wording import query_keys

    queries, judgments = read_table(path, on)
    keys = queries.with_columns(query_keys(queries["query"]).alias("key")).select("query_id", "key")
    named = judgments.join(keys, on="query_id", how="left", maintain_order="left").drop_nulls("key")
    named = named.with_columns(query_id="key").drop("key")
    return named.unique(["query_id", "product_id"], keep="first", maintain_order=True)


def _facts(found: Agreement, one: Path, other: Path) -> dict[str, str]:
    pairs = counted(found.both, "pair")
    return {
        "both judge": f"{pairs} of {counted(found.queries, 'query')}; {one} alone {found.only_one:,}, {other} alone {found.only_other:,}",
        "same grade": f"{found.same:.1%}",
        "kappa": f"{_number(found.kappa)}, quadratically weighted",
        "Spearman": f"{_number(found.spearman)} over all pairs; {_number(found.within)} within {counted(found.compared, 'query')}",
        "Kendall": f"{_number(found.kendall)} (tau-b)",
    }


def _number(value: float) -> str:
    return "undefined: a side gives one grade alone" if math.isnan(value) else f"{value:.3f}"


def _table(found: Agreement) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for grade in range(len(found.table)):
        table.add_column(str(grade), justify="right")
    for grade, row in enumerate(found.table):
        table.add_row(str(grade), *(f"{count:,}" for count in row))
    return table
