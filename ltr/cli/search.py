"""``ltr search BUNDLE QUERY``: the retrieval order and the reranked order side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ltr.cli.output import console, print_json
from ltr.errors import CandidateError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["search"]


def search(
    bundle: Annotated[str, typer.Argument(help="A bundle directory.")],
    query: Annotated[str, typer.Argument(help="What the shopper types.")],
    depth: Annotated[int, typer.Option(min=1, max=10_000, help="How many candidates to rerank.")] = 100,
    top: Annotated[int, typer.Option(min=1, max=1_000, help="How many to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Retrieve from the bundle's own catalogue, rerank, and show both orders."""
    import polars as pl

    from ltr import bundle as bundles

    if not query.strip():
        raise CandidateError("the query is empty", hint="type what a shopper would")
    loaded = bundles.load(Path(bundle))
    queries = pl.DataFrame({"query_id": ["query"], "query": [query]})
    retrieved = loaded.retriever().retrieve(queries, depth=depth)
    titles = dict(loaded.state.products.select("product_id", pl.col(loaded.facts.title).cast(pl.String)).iter_rows())
    if not retrieved.height:
        if as_json:
            print_json({"query": query, "retrieval": [], "reranked": []})
        else:
            console().print(Text(f"nothing in the catalogue matches {query!r}"))
        return
    reranked = bundles.rerank(loaded, retrieved.with_columns(query=pl.lit(query)))
    before = dict(retrieved.select("product_id", "rank").iter_rows())
    if as_json:
        print_json(
            {
                "query": query,
                "retrieval": _rows(retrieved, titles, top),
                "reranked": [row | {"was": before[row["product_id"]]} for row in _rows(reranked, titles, top)],
            }
        )
        return
    table = Table(title=f"{query}  ({retrieved.height} candidates)", title_justify="left", title_style="bold")
    for name in ("rank", "retrieval order", "reranked", "moved"):
        table.add_column(name, justify="right" if name in ("rank", "moved") else "left")
    for left, right in zip(_rows(retrieved, titles, top), _rows(reranked, titles, top), strict=True):
        moved = before[right["product_id"]] - right["rank"]
        style = "green" if moved > 0 else "red" if moved < 0 else ""
        cells = [Text(str(left["rank"])), Text(str(left["title"])), Text(str(right["title"]))]
        table.add_row(*cells, Text(f"{moved:+d}" if moved else "=", style=style))
    console().print(table)


def _rows(run: pl.DataFrame, titles: dict[str, str | None], top: int) -> list[dict[str, object]]:
    return [
        {"product_id": product, "rank": rank, "score": score, "title": titles.get(product) or product}
        for product, rank, score in run.head(top).select("product_id", "rank", "score").iter_rows()
    ]
