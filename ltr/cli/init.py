"""``ltr init``: a working experiment from an index that is there, by reading alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.output import console, counted, facts_table, print_json, warn
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.scaffold import Plan, Survey

__all__ = ["init"]


def init(
    index: Annotated[str, typer.Option(help="The index, alias, data stream or pattern with the products.")],
    url: Annotated[
        str | None, typer.Option(help="Of Elasticsearch or OpenSearch; default: LTR_ELASTICSEARCH_URL.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where the files go; default: experiments/NAME.", metavar="DIR")
    ] = None,
    query: Annotated[
        Path | None, typer.Option(help="Your own search body, with {{query}} where the shopper's words stand.")
    ] = None,
    query_text: Annotated[
        str | None, typer.Option(help="The shopper's words in that body, to be replaced by {{query}}.")
    ] = None,
    judgments: Annotated[Path | None, typer.Option(help="Judgments: query, product_id, grade.")] = None,
    log: Annotated[Path | None, typer.Option(help="A click log (UBI) to learn from instead.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the experiment; default: the index's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write experiment.toml, features.toml and query.json for an index; nothing is written to the cluster."""
    from ltr import scaffold
    from ltr.engine import connect
    from ltr.engine.connection import bare, masked

    if judgments is not None and log is not None:
        raise ConfigError("--judgments and --log both say what to learn from", hint="give one of them")
    if query is None and query_text is not None:
        raise ConfigError("--query-text is given without --query", hint="give the body that it stands in")
    called = scaffold.name_of(name or index)
    directory = out or Path("experiments") / called
    if not force:
        scaffold.check_free(directory)
    own = _own(query, query_text)
    judged, queries, scale = _judged(judgments)
    if log is not None and not log.exists():
        raise ConfigError(f"the log {log} does not exist", hint="check the path")

    engine = connect(url)
    found = scaffold.survey(engine, index)
    given = url or os.environ.get("LTR_ELASTICSEARCH_URL") or engine.url
    planned = scaffold.plan(
        engine,
        found,
        name=called,
        url=bare(given),
        secret="***@" in masked(given),
        body=own,
        judgments=_from(judgments, directory),
        judged=judged,
        queries=queries,
        scale=scale,
        log=_from(log, directory),
    )
    paths = scaffold.write(planned, directory, force=force)
    following = _following(directory, judgments, log, planned)
    for note in (*found.notes, *planned.notes):
        warn(note)
    if as_json:
        print_json(_json(found, planned, paths, following))
    else:
        _show(found, planned, paths, following)


def _own(query: Path | None, text: str | None) -> str | None:
    from ltr.scaffold import query as scaffold_query

    return None if query is None else scaffold_query.read(query, text)


def _judged(path: Path | None) -> tuple[list[str], int | None, str]:
    """Ids of judged products, how many queries, and the scale that the grades look like."""
    if path is None:
        return [], None, "0-3"
    from ltr.datasets import files
    from ltr.datasets.mapping import ROW
    from ltr.datasets.tables import read_table

    queries, judgments, scale = files.judged(read_table(path, lone=True).with_row_index(ROW), None, {}, path=path)
    top = int(judgments["grade"].max())  # type: ignore[arg-type]
    named = scale.name if scale else {0: "binary", 1: "binary", 2: "0-3", 3: "0-3", 4: "graded"}.get(top, f"0-{top}")
    return judgments["product_id"].unique(maintain_order=True).to_list(), queries.height, named


def _from(path: Path | None, directory: Path) -> str | None:
    """A path as experiment.toml in the directory names it."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path.resolve(), directory.resolve())).as_posix()
    except ValueError:  # on another drive
        return path.resolve().as_posix()


def _following(directory: Path, judgments: Path | None, log: Path | None, planned: Plan) -> list[str]:
    named = planned.facts.name if directory == Path("experiments") / planned.facts.name else str(directory)
    train = f"ltr train {named}"
    if judgments is None and log is None:
        return [f"put your judgments into {directory / 'judgments.csv'} (query,product_id,grade)", train]
    return [train]


def _show(found: Survey, planned: Plan, paths: list[Path], following: list[str]) -> None:
    out = console()
    table = Table(
        title=f"{found.mapping.index}: {counted(found.documents, 'document')}, {found.server}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("field", "type", "taken for", "because"):
        table.add_column(column, overflow="fold")
    for each in found.guesses:
        role = each.role if each in planned.picked else f"{each.role} (left out)"
        table.add_row(*(Text(cell) for cell in (each.name, each.field.type, role, each.why)))
    out.print(table)
    served = Table(
        title="ways to serve a ranker", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in ("way", "licence needed", "here", ""):
        served.add_column(column, overflow="fold")
    for road in found.roads:
        ready = {True: "ready", False: "not ready", None: "not known"}[road.ready]
        served.add_row(*(Text(cell) for cell in (road.name, road.licence, ready, road.told)))
    out.print(served)
    split = _split(planned)
    out.print(
        facts_table(
            {
                "written": ", ".join(map(str, paths)),
                "language": f"{found.language} (the analyzer of features.toml)",
                "features": f"{len(split['engine'])} that the engine can work out, {len(split['ltr'])} that ltr alone can",
                "cluster": "only read; nothing is written to it before ltr deploy",
                "next": "\n".join(following),
            }
        )
    )


def _split(planned: Plan) -> dict[str, list[str]]:
    """The names of the features that an engine can express, and of those that it cannot."""
    import tomllib

    from ltr.features.clauses import unsupported
    from ltr.features.definition import parse

    feature_set = parse(tomllib.loads(planned.files["features.toml"]), where="features.toml")
    ours = unsupported(feature_set, booleans=[each.name for each in planned.picked if each.field.kind == "boolean"])
    return {"engine": [name for name in feature_set.names if name not in ours], "ltr": list(ours)}


def _json(found: Survey, planned: Plan, paths: list[Path], following: list[str]) -> dict[str, Any]:
    return {
        "index": found.mapping.index,
        "documents": found.documents,
        "server": found.server,
        "language": found.language,
        "fields": [
            {
                "name": each.name,
                "type": each.field.type,
                "role": each.role,
                "why": each.why,
                "used": each in planned.picked,
            }
            for each in found.guesses
        ],
        "roads": [
            {"name": road.name, "licence": road.licence, "ready": road.ready, "told": road.told} for road in found.roads
        ],
        "features": _split(planned),
        "written": [str(path) for path in paths],
        "notes": [*found.notes, *planned.notes],
        "next": following,
    }
