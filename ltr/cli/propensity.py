"""``ltr propensity LOG ...``: the examination curve by each method that the log allows, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.clicklog import FILTER, LOGS, MAPPING, opened_log
from ltr.cli.output import console, facts_table, print_json
from ltr.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from ltr.judgments.propensity import Curve
    from ltr.judgments.statistics import Cells

__all__ = ["propensity", "text_features"]


def propensity(
    logs: LOGS,
    products: Annotated[
        Path | None, typer.Option(help="The catalogue: attraction by regression from how its texts match the query.")
    ] = None,
    mapping: MAPPING = None,
    filtered: FILTER = None,
    positions: Annotated[int, typer.Option(help="Positions below this one count as one.", min=2)] = 20,
    floor: Annotated[float, typer.Option(help="The least examination.")] = 0.01,
    seed: Annotated[int, typer.Option(help="Of the resampled queries.")] = 7,
    strict: Annotated[bool, typer.Option("--strict", help="Faulty records are an error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Estimate how likely each position is examined, by every method that this log allows."""
    from ltr.judgments import propensity as methods
    from ltr.judgments.statistics import by_position

    with opened_log(logs, mapping, filtered=filtered, strict=strict) as log:
        impressions = log.scan()
        cells = by_position(impressions, most=positions)
        how: dict[str, Any] = {"floor": floor, "seed": seed}
        asked: dict[str, Callable[[], Curve]] = {
            "randomised": lambda: methods.randomised(impressions, most=positions, **how),
            "harvested": lambda: methods.harvested(cells, **how),
            "em": lambda: methods.by_em(cells, **how),
            "regression": lambda: _by_regression(impressions, cells, products, **how),
        }
        found: dict[str, Curve] = {}
        refused: dict[str, str] = {}
        for name, estimate in asked.items():
            try:
                found[name] = estimate()
            except DataError as error:
                refused[name] = str(error)
        summary = log.report.sentences()[0]
    if as_json:
        print_json(
            {"curves": {name: _told(curve) for name, curve in found.items()}, "refused": refused, "log": summary}
        )
        return
    out = console()
    out.print(Text(summary), soft_wrap=True)
    if found:
        out.print(Text("examination, 1 at position 1 (95 % interval)", style="bold"))
        out.print(_table(found))
    out.print(facts_table({name: "; ".join(curve.notes) for name, curve in found.items()}))
    out.print(facts_table({name: f"not from this log: {reason}" for name, reason in refused.items()}))


def text_features(products: pl.DataFrame, texts: list[str], pairs: pl.DataFrame) -> pl.DataFrame:
    """How each text field matches the query (BM25; 0 where no term does) by query_id and product_id."""
    import polars as pl

    from ltr.retrieval import embedded

    engine = embedded.build(
        products,
        fields=dict.fromkeys(texts, 1.0),
        analyzer="english",
        match={name: name for name in texts},
        vectors=None,
        encoder=None,
    )
    scored = engine.score(pairs.select("query_id", "query", "product_id"))
    known = scored.filter(pl.col("product_id").is_in(products["product_id"].implode()))
    match = [f"match.{name}" for name in texts]
    matched = known.select("query_id", "product_id", pl.col(match).cast(pl.Float32).fill_nan(0.0).fill_null(0.0))
    # Attraction rises with the first terms that match more than with the last.
    return matched.with_columns(pl.col(match).log1p().name.suffix(".log"))


def _by_regression(impressions: pl.LazyFrame, cells: Cells, products: Path | None, *, floor: float, seed: int) -> Curve:
    import polars as pl

    from ltr.datasets.files import read_products
    from ltr.judgments.regression import by_regression, logistic

    if products is None:
        raise DataError("there are no features", hint="give the catalogue by --products FILE")
    frame, types = read_products(products)
    texts = [name for name, kind in types.items() if kind == "text"]
    if not texts:
        raise DataError(f"{products} has no text field to match queries with", hint=f"its fields are {types}")
    queries = impressions.group_by("query_id").agg(pl.col("query").min()).collect(engine="streaming")
    pairs = cells.pairs.join(queries, on="query_id", how="left", maintain_order="left")
    return by_regression(cells, text_features(frame, texts, pairs), logistic, floor=floor, seed=seed)


def _told(curve: Curve) -> dict[str, Any]:
    values = {name: getattr(curve, name).tolist() for name in ("examination", "low", "high")}
    return {**values, "notes": list(curve.notes)}


def _table(found: dict[str, Curve]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("position", justify="right")
    for name in found:
        table.add_column(name, justify="right")
    for at in range(max(len(curve.examination) for curve in found.values())):
        table.add_row(str(at + 1), *(_cell(curve, at) for curve in found.values()))
    return table


def _cell(curve: Curve, at: int) -> Text:
    if at >= len(curve.examination) or math.isnan(curve.examination[at]):
        return Text("–")
    value = f"{curve.examination[at]:.3f}"
    if at == 0 or math.isnan(curve.low[at]):
        return Text(value)
    return Text(f"{value} ({curve.low[at]:.3f} to {curve.high[at]:.3f})")
