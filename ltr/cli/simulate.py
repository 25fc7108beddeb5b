"""``ltr simulate EXPERIMENT --users pbm --searches N -o DIR``: a log of simulated shoppers whose truth is known."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ltr.cli.output import cache_home, console, counted, print_json
from ltr.errors import ConfigError

__all__ = ["simulate"]


def simulate(
    experiment: Annotated[str, typer.Argument(help="A name under experiments/, or a path.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A directory that is empty, or not there.")],
    searches: Annotated[int, typer.Option("--searches", help="Searches in all.")],
    users: Annotated[str, typer.Option("--users", help="How they read: pbm, cascade, dbn or trust.")] = "pbm",
    days: Annotated[int, typer.Option("--days", help="Days that the searches are spread over.")] = 7,
    start: Annotated[str, typer.Option("--start", help="The first day, such as 2026-01-01.")] = "2026-01-01",
    seed: Annotated[int, typer.Option("--seed", help="One seed is one log.")] = 7,
    page: Annotated[int, typer.Option("--page", help="Positions that a search shows.")] = 20,
    ranker: Annotated[
        list[str] | None,
        typer.Option("--ranker", help="A production order: retrieval, flat or popularity; again for more than one."),
    ] = None,
    randomised: Annotated[float, typer.Option("--randomised", help="Share of searches with a randomised list.")] = 0.05,
    scheme: Annotated[
        str, typer.Option("--scheme", help="How: shuffle (the first ten) or swap (neighbours).")
    ] = "shuffle",
    bots: Annotated[float, typer.Option("--bots", help="Share of searches made by bots.")] = 0.01,
    abandonment: Annotated[float, typer.Option("--abandonment", help="Share of searches that nobody reads.")] = 0.1,
    eta: Annotated[float, typer.Option("--eta", help="pbm and trust: examination is 1/position to this power.")] = 1.0,
    missing: Annotated[float, typer.Option("--missing", help="Share of events that the log loses.")] = 0.0,
    override: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as data.queries=200.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Let simulated shoppers search an experiment's data; writes UBI 1.3 NDJSON, Parquet, and the truth in truth/."""
    from ltr import experiment as experiments
    from ltr.config import read_experiment
    from ltr.experiment.simulating import simulate as simulated
    from ltr.simulation import Season, Users

    path = experiments.find(experiment, root=Path())
    population = Users(users, eta=eta, abandonment=abandonment)
    season = Season(
        days=days, start=_day(start), page=page, randomised=randomised, scheme=scheme, bots=bots, missing=missing
    )
    rankers = ranker or ["retrieval", "flat"]
    made = simulated(
        read_experiment(path, overrides=override),
        base=path.parent,
        cache=cache_home(),
        users=population,
        season=season,
        searches=searches,
        seed=seed,
        rankers=rankers,
        output=output,
    )
    found: dict[str, Any] = {
        "output": str(output),
        "users": users,
        "rankers": rankers,
        "days": days,
        "seed": seed,
        **made.counts,
    }
    if as_json:
        print_json(found)
        return
    count = made.counts
    lines = (
        f"{output}: {count['searches']:,} searches by {users} users, {counted(count['impressions'], 'impression')}, "
        f"{counted(count['clicks'], 'click')}, {counted(count['add_to_carts'], 'add-to-cart')}, "
        f"{counted(count['purchases'], 'purchase')}",
        f"production: {', '.join(rankers)}; randomised lists: {count['randomised']:,}; searches by bots: {count['by_bots']:,}",
        "log: ubi_queries.ndjson, ubi_events.ndjson, impressions/; what is true, not to be trained on: truth/",
    )
    for line in lines:
        console().print(Text(line))


def _day(text: str) -> datetime:
    try:
        return datetime.fromisoformat(f"{text}T00:00:00+00:00")
    except ValueError as error:
        raise ConfigError(f"--start {text!r} is no day", hint="write it as 2026-01-01") from error
