"""What each kind of feature is worth: how far nDCG@10 falls where the ranker is fitted without it.

A kind's features are left out, and those that read them (their copies of list scope); nothing else is changed, not even the
rounds, which dev settles with all features. Over folds of the queries that are on no test side, so that features may be
chosen by it. Kinds that the movies' set does not have are measured on the demo shop; those that neither has are null. Some
twenty minutes: only ``make bench BENCH=worth`` runs it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from measured import keep

from ltr import measures
from ltr.config import read_experiment
from ltr.datasets.download import cache_home
from ltr.evaluation import summarise
from ltr.experiment.assemble import Assembled, assemble
from ltr.experiment.preflight import groups_of, parts_of
from ltr.experiment.rows import by_ranker
from ltr.experiment.split import Parts, folds
from ltr.experiment.trial import Stages, evaluated, fitted, of, refit
from ltr.features import KINDS, FeatureSet

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ("msrd", "shop")
MEASURE = measures.parse("nDCG@10")
FOLDS, USED, DEV, SEED = 6, 3, 0.12, 11
NOTE = (
    f"the fall of {MEASURE} where the kind's features and those that read them are left out of movie_search (of "
    f"product_search where it says shop): {USED} of {FOLDS} folds of the queries outside the test sides, split as the "
    "experiment's first table, one seed, with the paired 95 % bootstrap interval over queries"
)


def measure() -> list[dict[str, object]]:
    """No figure of its own; each kind is written as soon as it is known."""
    worth: dict[str, dict[str, object] | None] = {}
    for name in EXPERIMENTS:
        base = ROOT / "experiments" / name
        assembled = assemble(read_experiment(base / "experiment.toml"), base=base, cache=cache_home())
        for kind, drop in drops(assembled, [kind for kind in KINDS if kind not in worth]):
            worth[kind] = drop
            keep("worth", worth, note=NOTE, command="make bench BENCH=worth")
            sys.stdout.write(f"{'worth':>10}  {kind}: {drop}\n")
            sys.stdout.flush()
    keep("worth", {kind: worth.get(kind) for kind in KINDS}, note=NOTE, command="make bench BENCH=worth")
    return []


def drops(assembled: Assembled, kinds: Sequence[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """The worth of each of these kinds that the experiment's set has."""
    feature_set = assembled.feature_set
    had = {feature.kind for feature in feature_set.features}
    wanted = [kind for kind in kinds if kind in had]
    if not wanted:
        return
    found = list(_folds(assembled))
    whole = _values(found, feature_set)
    for kind in wanted:
        values = _values(found, without(feature_set, kind))
        paired = whole.join(values, on="query_id", suffix=".less", maintain_order="left")
        fall = paired.select("query_id", fall=pl.col(str(MEASURE)) - pl.col(f"{MEASURE}.less"))
        drop = summarise(fall)["fall"]
        numbers = {"value": round(drop.mean, 4), "low": round(drop.low, 4), "high": round(drop.high, 4)}
        yield kind, {**numbers, "queries": drop.n, "on": assembled.experiment.name}


def without(feature_set: FeatureSet, kind: str) -> FeatureSet:
    """The set without the features of a kind, and without those that read them."""
    gone = {feature.name for feature in feature_set.features if feature.kind == kind}
    kept = (f.name for f in feature_set.features if f.name not in gone and gone.isdisjoint(f.params.reads.values()))
    return feature_set.part(kept)


@dataclass(frozen=True)
class _Fold:
    """The pairs of fit and dev with all features worked out, and the rounds that dev has settled with all of them."""

    assembled: Assembled
    parts: Parts
    rounds: int


def _folds(assembled: Assembled) -> Iterator[_Fold]:
    """No query of any test side is in them."""
    experiment, dataset = assembled.experiment, assembled.dataset
    columns = (experiment.split.group, *experiment.split.also)
    held = {query for column in columns for part in parts_of(experiment, dataset, group=column) for query in part.test}
    groups = groups_of(dataset, experiment.split.group)
    pool = {query: group for query, group in groups.items() if query not in held}
    config = experiment.ranker.model_copy(update={"refit": False})
    for parts in folds(pool, FOLDS, dev=DEV, seed=SEED)[:USED]:
        stages = Stages(assembled, parts, groups)
        yield _Fold(stages.both, parts, fitted(stages, config).rounds)


def _values(found: list[_Fold], feature_set: FeatureSet) -> pl.DataFrame:
    """The measure of each tested query, of a ranker fitted on these features."""
    frames = []
    for fold in found:
        told = fold.assembled.experiment.ranker
        monotone = {name: sign for name, sign in told.monotone.items() if name in feature_set.names}
        own, parts = replace(fold.assembled, feature_set=feature_set), fold.parts
        ranker = refit(
            own, told.model_copy(update={"monotone": monotone}), (*parts.fit, *parts.dev), fold.rounds
        ).ranker
        frames.append(evaluated(own, by_ranker(of(own.pairs, parts.test), ranker), parts.test, [MEASURE]))
    return pl.concat(frames)
