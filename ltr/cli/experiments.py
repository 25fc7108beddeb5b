"""``ltr experiments`` and ``ltr reproduce``: what there is, what it found last, and whether it still does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ltr.cli.output import cache_home, console, print_json, warn
from ltr.errors import ConfigError

__all__ = ["experiments", "reproduce"]


def experiments(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the experiments with their last results."""
    from ltr import experiment as found
    from ltr.config import read_experiment

    listing: list[dict[str, Any]] = []
    for name in found.names(Path()):
        path = Path("experiments") / name / "experiment.toml"
        try:
            question = read_experiment(path).question
        except ConfigError as error:
            warn(str(error))
            question = "cannot be read"
        listing.append({"name": name, "question": question, "last": _last(path.parent)})
    if as_json:
        print_json({"experiments": listing})
        return
    table = Table("experiment", "last result", "bundle", "question")
    for entry in listing:
        last = entry["last"]
        table.add_row(
            *[Text(str(cell)) for cell in (entry["name"], _headline(last), last.get("bundle", ""), entry["question"])]
        )
    console().print(table if listing else Text("no experiments under experiments/"))


def reproduce(
    name: Annotated[
        list[str] | None, typer.Argument(help="Experiments; default: all that have an expected.toml.")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Write what was found as the new expectation.")] = False,
) -> int:
    """Run experiments again and check every figure of their expected.toml; exit code 1 where one is off."""
    from ltr import experiment as found
    from ltr.config import TrackingConfig, read_experiment
    from ltr.experiment import expectation, page

    out, failed = console(), 0
    every = [each for each in found.names(Path()) if accept or (Path("experiments") / each / "expected.toml").is_file()]
    paths = {each: found.find(each, root=Path()) for each in name or every}
    if not paths:
        raise ConfigError(
            f"no experiment under {Path('experiments').absolute()} has an expected.toml",
            hint="start in the project's directory, or name one and write it by --accept",
        )
    for each, path in paths.items():
        if not accept and not (path.parent / "expected.toml").is_file():
            raise ConfigError(
                f"{path.parent / 'expected.toml'} does not exist", hint=f"write it: ltr reproduce --accept {each}"
            )
    configs = {each: read_experiment(path) for each, path in paths.items()}
    for each, path in paths.items():
        config = configs[each].model_copy(update={"tracking": TrackingConfig(uri="")})
        result = found.train(config, base=path.parent, cache=cache_home(), bundles=Path("bundles"), say=warn)
        expected = path.parent / "expected.toml"
        if accept:
            expectation.accept(expected, result, name=each)
            page.write(Path())
            out.print(Text(f"wrote {expected} and experiments/README.md"))
            continue
        for figure in expectation.check(expectation.read(expected), result):
            verdict = Text("ok  ", style="green") if figure.ok else Text("FAIL", style="red")
            measured = "missing" if figure.found is None else f"{figure.found:.4f}"
            out.print(
                verdict,
                Text(f"{each} {figure.name}: expected {figure.expected:.4f} ± {figure.tolerance:g}, found {measured}"),
            )
            failed += not figure.ok
    return 1 if failed else 0


def _last(directory: Path) -> dict[str, Any]:
    try:
        last = json.loads((directory / "results" / "last.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return last if isinstance(last, dict) else {}


def _headline(last: dict[str, Any]) -> str:
    """The ranker's first measure with its interval, of whatever a results file holds."""
    try:
        *_, values = last["measures"].values()
        measure, value = next(iter(values.items()))
        return f"{measure} {value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration):
        return "not run yet"
