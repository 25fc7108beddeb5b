"""``ltr compare QRELS RUN RUN ...``: TREC runs by the same judgments, and which differences are real."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ltr.cli.output import console, made_by, measures_table, print_json, split_measures, warn
from ltr.errors import CandidateError, ConfigError, JudgmentError, suggestion

if TYPE_CHECKING:
    import polars as pl

    from ltr.measures import Measure, Scale

__all__ = ["compare"]

# The widest scale that measures.scale knows.
_WIDEST = 30


def compare(
    qrels: Annotated[Path, typer.Argument(help="TREC qrels, plain or .gz.", metavar="QRELS")],
    runs: Annotated[list[Path], typer.Argument(help="TREC runs, plain or .gz.", metavar="RUN")],
    measures: Annotated[
        list[str] | None, typer.Option(help="Measures; the first is the one compared. Default: 'nDCG@10 RR AP'.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="A run's name or path; default: the first.")] = None,
    gains: Annotated[str, typer.Option(help="Gains of nDCG: a name, or one number a grade, as in 0/1/3.")] = "linear",
    empty: Annotated[
        Literal["zero", "skip", "one"],
        typer.Option(help="What a query without a relevant product is worth; zero as in trec_eval."),
    ] = "zero",
    order: Annotated[
        Literal["scores", "ranks"],
        typer.Option(help="What orders a run: its scores, ties by product id, as in trec_eval; or its ranks."),
    ] = "scores",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Evaluate runs by qrels, and compare each with the baseline, Holm-corrected over the runs."""
    import polars as pl

    from ltr import evaluation
    from ltr import measures as measured
    from ltr.experiment.result import Rows
    from ltr.trec import read_qrels, read_run

    files = _labelled(runs)
    first = _baseline(baseline, files)
    wanted = [measured.parse(name) for name in split_measures(measures) or ("nDCG@10", "RR", "AP")]
    given = _gains(gains)
    judgments = read_qrels(qrels)
    if negative := judgments.filter(pl.col("grade") < 0).height:
        warn(f"{qrels}: {negative:,} grades are below 0 and count as not judged, as in trec_eval")
        judgments = judgments.filter(pl.col("grade") >= 0)
    scale = _scale(judgments, [given, *(m.gains for m in wanted)], wanted, qrels)
    table = measured.gain_table(given, scale)
    per_query = {}
    for label in dict.fromkeys([first, *files]):
        run = read_run(files[label], order=order)
        _check_queries(run, judgments, files[label], qrels)
        per_query[label] = evaluation.evaluate(run, judgments, wanted, gains=table, scale=scale, empty=empty)
    rows = Rows(
        labels={label: label for label in per_query},
        measures={label: evaluation.summarise(frame) for label, frame in per_query.items()},
        comparisons=tuple(evaluation.compare(per_query, baseline=first, measure=str(wanted[0]))),
        queries={"test": judgments["query_id"].n_unique()},
    )
    if as_json:
        rules = {"baseline": first, "gains": gains, "scale": scale.name, "empty": empty, "order": order}
        print_json({**rows.to_json(), **rules})
        return
    out = console()
    out.print(measures_table(rows, title=f"{', '.join(per_query)} on {qrels}"))
    out.print(
        Text(
            made_by(rows.queries["test"], gains=gains, scale=scale.name, empty=empty)
            + f"; runs ordered by their {order}"
        ),
        soft_wrap=True,
    )


def _labelled(runs: list[Path]) -> dict[str, Path]:
    """A run's file under its name without .gz and extension, or under its path where names are the same."""
    if len(set(runs)) < len(runs):
        raise ConfigError(f"{next(run for run in runs if runs.count(run) > 1)} is named twice", hint="name it once")
    names = [Path(run.name.removesuffix(".gz")).stem for run in runs]
    return {name if names.count(name) == 1 else str(run): run for name, run in zip(names, runs, strict=True)}


def _baseline(given: str | None, files: dict[str, Path]) -> str:
    for label, path in files.items():
        if given in (None, label, str(path)):
            return label
    raise ConfigError(f"--baseline {given!r} is none of the runs", hint=suggestion(str(given), files, noun="runs"))


def _gains(given: str) -> str | tuple[float, ...]:
    if "/" not in given:
        return given
    try:
        return tuple(float(number) for number in given.split("/"))
    except ValueError as error:
        raise ConfigError(f"--gains {given!r} are not numbers", hint="write one a grade, such as 0/1/3") from error


def _scale(
    judgments: pl.DataFrame, gains: Iterable[str | tuple[float, ...] | None], wanted: list[Measure], qrels: Path
) -> Scale:
    """0 to the highest grade that the qrels, a table of gains or a measure's rel names."""
    from ltr import measures as measured

    highest = float(judgments["grade"].to_numpy().max(initial=-1))
    if not 0 <= highest <= _WIDEST:
        said = "no grade from 0" if highest < 0 else f"grade {highest:g}"
        raise JudgmentError(f"{qrels} holds {said}", hint=f"grades are whole numbers from 0 to {_WIDEST}")
    tables = [measured.GAINS.get(each) if isinstance(each, str) else each for each in gains]
    tops = [len(table) - 1 for table in tables if isinstance(table, tuple)]
    return measured.scale(f"0-{max(1, int(highest), *tops, *(math.ceil(measure.rel or 1) for measure in wanted))}")


def _check_queries(run: pl.DataFrame, judgments: pl.DataFrame, path: Path, qrels: Path) -> None:
    judged = judgments["query_id"].unique()
    absent = judged.filter(~judged.is_in(run["query_id"].unique().implode())).len()
    if absent == judged.len():
        raise CandidateError(
            f"{path} ranks none of the {absent:,} queries of {qrels}; its first is {run['query_id'][0]!r}",
            hint="give the qrels of the same topics",
        )
    if absent:
        warn(f"{path} has no list for {absent:,} of {judged.len():,} judged queries: they count as empty lists")
