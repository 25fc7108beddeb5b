"""``ltr export BUNDLE --to plugin|native -o DIR``: the ranker and its features as an engine's own documents, and the proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.text import Text

from ltr.cli.output import cache_home, console, counted, facts_table, p_value, print_json, warn

if TYPE_CHECKING:
    from ltr.evaluation import Comparison
    from ltr.experiment import Reduced
    from ltr.export import Export, ParityReport

__all__ = ["export", "proof"]

# Features that the sentence of the cost names; of more, the warning before has said which.
_FEW: Final = 6


def export(
    bundle: Annotated[str, typer.Argument(help="A bundle directory.")],
    to: Annotated[
        Literal["plugin", "native"],
        typer.Option(help="plugin: o19s for Elasticsearch, and OpenSearch; native: Elastic's own, with a licence."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The directory that it goes to.", metavar="DIR")],
    name: Annotated[
        str | None, typer.Option(help="What the engine calls it, a digest added. Default: the experiment's name.")
    ] = None,
    drop_unsupported: Annotated[
        bool,
        typer.Option(
            "--drop-unsupported", help="Fit again without the features that no engine expresses, and export that."
        ),
    ] = False,
    experiment: Annotated[
        str | None,
        typer.Option(
            help="For --drop-unsupported: the bundle's experiment, a name or a path. Default: the one of its name."
        ),
    ] = None,
    no_shift: Annotated[
        bool, typer.Option("--no-shift", help="Leave negative scores as they are (plugin; see ltr.export.plugin).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Convert a bundle for a search engine, check that it scores the same, and write it as one directory."""
    from ltr import bundle as bundles
    from ltr import export as exporting
    from ltr.features.clauses import unsupported

    loaded = bundles.load(Path(bundle))
    reduced: Reduced | None = None
    names = list(unsupported(loaded.feature_set, booleans=loaded.facts.booleans)) if drop_unsupported else []
    if 0 < len(names) < len(loaded.feature_set.names):
        exporting.check_before_fitting(loaded, output, name=name)
        reduced = _retrained(Path(bundle), names, experiment)
        loaded = bundles.load(Path(reduced.result.bundle))
    made = exporting.write(loaded, to, output, name=name, shift=not no_shift)
    report = exporting.check(made)
    for text in made.about["warnings"]:
        warn(text)
    if as_json:
        cost = {"bundle": reduced.result.bundle, **_cost(reduced)} if reduced else None
        print_json({"directory": str(output), **made.about, "parity": report.to_json(), "dropped": cost})
        return
    out = console()
    if reduced:
        out.print(Text(_sentence(reduced)), soft_wrap=True)
    out.print(facts_table(_facts(made) | proof(report)))


def proof(report: ParityReport) -> dict[str, str]:
    """A parity report in sentences."""
    exact = ", ".join(f"{each} {difference:g}" for each, difference in report.by_generation.items())
    return {
        "golden rows": f"{report.rows:,}",
        "to the ranker": f"largest difference {report.largest:.2g}, allowed {report.tolerance:.2g}; "
        f"{counted(report.swaps, 'pair')} swapped, {report.beyond:,} beyond rounding",
        "to what is expected": f"largest difference by release: {exact}",
        "parity": "passed" if report.passed else "FAILED",
    }


def _retrained(path: Path, names: list[str], experiment: str | None) -> Reduced:
    from ltr import experiment as experiments

    base = experiments.find(experiment, root=Path()).parent if experiment is not None else None
    warn(f"fitting again without {', '.join(names)}")
    reduced: Reduced = experiments.retrain_without(
        path, names, cache=cache_home(), bundles=path.parent, base=base, say=warn
    )
    return reduced


def _cost(reduced: Reduced) -> dict[str, object]:
    cost: Comparison = reduced.cost
    return {
        "features": list(reduced.left_out),
        "measure": cost.measure,
        "difference": cost.difference,
        "low": cost.low,
        "high": cost.high,
        "p": cost.p_value,
        "n": cost.n,
    }


def _sentence(reduced: Reduced) -> str:
    cost: Comparison = reduced.cost
    left_out = reduced.left_out
    named = ", ".join(left_out) if len(left_out) <= _FEW else counted(len(left_out), "feature")
    return (
        f"without {named}: {cost.measure} {cost.difference:+.4f} "
        f"({cost.low:+.4f} to {cost.high:+.4f}, p {p_value(cost.p_value)}, {counted(cost.n, 'query')}); "
        f"the new bundle is {reduced.result.bundle}"
    )


def _facts(made: Export) -> dict[str, str]:
    about = made.about
    shift = f", scores moved up by {made.shift:g}" if made.shift else ""
    return {
        "export": f"{made.path}: {made.kind}, version {made.version}",
        "model": f"{counted(about['trees'], 'tree')} of {about['nodes']:,} nodes, {about['bytes'] / 2**20:.2f} MB, "
        f"from {about['ranker']['library']}{shift}",
        "features": f"{len(made.features)}: {', '.join(made.features)}",
        "needs": about["licence"],
        "notes": " ".join(about["notes"]),
    }
