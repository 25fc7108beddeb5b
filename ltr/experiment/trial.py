"""One split, fitted and evaluated: every row ranks the same test candidates, and nothing is chosen by them.

With folds each query is ranked once, by the ranker that did not see it, and the ranker that is kept is fitted on all
queries for the median number of rounds.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from ltr import evaluation, measures, rankers
from ltr.config import Experiment
from ltr.experiment import rows
from ltr.experiment.assemble import Assembled, known
from ltr.experiment.split import Parts, split
from ltr.measures import Measure
from ltr.rankers import Fitted, Ranker

__all__ = ["Trial", "fitting_cutoff", "groups_of", "trial"]


@dataclass(frozen=True)
class Trial:
    """What one split showed.

    Args:
        ranker: the one to keep.
        labels: row -> what the table calls it, in the table's order.
        per_query: row -> query_id and a column a measure, over the test queries.
        runs: row -> the test run itself.
        queries: side -> how many queries; with folds the median over the folds, all of them for test.
        dropped: lists that fitting could not use, by reason.
        digest: names the test side.
    """

    ranker: Ranker
    rounds: int
    labels: dict[str, str]
    per_query: dict[str, pl.DataFrame]
    runs: dict[str, pl.DataFrame]
    queries: dict[str, int]
    curve: list[float]
    dropped: dict[str, int]
    digest: str
    seconds_fitting: float


def groups_of(assembled: Assembled, column: str | None) -> dict[str, str]:
    """query_id -> what stays together in a split: the query itself, or its value in a column of the queries."""
    queries = assembled.dataset.queries.join(assembled.dataset.judgments, on="query_id", how="semi")
    if column is None:
        return {query_id: query_id for query_id in queries["query_id"]}
    if column not in queries.columns:
        from ltr.errors import ConfigError, suggestion

        raise ConfigError(
            f"split by {column!r}: the queries have no such column",
            hint=suggestion(column, queries.columns, noun="columns"),
        )
    return dict(zip(queries["query_id"], queries[column].cast(pl.String).fill_null(""), strict=True))


def fitting_cutoff(experiment: Experiment) -> int:
    """The k of the dev nDCG@k that fitting stops on: that of the first measure, else 10."""
    return measures.parse(experiment.evaluation.measures[0]).cutoff or 10


def trial(assembled: Assembled, *, group: str | None) -> Trial:
    """Split, fit, and evaluate each row on the test side."""
    experiment = assembled.experiment
    wanted = [measures.parse(text) for text in experiment.evaluation.measures]
    parts = split(groups_of(assembled, group), experiment.split)
    folds = [_fold(assembled, part, wanted) for part in parts]
    labels = (
        folds[0].labels
        if len(folds) == 1
        else {row: _merged([fold.labels[row] for fold in folds]) for row in folds[0].labels}
    )
    rounds = round(statistics.median(fold.fitted.rounds for fold in folds))
    dropped: Counter[str] = Counter()
    for fold in folds:
        dropped.update(fold.fitted.dropped)
    final = (
        folds[0].fitted
        if len(folds) == 1
        else _refit(assembled, assembled.dataset.queries["query_id"].to_list(), rounds)
    )
    sides = {
        "fit": round(statistics.median(len(part.fit) for part in parts)),
        "dev": round(statistics.median(len(part.dev) for part in parts)),
        "test": sum(len(part.test) for part in parts),
    }
    return Trial(
        ranker=final.ranker,
        rounds=rounds,
        labels=labels,
        per_query={row: pl.concat([fold.per_query[row] for fold in folds]).sort("query_id") for row in labels},
        runs={row: pl.concat([fold.runs[row] for fold in folds]) for row in labels},
        queries=sides,
        curve=list(folds[0].fitted.curve),
        dropped=dict(dropped)
        if len(folds) == 1
        else {reason: round(count / len(folds)) for reason, count in dropped.items()},
        digest="-".join(part.digest for part in parts)[:64],
        seconds_fitting=sum(fold.fitted.seconds for fold in folds),
    )


@dataclass(frozen=True)
class _Fold:
    fitted: Fitted
    labels: dict[str, str]
    per_query: dict[str, pl.DataFrame]
    runs: dict[str, pl.DataFrame]


def _fold(assembled: Assembled, parts: Parts, wanted: list[Measure]) -> _Fold:
    experiment, products, feature_set = assembled.experiment, assembled.dataset.products, assembled.feature_set
    fitted = rankers.fit(
        experiment.ranker,
        known(assembled.pairs, products, parts.fit),
        known(assembled.pairs, products, parts.dev),
        features=feature_set.names,
        gains=assembled.gains,
        cutoff=fitting_cutoff(experiment),
    )

    def on_dev(run: pl.DataFrame) -> float:
        value = _evaluate(assembled, run, parts.dev, wanted[:1])[str(wanted[0])].drop_nans().mean()
        return float(value) if isinstance(value, float) else float("nan")

    best = rows.best_feature(_of(assembled.pairs, parts.dev), feature_set, on_dev)
    cosine = rows.first_cosine(feature_set)
    test = _of(assembled.pairs, parts.test)
    library = experiment.ranker.library
    runs = {"retrieval": rows.by_retrieval(test), "best_feature": rows.by_feature(test, best)}
    labels = {"retrieval": "retrieval order", "best_feature": f"best feature: {best}"}
    if cosine is not None:
        runs["cosine"], labels["cosine"] = rows.by_feature(test, cosine), f"cosine: {cosine}"
    if experiment.ranker.refit:
        again = _refit(assembled, (*parts.fit, *parts.dev), fitted.rounds)
        fitted = replace(fitted, ranker=again.ranker, seconds=fitted.seconds + again.seconds)
    runs[library] = rows.by_ranker(test, fitted.ranker)
    labels[library] = {"lightgbm": "LightGBM"}[library] + f" {experiment.ranker.objective}"
    return _Fold(
        fitted, labels, {row: _evaluate(assembled, run, parts.test, wanted) for row, run in runs.items()}, runs
    )


def _refit(assembled: Assembled, query_ids: Sequence[str], rounds: int) -> Fitted:
    """Fit on these queries for exactly so many rounds, as an earlier dev has settled them."""
    return rankers.fit(
        assembled.experiment.ranker,
        known(assembled.pairs, assembled.dataset.products, query_ids),
        None,
        features=assembled.feature_set.names,
        gains=assembled.gains,
        rounds=rounds,
    )


def _evaluate(
    assembled: Assembled, run: pl.DataFrame, query_ids: tuple[str, ...], wanted: list[Measure]
) -> pl.DataFrame:
    rule = assembled.experiment.evaluation
    return evaluation.evaluate(
        run,
        _of(assembled.dataset.judgments, query_ids),
        wanted,
        gains=assembled.gains,
        scale=assembled.scale,
        rel=rule.rel,
        empty=rule.empty,
    )


def _of(frame: pl.DataFrame, query_ids: tuple[str, ...]) -> pl.DataFrame:
    wanted = pl.DataFrame({"query_id": list(query_ids)}, schema={"query_id": pl.String})
    return frame.join(wanted, on="query_id", how="semi", maintain_order="left")


def _merged(labels: list[str]) -> str:
    """One label for all folds; where they chose differently, what it was that they chose."""
    return labels[0] if len(set(labels)) == 1 else f"{labels[0].partition(':')[0]} (differs by fold)"
