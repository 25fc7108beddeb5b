"""SVMlight files as learning to rank uses them (SVMrank, LETOR, RankLib), and LightGBM's files beside them.

    4 qid:1 1:9.83 2:12.31 # 7555 rambo        grade, query, feature:value ..., and what it is about after #

One line a query–product pair, plain or gzip (``.gz``). The lines of one qid stand together; the numbers of features
rise along a line, and one that is not there is 0: a sparse zero, not a missing value, which is written ``nan``.
Features are numbered from 1, as the format's authors do (Joachims, KDD 2002), or from 0, as XGBoost's and Metarank's
exports do. A file without qid has LightGBM's ``.query`` beside it, the number of rows of each query in turn, and perhaps
``.position``, the position at which each row was shown.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "pairs.txt"
>>> _ = path.write_text("4 qid:1 1:9.5 3:12 # 7555 rambo\\n0 qid:1 2:1\\n")
>>> read_letor(path).matrix.tolist()
[[9.5, 0.0, 12.0], [0.0, 1.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, DataError, JudgmentError
from ltr.frames import check, groups
from ltr.lines import decode, read_bytes, write_bytes

__all__ = [
    "Letor",
    "read_letor",
    "read_positions",
    "read_sizes",
    "write_letor",
    "write_positions",
    "write_sizes",
]

# Lines parsed at a time: a list of MSLR-WEB (136 features) then takes some 300 MB of strings.
_CHUNK: Final = 1 << 14
# The matrix is dense; a number beyond this is a fault of the file, or data (words as features) that no forest reads well.
_WIDEST: Final = 1 << 16


@dataclass(frozen=True)
class Letor:
    """What a file says, a row a line that is not blank.

    Args:
        grades: float32[n].
        query_ids: the qid of each row, None where the file has none.
        matrix: float32[n, F]; column j is feature j + first.
        comments: what stands after #, stripped; "" where nothing does.
        lines: int64[n], the line of each row in the file.
        first: the number of the first feature, 0 or 1.
    """

    grades: NDArray[np.float32]
    query_ids: pl.Series | None
    matrix: NDArray[np.float32]
    comments: pl.Series
    lines: NDArray[np.int64]
    first: int

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns by the file's own numbers: f1, f2 … (f0 … where they count from 0)."""
        return tuple(f"f{number}" for number in range(self.first, self.first + self.matrix.shape[1]))


def read_letor(path: Path, *, first: Literal[0, 1] = 1, features: int | None = None) -> Letor:
    """Read a file; every fault names its line.

    Args:
        path: the file.
        first: the number of the first feature.
        features: how many there are; None = up to the greatest number in this file, which another file of the same data
            may not reach.
    """
    if first not in (0, 1):
        raise ConfigError(f"first = {first!r}", hint="features are numbered from 0 or from 1")
    last = _WIDEST if features is None else first + features - 1
    lines = decode(read_bytes(path), path).split("\n")
    parts = [
        _parsed(lines[start : start + _CHUNK], start + 1, path, first=first, last=last)
        for start in range(0, len(lines), _CHUNK)
    ]
    heads, cells = (pl.concat(each) for each in zip(*parts, strict=True))
    if not heads.height:
        raise DataError(f"{path} holds no pair", hint="a line is: grade qid:QUERY feature:value ... # product_id")
    _check_queries(heads, path)
    greatest = cells["number"].to_numpy().max(initial=first - 1)
    width = features if features is not None else int(greatest) - first + 1
    matrix = np.zeros((heads.height, width), dtype=np.float32)
    row_lines = heads["line"].to_numpy()
    matrix[np.searchsorted(row_lines, cells["line"].to_numpy()), cells["number"].to_numpy() - first] = cells["value"]
    return Letor(
        grades=heads["grade"].to_numpy(),
        query_ids=heads["query_id"] if heads["query_id"].null_count() == 0 else None,
        matrix=matrix,
        comments=heads["comment"],
        lines=row_lines,
        first=first,
    )


def write_letor(pairs: pl.DataFrame, path: Path, *, features: Sequence[str], first: Literal[0, 1] = 1) -> None:
    """Write judged pairs, a group after the other, features numbered in the order named; zeros are left out.

    The qid is the group's key where all keys are whole numbers, as SVMrank, RankLib and XGBoost need them; else groups
    are numbered from 1. What stands after # is the product and, where it was numbered, the group's key.
    """
    if first not in (0, 1):
        raise ConfigError(f"first = {first!r}", hint="features are numbered from 0 or from 1")
    pairs = check(pairs, "pairs")
    _check_writable(pairs, features)
    grouped = groups(pairs)
    if broken := [key for key in grouped.keys if "\n" in key or "\r" in key]:
        raise DataError(f"query_id {broken[0]!r} holds a line break", hint="give the query another id")
    whole = all(key.isascii() and key.isdigit() for key in grouped.keys)
    qids = grouped.keys if whole else tuple(str(number) for number in range(1, len(grouped) + 1))
    comments = [""] * len(grouped) if whole else [f" {key}" for key in grouped.keys]
    matrix = pairs.select(features).to_numpy().astype(np.float32, copy=False)
    row, column = np.nonzero(matrix)
    tokens = (
        pl.DataFrame({"row": row, "number": column + first, "value": matrix[row, column]})
        .select("row", token=pl.format("{}:{}", pl.col("number"), _number(pl.col("value"))))
        .group_by("row", maintain_order=True)
        .agg(pl.col("token").str.join(" "))
    )
    frame = pl.DataFrame(
        {
            "row": np.arange(pairs.height),
            "grade": pairs["grade"],
            "qid": np.repeat(np.array(qids, dtype=object), grouped.sizes).tolist(),
            "product_id": pairs["product_id"],
            "comment": np.repeat(np.array(comments, dtype=object), grouped.sizes).tolist(),
        }
    ).join(tokens, on="row", how="left", maintain_order="left")
    values = pl.when(pl.col("token").is_null()).then(pl.lit("")).otherwise(pl.lit(" ") + pl.col("token"))
    line = pl.format("{} qid:{}{} # {}{}", _number(pl.col("grade")), "qid", values, "product_id", "comment")
    write_bytes(("\n".join(frame.select(line).to_series()) + "\n").encode(), path)


def read_sizes(path: Path) -> NDArray[np.int64]:
    """LightGBM's ``.query``: how many rows each query has, in the order of the rows."""
    return _integers(path, least=1, noun="a number of rows from 1")


def write_sizes(sizes: NDArray[np.int64], path: Path) -> None:
    """Write ``.query``, such as ``frames.groups(pairs).sizes``."""
    write_bytes(("".join(f"{size}\n" for size in sizes.tolist())).encode(), path)


def read_positions(path: Path) -> NDArray[np.int64]:
    """LightGBM's ``.position``: the position at which each row was shown, counted as the file counts."""
    return _integers(path, least=0, noun="a position from 0")


def write_positions(positions: NDArray[np.int64], path: Path) -> None:
    """Write ``.position``, such as ``pairs["position"].to_numpy()``."""
    write_bytes(("".join(f"{position}\n" for position in positions.tolist())).encode(), path)


def _parsed(lines: list[str], start: int, path: Path, *, first: int, last: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows (line, grade, query_id, comment) and their cells (line, number, value), checked."""
    text = pl.Series("text", lines, dtype=pl.String).str.replace_all("[\t\r\v\f]", " ").str.splitn("#", 2).struct
    heads = (
        pl.DataFrame(
            {"said": text.field("field_0").str.strip_chars(" "), "comment": text.field("field_1").fill_null("")}
        )
        .with_row_index("line", offset=start)
        .filter(pl.col("said") != "")
        .with_columns(pl.col("comment").str.strip_chars(" "), pl.col("said").str.splitn(" ", 2).alias("said"))
        .select(
            pl.col("line").cast(pl.Int64),
            "comment",
            pl.col("said").struct.field("field_0").alias("label"),
            pl.col("said").struct.field("field_1").fill_null("").str.strip_chars_start(" ").alias("rest"),
        )
    )
    named = pl.col("rest").str.starts_with("qid:")
    after = pl.col("rest").str.splitn(" ", 2).struct
    heads = heads.with_columns(
        pl.col("label").cast(pl.Float32, strict=False).alias("grade"),
        pl.when(named).then(after.field("field_0").str.strip_prefix("qid:")).alias("query_id"),
        pl.when(named).then(after.field("field_1").fill_null("")).otherwise("rest").alias("rest"),
    )
    if found := _first(heads, ~pl.col("grade").is_finite().fill_null(False)):
        raise JudgmentError(
            f"{path} line {found['line']}: grade {found['label']!r} is not a finite number",
            hint="a line is: grade qid:QUERY feature:value ... # product_id",
        )
    cells = _cells(heads, path, first=first, last=last)
    return heads.select("line", "grade", "query_id", "comment"), cells


def _cells(heads: pl.DataFrame, path: Path, *, first: int, last: int) -> pl.DataFrame:
    """line, number and value of each feature:value."""
    tokens = (
        heads.select("line", token=pl.col("rest").str.split(" "))
        .explode("token")
        .filter(pl.col("token") != "")
        .with_columns(pl.col("token").str.splitn(":", 2).alias("pair"))
    )
    pair = pl.col("pair").struct
    cells = tokens.with_columns(
        pair.field("field_0").cast(pl.Int32, strict=False).alias("number"),
        pair.field("field_1").cast(pl.Float32, strict=False).alias("value"),
    )
    fault = pl.col("number").is_null() | pl.col("value").is_null() | pl.col("value").is_infinite()
    if found := _first(cells, fault):
        raise DataError(
            f"{path} line {found['line']}: {found['token']!r} is not feature:value, a whole number and a finite one",
            hint="write 3:0.25, or 3:nan for a value that is missing; qid stands second",
        )
    if found := _first(cells, ~pl.col("number").is_between(first, last)):
        raise DataError(
            f"{path} line {found['line']}: feature {found['number']} is not one of {first} to {last}",
            hint="features are numbered from 1, or from 0 where that is said (first=0)",
        )
    same = pl.col("line") == pl.col("line").shift(1)
    if found := _first(cells, (same & (pl.col("number") <= pl.col("number").shift(1))).fill_null(False)):
        raise DataError(
            f"{path} line {found['line']}: feature {found['number']} stands after one that is not below it",
            hint="numbers of features rise along a line, and none stands twice",
        )
    return cells.select("line", "number", "value")


def _check_queries(heads: pl.DataFrame, path: Path) -> None:
    """All rows name their query or none does, and those of one query stand together."""
    named = heads["query_id"]
    if named.null_count() == heads.height:
        return
    if found := _first(heads, pl.col("query_id").is_null() | (pl.col("query_id") == "")):
        raise DataError(
            f"{path} line {found['line']} has no qid, which other lines have", hint="write grade qid:QUERY ..."
        )
    starts = heads.filter(pl.col("query_id") != pl.col("query_id").shift(1, fill_value="")).select("line", "query_id")
    again = starts.filter(pl.col("query_id").is_duplicated() & ~pl.col("query_id").is_first_distinct())
    if again.height:
        raise DataError(
            f"{path} line {again['line'][0]}: qid {again['query_id'][0]!r} was there before, and others stand between",
            hint="sort the lines by qid",
        )


def _check_writable(pairs: pl.DataFrame, features: Sequence[str]) -> None:
    if missing := [name for name in features if name not in pairs.columns]:
        raise DataError(f"the pairs lack the features {missing}", hint="name columns of the frame")
    if unjudged := pairs["grade"].null_count() + pairs["grade"].is_nan().sum():
        raise JudgmentError(f"{unjudged} of {pairs.height} pairs have no grade", hint="leave unjudged pairs out")
    for name in features:
        if pairs[name].is_null().any() or pairs[name].is_infinite().any():
            raise DataError(f"feature {name!r} is null or infinite", hint="a missing value is NaN")
    wrong = pairs.filter(pl.col("product_id").str.contains(r"\s|^$"))
    if wrong.height:
        raise DataError(
            f"product_id {wrong['product_id'][0]!r} is empty or holds a blank", hint="SVMlight has no place for it"
        )


def _number(value: pl.Expr) -> pl.Expr:
    """The shortest digits that read back as the same float32, without a needless '.0'; NaN as LightGBM reads it."""
    return value.cast(pl.Float32).cast(pl.String).str.strip_suffix(".0").str.replace("NaN", "nan", literal=True)


def _integers(path: Path, *, least: int, noun: str) -> NDArray[np.int64]:
    lines = pl.DataFrame(
        {"said": pl.Series(decode(read_bytes(path), path).split("\n"), dtype=pl.String).str.strip_chars()}
    )
    lines = lines.with_row_index("line", offset=1).filter(pl.col("said") != "")
    lines = lines.with_columns(pl.col("said").cast(pl.Int64, strict=False).alias("number"))
    if found := _first(lines, ~(pl.col("number") >= least).fill_null(False)):
        raise DataError(f"{path} line {found['line']}: {found['said']!r} is not {noun}", hint="write one a line")
    return lines["number"].to_numpy()


def _first(frame: pl.DataFrame, where: pl.Expr) -> dict[str, object] | None:
    found = frame.filter(where).head(1)
    return found.row(0, named=True) if found.height else None
