"""``ltr judge LOG ... -o OUT``: judgments from clicks, with what the log was like and what the click model found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ltr.cli.clicklog import FILTER, LOGS, MAPPING, opened_log
from ltr.cli.output import console, counted, facts_table, print_json
from ltr.errors import ConfigError, DataError, suggestion

if TYPE_CHECKING:
    import polars as pl

    from ltr.judgments import ClickModel
    from ltr.judgments.fitness import Fitness
    from ltr.judgments.grades import Satisfaction
    from ltr.judgments.priors import Prior
    from ltr.measures import Scale

__all__ = ["judge"]

# Positions that a line shows.
_SHOWN = 10
_TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def judge(
    logs: LOGS,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The table to write: Parquet, CSV, TSV or JSON Lines, by its name.")
    ],
    model: Annotated[str, typer.Option(help="Click model: ctr, coec, pbm, ubm, dcm, sdbn or dbn.")] = "pbm",
    mapping: MAPPING = None,
    filtered: FILTER = None,
    scale: Annotated[str, typer.Option(help="The scale of the grades, such as graded, esci or 0-10.")] = "graded",
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=NUMBER: what counts beside the click (click=1): satisfied, add_to_cart, purchase, dwell, revenue."
        ),
    ] = None,
    top: Annotated[
        float | None, typer.Option(help="Value of the highest grade; default: the median query's best product's.")
    ] = None,
    products: Annotated[Path | None, typer.Option(help="The catalogue, for --levels.")] = None,
    levels: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that a product's prior comes from, coarse first, as --levels category --levels brand."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Faulty records are an error.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write what was read and dropped as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Grade what was shown by how it was clicked, each grade with the confidence that the clicks allow."""
    from ltr import judgments, measures

    kind, on, counts = judgments.model(model), measures.scale(scale), _satisfaction(weight)
    _check_output(output)
    prior = _prior(products, levels)
    with opened_log(logs, mapping, filtered=filtered, strict=strict) as log:
        if report:
            report.write_text(log.report.to_json() + "\n", encoding="utf-8")
        impressions = log.scan()
        fitted = kind.fit(impressions, prior=prior)
        written = _judged(fitted, impressions, output, on, counts, top)
        found = Found(model, fitted, written, _fitness(kind, impressions, prior))
        told = log.report.sentences()
        if as_json:
            print_json({"report": json.loads(log.report.to_json()), **found.to_json(), "output": str(output)})
            return
    out = console()
    for line in told:
        out.print(Text(line), soft_wrap=True)
    out.print()
    out.print(facts_table(found.facts()))
    out.print(
        Text(f"{output}: {counted(written.height, 'judgment')} of {counted(written['query_id'].n_unique(), 'query')}")
    )


@dataclass(frozen=True)
class Found:
    """What a click model found."""

    name: str
    model: Any
    judgments: pl.DataFrame
    fitness: tuple[Fitness, Fitness] | str

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        grades = self.judgments["grade"].cast(int).value_counts().sort("grade")
        fits = (
            {"fitness": None, "not_measured": self.fitness}
            if isinstance(self.fitness, str)
            else {
                "fitness": {
                    who: {
                        "perplexity": each.perplexity,
                        "conditional": each.conditional,
                        "log_likelihood": each.log_likelihood,
                        "searches": each.searches,
                        "by_rank": each.ranks["perplexity"].to_list(),
                    }
                    for who, each in zip((self.name, "rates"), self.fitness, strict=True)
                }
            }
        )
        tied = getattr(self.model, "tied", None)
        return {
            "model": self.name,
            "examination": self.model.examination.tolist(),
            "prior": {"mean": self.model.prior.mean, "strength": self.model.prior.strength},
            "tied": tied,
            "judgments": self.judgments.height,
            "queries": self.judgments["query_id"].n_unique(),
            "grades": dict(zip(grades["grade"].to_list(), grades["count"].to_list(), strict=True)),
            "mean_weight": self.judgments["weight"].mean(),
            **fits,
        }

    def facts(self) -> dict[str, str]:
        """For a person."""
        found = self.to_json()
        tied = found["tied"]
        shown = found["examination"][:_SHOWN]
        more = f", to position {len(found['examination'])}" if len(found["examination"]) > _SHOWN else ""
        return {
            "model": self.name.upper(),
            "examination": " ".join(f"{value:.3f}" for value in shown) + more,
            "identified by": f"{tied:.1%} of the (query, product) pairs, seen at two positions or more"
            if tied is not None and tied == tied
            else "",
            "prior": f"attraction {self.model.prior.mean:.3f}, worth {self.model.prior.strength:.3g} examinations",
            "perplexity": self._perplexity(),
            "grades": ", ".join(f"{grade}: {count:,}" for grade, count in found["grades"].items()),
            "confidence": f"{found['mean_weight']:.2f} on average (0: the prior alone, 1: certain)",
        }

    def _perplexity(self) -> str:
        if isinstance(self.fitness, str):
            return self.fitness
        ours, rates = self.fitness
        lead = "" if ours.conditional < rates.conditional else ": the model foretells no click of this log"
        return (
            f"{ours.conditional:.4f} given the clicks above ({ours.perplexity:.4f} without) on "
            f"{ours.searches:,} held-out searches; click-through rates by position {rates.perplexity:.4f}{lead}"
        )


def _satisfaction(given: Sequence[str] | None) -> Satisfaction:
    from ltr.judgments.grades import Satisfaction

    names = [field.name for field in fields(Satisfaction)]
    weights: dict[str, float] = {}
    for each in given or ():
        name, _, number = each.partition("=")
        if name.strip() not in names:
            raise ConfigError(f"--weight {each!r} names nothing", hint=suggestion(name.strip(), names, noun="weights"))
        try:
            weights[name.strip()] = float(number)
        except ValueError as error:
            raise ConfigError(f"--weight {each!r} has no number", hint="write it as purchase=2") from error
    return Satisfaction(**weights)


def _check_output(path: Path) -> None:
    if Path(path.name.lower().removesuffix(".gz")).suffix not in _TABLES:
        raise ConfigError(
            f"{path} is no table", hint=f"end it in {', '.join(_TABLES)}; ltr judgments convert writes others"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no directory", hint="make it first")


def _prior(products: Path | None, levels: Sequence[str] | None) -> Prior:
    from ltr.datasets.files import read_products
    from ltr.judgments.priors import Prior

    if products is None:
        if levels and list(levels) != ["product_id"]:
            raise ConfigError("--levels needs the catalogue", hint="give --products FILE")
        return Prior(levels=tuple(levels or ()))
    if not levels:
        raise ConfigError("--products is given without --levels", hint="name a column, such as --levels category")
    frame, _ = read_products(products)
    return Prior(levels=tuple(levels), products=frame)


def _judged(
    fitted: Any, impressions: pl.LazyFrame, output: Path, on: Scale, counts: Satisfaction, top: float | None
) -> pl.DataFrame:
    """The judgments, written with the clicks behind them."""
    import polars as pl

    from ltr.cli.convert import write_table
    from ltr.judgments import grades

    judged = grades.judge(fitted, impressions, scale=on, weights=counts, top=top)
    behind = [name for name in fitted.attraction.columns if name not in ("query_id", "product_id")]
    judged = judged.with_columns(fitted.attraction.select(behind))
    texts = impressions.group_by("query_id").agg(pl.col("query").min()).collect(engine="streaming")
    write_table(texts.select("query_id", "query"), judged, output, quepid=False)
    return judged


def _fitness(kind: Any, impressions: pl.LazyFrame, prior: Prior) -> tuple[Fitness, Fitness] | str:
    from ltr.judgments.fitness import held_out

    def fit(part: Any) -> ClickModel:
        model: ClickModel = kind.fit(part, prior=prior)
        return model

    try:
        return held_out(fit, impressions)
    except DataError as error:
        return f"not measured: {error}"
