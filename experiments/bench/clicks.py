"""Learning from clicks: the movies' experiment under five seeds, fewer searches, and users whom no method assumes.

A query's value is its mean over the seeds; shares and differences are of those, with intervals over queries. The ceiling,
which reads no clicks, is the same throughout.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from ltr import evaluation
from ltr.config import read_experiment
from ltr.datasets.download import cache_home
from ltr.experiment import clicklog
from ltr.experiment.assemble import Assembled, assemble
from ltr.experiment.methods import CEILING, LABELS, NAIVE, TRUE_PROPENSITIES
from ltr.experiment.trial import trial

BASE = Path(__file__).parents[1] / "msrd-clicks"
MEASURE = "nDCG@10"
SEEDS = (7, 8, 9, 10, 11)
SEARCHES = (1, 3, 10)
KEPT = "regression_em"
COMPARED = ("position", "ips_pointwise", "ips_listwise")
# The least share of the gap that 10 searches a query must win back.
LEAST = 0.8


def measure() -> list[dict[str, object]]:
    """Means by row, what is won back, and the paired differences under other users."""
    experiment = read_experiment(BASE / "experiment.toml", overrides=[f"judgments.compare={list(COMPARED)}"])
    cache = cache_home()
    cache.mkdir(parents=True, exist_ok=True)
    assembled = assemble(experiment, base=BASE, cache=cache)
    figures: list[dict[str, object]] = []
    for searches in SEARCHES:
        rows = _under(assembled, cache, users="pbm", searches=searches, seeds=SEEDS)
        figures += _figures(
            rows,
            f"movies, position-based users, {searches} {'search' if searches == 1 else 'searches'} a query, {len(SEEDS)} seeds",
            searches,
        )
    for users in ("trust", "cascade"):
        rows = _under(assembled, cache, users=users, searches=10, seeds=SEEDS[:2])
        against = evaluation.recovered(rows, naive=NAIVE, ceiling=CEILING, measure=MEASURE)
        for row in (KEPT, *COMPARED):
            told = against[row]
            figures.append(
                _figure(
                    f"movies, {users} users, 10 searches a query, 2 seeds: {LABELS[row]} − naive clicks "
                    f"({told.low:+.4f} to {told.high:+.4f})",
                    round(told.difference, 4),
                )
            )
        figures.append(
            _figure(
                f"movies, {users} users: the upper end of {LABELS[KEPT]} − naive clicks",
                round(against[KEPT].high, 4),
                bound=0.0,
            )
        )
    return figures


def _under(
    assembled: Assembled, cache: Path, *, users: str, searches: int, seeds: tuple[int, ...]
) -> dict[str, pl.DataFrame]:
    """Row -> the mean over seeds of each query's value."""
    found: dict[str, list[pl.DataFrame]] = {}
    for seed in seeds:
        simulation = assembled.experiment.simulation.model_copy(
            update={"users": users, "searches": searches, "seed": seed}
        )
        experiment = assembled.experiment.model_copy(update={"simulation": simulation})
        log = clicklog.obtain(experiment, assembled.dataset, assembled.scale, base=BASE, cache=cache)
        done = trial(replace(assembled, experiment=experiment, clicks=log), group=None)
        for row in ("retrieval", *done.rounds):
            found.setdefault(row, []).append(done.per_query[row].select("query_id", MEASURE))
    return {row: pl.concat(frames).group_by("query_id").mean().sort("query_id") for row, frames in found.items()}


def _figures(rows: dict[str, pl.DataFrame], what: str, searches: int) -> list[dict[str, object]]:
    shares = evaluation.recovered(
        {row: frame for row, frame in rows.items() if row != "retrieval"}, naive=NAIVE, ceiling=CEILING, measure=MEASURE
    )
    figures = [
        _figure(f"{what}: {MEASURE}, {LABELS.get(row, 'production order')}", round(_mean(frame), 4))
        for row, frame in rows.items()
    ]
    for row in (*COMPARED, TRUE_PROPENSITIES, KEPT):
        told = shares[row]
        figures.append(
            _figure(
                f"{what}: share of the gap, {LABELS[row]} ({told.share_low:.0%} to {told.share_high:.0%})",
                round(told.share, 3),
                bound=LEAST if row == KEPT and searches == max(SEARCHES) else None,
            )
        )
    return figures


def _mean(frame: pl.DataFrame) -> float:
    return float(frame[MEASURE].drop_nans().mean())  # type: ignore[arg-type]


def _figure(what: str, value: float, *, bound: float | None = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": "", "bound": bound, "better": "higher"}
