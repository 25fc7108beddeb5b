"""Tune the experiment's encoder on a share of its fitting queries, and say which queries it has seen.

A tuned encoder knows the answers to the queries that it was tuned on. So it is tuned on queries that no split of the
experiment, nor any of the same words, has on dev or test; and only on a share of them: the cosine of a query that the encoder
has seen is better than that of any query to come, and a ranker that is fitted on it would trust it too much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ltr import datasets, features, measures
from ltr.config import Experiment
from ltr.datasets import Dataset
from ltr.encoders import tuning
from ltr.encoders.tuning import Settings, Tuned
from ltr.errors import ConfigError, JudgmentError
from ltr.experiment.assemble import check_grades
from ltr.experiment.preflight import check_data, groups_of, need_ratings, parts_of
from ltr.experiment.rows import first_cosine
from ltr.features.definition import FeatureSet
from ltr.features.terms import read

__all__ = ["examples", "tune_for", "tuning_queries"]


def tune_for(
    experiment: Experiment,
    *,
    base: Path,
    output: Path,
    share: float = 0.5,
    negatives: int = 1,
    settings: Settings | None = None,
) -> Tuned:
    """Tune the encoder that an experiment names, on queries of its fitting side.

    Args:
        experiment: the configuration; [split] must be a holdout, since with folds every query is tested.
        base: the directory of experiment.toml.
        output: where the tuned model goes; it must not exist yet, or be empty.
        share: of the queries that every split of the experiment fits on; the ranker is to be fitted on the others.
        negatives: how many products that were judged irrelevant to its query go with each pair.
        settings: how to tune; the seed is that of [ranker].

    Raises:
        ConfigError: the split has folds, the feature set no cosine, the share is none, or ``output`` is taken.
        JudgmentError: no query of the share has a relevant product.
    """
    need_ratings(experiment, "tune-encoder")
    if experiment.split.folds is not None:
        raise ConfigError(
            f"split.folds = {experiment.split.folds} tests every query, which leaves none to tune the encoder on",
            hint="use a holdout: --set split.test=0.2, without folds",
        )
    if not 0 < share < 1:
        raise ConfigError(
            f"share = {share:g} must be above 0 and below 1", hint="the ranker needs fitting queries that are new to the encoder"
        )  # fmt: skip
    if experiment.data.source == "svmlight":
        raise ConfigError("data whose features are made already have no text to tune an encoder on")
    feature_set = features.read_feature_set(features.find(experiment.features.path, base=base))
    fields = _fields(feature_set)
    dataset = datasets.load(experiment.data, base=base, scale=experiment.judgments.scale)
    scale = measures.scale(experiment.judgments.scale or dataset.scale)
    check_grades(dataset.judgments, scale)
    check_data(experiment, dataset, scale, tuned_on=frozenset())
    gains = measures.gain_table(experiment.evaluation.gains or dataset.gains, scale)
    query_ids = tuning_queries(experiment, dataset, share=share)
    pairs = examples(dataset, query_ids, fields=fields, gains=gains.tolist(), negatives=negatives)
    if not pairs:
        raise JudgmentError(
            f"none of the {len(query_ids):,} queries to tune on has a relevant product with a text in {'+'.join(fields)}",
            hint="judge more, or give a greater share",
        )
    local = base / experiment.encoder.model
    facts = {
        "experiment": experiment.name,
        "split_seed": experiment.split.seed,
        "share": share,
        "negatives": negatives,
        "fields": list(fields),
    }
    return tuning.tune(
        str(local.resolve()) if local.is_dir() else experiment.encoder.model,
        pairs,
        output=output,
        settings=replace(settings or Settings(), seed=experiment.ranker.seed),
        facts=facts,
    )


def tuning_queries(experiment: Experiment, dataset: Dataset, *, share: float) -> list[str]:
    """A share of the queries that every split of the experiment fits on; what a split keeps together, this does too."""
    columns = list(dict.fromkeys([experiment.split.group, *experiment.split.also]))
    splits = [parts for column in columns for parts in parts_of(experiment, dataset, group=column)]
    held = {query_id for parts in splits for query_id in (*parts.dev, *parts.test)}
    texts = dict(dataset.queries.select("query_id", "query").rows())
    known = {tuning.query_hash(texts[query_id]) for query_id in held}
    fit = {query_id for parts in splits for query_id in parts.fit} - held
    free = [query_id for query_id in fit if texts[query_id].strip() and tuning.query_hash(texts[query_id]) not in known]
    groups = _together(sorted(free), [groups_of(dataset, column) for column in columns])
    wanted, taken = share * len(free), list[str]()
    for members in sorted(groups, key=lambda members: _place(members[0], experiment.split.seed)):
        # A group that would overshoot is passed over, so that something is left to fit on.
        if len(taken) + len(members) <= wanted:
            taken += members
    if not taken:
        raise JudgmentError(
            f"{share:g} of {len(free):,} queries to fit on is less than one that can be taken",
            hint="give a greater share, or judge more queries",
        )
    return sorted(taken)


def examples(
    dataset: Dataset, query_ids: Sequence[str], *, fields: Sequence[str], gains: Sequence[float], negatives: int
) -> list[tuple[str, ...]]:
    """Query, answer and products that were judged irrelevant: what ``tuning.tune`` takes.

    An answer has a gain above 0 and of at least half the highest of its query's; irrelevant is a gain of 0. The n-th answer
    takes the n-th irrelevant products and those that follow, around the list, in the order of a hash of their ids.
    """
    texts = dict(
        zip(dataset.products["product_id"], (". ".join(cells) for cells in read(dataset.products, fields)), strict=True)
    )
    words = dict(dataset.queries.select("query_id", "query").rows())
    judged = dataset.judgments.filter(pl.col("query_id").is_in(list(query_ids))).select(
        "query_id", "product_id", "grade"
    )
    pairs: list[tuple[str, ...]] = []
    for (query_id,), rows in judged.group_by("query_id", maintain_order=True):
        listed = {
            product_id: gains[int(grade)]
            for _, product_id, grade in rows.iter_rows()
            if texts.get(product_id, "").strip()
        }
        best = max(listed.values(), default=0.0)
        answers = dict.fromkeys(texts[each] for each, gain in listed.items() if gain > 0 and gain >= best / 2)
        others = [texts[each] for each in sorted(listed, key=lambda each: _place(each, 0)) if listed[each] == 0]
        # Two products may have one text; it cannot be both.
        others = [text for text in dict.fromkeys(others) if text not in answers]
        for number, answer in enumerate(answers):
            following = [*others[number % len(others) :], *others][:negatives] if others else []
            pairs.append((words[str(query_id)], answer, *dict.fromkeys(following)))
    return pairs


def _fields(feature_set: FeatureSet) -> tuple[str, ...]:
    """The fields of the set's first cosine: the tuned space is then used as it was tuned."""
    cosine = first_cosine(feature_set)
    if cosine is None:
        raise ConfigError(
            f"feature set {feature_set.name!r} has no feature of kind cosine, so nothing would use the tuned encoder",
            hint="add one, such as kind = 'cosine', field = 'title'",
        )
    return next(feature for feature in feature_set.features if feature.name == cosine.name).sources[0].fields


def _together(query_ids: Sequence[str], columns: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """The queries in groups, such that two of one value in any of the columns are in one.

    >>> _together(["a", "b", "c", "d"], [{"a": "x", "b": "x", "c": "y", "d": "z"}, {"a": "1", "b": "2", "c": "2", "d": "3"}])
    [['a', 'b', 'c'], ['d']]
    """
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def root(node: tuple[int, str]) -> tuple[int, str]:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent[above]
            node = above
        return node

    for number, values in enumerate(columns):
        for query_id in query_ids:
            parent[root((-1, query_id))] = root((number, values[query_id]))
    groups: dict[tuple[int, str], list[str]] = {}
    for query_id in query_ids:
        groups.setdefault(root((-1, query_id)), []).append(query_id)
    return list(groups.values())


def _place(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"tuning {seed} {text}".encode()).digest()
