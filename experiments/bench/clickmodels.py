"""The position-based model on 10 million searches of 10 products, from Parquet impressions to attraction, beside a plain EM.

The peer is what is commonly written: polars' own group-by of the same file, and vectorised EM over its cells in numpy until
no parameter moves by more than 1e-4. Both read the same Parquet; each runs in a process of its own, for its peak memory.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

SEARCHES, SHOWN, QUERIES, POOL, RANKERS, PART = 10_000_000, 10, 100_000, 20, 4, 500_000
TRUTH = 1 / np.arange(1, SHOWN + 1)


def measure() -> list[dict[str, object]]:
    """Seconds and peak memory of either, and how far its examination is from the truth."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory)
        write(log, searches=SEARCHES, queries=QUERIES)
        ours, peer = _alone("ours", log), _alone("peer", log)
    size = f"PBM, {SEARCHES:,} searches × {SHOWN}"
    return [
        {"what": f"{size}, Parquet to attraction", "value": round(ours["seconds"], 1), "unit": "s", "bound": 15},
        {"what": f"{size}, peak memory", "value": round(ours["gib"], 2), "unit": "GiB", "bound": 2},
        {"what": f"{size}, examination, largest error", "value": round(ours["error"], 4), "unit": "", "bound": 0.02},
        {"what": f"{size}, polars and numpy EM", "value": round(peer["seconds"], 1), "unit": "s", "bound": None},
        {"what": f"{size}, polars and numpy EM, largest error", "value": round(peer["error"], 4), "unit": "", "bound": None},
        {"what": f"{size}, polars and numpy EM, peak memory", "value": round(peer["gib"], 2), "unit": "GiB", "bound": None},
        {"what": f"{size}, ours ÷ polars and numpy EM", "value": round(ours["seconds"] / peer["seconds"], 3), "unit": "×", "bound": 1.0},
    ]  # fmt: skip


def write(directory: Path, *, searches: int, queries: int) -> None:
    """Impressions of PBM users (examination 1/position) over the lists of several rankers, queries by Zipf's law."""
    rng = np.random.default_rng(7)
    weight = 1 / np.arange(1, queries + 1) ** 0.8
    odds = np.cumsum(weight / weight.sum())
    attraction = rng.choice([0.05, 0.05, 0.1, 0.3, 0.6, 0.9], size=(queries, POOL)).astype(np.float32)
    orders = [
        np.argsort(-(attraction + rng.normal(0, 0.4, attraction.shape)), axis=1)[:, :SHOWN] for _ in range(RANKERS)
    ]
    rankings = np.stack(orders).astype(np.int16)
    first = rng.integers(1_000_000, size=queries)
    query_ids = pl.Series([f"red shoe number {number}" for number in range(queries)])
    product_ids = pl.Series([f"B{number:09}" for number in range(1_000_000)])
    for part, start in enumerate(range(0, searches, PART)):
        size = min(PART, searches - start)
        query = np.minimum(np.searchsorted(odds, rng.random(size)), queries - 1)
        shown = rankings[rng.integers(RANKERS, size=size), query]
        clicked = rng.random(shown.shape, dtype=np.float32) < attraction[query[:, None], shown] * TRUTH
        number = pl.Series([f"{start + at:09}" for at in range(size)])
        pl.DataFrame(
            {
                "search_id": number.gather(np.repeat(np.arange(size), SHOWN)),
                "query_id": query_ids.gather(np.repeat(query, SHOWN)),
                "product_id": product_ids.gather(((first[query][:, None] + shown * 37) % 1_000_000).ravel()),
                "position": np.tile(np.arange(1, SHOWN + 1, dtype=np.uint16), size),
                "clicked": clicked.ravel(),
            }
        ).write_parquet(directory / f"{part:04}.parquet", compression_level=1)


def ours(directory: Path) -> np.ndarray:
    """The examination by ltr."""
    from ltr.judgments import PBM

    return PBM.fit(pl.scan_parquet(directory / "*.parquet")).examination


def peer(directory: Path) -> np.ndarray:
    """The examination by polars' group-by and EM in numpy (Craswell et al., WSDM 2008)."""
    by = ("query_id", "product_id", "position")
    counts = pl.scan_parquet(directory / "*.parquet").group_by(by).agg(shown=pl.len(), clicked=pl.col("clicked").sum())
    cells = counts.collect(engine="streaming")
    pair = cells.select(pl.struct("query_id", "product_id").rank("dense") - 1).to_series().to_numpy().astype(np.int64)
    place = cells["position"].to_numpy().astype(np.int64) - 1
    shown, clicked = (cells[name].to_numpy().astype(np.float64) for name in ("shown", "clicked"))
    of_pair, of_place = np.bincount(pair, shown), np.bincount(place, shown)
    a, e, moved = np.full(len(of_pair), 0.5), np.full(len(of_place), 0.5), 1.0
    while moved > 1e-4:
        read, attracts = e[place], a[pair]
        neither = 1 - read * attracts
        following = np.bincount(place, clicked + (shown - clicked) * read * (1 - attracts) / neither) / of_place
        a = np.bincount(pair, clicked + (shown - clicked) * attracts * (1 - read) / neither) / of_pair
        moved, e = float(np.abs(following - e).max()), following
    return e / e[0]


def _alone(which: str, directory: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, which, str(directory)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def _main(which: str, directory: str) -> None:
    import resource

    start = time.perf_counter()
    found = {"ours": ours, "peer": peer}[which](Path(directory))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    error = float(np.abs(found[:SHOWN] - TRUTH).max())
    sys.stdout.write(json.dumps({"seconds": seconds, "gib": peak, "error": error}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
