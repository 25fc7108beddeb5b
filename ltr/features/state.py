"""The state of a catalogue: all that features know of its products, worked out once.

Built for one feature set: only the fields that it names are analysed and encoded, only the behaviour that it reads is
counted. Saved as Parquet and NumPy arrays without pickle; vectors are memory-mapped when loaded. ``version`` follows from
the content, ``as_of`` is the caller's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.datasets import FieldType
from ltr.errors import BundleError, DataError, FeatureSetError, suggestion
from ltr.features import counts
from ltr.features.counts import Behaviour
from ltr.features.definition import FeatureSet
from ltr.features.params import FORMS, HELD, Source
from ltr.features.terms import Strings, Tokens, join, read, sentences, spell, tokenise
from ltr.frames import check
from ltr.progress import bar

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ltr.encoders import Encoder

__all__ = ["Schema", "Sentences", "State", "build", "load"]

T = TypeVar("T")

_ROWS_HASHED_AT_ONCE: Final = 10_000


@dataclass(frozen=True)
class Schema:
    """What a state promises to the features: its analyzer, its catalogue's fields, the sources it holds."""

    analyzer: str
    fields: dict[str, FieldType]
    sources: tuple[Source, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the promise."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Sentences:
    """Vectors of all products' sentences; ``bounds[row]`` to ``bounds[row + 1]`` are a product's."""

    vectors: NDArray[np.float32]
    bounds: NDArray[np.int64]


@dataclass(frozen=True)
class State:
    """Products and what is known of them; get one from ``build`` or ``load``.

    Each mapping is keyed by field (``title``), or by fields read as one (``title+overview``). Arrays have a last row for
    a product that the catalogue lacks, vectors and products do not.
    """

    products: pl.DataFrame
    schema: Schema
    tokens: Mapping[str, Tokens]
    strings: Mapping[str, Strings]
    numbers: Mapping[str, NDArray[np.float64]]
    vectors: Mapping[str, NDArray[np.float32]]
    sentences: Mapping[str, Sentences]
    encoded: Mapping[str, NDArray[np.bool_]]  # whether a row has a text that its vector stands for
    vocabulary: Mapping[str, int]
    version: str
    as_of: str | None = None
    behaviour: Behaviour | None = None  # what shoppers did before as_of
    _row: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Number the products."""
        self._row.update(zip(self.products["product_id"].to_list(), range(self.products.height), strict=True))

    def __len__(self) -> int:
        """Return how many products the catalogue has."""
        return self.products.height

    def rows(self, product_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row of each product; −1 for one that the catalogue lacks."""
        return np.fromiter(map(self._row.get, product_ids, repeat(-1)), np.int64, count=len(product_ids))

    def parts(self, key: str) -> tuple[str, ...]:
        """The fields of tokens that are read as one, where each is held by itself too; else none."""

        def find() -> tuple[str, ...]:
            fields = next(one.fields for one in self.schema.sources if one.form == "tokens" and one.key == key)
            return fields if len(fields) > 1 and all(field in self.tokens for field in fields) else ()

        return self.once(("parts", key), find)

    @property
    def day(self) -> int:
        """The UTC day of ``as_of``, since 1970-01-01."""
        return counts.day(self.as_of or "")

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returns, worked out at the first call for this key and kept."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def save(self, directory: Path) -> None:
        """Write the state into an existing directory."""
        self.products.write_parquet(directory / "products.parquet")
        pl.DataFrame({"term": list(self.vocabulary)}, schema={"term": pl.String}).write_parquet(
            directory / "vocabulary.parquet"
        )
        for number, source in enumerate(self.schema.sources):
            stem = directory / f"{number:03d}"
            if source.form == "tokens":
                np.save(f"{stem}.ids.npy", self.tokens[source.key].ids)
                np.save(f"{stem}.bounds.npy", self.tokens[source.key].bounds)
            elif source.form == "strings":
                values = self.strings[source.key]
                pl.DataFrame({"value": values.values}, schema={"value": pl.String}).write_parquet(f"{stem}.parquet")
                np.save(f"{stem}.bounds.npy", values.bounds)
            elif source.form == "vectors":
                np.save(f"{stem}.vectors.npy", self.vectors[source.key])
            elif source.form == "sentences":
                np.save(f"{stem}.vectors.npy", self.sentences[source.key].vectors)
                np.save(f"{stem}.bounds.npy", self.sentences[source.key].bounds)
        if self.behaviour is not None:
            self.behaviour.save(directory / "behaviour")
        header = {"version": self.version, "as_of": self.as_of, **asdict(self.schema)}
        (directory / "state.json").write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")


def build(
    products: pl.DataFrame,
    feature_set: FeatureSet,
    *,
    fields: Mapping[str, FieldType],
    encoder: Encoder | None,
    vector_fields: Sequence[str] = (),
    as_of: str | None = None,
    impressions: pl.LazyFrame | pl.DataFrame | None = None,
    examination: ArrayLike | None = None,
    behaviour: Behaviour | None = None,
) -> State:
    """Analyse and encode a catalogue for a feature set, and count behaviour.

    Args:
        products: the catalogue.
        feature_set: what to prepare for.
        fields: type of each catalogue field.
        encoder: may be None where no vectors are asked for.
        vector_fields: text fields to encode besides those of the feature set.
        as_of: the time that the state stands for, ISO 8601; not read from a clock.
        impressions: the log, for features of behaviour: what it tells of the days before ``as_of`` is counted.
        examination: how likely each position is looked at, from the first on; for rates that are corrected.
        behaviour: instead of a log: what was counted before.

    Raises:
        FeatureSetError: a feature names a field that the catalogue lacks, or one of another type; or it is corrected for
            an examination that is not given.
        DataError: a log without ``as_of``, or without a column that is counted.
    """
    products = check(products, "products")
    _check_fields(feature_set, products, fields)
    extra = {Source("vectors", (name,)) for name in vector_fields}
    sources = tuple(sorted({source for source in feature_set.sources if source.form in HELD} | extra))
    schema = Schema(feature_set.analyzer, dict(fields), sources)
    vocabulary: dict[str, int] = {}
    tokens = _tokens(products, sources, feature_set.analyzer, vocabulary)
    strings = {source.key: spell(read(products, source.fields)) for source in sources if source.form == "strings"}
    if feature_set.counts and (impressions is not None or behaviour is not None):
        if as_of is None:
            raise DataError("a log is counted up to a time, which is not given", hint="give as_of, such as 2024-05-01")
        counts.day(as_of)
        if impressions is not None:
            from ltr.features.counting import build_counts

            behaviour = build_counts(
                impressions, examination=examination, wanted=feature_set, as_of=as_of, products=products
            )
    vectors, told = _vectors(products, sources, encoder), _sentences(products, sources, encoder)
    return State(
        products, schema, tokens, strings, _numbers(products, sources), vectors, told, _encoded(products, sources),
        vocabulary,
        version=_version(products, schema, encoder.digest if encoder and (vectors or told) else "", behaviour),
        as_of=as_of, behaviour=behaviour,
    )  # fmt: skip


def load(directory: Path) -> State:
    """Read a saved state.

    Raises:
        BundleError: a file is missing or is not what was saved.
    """
    try:
        header = json.loads((directory / "state.json").read_text(encoding="utf-8"))
        sources = tuple(Source(source["form"], tuple(source["fields"])) for source in header["sources"])
        schema = Schema(header["analyzer"], header["fields"], sources)
        products = pl.read_parquet(directory / "products.parquet")
        terms = pl.read_parquet(directory / "vocabulary.parquet")["term"].to_list()
        vocabulary = dict(zip(terms, range(len(terms)), strict=True))
        tokens: dict[str, Tokens] = {}
        strings: dict[str, Strings] = {}
        vectors: dict[str, NDArray[np.float32]] = {}
        told: dict[str, Sentences] = {}
        for number, source in enumerate(sources):
            stem = directory / f"{number:03d}"
            if source.form == "tokens":
                tokens[source.key] = Tokens(_array(f"{stem}.ids.npy"), _array(f"{stem}.bounds.npy"), vocabulary)
            elif source.form == "strings":
                values = pl.read_parquet(f"{stem}.parquet")["value"].to_list()
                strings[source.key] = Strings(values, _array(f"{stem}.bounds.npy"))
            elif source.form == "vectors":
                vectors[source.key] = np.load(f"{stem}.vectors.npy", mmap_mode="r", allow_pickle=False)
            elif source.form == "sentences":
                encoded = np.load(f"{stem}.vectors.npy", mmap_mode="r", allow_pickle=False)
                told[source.key] = Sentences(encoded, _array(f"{stem}.bounds.npy"))
        return State(
            products, schema, tokens, strings, _numbers(products, sources), vectors, told, _encoded(products, sources),
            vocabulary, version=header["version"], as_of=header["as_of"],
            behaviour=counts.load(directory / "behaviour") if (directory / "behaviour").is_dir() else None,
        )  # fmt: skip
    except (OSError, EOFError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise BundleError(
            f"the state in {str(directory)!r} cannot be read: {error}", hint="copy the bundle again, or train again"
        ) from error


def _array(path: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _check_fields(feature_set: FeatureSet, products: pl.DataFrame, fields: Mapping[str, FieldType]) -> None:
    for feature in feature_set.features:
        for source in feature.sources:
            allowed = FORMS[source.form]
            for name in source.fields:
                place = f"{feature_set.where}: feature {feature.name!r} ({feature.kind}) names field {name!r}"
                if name not in fields or name not in products.columns:
                    usable = [
                        other for other, type_ in fields.items() if type_ in allowed and other in products.columns
                    ]
                    raise FeatureSetError(
                        f"{place}, which the catalogue lacks", hint=suggestion(name, usable, noun="fields of that kind")
                    )
                if fields[name] not in allowed:
                    usable = [other for other, type_ in fields.items() if type_ in allowed]
                    raise FeatureSetError(
                        f"{place}, which is of type {fields[name]}, not {' or '.join(allowed)}",
                        hint=suggestion(name, usable, noun="fields of that type"),
                    )


def _tokens(
    products: pl.DataFrame, sources: Sequence[Source], analyzer: str, vocabulary: dict[str, int]
) -> dict[str, Tokens]:
    """Each field is analysed once, however many sources it is part of."""
    wanted = [source for source in sources if source.form == "tokens"]
    fields = list(dict.fromkeys(field for source in wanted for field in source.fields))
    parts: dict[str, Tokens] = {}
    with bar("analysing", total=len(fields)) as advance:
        for name in fields:
            parts[name] = tokenise(read(products, (name,)), analyzer, vocabulary)
            advance(1)
    return {source.key: join([parts[name] for name in source.fields]) for source in wanted}


def _numbers(products: pl.DataFrame, sources: Sequence[Source]) -> dict[str, NDArray[np.float64]]:
    names = [source.key for source in sources if source.form == "numbers"]
    try:
        columns = {name: products[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names}
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the products frame: a number field is not numeric: {error}") from error
    return {name: np.append(np.where(np.isinf(values), np.nan, values), np.nan) for name, values in columns.items()}


def _encoded(products: pl.DataFrame, sources: Sequence[Source]) -> dict[str, NDArray[np.bool_]]:
    return {
        source.key: np.array([any(map(str.strip, cells)) for cells in [*read(products, source.fields), []]], dtype=np.bool_)
        for source in sources
        if source.form == "vectors"
    }  # fmt: skip


def _vectors(
    products: pl.DataFrame, sources: Sequence[Source], encoder: Encoder | None
) -> dict[str, NDArray[np.float32]]:
    wanted = [source for source in sources if source.form == "vectors"]
    return {
        source.key: _vectors_of([". ".join(cells) for cells in read(products, source.fields)], source, encoder)
        for source in wanted
    }


def _sentences(products: pl.DataFrame, sources: Sequence[Source], encoder: Encoder | None) -> dict[str, Sentences]:
    found: dict[str, Sentences] = {}
    for source in sources:
        if source.form == "sentences":
            texts = [sentences(cells) for cells in read(products, source.fields)]
            bounds = np.zeros(len(texts) + 2, dtype=np.int64)
            np.cumsum([*map(len, texts), 0], out=bounds[1:])
            found[source.key] = Sentences(_vectors_of([text for own in texts for text in own], source, encoder), bounds)
    return found


def _vectors_of(texts: Sequence[str], source: Source, encoder: Encoder | None) -> NDArray[np.float32]:
    if encoder is None:
        raise FeatureSetError(
            f"vectors of {[source.key]} need an encoder", hint="set [encoder] model in experiment.toml"
        )
    return np.ascontiguousarray(encoder.encode(texts), dtype=np.float32)


def _version(products: pl.DataFrame, schema: Schema, encoder: str, behaviour: Behaviour | None) -> str:
    """SHA-256 of the catalogue's content, how it was analysed, what encoded it, and what was counted."""
    digest = hashlib.sha256(f"{schema.digest} {encoder} {products.columns}\n".encode())
    for start in range(0, products.height, _ROWS_HASHED_AT_ONCE):
        digest.update(products.slice(start, _ROWS_HASHED_AT_ONCE).write_ndjson().encode())
    if behaviour is not None:
        digest.update(behaviour.digest.encode())
    return digest.hexdigest()
