"""A saved bundle on judged lists: the retrieval order and the ranker's, on the same candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ltr import bundle as bundles
from ltr import evaluation
from ltr import measures as measured
from ltr.bundle import Bundle
from ltr.bundle_retriever import told_of
from ltr.datasets.catalogue import read_products
from ltr.datasets.files import read_judgments
from ltr.datasets.svmlight import dataset_of
from ltr.errors import ConfigError, JudgmentError
from ltr.experiment.assemble import check_grades
from ltr.experiment.result import Rows
from ltr.features import state as states
from ltr.features.state import State

__all__ = ["Evaluated", "evaluate_bundle"]


@dataclass(frozen=True)
class Evaluated:
    """The table, and which gains, scale and empty-query rule it used."""

    table: Rows
    gains: str
    scale: str
    empty: str
    warnings: tuple[str, ...]


def evaluate_bundle(
    path: Path,
    judgments: Path,
    *,
    products: Path | None = None,
    measures: Sequence[str] | None = None,
    cache: Path | None = None,
    url: str | None = None,
) -> Evaluated:
    """Rerank the judged products of each query and evaluate them; the bundle's own gains and rules apply.

    Products that the catalogue lacks are ranked with missing features, as serving would; they are counted in a warning. ``url``
    is of the search engine that the bundle takes its match features from, instead of what it and the environment say.
    """
    loaded = bundles.load(path, cache=cache)
    scale = measured.scale(loaded.facts.scale)
    rule = loaded.experiment.evaluation
    wanted = [measured.parse(text) for text in measures or rule.measures]
    state, lacking = loaded.state, list[str]()
    if loaded.experiment.data.source == "svmlight":
        if products is not None:
            raise ConfigError(
                f"{path} was fitted on feature files, whose rows are the products: {products} has no place",
                hint="leave out --products",
            )
        state, queries, frame = _rows_of(loaded, judgments)
    else:
        queries, frame = read_judgments(judgments, scale=scale, columns=loaded.experiment.data.judgment_columns)
        state, lacking = _state(loaded, products)
    check_grades(frame, scale)
    if not frame.height:
        raise JudgmentError(f"{judgments} holds no judgment", hint="give a file with query, product_id and grade")
    pairs = frame.select("query_id", "product_id").join(queries, on="query_id", how="inner", maintain_order="left")
    retriever = loaded.retriever(state=state, url=url)
    candidates = retriever.score(pairs.select("query_id", "query", "product_id"))
    candidates = candidates.join(queries.select("query_id", "query"), on="query_id", how="left", maintain_order="left")
    library = loaded.experiment.ranker.library
    runs = {
        "retrieval": candidates.select("query_id", "product_id", "rank", "score"),
        library: bundles.rerank(loaded, candidates, state=state),
    }
    per_query = {
        row: evaluation.evaluate(
            run, frame, wanted, gains=np.asarray(loaded.facts.gains), scale=scale, rel=rule.rel, empty=rule.empty
        )
        for row, run in runs.items()
    }
    table = Rows(
        labels={"retrieval": "retrieval order", library: f"bundle {path.name}"},
        measures={row: evaluation.summarise(values) for row, values in per_query.items()},
        comparisons=tuple(evaluation.compare(per_query, baseline="retrieval", measure=str(wanted[0]))),
        queries={"test": queries.height},
    )
    strange = told_of(retriever, queries["query"].to_list(), frame["product_id"].unique(maintain_order=True).to_list())
    told = (*_warnings(frame, state, lacking), *strange, *_remembered(loaded, queries))
    return Evaluated(table, loaded.facts.gains_name, scale.name, rule.empty, told)


def _rows_of(loaded: Bundle, file: Path) -> tuple[State, pl.DataFrame, pl.DataFrame]:
    """The rows of a feature file as a catalogue of their own, with its queries and judgments."""
    names = loaded.feature_set.names
    dataset = dataset_of({"test": file}, first=loaded.experiment.data.first_feature, features=len(names))
    state = states.build(dataset.products, loaded.feature_set, fields=dataset.fields, encoder=None)
    return state, dataset.queries, dataset.judgments


def _state(loaded: Bundle, products: Path | None) -> tuple[State, list[str]]:
    if products is None:
        return loaded.state, []
    facts = loaded.facts
    catalogue, lacking = read_products(products, config=loaded.experiment.data, fields=facts.fields, title=facts.title)
    vector = loaded.experiment.state_vector
    state = states.build(
        catalogue,
        loaded.feature_set,
        fields=facts.fields,
        encoder=loaded.encoder,
        vector_fields=[vector] if vector else [],
        behaviour=loaded.state.behaviour,
        as_of=loaded.state.as_of,
    )
    return state, lacking


def _remembered(loaded: Bundle, queries: pl.DataFrame) -> list[str]:
    """Learnt features know the answers to the queries that they were learnt from."""
    if loaded.judged is None:
        return []
    seen = queries.join(loaded.judged.queries.select("query").unique(), on="query", how="semi").height
    return [f"{seen:,} of {queries.height:,} queries were fitted on: their figures flatter the ranker"] if seen else []


def _warnings(judgments: pl.DataFrame, state: State, lacking: list[str]) -> list[str]:
    told = [f"the catalogue lacks {', '.join(lacking)}: missing for every product"] if lacking else []
    unknown = judgments.join(state.products.select("product_id"), on="product_id", how="anti").height
    if unknown:
        told.append(
            f"{unknown:,} of {judgments.height:,} judgments name products that the catalogue lacks; "
            "ranked with missing features"
        )
    return told
