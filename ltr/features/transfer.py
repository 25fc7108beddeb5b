"""The features of another catalogue's ranker, read from this catalogue: what a transferred ranker needs to score it.

>>> from ltr.features.definition import parse
>>> theirs = parse({"name": "movies", "feature": [{"name": "plot", "kind": "coverage", "field": "overview"}]})
>>> ours = parse({"name": "shop", "feature": [{"name": "price", "kind": "number", "field": "price"}]})
>>> both = joined(ours, theirs, fields={"overview": "description"}, there={"description", "price"})
>>> both.names, both.features[1].params.key
(('price', 'transfer_plot'), 'description')
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from ltr.errors import FeatureSetError
from ltr.features.definition import Feature, FeatureSet, parse
from ltr.features.params import HELD

__all__ = ["PREFIX", "joined"]

PREFIX: Final = "transfer_"


def joined(ours: FeatureSet, theirs: FeatureSet, *, fields: Mapping[str, str], there: Collection[str]) -> FeatureSet:
    """Our features, then theirs under names that begin with PREFIX.

    What depends on their engine, their judged queries or their shoppers, and what reads a field that is mapped to "", is left
    out: a ranker takes it as missing.

    Args:
        ours: the set of this catalogue.
        theirs: the set that the other ranker was fitted on.
        fields: their field -> ours, "" where we have none; a field that is not named keeps its name.
        there: the fields of this catalogue.
    """
    if ours.analyzer != theirs.analyzer:
        raise FeatureSetError(
            f"{theirs.where or theirs.name}: its analyzer is {theirs.analyzer!r}, ours {ours.analyzer!r}",
            hint="transfer between sets of one analyzer",
        )
    if taken := next((name for name in ours.names if f"{name}_".startswith(PREFIX)), None):
        raise FeatureSetError(
            f"{ours.where or ours.name}: feature {taken!r} has a name that transferred scores take", hint="rename it"
        )
    read = sorted({name for source in theirs.sources if source.form in HELD for name in source.fields})
    if lacking := [name for name in read if fields.get(name, name) not in ("", *there)]:
        raise FeatureSetError(
            f"the other ranker reads {', '.join(lacking)}, which this catalogue lacks",
            hint=f'say what they are called here, or "" for none: [transfer] fields = {{ {lacking[0]} = "" }}; '
            f"fields: {', '.join(sorted(there))}",
        )
    if unknown := sorted(set(fields) - set(read)):
        raise FeatureSetError(
            f"[transfer] fields names {unknown[0]!r}, which the other ranker does not read",
            hint=f"it reads {', '.join(read)}",
        )
    gone = {name for name, ours_ in fields.items() if not ours_}
    left_out = {f.name for f in theirs.features if f.kind == "match" or f.params.counts or _fields(f) & gone}
    left_out |= set(theirs.learnt)
    while more := {f.name for f in theirs.features if left_out & set(f.params.reads.values())} - left_out:
        left_out |= more
    tables = [_renamed(feature, fields) for feature in theirs.features if feature.name not in left_out]
    if not tables:
        raise FeatureSetError("nothing of the other ranker can be read here", hint="map its fields to ours")
    carried = parse({"name": ours.name, "analyzer": ours.analyzer, "feature": tables}, where="the transferred features")
    return replace(ours, features=(*ours.features, *carried.features))


def _fields(feature: Feature) -> set[str]:
    return {name for source in feature.sources for name in source.fields}


def _renamed(feature: Feature, fields: Mapping[str, str]) -> dict[str, Any]:
    table = dict(feature.table)
    table["name"] = PREFIX + feature.name
    table.update({key: PREFIX + name for key, name in feature.params.reads.items()})
    if isinstance(table.get("field"), str):
        table["field"] = fields.get(table["field"], table["field"])
    if table.get("fields"):
        table["fields"] = list(dict.fromkeys(fields.get(name, name) for name in table["fields"]))
    return table
