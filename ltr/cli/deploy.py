"""``ltr deploy DIR --url URL --index INDEX``: an export into a search engine, and back out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.output import console, counted, facts_table, print_json, warn
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.deployment import Deployed

__all__ = ["deploy"]


def deploy(
    directory: Annotated[Path, typer.Argument(help="What `ltr export` has written.")],
    url: Annotated[
        str | None,
        typer.Option(help="Elasticsearch or OpenSearch. Default: LTR_ELASTICSEARCH_URL, else this machine's."),
    ] = None,
    index: Annotated[
        str | None, typer.Option(help="The index or alias that is searched; the model is tried on it first.")
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option(help="The search that is rescored: JSON with {{query}} in it. Default: the export's own."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Have applications get the version before.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is kept of earlier versions but the one before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put an export into a search engine: feature set, model, and last the stored template that applications call."""
    from ltr import deployment, export
    from ltr.engine import connect
    from ltr.engine.template import read_body

    made = export.read(directory)
    if rollback and (prune or body):
        raise ConfigError("--rollback takes the version before as it is", hint="leave out --body and --prune")
    wanted = index or made.about.get("index")
    if not (rollback or wanted):
        raise ConfigError("--index is missing", hint="name the index or alias that is searched")
    search = None if body is None else read_body(body, option="--body")
    engine = connect(url)
    try:
        if rollback:
            done = deployment.rollback(engine, made.name, dry_run=dry_run)
        else:
            done = deployment.deploy(engine, made, index=wanted, body=search, dry_run=dry_run, prune=prune)
    finally:
        engine.close()
    for note in done.notes:
        warn(note)
    if as_json:
        print_json({"url": engine.url, "index": wanted, "dry_run": dry_run, **done.to_json()})
        return
    out = console()
    out.print(_table(done, dry_run=dry_run, url=engine.url))
    licence = "" if rollback else made.about["licence"]
    out.print(facts_table(_facts(done, wanted or "INDEX", dry_run=dry_run, licence=licence)))


def _table(done: Deployed, *, dry_run: bool, url: str) -> Table:
    if not done.changed:
        title = "all of it is there already, and nothing was written"
    else:
        title = "what would be written, and nothing was" if dry_run else "what was written"
    table = Table(
        title=f"{url}: {title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in ("", "request", "bytes", "what for"):
        table.add_column(name, justify="right" if name == "bytes" else "left", overflow="fold")
    for step in done.steps:
        made = ("would ask" if dry_run else "asked") if not step.writes else "would write" if dry_run else "written"
        cells = ["there already" if step.done else made, f"{step.method} {step.path}", f"{step.size:,}", step.why]
        table.add_row(*map(Text, cells))
    return table


def _facts(done: Deployed, index: str, *, dry_run: bool, licence: str) -> dict[str, str]:
    would = "would answer" if dry_run and done.changed else "answers"
    same = "" if done.changed else "; nothing had to be changed"
    call = {"id": done.name, "params": {"query": "…", "from": 0, "size": 10}}
    return {
        "template": f"{done.name} {would} with {done.version}{same}",
        "call it": f"POST /{index}/_search/template {json.dumps(call, ensure_ascii=False)}",
        "rollback": f"to {done.before}" if done.before else "none: there is no version before",
        "old": f"{counted(len(done.old), 'model')} besides ({', '.join(done.old)}); --prune removes them"
        if done.old
        else "",
        "needs": licence,
    }
