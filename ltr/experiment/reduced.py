"""The experiment that a bundle records, run again without some of its features: what does it cost to do without them?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ltr import bundle as bundles_
from ltr import evaluation, measures
from ltr.errors import BundleError, ConfigError, suggestion
from ltr.evaluation import Comparison
from ltr.experiment import find
from ltr.experiment.result import Result
from ltr.experiment.training import PERMUTATIONS, train
from ltr.features import definition

__all__ = ["Reduced", "retrain_without"]


@dataclass(frozen=True)
class Reduced:
    """The run without them, and its test side compared with that of the bundle before: the same queries, in pairs."""

    result: Result
    left_out: tuple[str, ...]
    cost: Comparison


def retrain_without(
    bundle: Path,
    names: Sequence[str],
    *,
    cache: Path,
    bundles: Path,
    base: Path | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Reduced:
    """Train again, as the bundle says, without these features; the bundle itself is left as it is.

    Args:
        bundle: whose experiment and feature set are taken, whatever their files say by now.
        names: of features.
        cache: where encoders and vectors are kept between runs.
        bundles: where the new bundle goes.
        base: the directory of its experiment.toml, which the paths in it start from; None = the one of that name under
            experiments/.
        say: told each warning as it arises.

    Raises:
        ConfigError: a name that is no feature, or all of them; or it is not known where the experiment is.
        BundleError: the bundle does not say what it measured.
    """
    experiment = bundles_.read_experiment(bundle)
    feature_set = definition.load(bundle / "model" / "feature_set.json")
    if unknown := next((name for name in names if name not in feature_set.names), None):
        raise ConfigError(f"{unknown!r} is no feature", hint=suggestion(unknown, feature_set.names, noun="features"))
    if set(names) >= set(feature_set.names):
        raise ConfigError(
            f"without {', '.join(names)} nothing is left of feature set {feature_set.name!r}",
            hint="write a set that an engine can express, such as features/movie_engine.toml",
        )
    before = _measured(bundle)
    base = find(experiment.name, root=Path()).parent if base is None else base
    reduced = experiment.model_copy(
        update={
            "features": experiment.features.model_copy(update={"leave_out": list(names)}),
            "ranker": experiment.ranker.model_copy(
                update={"monotone": {f: sign for f, sign in experiment.ranker.monotone.items() if f not in names}}
            ),
        }
    )
    result = train(reduced, base=base, cache=cache, bundles=bundles, feature_set=feature_set, say=say)
    measure = str(measures.parse(experiment.evaluation.measures[0]))
    after = _measured(Path(result.bundle))
    cost = evaluation.compare(
        {"before": before, "without": after},
        baseline="before",
        measure=measure,
        seed=experiment.split.seed,
        permutations=PERMUTATIONS,
    )[0]
    return Reduced(result, tuple(names), cost)


def _measured(bundle: Path) -> pl.DataFrame:
    """The values of the bundle's own ranker on its test side, one row a query."""
    kept = bundles_.read_experiment(bundle).kept
    path = bundle / "results" / "per_query.parquet"
    try:
        return pl.read_parquet(path).filter(pl.col("ranker") == kept).drop("ranker", "query").sort("query_id")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(
            f"{bundle} does not say what it measured: {path.name} cannot be read ({error})",
            hint="copy the bundle with its results, or train again",
        ) from error
