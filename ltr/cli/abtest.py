"""``ltr abtest plan|assign|analyse``: users divided between rankers, and what that did to clicks and sales."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ltr.cli.clicklog import FILTER, LOGS, MAPPING, opened_log
from ltr.cli.output import console, counted, facts_table, p_value, print_json, split_measures
from ltr.cli.trials import ALPHA, BY, DAYS, JSON, PART, PLANNED, POWER, looks_table, one_of, plan_facts
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ltr.evaluation.abtest import Analysis, Effect
    from ltr.evaluation.abtest_looks import Look

__all__ = ["abtest"]

abtest = typer.Typer(
    help="Users divided between rankers: plan, assign, and read what that did to clicks and sales.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

MISMATCHED = 1
WEIGHTS = Annotated[
    list[str] | None, typer.Option("--weights", help="VARIANT=SHARE, such as control=1; again for each variant.")
]


@abtest.command()
def plan(
    logs: LOGS,
    measure: Annotated[str, typer.Option(help="What is to change, such as clicks_per_search.")] = "clicks_per_search",
    lift: Annotated[float | None, typer.Option(help="The relative difference to find: .02 is 2 %.")] = None,
    days: DAYS = None,
    share: Annotated[float, typer.Option(help="The share of the users in the test who get the treatment.")] = 0.5,
    part: PART = 1.0,
    power: POWER = 0.8,
    alpha: ALPHA = 0.05,
    unit: BY = "user_id",
    mapping: MAPPING = None,
    filtered: FILTER = None,
    as_json: JSON = False,
) -> None:
    """Say how long it takes to find a difference, or which one so many days would find, from a log's variance by user."""
    from ltr.evaluation import planning
    from ltr.evaluation.abtest_users import by_day

    one_of({"--lift": lift, "--days": days})
    with opened_log(logs, mapping, filtered=filtered) as log:
        # Whatever variants the log has, users vary as they do.
        traffic = planning.of_log(by_day(log.scan(), unit=unit, variant=unit), measure)
    how: dict[str, Any] = {"share": share, "part": part, "power": power, "alpha": alpha}
    if lift is not None:
        found = planning.needed(traffic, lift * traffic.value, **how)
    else:
        found = planning.detectable(traffic, days or 0, **how)
    relative = found.difference / traffic.value if traffic.value else math.nan
    if as_json:
        print_json({"measure": measure, "lift": relative, "plan": asdict(found), "log": asdict(traffic)})
        return
    told = f"{found.difference:.5g} ({relative:.2%} of {traffic.value:.5g})"
    console().print(facts_table({measure: told, **plan_facts(found, traffic)}))


@abtest.command()
def assign(
    experiment: Annotated[str, typer.Option(help="Its name, which divides the users anew.")],
    weights: WEIGHTS = None,
    users: Annotated[list[str] | None, typer.Argument(help="User ids.", metavar="[USER]...")] = None,
    path: Annotated[
        Path | None, typer.Option("--users", help="A file of user ids, one a line; - is standard input.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Say which variant each user sees: a line a user, id and variant with a tab between."""
    from ltr.evaluation.assignment import assign as assigned

    everybody = [*(users or []), *(_read_users(path) if path else [])]
    if not everybody:
        raise ConfigError("no user is given", hint="name users, or a file of them by --users")
    found = assigned(everybody, experiment=experiment, weights=_weights(weights) or {"control": 1.0, "treatment": 1.0})
    if as_json:
        print_json({"experiment": experiment, "variants": dict(zip(everybody, found, strict=True))})
        return
    sys.stdout.writelines(f"{user}\t{variant}\n" for user, variant in zip(everybody, found, strict=True))


@abtest.command()
def analyse(
    logs: LOGS,
    control: Annotated[str, typer.Option(help="The variant that the others are compared with.")] = "control",
    weights: WEIGHTS = None,
    measures: Annotated[
        list[str] | None, typer.Option(help="Default: clicks_per_search, conversion, revenue_per_user.")
    ] = None,
    method: Annotated[Literal["delta", "bootstrap"], typer.Option(help="How a difference is tested.")] = "delta",
    before: Annotated[
        Path | None, typer.Option(help="A log from before the test: takes out what users did then (CUPED).")
    ] = None,
    unit: BY = "user_id",
    planned: PLANNED = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 7,
    mapping: MAPPING = None,
    filtered: FILTER = None,
    as_json: JSON = False,
) -> None:
    """Read an A/B test by user: first whether the shares of users are right (exit code 1 where not), then each measure."""
    from ltr.evaluation import abtest as tests
    from ltr.evaluation.abtest_looks import abtest_looks
    from ltr.evaluation.abtest_users import by_day

    earlier = None
    if before is not None:
        with opened_log([before], mapping, filtered=filtered) as log:
            earlier = by_day(log.scan(), unit=unit, variant=unit)
    with opened_log(logs, mapping, filtered=filtered) as log:
        days = by_day(log.scan(), unit=unit)
        summary = log.report.sentences()[0]
    found = tests.analyse(
        days,
        control=control,
        weights=_weights(weights),
        measures=split_measures(measures),
        method=method,
        before=earlier,
        seed=seed,
    )
    looks: dict[tuple[str, str], list[Look]] = {}
    if planned:
        looks = {
            (each.variant, each.measure): abtest_looks(
                days.days, control=control, variant=each.variant, measure=each.measure, planned=planned
            )
            for each in found.effects
        }
    if as_json:
        told = [
            {
                "variant": variant,
                "measure": measure,
                "days": [{**asdict(day), "day": day.day.isoformat()} for day in each],
            }
            for (variant, measure), each in looks.items()
        ]
        print_json({**asdict(found), "looks": told, "log": summary})
    else:
        _print(found, summary, unit)
        for (variant, measure), each in looks.items():
            console().print(Text(f"{variant}, {measure}", style="bold"))
            console().print(looks_table(each, "difference"))
    if found.sample_ratio.mismatch:
        raise typer.Exit(MISMATCHED)


def _print(found: Analysis, summary: str, unit: str) -> None:
    out, shares = console(), found.sample_ratio
    out.print(Text(summary), soft_wrap=True)
    seen = ", ".join(
        f"{variant} {users:,} (intended {shares.expected[variant]:,.0f})" for variant, users in shares.observed.items()
    )
    verdict = (
        "SAMPLE RATIO MISMATCH: something loses users of one variant, so that nothing below is to be believed"
        if shares.mismatch
        else "as intended"
    )
    facts = {
        "users": f"{seen}; p {p_value(shares.p_value)}: {verdict}",
        "left out": ", ".join(
            text
            for count, text in (
                (found.several, f"{counted(found.several, 'user')} who saw several variants{_perhaps(found, unit)}"),
                (found.unknown, f"{found.unknown:,} searches without {unit} or variant"),
            )
            if count
        ),
        "searches": ", ".join(f"{variant} {searches:,}" for variant, searches in found.searches.items()),
    }
    out.print(facts_table(facts))
    out.print(_table(found.effects, found.control))
    how = "the delta method" if found.method == "delta" else "a bootstrap"
    adjusted = ", adjusted by what they did before (CUPED)" if found.adjusted else ""
    out.print(Text(f"by {unit}, {how}{adjusted}; 95 % intervals; p by Holm over {len(found.effects)}"), soft_wrap=True)


def _perhaps(found: Analysis, unit: str) -> str:
    """What may be the matter where most users saw several variants."""
    most = unit == "user_id" and found.several > sum(found.sample_ratio.observed.values())
    return " (most: were sessions assigned? then --by session_id)" if most else ""


def _table(effects: Sequence[Effect], control: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("measure", "variant"):
        table.add_column(name)
    for name in (control, "variant's", "difference", "lift", "p (Holm)"):
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    for each in effects:
        verdict = ("higher" if each.difference > 0 else "lower") if each.proven else "not proven"
        lift = (
            f"{each.lift:+.2%}\n({each.lift_low:+.2%} to {each.lift_high:+.2%})"
            if math.isfinite(each.lift)
            else "undefined"
        )
        difference = f"{each.difference:+.5f}\n({each.low:+.5f} to {each.high:+.5f})"
        values = (f"{each.control:.5f}", f"{each.treatment:.5f}", difference, lift, p_value(each.p_holm), verdict)
        table.add_row(each.measure, each.variant, *values)
    return table


def _weights(given: list[str] | None) -> dict[str, float] | None:
    if not given:
        return None
    weights = {}
    for text in " ".join(given).replace(",", " ").split():
        variant, equals, share = text.rpartition("=")
        try:
            weights[variant] = float(share)
        except ValueError:
            equals = ""
        if not equals or not variant:
            raise ConfigError(f"--weights {text!r} is not VARIANT=SHARE", hint="for example --weights control=1")
    return weights


def _read_users(path: Path) -> list[str]:
    from ltr.lines import decode, read_bytes

    data = sys.stdin.buffer.read() if str(path) == "-" else read_bytes(path)
    return [line.strip() for line in decode(data, path).splitlines() if line.strip()]
