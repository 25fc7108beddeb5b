"""One trial: split, fit, rank the test side in every way, and measure; the table's rows come from here.

The best single feature is chosen on dev. With folds every query is tested once in each repetition, and what a table says of
a query is its mean over the repetitions; the ranker to keep is then fitted again on all queries, for the median number of
rounds.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from ltr import evaluation, measures, rankers
from ltr.config import Experiment, RankerConfig
from ltr.errors import DataError
from ltr.experiment import rows
from ltr.experiment.assemble import Assembled, learnt
from ltr.experiment.candidates import known
from ltr.experiment.methods import CEILING, LABELS, LINEAR, NAIVE, TOP, Clicks, rows_of
from ltr.experiment.preflight import groups_of, parts_of
from ltr.experiment.split import Parts
from ltr.features.memory import Judged
from ltr.measures import Measure
from ltr.rankers import Fitted, Ranker

__all__ = ["Stages", "Trial", "best_on_dev", "evaluated", "fitted", "fitting_cutoff", "of", "refit", "trial"]


@dataclass(frozen=True)
class Trial:
    """What one split showed.

    Args:
        ranker: the one to keep.
        judged: the queries that its learnt features remember; None where it has none.
        rounds: row -> rounds of each fitted ranker, with folds the median.
        labels: row -> what the table calls it, in the table's order.
        per_query: row -> query_id and a column a measure, over the test queries.
        runs: row -> the test run itself, of the first repetition.
        queries: side -> how many queries; with folds the median over the folds, all of them for test.
        dropped: lists that fitting could not use, by reason.
        notes: what a library had to say of how it was fitted.
        digest: names the test side.
        seconds: row -> seconds of fitting.
    """

    ranker: Ranker
    judged: Judged | None
    rounds: dict[str, int]
    labels: dict[str, str]
    per_query: dict[str, pl.DataFrame]
    runs: dict[str, pl.DataFrame]
    queries: dict[str, int]
    curve: list[float]
    dropped: dict[str, int]
    notes: tuple[str, ...]
    digest: str
    seconds: dict[str, float]


def fitting_cutoff(experiment: Experiment) -> int:
    """The k of the dev nDCG@k that fitting stops on: that of the first measure, else 10."""
    return measures.parse(experiment.evaluation.measures[0]).cutoff or 10


def trial(assembled: Assembled, *, group: str | None) -> Trial:
    """Split, fit, and evaluate each row on the test side."""
    experiment = assembled.experiment
    main = experiment.kept
    wanted = [measures.parse(text) for text in experiment.evaluation.measures]
    groups = groups_of(assembled.dataset, group)
    parts = [
        replace(part, fit=tuple(query for query in part.fit if query not in assembled.tuned_on))
        for part in parts_of(experiment, assembled.dataset, group=group)
    ]
    folds = [_fold(assembled, part, wanted, groups) for part in parts]
    labels = {row: _merged([fold.labels[row] for fold in folds]) for row in folds[0].labels}
    fitted_rows = folds[0].fitted
    rounds = {row: round(statistics.median(fold.fitted[row].rounds for fold in folds)) for row in fitted_rows}
    if len(folds) == 1:
        final, judged = folds[0].fitted[main], folds[0].judged
    else:
        everything = assembled.dataset.queries["query_id"].to_list()
        whole = learnt(assembled, everything, groups)
        final, judged = refit(whole, experiment.ranker, everything, rounds[main]), whole.judged
    dropped: Counter[str] = Counter()
    for fold in folds:
        dropped.update(fold.fitted[main].dropped)
    repeats = experiment.split.repeats
    return Trial(
        ranker=final.ranker,
        judged=judged,
        rounds=rounds,
        labels=labels,
        per_query={row: _averaged([fold.per_query[row] for fold in folds]) for row in labels},
        runs={row: pl.concat([fold.runs[row] for fold in folds[: len(folds) // repeats]]) for row in labels},
        queries={
            "fit": round(statistics.median(len(part.fit) for part in parts)),
            "dev": round(statistics.median(len(part.dev) for part in parts)),
            "test": sum(len(part.test) for part in parts) // repeats,
        },
        curve=list(folds[0].fitted[main].curve),
        dropped={reason: round(count / len(folds)) for reason, count in dropped.items()},
        notes=tuple(
            dict.fromkeys(
                note
                for fold in folds
                for note in (*fold.absent, *(told for each in fold.fitted.values() for told in each.notes))
            )
        ),
        digest="-".join(part.digest for part in parts)[:64],
        seconds={row: sum(fold.fitted[row].seconds for fold in folds) for row in fitted_rows},
    )


@dataclass(frozen=True)
class _Fold:
    fitted: dict[str, Fitted]
    labels: dict[str, str]
    per_query: dict[str, pl.DataFrame]
    runs: dict[str, pl.DataFrame]
    judged: Judged | None
    absent: tuple[str, ...]


def _fold(assembled: Assembled, parts: Parts, wanted: list[Measure], groups: Mapping[str, str]) -> _Fold:
    experiment, feature_set = assembled.experiment, assembled.feature_set
    stages = Stages(assembled, parts, groups)
    kept, absent = _fitted_rows(stages)
    last = stages.of(experiment.ranker)
    test = of(last.pairs, parts.test)
    best = best_on_dev(_judged_on_dev(stages), parts, wanted[0])
    log = assembled.clicks
    shown = log is not None and log.run is None  # in an order of its own
    first = rows.by_shown(test, log.impressions) if log is not None and shown else rows.by_retrieval(test)
    runs = {"retrieval": first, "best_feature": rows.by_feature(test, best)}
    labels = {
        "retrieval": "retrieval order" if log is None else "production order",
        "best_feature": f"best feature: {best}",
    }
    if (cosine := rows.first_cosine(feature_set)) is not None:
        runs["cosine"], labels["cosine"] = rows.by_feature(test, cosine), f"cosine: {cosine}"
    for row, made in kept.items():
        config = experiment.rankers.get(row, experiment.ranker)
        runs[row] = rows.by_ranker(of(stages.of(config).pairs, parts.test), made.ranker)
        labels[row] = LABELS[row] if assembled.clicks is not None else _label(row, config)
    per_query = {row: evaluated(assembled, run, parts.test, wanted) for row, run in runs.items()}
    return _Fold(kept, labels, per_query, runs, last.judged, absent)


@dataclass(frozen=True)
class Stages:
    """One split's pairs, with what is learnt from the fit side, and from fit and dev together for a ranker refitted on both."""

    assembled: Assembled
    parts: Parts
    groups: Mapping[str, str]

    @cached_property
    def fit(self) -> Assembled:
        """As learnt from the fit side."""
        return learnt(self.assembled, self.parts.fit, self.groups)

    @cached_property
    def clicks(self) -> Clicks:
        """The searches of fit and dev."""
        assert self.assembled.clicks is not None
        return Clicks(self.assembled, self.parts, self.assembled.clicks)

    @cached_property
    def both(self) -> Assembled:
        """As learnt from fit and dev."""
        return learnt(self.assembled, (*self.parts.fit, *self.parts.dev), self.groups)

    def of(self, config: RankerConfig) -> Assembled:
        """What this ranker is kept with, and tested on."""
        return self.both if config.refit else self.fit


def _fitted_rows(stages: Stages) -> tuple[dict[str, Fitted], tuple[str, ...]]:
    """Row -> what is fitted for it, the one that the bundle keeps last; and why rows that were asked for are not there."""
    assembled = stages.assembled
    experiment, log = assembled.experiment, assembled.clicks
    if log is None:
        return {row: fitted(stages, config) for row, config in experiment.rankers.items()}, ()
    cutoff = fitting_cutoff(experiment)
    asked = experiment.judgments
    found, absent = dict[str, Fitted](), list[str]()
    for row in rows_of(log, asked.model, asked.compare, judged=assembled.judged_by_people):
        if row == CEILING:
            found[row] = fitted(stages, experiment.ranker)
            continue
        try:
            found[row] = stages.clicks.fitted(row, experiment.ranker, cutoff)
        except DataError as error:
            if row in (NAIVE, asked.model):
                raise
            absent.append(f"No row for {LABELS[row]}: {error}.")
    return found, tuple(absent)


def _judged_on_dev(stages: Stages) -> Assembled:
    """What the best single feature is chosen with: the dev side's judgments, or what its clicks say."""
    assembled = stages.fit
    if assembled.clicks is None:
        return assembled
    dataset = replace(assembled.dataset, judgments=stages.clicks.judged)
    return replace(assembled, dataset=dataset, scale=measures.scale(f"0-{TOP}"), gains=LINEAR)


def best_on_dev(assembled: Assembled, parts: Parts, measure: Measure) -> rows.SingleFeature:
    """The single feature with the highest mean on dev."""

    def on_dev(run: pl.DataFrame) -> float:
        value = evaluated(assembled, run, parts.dev, [measure])[str(measure)].drop_nans().mean()
        return float(value) if isinstance(value, float) else float("nan")

    return rows.best_feature(of(assembled.pairs, parts.dev), assembled.inputs, on_dev)


def fitted(stages: Stages, config: RankerConfig) -> Fitted:
    """Fit on fit, stopping on dev; where the configuration asks for it, again on both for as many rounds."""
    assembled, parts = stages.fit, stages.parts
    products = assembled.dataset.products
    first = _kept(
        assembled,
        rankers.fit(
            config,
            known(assembled.pairs, products, parts.fit),
            known(assembled.pairs, products, parts.dev),
            features=assembled.inputs,
            gains=assembled.gains,
            cutoff=fitting_cutoff(assembled.experiment),
        ),
    )
    if not config.refit:
        return first
    again = refit(stages.both, config, (*parts.fit, *parts.dev), first.rounds)
    return replace(first, ranker=again.ranker, seconds=first.seconds + again.seconds)


def refit(assembled: Assembled, config: RankerConfig, query_ids: Sequence[str], rounds: int) -> Fitted:
    """Fit on these queries for exactly so many rounds, as an earlier dev has settled them."""
    return _kept(
        assembled,
        rankers.fit(
            config,
            known(assembled.pairs, assembled.dataset.products, query_ids),
            None,
            features=assembled.inputs,
            gains=assembled.gains,
            cutoff=fitting_cutoff(assembled.experiment),
            rounds=rounds,
        ),
    )


def _kept(assembled: Assembled, made: Fitted) -> Fitted:
    return replace(made, ranker=assembled.kept(made.ranker))


def evaluated(assembled: Assembled, run: pl.DataFrame, query_ids: Sequence[str], wanted: list[Measure]) -> pl.DataFrame:
    """Measures of a run by query, under the experiment's rules."""
    rule = assembled.experiment.evaluation
    return evaluation.evaluate(
        run,
        of(assembled.dataset.judgments, query_ids),
        wanted,
        gains=assembled.gains,
        scale=assembled.scale,
        rel=rule.rel,
        empty=rule.empty,
    )


def of(frame: pl.DataFrame, query_ids: Sequence[str]) -> pl.DataFrame:
    """The rows of these queries, in the frame's order."""
    wanted = pl.DataFrame({"query_id": list(query_ids)}, schema={"query_id": pl.String})
    return frame.join(wanted, on="query_id", how="semi", maintain_order="left")


def _averaged(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """One row a query: its mean over the repetitions; whether a measure is defined for a query does not depend on them."""
    return pl.concat(frames).group_by("query_id").mean().sort("query_id")


def _label(row: str, config: RankerConfig) -> str:
    label = f"{rankers.TITLES[config.library]} {config.objective}"
    return label if row == config.library else f"{row}: {label}"


def _merged(labels: list[str]) -> str:
    """One label for all folds; where they chose differently, what it was that they chose."""
    return labels[0] if len(set(labels)) == 1 else f"{labels[0].partition(':')[0]} (differs by fold)"
