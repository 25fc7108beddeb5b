"""``ltr train EXPERIMENT`` and ``ltr track BUNDLE``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.output import (
    UNDEFINED,
    cache_home,
    console,
    counted,
    facts_table,
    measures_table,
    p_value,
    print_json,
    warn,
)
from ltr.errors import ConfigError
from ltr.experiment.result import Result

__all__ = ["track", "train"]


def train(
    experiment: Annotated[str, typer.Argument(help="A name under experiments/, or a path.")],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as ranker.num_leaves=31.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Fit these too, on the same pairs: lightgbm,xgboost,linear.", metavar="RANKERS")
    ] = None,
    bundles: Annotated[Path, typer.Option(help="Where the bundle goes.")] = Path("bundles"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit, evaluate, compare, save and track one experiment."""
    from ltr import experiment as experiments
    from ltr.config import compared, read_experiment

    path = experiments.find(experiment, root=Path())
    config = read_experiment(path, overrides=override)
    if compare is not None:
        config = compared(config, [name.strip() for name in compare.split(",")])
    result = experiments.train(config, base=path.parent, cache=cache_home(), bundles=bundles, say=warn)
    if as_json:
        print_json(result.to_json())
    else:
        show(result)


def track(
    bundle: Annotated[Path, typer.Argument(help="A bundle whose run was not tracked.")],
    uri: Annotated[
        str | None, typer.Option(help="The MLflow server; default: the one that it was trained for.")
    ] = None,
) -> None:
    """Log a saved bundle's run to MLflow, when the server is back; a run that is there already is left as it is."""
    from ltr import bundle as bundles
    from ltr import tracking

    uri = uri or bundles.read_experiment(bundle).tracking.uri
    if not uri or "***" in uri:
        raise ConfigError(
            f"the bundle says tracking.uri = {uri!r}: " + ("its password was not kept" if uri else "not tracked"),
            hint="name the server: --uri sqlite:///mlflow.db",
        )
    run_id = tracking.log_bundle(bundle, uri=uri)
    console().print(Text(f"MLflow run {run_id} at {tracking.masked(uri)}"))


def show(result: Result) -> None:
    """The tables, and what a person needs to act on them."""
    from ltr import tracking

    out = console()
    out.print(measures_table(result.table, title=result.experiment))
    for column, rows in result.also.items():
        out.print(measures_table(rows, title=f"{result.experiment}, split with {column} kept together"))
    if result.recovered:
        out.print(gap_table(result))
    sides = result.table.queries
    facts = {
        "queries": f"{sides['fit']:,} to fit, {sides['dev']:,} for dev, {sides['test']:,} for test",
        "gains": f"{result.gains}, on scale {result.scale}; relevant for RR and AP: grade ≥ {result.rel:g}",
        "against": "\n".join(
            f"{result.table.labels[each.ranker]} − {result.table.labels[each.baseline]}: {each.difference:+.4f} "
            f"({each.low:+.4f} to {each.high:+.4f}, p {p_value(each.p_holm)}{'' if each.proven else ', not proven'})"
            for each in result.table.against
        ),
        "empty": {"skip": "queries without a relevant product are skipped"}.get(
            result.empty, f"queries without a relevant product count as {result.empty}"
        ),
        "left out": _left_out(result.dropped),
        "fitting": "\n".join(
            f"{result.table.labels[row]}: {counted(int(told['rounds']), 'round')} kept, {told['seconds']:.1f} s"
            for row, told in result.fitted.items()
        ),
        "test side": f"read {counted(result.test_reads, 'time')} so far",
        "verdict": result.verdict,
        "notes": " ".join(result.notes),
        "seconds": ", ".join(f"{stage} {value:.1f}" for stage, value in result.seconds.items()),
        "bundle": result.bundle,
        "MLflow": f"run {result.run_id} in {result.tracking_uri}" if result.run_id else "not tracked",
        "open": f"make mlflow, or: {tracking.opened_by(result.tracking_uri)}" if result.run_id else "",
    }
    out.print(facts_table(facts))


def gap_table(result: Result) -> Table:
    """How much of the gap between naive clicks and true judgments each way to learn from clicks wins back."""
    table = Table(
        title="won back of what naive clicks cost", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    table.add_column("fitted on clicks by")
    table.add_column("share of the gap\n(95 % interval)", justify="right")
    table.add_column("difference to naive\n(95 % interval)", justify="right")
    best = result.recovered["best"]["method"]
    for row, told in result.recovered["methods"].items():
        share = f"{told['share']:.0%}" if math.isfinite(told["share"]) else UNDEFINED
        if math.isfinite(told["share_low"]):
            share += f" ({told['share_low']:.0%} to {told['share_high']:.0%})"
        table.add_row(
            Text(result.table.labels[row] + (" (best)" if row == best else "")),
            share,
            f"{told['difference']:+.4f} ({told['low']:+.4f} to {told['high']:+.4f})",
        )
    return table


def _left_out(dropped: dict[str, int]) -> str:
    """What fitting could not use, in words."""
    words = {
        "unjudged_rows": "unjudged pairs",
        "empty": "lists without a judged product",
        "one_document": "lists of one product",
        "all_equal": "lists of one grade",
        "dev_unjudged_rows": "unjudged pairs of dev",
        "dev_without_gain": "dev lists without a relevant product",
    }
    told = [f"{words.get(reason, reason)}: {count:,}" for reason, count in dropped.items() if count]
    return f"of fitting: {'; '.join(told)}" if told else ""
