"""From a dataset to labelled pairs: what is wrong with the judgments, which candidates, which features, which grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ltr import bundle, datasets, features, measures
from ltr.bundle_retriever import read_body, retriever_of
from ltr.config import Experiment, TransferConfig
from ltr.datasets import Dataset
from ltr.errors import ConfigError, JudgmentError, suggestion
from ltr.experiment import clicklog
from ltr.experiment.candidates import candidates, labelled, strangers, told
from ltr.experiment.few import regularised
from ltr.experiment.preflight import check_configuration, check_data, tuned_on
from ltr.features import compute, memory, state
from ltr.features.definition import FeatureSet
from ltr.features.memory import Judged
from ltr.features.state import State
from ltr.features.transfer import PREFIX, joined
from ltr.measures import Scale
from ltr.rankers import Ranker
from ltr.rankers.transferred import COLUMN, Source, Transferred

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from ltr.encoders import Encoder
    from ltr.experiment.clicklog import ClickLog

__all__ = [
    "Assembled",
    "Audit",
    "assemble",
    "audit",
    "check_grades",
    "chosen_features",
    "learnt",
]


@dataclass(frozen=True)
class Audit:
    """What a person should know of the judgments before trusting a figure; each kind is kept out of fitting.

    ``examples`` names up to three ids of each kind, under the name of its count.
    """

    queries: int
    judgments: int
    unknown_products: int
    one_document: int
    all_equal: int
    empty_query: int
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """One sentence for each count that is not zero."""
        sentences = {
            "unknown_products": "judgments of products that the catalogue lacks",
            "one_document": "queries with one judged product only",
            "all_equal": "queries with the same grade throughout",
            "empty_query": "queries without a word",
        }
        return [
            f"{sentence}: {count:,}, such as {', '.join(map(repr, self.examples.get(kind, ())))} (kept out of fitting)"
            for kind, sentence in sentences.items()
            if (count := getattr(self, kind))
        ]


@dataclass(frozen=True)
class Assembled:
    """All that fitting and evaluating need; ``pairs`` is in retrieval order within each query.

    Features that are learnt from judgments are not in it before ``learnt`` has added those of one fit side. The queries of
    ``tuned_on`` are in the encoder already, and are not fitted on.
    """

    experiment: Experiment
    dataset: Dataset
    scale: Scale
    gains_name: str
    gains: NDArray[float64]
    feature_set: FeatureSet
    state: State
    encoder: Encoder | None
    retrieval_fields: dict[str, float]
    run: pl.DataFrame
    pairs: pl.DataFrame
    audit: Audit
    body: Mapping[str, Any] | None = None
    judged: Judged | None = None
    source: Source | None = None
    tuned_on: frozenset[str] = frozenset()
    clicks: ClickLog | None = None
    warnings: tuple[str, ...] = ()

    @property
    def judged_by_people(self) -> bool:
        """Whether the judgments are people's (or a simulation's truth), and not a click model's."""
        return self.clicks is None or not self.clicks.judge

    @property
    def inputs(self) -> tuple[str, ...]:
        """What a ranker is fitted on: the set's features, the source's score instead of what it reads."""
        if self.source is None:
            return self.feature_set.names
        return (*(name for name in self.feature_set.names if name not in self.source.read), COLUMN)

    def kept(self, ranker: Ranker) -> Ranker:
        """The ranker as it is kept: reading the set's features and no more."""
        return ranker if self.source is None else Transferred(ranker, self.source)


def assemble(experiment: Experiment, *, base: Path, cache: Path, feature_set: FeatureSet | None = None) -> Assembled:
    """Load, check, retrieve, featurize and grade; ``base`` is the directory of experiment.toml."""
    if experiment.data.source != "svmlight":
        # Before the data, which may take minutes to load.
        feature_set = chosen_features(experiment, base=base, found=feature_set)
        check_configuration(experiment, feature_set.names)
    body = read_body(experiment, base=base)
    dataset = datasets.load(
        experiment.data,
        base=base,
        scale=experiment.judgments.scale,
        judged=experiment.judgments.source == "ratings",
    )
    if feature_set is None:
        feature_set = features.parse(dataset.feature_table or {}, where=f"the features of {dataset.name}")
        check_configuration(experiment, feature_set.names)
    scale = measures.scale(experiment.judgments.scale or dataset.scale)
    gains_name, gains = _gains(experiment, dataset, scale)
    check_grades(dataset.judgments, scale)
    dataset, clicks, history = clicklog.of(experiment, dataset, scale, feature_set, base=base, cache=cache)
    known_to_encoder = (
        tuned_on(base / experiment.encoder.model, dataset.queries) if feature_set.encodes else frozenset()
    )
    check_data(experiment, dataset, scale, tuned_on=known_to_encoder)
    experiment, note = regularised(experiment, feature_set, queries=dataset.judgments["query_id"].n_unique())
    if note:
        dataset = replace(dataset, notes=(*dataset.notes, note))
    source = None
    if experiment.transfer is not None:
        feature_set, source = transferred(experiment, experiment.transfer, dataset, feature_set, base=base)
    _check_vector_field(experiment, dataset)
    encodes = feature_set.encodes or experiment.retrieval.vector
    encoder = encoder_of(experiment, base=base, cache=cache) if encodes else None
    fields = dict(experiment.retrieval.fields) or dataset.text_fields
    asked = partial(retriever_of, experiment, feature_set, dataset.products, fields=fields, body=body, encoder=encoder)
    retriever, warnings, vector = None, tuple[str, ...](), experiment.state_vector
    if experiment.retrieval.engine == "elasticsearch" and (clicks is None or clicks.run is None):
        # Before the catalogue is encoded, which may take minutes.
        retriever = asked(vectors=None)
        warnings = told(retriever, dataset)
    stated = state.build(
        dataset.products,
        feature_set,
        fields=dataset.fields,
        encoder=encoder,
        vector_fields=[vector] if vector else [],
        impressions=None if history is None else history.impressions,
        examination=None if history is None else history.examination,
        as_of=None if history is None else history.as_of.isoformat(),
    )
    run = None if clicks is None else clicks.run
    if run is None:
        if retriever is None:
            retriever = asked(vectors=stated.vectors[vector] if vector else None)
        run = candidates(retriever, dataset.queries, dataset.judgments, experiment)
        warnings += strangers(dataset, run)
    pairs = compute.pairs(
        run.join(dataset.queries.select("query_id", "query"), on="query_id", how="left", maintain_order="left"),
        feature_set.part(set(feature_set.names) - set(feature_set.learnt)),
        stated,
        encoder=encoder,
    )
    if source is not None:
        scores = source.predict(pairs.select(source.read).to_numpy().astype(np.float32, copy=False))
        pairs = pairs.with_columns(pl.Series(COLUMN, scores.astype(np.float32)))
    pairs = labelled(pairs, dataset.judgments, complete=dataset.complete)
    return Assembled(
        experiment, dataset, scale, gains_name, gains, feature_set, stated, encoder, fields, run, pairs, audit(dataset),
        body=body, source=source, tuned_on=known_to_encoder, clicks=clicks,
        warnings=warnings,
    )  # fmt: skip


def chosen_features(experiment: Experiment, *, base: Path, found: FeatureSet | None = None) -> FeatureSet:
    """The experiment's feature set, or the one that is given, without the features that it leaves out."""
    if found is None:
        found = features.read_feature_set(features.find(experiment.features.path, base=base))
    leave_out = experiment.features.leave_out
    if unknown := next((name for name in leave_out if name not in found.names), None):
        raise ConfigError(
            f"features.leave_out names {unknown!r}", hint=suggestion(unknown, found.names, noun="the set's features")
        )
    if leave_out:
        found = features.parse(
            {
                "name": found.name,
                "analyzer": found.analyzer,
                "feature": [each.table for each in found.features if each.name not in leave_out],
            },
            where=found.where,
        )
    if found.counts and experiment.judgments.log is None and experiment.simulation is None:
        raise ConfigError(
            f"feature set {found.name!r} counts what shoppers did, and this experiment has no log",
            hint="set judgments.log, or leave its rates and counts out",
        )
    if experiment.judgments.source == "clicks" and found.learnt:
        raise ConfigError(
            f"features {list(found.learnt)} are learnt from people's judgments, and this experiment learns from clicks",
            hint="name them under features.leave_out; kinds rate and count are their like for clicks",
        )
    return found


def transferred(
    experiment: Experiment, transfer: TransferConfig, dataset: Dataset, feature_set: FeatureSet, *, base: Path
) -> tuple[FeatureSet, Source]:
    """Our features with those of another bundle's ranker, and that ranker over their columns."""
    path = next(
        (path for path in (base / transfer.bundle, Path(transfer.bundle)) if path.is_dir()), base / transfer.bundle
    )
    theirs = bundle.load(path)
    if theirs.feature_set.encodes and theirs.experiment.encoder != experiment.encoder:
        raise ConfigError(
            f"{path} was fitted with encoder {theirs.experiment.encoder.model!r}, this experiment has "
            f"{experiment.encoder.model!r}",
            hint="set [encoder] as the bundle has it",
        )
    both = joined(feature_set, theirs.feature_set, fields=transfer.fields, there=dataset.fields)
    columns = [PREFIX + name for name in theirs.ranker.features]
    there = set(both.names)
    return both, Source(theirs.ranker, tuple(name if name in there else None for name in columns))


def learnt(assembled: Assembled, query_ids: Sequence[str], groups: Mapping[str, str]) -> Assembled:
    """The same with the features that are learnt from judgments, as the judgments of these queries alone teach them.

    A list of one of these queries says nothing of its own fold: of its own judgments, nor of those of its group.
    """
    feature_set = assembled.feature_set
    if not feature_set.learnt:
        return assembled
    dataset, part = assembled.dataset, feature_set.part(feature_set.learnt)
    wanted = pl.DataFrame({"query_id": list(query_ids)}, schema={"query_id": pl.String})
    judged = memory.remember(
        dataset.queries,
        dataset.judgments.join(wanted, on="query_id", how="semi", maintain_order="left"),
        gains=assembled.gains,
        groups=groups,
        encoder=assembled.encoder if part.encodes else None,
    )
    pairs = compute.pairs(
        assembled.pairs,
        part,
        assembled.state,
        encoder=assembled.encoder,
        memory=judged.on(assembled.state),
        own=judged.folds,
    )
    return replace(assembled, pairs=pairs, judged=judged)


def audit(dataset: Dataset) -> Audit:
    """Count what is wrong with the judgments."""
    judgments = dataset.judgments
    lists = judgments.group_by("query_id", maintain_order=True).agg(
        pl.len().alias("n"), pl.col("grade").n_unique().alias("grades")
    )
    # Where the judgments are complete, the products that are not listed have grade 0: no list is all of one grade.
    listed = lists.clear() if dataset.complete else lists
    blank = dataset.queries.filter(pl.col("query").str.strip_chars() == "")
    kinds = {
        "unknown_products": judgments.join(dataset.products, on="product_id", how="anti", maintain_order="left")[
            "product_id"
        ],
        "one_document": listed.filter(pl.col("n") == 1)["query_id"],
        "all_equal": listed.filter((pl.col("n") > 1) & (pl.col("grades") == 1))["query_id"],
        "empty_query": blank.join(judgments, on="query_id", how="semi", maintain_order="left")["query_id"],
    }
    return Audit(
        queries=lists.height,
        judgments=judgments.height,
        **{kind: len(ids) for kind, ids in kinds.items()},
        examples={kind: ids.unique(maintain_order=True).head(3).to_list() for kind, ids in kinds.items()},
    )


def check_grades(judgments: pl.DataFrame, scale: Scale) -> None:
    """JudgmentError for a grade that is not one of the scale's integers."""
    grade = pl.col("grade")
    off = judgments.filter((grade < 0) | (grade > scale.maximum) | (grade != grade.round()))
    if off.height:
        query_id, product_id, value = off.select("query_id", "product_id", "grade").row(0)
        raise JudgmentError(
            f"grade {value:g} of product {product_id!r} for query {query_id!r} is off scale {scale.name!r} "
            f"(0 to {scale.maximum}); {off.height} judgments are",
            hint="set [judgments] scale, such as '0-10', or correct them",
        )


def _gains(experiment: Experiment, dataset: Dataset, scale: Scale) -> tuple[str, NDArray[float64]]:
    chosen = experiment.evaluation.gains or dataset.gains
    table = measures.gain_table(chosen, scale)
    name = chosen if isinstance(chosen, str) else "table"
    return name, table


def _check_vector_field(experiment: Experiment, dataset: Dataset) -> None:
    vector = experiment.retrieval.vector
    if vector is not None and dataset.fields.get(vector) != "text":
        raise ConfigError(
            f"[retrieval] vector = {vector!r} is not a text field of the catalogue",
            hint=suggestion(
                vector, [name for name, kind in dataset.fields.items() if kind == "text"], noun="text fields"
            ),
        )


def encoder_of(experiment: Experiment, *, base: Path, cache: Path) -> Encoder:
    """The experiment's encoder; a directory is looked up beside experiment.toml first."""
    from ltr import encoders

    config = experiment.encoder
    if (local := base / config.model).is_dir():
        config = config.model_copy(update={"model": str(local.resolve())})
    return encoders.load(config, cache=cache)
