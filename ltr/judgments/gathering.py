"""A log's parts, read on all cores and gathered: rows by search, visits by visitor, and what only the whole log tells.

>>> first_positions(Counter({(0, True, 0): 90, (0, True, 1): 95, (1, True, 1): 80, (1, True, 0): 2}))
{0: 0, 1: 1}
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.ndjson import Damaged, blocks
from ltr.judgments.report import Counts
from ltr.judgments.rows import DERIVED, ROWS, SHIFT, TELLINGS, VISITS
from ltr.judgments.spill import Spill
from ltr.progress import bar

__all__ = ["Gathered", "Part", "first_positions", "gather", "read_lines", "span"]

# Rows that are joined, and visits that are judged, at a time: some 150 bytes each, a few times over.
_TOGETHER: Final = 500_000
_MOST_PARTS: Final = 1_000
# Bytes that are read before their rows tell how many parts there are to be.
_TRIED: Final = 64 << 20
_DAY: Final = 86_400_000_000
# Ten years either side of the log's median day: a clock that was never set, or that was set wrong.
_ABSURD: Final = 3_653


@dataclass(frozen=True)
class Part:
    """What a block of a log holds: rows and visits, what was counted, and what only the whole log can judge.

    Args:
        counts: examples are lines of the block, 0 = the first, until ``read_lines`` locates them.
        rows, tellings, visits: under the schemas of ``rows``.
        size: bytes read.
        lines: of the block.
        firsts: (application, said by impressions, position 0 or 1) -> how often.
        listed: applications that log impressions.
        days: day since 1970 -> records.
        pending: hash of the id of an action line whose record is in the next block, 0 where there is none.
    """

    counts: Counts
    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROWS))
    tellings: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TELLINGS))
    visits: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VISITS))
    size: int = 0
    lines: int = 0
    firsts: Counter[tuple[int, bool, int]] = field(default_factory=Counter)
    listed: frozenset[int] = frozenset()
    days: Counter[int] = field(default_factory=Counter)
    pending: int = 0


@dataclass(frozen=True)
class Gathered:
    """A whole log, told apart: rows and tellings by search, visits by visitor; the rest as in ``Part``, summed."""

    rows: Spill
    tellings: Spill
    visits: Spill
    counts: Counts
    firsts: Counter[tuple[int, bool, int]]
    listed: frozenset[int]
    days: Counter[int]


def read_lines(files: Iterable[Path], read: Callable[[NDArray[np.uint8], int], Part]) -> Iterator[Part]:
    """The parts of files of JSON lines, in order; ``read`` makes one of a padded block and its number in the log."""
    number = 0
    with ThreadPoolExecutor(workers := os.cpu_count() or 1) as pool:
        for path in files:
            first, size = 1, 0
            waiting: deque[Future[Part]] = deque()
            stream = blocks(path)
            fault = ""
            while True:
                try:
                    block = next(stream, None)
                except Damaged as damage:
                    block, fault = None, f"{path.name}: {damage}"
                if block is not None:
                    waiting.append(pool.submit(read, block, number))
                    number += 1
                    size += len(block)
                # One block more than there are workers, so that none of them waits for the disk.
                while waiting and (block is None or len(waiting) > workers):
                    part = waiting.popleft().result()
                    part.counts.locate(path.name, first)
                    first += part.lines
                    yield part
                if block is None:
                    break
            yield _file_part(path, size, fault)


def gather(parts: Iterable[Part], directory: Path, *, total: int) -> Gathered:
    """Gather the parts of a log of about ``total`` bytes; what does not fit in memory is spilled into the directory."""
    counts, firsts, days = Counts(), Counter[tuple[int, bool, int]](), Counter[int]()
    listed: set[int] = set()
    tried: list[Part] = []
    spills: list[Spill] = []
    pending = 0
    with bar("reading the log", total=total or None) as advance:
        for part in parts:
            counts.add(part.counts)
            firsts.update(part.firsts)
            days.update(part.days)
            listed |= part.listed
            advance(part.size)
            whole = _with_pending(part, pending)
            pending = part.pending
            if spills:
                _add(spills, whole)
                continue
            tried.append(whole)
            if sum(each.size for each in tried) >= _TRIED:
                spills = _spills(tried, directory, total)
                tried = []
    rows, tellings, visits = spills or _spills(tried, directory, 0)
    return Gathered(rows, tellings, visits, counts, firsts, frozenset(listed), days)


def first_positions(firsts: Counter[tuple[int, bool, int]], *, given: int | None = None) -> dict[int, int]:
    """The first position of each application, 0 or 1.

    The top of a list is shown, and clicked, at least about as often as the place below it: positions begin at 0 where 0
    occurs four times for each five of 1 or more, of impressions where there are any. Rarer zeros are faults of a log that
    begins at 1.

    Args:
        firsts: as ``Part`` has them.
        given: what the mapping says, which settles it.
    """
    found = {}
    for source in sorted({source for source, _, _ in firsts}):
        shown = any(firsts[source, True, place] for place in (0, 1))
        zero, one = (firsts[source, shown, place] for place in (0, 1))
        found[source] = given if given is not None else 0 if zero and 5 * zero >= 4 * one else 1
    return found


def span(days: Counter[int]) -> tuple[int, int]:
    """The earliest and the latest µs that are not absurd: ten years either side of the median record's day."""
    if not days:
        return -(2**62), 2**62
    ordered = sorted(days)
    half = np.cumsum([days[day] for day in ordered])
    median = ordered[int(np.searchsorted(half, half[-1] / 2))]
    return (median - _ABSURD) * _DAY, (median + _ABSURD) * _DAY


def _spills(tried: list[Part], directory: Path, total: int) -> list[Spill]:
    read = sum(part.size for part in tried)
    scale = max(1.0, total / read) if read else 1.0
    searches, visitors = (
        min(_MOST_PARTS, 1 + int(scale * sum(getattr(part, name).height for part in tried) / _TOGETHER))
        for name in ("rows", "visits")
    )
    spills = [
        Spill(directory / "rows", parts=searches, key="search"),
        Spill(directory / "tellings", parts=searches, key="search"),
        Spill(directory / "visits", parts=visitors, key="visitor"),
    ]
    for part in tried:
        _add(spills, part)
    return spills


def _add(spills: list[Spill], part: Part) -> None:
    for spill, frame in zip(spills, (part.rows, part.tellings, part.visits), strict=True):
        spill.add(frame)


def _with_pending(part: Part, pending: int) -> Part:
    """The part whose first record belongs to the action line that the part before ended in."""
    if not pending or part.rows.is_empty():
        return part
    own = (pl.col("number") % (1 << SHIFT) == 0) & (pl.col("what") & DERIVED == 0) & (pl.col("event") == 0)
    return replace(
        part, rows=part.rows.with_columns(event=pl.when(own).then(pl.lit(pending, pl.UInt64)).otherwise("event"))
    )


def _file_part(path: Path, size: int, fault: str) -> Part:
    counts = Counts()
    if fault:
        counts.read = 1
        counts.drop("file_unreadable", 1, [fault])
    elif not size:
        counts.note("empty_file", 1, [path.name])
    return Part(counts)
