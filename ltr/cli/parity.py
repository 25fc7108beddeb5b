"""``ltr parity DIR``: does an export score as the ranker does, by emulation, or inside an engine?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ltr.cli.export import proof
from ltr.cli.output import console, facts_table, print_json
from ltr.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from ltr.engine import Engine
    from ltr.export import Export

__all__ = ["parity"]


def parity(
    directory: Annotated[Path, typer.Argument(help="What `ltr export` has written.")],
    url: Annotated[
        str | None,
        typer.Option(
            help="Also score inside this engine, under scratch names that are removed afterwards.", metavar="URL"
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(help="With --url: score this index's products too. Default: the export's own, if it is there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Score an export's golden rows again and compare them with the ranker's; exit code 1 where they differ."""
    from ltr import export

    if index is not None and url is None:
        raise ConfigError("--index is given without --url", hint="name the engine that has it")
    made = export.read(directory)
    reports = {"emulation": export.check(made)}
    if url is not None:
        from ltr import deployment
        from ltr.engine import connect

        engine = connect(url)
        try:
            reports["engine"] = deployment.parity(engine, made, index=_index(engine, index, made))
        finally:
            engine.close()
    passed = all(report.passed for report in reports.values())
    if as_json:
        told = {where: report.to_json() for where, report in reports.items()}
        print_json({"directory": str(directory), "version": made.version, "passed": passed, **told})
    else:
        out = console()
        for where, report in reports.items():
            title = "by emulation, no engine asked" if where == "emulation" else "inside the engine"
            out.print(Text(f"{made.version}, {title}", style="bold"))
            out.print(facts_table(proof(report)))
    return 0 if passed else 1


def _index(engine: Engine, given: str | None, made: Export) -> str | None:
    """The index that is given, else the one that the ranker was fitted on, where this engine has it."""
    from ltr.engine.connection import path_of

    name: str | None = given or made.about["index"]
    there = name is not None and engine.call("HEAD", path_of(name), allow=(404,)) is not None
    if given and not there:
        raise EngineError(f"{engine.url} has no index {given!r}", hint="name an index or alias with products")
    return name if there else None
