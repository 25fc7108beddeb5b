"""The click log of an experiment: read from files, or made by simulated shoppers over the experiment's own production order.

Its impressions name the dataset's queries and products. What is true of a simulated log travels beside it; only the row that is
fitted with the true propensities reads it.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ltr.config import Experiment, SimulationConfig
from ltr.datasets import Dataset
from ltr.errors import ConfigError, DataError, JudgmentError
from ltr.experiment.debiased import examination_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ltr.features.definition import FeatureSet
    from ltr.measures import Scale
    from ltr.simulation import Users

__all__ = ["ClickLog", "History", "cut", "judged_by_clicks", "obtain", "of"]


@dataclass(frozen=True, eq=False)
class Spilled:
    """A directory that goes when nothing refers to this any more, at the latest when the program ends."""

    path: Path


@dataclass(frozen=True)
class ClickLog:
    """Impressions of queries that the dataset has, and what is known of them.

    Args:
        impressions: a frame of impressions (``ltr.frames``), perhaps larger than memory.
        examination: θ by position, where the log was simulated and it is a function of position.
        told: what a person should know of the log, one sentence each.
        run: the retriever's candidates, where simulated shoppers saw them in that order.
        judge: the click model whose grades the dataset's judgments are; "" where people judged.
        spilled: the directory that the impressions lie in, removed with this.
    """

    impressions: pl.LazyFrame
    examination: NDArray[np.float64] | None
    told: tuple[str, ...]
    run: pl.DataFrame | None = None
    judge: str = ""
    spilled: Spilled | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class History:
    """What features of behaviour are counted from: impressions before a midnight, and how likely each position was examined."""

    impressions: pl.LazyFrame
    examination: NDArray[np.float64]
    as_of: datetime


def of(
    experiment: Experiment, dataset: Dataset, scale: Scale, feature_set: FeatureSet, *, base: Path, cache: Path
) -> tuple[Dataset, ClickLog | None, History | None]:
    """The dataset, the log that rankers are fitted on, and the log that features count; None where there is none.

    Where no person judged anything, the dataset comes back with the log's queries and a click model's judgments.
    """
    judgments = experiment.judgments
    if judgments.log is None and experiment.simulation is None:
        return dataset, None, None
    log = obtain(experiment, dataset, scale, base=base, cache=cache)
    if judgments.source == "ratings":
        return dataset, None, _history(log.impressions, _after(log.impressions))
    history = None
    if judgments.features_until is not None:
        before, log, at = cut(log, judgments.features_until)
        history = _history(before, at)
    elif feature_set.counts:
        raise ConfigError(
            f"feature set {feature_set.name!r} counts the clicks that are the grades, too",
            hint="cut the log: set judgments.features_until, such as 0.5, or leave its rates and counts out",
        )
    if dataset.judgments.height:
        return dataset, log, history
    graded = judged_by_clicks(log, judgments.judge, scale=scale)
    if not graded.height:
        raise JudgmentError("the log says nothing of any product", hint="see its report: ltr judge LOG")
    queries = log.impressions.select("query_id", "query").unique("query_id", keep="first").sort("query_id").collect()
    told = f"No person judged these queries: the test side is judged by the same log's clicks ({judgments.judge})."
    dataset = replace(dataset, queries=queries, judgments=graded, notes=(*dataset.notes, told))
    return dataset, replace(log, judge=judgments.judge), history


def _after(impressions: pl.LazyFrame) -> datetime:
    """The midnight after the last impression."""
    last: datetime = impressions.select(pl.col("shown_at").max()).collect().item()
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _history(impressions: pl.LazyFrame, as_of: datetime) -> History:
    """With the examination that the surest method finds; else the click rate by position, as if all products were alike."""
    if (known := examination_of(impressions)) is not None:
        return History(impressions, known[1], as_of)
    by = impressions.group_by("position").agg(pl.col("clicked").mean()).sort("position").collect()
    relative = by["clicked"].to_numpy() / max(float(by["clicked"][0]), 1e-9)
    return History(impressions, np.clip(relative, 0.0, 1.0), as_of)


def obtain(experiment: Experiment, dataset: Dataset, scale: Scale, *, base: Path, cache: Path) -> ClickLog:
    """Read or simulate the log of an experiment."""
    if experiment.judgments.log is not None:
        return _read(experiment, dataset, base=base, cache=cache)
    simulation = experiment.simulation or SimulationConfig()
    if simulation.days is None:
        return _searched(experiment, simulation, dataset, scale, base=base, cache=cache)
    return _season(experiment, simulation, dataset, scale, base=base, cache=cache)


def cut(log: ClickLog, share: float) -> tuple[pl.LazyFrame, ClickLog, datetime]:
    """The impressions before a midnight, the log from then on, and that midnight: after ``share`` of the log's days.

    What features are counted from and what grades follow from must not be the same clicks.
    """
    shown = pl.col("shown_at")
    first, last = log.impressions.select(shown.min().alias("first"), shown.max().alias("last")).collect().row(0)
    days = (last.date() - first.date()).days + 1
    whole = round(share * days)
    if not 0 < whole < days:
        raise DataError(
            f"judgments.features_until = {share:g} of {days} days leaves a side without a day", hint="use a longer log"
        )
    at = first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=whole)
    after = replace(log, impressions=log.impressions.filter(shown >= at))
    return log.impressions.filter(shown < at), after, at


def judged_by_clicks(log: ClickLog, model: str, *, scale: Scale) -> pl.DataFrame:
    """Judgments of all that was shown, by a click model: the judge where no person judged anything."""
    from ltr.judgments import MODELS
    from ltr.judgments.grades import judge

    return judge(MODELS[model].fit(log.impressions), log.impressions, scale=scale)


def _read(experiment: Experiment, dataset: Dataset, *, base: Path, cache: Path) -> ClickLog:
    from ltr.judgments.filters import filters
    from ltr.judgments.impressions import read_log
    from ltr.judgments.mapping import LogMapping, read_mapping

    judgments = experiment.judgments
    spilled = _spilled(cache)
    path = base / str(judgments.log)
    mapping = read_mapping(base / judgments.mapping) if judgments.mapping else None
    if mapping is None and (path.suffix == ".parquet" or (path.is_dir() and any(path.rglob("*.parquet")))):
        # Impressions already; but a ranker must not learn from robots, so they pass the filters too.
        mapping = LogMapping(shape="shown")
    chosen = filters(judgments.filters, where="[judgments.filters]")
    log = read_log(path, mapping=mapping, filters=chosen, directory=spilled.path)
    impressions = _of_ours(log.scan(), dataset) if dataset.queries.height else log.scan()
    return ClickLog(impressions, None, tuple(log.report.sentences()), spilled=spilled)


def _searched(
    experiment: Experiment, simulation: SimulationConfig, dataset: Dataset, scale: Scale, *, base: Path, cache: Path
) -> ClickLog:
    """Every query's list in the production order, searched so many times."""
    from ltr import simulation as shoppers
    from ltr.experiment.simulating import rankings

    users = shoppers.Users(simulation.users, eta=simulation.eta)
    orders = rankings(experiment, dataset, simulation.rankers, base=base, cache=cache)
    shown = pl.concat([_lists(run, dataset, variant) for variant, run in orders.items()])
    attraction = shoppers.attraction_of(
        _true_grades(shown, dataset),
        scale.maximum,
        noise=users.noise if simulation.noise is None else simulation.noise,
        gains=experiment.evaluation.gains or dataset.gains,
    )
    each = _each(shown["query_id"].unique(maintain_order=True).to_list(), simulation.searches, simulation.seed)
    made = shoppers.clicks(shown, attraction, users=users, searches=each, seed=simulation.seed, page=simulation.page)
    told = f"Clicks are simulated: {simulation.searches:g} searches a query by {simulation.users} users, seed {simulation.seed}."
    deepest = simulation.page or int(shown["position"].max())  # type: ignore[arg-type]
    return ClickLog(made.lazy(), _curve(users, deepest), (told,), orders.get("retrieval"))


def _season(
    experiment: Experiment, simulation: SimulationConfig, dataset: Dataset, scale: Scale, *, base: Path, cache: Path
) -> ClickLog:
    """A season's log, read back as any log is: with its bots filtered, and its events joined."""
    from ltr import simulation as shoppers
    from ltr.experiment.simulating import rankings
    from ltr.judgments.impressions import read_log

    users = shoppers.Users(simulation.users, eta=simulation.eta)
    spilled = _spilled(cache)
    home = spilled.path
    orders = rankings(experiment, dataset, simulation.rankers, base=base, cache=cache)
    made = shoppers.shoppers(
        replace(dataset, scale=scale.name),
        orders,
        users=users,
        searches=max(1, round(simulation.searches * dataset.queries.height)),
        seed=simulation.seed,
        directory=home / "shown",
        season=shoppers.Season(
            days=simulation.days or 1,
            page=simulation.page or 20,
            randomised=simulation.randomised,
            bots=simulation.bots,
        ),
        gains=experiment.evaluation.gains or dataset.gains,
    )
    # By way of UBI, as a shop's own log comes: so its bots are found by what they do, and not by what they are.
    shoppers.write_ubi(made, home / "ubi")
    log = read_log(sorted((home / "ubi").glob("*.ndjson")), directory=home / "impressions")
    told = (
        f"Clicks are simulated: {made.counts['searches']:,} searches on {simulation.days} days by {simulation.users} users, "
        f"seed {simulation.seed}."
    )
    return ClickLog(
        _of_ours(log.scan(), dataset),
        _curve(users, simulation.page or 20),
        (told, *log.report.sentences()),
        orders.get("retrieval"),
        spilled=spilled,
    )


def _of_ours(impressions: pl.LazyFrame, dataset: Dataset) -> pl.LazyFrame:
    """Under the dataset's query_ids, where the log has others.

    A reader names a query by its text, and two queries of one text both have its clicks.
    """
    from ltr.judgments.impressions import query_key

    own = dataset.queries.select("query_id").lazy()
    if impressions.join(own, on="query_id", how="semi").head(1).collect().height:
        return impressions.join(own, on="query_id", how="semi")
    named = dataset.queries.select(
        pl.col("query").map_elements(query_key, return_dtype=pl.String).alias("query_id"), ours="query_id"
    )
    return impressions.join(named.lazy(), on="query_id", how="inner").with_columns(query_id="ours").drop("ours")


def _lists(run: pl.DataFrame, dataset: Dataset, variant: str) -> pl.DataFrame:
    texts = dataset.queries.select("query_id", "query")
    return run.join(texts, on="query_id", how="left", maintain_order="left").select(
        "query_id", "query", "product_id", position="rank", variant=pl.lit(variant)
    )


def _true_grades(shown: pl.DataFrame, dataset: Dataset) -> NDArray[np.float64]:
    joined = shown.join(dataset.judgments, on=["query_id", "product_id"], how="left", maintain_order="left")
    return joined["grade"].fill_null(0.0).to_numpy().astype(np.float64)


def _each(query_ids: list[str], searches: float, seed: int) -> Mapping[str, int]:
    """So many searches a query on average: whole ones, and one more for a seeded share of the queries."""
    whole, part = int(searches), searches - int(searches)
    more = np.random.default_rng(seed).random(len(query_ids)) < part
    return {query_id: whole + int(one) for query_id, one in zip(query_ids, more.tolist(), strict=True)}


def _curve(users: Users, deepest: int) -> NDArray[np.float64] | None:
    """Examination by position, where it is a function of the position alone."""
    return None if users.sequential else users.examination(deepest)


def _spilled(cache: Path) -> Spilled:
    cache.mkdir(parents=True, exist_ok=True)
    held = Spilled(Path(tempfile.mkdtemp(prefix="log-", dir=cache)))
    weakref.finalize(held, shutil.rmtree, held.path, ignore_errors=True)
    return held
