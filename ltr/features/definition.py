"""Feature sets: features/<set>.toml as a frozen value.

    name = "product_search"
    analyzer = "english"
    extends = "features/lexical.toml"     # another set, whose features come first

    [[feature]]
    name  = "title_bm25"                  # [a-z][a-z0-9_]*: column, model input and engine feature alike
    kind  = "bm25"                        # one of KINDS; further keys are the kind's parameters
    field = "title"
    also  = ["relative", "rank_in_list"]  # list-scope copies: title_bm25_relative, title_bm25_rank
    as    = "zscore"                      # instead of the value itself: what it is worth in its list
    missing = 0.0                         # else NaN

Every fault is a FeatureSetError that names the file, the feature and the nearest key or kind.

>>> parse({"name": "tiny", "feature": [{"name": "year", "kind": "number", "field": "year", "also": ["relative"]}]}).names
('year', 'year_relative')
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ltr.config import explain, read_toml
from ltr.errors import ConfigError, FeatureSetError, suggestion
from ltr.features.kinds import KINDS
from ltr.features.match import MatchParams
from ltr.features.negation import Part
from ltr.features.params import Key, Kind, Params, PartParams, Source
from ltr.text import analyzer

__all__ = ["COPIES", "RESERVED", "Feature", "FeatureSet", "find", "load", "parse", "read_feature_set"]

# `also` -> what the copy's name ends in.
COPIES: Final = {"relative": "relative", "rank_in_list": "rank", "zscore": "zscore"}

# Columns that travel beside the features in one frame.
RESERVED: Final = frozenset(
    [
        "query_id",
        "query",
        "product_id",
        "search_id",
        "as_of",
        "position",
        "propensity",
        "rank",
        "score",
        "grade",
        "weight",
    ]
)

# In a wheel, and in a checkout.
_SHIPPED: Final = (Path(__file__).parent / "shipped", Path(__file__).parents[2] / "features")

_SET_KEYS: Final = ("name", "analyzer", "feature")
_FEATURE_KEYS: Final = ("name", "kind", "missing", "also", "as")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Feature:
    """One feature: a kind with its parameters under a name.

    Args:
        name: of the column.
        kind: one of KINDS.
        params: of the kind.
        missing: takes NaN's place where it is given.
        form: one of COPIES: the value is replaced by what it is worth in its list; other features read the value itself.
    """

    name: str
    kind: str
    params: Params
    missing: float | None = None
    form: str | None = None

    @property
    def definition(self) -> Kind:
        """The kind's entry in KINDS."""
        return KINDS[self.kind]

    @property
    def scope(self) -> str:
        """How often a value is worked out."""
        return "list" if self.form else self.definition.scope

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it reads of the catalogue."""
        return self.params.sources(self.definition.form)

    @property
    def table(self) -> dict[str, Any]:
        """The feature as a TOML table would say it, every parameter written out."""
        written = self.params.model_dump(mode="json", exclude_none=True)
        form = {"as": self.form} if self.form else {}
        return {"name": self.name, "kind": self.kind, "missing": self.missing, **form, **written}


@dataclass(frozen=True)
class FeatureSet:
    """Features in the order of the ranker's columns, and the analyzer of their text; ``where`` it is from is for messages."""

    name: str
    analyzer: str
    features: tuple[Feature, ...]
    where: str = field(default="", compare=False, repr=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def match(self) -> dict[str, MatchParams]:
        """Features that the engine delivers with the candidates, and what it is asked for each."""
        return {feature.name: feature.params for feature in self.features if isinstance(feature.params, MatchParams)}

    @cached_property
    def matched_fields(self) -> dict[str, str]:
        """The same for the embedded engine, which scores single fields: the field of each."""
        for name, params in self.match.items():
            if not params.plain:
                raise FeatureSetError(
                    f"{self.where}: feature {name!r} asks more of the engine than the score of one field",
                    hint='set [retrieval] engine = "elasticsearch", or leave all but its field out',
                )
        return {name: params.key for name, params in self.match.items()}

    @cached_property
    def vector_fields(self) -> tuple[str, ...]:
        """What must be encoded, in the order first named: a field, or fields joined by +."""
        return tuple(dict.fromkeys(source.key for source in self.sources if source.form in ("vectors", "sentences")))

    @cached_property
    def encodes(self) -> bool:
        """Whether any feature reads the query's vector."""
        return any(feature.params.encodes(feature.definition.form) for feature in self.features)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Parts of the query whose vectors features read, each once."""
        encoding = [f.params for f in self.features if f.params.encodes(f.definition.form)]
        return tuple(dict.fromkeys(p.part for p in encoding if isinstance(p, PartParams) and p.part))

    @cached_property
    def learnt(self) -> tuple[str, ...]:
        """Features that are learnt from judgments, and the list-scope copies of such; in order."""
        direct = {feature.name for feature in self.features if feature.definition.learnt}
        return tuple(
            f.name for f in self.features if f.name in direct or not direct.isdisjoint(f.params.reads.values())
        )

    @cached_property
    def counts(self) -> dict[Key, frozenset[str]]:
        """Which behaviour the features read, by which keys."""
        found: dict[Key, frozenset[str]] = {}
        for feature in self.features:
            for key, measures in feature.params.counts.items():
                found[key] = found.get(key, frozenset()) | measures
        return found

    def part(self, names: Iterable[str]) -> FeatureSet:
        """The set of these features alone, in this set's order."""
        wanted = set(names)
        return replace(self, features=tuple(feature for feature in self.features if feature.name in wanted))

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """What the features read of the catalogue, each once."""
        return tuple(dict.fromkeys(source for feature in self.features for source in feature.sources))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self._json().encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the canonical JSON, which ``load`` reads."""
        path.write_text(self._json() + "\n", encoding="utf-8")

    def _json(self) -> str:
        table = {"name": self.name, "analyzer": self.analyzer, "feature": [feature.table for feature in self.features]}
        return json.dumps(table, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def read_feature_set(path: Path) -> FeatureSet:
    """Read features/<set>.toml; with ``extends`` = another set's path, that set's features come first."""
    return parse(_extended(path, ()), where=str(path))


def _extended(path: Path, by: tuple[Path, ...]) -> dict[str, Any]:
    try:
        table = read_toml(path)
    except ConfigError as error:
        raise FeatureSetError(str(error)) from error
    other = table.pop("extends", None)
    if other is None:
        return table
    if not isinstance(other, str):
        raise FeatureSetError(f"{path}: extends = {other!r}", hint="name another set's file, such as 'lexical.toml'")
    found = find(other, base=path.parent)
    if found in (path, *by):
        raise FeatureSetError(f"{path}: extends = {other!r} comes back to {found}", hint="extend a set that does not")
    below = _extended(found, (path, *by))
    own = table.get("feature", [])
    features = [*below.get("feature", []), *own] if isinstance(own, list) else own
    return {"analyzer": below.get("analyzer", "english"), **table, "feature": features}


def load(path: Path) -> FeatureSet:
    """Read what ``FeatureSet.save`` has written."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")), where=str(path))
    except (OSError, ValueError) as error:
        raise FeatureSetError(f"{path} cannot be read: {error}") from error


def find(path_text: str, *, base: Path) -> Path:
    """The file of a feature-set path: from ``base`` (experiment.toml's directory), then from the working directory.

    ``features/<set>.toml`` is, where it is in neither, the set of that name that ships with the package.
    """
    tried = list(dict.fromkeys(((base / path_text).resolve(), Path(path_text).resolve())))
    folder, _, name = path_text.partition("/")
    shipped = [place / name for place in _SHIPPED] if folder == "features" and name == Path(name).name else []
    for path in (*tried, *shipped):
        if path.is_file():
            return path
    if beside := next((path for path in tried if path.exists()), None):
        raise FeatureSetError(f"feature set {path_text!r}: {beside} is no file", hint="name the .toml file in it")
    folders = dict.fromkeys([*(path.parent for path in tried), base / "features", Path("features")])
    places = (*(place for place in folders if place.name == "features"), *_SHIPPED)
    there = sorted({f"features/{path.name}" for place in places for path in place.glob("*.toml")})
    raise FeatureSetError(
        f"feature set {path_text!r} is neither at {' nor at '.join(map(str, tried))}",
        hint=suggestion(path_text, there, noun="sets")
        if there
        else "write one there: features/README.md lists the kinds",
    )


def parse(table: Mapping[str, Any], *, where: str = "feature set") -> FeatureSet:
    """A feature set from the table that its TOML says; FeatureSetError for the first fault."""
    _check_keys(table, _SET_KEYS, where)
    name, language, entries = table.get("name"), table.get("analyzer", "english"), table.get("feature")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise FeatureSetError(f"{where}: name = {name!r}", hint="a name is a letter a-z, then a-z, 0-9 or _")
    try:
        analyzer(str(language))
    except ConfigError as error:
        raise FeatureSetError(f"{where}: {error}") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise FeatureSetError(f"{where} has no feature", hint="write each under [[feature]]")
    features = tuple(feature for entry in entries for feature in _features(entry, where))
    _check_references(features, where)
    return FeatureSet(name, str(language), features, where)


def _features(entry: Mapping[str, Any], where: str) -> list[Feature]:
    """A feature and the copies that its ``also`` asks for."""
    name, kind = entry.get("name"), entry.get("kind")
    place = f"{where}: feature {name!r}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise FeatureSetError(place, hint="a name is a letter a-z, then a-z, 0-9 or _")
    if name in RESERVED:
        raise FeatureSetError(f"{place} has the name of a column that features travel with", hint="rename it")
    if kind is None:
        raise FeatureSetError(f"{place} has no kind", hint=f"kinds: {', '.join(sorted(KINDS))}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FeatureSetError(f"{place} has kind {kind!r}", hint=suggestion(str(kind), KINDS, noun="kinds"))
    model = KINDS[kind].params
    _check_keys(entry, (*_FEATURE_KEYS, *model.model_fields), f"{place} ({kind})")
    try:
        params = model.model_validate({key: value for key, value in entry.items() if key not in _FEATURE_KEYS})
    except ValidationError as error:
        fault = error.errors()[0]
        # A rule over several keys has no key of its own to name.
        told = explain(error, model) if fault["loc"] else fault["msg"].removeprefix("Value error, ")
        raise FeatureSetError(f"{place} ({kind}): {told}") from error
    missing, form = _missing(entry, place), _form(entry, kind, place)
    return [Feature(name, kind, params, missing, form), *_copies(entry, name, kind, place)]


def _missing(entry: Mapping[str, Any], place: str) -> float | None:
    missing = entry.get("missing")
    if missing is None:
        return None
    if isinstance(missing, bool) or not isinstance(missing, int | float) or not math.isfinite(missing):
        raise FeatureSetError(f"{place}: missing = {missing!r}", hint="give a finite number, or leave it out for NaN")
    return float(missing)


def _form(entry: Mapping[str, Any], kind: str, place: str) -> str | None:
    form = entry.get("as")
    if form is None:
        return None
    if form not in COPIES:
        raise FeatureSetError(f"{place}: as = {form!r}", hint=suggestion(str(form), COPIES, noun="forms"))
    if KINDS[kind].scope == "query":
        raise FeatureSetError(f"{place}: as compares the products of a list, in which all share one {kind}")
    return str(form)


def _copies(entry: Mapping[str, Any], name: str, kind: str, place: str) -> Iterable[Feature]:
    also = entry.get("also", [])
    if not isinstance(also, list):
        raise FeatureSetError(f"{place}: also = {also!r}", hint=f"give a list of {sorted(COPIES)}")
    if also and KINDS[kind].scope in ("list", "query"):
        raise FeatureSetError(
            f"{place}: also copies what differs between products; {kind} has {KINDS[kind].scope} scope"
        )
    for copy in also:
        if copy not in COPIES:
            raise FeatureSetError(f"{place}: also names {copy!r}", hint=suggestion(str(copy), COPIES, noun="copies"))
        yield Feature(f"{name}_{COPIES[copy]}", copy, KINDS[copy].params.model_validate({"of": name}))


def _check_keys(table: Mapping[str, Any], allowed: Iterable[str], place: str) -> None:
    for key in table:
        if key not in allowed:
            raise FeatureSetError(f"{place}: unknown key {key!r}", hint=suggestion(key, allowed, noun="keys"))


def _check_references(features: tuple[Feature, ...], where: str) -> None:
    names = [feature.name for feature in features]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise FeatureSetError(f"{where}: feature {twice!r} occurs more than once", hint="names are unique")
    matched: dict[MatchParams, str] = {}
    for feature in features:
        asked = feature.params
        if isinstance(asked, MatchParams) and (other := matched.setdefault(asked, feature.name)) != feature.name:
            raise FeatureSetError(
                f"{where}: features {other!r} and {feature.name!r} ask the engine the same of {asked.key!r}",
                hint="remove one, or ask something else",
            )
    scopes = {feature.name: feature.definition.scope for feature in features}
    usable = [name for name, scope in scopes.items() if scope in ("product", "query_product")]
    for feature in features:
        for key, other in feature.params.reads.items():
            if other in usable:
                continue
            fault = f"has {scopes[other]} scope" if other in scopes else "the set does not have"
            raise FeatureSetError(
                f"{where}: feature {feature.name!r} ({feature.kind}): {key} names feature {other!r}, which {fault}",
                hint=suggestion(other, usable, noun="features that differ between products"),
            )
