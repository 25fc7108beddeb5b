"""Judged pairs with features already made, from SVMlight files and LightGBM's files beside them.

    rank.train              grade feature:value ..., perhaps with qid and, after #, the product
    rank.train.query        the number of rows of each query in turn: needed where there is no qid
    rank.train.position     the position at which each row was shown, where that is known

A product is named by the first word after # (``# 7555 rambo``) or by LETOR's ``#docid = GX000-01``; without either, by the
line it stands on.

As a source of experiments each row is a product of its own, whose numbers are the features, and the file's order (by the
positions, where they are known) is the order to be beaten. ``[data] judgments`` is the file to fit on, ``test`` the file of the
test side and ``dev`` that of the dev side, for ``[split] by = "given"``; no feature set needs to be named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from ltr.datasets import Dataset, FieldType
from ltr.errors import ConfigError, DataError
from ltr.frames import check
from ltr.letor import Letor, read_letor, read_positions, read_sizes

if TYPE_CHECKING:
    from ltr.config import DataConfig

__all__ = ["dataset_of", "load", "read_pairs"]

_GREATEST_GRADE = 30


def load(config: DataConfig, *, base: Path, quiet: bool = False) -> Dataset:
    """Load the files that [data] names under judgments, dev and test; DataError or ConfigError where one is wrong."""
    if config.judgments is None:
        raise ConfigError('[data] source = "svmlight" needs judgments', hint='such as judgments = "rank.train"')
    folder = _folder(config.path, base)
    files = {"train": config.judgments, "dev": config.dev, "test": config.test}
    return dataset_of({side: folder / file for side, file in files.items() if file}, first=config.first_feature)


def _folder(path: str | None, base: Path) -> Path:
    """Where the files lie: in ``path`` from experiment.toml's directory, else from $LTR_DATA_HOME."""
    folder = base / (path or "")
    home = os.environ.get("LTR_DATA_HOME")
    if not folder.is_dir() and path and home and (Path(home).expanduser() / path).is_dir():
        return Path(home).expanduser() / path
    if not folder.is_dir():
        raise ConfigError(
            f"[data] path = {path!r} is no directory beside {base}, and LTR_DATA_HOME ({home or 'not set'}) has none",
            hint="put the files into one of them",
        )
    return folder


def dataset_of(files: Mapping[str, Path], *, first: Literal[0, 1] = 1, features: int | None = None) -> Dataset:
    """A dataset of SVMlight files: side (train, dev, test) -> file.

    Args:
        files: the queries' column ``split`` names the side; ids are prefixed by it, since files count from 1 each.
        first: the number of the first feature, 0 or 1.
        features: how many there are; None = up to the greatest number in any of the files.
    """
    sides = {side: read_pairs(path, first=first, features=features) for side, path in files.items()}
    for side, path in files.items():
        greatest = sides[side]["grade"].to_numpy().max(initial=0)
        if greatest > _GREATEST_GRADE:
            raise DataError(f"{path}: grade {greatest:g}", hint=f"grades are whole numbers from 0 to {_GREATEST_GRADE}")
    rows = pl.concat([_prefixed(frame, side) for side, frame in sides.items()], how="diagonal")
    names = sorted(
        (name for name in rows.columns if name[0] == "f" and name[1:].isdigit()), key=lambda name: int(name[1:])
    )
    # What one file never names is 0 in all its rows: sparse, not missing.
    products = rows.select(
        "product_id", "title", *(pl.col(name).fill_null(0).cast(pl.Float64).fill_nan(None) for name in names)
    )
    queries = rows.select("query_id", query="query_id", split="side").unique("query_id", maintain_order=True)
    fields: dict[str, FieldType] = {"title": "text"}
    for name in names:
        fields[name] = "number"
    return Dataset(
        name="svmlight",
        products=products,
        queries=queries,
        judgments=rows.select("query_id", "product_id", "grade", "weight"),
        fields=fields,
        title="title",
        text_fields={"title": 1.0},
        scale=f"0-{max(1, int(rows['grade'].to_numpy().max(initial=0)))}",
        gains="exponential",
        feature_table=_feature_table(names),
        notes=(
            f"{len(names)} features and {rows.height:,} rows of {', '.join(path.name for path in files.values())}.",
        ),
    )


def _feature_table(names: list[str]) -> dict[str, Any]:
    return {"name": "svmlight", "feature": [{"name": name, "kind": "number", "field": name} for name in names]}


def _prefixed(pairs: pl.DataFrame, side: str) -> pl.DataFrame:
    """Rows in the order they were shown, with ids that no other file has; the title matches no query."""
    if "position" in pairs.columns:
        pairs = pairs.sort("query_id", "position", maintain_order=True).drop("position")
    query_id = pl.format("{} {}", pl.lit(side), "query_id")
    return pairs.with_columns(
        query_id=query_id,
        product_id=pl.format("{} / {}", query_id, "product_id"),
        side=pl.lit(side),
        title=pl.format("row{}", pl.int_range(pl.len())),
    )


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
