"""A raw search log to impressions: what was shown where, and what became of it, with a report on every record.

Four steps, none of which holds the log: blocks of lines are read on all cores and parted by search and by visitor
(``spill``); visits tell robots, long sessions and dwell times (``visits``); searches are joined part by part (``joining``);
each part is written as Parquet. Sorted or not makes no difference.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from ltr.errors import DataError
from ltr.frames import SCHEMAS
from ltr.judgments import shapes, ubi
from ltr.judgments.filters import Filters
from ltr.judgments.gathering import Gathered, Part, first_positions, gather, read_lines, span
from ltr.judgments.joining import Joined, Plan, join
from ltr.judgments.mapping import LogMapping, meaning, read_mapping
from ltr.judgments.ndjson import EXTENSIONS
from ltr.judgments.report import DROPPED, Counts, LogReport
from ltr.judgments.spill import Spill
from ltr.judgments.tables import frames, named
from ltr.judgments.visits import visited
from ltr.judgments.wording import normalise, query_key
from ltr.progress import bar

__all__ = ["Filters", "Log", "LogMapping", "LogReport", "normalise", "query_key", "read_log", "read_mapping"]

# Positions that the report counts one by one.
_POSITIONS: Final = 50
# How much longer a file is than it is packed.
_PACKED: Final = 10


@dataclass(frozen=True)
class Log:
    """A log that was read: the directory of Parquet parts with its impressions, and what became of its records."""

    impressions: Path
    report: LogReport

    def scan(self) -> pl.LazyFrame:
        """The impressions (``frames.SCHEMAS``), not yet in memory."""
        return pl.scan_parquet(self.impressions / "**" / "*.parquet" if self.impressions.is_dir() else self.impressions)


def read_log(
    paths: Path | Sequence[Path],
    *,
    mapping: LogMapping | None = None,
    filters: Filters | None = None,
    directory: Path,
    strict: bool = False,
) -> Log:
    """Read a log into impressions.

    Args:
        paths: UBI's JSON lines (.ndjson, .jsonl, .json, each also with .gz), queries and events in one file or in several,
            or directories of them; with a mapping, tables: Parquet (hive-partitioned too), CSV, TSV or JSON lines. Without
            a mapping, Parquet files are impressions already.
        mapping: how a log of another make is read.
        filters: what is taken out; None = ``Filters()``. Impressions that are Parquet already are taken as they are, unless
            other filters are asked for.
        directory: where impressions are written as Parquet parts; it holds none yet.
        strict: what is wrong with the log is an error.

    Raises:
        DataError: nothing there, a column that the mapping names is missing, or ``strict`` and records are faulty.
    """
    files = _files([paths] if isinstance(paths, Path) else list(paths))
    if mapping is None and _are_tables(files):
        if len(files) == 1 and filters in (None, Filters()) and (report := as_impressions(files[0])) is not None:
            return Log(files[0], report)
        mapping = LogMapping(shape="shown")
    if directory.exists() and any(directory.glob("*.parquet")):
        raise DataError(f"{directory} holds Parquet files already", hint="name a new directory, or empty it")
    spilled = directory / ".spill"
    shutil.rmtree(spilled, ignore_errors=True)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        report = _read(files, mapping, filters or Filters(), directory, spilled)
        if strict and (faults := report.faults()):
            often = sorted(faults, key=lambda reason: -faults[reason])
            told = [
                f"{faults[reason]:,}: {DROPPED[reason]} ({', '.join(report.examples.get(reason, ()))})"
                for reason in often
            ]
            raise DataError(
                f"{sum(faults.values()):,} of {report.read:,} records are faulty: {'; '.join(told[:3])}",
                hint="mend the log, or read it without strict",
            )
    except BaseException as error:
        for path in directory.glob("part-*.parquet"):
            path.unlink()
        # polars says ComputeError where the disk is full while it writes Parquet.
        full = isinstance(error, pl.exceptions.ComputeError) and "os error" in str(error)
        if isinstance(error, OSError) or full:
            raise DataError(
                f"{directory} could not be written: {getattr(error, 'strerror', None) or error}",
                hint="name another directory, or free some space",
            ) from error
        raise
    finally:
        shutil.rmtree(spilled, ignore_errors=True)
    return Log(directory, report)


def as_impressions(path: Path) -> LogReport | None:
    """The report of Parquet that is an impressions frame already, taken as it is; None where its columns are not those.

    Raises:
        DataError: a position or a time is missing, or a position is 0.
    """
    scanned = pl.scan_parquet(path / "**" / "*.parquet" if path.is_dir() else path)
    schema = SCHEMAS["impressions"]
    with reading_parquet_parts(path):
        columns = scanned.collect_schema()
        known = schema.required | schema.optional
        if not set(schema.required) <= set(columns) or any(
            columns[name] != known[name] for name in columns if name in known
        ):
            return None
        flags = {"clicks": "clicked", "carts": "add_to_cart", "purchases": "purchase"}
        found = scanned.select(
            pl.len().alias("impressions"),
            pl.col("search_id").approx_n_unique().alias("searches"),
            pl.col("query_id").approx_n_unique().alias("queries"),
            *(pl.col(column).sum().alias(name) for name, column in flags.items()),
            pl.col("position").min().alias("least"),
            pl.col("position", "shown_at").null_count().name.suffix(" missing"),
            pl.col("shown_at").min().alias("first"),
            pl.col("shown_at").max().alias("last"),
        ).collect(engine="streaming")
    row = found.row(0, named=True)
    if row.pop("position missing") or row.pop("shown_at missing") or row.pop("least") == 0:
        raise DataError(f"{path}: an impression has no position from 1 on, or no shown_at", hint="mend or remove it")
    notes = (
        "Parquet that holds impressions already is taken as it is: not filtered; searches and queries are estimates",
    )
    counts = Counts()
    counts.read = row["impressions"]
    return counts.report(kept=counts.read, notes=notes, **row)


@contextmanager
def reading_parquet_parts(path: Path) -> Iterator[None]:
    """Turn what polars says of Parquet files into a DataError."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path} cannot be read: {reason}", hint="it may be cut short: copy or export it again"
        ) from error


def _files(paths: Sequence[Path]) -> list[Path]:
    """Files of lines, and files and directories of tables."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist", hint="check the path")
        if not path.is_dir():
            files.append(path)
            continue
        inside = [file for file in sorted(path.iterdir()) if file.is_file()]
        lines = [file for file in inside if _ends(file, EXTENSIONS)]
        cells = [file for file in inside if _ends(file, (".csv", ".tsv"))]
        if not lines and not cells and next(path.rglob("*.parquet"), None) is None:
            known = ", ".join(sorted((*EXTENSIONS, ".csv", ".tsv", ".parquet")))
            raise DataError(f"{path} holds no log", hint=f"extensions: {known}, of lines also with .gz")
        files += lines or cells or [path]
    if not files:
        raise DataError("no log is given", hint="name a file or a directory")
    return files


def _are_tables(files: Sequence[Path]) -> bool:
    """Whether these are Parquet; a mixture, or another table without a mapping, is refused."""
    parquet = [path.is_dir() or _ends(path, (".parquet",)) for path in files]
    lines = [_ends(path, EXTENSIONS) for path in files]
    for path, *is_known in zip(files, parquet, lines, strict=True):
        if not any(is_known):
            raise DataError(f"{path} is no UBI log by its extension", hint="give a mapping that says how it is read")
    if any(parquet) and any(lines):
        raise DataError("UBI lines and Parquet do not make one log", hint="read one of them, or give a mapping")
    return all(parquet)


def _table_parts(files: Sequence[Path], mapping: LogMapping) -> Iterator[Part]:
    number = 0
    for path in files:
        counts, first = Counts(), 1
        for frame in frames(path, counts):
            if frame.height:
                part = shapes.read(named(frame, mapping, path.name), number, mapping)
                part.counts.locate(path.name, first, noun="row")
                yield part
                number, first = number + 1, first + frame.height
        yield Part(counts)


def _size(path: Path) -> int:
    """About the bytes that a file is read as."""
    if path.is_dir():
        return sum(_size(file) for file in path.rglob("*.parquet"))
    return path.stat().st_size * (_PACKED if path.suffix.lower() in (".gz", ".parquet") else 1)


def _ends(path: Path, extensions: Sequence[str]) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(tuple(extensions))


def _read(
    files: Sequence[Path], mapping: LogMapping | None, filters: Filters, directory: Path, spilled: Path
) -> LogReport:
    if mapping is None or mapping.shape == "ubi":
        reader = ubi.Reader.of(mapping)
        parts = read_lines(files, lambda block, number: ubi.read_block(block, number, reader))
        sources = reader.sources
    else:
        parts, sources = _table_parts(files, mapping), {"": 0}
    gathered = gather(parts, spilled, total=sum(_size(path) for path in files))
    return _written(gathered, mapping, filters, directory, spilled, sources)


def _written(
    log: Gathered,
    mapping: LogMapping | None,
    filters: Filters,
    directory: Path,
    spilled: Path,
    sources: Mapping[str, int],
) -> LogReport:
    """Judge the visits, join the searches, write their impressions, and report."""
    counts = log.counts
    dwell = Spill(spilled / "dwell", parts=log.rows.parts, key="search")
    bots, sessions = [], []
    with bar("judging visits", total=log.visits.parts) as advance:
        for number in range(log.visits.parts):
            found = visited(log.visits.part(number), filters)
            bots.append(found.bots)
            sessions.append(found.sessions)
            dwell.add(found.dwell)
            advance(1)
    log.visits.close()
    earliest, latest = span(log.days)
    firsts = first_positions(log.firsts, given=mapping.first_position if mapping else None)
    plan = Plan(firsts, log.listed, earliest, latest, filters, pl.concat(bots), pl.concat(sessions))
    sums = _Sums()
    with bar("joining searches", total=log.rows.parts) as advance:
        for number in range(log.rows.parts):
            joined = join(log.rows.part(number), log.tellings.part(number), dwell.part(number), plan, counts)
            sums.add(joined)
            path = directory / f"part-{number:05}.parquet"
            joined.impressions.write_parquet(path, compression="zstd", compression_level=1)
            advance(1)
    zero = [name for name, source in sources.items() if firsts.get(source) == 0]
    notes = [f"positions{f' of {name}' if name else ''} begin at 0 and were moved to begin at 1" for name in zero]
    own = mapping.actions if mapping else {}
    return counts.report(
        kept=sums.records,
        meaning={action: meaning(action, own) for action in counts.actions},
        notes=tuple(notes),
        **sums.found(),
    )


class _Sums:
    """What the report says of the impressions, part by part."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.records = 0
        self.queries = pl.Series(dtype=pl.UInt64)
        self.positions: Counter[int] = Counter()
        self.clicked: Counter[int] = Counter()
        self.times: list[Any] = []

    def add(self, joined: Joined) -> None:
        impressions = joined.impressions
        self.records += joined.records
        flags = {"clicks": "clicked", "carts": "add_to_cart", "purchases": "purchase"}
        self.totals.update({name: int(impressions[column].sum()) for name, column in flags.items()})
        self.totals.update(impressions=impressions.height, searches=joined.searches)
        self.queries = pl.concat([self.queries, joined.queries]).unique()
        near = impressions.filter(pl.col("position") <= _POSITIONS)
        for position, shown, clicked in near.group_by("position").agg(pl.len(), pl.col("clicked").sum()).rows():
            self.positions[position] += shown
            self.clicked[position] += clicked
        self.times += [time for time in (impressions["shown_at"].min(), impressions["shown_at"].max()) if time]

    def found(self) -> dict[str, Any]:
        positions = {at: (self.positions[at], self.clicked[at]) for at in sorted(self.positions)}
        first, last = (min(self.times), max(self.times)) if self.times else (None, None)
        return {**self.totals, "queries": len(self.queries), "positions": positions, "first": first, "last": last}
