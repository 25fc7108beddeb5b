"""Tables to parts: a row an event, a row a product shown, or a row a search with lists of results and clicks.

>>> table = pl.DataFrame(
...     {"search_id": ["s"], "query": ["hat"], "product_id": ["p"], "action": ["click"], "time": [0], "position": [3]}
... )
>>> part = read(table, 0, LogMapping(shape="events"))
>>> part.rows.select("product_id", "place").row(0), dict(part.counts.actions)
(('p', 3), {'click': 1})
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.gathering import Part
from ltr.judgments.mapping import LogMapping, meaning
from ltr.judgments.report import Counts, Fates
from ltr.judgments.rows import (
    BITS,
    CART,
    CLICK,
    DERIVED,
    DOC,
    HIT,
    PURCHASE,
    ROWS,
    SHIFT,
    SHOWN,
    TELLINGS,
    VISITS,
    pairs,
    under,
)
from ltr.judgments.tables import flags

__all__ = ["read"]

_FLAGS: Final = {"clicked": CLICK, "add_to_cart": CART, "purchase": PURCHASE}
_ALIGNED: Final = ("position", "clicked_at", "dwell_s", "revenue", "propensity")
_DAY: Final = 86_400_000_000
_PLACES: Final = 1 << 30


def read(table: pl.DataFrame, number: int, mapping: LogMapping) -> Part:
    """The rows of a batch of a table under our names, the ``number``-th of the log."""
    counts = Counts()
    counts.read = table.height
    fates = Fates(table.height)
    at = "time" if mapping.shape == "events" else "shown_at"
    frame = table.rename({at: "at"}).with_columns(
        number=pl.int_range(number << SHIFT, (number << SHIFT) + pl.len(), dtype=pl.UInt64)
    )
    if "search_id" not in frame.columns:
        frame = frame.with_columns(search_id=pl.format("row {}", "number"))
    for name in ("query", "session_id", "user_id", "device", "variant", "team", "event_id"):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    fates.drop("no_timestamp", frame["at"].is_null().to_numpy())
    shape = {"events": _events, "shown": _impressions, "searches": _searches}[mapping.shape]
    rows = shape(_hashed(frame), fates, mapping, counts)
    fates.count(counts, np.arange(table.height))
    return _part(rows, counts, table)


def _events(frame: pl.DataFrame, fates: Fates, mapping: LogMapping, counts: Counts) -> pl.DataFrame:
    often = dict(frame["action"].drop_nulls().value_counts().rows())
    counts.actions.update(often)
    bits = {action: BITS[meaning(action, mapping.actions)] for action in often}
    what = (
        frame["action"].replace_strict(bits, default=0, return_dtype=pl.UInt8)
        if bits
        else pl.zeros(frame.height, pl.UInt8, eager=True)
    )
    fates.drop("no_action", frame["action"].is_null().to_numpy())
    visiting = fates.alive
    fates.drop("other_action", (what == 0).to_numpy())
    _need(frame, fates)
    shown = fates.alive & (what == SHOWN).to_numpy()
    frame = _placed(frame.with_columns(what=what), counts, shown)
    return frame.filter(pl.Series(visiting)).with_columns(alive=pl.Series(fates.alive[visiting]))


def _impressions(frame: pl.DataFrame, fates: Fates, mapping: LogMapping, counts: Counts) -> pl.DataFrame:
    what = np.full(frame.height, SHOWN, np.uint8)
    for name, bit in _FLAGS.items():
        if name in frame.columns:
            # A flag that is empty is a no, as the tables of many logs have it.
            what |= np.where(frame[name].fill_null(False).to_numpy(), bit, 0).astype(np.uint8)
    _need(frame, fates)
    frame = _placed(frame.with_columns(what=pl.Series(what)), counts, fates.alive)
    return frame.filter(pl.Series(fates.alive)).with_columns(alive=pl.lit(True))


def _searches(frame: pl.DataFrame, fates: Fates, mapping: LogMapping, counts: Counts) -> pl.DataFrame:
    """A record of each search, its list as result ids, and what was done as derived rows."""
    size = frame["product_id"].list.len()
    aligned: list[str] = [name for name in _ALIGNED if name in frame.columns]
    actions = [name for name in _FLAGS if name in frame.columns]
    way = {name: mapping.clicked_by or _way(frame[name], frame["product_id"]) for name in actions}
    aligned += [name for name in actions if way[name] == "flag"]
    for name in aligned:
        length = frame[name].list.len()
        fates.drop("wrong_type", ((length != size) & (length > 0)).to_numpy())
    fates.drop("no_search_id", frame["search_id"].is_null().to_numpy())
    frame = frame.filter(pl.Series(fates.alive))
    full = [
        pl.when(pl.col(name).list.len() == pl.col("product_id").list.len())
        .then(name)
        .otherwise(pl.lit(None))
        .alias(name)
        for name in aligned
    ]
    wide = frame.with_columns(full).with_columns(
        rank=pl.int_ranges(1, pl.col("product_id").list.len() + 1, dtype=pl.Int64)
    )
    # A list that is not told is as good as nulls for each product.
    wide = wide.with_columns(
        pl.when(pl.col(name).is_null())
        .then(pl.lit(None).repeat_by(pl.col("product_id").list.len()))
        .otherwise(name)
        .alias(name)
        for name in aligned
    )
    hits = wide.explode("product_id", "rank", *aligned, empty_as_null=False).filter(pl.col("product_id").is_not_null())
    place = _from_one(hits["position"], mapping) if "position" in aligned else hits["rank"]
    hits = hits.with_columns(place=place.fill_null(hits["rank"]).cast(pl.Int32), what=pl.lit(HIT | DERIVED, pl.UInt8))
    done = [_done(wide, hits, name, way[name], mapping) for name in actions]
    docs = frame.with_columns(
        what=pl.when(pl.col("product_id").list.len() > 0).then(DOC | HIT).otherwise(DOC).cast(pl.UInt8),
        product_id=pl.lit(None, pl.String),
    ).drop(*aligned, *(name for name in actions if name not in aligned))
    long = pl.concat([docs, hits.drop("rank", *actions), *done], how="diagonal_relaxed")
    return _hashed(long.drop("search", "visitor", "session", "pair", "event", "inner", strict=False)).with_columns(
        alive=pl.lit(True)
    )


def _done(wide: pl.DataFrame, hits: pl.DataFrame, name: str, way: str, mapping: LogMapping) -> pl.DataFrame:
    """A derived row for each product of a search that was clicked, added or bought."""
    kept = [
        c
        for c in (
            "number",
            "at",
            "search_id",
            "query",
            "session_id",
            "user_id",
            "product_id",
            "clicked_at",
            "dwell_s",
            "revenue",
        )
        if c in hits.columns
    ]
    what = pl.lit(_FLAGS[name] | DERIVED, pl.UInt8)
    if way == "flag":
        found = hits.filter(flags(hits[name]).fill_null(False))
    elif way == "position":
        asked = wide.select("number", name).explode(name, empty_as_null=False).drop_nulls()
        position = asked[name].cast(pl.Int64, strict=False)
        asked = asked.select("number", place=_from_one(position, mapping).cast(pl.Int32))
        found = hits.join(asked.unique(), on=["number", "place"], how="semi")
    else:
        asked = wide.select("number", product_id=pl.col(name)).explode("product_id", empty_as_null=False).drop_nulls()
        known = [c for c in kept if c not in ("number", "product_id")]
        told = hits.unique(["number", "product_id"], keep="first", maintain_order=True).select(
            "number", "product_id", *[c for c in known if c in ("clicked_at", "dwell_s", "revenue")]
        )
        searches = wide.select(
            "number", *[c for c in known if c in wide.columns and c not in ("clicked_at", "dwell_s", "revenue")]
        )
        found = asked.join(searches, on="number").join(told, on=["number", "product_id"], how="left")
    return found.select(kept).with_columns(what=what)


def _way(told: pl.Series, products: pl.Series) -> str:
    """Flags where each search has as many as products and all are yes or no; else products."""
    flat = told.explode(empty_as_null=False).drop_nulls()
    same = (told.list.len() == products.list.len()).all()
    words = flat.str.to_lowercase().is_in(["true", "false", "0", "1"]).all() if flat.len() else False
    return "flag" if same and words else "product"


def _from_one(positions: pl.Series, mapping: LogMapping) -> pl.Series:
    """Positions counted from 1: from 0 where the mapping says so, or where it says nothing and a 0 is among them."""
    first = mapping.first_position
    if first is None:
        first = 0 if (positions == 0).any() else 1
    return positions + (1 - first)


def _need(frame: pl.DataFrame, fates: Fates) -> None:
    fates.drop("no_search_id", frame["search_id"].is_null().to_numpy())
    fates.drop("no_product", frame["product_id"].is_null().to_numpy())


def _placed(frame: pl.DataFrame, counts: Counts, shown: NDArray[np.bool_]) -> pl.DataFrame:
    if "position" not in frame.columns:
        frame = frame.with_columns(position=pl.lit(None, dtype=pl.Int64))
    place = pl.when(pl.col("position").abs() <= _PLACES).then("position").cast(pl.Int32)
    placed = frame.with_columns(place=place)
    missing = shown & placed["place"].is_null().to_numpy()
    counts.note("position_missing", int(missing.sum()))
    return placed


def _hashed(frame: pl.DataFrame) -> pl.DataFrame:
    def of(name: str) -> pl.Expr:
        return pl.when(pl.col(name).is_null()).then(pl.lit(0, pl.UInt64)).otherwise(pl.col(name).hash())

    scalar = frame.schema["product_id"] == pl.String
    hashed = frame.with_columns(
        search=of("search_id"),
        visitor=of("user_id"),
        session=of("session_id"),
        event=of("event_id") if "event_id" in frame.columns else pl.lit(0, pl.UInt64),
        inner=pl.lit(0, pl.UInt64),
        pair=of("product_id") if scalar else pl.lit(0, pl.UInt64),
    ).with_columns(
        visitor=pl.when(pl.col("visitor") > 0).then("visitor").otherwise("session"),
    )
    arrays = {name: hashed[name].to_numpy() for name in ("search", "pair", "visitor", "session")}
    return hashed.with_columns(
        pl.Series("pair", pairs(arrays["search"], arrays["pair"])),
        pl.Series("session", pairs(arrays["visitor"], arrays["session"])),
    )


def _part(rows: pl.DataFrame, counts: Counts, table: pl.DataFrame) -> Part:
    if "source" not in rows.columns:
        rows = rows.with_columns(source=pl.lit(0, pl.UInt16))
    alive = rows.filter("alive")
    texts = ("search_id", "query", "session_id", "user_id", "device", "variant", "team")
    told = alive.filter((pl.col("what") & (HIT | DERIVED) != HIT | DERIVED) & (pl.col("search") > 0))
    timed = rows.filter((pl.col("what") & (HIT | DERIVED) != HIT | DERIVED) & (pl.col("visitor") > 0))
    near = (
        alive.filter(pl.col("place").is_between(0, 1) & (pl.col("what") & DERIVED == 0))
        if "place" in alive.columns
        else alive.clear()
    )
    shown = pl.col("what") & SHOWN > 0
    counted = near.group_by("source", shown.alias("shown"), "place").len() if near.height else None
    days = (rows.filter(pl.col("what") & DERIVED == 0)["at"] // _DAY).value_counts()
    return Part(
        counts=counts,
        rows=under(ROWS, alive),
        tellings=under(
            TELLINGS,
            told.sort("at", maintain_order=True).unique(
                ["search", *texts[1:], "what"], keep="first", maintain_order=True
            ),
        ),
        visits=under(VISITS, timed),
        size=int(table.estimated_size()),
        firsts=Counter(
            {(source, said, place): count for source, said, place, count in counted.rows()}
            if counted is not None
            else {}
        ),
        listed=frozenset({0} if alive.filter(shown).height else ()),
        days=Counter(dict(days.rows())),
    )
