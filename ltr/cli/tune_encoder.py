"""``ltr tune-encoder EXPERIMENT -o DIRECTORY``: the experiment's encoder, tuned on its fitting side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ltr.cli.output import console, counted, facts_table, print_json

__all__ = ["tune_encoder"]


def tune_encoder(
    experiment: Annotated[str, typer.Argument(help="A name under experiments/, or a path.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the tuned model goes; must not exist yet.")],
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the fitting queries; the ranker is fitted on the others.")
    ] = 0.5,
    epochs: Annotated[int, typer.Option(min=1, help="How often each pair is seen.")] = 1,
    batch: Annotated[int, typer.Option(min=2, help="Pairs a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = 2e-5,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens after which a text is cut while tuning.")] = 64,
    negatives: Annotated[int, typer.Option(min=0, help="Products judged irrelevant that go with each pair.")] = 1,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as encoder.model=DIRECTORY.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tune the sentence encoder on a share of the queries that the experiment fits on; dev and test are not read."""
    from ltr import experiment as experiments
    from ltr.config import read_experiment
    from ltr.encoders.tuning import Settings
    from ltr.experiment.tuning import tune_for

    path = experiments.find(experiment, root=Path())
    config = read_experiment(path, overrides=override)
    settings = Settings(epochs=epochs, batch=batch, learning_rate=learning_rate, max_length=max_length)
    tuned = tune_for(config, base=path.parent, output=output, share=share, negatives=negatives, settings=settings)
    if as_json:
        print_json(
            {
                "experiment": config.name,
                "model": str(tuned.directory),
                "pairs": tuned.pairs,
                "queries": tuned.queries,
                "steps": tuned.steps,
                "seconds": tuned.seconds,
                "loss": {"first": tuned.first, "last": tuned.last, "curve": list(tuned.curve)},
            }
        )
        return
    model = json.dumps(_written(tuned.directory, path.parent), ensure_ascii=False)
    facts = {
        "tuned on": f"{counted(tuned.pairs, 'pair')} of {counted(tuned.queries, 'query')}",
        "steps": f"{tuned.steps:,} in {tuned.seconds:.1f} s",
        "loss": f"{tuned.first:.4f} → {tuned.last:.4f} (means of the first and the last tenth of the steps)",
        "model": str(tuned.directory),
        "use it": f"under [encoder] in {path}: model = {model}",
    }
    console().print(facts_table(facts))


def _written(directory: Path, base: Path) -> str:
    """The directory as experiment.toml in ``base`` names it: relative where it lies beneath."""
    absolute, home = directory.resolve(), base.resolve()
    return str(absolute.relative_to(home) if absolute.is_relative_to(home) else absolute)
