"""What travels between rooms: polars frames with a declared schema.

``check`` stands at every door. It refuses a frame that breaks its law and returns it with the declared types, so that
a room may rely on them; columns beyond the schema (the catalogue's own fields, features) are kept. ``groups`` is the only
source of query groups: a caller's count is never trusted.

>>> import polars as pl
>>> judgments = pl.DataFrame({"query_id": ["q1"], "product_id": ["p1"], "grade": [2], "weight": [1]})
>>> check(judgments, "judgments").schema["grade"]
Float32
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError, JudgmentError

__all__ = ["SCHEMAS", "Groups", "Schema", "check", "groups", "ranked"]


@dataclass(frozen=True)
class Schema:
    """Required and optional columns with their types, the columns that are unique together, and what may be null."""

    required: dict[str, pl.DataType | type[pl.DataType]]
    optional: dict[str, pl.DataType | type[pl.DataType]]
    unique: tuple[str, ...]
    nullable: frozenset[str] = frozenset()


_UTC: Final = pl.Datetime("us", "UTC")

SCHEMAS: Final[dict[str, Schema]] = {
    "products": Schema({"product_id": pl.String}, {}, ("product_id",)),
    "queries": Schema({"query_id": pl.String, "query": pl.String}, {}, ("query_id",)),
    "impressions": Schema(
        {
            "search_id": pl.String,
            "query_id": pl.String,
            "query": pl.String,
            "product_id": pl.String,
            "position": pl.UInt16,
            "shown_at": _UTC,
            "clicked": pl.Boolean,
            "add_to_cart": pl.Boolean,
            "purchase": pl.Boolean,
        },
        {
            "session_id": pl.String,
            "user_id": pl.String,
            "device": pl.String,
            "variant": pl.String,
            "team": pl.String,
            "clicked_at": _UTC,
            "dwell_s": pl.Float32,
            "revenue": pl.Float64,
            "propensity": pl.Float32,
        },
        ("search_id", "product_id"),
    ),
    "judgments": Schema(
        {"query_id": pl.String, "product_id": pl.String, "grade": pl.Float32, "weight": pl.Float32},
        {},
        ("query_id", "product_id"),
    ),
    "run": Schema(
        {"query_id": pl.String, "product_id": pl.String, "rank": pl.UInt32, "score": pl.Float32},
        {},
        ("query_id", "product_id"),
    ),
    "pairs": Schema(
        {"query_id": pl.String, "product_id": pl.String, "grade": pl.Float32, "weight": pl.Float32},
        {"search_id": pl.String, "as_of": _UTC, "position": pl.UInt16, "propensity": pl.Float32},
        (),
        nullable=frozenset({"grade"}),
    ),
}


@dataclass(frozen=True)
class Groups:
    """Contiguous groups of rows: rows offsets[i] to offsets[i + 1] are the list of keys[i]."""

    keys: tuple[str, ...]
    offsets: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each group."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        """Return how many groups there are."""
        return len(self.keys)


def check(frame: pl.DataFrame, name: str, *, where: str = "") -> pl.DataFrame:
    """Return the frame under the declared types, or raise DataError (JudgmentError for judgments).

    Args:
        frame: what came in.
        name: a key of SCHEMAS.
        where: the file or room that the frame comes from, for the message.
    """
    schema = SCHEMAS[name]
    fault = JudgmentError if name == "judgments" else DataError
    origin = where or f"the {name} frame"
    missing = [column for column in schema.required if column not in frame.columns]
    if missing:
        raise fault(f"{origin} lacks {missing}", hint=f"it has {frame.columns}; {name} need {list(schema.required)}")
    frame = _typed(frame, schema, fault, origin)
    _check_rows(frame, schema, fault, origin)
    if name == "judgments" and not frame["grade"].is_finite().all():
        raise fault(f"{origin}: a grade is NaN or infinite", hint="grades are finite numbers on the named scale")
    if name == "run":
        _check_ranks(frame, origin)
    if name == "pairs":
        groups(frame)
    return frame


def groups(frame: pl.DataFrame) -> Groups:
    """Contiguous runs of search_id where the frame has one (and it is not null), else of query_id.

    Raises DataError when one group's rows do not stand together: sorting by group is the caller's part.
    """
    column = (
        "search_id" if "search_id" in frame.columns and frame["search_id"].null_count() < frame.height else "query_id"
    )
    runs = frame[column].rle()
    keys = runs.struct.field("value").to_list()
    if len(set(keys)) != len(keys):
        raise DataError(f"rows of one {column} do not stand together", hint=f"sort the frame by {column} first")
    offsets = np.zeros(len(keys) + 1, dtype=np.int64)
    np.cumsum(runs.struct.field("len").to_numpy(), out=offsets[1:])
    return Groups(tuple(keys), offsets)


def ranked(scored: pl.DataFrame) -> pl.DataFrame:
    """A run from query_id, product_id and score: best first, ties in the order received, NaN last.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"query_id": ["q", "q", "q"], "product_id": ["a", "b", "c"], "score": [1.0, 2.0, 1.0]})
    >>> ranked(frame)["product_id"].to_list()
    ['b', 'a', 'c']
    """
    ordered = (
        scored.with_columns(pl.col("score").cast(pl.Float32).fill_nan(None))
        .sort("query_id", "score", descending=[False, True], nulls_last=True, maintain_order=True)
        .with_columns(
            pl.col("score").fill_null(float("-inf")),
            rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("query_id"),
        )
    )
    first = ["query_id", "product_id", "rank", "score"]
    return check(ordered.select(*first, *[column for column in ordered.columns if column not in first]), "run")


def _typed(frame: pl.DataFrame, schema: Schema, fault: type[DataError], origin: str) -> pl.DataFrame:
    for column, dtype in (schema.required | schema.optional).items():
        if column in frame.columns and frame.schema[column] != dtype:
            try:
                frame = frame.with_columns(pl.col(column).cast(dtype))
            except pl.exceptions.PolarsError as error:
                raise fault(f"{origin}: column {column!r} is {frame.schema[column]}, not {dtype}") from error
    return frame


def _check_rows(frame: pl.DataFrame, schema: Schema, fault: type[DataError], origin: str) -> None:
    for column in schema.required:
        if column not in schema.nullable and (empty := frame[column].null_count()):
            raise fault(f"{origin}: column {column!r} is empty in {empty} rows", hint="fill or remove them")
    if schema.unique and (twice := _first_duplicate(frame, schema.unique)):
        raise fault(f"{origin}: {twice} occurs more than once", hint=f"{' and '.join(schema.unique)} must be unique")


def _first_duplicate(frame: pl.DataFrame, columns: tuple[str, ...]) -> str:
    # Equal rows hash equally, so as many hashes as rows prove that none is there twice, in a fraction of the time.
    if frame.select(pl.struct(columns).hash().n_unique()).item() == frame.height:
        return ""
    duplicated = frame.select(columns).is_duplicated()
    if not duplicated.any():
        return ""
    row = frame.select(columns).filter(duplicated).row(0)
    return "(" + ", ".join(f"{column} {value!r}" for column, value in zip(columns, row, strict=True)) + ")"


def _check_ranks(frame: pl.DataFrame, origin: str) -> None:
    grouped = groups(frame)
    expected = np.arange(frame.height) - np.repeat(grouped.offsets[:-1], grouped.sizes) + 1
    if not np.array_equal(frame["rank"].to_numpy(), expected):
        raise DataError(
            f"{origin}: ranks are not 1..n in each query", hint="sort by query_id and rank; see frames.ranked"
        )
