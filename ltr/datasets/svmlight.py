"""Judged pairs with features already made, from an SVMlight file and LightGBM's files beside it.

    rank.train              grade feature:value ..., perhaps with qid and, after #, the product
    rank.train.query        the number of rows of each query in turn: needed where there is no qid
    rank.train.position     the position at which each row was shown, where that is known

A product is named by the first word after # (``# 7555 rambo``) or by LETOR's ``#docid = GX000-01``; without either, by the
line it stands on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from ltr.errors import DataError
from ltr.frames import check
from ltr.letor import Letor, read_letor, read_positions, read_sizes

__all__ = ["read_pairs"]


def read_pairs(path: Path, *, first: Literal[0, 1] = 1, features: int | None = None) -> pl.DataFrame:
    """A pairs frame: query_id, product_id, grade, weight 1, position where it is known, and a column a feature.

    Features are named by their numbers in the file, f1, f2 … Queries of a file without qid are named 1, 2 … Positions that
    the file counts from 0 are counted from 1, as ours are.

    Args:
        path: the SVMlight file, plain or ``.gz``; the files beside it are ``PATH.query`` and ``PATH.position``.
        first: the number of the first feature, 0 or 1.
        features: how many features there are; None = up to the greatest number in the file.
    """
    letor = read_letor(path, first=first, features=features)
    columns = {
        "query_id": _query_ids(letor, path),
        "product_id": _product_ids(letor),
        "grade": pl.Series(letor.grades),
        "weight": pl.Series(np.ones(len(letor.grades), dtype=np.float32)),
    }
    if (positions := _positions(letor, path)) is not None:
        columns["position"] = positions
    frame = pl.DataFrame(columns).hstack(pl.DataFrame(letor.matrix, schema=list(letor.features)))
    _check_products(frame, letor, path)
    return check(frame, "pairs", where=str(path))


def _query_ids(letor: Letor, path: Path) -> pl.Series:
    beside = _beside(path, ".query")
    if not beside.is_file():
        if letor.query_ids is None:
            raise DataError(
                f"{path} has no qid, and {beside} does not exist",
                hint="write grade qid:QUERY ..., or the number of rows of each query to the .query file",
            )
        return letor.query_ids
    sizes = read_sizes(beside)
    if sizes.sum() != len(letor.grades):
        raise DataError(
            f"{beside} counts {sizes.sum()} rows, and {path} has {len(letor.grades)}",
            hint="write the number of rows of each query, in the order of the file",
        )
    if letor.query_ids is None:
        return pl.Series(np.repeat(np.arange(1, len(sizes) + 1), sizes)).cast(pl.String)
    if not np.array_equal(letor.query_ids.rle().struct.field("len").to_numpy(), sizes):
        raise DataError(f"{beside} and the qid of {path} make different groups", hint="remove the one that is wrong")
    return letor.query_ids


def _product_ids(letor: Letor) -> pl.Series:
    named = letor.comments.str.extract(r"^(?:docid\s*=\s*)?(\S+)", 1)
    return named.fill_null(pl.Series(letor.lines).cast(pl.String))


def _positions(letor: Letor, path: Path) -> pl.Series | None:
    beside = _beside(path, ".position")
    if not beside.is_file():
        return None
    positions = read_positions(beside)
    if len(positions) != len(letor.grades):
        raise DataError(
            f"{beside} has {len(positions)} rows, and {path} has {len(letor.grades)}", hint="write one a row"
        )
    counted = positions + (1 if positions.min() == 0 else 0)
    if counted.max() > np.iinfo(np.uint16).max:
        raise DataError(f"{beside}: position {positions.max()} is beyond {np.iinfo(np.uint16).max}", hint="correct it")
    return pl.Series(counted).cast(pl.UInt16)


def _check_products(frame: pl.DataFrame, letor: Letor, path: Path) -> None:
    """A product is judged once for a query."""
    twice = np.flatnonzero(frame.select("query_id", "product_id").is_duplicated().to_numpy())
    if len(twice):
        query_id, product_id = frame.select("query_id", "product_id").row(int(twice[0]))
        other = next(
            row
            for row in twice[1:].tolist()
            if frame.select("query_id", "product_id").row(row) == (query_id, product_id)
        )
        raise DataError(
            f"{path} line {letor.lines[other]}: product {product_id!r} of query {query_id!r} was on line "
            f"{letor.lines[twice[0]]} already",
            hint="keep one line a pair",
        )


def _beside(path: Path, suffix: str) -> Path:
    """LightGBM names it after the data, rank.train.query; it is looked for without .gz too."""
    exact = path.with_name(path.name + suffix)
    return exact if exact.is_file() or path.suffix != ".gz" else path.with_name(path.name.removesuffix(".gz") + suffix)
