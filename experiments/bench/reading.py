"""Logs: UBI lines to impressions, and Parquet events to counts, beside polars' own ways in the same run.

The log is made up: searches of ten impressions, about every other with a click, some 480 bytes a line. Ours reads it with one
bad line in a thousand, of five kinds, and counts each by its reason; polars' typed ``scan_ndjson`` reads it without them,
since one ends its scan. Both leave typed columns in memory. Peaks are those of a process of its own. 28.6 million events are
as many as a known system judges in 205 minutes.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from ltr.judgments.gathering import read_lines
from ltr.judgments.tally import tally
from ltr.judgments.ubi import Reader, read_block

LINES, TURNS = 1_500_000, 3
EVENTS, UNIQUE = 28_600_000, 100_000_000
LIST, BATCH = 10, 100_000
BAD = 1_000  # every so many lines, one of these
FAULTS = {
    "truncated": '{"action_name": "click", "query_id": "s1", "event_attr',
    "malformed": '{"action_name": "click" "query_id": "s1"}',
    "no_action": '{"query_id": "s1", "timestamp": "2026-01-01T00:00:00Z", "event_attributes": {}}',
    "no_timestamp": '{"action_name": "click", "query_id": "s1", "event_attributes": {"object": {"object_id": "p"}}}',
    "wrong_type": '{"action_name": 7, "query_id": "s1", "timestamp": "2026-01-01T00:00:00Z"}',
}
TEXTS = ("action_name", "query_id", "session_id", "client_id", "user_id", "timestamp", "user_query", "application")
SUMS = {
    "shown": pl.len(),
    "clicked": pl.col("clicked").sum(),
    "carts": pl.col("add_to_cart").sum(),
    "bought": pl.col("purchase").sum(),
}
BY = {"product": ["product_id"], "query × product × position": ["query_id", "product_id", "position"]}

# What a process of its own runs: how long, its peak in GiB, and how many rows it ends with.
_ALONE = """
import json, resource, sys, time
from pathlib import Path
import polars as pl
sys.path.insert(0, sys.argv[1])
import reading
start = time.perf_counter()
rows = getattr(reading, sys.argv[2])(Path(sys.argv[3]), Path(sys.argv[4]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([time.perf_counter() - start, peak, rows]))
"""


def measure() -> list[dict[str, object]]:
    """Rates, ratios to polars and peaks."""
    with tempfile.TemporaryDirectory() as directory:
        return [*_lines(Path(directory)), *_events(Path(directory))]


def _lines(directory: Path) -> list[dict[str, object]]:
    clean, spoilt = directory / "clean.ndjson", directory / "spoilt.ndjson"
    lines = write_lines(clean, spoilt)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(TURNS):
        for which in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
            start = time.perf_counter()
            if which == "ours":
                ours = parsed(spoilt)
            else:
                theirs = scanned(clean)
            rates[which].append(lines / (time.perf_counter() - start))
    _check(ours, theirs, lines)
    seconds, peak, _ = _alone("whole", spoilt, directory / "impressions")
    size = f"{lines:,} UBI lines of {clean.stat().st_size // lines} bytes"
    ratio = statistics.median(mine / peer for mine, peer in zip(rates["ours"], rates["theirs"], strict=True))
    return [
        {
            "what": f"{size} to typed columns, each bad line counted by its reason",
            "value": round(statistics.median(rates["ours"]) / 1e6, 2),
            "unit": "million/s",
            "bound": 1.5,
            "better": "higher",
        },
        {
            "what": "that rate ÷ polars' typed scan_ndjson, of the log without its bad lines",
            "value": round(ratio, 2),
            "unit": "×",
            "bound": 1.0,
            "better": "higher",
        },
        {
            "what": "the same lines from the file to impressions on disk, joined, filtered, reported",
            "value": round(lines / seconds / 1e6, 2),
            "unit": "million/s",
            "bound": None,
            "better": "higher",
        },
        {"what": "peak memory of that", "value": round(peak, 2), "unit": "GiB", "bound": 2},
    ]


def _events(directory: Path) -> list[dict[str, object]]:
    log = directory / "events"
    write_events(log)
    figures: list[dict[str, object]] = []
    for name, by in BY.items():
        ours, theirs = _turns(
            lambda by=by: tally(pl.scan_parquet(log), by, SUMS).select(pl.len()).collect().item(),
            lambda by=by: pl.scan_parquet(log).group_by(by).agg(**SUMS).collect(engine="streaming").height,
        )
        figures += [
            {
                "what": f"{EVENTS:,} Parquet events counted by {name}",
                "value": round(EVENTS / ours / 1e6, 1),
                "unit": "million/s",
                "bound": 15 if name == "product" else None,
                "better": "higher",
            },
            {
                "what": "that time ÷ polars' streaming group_by, without a bound on memory",
                "value": round(ours / theirs, 2),
                "unit": "×",
                "bound": None,
            },
        ]
    seconds, peak, groups = _alone("near_unique", log, directory / "spilled")
    _, free, _ = _alone("near_unique_at_once", log, directory)
    return [
        *figures,
        {
            "what": f"{UNIQUE:,} events counted by search × product ({groups:,} groups): peak memory",
            "value": round(peak, 2),
            "unit": "GiB",
            "bound": 2,
        },
        {"what": "time of that", "value": round(seconds, 1), "unit": "s", "bound": None},
        {
            "what": f"polars' streaming group_by of a {_share()} of them: peak memory",
            "value": round(free, 2),
            "unit": "GiB",
            "bound": None,
        },
    ]


def write_lines(clean: Path, spoilt: Path) -> int:
    """Write the log, and the same with bad lines; the lines that both have."""
    rng = np.random.default_rng(7)
    lines = 0
    with clean.open("wb") as whole, spoilt.open("wb") as broken:
        for first in range(0, LINES, BATCH):
            batch = _log(rng, first, min(BATCH, LINES - first))
            text = batch["line"]
            whole.write("\n".join(text).encode() + b"\n")
            faulty = text.to_list()
            for at, fault in zip(range(0, len(faulty), BAD), _cycled(), strict=False):
                faulty[at] += "\n" + fault
            broken.write("\n".join(faulty).encode() + b"\n")
            lines += len(text)
    return lines


def write_events(directory: Path) -> None:
    """Impressions as Parquet parts: 200,000 products, 64,000 queries, lists of ten."""
    directory.mkdir()
    rng = np.random.default_rng(7)
    products = pl.Series([f"B{number:09}" for number in range(200_000)])
    queries = pl.Series([f"query number {number}" for number in range(64_000)])
    step = 2_000_000
    for part, first in enumerate(range(0, EVENTS, step)):
        searches = min(step, EVENTS - first) // LIST
        query = np.repeat(rng.zipf(1.3, searches) % 64_000, LIST)
        position = np.tile(np.arange(1, LIST + 1, dtype=np.uint16), searches)
        product = (query * 7_919 + position * (1 + rng.integers(0, 10, len(query)))) % 200_000
        number = np.repeat(np.arange(first // LIST, first // LIST + searches), LIST)
        pl.DataFrame(
            {
                "search_id": pl.Series(number).cast(pl.String) + "-5912-453c-9173-3f92fd3cb1be",
                "query_id": queries.gather(query),
                "product_id": products.gather(product),
                "position": position,
                "clicked": rng.random(len(query)) < 0.1,
                "add_to_cart": rng.random(len(query)) < 0.02,
                "purchase": rng.random(len(query)) < 0.01,
            }
        ).write_parquet(directory / f"{part:03}.parquet", compression="zstd", compression_level=1)


def parsed(path: Path) -> tuple[int, dict[str, int]]:
    """Rows, and what was dropped by reason; all parts stay in memory until the last is read."""
    reader = Reader.of(None)
    parts = list(read_lines([path], lambda block, number: read_block(block, number, reader)))
    dropped: dict[str, int] = {}
    for part in parts:
        for reason, count in part.counts.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return sum(part.rows.height for part in parts), dropped


def scanned(path: Path) -> int:
    """The peer: polars' scan of the same fields, typed."""
    inner = {"object": pl.Struct({"object_id": pl.String}), "position": pl.Struct({"ordinal": pl.Int32})}
    schema = dict.fromkeys(TEXTS, pl.String) | {"event_attributes": pl.Struct(inner)}
    event = pl.col("event_attributes").struct
    return (
        pl.scan_ndjson(path, schema=schema)
        .select(
            *TEXTS,
            event.field("object").struct.field("object_id"),
            event.field("position").struct.field("ordinal"),
        )
        .collect(engine="streaming")
        .height
    )


def whole(path: Path, directory: Path) -> int:
    """From the file to impressions; the rows."""
    from ltr.judgments.impressions import read_log

    return read_log(path, directory=directory).report.impressions


def near_unique(log: Path, directory: Path) -> int:
    """As many keys as events, nearly; the groups."""
    copies = [
        pl.scan_parquet(log).with_columns(pl.col("search_id") + str(copy)) for copy in range(-(-UNIQUE // EVENTS))
    ]
    events = pl.concat(copies).head(UNIQUE)
    counts = tally(events, ["search_id", "product_id"], SUMS, directory=directory)
    return counts.select(pl.len()).collect(engine="streaming").item()


def near_unique_at_once(log: Path, _directory: Path) -> int:
    """The peer: polars' streaming group_by of one copy of the events."""
    by = ["search_id", "product_id"]
    return pl.scan_parquet(log).group_by(by).agg(**SUMS).collect(engine="streaming").height


def _log(rng: np.random.Generator, first: int, count: int) -> pl.DataFrame:
    """Lines of impressions and clicks, in the order of time."""
    search = (first + np.arange(count)) // (LIST + 1)
    place = (first + np.arange(count)) % (LIST + 1) + 1
    clicked = place > LIST
    position = np.where(clicked, 1 + (search * 31) % LIST, place)
    at = pl.Series(1_790_000_000_000_000 + search * 300_000 + place * 25_000).cast(pl.Datetime("us"))
    frame = pl.DataFrame(
        {
            "action": np.where(clicked, "click", "impression"),
            "search": search,
            "client": (search * 7_919) % 50_000,
            "product": (search * 104_729 + position * 7_919) % 100_000,
            "position": position,
            "query": rng.integers(5_000, size=count // 1)[search - search[0]],
            "at": at.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        }
    )
    return frame.select(
        line=pl.format(
            '{{"application": "shop", "action_name": "{}", "query_id": "33198ee9-5912-453c-9173-{}", '
            '"session_id": "SESSION-94cb50fb-c3af-{}", "client_id": "CLIENT-127c9afc-01c9-{}", "user_id": "", '
            '"timestamp": "{}", "message_type": "CONVERSION", "message": "made on position {}", '
            '"event_attributes": {{"object": {{"object_id": "B{}", "object_id_field": "asin"}}, '
            '"position": {{"ordinal": {}}}}}, "user_query": "words of query {}"}}',
            "action", "search", "search", "client", "at", "position", "product", "position", "query",
        )
    )  # fmt: skip


def _cycled():
    while True:
        yield from FAULTS.values()


def _turns(ours: Callable[[], int], theirs: Callable[[], int]) -> tuple[float, float]:
    """Median seconds of both, which take turns and count as many groups."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    groups = set()
    for turn in range(TURNS):
        for which in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
            start = time.perf_counter()
            groups.add(ours() if which == "ours" else theirs())
            seconds[which].append(time.perf_counter() - start)
    if len(groups) != 1:
        raise SystemExit(f"tally and group_by disagree: {groups}")
    return statistics.median(seconds["ours"]), statistics.median(seconds["theirs"])


def _check(ours: tuple[int, dict[str, int]], theirs: int, lines: int) -> None:
    """All good lines are read, and every bad one is counted by its own reason."""
    rows, dropped = ours
    batches = [min(BATCH, LINES - first) for first in range(0, LINES, BATCH)]
    faulty = sum(-(-batch // BAD) for batch in batches)
    if rows != theirs or rows != lines or sum(dropped.values()) != faulty or dropped.keys() != FAULTS.keys():
        raise SystemExit(f"{rows:,} rows and {dropped}, where polars reads {theirs:,} and {faulty:,} are bad")


def _alone(function: str, source: Path, target: Path) -> tuple[float, float, int]:
    """Seconds, peak GiB and rows of a function of this module in a process of its own."""
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, here, function, str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, peak, rows = json.loads(done.stdout)
    return seconds, peak, rows


def _share() -> str:
    return f"{100 * EVENTS // UNIQUE} %"
