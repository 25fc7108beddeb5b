"""A catalogue as an engine takes it: its mapping, and its products as the lines of a bulk request.

    field       mapped to                                subfields
    text        text                                     shingles, joined (words two by two), raw (whole, in lower case)
    keyword     keyword                                  text, shingles
    number      double                                   text: whole numbers are written as such, 2008 and not 2008.0
    boolean     boolean
    time        date
    vector      dense_vector, cosine (OpenSearch: knn_vector)
    F_vector    the same, of field F's texts

What is missing is left out, and so is a vector of length 0, which has no direction. Fields are mapped here or not at all
(``dynamic: false``).

>>> import polars as pl
>>> shop = Catalogue(pl.DataFrame({"product_id": ["p1"], "year": [2008.0]}), {"year": "number"}, "standard", {})
>>> shop.lines(0, 1).to_list()
['{"index":{"_id":"p1"}}\\n{"year":2008}\\n']
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from ltr.errors import DataError
from ltr.frames import check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ltr.datasets import FieldType

__all__ = ["Catalogue", "vector_field"]

_SLICE: Final = 1_000
# Engines refuse longer ids, and with one of them the whole request.
_LONGEST_ID: Final = 512
# A keyword is one term, of at most 32,766 bytes of UTF-8: four bytes a character.
_LONGEST_KEYWORD: Final = 8_191
_LONGEST_RAW: Final = 512
# Beyond 2⁵³ a float no longer says which integer it was.
_WHOLE: Final = 2.0**53

_ANALYSIS: Final = {
    "filter": {
        "ltr_shingles": {"type": "shingle", "min_shingle_size": 2, "max_shingle_size": 2, "output_unigrams": False},
        "ltr_joined": {
            "type": "shingle",
            "min_shingle_size": 2,
            "max_shingle_size": 2,
            "output_unigrams": True,
            "token_separator": "",
        },
    },
    "analyzer": {
        name: {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", name]}
        for name in ("ltr_shingles", "ltr_joined")
    },
}


@dataclass(frozen=True)
class Catalogue:
    """Products on their way into an index; DataError where no engine could take them.

    Args:
        products: with one column for each of ``fields``.
        fields: field -> type.
        analyzer: of the text fields, by the server's name for it.
        vectors: field -> the vectors of its texts, a row a product.
    """

    products: pl.DataFrame
    fields: Mapping[str, FieldType]
    analyzer: str
    vectors: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        """Check what an engine would refuse, before anything is sent."""
        object.__setattr__(self, "products", check(self.products, "products", where="the catalogue"))
        if lacking := [name for name in self.fields if name not in self.products.columns]:
            raise DataError(f"the catalogue lacks the fields {lacking}", hint=f"it has {self.products.columns}")
        _check_ids(self.products["product_id"])
        for name, kind in self.fields.items():
            if kind == "number":
                _check_numbers(self.products, name)
        for name, rows in self.vectors.items():
            if vector_field(name) in self.fields:
                raise DataError(
                    f"field {vector_field(name)!r} of the catalogue has the name that the vectors of {name!r} get",
                    hint="rename it in [data.columns], or index without vectors",
                )
            if rows.ndim != 2 or len(rows) != self.products.height or not np.isfinite(rows).all():
                raise DataError(
                    f"the vectors of {name!r} are of shape {rows.shape}, for {self.products.height} products",
                    hint="give one row of finite numbers a product",
                )

    def __len__(self) -> int:
        """Return how many products there are."""
        return self.products.height

    def lines(self, start: int, stop: int) -> pl.Series:
        """The action and the document of each product in the range, two lines of NDJSON."""
        return self._lines(start, stop, self.vectors)

    def digest(self, *, shards: int, flavour: str) -> str:
        """SHA-256 of the content and of all that settles how it is indexed; 64 hexadecimal digits."""
        body = self.body(shards=shards, flavour=flavour)
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode())
        for start in range(0, len(self), _SLICE):
            for line in self._lines(start, start + _SLICE, {}):
                digest.update(line.encode())
        for name, rows in sorted(self.vectors.items()):
            digest.update(f"{name} {rows.shape}\n".encode())
            digest.update(np.ascontiguousarray(rows, dtype=np.float32).data)
        return digest.hexdigest()

    def body(self, *, shards: int, flavour: str, meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What makes the index: while it is filled, it is neither refreshed nor replicated."""
        index: dict[str, Any] = {
            "number_of_shards": shards,
            "number_of_replicas": 0,
            "refresh_interval": "-1",
            "analysis": _ANALYSIS,
        }
        if flavour == "opensearch" and self._dimensions:
            index["knn"] = True
        properties = {name: self._mapped(kind, name, flavour) for name, kind in self.fields.items()}
        properties |= {vector_field(name): self._mapped("vector", vector_field(name), flavour) for name in self.vectors}
        noted = {"_meta": {"ltr": dict(meta)}} if meta else {}
        return {"settings": {"index": index}, "mappings": {"dynamic": False, **noted, "properties": properties}}

    @property
    def _dimensions(self) -> dict[str, int]:
        given = {name: self.products[name].drop_nulls() for name, kind in self.fields.items() if kind == "vector"}
        return {name: len(rows[0]) for name, rows in given.items() if len(rows)} | {
            vector_field(name): rows.shape[1] for name, rows in self.vectors.items()
        }

    def _mapped(self, kind: FieldType, name: str, flavour: str) -> dict[str, Any]:
        text = {"type": "text", "analyzer": self.analyzer}
        shingles, joined = ({"type": "text", "analyzer": each} for each in ("ltr_shingles", "ltr_joined"))
        if kind == "text":
            raw = {"type": "keyword", "normalizer": "lowercase", "ignore_above": _LONGEST_RAW}
            return text | {"fields": {"shingles": shingles, "joined": joined, "raw": raw}}
        if kind == "keyword":
            return {
                "type": "keyword",
                "ignore_above": _LONGEST_KEYWORD,
                "fields": {"text": text, "shingles": shingles},
            }
        if kind == "number":
            return {"type": "double", "fields": {"text": text}}
        if kind == "vector":
            return _vector(self._dimensions.get(name, 1), flavour)
        return {"type": {"boolean": "boolean", "time": "date"}[kind]}

    def _lines(self, start: int, stop: int, vectors: Mapping[str, NDArray[np.float32]]) -> pl.Series:
        part = self.products[start:stop]
        parts = [_fragment(name, kind) for name, kind in self.fields.items()]
        for name, rows in vectors.items():
            cut = np.ascontiguousarray(rows[start:stop], dtype=np.float32)
            part = part.with_columns(pl.Series(vector_field(name), cut))
            parts.append(pl.when(pl.Series(cut.any(axis=1))).then(_json(vector_field(name))))
        document = pl.concat_str(parts, separator=",", ignore_nulls=True) if parts else pl.lit("")
        action = pl.struct(pl.col("product_id").alias("_id")).struct.json_encode()
        return part.select(pl.concat_str(pl.lit('{"index":'), action, pl.lit("}\n{"), document, pl.lit("}\n")))[
            "literal"
        ]


def vector_field(field: str) -> str:
    """The engine's field that holds the vectors of a catalogue field."""
    return f"{field}_vector"


def _fragment(name: str, kind: FieldType) -> pl.Expr:
    """The member of a document that holds a field, null where that is missing."""
    if kind == "time":
        return _json(name, pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    if kind == "vector":
        return pl.when(pl.col(name).list.eval(pl.element() != 0).list.any()).then(_json(name))
    if kind != "number":
        return pl.when(pl.col(name).is_not_null()).then(_json(name))
    number = pl.col(name).cast(pl.Float64)
    whole = (number == number.floor()) & (number.abs() < _WHOLE)
    written = pl.when(whole).then(number.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(number.cast(pl.String))
    # A null makes the whole concatenation null.
    return pl.concat_str(pl.lit(f"{json.dumps(name, ensure_ascii=False)}:"), written)


def _json(name: str, value: pl.Expr | None = None) -> pl.Expr:
    """A column as a member of a JSON object, as polars writes it: 32-bit floats in their few digits."""
    value = pl.col(name) if value is None else value
    member = pl.struct(value.alias(name)).struct.json_encode().str.strip_prefix("{").str.strip_suffix("}")
    return pl.when(value.is_not_null()).then(member)


def _vector(dimension: int, flavour: str) -> dict[str, Any]:
    if flavour == "opensearch":
        method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
        return {"type": "knn_vector", "dimension": dimension, "method": method}
    return {"type": "dense_vector", "dims": dimension, "similarity": "cosine"}


def _check_ids(ids: pl.Series) -> None:
    bad = ids.filter((ids.str.len_bytes() > _LONGEST_ID) | (ids == ""))
    if len(bad):
        raise DataError(
            f"product_id {bad[0][:60]!r} is of {len(bad[0].encode())} bytes; {len(bad)} such",
            hint=f"engines take 1 to {_LONGEST_ID}",
        )


def _check_numbers(products: pl.DataFrame, name: str) -> None:
    try:
        numbers = products[name].cast(pl.Float64)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"field {name!r} is {products.schema[name]}, not a number") from error
    bad = products["product_id"].filter(~numbers.is_finite().fill_null(True))
    if len(bad):
        raise DataError(
            f"field {name!r} of product {bad[0]!r} is not finite; {len(bad)} such",
            hint="leave it empty where it is not known",
        )
