"""What ``ltr interleave`` and ``ltr abtest`` share: their options, plans, and the table of daily looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich import box
from rich.table import Table

from ltr.cli.output import counted, p_value
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ltr.evaluation.abtest_looks import Look
    from ltr.evaluation.planning import Plan, Traffic

__all__ = ["ALPHA", "BY", "DAYS", "JSON", "PART", "PLANNED", "POWER", "looks_table", "one_of", "plan_facts"]

BY = Annotated[
    Literal["user_id", "session_id", "search_id"], typer.Option("--by", help="Who varies, and was assigned a variant.")
]
DAYS = Annotated[int | None, typer.Option(help="Which difference would so many days find?", min=1)]
PART = Annotated[float, typer.Option(help="The share of all traffic that takes part.")]
POWER = Annotated[float, typer.Option(help="The probability of proving what is there.")]
ALPHA = Annotated[float, typer.Option(help="Of the two-sided test.")]
PLANNED = Annotated[
    int | None,
    typer.Option(
        help="Users planned for: adds each day's always-valid p and interval, narrowest at that number.", min=1
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

# Days before the last that the table shows.
_SHOWN: Final = 30


def one_of(options: Mapping[str, object]) -> None:
    """Refuse more or fewer than one of these options."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise ConfigError(f"{' and '.join(given) or 'none'} of {', '.join(options)} is given", hint="give one of them")


def plan_facts(plan: Plan, traffic: Traffic) -> dict[str, str]:
    """Users, searches and days of a plan, and what it was made from."""
    return {
        "users": f"{plan.users:,}",
        "searches": f"{plan.searches:,}",
        "days": f"{plan.days:,}",
        "power": f"{plan.power:g} at α = {plan.alpha:g}, two-sided",
        "the log": f"{counted(traffic.users, 'user')}, {traffic.searches:,} searches; days: {traffic.days:,}",
    }


def looks_table(looks: Sequence[Look], what: str) -> Table:
    """A row a day."""
    table = Table(
        title="looked at daily: valid whenever the test is stopped",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("day", "users", what, "95 % confidence sequence", "p so far"):
        table.add_column(name, justify="right")
    for look in looks[-_SHOWN:]:
        bounds = f"{look.low:+.4f} to {look.high:+.4f}" if look.low > float("-inf") else "–"
        value = f"{look.difference:+.4f}" if look.difference == look.difference else "–"
        table.add_row(f"{look.day}", f"{look.users:,}", value, bounds, p_value(look.p_value))
    return table
