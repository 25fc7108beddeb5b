"""The verbs, put together."""

from __future__ import annotations

import typer
from typer.main import get_command

from ltr import __version__
from ltr.cli import (
    INTERRUPTED,
    abtest,
    agreement,
    compare,
    convert,
    deploy,
    elasticsearch,
    evaluate,
    experiments,
    export,
    features,
    index,
    init,
    inspect,
    interleave,
    judge,
    learning_curve,
    parity,
    propensity,
    refresh,
    search,
    serve,
    simulate,
    train,
    tune_encoder,
)
from ltr.errors import LtrError

__all__ = ["app", "invoke"]

app = typer.Typer(
    help="Learning to rank for shop search.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.command("experiments")(experiments.experiments)
app.command("reproduce")(experiments.reproduce)
app.command("features")(features.features)
app.command("inspect")(inspect.inspect)
app.command("learning-curve")(learning_curve.learning_curve)
app.command("simulate")(simulate.simulate)
app.command("judge")(judge.judge)
app.command("propensity")(propensity.propensity)
app.command("agreement")(agreement.agreement)
app.command("refresh")(refresh.refresh)
app.command("elasticsearch")(elasticsearch.elasticsearch)
app.command("init")(init.init)
app.command("index")(index.index)
app.command("export")(export.export)
app.command("parity")(parity.parity)
app.command("deploy")(deploy.deploy)
app.command("track")(train.track)
app.command("tune-encoder")(tune_encoder.tune_encoder)
judgments = typer.Typer(help="Judgment files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(judgments, name="judgments")
app.add_typer(interleave.interleave, name="interleave")
app.add_typer(abtest.abtest, name="abtest")
judgments.command("convert")(convert.convert)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"ltr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Learning to rank for shop search."""


def invoke(arguments: list[str]) -> int:
    """Run one command; returns its exit code, raises LtrError and KeyboardInterrupt."""
    command = get_command(app)
    try:
        outcome = command.main(arguments, prog_name="ltr", standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except typer.Exit as done:
        outcome = int(done.exit_code)
    except LtrError:
        raise
    except Exception as error:
        # What typer says of a wrong option or a missing argument; its class has moved between releases.
        if hasattr(error, "format_message") and hasattr(error, "show"):
            error.show()
            return int(getattr(error, "exit_code", 2))
        raise
    # typer turns Ctrl-C into its own exit code, without a word.
    if outcome == INTERRUPTED:
        raise KeyboardInterrupt
    return outcome if isinstance(outcome, int) else 0
