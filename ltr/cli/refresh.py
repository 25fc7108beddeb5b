"""``ltr refresh BUNDLE``: today's catalogue and today's counts under an unchanged model, and what moved."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.clicklog import MAPPING, opened_log
from ltr.cli.output import console, facts_table, print_json, warn
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.refresh import Moved, Refreshed

__all__ = ["refresh"]

# Features that the table shows; --json has them all.
_SHOWN = 10


def refresh(
    bundle: Annotated[str, typer.Argument(help="A bundle directory.")],
    products: Annotated[
        Path | None, typer.Option(help="The catalogue: CSV, TSV, Parquet or JSON Lines. Default: as it was.")
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            help="UBI JSON lines, or tables by --mapping: the whole log that is to be counted; may be repeated. "
            "Default: the counts as they were."
        ),
    ] = None,
    mapping: MAPPING = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Count what happened before this UTC day. Default: the day after the log's last, or as it was.",
            metavar="DATE",
        ),
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Take the state before this one again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Renew a bundle's state (catalogue, behaviour counts) without fitting anew; whole, or not at all."""
    from ltr.bundle_state import roll_back

    path = Path(bundle)
    if rollback:
        if products or log or mapping or as_of:
            raise ConfigError("--rollback takes the state before as it is", hint="give no other option but --json")
        entry = roll_back(path)
        if as_json:
            print_json({"bundle": bundle, "state": entry})
        else:
            console().print(Text(f"{bundle}: the state is that of {entry.get('as_of') or 'no known time'} again"))
        return
    if mapping and not log:
        raise ConfigError("--mapping is given without --log", hint="give the log that it maps")
    found, told = _refreshed(path, products, log or [], mapping, as_of)
    for note in found.notes:
        warn(note)
    if as_json:
        print_json({"bundle": bundle, **found.to_json(), "log": told})
        return
    out = console()
    for line in told:
        out.print(Text(line), soft_wrap=True)
    out.print(facts_table(_facts(found)))
    if found.moved:
        out.print(_table(found.moved[:_SHOWN]))
    out.print(Text(f"{bundle}: the state is {found.state}; ltr refresh {bundle} --rollback takes the one before again"))


def _refreshed(
    path: Path, products: Path | None, log: list[Path], mapping: Path | None, as_of: str | None
) -> tuple[Refreshed, list[str]]:
    from ltr import refresh as refreshing

    now = datetime.now(UTC).isoformat(timespec="seconds")
    with opened_log(log, mapping) if log else nullcontext() as opened:
        impressions = opened.scan() if opened else None
        found = refreshing.refresh(path, products=products, impressions=impressions, as_of=as_of, renewed=now)
        return found, opened.report.sentences() if opened else []


def _facts(found: Refreshed) -> dict[str, str]:
    differences = [
        f"{len(ids):,} {what}{_such_as(ids)}"
        for what, ids in (("added", found.added), ("removed", found.removed), ("changed", found.changed))
        if ids
    ]
    before, after = found.products
    return {
        "as of": _from_to(*(time or "not known" for time in found.as_of)),
        "products": f"{_from_to(f'{before:,}', f'{after:,}')}: {', '.join(differences) or 'none has changed'}",
        "texts": f"{found.encoded:,} encoded, {found.reused:,} as they were" if found.encoded or found.reused else "",
        **{name: _from_to(*map(_count, pair)) for name, pair in found.counts.items()},
        "queries": _from_to(*(f"{number:,}" for number in found.queries)) if any(found.queries) else "",
    }


def _table(moved: tuple[Moved, ...]) -> Table:
    table = Table(title="features by how far they moved", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("feature")
    for name in ("PSI", "mean before", "mean now", "missing before", "missing now"):
        table.add_column(name, justify="right")
    for each in moved:
        means = (f"{value:.4g}" if value == value else "–" for value in (each.before, each.after))
        table.add_row(each.feature, f"{each.psi:.3f}", *means, *(f"{share:.1%}" for share in each.missing))
    return table


def _from_to(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _count(value: float | None) -> str:
    return "not counted" if value is None else f"{value:,.0f}"


def _such_as(ids: tuple[str, ...]) -> str:
    return f" (such as {', '.join(ids[:3])})"
