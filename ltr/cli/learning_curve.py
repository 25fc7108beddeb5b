"""``ltr learning-curve EXPERIMENT``: what more judged queries would bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ltr.cli.output import cache_home, console, print_json, warn, with_interval

if TYPE_CHECKING:
    from ltr.experiment.curve import LearningCurve

__all__ = ["learning_curve"]


def learning_curve(
    experiment: Annotated[str, typer.Argument(help="A name under experiments/, or a path.")],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as ranker.num_leaves=31.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(min=0, max=1, help="How many queries would this value of the first measure take?")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Where the picture goes; default: results/ of the experiment.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit on ever fewer judged queries, and say what more of them would bring; the test side is not read."""
    from ltr import experiment as experiments
    from ltr import tracking
    from ltr.config import read_experiment
    from ltr.experiment.curve import learn

    path = experiments.find(experiment, root=Path())
    config = read_experiment(path, overrides=override)
    curve = learn(config, base=path.parent, cache=cache_home(), target=target, say=warn)
    picture = plot or path.parent / "results" / "learning_curve.png"
    tracking.draw_learning_curve(
        picture,
        curve.queries,
        {
            config.ranker.library: [(each.mean, each.low, each.high) for each in curve.ranker],
            "best feature": [(each.mean, each.low, each.high) for each in curve.best_feature],
        },
        measure=curve.measure,
    )
    if as_json:
        print_json({**curve.to_json(), "plot": str(picture)})
        return
    out = console()
    out.print(_table(curve, config.ranker.library))
    for sentence in _sentences(curve, target):
        out.print(Text(sentence), soft_wrap=True)
    out.print(Text(f"picture: {picture}"), soft_wrap=True)


def _table(curve: LearningCurve, library: str) -> Table:
    title = f"{curve.experiment}: {curve.measure} by judged queries to fit on"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("queries", "judgments", library, "best feature"):
        table.add_column(name, justify="right")
    for n, judged, ranker, feature in zip(
        curve.queries, curve.judgments, curve.ranker, curve.best_feature, strict=True
    ):
        table.add_row(f"{n:,}", f"{judged:,}", with_interval(ranker, ".4f"), with_interval(feature, ".4f"))
    return table


def _sentences(curve: LearningCurve, target: float | None) -> list[str]:
    if not curve.expected:
        return ["Too few queries to say what more would bring: at least three sizes of ten queries or more are needed."]
    told = [
        f"{n:,} queries: expected {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) over {curve.queries[-1]:,}"
        for n, gain in curve.expected.items()
    ]
    told.append(f"No number of queries is expected to exceed {curve.asymptote:.4f} with these features.")
    if target is not None:
        told.append(
            f"{curve.measure} {target:g} is not expected of any number of queries"
            if curve.needed is None
            else f"{curve.measure} {target:g} is expected to take about {curve.needed:,} queries"
        )
    return told
