"""What can be refused before any text is encoded: a mistake in the configuration should cost seconds, not the hour after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ltr import measures, rankers
from ltr.config import Experiment
from ltr.datasets import Dataset
from ltr.errors import ConfigError, JudgmentError, suggestion
from ltr.experiment.split import Parts, given, split
from ltr.measures import Scale
from ltr.rankers.transferred import COLUMN

__all__ = ["check_configuration", "check_data", "groups_of", "need_ratings", "parts_of", "tuned_on"]


def check_configuration(experiment: Experiment, names: Sequence[str]) -> None:
    """Refuse measures that do not exist, and what the ranker's library would refuse of features with these names."""
    inputs = [*names, COLUMN] if experiment.transfer else names
    for text in experiment.evaluation.measures:
        measures.parse(text)
    for config in experiment.rankers.values():
        rankers.check(config, features=inputs)


def need_ratings(experiment: Experiment, verb: str) -> None:
    """Refuse an experiment on clicks where a verb would learn from people's judgments."""
    if experiment.judgments.source == "clicks":
        raise ConfigError(
            f"ltr {verb} learns from people's judgments, and {experiment.name!r} learns from clicks",
            hint="name an experiment whose judgments.source is 'ratings', or --set judgments.source=ratings",
        )


def check_data(experiment: Experiment, dataset: Dataset, scale: Scale, *, tuned_on: frozenset[str]) -> None:
    """Refuse judgments of another catalogue, a rel beyond the scale, splits that cannot be made or that the encoder knows."""
    judged = dataset.judgments
    if judged.height and not judged.join(dataset.products, on="product_id", how="semi").height:
        raise JudgmentError(
            f"none of the {judged.height:,} judgments is of a product in the catalogue: they name "
            f"{judged['product_id'][0]!r}, the catalogue has {dataset.products['product_id'].first()!r}",
            hint="map product_id under [data.columns] or [data.judgment_columns], so that both speak of the same ids",
        )
    if experiment.evaluation.rel > scale.maximum:
        raise ConfigError(
            f"evaluation.rel = {experiment.evaluation.rel:g} is above every grade of scale {scale.name!r}",
            hint=f"choose one from 1 to {scale.maximum}",
        )
    for column in (experiment.split.group, *experiment.split.also):
        for parts in parts_of(experiment, dataset, group=column):
            if known := tuned_on.intersection((*parts.dev, *parts.test)):
                raise ConfigError(
                    f"encoder {experiment.encoder.model!r} was tuned on {len(known):,} queries that this experiment has on dev "
                    f"or test, such as {min(known)!r}",
                    hint="tune one for this split: ltr tune-encoder",
                )


def tuned_on(directory: Path, queries: pl.DataFrame) -> frozenset[str]:
    """The query_ids whose text the encoder in a directory was tuned on, whatever experiment that was for.

    None where it was not tuned. They are kept out of fitting: the cosine of a query that the encoder has seen is better
    than that of any query to come.

    Args:
        directory: that of [encoder] model.
        queries: query_id and query.
    """
    if not directory.is_dir():
        return frozenset()
    from ltr.encoders import tuning

    hashes = tuning.seen(directory)
    rows = queries.select("query_id", "query").iter_rows()
    return frozenset(query_id for query_id, query in rows if tuning.query_hash(query) in hashes)


def parts_of(experiment: Experiment, dataset: Dataset, *, group: str | None) -> list[Parts]:
    """The split of the judged queries, with those of one value of the column ``group`` kept together."""
    if experiment.split.by == "given":
        return [given(groups_of(dataset, "split"), dev=experiment.split.dev, seed=experiment.split.seed)]
    return split(groups_of(dataset, group), experiment.split)


def groups_of(dataset: Dataset, column: str | None) -> dict[str, str]:
    """query_id -> what stays together in a split: the query itself, or its value in a column of the queries."""
    queries = dataset.queries.join(dataset.judgments, on="query_id", how="semi")
    if column is None:
        return {query_id: query_id for query_id in queries["query_id"]}
    if column not in queries.columns:
        raise ConfigError(
            f"split by {column!r}: the queries have no such column",
            hint=suggestion(column, queries.columns, noun="columns"),
        )
    return dict(zip(queries["query_id"], queries[column].cast(pl.String).fill_null(""), strict=True))
