"""``ltr elasticsearch [start|stop|status]``: a private Elasticsearch on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ltr.cli.output import cache_home, console, print_json, warn

if TYPE_CHECKING:
    from ltr.engine.server import Server

__all__ = ["elasticsearch"]

_NOT_RUNNING = 1


class Action(StrEnum):
    """What to do with the server."""

    START = "start"
    STOP = "stop"
    STATUS = "status"


def elasticsearch(
    action: Annotated[Action, typer.Argument(help="start, stop, or status.")] = Action.START,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Of HTTP, on this machine only. Default: 9200.")
    ] = None,
    heap: Annotated[str, typer.Option(help="Memory of Java, such as 512m or 2g.")] = "1g",
    directory: Annotated[
        Path | None, typer.Option(help="For its data and logs; one server a directory. Default: in ltr's cache.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Start, stop or look at a private Elasticsearch: without a password, reachable from this machine alone.

    Started, it runs in the background until it is stopped; its data stay. status exits with 1 where none runs.
    """
    from ltr.engine import server

    shared = server.home(cache_home())
    place = directory or shared
    if action is Action.START:
        found: Server | None = server.start(directory=place, port=port or 9200, heap=heap, cache=shared)
        if found and port not in (None, found.port):
            warn(f"it runs at port {found.port} already, not {port}: stop it first, or give another --directory")
    elif action is Action.STOP:
        found = server.stop(place)
    else:
        found = server.status(place)
    if as_json:
        print_json(
            {"action": action.value, "running": action is not Action.STOP and found is not None, **_facts(found)}
        )
    else:
        _show(action, found, place, f" --directory {directory}" if directory else "")
    if action is Action.STATUS and found is None:
        raise typer.Exit(_NOT_RUNNING)


def _facts(found: Server | None) -> dict[str, object]:
    if found is None:
        return {}
    return {"url": found.url, "pid": found.pid, "version": found.version, "directory": str(found.directory)}


def _show(action: Action, found: Server | None, place: Path, option: str) -> None:
    out = console()
    if found is None:
        out.print(Text(f"no Elasticsearch of ltr runs in {place}"), soft_wrap=True)
    elif action is Action.STOP:
        out.print(
            Text(f"Elasticsearch at {found.url} (process {found.pid}) has ended; its data stay in {place}"),
            soft_wrap=True,
        )
    else:
        how = "is ready" if found.fresh else "runs"
        out.print(
            Text(
                f"Elasticsearch {found.version} {how} at {found.url} (process {found.pid}, without a password, "
                f"for this machine only)\n"
                f"data and logs: {place}\n"
                f"stop it with:  ltr elasticsearch stop{option}"
            ),
            soft_wrap=True,
        )
