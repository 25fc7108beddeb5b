"""``ltr evaluate BUNDLE --judgments FILE``: rerank judged lists that training never saw, and score them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ltr.cli.output import cache_home, console, made_by, measures_table, print_json, split_measures, warn
from ltr.experiment.result import intervals

__all__ = ["evaluate"]


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A bundle directory.")],
    judgments: Annotated[Path, typer.Option(help="CSV, TSV, Parquet or JSON Lines: query, product_id, grade.")],
    products: Annotated[Path | None, typer.Option(help="Another catalogue than the bundle's own.")] = None,
    measures: Annotated[
        list[str] | None, typer.Option(help="Measures, such as 'nDCG@10 RR'; default: the experiment's.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Elasticsearch or OpenSearch; default: as the bundle or the environment says.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rerank judged lists with a saved bundle and print the measures beside those of the retrieval order."""
    from ltr.experiment.judged import evaluate_bundle

    evaluated = evaluate_bundle(
        Path(bundle), judgments, products=products, measures=split_measures(measures), cache=cache_home(), url=url
    )
    for warning in evaluated.warnings:
        warn(warning)
    rows = evaluated.table
    if as_json:
        ranker = list(rows.measures)[-1]
        print_json(
            {
                "measures": intervals(rows.measures[ranker]),
                "queries": rows.queries["test"],
                "retrieval": intervals(rows.measures["retrieval"]),
                "comparisons": [asdict(comparison) for comparison in rows.comparisons],
                "gains": evaluated.gains,
                "scale": evaluated.scale,
                "empty": evaluated.empty,
                "bundle": bundle,
                "warnings": list(evaluated.warnings),
            }
        )
        return
    out = console()
    out.print(measures_table(rows, title=f"{bundle} on {judgments}"))
    out.print(
        Text(made_by(rows.queries["test"], gains=evaluated.gains, scale=evaluated.scale, empty=evaluated.empty)),
        soft_wrap=True,
    )
