"""``ltr judgments convert IN -o OUT``: judgments between tables, Quepid's CSV and TREC qrels."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.text import Text

from ltr.cli.output import console, warn
from ltr.errors import ConfigError, DataError, JudgmentError

if TYPE_CHECKING:
    import polars as pl

    from ltr.measures import Scale

__all__ = ["convert", "read_table", "write_table"]

Format = Literal["table", "quepid", "trec"]

# What a name says of its format; another extension than these has to be told by --from or --to.
_TABLES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
_TREC: Final = (".qrels", ".qrel", ".trec", ".txt")


def convert(
    source: Annotated[
        Path, typer.Argument(help="CSV, TSV, Parquet, JSON Lines, Quepid's CSV, TREC qrels.", metavar="IN")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", metavar="OUT")],
    scale: Annotated[
        str | None,
        typer.Option(help="The scale of the grades, such as esci or 0-10; default: letters esci, else 0-30."),
    ] = None,
    topics: Annotated[
        Path | None, typer.Option(help="TREC topics: the queries' texts, read beside qrels or written beside them.")
    ] = None,
    read_as: Annotated[
        Literal["table", "trec"] | None, typer.Option("--from", help="Format of IN, where its name does not tell.")
    ] = None,
    write_as: Annotated[
        Format | None, typer.Option("--to", help="Format of OUT: quepid, or where its name does not tell.")
    ] = None,
) -> None:
    """Convert judgments; tables and Quepid hold the query's text, TREC qrels keep it in topics."""
    from ltr import measures

    if output.resolve() == source.resolve():
        raise ConfigError(f"{output} is both read and written", hint="name another file after -o")
    on = measures.scale(scale) if scale else None
    target = write_as or _format(output, "--to")
    if (read_as or _format(source, "--from")) == "trec":
        judgments = _read_trec(source, on)
        queries = _texts(judgments, source, topics) if target != "trec" else judgments.select("query_id")
    else:
        queries, judgments = read_table(source, on)
    if target != "table" and (judgments["weight"] != 1).any():
        warn(f"{output}: weights have no place in this format and are left out")
    if target == "trec":
        _write_trec(queries, judgments, output, topics if "query" in queries.columns else None)
    else:
        write_table(queries, judgments, output, quepid=target == "quepid")
    console().print(Text(f"{output}: {judgments.height:,} judgments of {judgments['query_id'].n_unique():,} queries"))


def _format(path: Path, option: str) -> Literal["table", "trec"]:
    extension = Path(path.name.lower().removesuffix(".gz")).suffix
    if extension in _TABLES:
        return "table"
    if extension in _TREC:
        return "trec"
    raise ConfigError(
        f"{path} does not tell its format", hint=f"end it in {', '.join(_TABLES + _TREC)}, or say it by {option}"
    )


def read_table(path: Path, on: Scale | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Queries and judgments of a table, on a scale, or on 0 to 30 or else by ESCI's letters."""
    from ltr.datasets.files import read_judgments

    if on:
        return read_judgments(path, scale=on)
    try:
        return read_judgments(path, scale="0-30")
    except JudgmentError:
        # Letters are on no scale of numbers; what is on neither is told by the numbers' message.
        with contextlib.suppress(JudgmentError):
            return read_judgments(path, scale="esci")
        raise


def _read_trec(path: Path, on: Scale | None) -> pl.DataFrame:
    import polars as pl

    from ltr.trec import read_qrels

    judgments = read_qrels(path)
    if negative := judgments.filter(pl.col("grade") < 0).height:
        warn(f"{path}: {negative:,} grades are below 0: not judged, and left out")
        judgments = judgments.filter(pl.col("grade") >= 0)
    off = judgments.filter(pl.col("grade") > on.maximum) if on else judgments.clear()
    if on and off.height:
        query_id, product_id, grade = off.select("query_id", "product_id", "grade").row(0)
        raise JudgmentError(
            f"{path}: grade {grade:g} of product {product_id!r} for query {query_id!r} is not on scale {on.name!r}",
            hint="name the scale that the grades are on, such as --scale 0-10",
        )
    return judgments


def _texts(judgments: pl.DataFrame, path: Path, topics: Path | None) -> pl.DataFrame:
    import polars as pl

    from ltr.trec import read_topics

    if topics is None:
        raise ConfigError(f"{path} holds no query's text, as TREC qrels do not", hint="give --topics FILE")
    queries, judged = read_topics(topics), pl.DataFrame({"query_id": judgments["query_id"].unique(maintain_order=True)})
    absent = judged.join(queries, on="query_id", how="anti")
    if absent.height:
        raise DataError(f"{topics} lacks query {absent['query_id'][0]!r}, which {path} judges", hint="add its topic")
    return judged.join(queries, on="query_id", how="left", maintain_order="left")


def _write_trec(queries: pl.DataFrame, judgments: pl.DataFrame, path: Path, topics: Path | None) -> None:
    """Ids with blanks, such as normalised texts, become numbers from 1; the topics then say which query each is."""
    import polars as pl

    from ltr.trec import write_qrels, write_topics

    if queries["query_id"].str.contains(r"\s|^$").any():
        if topics is None:
            raise ConfigError(
                f"query_id {queries['query_id'][0]!r} holds a blank, as TREC's ids cannot",
                hint="give --topics FILE: queries are numbered there, with their texts",
            )
        number = pl.int_range(1, pl.len() + 1).cast(pl.String)
        queries = queries.with_columns(number.alias("number"))
        judgments = judgments.join(queries.select("query_id", "number"), on="query_id", maintain_order="left")
        judgments = judgments.with_columns(query_id="number").drop("number")
        queries = queries.with_columns(query_id="number").drop("number")
    write_qrels(judgments, path)
    if topics is not None:
        write_topics(queries, topics)


def write_table(queries: pl.DataFrame, judgments: pl.DataFrame, path: Path, *, quepid: bool) -> None:
    """Write judgments with their queries' texts; the name says the format."""
    import polars as pl

    frame = judgments.with_columns(pl.col("grade").cast(pl.Int64)).join(queries, on="query_id", maintain_order="left")
    context = [name for name in frame.columns if name not in ("query_id", "query", "product_id", "grade", "weight")]
    frame = frame.select("query_id", "query", "product_id", "grade", "weight", *context)
    if quepid:
        frame = frame.select("query", docid="product_id", rating="grade")
        twice = frame.filter(frame.select("query", "docid").is_duplicated())
        if twice.height:
            raise DataError(
                f"product {twice['docid'][0]!r} is judged under two ids of the query {twice['query'][0]!r}, "
                "and Quepid knows queries by their texts",
                hint="write a table with query_id instead",
            )
    extension = ".csv" if quepid else Path(path.name.lower().removesuffix(".gz")).suffix
    buffer = io.BytesIO()
    if extension == ".parquet":
        frame.write_parquet(buffer)
    elif extension in (".jsonl", ".ndjson"):
        frame.write_ndjson(buffer)
    elif extension in (".csv", ".tsv"):
        frame.write_csv(buffer, separator="\t" if extension == ".tsv" else ",")
    else:
        raise ConfigError(f"{path} is no table", hint=f"tables end in {', '.join(_TABLES)}, each also with .gz")
    data = buffer.getvalue()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)
