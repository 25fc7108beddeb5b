"""What every reader makes of a log: rows, each of one product in one search; tellings of searches; visits.

They are parted and joined by hashes of 64 bits, made once where the log is read: of ten million rows that are joined at a
time, two differing ones meet by chance once in 400,000 logs. Only a row's product is kept as a text; the texts of a search,
which a log repeats in each of its events, are told once or a few times.

>>> rows = under(ROWS, pl.DataFrame({"what": [SHOWN], "place": [3]}))
>>> rows.select("what", "place", "source").row(0), rows.schema == pl.Schema(ROWS)
((4, 3, None), True)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = [
    "BITS",
    "CART",
    "CLICK",
    "DERIVED",
    "DOC",
    "HIT",
    "PURCHASE",
    "ROWS",
    "SHIFT",
    "SHOWN",
    "TELLINGS",
    "VISITS",
    "pairs",
    "under",
]

# What a row says: a search's own record, an element of its result ids, an impression, a click ... A row of a table may say
# several things at once. What is derived is no record of the log.
DOC, HIT, SHOWN, CLICK, CART, PURCHASE, DERIVED = 1, 2, 4, 8, 16, 32, 64
BITS: Final = {"impression": SHOWN, "click": CLICK, "add_to_cart": CART, "purchase": PURCHASE, "none": 0}

# A record's number is its block's, so many bits up, and its row in the block.
SHIFT: Final = 24

ROWS: Final[dict[str, Any]] = {
    "number": pl.UInt64,  # the record's place in the log
    "what": pl.UInt8,
    "at": pl.Int64,  # µs since 1970 UTC
    "place": pl.Int32,  # the position as logged; of a HIT, 1 = first
    "source": pl.UInt16,  # the application, which settles where positions begin
    "search": pl.UInt64,
    "pair": pl.UInt64,  # of search and product
    "inner": pl.UInt64,  # of search and the product's other id, 0 where it has none
    "event": pl.UInt64,  # of the event's own id, 0 where it has none
    "product_id": pl.String,
    "clicked_at": pl.Int64,
    "dwell_s": pl.Float32,
    "revenue": pl.Float64,
    "propensity": pl.Float32,
}

TELLINGS: Final[dict[str, Any]] = {
    "what": pl.UInt8,
    "at": pl.Int64,
    "search": pl.UInt64,
    "visitor": pl.UInt64,  # of UBI's client, else the user, else the session; 0 where none is known
    "session": pl.UInt64,  # of the visitor's session
    "search_id": pl.String,
    **dict.fromkeys(("query", "session_id", "user_id", "client_id", "device", "variant", "team"), pl.String),
}

VISITS: Final[dict[str, Any]] = {
    "number": pl.UInt64,
    "what": pl.UInt8,
    "at": pl.Int64,
    "search": pl.UInt64,
    "pair": pl.UInt64,
    "visitor": pl.UInt64,
    "session": pl.UInt64,
}

# Odd, so that nothing is lost: a product's hash is no search's.
_PAIR: Final = np.uint64(0x9E3779B97F4A7C15)


def pairs(searches: NDArray[np.uint64], products: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of searches with products."""
    return searches * _PAIR + products


def under(schema: Mapping[str, Any], frame: pl.DataFrame) -> pl.DataFrame:
    """The frame under a schema of this module; what it lacks is null."""
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.repeat(None, frame.height, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )
