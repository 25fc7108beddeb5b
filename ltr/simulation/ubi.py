"""A simulated log as User Behavior Insights 1.3 (o19s/ubi), the truth beside it in a directory of its own.

    ubi_queries.ndjson    a line a search: query_id (our search_id), client_id, user_query, query_response_hit_ids; in
                          query_attributes the production ranker (``variant``), the ``device``, and of a randomised list
                          ``propensity``: a number for each hit, with commas between
    ubi_events.ndjson     impression, click, add_to_cart and purchase (with its ``revenue``), each with object_id and the
                          ordinal of its position, 1 = top; in the order of time within a part
    impressions/          the same as Parquet (``ltr.frames``), a part a day
    truth/                attraction, examination, products and bots as Parquet, and what the simulation was asked

The schema gives each field of an event one type and allows no null, so that an event has only the fields that it can fill.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl
import tomlkit

from ltr.errors import ConfigError
from ltr.progress import bar
from ltr.simulation.seeds import stream
from ltr.simulation.shopping import Simulated

__all__ = ["APPLICATION", "write_truth", "write_ubi"]

APPLICATION: Final = "ltr-simulation"
# The stream of a seed that decides which impressions are lost; ``world`` and ``shoppers`` have those before it.
_LOST: Final = 4
# An event follows the one before by this share of the dwell time.
_ACTIONS: Final = {"click": 0.0, "add_to_cart": 0.5, "purchase": 0.9}
_FLAGS: Final = {"click": "clicked", "add_to_cart": "add_to_cart", "purchase": "purchase"}


def write_ubi(simulated: Simulated, directory: Path) -> None:
    """Write the log, the Parquet parts where they lie elsewhere, and the truth; ConfigError where that cannot be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        parts = simulated.parts
        with (
            (directory / "ubi_queries.ndjson").open("wb") as queries,
            (directory / "ubi_events.ndjson").open("wb") as events,
            bar("writing days", total=len(parts)) as advance,
        ):
            for number, path in enumerate(parts):
                log = pl.read_parquet(path)
                _write_lines(_queries(log), queries)
                _write_lines(_events(log, simulated, number), events)
                advance(1)
        if simulated.impressions.resolve() != (directory / "impressions").resolve():
            shutil.copytree(simulated.impressions, directory / "impressions")
        write_truth(simulated, directory / "truth")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{directory} could not be written: {error}", hint="free some space") from error


def write_truth(simulated: Simulated, directory: Path) -> None:
    """Write what is true, and what was asked for, into a directory that no training reads."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("attraction", "examination", "products", "bots"):
        frame = getattr(simulated.truth, name)
        if frame is not None:
            frame.write_parquet(directory / f"{name}.parquet")
    asked = {
        "seed": simulated.seed,
        # TOML has no null: what is not set is not there.
        "users": {name: value for name, value in asdict(simulated.users).items() if value is not None},
        "season": asdict(simulated.season),
        "counts": dict(simulated.counts),
    }
    (directory / "simulation.toml").write_text(tomlkit.dumps(asked), encoding="utf-8")


def _queries(log: pl.DataFrame) -> pl.DataFrame:
    searches = log.group_by("search_id", maintain_order=True).agg(
        pl.col("shown_at", "user_id", "query", "variant", "device").first(),
        pl.col("product_id"),
        # The same number throughout says nothing that one does not.
        propensity=pl.when(pl.col("propensity").min() < 1).then(
            pl.col("propensity").cast(pl.Float64).round(6).cast(pl.String).str.join(",")
        ),
    )
    document = [
        _timestamp("shown_at").alias("timestamp"),
        pl.col("search_id").alias("query_id"),
        pl.col("user_id").alias("client_id"),
        pl.col("query").alias("user_query"),
        pl.lit(APPLICATION).alias("application"),
        pl.lit("product_id").alias("object_id_field"),
        pl.concat_str("search_id", pl.lit("-r")).alias("query_response_id"),
        pl.col("product_id").alias("query_response_hit_ids"),
    ]
    randomised = pl.col("propensity").is_not_null()
    lines = [
        searches.filter(chosen).select(
            "shown_at", line=pl.struct(*document, query_attributes=pl.struct(names)).struct.json_encode()
        )
        for chosen, names in (
            (~randomised, ["variant", "device"]),
            (randomised, ["variant", "device", "propensity"]),
        )
    ]
    return pl.concat(lines).sort("shown_at", maintain_order=True).select("line")


def _events(log: pl.DataFrame, simulated: Simulated, number: int) -> pl.DataFrame:
    seen = log
    if simulated.season.missing:
        luck = stream(simulated.seed, _LOST, number).random(log.height)
        seen = log.filter(pl.Series(luck >= simulated.season.missing))
    kinds = [_lines(seen.with_columns(at="shown_at"), "impression")]
    for action, share in _ACTIONS.items():
        done = log.filter(_FLAGS[action])
        # A click that the log lost has left no time; what followed it is told from when the list was shown.
        dwell = pl.duration(milliseconds=pl.col("dwell_s").fill_null(60.0).cast(pl.Float64) * 1_000 * share)
        kinds.append(_lines(done.with_columns(at=pl.coalesce("clicked_at", "shown_at") + dwell), action))
    return pl.concat(kinds).sort("at", maintain_order=True).select("line")


def _lines(events: pl.DataFrame, action: str) -> pl.DataFrame:
    details = [
        pl.struct(
            object_id=pl.col("product_id"), object_id_type=pl.lit("product"), object_id_field=pl.lit("product_id")
        ).alias("object"),
        pl.struct(ordinal=pl.col("position")).alias("position"),
    ]
    if action == "purchase" and "revenue" in events.columns:
        details.append(pl.col("revenue"))
    event = pl.struct(
        application=pl.lit(APPLICATION),
        action_name=pl.lit(action),
        query_id=pl.col("search_id"),
        session_id=pl.col("session_id"),
        client_id=pl.col("user_id"),
        user_id=pl.col("user_id"),
        timestamp=_timestamp("at"),
        message_type=pl.lit("QUERY" if action == "impression" else "CONVERSION"),
        user_query=pl.col("query"),
        event_attributes=pl.struct(*details),
    )
    return events.select("at", line=event.struct.json_encode())


def _timestamp(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")


def _write_lines(lines: pl.DataFrame, file: BinaryIO) -> None:
    # JSON knows no line break inside a string: a line is never quoted.
    lines.write_csv(file, include_header=False, quote_style="never")
