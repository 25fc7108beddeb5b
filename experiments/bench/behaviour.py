"""28.6 million impressions to features of behaviour and to judgments, beside polars' own counts of the same groups.

As many events as a known system judges in 205 minutes. The features are rates and counts by product, by query and product and by
query, of whole days; the judgments are those of the position-based model. All that is read is Parquet, all that is made is in
memory.
"""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from ltr.features.counting import build_counts
from ltr.features.definition import parse
from ltr.judgments.grades import judge
from ltr.judgments.pbm import PBM
from ltr.measures import scale

EVENTS, LIST, STEP, DAYS, TURNS = 28_600_000, 10, 2_000_000, 30, 3
PRODUCTS, QUERIES = 200_000, 64_000
WANTED = parse(
    {
        "name": "behaviour",
        "feature": [
            {"name": "rated", "kind": "rate", "window": 30},
            {"name": "here", "kind": "rate", "by": "query_product"},
            {"name": "asked", "kind": "count", "by": "query"},
        ],
    }
)


def measure() -> list[dict[str, object]]:
    """Medians over the turns."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "events"
        products = _write(log)
        seconds: dict[str, list[float]] = {"features": [], "judgments": [], "peer": []}
        for _ in range(TURNS):
            for name, run in {
                "features": lambda: _features(log, products),
                "judgments": lambda: _judgments(log),
                "peer": lambda: _peer(log),
            }.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    took = {name: statistics.median(each) for name, each in seconds.items()}
    both = took["features"] + took["judgments"]
    what = f"{EVENTS:,} Parquet events"
    return [
        {"what": f"{what} to behaviour features and judgments", "value": round(both, 1), "unit": "s", "bound": 15},
        {"what": "the features' counts of that", "value": round(took["features"], 1), "unit": "s", "bound": None},
        {"what": "the judgments of that, by PBM", "value": round(took["judgments"], 1), "unit": "s", "bound": None},
        {
            "what": "both ÷ polars' streaming group_bys of the same groups, without model or state",
            "value": round(both / took["peer"], 2),
            "unit": "×",
            "bound": None,
        },
    ]


def _features(log: Path, products: pl.DataFrame) -> None:
    build_counts(pl.scan_parquet(log), examination=None, wanted=WANTED, as_of="2026-02-01", products=products)


def _judgments(log: Path) -> None:
    impressions = pl.scan_parquet(log)
    judge(PBM.fit(impressions), impressions, scale=scale("graded"))


def _peer(log: Path) -> None:
    scanned = pl.scan_parquet(log).with_columns(day=pl.col("shown_at").dt.date())
    for by in (
        ["product_id", "day"],
        ["query_id", "product_id", "day"],
        ["query_id", "day"],
        ["query_id", "product_id", "position"],
    ):
        scanned.group_by(by).agg(shown=pl.len(), clicked=pl.col("clicked").sum()).collect(engine="streaming")


def _write(directory: Path) -> pl.DataFrame:
    directory.mkdir()
    rng = np.random.default_rng(7)
    products = pl.Series([f"B{number:09}" for number in range(PRODUCTS)])
    queries = pl.Series([f"query number {number}" for number in range(QUERIES)])
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    for part, first in enumerate(range(0, EVENTS, STEP)):
        searches = min(STEP, EVENTS - first) // LIST
        query = np.repeat(rng.zipf(1.3, searches) % QUERIES, LIST)
        position = np.tile(np.arange(1, LIST + 1, dtype=np.uint16), searches)
        product = (query * 7_919 + position * (1 + rng.integers(0, 10, len(query)))) % PRODUCTS
        at = start + np.repeat(rng.integers(0, DAYS * 86_400, searches), LIST) * 1_000_000
        text = queries.gather(query)
        pl.DataFrame(
            {
                "query_id": text,
                "query": text,
                "product_id": products.gather(product),
                "position": position,
                "shown_at": pl.Series(at).cast(pl.Datetime("us", "UTC")),
                "clicked": rng.random(len(query)) < 0.3 / position,
                "add_to_cart": rng.random(len(query)) < 0.02,
                "purchase": rng.random(len(query)) < 0.01,
            }
        ).write_parquet(directory / f"{part:03}.parquet", compression="zstd", compression_level=1)
    return products.to_frame("product_id")
