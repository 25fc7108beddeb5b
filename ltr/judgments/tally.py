"""Counts by key within a bound on memory, whatever the number of keys.

Memory follows the groups, not the rows. Their number is estimated by HyperLogLog (Flajolet, Fusy, Gandouet & Meunier, AofA
2007) over a hash of the key; where they fit, they are counted in one pass, else rows are parted by that hash on disk, so that
each part's groups fit by themselves (Shatdal & Naughton, Adaptive parallel aggregation algorithms, SIGMOD 1995).

>>> log = pl.LazyFrame({"product_id": ["a", "b", "a"], "clicked": [True, False, True]})
>>> counts = tally(log, ["product_id"], {"shown": pl.len(), "clicked": pl.col("clicked").sum()})
>>> counts.collect().sort("product_id").rows()
[('a', 2, 2), ('b', 1, 0)]
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Final

import polars as pl

from ltr.errors import DataError, suggestion

__all__ = ["groups_of", "parts_for", "tally"]

# What a group takes beyond its key and its sums: hash tables of every thread, and their merging. Measured with polars 2.1.
_OVERHEAD: Final = 150
# Parts are a quarter of the bound: smaller hash tables are faster, and one part is read while another is let go.
_SHARE: Final = 4
_MOST: Final = 256
_ODD: Final = 0x9E3779B97F4A7C15


def tally(
    impressions: pl.LazyFrame,
    by: Sequence[str],
    sums: Mapping[str, pl.Expr],
    *,
    memory_mib: int = 1024,
    directory: Path | None = None,
) -> pl.LazyFrame:
    """Sums by key, in no particular order.

    Args:
        impressions: rows, read as often as there are steps: once to estimate, once to count or to part.
        by: columns of the key.
        sums: name -> a sum over the group's rows, such as ``pl.len()`` or ``pl.col("clicked").sum()``.
        memory_mib: what the groups may take; the process has some 300 MiB beside them.
        directory: where parts are spilled when there are several, in files of its own; None = a temporary one that goes
            when the process ends. The frame that is returned reads from it.

    Raises:
        DataError: a column of the key is not there.
    """
    columns = impressions.collect_schema().names()
    for name in by:
        if name not in columns:
            raise DataError(f"there is no column {name!r} to count by", hint=suggestion(name, columns, noun="columns"))
    parts = parts_for(impressions, by, len(sums), memory_mib=memory_mib)
    if parts == 1:
        return impressions.group_by(by).agg(**sums).collect(engine="streaming").lazy()
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="ltr-tally-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="tally-", dir=directory))
    rows = own / "rows"
    needed = dict.fromkeys([*by, *(name for expression in sums.values() for name in expression.meta.root_names())])
    parted = impressions.select(*needed, (_hash(by) % parts).cast(pl.UInt16).alias("= part"))
    try:
        scheme = pl.PartitionBy(rows, key="= part", include_key=False)
        parted.sink_parquet(scheme, compression="lz4", statistics=False, mkdir=True, engine="streaming")
        if not rows.exists():  # no row, no part
            return impressions.group_by(by).agg(**sums).collect(engine="streaming").lazy()
        for number, part in enumerate(sorted(rows.iterdir())):
            counted = pl.scan_parquet(part / "*.parquet", hive_partitioning=False).group_by(by).agg(**sums)
            counted.sink_parquet(own / f"{number:05}.parquet", compression="lz4", engine="streaming")
            shutil.rmtree(part)
    finally:
        shutil.rmtree(rows, ignore_errors=True)
    return pl.scan_parquet(own / "*.parquet")


def parts_for(impressions: pl.LazyFrame, by: Sequence[str], sums: int, *, memory_mib: int) -> int:
    """How many parts keep the groups within the bound; 1 where they all do."""
    memory = memory_mib << 20
    rows = int(impressions.select(pl.len()).collect(engine="streaming").item())
    keys = impressions.select(by).head(1_000).collect(engine="streaming")
    width = _OVERHEAD + 8 * sums + (int(keys.estimated_size()) // keys.height if keys.height else 0)
    # The estimate reads the keys, which is not needed where even a group a row would fit.
    if rows * width <= memory or (groups := groups_of(impressions, by)) * width <= memory:
        return 1
    return min(_MOST, 1 + groups * int(width) * _SHARE // memory)


def groups_of(impressions: pl.LazyFrame, by: Sequence[str]) -> int:
    """About how many keys there are, to some per cent."""
    return int(impressions.select(_hash(by).approx_n_unique()).collect(engine="streaming").item())


def _hash(by: Sequence[str]) -> pl.Expr:
    return reduce(lambda mixed, name: mixed * _ODD + pl.col(name).hash(), by[1:], pl.col(by[0]).hash())
