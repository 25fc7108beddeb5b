"""``ltr search BUNDLE QUERY``: the retrieval order and the reranked order side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ltr.cli.output import console, print_json, warn
from ltr.errors import CandidateError, ConfigError

if TYPE_CHECKING:
    import polars as pl

    from ltr.bundle import Bundle

__all__ = ["search"]


def search(
    bundle: Annotated[str, typer.Argument(help="A bundle directory.")],
    query: Annotated[str, typer.Argument(help="What the shopper types.")],
    depth: Annotated[int, typer.Option(min=1, max=10_000, help="How many candidates to rerank.")] = 100,
    top: Annotated[int, typer.Option(min=1, max=1_000, help="How many to show.")] = 10,
    url: Annotated[
        str | None, typer.Option(help="Elasticsearch or OpenSearch; default: as the bundle or the environment says.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="A search body in JSON, {{query}} in it, instead of the experiment's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Retrieve from the bundle's own catalogue or from its search engine, rerank, and show both orders."""
    from ltr import bundle as bundles
    from ltr.engine.template import read_body

    if not query.strip():
        raise CandidateError("the query is empty", hint="type what a shopper would")
    loaded = bundles.load(Path(bundle))
    by_engine = loaded.experiment.retrieval.engine == "elasticsearch"
    if not by_engine and (url is not None or body is not None):
        raise ConfigError(
            f"{bundle} takes its candidates from its own catalogue",
            hint='leave --url and --body out, or train it with [retrieval] engine = "elasticsearch"',
        )
    if by_engine:
        own = None if body is None else read_body(body, option="--body")
        retrieved, reranked, titles, reason = _asked(loaded, query, url=url, body=own, depth=depth)
    else:
        retrieved, reranked, titles, reason = _own(loaded, query, depth)
    if reason:
        warn(f"not reranked: {reason}")
    before = dict(retrieved.select("product_id", "rank").iter_rows())
    if as_json:
        print_json(
            {
                "query": query,
                "retrieval": _rows(retrieved, titles, top),
                "reranked": [row | {"was": before[row["product_id"]]} for row in _rows(reranked, titles, top)],
            }
            | ({"reason": reason} if reason else {})
        )
        return
    if not retrieved.height:
        console().print(Text(f"nothing in the catalogue matches {query!r}"))
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


Asked = tuple["pl.DataFrame", "pl.DataFrame", dict[str, str | None], str]


def _own(loaded: Bundle, query: str, depth: int) -> Asked:
    """Candidates of the bundle's own catalogue."""
    import polars as pl

    from ltr import bundle as bundles

    queries = pl.DataFrame({"query_id": ["query"], "query": [query]})
    retrieved = loaded.retriever().retrieve(queries, depth=depth)
    reranked = bundles.rerank(loaded, retrieved.with_columns(query=pl.lit(query))) if retrieved.height else retrieved
    return retrieved, reranked, _titles(loaded), ""


def _asked(loaded: Bundle, query: str, *, url: str | None, body: dict[str, Any] | None, depth: int) -> Asked:
    """Candidates of the bundle's search engine."""
    from ltr import bundle_search

    engine = bundle_search.elastic(loaded, url=url)
    found = bundle_search.search(loaded, engine, query, body=body, depth=depth, offset=0, size=depth)
    for note in found.notes:
        warn(note)
    hits = found.answer["hits"]["hits"]
    if hits and not found.retrieved.height:
        # Not to be reranked: the engine's own list, twice.
        shown = _listed(hits)
        return shown, shown, _titles(loaded), found.reason
    return found.retrieved, found.reranked, _titles(loaded), found.reason if hits else ""


def _listed(hits: list[dict[str, Any]]) -> pl.DataFrame:
    """Hits as they came: of a sorted search, without scores."""
    import polars as pl

    rows = [(hit.get("_id"), rank, hit.get("_score")) for rank, hit in enumerate(hits, 1)]
    schema = {"product_id": pl.String, "rank": pl.UInt32, "score": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _titles(loaded: Bundle) -> dict[str, str | None]:
    import polars as pl

    return dict(loaded.state.products.select("product_id", pl.col(loaded.facts.title).cast(pl.String)).iter_rows())


def _rows(run: pl.DataFrame, titles: dict[str, str | None], top: int) -> list[dict[str, Any]]:
    return [
        {"product_id": product, "rank": rank, "score": score, "title": titles.get(product) or product}
        for product, rank, score in run.head(top).select("product_id", "rank", "score").iter_rows()
    ]
