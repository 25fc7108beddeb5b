"""TREC's files: qrels (judgments), runs and topics, as trec_eval and ir-measures read them; plain or gzip (``.gz``).

    qrels    query_id iteration product_id grade              grade a whole number; iteration is passed over
    run      query_id Q0 product_id rank score tag            Q0 and tag are passed over
    topics   query_id<TAB>query, or <top> <num> <title>       blanks inside the query are kept

Columns stand apart by blanks or tabs, so an id holds none. Blank lines are passed over; every fault names its line.

The order of a run is the one that trec_eval gives it: by score as float32, highest first, ties by product id, the
greater bytes first. It never reads the rank column, and where ranks and scores disagree neither does ``read_run``, unless
``order="ranks"`` asks for them. In turn a run whose ties were broken by another rule keeps its order under trec_eval only
if it is written with ``scores="ranks"``.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "bm25.run"
>>> _ = path.write_text("q1 Q0 a 1 0.5 bm25\\nq1 Q0 b 2 0.5 bm25\\nq1 Q0 c 3 0.9 bm25\\n")
>>> read_run(path)["product_id"].to_list(), read_run(path, order="ranks")["product_id"].to_list()
(['c', 'b', 'a'], ['a', 'b', 'c'])
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final, Literal

import polars as pl

from ltr.errors import CandidateError, ConfigError, DataError, JudgmentError, suggestion
from ltr.frames import check
from ltr.lines import decode, read_bytes, write_bytes

__all__ = ["read_qrels", "read_run", "read_topics", "write_qrels", "write_run", "write_topics"]

_QRELS: Final = ("query_id", "iteration", "product_id", "grade")
_RUN: Final = ("query_id", "Q0", "product_id", "rank", "score", "tag")
_PAIR: Final = ("query_id", "product_id")
# Whole numbers that Float32 holds exactly.
_EXACT: Final = 2**24
# What Python's split and C's isspace take for a blank: an id with one of these would read as two columns somewhere.
_BLANK: Final = r"[\s\x00-\x1f\x7f]"
_TOP: Final = re.compile(r"<top>(.*?)(?:</top>|(?=<top>)|\Z)", re.DOTALL)
_NUM: Final = re.compile(r"<num>\s*(?:Number:)?\s*([^\s<]+)")
_TITLE: Final = re.compile(r"<title>\s*(?:Topic:)?\s*([^<]*)")


def read_qrels(path: Path, *, negative: Literal["keep", "unjudged", "zero"] = "keep") -> pl.DataFrame:
    """Judgments from qrels, in the file's order, each with weight 1.

    Args:
        path: the file.
        negative: what becomes of grades below 0, which some tracks give to what was not judged (−1) or is junk (−2).
            trec_eval counts them as not relevant, and for bpref as not judged; "keep" keeps them as they are (no scale
            has them), "unjudged" leaves the lines out, which gives trec_eval's values, "zero" makes them grade 0.
    """
    _one_of(negative, ("keep", "unjudged", "zero"), "negative")
    frame = _cells(path, _QRELS, JudgmentError)
    frame = frame.with_columns(pl.col("grade").cast(pl.Int64, strict=False).alias("whole"))
    if found := _first(frame, ~pl.col("whole").is_between(-_EXACT, _EXACT).fill_null(False)):
        raise JudgmentError(
            f"{path} line {found['line']}: grade {found['grade']!r} is not a whole number",
            hint="qrels hold whole grades; a tool that reads 0.7 as 0 would change them silently",
        )
    _unique(frame, _PAIR, "is judged twice", path, JudgmentError)
    if negative == "unjudged":
        frame = frame.filter(pl.col("whole") >= 0)
    elif negative == "zero":
        frame = frame.with_columns(pl.col("whole").clip(lower_bound=0))
    weight = pl.lit(1.0, dtype=pl.Float32).alias("weight")
    return check(frame.select(*_PAIR, pl.col("whole").alias("grade"), weight), "judgments", where=str(path))


def write_qrels(judgments: pl.DataFrame, path: Path) -> None:
    """Write judgments as qrels, in the order given. Weights have no place in them and are left out."""
    judgments = check(judgments, "judgments")
    _check_ids(judgments, _PAIR, path)
    off = judgments.filter((pl.col("grade") != pl.col("grade").round()) | (pl.col("grade").abs() > _EXACT))
    if off.height:
        query_id, product_id, grade = off.select(*_PAIR, "grade").row(0)
        raise JudgmentError(
            f"grade {grade:g} of product {product_id!r} for query {query_id!r} is not a whole number; qrels hold no other",
            hint="put the grades on a scale of whole numbers first",
        )
    iteration = pl.lit("0").alias("iteration")
    _write(judgments.select("query_id", iteration, "product_id", pl.col("grade").cast(pl.Int64)), path, separator=" ")


def read_run(path: Path, *, order: Literal["scores", "ranks"] = "scores") -> pl.DataFrame:
    """A run, sorted by query_id, with ranks 1..n in each query.

    Args:
        path: the file; its lines may stand in any order.
        order: "scores" as trec_eval orders, see above; "ranks" by the file's rank column, whose numbers must differ.
    """
    _one_of(order, ("scores", "ranks"), "order")
    frame = _cells(path, _RUN, CandidateError)
    number = pl.col("score").cast(pl.Float32, strict=False).alias("number")
    place = pl.col("rank").cast(pl.UInt32, strict=False).alias("place")
    frame = frame.with_columns(number, place)
    if found := _first(frame, ~pl.col("number").is_finite().fill_null(False)):
        raise CandidateError(
            f"{path} line {found['line']}: score {found['score']!r} is not a finite number (of float32)",
            hint="write the score that ranked the product",
        )
    if found := _first(frame, pl.col("place").is_null()):
        raise CandidateError(
            f"{path} line {found['line']}: rank {found['rank']!r} is not a whole number from 0",
            hint="columns are: query_id Q0 product_id rank score tag",
        )
    _unique(frame, _PAIR, "is ranked twice", path, CandidateError)
    if order == "ranks":
        _unique(frame, ("query_id", "place"), "holds two products", path, CandidateError)
        by, descending = ["query_id", "place"], [False, False]
    else:
        # −0 and 0 are one score.
        frame = frame.with_columns(pl.col("number") + 0.0)
        by, descending = ["query_id", "number", "product_id"], [False, True, True]
    frame = frame.select(*_PAIR, "place", "number").sort(by, descending=descending)
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("query_id").alias("rank")
    return check(frame.select(*_PAIR, rank, pl.col("number").alias("score")), "run", where=str(path))


def write_run(run: pl.DataFrame, path: Path, *, tag: str = "ltr", scores: Literal["own", "ranks"] = "own") -> None:
    """Write a run, as it is ranked.

    Args:
        run: see frames; columns beyond the schema are left out.
        path: the file.
        tag: names the run, without blanks.
        scores: "own" writes the scores, and trec_eval will break their ties by its own rule; "ranks" writes −rank as
            the score, so that every tool keeps this order.
    """
    _one_of(scores, ("own", "ranks"), "scores")
    run = check(run, "run")
    _check_ids(run.select(*_PAIR), _PAIR, path)
    _check_ids(pl.DataFrame({"tag": [tag]}), ("tag",), path)
    if scores == "own" and not run["score"].is_finite().all():
        raise CandidateError(
            "a score of the run is not finite: its product was ranked last for want of one",
            hint='write it with scores="ranks"',
        )
    score = pl.col("score") if scores == "own" else -pl.col("rank").cast(pl.Int64)
    columns = (
        "query_id",
        pl.lit("Q0").alias("Q0"),
        "product_id",
        "rank",
        score.alias("score"),
        pl.lit(tag).alias("tag"),
    )
    _write(run.select(columns), path, separator=" ")


def read_topics(path: Path) -> pl.DataFrame:
    """Queries from topics: a line each (id, tab, text), or TREC's ``<top>`` with ``<num>`` and ``<title>``."""
    text = decode(read_bytes(path), path)
    marked = text.lstrip().startswith("<top>")
    rows = _marked(text, path) if marked else _lines(text, path)
    if not rows:
        raise DataError(f"{path} holds no topic", hint="write query_id, a tab and the query on each line")
    frame = pl.DataFrame(rows, schema={"line": pl.Int64, "query_id": pl.String, "query": pl.String}, orient="row")
    _unique(frame, ("query_id",), "has two topics", path, DataError)
    return check(frame.select("query_id", "query"), "queries", where=str(path))


def write_topics(queries: pl.DataFrame, path: Path) -> None:
    """Write queries as topics, a line each: id, tab, text."""
    queries = check(queries, "queries")
    _check_ids(queries, ("query_id",), path)
    broken = queries.filter(pl.col("query").str.contains(r"[\t\n\r]") | (pl.col("query").str.strip_chars() == ""))
    if broken.height:
        raise DataError(
            f"query {broken['query'][0]!r} is empty or holds a tab or a line break; a topic is one line",
            hint="put a blank in its place",
        )
    _write(queries.select("query_id", "query"), path, separator="\t")


def _cells(path: Path, names: tuple[str, ...], fault: type[DataError | CandidateError]) -> pl.DataFrame:
    """The cells of each line that has some, as strings, and the ``line`` they stand on."""
    data = read_bytes(path)
    if b"\0" in data:
        raise DataError(f"{path} holds NUL characters, as UTF-16 does", hint="save it as UTF-8")
    # Each step is a scan in C, and most files need none of the copies.
    data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
    if any(blank in data for blank in (b"\t", b"\r", b"\v", b"\f")):
        data = data.translate(bytes.maketrans(b"\t\r\v\f", b"    "))
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    if b" \n" in data or b"\n " in data:
        data = data.replace(b" \n", b"\n").replace(b"\n ", b"\n")
    # The first line tells polars how many columns there are, so it must not be blank.
    body = data.strip(b" \n")
    if not body:
        raise fault(f"{path} has no line", hint=f"its columns are: {' '.join(names)}")
    above = data.count(b"\n", 0, len(data) - len(data.lstrip(b" \n")))
    try:
        frame = pl.read_csv(
            io.BytesIO(body),
            separator=" ",
            has_header=False,
            quote_char=None,
            schema=dict.fromkeys(names, pl.String),
            row_index_name="line",
            row_index_offset=above + 1,
        )
    except pl.exceptions.PolarsError as error:
        _check_columns(decode(data, path), names, path, fault)
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    frame = frame.filter(pl.col(names[0]).is_not_null())
    if frame[names[-1]].null_count():
        _check_columns(decode(data, path), names, path, fault)
    return frame


def _check_columns(text: str, names: tuple[str, ...], path: Path, fault: type[DataError | CandidateError]) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        cells = line.strip(" ").split(" ") if line.strip(" ") else names
        if len(cells) != len(names):
            raise fault(
                f"{path} line {number} has {len(cells)} columns, {line[:60]!r}, not {len(names)}",
                hint=f"the columns are: {' '.join(names)}",
            )


def _unique(
    frame: pl.DataFrame, columns: tuple[str, ...], said: str, path: Path, fault: type[DataError | CandidateError]
) -> None:
    """Refuse what stands on two lines. Equal cells hash equally, so as many hashes as lines prove that none does."""
    if frame.select(pl.struct(columns).hash().n_unique()).item() == frame.height:
        return
    twice = frame.filter(frame.select(columns).is_duplicated())
    if twice.height:
        one = twice.row(0, named=True)
        other = twice.filter(pl.all_horizontal(pl.col(name) == one[name] for name in columns)).row(1, named=True)
        named = ", ".join(f"{name} {one[name]!r}" for name in columns).replace("place", "rank")
        raise fault(f"{path} line {other['line']}: {named} {said}, first on line {one['line']}", hint="keep one line")


def _lines(text: str, path: Path) -> list[tuple[int, str, str]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            raise DataError(
                f"{path} line {number}: {line.strip()[:60]!r} is not a query_id, a tab and the query",
                hint="write one topic a line, or TREC's <top> with <num> and <title>",
            )
        rows.append((number, cells[0], cells[1]))
    return rows


def _marked(text: str, path: Path) -> list[tuple[int, str, str]]:
    rows = []
    for top in _TOP.finditer(text):
        line = text.count("\n", 0, top.start()) + 1
        number, title = _NUM.search(top[1]), _TITLE.search(top[1])
        query = " ".join(title[1].split()) if title else ""
        if not number or not query:
            raise DataError(f"{path} line {line}: a topic lacks its {'title' if number else 'number'}", hint="fill it")
        rows.append((line, number[1], query))
    return rows


def _check_ids(frame: pl.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    for name in columns:
        wrong = frame.filter(pl.col(name).str.contains(_BLANK) | (pl.col(name) == ""))
        if wrong.height:
            raise DataError(
                f"{name} {wrong[name][0]!r} cannot be written to {path}: TREC's columns stand apart by blanks",
                hint="give it an id without blanks",
            )


def _first(frame: pl.DataFrame, where: pl.Expr) -> dict[str, object] | None:
    found = frame.filter(where).head(1)
    return found.row(0, named=True) if found.height else None


def _one_of(given: str, allowed: tuple[str, ...], noun: str) -> None:
    if given not in allowed:
        raise ConfigError(f"{noun} {given!r} is unknown", hint=suggestion(given, allowed, noun=noun))


def _write(frame: pl.DataFrame, path: Path, *, separator: str) -> None:
    if path.suffix.lower() == ".gz":
        buffer = io.BytesIO()
        frame.write_csv(buffer, include_header=False, separator=separator, quote_style="never")
        write_bytes(buffer.getvalue(), path)
    else:
        with path.open("wb") as file:
            frame.write_csv(file, include_header=False, separator=separator, quote_style="never")
