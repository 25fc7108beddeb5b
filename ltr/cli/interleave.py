"""``ltr interleave plan|merge|analyse``: two rankings in one list, and which of them shoppers prefer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from ltr.cli.clicklog import FILTER, LOGS, MAPPING, opened_log
from ltr.cli.output import console, counted, facts_table, p_value, print_json
from ltr.cli.trials import ALPHA, BY, DAYS, JSON, PART, PLANNED, POWER, looks_table, one_of, plan_facts
from ltr.errors import ConfigError, DataError

if TYPE_CHECKING:
    import polars as pl

    from ltr.evaluation.interleaving import Interleaved

__all__ = ["interleave"]

interleave = typer.Typer(
    help="Two rankings in one list: plan, merge, and read which one shoppers prefer.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@interleave.command()
def plan(
    logs: LOGS,
    detect: Annotated[float | None, typer.Option(help="Δ to find: .02 is 52 % of the searches won.")] = None,
    days: DAYS = None,
    differing: Annotated[
        float, typer.Option(help="Share of the searches with a click that fall on what the rankings disagree about.")
    ] = 1.0,
    part: PART = 1.0,
    power: POWER = 0.8,
    alpha: ALPHA = 0.05,
    unit: BY = "user_id",
    mapping: MAPPING = None,
    filtered: FILTER = None,
    as_json: JSON = False,
) -> None:
    """Say how long it takes to find a preference, or which one so many days would find, from a log."""
    from ltr.evaluation import planning
    from ltr.evaluation.abtest_users import by_day
    from ltr.evaluation.interleaving_outcomes import by_search

    one_of({"--detect": detect, "--days": days})
    with opened_log(logs, mapping, filtered=filtered) as log:
        impressions = log.scan()
        logged = "team" in impressions.collect_schema().names()
        interleaved = logged and impressions.select("team").drop_nulls().head(1).collect().height > 0
        if interleaved:
            traffic = planning.of_interleaved(by_search(impressions, unit=unit))
        else:
            traffic = planning.of_clicks(by_day(impressions, unit=unit, variant=unit), differing=differing)
    how: dict[str, Any] = {"part": part, "power": power, "alpha": alpha}
    found = (
        planning.needed(traffic, detect, **how)
        if detect is not None
        else planning.detectable(traffic, days or 0, **how)
    )
    basis = "interleaved searches" if interleaved else "clicks, as if each search with a click had a winner"
    if as_json:
        print_json({"plan": asdict(found), "log": asdict(traffic), "basis": basis})
        return
    facts = {"preference Δ": f"{found.difference:.4f}", **plan_facts(found, traffic), "from": basis}
    console().print(facts_table(facts))


@interleave.command()
def merge(
    first: Annotated[Path, typer.Argument(help="A TREC run: the ranking A.", metavar="RUN_A")],
    second: Annotated[Path, typer.Argument(help="A TREC run: the ranking B.", metavar="RUN_B")],
    search: Annotated[str | None, typer.Option(help="The search's id, which decides the coins; with --query.")] = None,
    query: Annotated[
        str | None, typer.Option(help="The query searched; left out, each query is searched once.")
    ] = None,
    searches: Annotated[Path | None, typer.Option(help="CSV with search_id and query_id.")] = None,
    length: Annotated[int | None, typer.Option(help="Products of a list; left out, all.", min=1)] = None,
    method: Annotated[Literal["team_draft", "balanced"], typer.Option(help="How lists are merged.")] = "team_draft",
    common: Annotated[
        Literal["nobody", "drafted"], typer.Option(help="Whose a product is that both rankings want next.")
    ] = "nobody",
    pin: Annotated[list[str] | None, typer.Option(help="PLACE=PRODUCT, such as 1=p42; again for more.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file with a row a product.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Merge two runs: for one search, for each search of a file, or for each query once."""
    from ltr.evaluation.interleaving import interleave as merged
    from ltr.trec import read_run

    pinned = dict(_pinned(text) for text in pin or [])
    if output is not None and output.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--output {output} is no .csv or .parquet", hint="name it so")
    runs = [_lists(read_run(path)) for path in (first, second)]
    made: list[tuple[str, str, Interleaved]] = []
    for search_id, query_id in _searches(runs, search, query, searches):
        ours, theirs = (run.get(query_id, []) for run in runs)
        if not ours and not theirs:
            raise DataError(f"neither run has a list for query {query_id!r}", hint="check the query's id")
        found = merged(ours, theirs, length=length, method=method, common=common, seed=search_id, pinned=pinned)
        made.append((search_id, query_id, found))
    if output is not None:
        _write(made, output)
    if as_json:
        print_json({"lists": [{"search_id": s, "query_id": q, **asdict(each)} for s, q, each in made]})
        return
    out = console()
    if output is not None:
        out.print(Text(f"{counted(len(made), 'list')} in {output}"), soft_wrap=True)
        return
    for search_id, query_id, each in made:
        out.print(Text(f"search {search_id}, query {query_id}", style="bold"), soft_wrap=True)
        for place, (product_id, team) in enumerate(zip(each.product_ids, each.teams, strict=True), 1):
            out.print(Text(f"{place:>4}  {team or '–':<5} {product_id}"), soft_wrap=True)


@interleave.command()
def analyse(
    logs: LOGS,
    first: Annotated[str, typer.Option(help="What the log's team calls the first ranking.")] = "A",
    second: Annotated[str, typer.Option(help="And the second.")] = "B",
    test: Annotated[Literal["t", "bootstrap", "sign"], typer.Option(help="Of users.")] = "t",
    unit: BY = "user_id",
    planned: PLANNED = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 7,
    mapping: MAPPING = None,
    filtered: FILTER = None,
    as_json: JSON = False,
) -> None:
    """Read interleaved searches: the preference for the second ranking with its interval and p, by user."""
    from ltr.evaluation.abtest_looks import interleaving_looks
    from ltr.evaluation.interleaving_outcomes import by_search, preference

    with opened_log(logs, mapping, filtered=filtered) as log:
        searches = by_search(log.scan(), unit=unit, teams=(first, second))
        summary = log.report.sentences()[0]
    found = preference(searches, test=test, seed=seed)
    looks = interleaving_looks(searches, planned=planned) if planned else []
    if as_json:
        days = [{**asdict(look), "day": look.day.isoformat()} for look in looks]
        print_json({"preference": asdict(found), "looks": days, "first": first, "second": second, "log": summary})
        return
    out = console()
    out.print(Text(summary), soft_wrap=True)
    verdict = "not proven" if not found.proven else f"{second if found.delta > 0 else first} is preferred"
    facts = {
        f"preference Δ for {second}": f"{found.delta:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p {p_value(found.p_value)}: {verdict}",
        "searches": f"{found.searches:,} interleaved; {found.wins_second:,} won by {second}, {found.wins_first:,} by {first}, "
        f"{found.ties:,} ties, the others without a click for either",
        "test": f"{test} over {counted(found.users, 'user')} with a point (by {unit})",
    }
    out.print(facts_table(facts))
    if looks:
        out.print(looks_table(looks, "preference Δ"))


def _pinned(text: str) -> tuple[int, str]:
    place, equals, product_id = text.partition("=")
    if not equals or not place.isdigit() or not product_id:
        raise ConfigError(f"--pin {text!r} is not PLACE=PRODUCT", hint="for example --pin 1=p42")
    return int(place), product_id


def _lists(run: pl.DataFrame) -> dict[str, list[str]]:
    import polars as pl

    lists = run.group_by("query_id", maintain_order=True).agg(pl.col("product_id"))
    return dict(zip(lists["query_id"].to_list(), lists["product_id"].to_list(), strict=True))


def _searches(
    runs: list[dict[str, list[str]]], search: str | None, query: str | None, path: Path | None
) -> list[tuple[str, str]]:
    """Pairs of search and query."""
    import polars as pl

    if path is not None:
        if search is not None or query is not None:
            raise ConfigError("--searches has its own searches and queries", hint="leave --search and --query out")
        try:
            frame = pl.read_csv(path, infer_schema=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path} cannot be read as CSV: {str(error).splitlines()[0]}", hint="check it") from error
        if lacking := [name for name in ("search_id", "query_id") if name not in frame.columns]:
            raise DataError(f"{path} lacks {lacking}", hint=f"it has {frame.columns}")
        known = frame.select("search_id", "query_id").drop_nulls()
        if known["search_id"].is_duplicated().any():
            raise DataError(f"{path} has a search twice", hint="give each search one row")
        return [(search_id, query_id) for search_id, query_id in known.rows()]
    if query is not None:
        return [(search if search is not None else query, query)]
    if search is not None:
        raise ConfigError("--search needs the query that was searched", hint="give it by --query")
    return [(query_id, query_id) for query_id in dict.fromkeys([*runs[0], *runs[1]])]


def _write(made: list[tuple[str, str, Interleaved]], output: Path) -> None:
    import polars as pl

    rows = [
        (search_id, query_id, place, product_id, team)
        for search_id, query_id, each in made
        for place, (product_id, team) in enumerate(zip(each.product_ids, each.teams, strict=True), 1)
    ]
    schema = {
        **dict.fromkeys(("search_id", "query_id"), pl.String),
        "position": pl.UInt16,
        **dict.fromkeys(("product_id", "team"), pl.String),
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    try:
        frame.write_parquet(output) if output.suffix == ".parquet" else frame.write_csv(output)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{output} could not be written: {error}", hint="name another file") from error
