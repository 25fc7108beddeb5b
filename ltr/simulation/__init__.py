"""Simulated shoppers: clicks whose truth is known, to judge what is learnt from clicks.

The contract: ``Users`` say how a result list is read. ``clicks`` lets them search each list of ``shown`` so many times and
returns an impressions frame (``ltr.frames``); ``truth_of`` says what was behind it. ``shoppers`` simulates a whole shop over
days, with sessions, trends, new products, bots and production rankers, in Parquet parts of one day; ``write_ubi`` writes
those as a UBI log, with the truth in a directory of its own that no training reads. One seed is one log, and there is no
clock: time starts at ``start``.

>>> import polars as pl
>>> shown = pl.DataFrame({"query_id": "q", "query": "shoe", "product_id": ["p1", "p2"], "position": [1, 2]})
>>> log = clicks(shown, attraction_of([0, 1], 1), users=Users("pbm"), searches=10_000, seed=7)
>>> [round(rate, 2) for rate in log.group_by("position", maintain_order=True).agg(pl.col("clicked").mean())["clicked"]]
[0.1, 0.5]
"""

from __future__ import annotations

from ltr.simulation.clicking import Truth, clicks, truth_of
from ltr.simulation.season import SCHEMES, START, Season
from ltr.simulation.shopping import Simulated, shoppers
from ltr.simulation.ubi import write_truth, write_ubi
from ltr.simulation.users import KINDS, Users, attraction_of

__all__ = [
    "KINDS",
    "SCHEMES",
    "START",
    "Season",
    "Simulated",
    "Truth",
    "Users",
    "attraction_of",
    "clicks",
    "shoppers",
    "truth_of",
    "write_truth",
    "write_ubi",
]
