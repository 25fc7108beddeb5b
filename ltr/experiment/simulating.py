"""Simulated shoppers over an experiment: its dataset, its retrieval order and other production orders, a log and its truth."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from ltr import datasets, features, measures
from ltr.bundle_retriever import retriever_of
from ltr.config import Experiment
from ltr.datasets import Dataset
from ltr.errors import ConfigError, suggestion
from ltr.experiment.assemble import check_grades, chosen_features, encoder_of
from ltr.experiment.candidates import candidates
from ltr.features import state
from ltr.frames import ranked
from ltr.simulation import Season, Simulated, Users, shoppers, write_ubi

__all__ = ["RANKERS", "rankings", "simulate"]

RANKERS: Final = ("retrieval", "flat", "popularity")
# What says how popular a product is, where the catalogue has it.
_POPULARITY: Final = ("popularity", "votes", "rating_count")


def simulate(
    experiment: Experiment,
    *,
    base: Path,
    cache: Path,
    users: Users,
    season: Season,
    searches: int,
    seed: int,
    rankers: Sequence[str],
    output: Path,
) -> Simulated:
    """Write a season's log into ``output`` (``ltr.simulation.ubi``), whole or not at all.

    Args:
        experiment: whose dataset, candidates and retrieval order; its scale and gains decide attraction.
        base: the directory of experiment.toml.
        cache: for encoders.
        users: how lists are read.
        season: how long, and what else happens.
        searches: in all.
        seed: one seed is one log.
        rankers: production rankers, of RANKERS.
        output: a directory that is empty or not there.

    Raises:
        ConfigError: an output that holds something or cannot be written, a ranker that is unknown or cannot be.
    """
    with _drafted(output) as draft:
        dataset = datasets.load(experiment.data, base=base, scale=experiment.judgments.scale)
        scale = measures.scale(experiment.judgments.scale or dataset.scale)
        check_grades(dataset.judgments, scale)
        made = shoppers(
            replace(dataset, scale=scale.name),
            rankings(experiment, dataset, rankers, base=base, cache=cache),
            users=users,
            searches=searches,
            seed=seed,
            directory=draft / "impressions",
            season=season,
            gains=experiment.evaluation.gains or dataset.gains,
        )
        write_ubi(made, draft)
    return replace(made, impressions=output / "impressions")


def rankings(
    experiment: Experiment, dataset: Dataset, rankers: Sequence[str], *, base: Path, cache: Path
) -> dict[str, pl.DataFrame]:
    """Production orders of an experiment's candidates: ``retrieval`` as the experiment has it, ``flat`` with all fields
    weighing the same, ``popularity`` the first by how popular a product is.
    """
    unknown = [name for name in rankers if name not in RANKERS]
    if unknown or not rankers:
        raise ConfigError(
            f"ranker {unknown[0]!r} is unknown" if unknown else "no ranker is named",
            hint=suggestion(unknown[0] if unknown else "", RANKERS, noun="rankers"),
        )
    order = _orders(experiment, dataset, base=base, cache=cache)
    weights = dict(experiment.retrieval.fields) or dataset.text_fields
    found = {"retrieval": order(weights)}
    if "flat" in rankers:
        found["flat"] = order(dict.fromkeys(weights, 1.0))
    if "popularity" in rankers:
        found["popularity"] = _by_popularity(found["retrieval"], dataset)
    return {name: found[name] for name in dict.fromkeys(rankers)}


def _orders(
    experiment: Experiment, dataset: Dataset, *, base: Path, cache: Path
) -> Callable[[Mapping[str, float]], pl.DataFrame]:
    """From weights of fields to the candidates in that order."""
    if dataset.feature_table is not None:
        feature_set = features.parse(dataset.feature_table, where=f"the features of {dataset.name}")
    else:
        feature_set = chosen_features(experiment, base=base)
    encoder = vectors = None
    if experiment.retrieval.vector is not None:
        encoder = encoder_of(experiment, base=base, cache=cache)
    if (vector := experiment.state_vector) is not None:
        vectors = state.build(
            dataset.products, feature_set.part(()), fields=dataset.fields, encoder=encoder, vector_fields=[vector]
        ).vectors[vector]

    def order(weights: Mapping[str, float]) -> pl.DataFrame:
        retriever = retriever_of(
            experiment, feature_set, dataset.products, fields=weights, body=None, vectors=vectors, encoder=encoder
        )
        return candidates(retriever, dataset.queries, dataset.judgments, experiment)

    return order


def _by_popularity(run: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    field = next((name for name in _POPULARITY if dataset.fields.get(name) == "number"), None)
    if field is None:
        raise ConfigError(
            f"the catalogue of {dataset.name} does not say what is popular",
            hint=f"leave out ranker 'popularity', or give a number field {', '.join(_POPULARITY)}",
        )
    popular = dataset.products.select("product_id", score=pl.col(field).cast(pl.Float32))
    scored = run.select("query_id", "product_id").join(popular, on="product_id", how="left", maintain_order="left")
    return ranked(scored)


@contextmanager
def _drafted(output: Path) -> Iterator[Path]:
    """A draft beside the output that takes its place when all is written; ConfigError where something is there already."""
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise ConfigError(f"{output} is there already", hint="give -o a directory that is empty, or not there")
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise ConfigError(f"{output} cannot be made: {error.strerror}", hint="choose another place") from error
    try:
        yield draft
        draft.chmod(0o755)
        try:
            os.rename(draft, output)
        except OSError as error:
            # Another run was faster: rename takes the place of an empty directory alone.
            raise ConfigError(f"{output} is there already ({error.strerror})", hint="choose another place") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
