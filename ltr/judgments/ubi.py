"""User Behavior Insights, 1.0 to 1.3 (o19s/ubi, opensearch-project/user-behavior-insights): a block of lines to rows.

Searches (``ubi_queries``) and events (``ubi_events``) may stand in one file or in several, in any order, as lines, as bulk
requests with their action lines, as arrays of events (Data Prepper), or wrapped in ``_source``. UBI's ``query_id`` is our
``search_id``; its ``client_id`` stands for the user where ``user_id`` is empty. Positions are written as a number or, before
1.2, as ``{"index": n}``; result ids as ``query_response_hit_ids`` or, as the documentation has it,
``query_response_objects_ids``.

Beyond the schema, ``query_attributes`` may hold ``variant`` (or ``experiment_id``), ``device``, ``team`` and ``propensity``
(one number, or one for each result id with commas between), and ``event_attributes`` a ``revenue`` and a ``propensity``.

>>> line = b'{"action_name": "click", "timestamp": "2026-01-01T00:00:00Z", "query_id": "s", "client_id": "c", '
>>> line += b'"event_attributes": {"object": {"object_id": "p"}, "position": {"ordinal": {"index": 2}}}}'
>>> part = read_block(padded(line), 0, Reader.of(None))
>>> part.rows.select("product_id", "place").row(0), part.tellings.select("search_id", "user_id").row(0)
(('p', 2), ('s', 'c'))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.columns import BAD, EPOCH, FINE, KINDS, NO_ZONE, STATES, Columns, Table, Wanted, columns, padded
from ltr.judgments.gathering import Part
from ltr.judgments.mapping import LogMapping, meaning
from ltr.judgments.report import Counts, Fates
from ltr.judgments.rows import BITS, DERIVED, DOC, HIT, ROWS, SHIFT, SHOWN, TELLINGS, VISITS, pairs, under

__all__ = ["PATHS", "Reader", "padded", "read_block"]

_EVENT: Final = "event_attributes"
_SEARCH: Final = "query_attributes"

# Where UBI keeps what; the first that is given counts.
PATHS: Final[dict[str, tuple[str, ...]]] = {
    "action": ("action_name",),
    "search_id": ("query_id",),
    "query": ("user_query",),
    "time": ("timestamp",),
    "session_id": ("session_id", f"{_EVENT}.session_id"),
    "user_id": ("user_id",),
    "client_id": ("client_id",),
    "application": ("application",),
    "product_id": (f"{_EVENT}.object.object_id", f"{_EVENT}.data.object_id", f"{_EVENT}.data.data_id"),
    "internal_id": (f"{_EVENT}.object.internal_id", f"{_EVENT}.data.internal_id"),
    "position": (f"{_EVENT}.position.ordinal", f"{_EVENT}.position.ordinal.index"),
    "hits": ("query_response_hit_ids", "query_response_objects_ids"),
    "event_id": ("event_id", "_id"),
    "revenue": (f"{_EVENT}.revenue",),
    "propensity": (f"{_EVENT}.propensity", f"{_SEARCH}.propensity"),
    "variant": (f"{_SEARCH}.variant", f"{_SEARCH}.experiment_id", f"{_EVENT}.variant"),
    "device": (f"{_SEARCH}.device", f"{_EVENT}.device"),
    "team": (f"{_SEARCH}.team", f"{_EVENT}.team"),
}
_TEXTS: Final = (
    *("search_id", "query", "session_id", "user_id", "client_id", "product_id", "internal_id", "event_id"),
    *("revenue", "propensity", "variant", "device", "team"),
)
# Further members that tell what a record is.
_ROW_TEXTS: Final = ("product", "revenue", "propensity")
_TELLING_TEXTS: Final = ("search_id", "query", "session_id", "user_id", "client_id", "device", "variant", "team")
_BULK: Final = ("index", "create", "update", "delete")
_TELLING: Final = (_EVENT, "query", "message", "message_type", *_BULK, "index._id", "create._id")

_LARGEST: Final = 1 << 30
_DAY: Final = 86_400_000_000
_K: Final = {kind: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Reader:
    """How lines become rows: which members are kept, what an action means; applications get their numbers as they come."""

    wanted: Wanted
    slots: dict[str, tuple[int, ...]]
    mapping: LogMapping | None
    sources: dict[str, int] = field(default_factory=lambda: {"": 0})
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def form(self) -> str:
        """The format of times, "" where they are ISO 8601 or numbers."""
        return self.mapping.time if self.mapping and "%" in self.mapping.time else ""

    @classmethod
    def of(cls, mapping: LogMapping | None) -> Reader:
        """UBI's own paths, but for those that a mapping names."""
        paths = dict(PATHS)
        for ours, theirs in (mapping.columns if mapping else {}).items():
            paths[ours] = (theirs,)
        names = dict.fromkeys(path for each in paths.values() for path in each) | dict.fromkeys(_TELLING)
        places = {path: place for place, path in enumerate(names)}
        table = Table.of({path: tuple(path.split(".")) for path in names}, wrapper="_source")
        slots = {ours: tuple(places[path] for path in each) for ours, each in paths.items()}
        slots |= {f"= {path}": (places[path],) for path in _TELLING}
        unit = mapping.time if mapping else ""
        texts = {name: slots[name] for name in _TEXTS} | {
            "product": slots["product_id"] + slots["internal_id"],
            "bulk_id": slots["= index._id"] + slots["= create._id"],
            **{name: slots[f"= {name}"] for name in ("message", "message_type")},
        }
        wanted = Wanted(
            table,
            texts=texts | ({"time": slots["time"]} if "%" in unit else {}),
            codes={"action": slots["action"][0], "application": slots["application"][0]},
            integers={str(place): slot for place, slot in enumerate(slots["position"])},
            instant=slots["time"][0],
            unit="" if "%" in unit else unit,
            arrays=slots["hits"],
            unhashed=frozenset({"product", "message_type", "revenue", "propensity", "time"}),
        )
        return cls(wanted, slots, mapping)

    def bits(self, actions: list[str]) -> NDArray[np.uint8]:
        """What each action says, as ``rows.BITS``; and, last, that none says nothing."""
        own = self.mapping.actions if self.mapping else {}
        return np.array([*(BITS[meaning(action, own)] for action in actions), 0], dtype=np.uint8)

    def numbers(self, applications: list[str]) -> NDArray[np.uint16]:
        """The applications' numbers; and, last, that of no application, 0."""
        with self._lock:
            found = [self.sources.setdefault(name, min(len(self.sources), 65_535)) for name in applications]
        return np.array([*found, 0], dtype=np.uint16)


def read_block(data: NDArray[np.uint8], number: int, reader: Reader) -> Part:
    """The rows of a padded block of lines, the ``number``-th of the log."""
    found = columns(data, reader.wanted)
    counts, fates = Counts(), Fates(len(found.states))
    for state, reason in enumerate(STATES[1:], start=1):
        fates.drop(reason, found.states == state)
    kinds = _Kinds(found, reader.slots)
    event, search, bulk = _told_apart(kinds, fates)
    counts.read = len(found.states) - int(bulk.sum())
    counts.note("bulk_action_line", int(bulk.sum()))

    hashes = found.hashes
    # The client stays who it is when a user logs in.
    visitor = np.where(hashes["client_id"] > 0, hashes["client_id"], hashes["user_id"])
    visitor = np.where(visitor > 0, visitor, hashes["session_id"])
    at, timed = found.instants if not reader.form else _formatted(found.texts((["time"], None))[0]["time"], reader.form)
    fates.drop("no_timestamp", (event | search) & ((timed == 0) | (timed == BAD)))
    bits = _bits(found, reader, event, counts)
    visiting = (event | search) & fates.alive
    fates.drop("other_action", event & (bits == 0))
    fates.drop("wrong_type", ((event | search) & kinds.unfit("search_id")) | (event & kinds.unfit("product_id")))
    fates.drop("no_search_id", (event | search) & (hashes["search_id"] == 0))
    product = np.where(hashes["product_id"] > 0, hashes["product_id"], hashes["internal_id"])
    fates.drop("no_product", event & (product == 0))
    fates.count(counts, found.lines)
    alive = fates.alive & (event | search)

    place = _places(found, reader, event & alive, bits, counts)
    application, named = found.codes["application"]
    sources = reader.numbers(named)[application]
    hits = _hits(found, search & alive)
    listed = np.zeros(len(bits), np.bool_)
    listed[hits["row"].to_numpy()] = True
    what = np.where(search, DOC | np.where(listed, HIT, 0), bits).astype(np.uint8)
    known = pl.DataFrame(
        {
            "number": np.arange(len(what), dtype=np.uint64) + np.uint64(number << SHIFT),
            "what": what,
            "at": at,
            "source": sources,
            "search": hashes["search_id"],
            "pair": pairs(hashes["search_id"], product),
            "visitor": visitor,
            "session": pairs(visitor, hashes["session_id"]),
        }
    ).with_columns(place)
    _note(counts, kinds, timed, event & alive, visiting, hashes)
    chosen, telling = np.flatnonzero(alive), _telling(known, hashes, alive)
    texts = found.texts((_ROW_TEXTS, chosen), (_TELLING_TEXTS, telling))
    rows = _rows(known[chosen] if len(chosen) < len(what) else known, texts[0], hashes, chosen)
    tellings = pl.concat([known[telling], texts[1]], how="horizontal")
    asked = _asked(found, known, event & fates.holding("other_action"))
    counts.note("query_from_message", asked.height)
    return Part(
        counts=counts,
        rows=rows if hits.is_empty() else pl.concat([rows, _listed(known, hits)]),
        tellings=under(TELLINGS, tellings.with_columns(user_id=pl.coalesce("user_id", "client_id"))).vstack(asked),
        visits=under(VISITS, _where(known, visiting & (visitor > 0))),
        size=len(data),
        lines=found.line_count,
        firsts=_firsts(known, event & alive),
        listed=frozenset(np.unique(sources[alive & (what == SHOWN)]).tolist()),
        days=Counter(
            dict(zip(*(each.tolist() for each in np.unique(at[visiting] // _DAY, return_counts=True)), strict=True))
        ),
        pending=int(hashes["bulk_id"][-1]) if len(what) else 0,
    )


def _where(known: pl.DataFrame, chosen: NDArray[np.bool_]) -> pl.DataFrame:
    return known if chosen.all() else known.filter(pl.Series(chosen))


def _rows(
    known: pl.DataFrame, text: pl.DataFrame, hashes: Mapping[str, NDArray[np.uint64]], chosen: NDArray[np.int64]
) -> pl.DataFrame:
    """The chosen records' rows."""
    own = {name: hashes[name][chosen] for name in ("search_id", "internal_id", "event_id")}
    # An action line's id is its record's, on the line below.
    bulk = np.where(chosen > 0, hashes["bulk_id"][np.maximum(chosen - 1, 0)], 0)
    rows = known.with_columns(
        text["product"].alias("product_id"),
        text["revenue"].cast(pl.Float64, strict=False),
        text["propensity"].cast(pl.Float32, strict=False),
        inner=np.where(own["internal_id"] > 0, pairs(own["search_id"], own["internal_id"]), 0),
        event=np.where(own["event_id"] > 0, own["event_id"], bulk),
    )
    return under(ROWS, rows)


def _listed(known: pl.DataFrame, hits: pl.DataFrame) -> pl.DataFrame:
    """The rows of result ids."""
    at = hits["row"]
    listed = hits.select(
        pl.col("text").alias("product_id"),
        pl.col("rank").alias("place"),
        "propensity",
        *(known[name].gather(at).alias(name) for name in ("number", "at", "source", "search")),
        pl.lit(HIT | DERIVED, dtype=pl.UInt8).alias("what"),
        pl.Series("pair", pairs(known["search"].gather(at).to_numpy(), hits["hash"].to_numpy())),
    )
    return under(ROWS, listed)


def _telling(
    known: pl.DataFrame, hashes: Mapping[str, NDArray[np.uint64]], alive: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The records that say something of their search that was not said before: the first in time, whatever their order."""
    said = np.where(known["what"].to_numpy() & DOC > 0, hashes["search_id"] + np.uint64(1), hashes["search_id"])
    for name in _TELLING_TEXTS:
        if name != "search_id" and hashes[name].any():
            said = pairs(said, hashes[name])
    chosen, at = np.flatnonzero(alive), known["at"].to_numpy()
    if not (np.diff(at[chosen]) >= 0).all():
        chosen = chosen[np.argsort(at[chosen], kind="stable")]
    first: NDArray[np.bool_] = pl.Series(said[chosen]).is_first_distinct().to_numpy()
    return chosen[first]


def _asked(found: Columns, known: pl.DataFrame, others: NDArray[np.bool_]) -> pl.DataFrame:
    """Tellings by events of type QUERY, whose message is the query's text (UBI's documentation), whatever their action."""
    rows = np.flatnonzero(others & (found.hashes["search_id"] > 0) & (found.hashes["message"] > 0))
    (text,) = found.texts((("search_id", "message", "message_type"), rows))
    asked = pl.concat([known.select("search", "at")[rows], text.rename({"message": "query"})], how="horizontal")
    asked = asked.filter(pl.col("message_type").str.to_uppercase() == "QUERY")
    return under(TELLINGS, asked.with_columns(what=pl.lit(DERIVED)))


class _Kinds:
    """Kinds of members by our name: that of the first slot that is given."""

    def __init__(self, found: Columns, slots: Mapping[str, tuple[int, ...]]) -> None:
        self._found, self._slots = found, slots

    def of(self, name: str) -> NDArray[np.uint8]:
        kinds = self._found.kinds
        first, *others = self._slots[name]
        chosen: NDArray[np.uint8] = kinds[first]
        for slot in others:
            chosen = np.where(chosen <= _K["empty"], kinds[slot], chosen)
        return chosen

    def second(self, name: str) -> NDArray[np.bool_]:
        """Where the second slot is given and the first is not."""
        given = self._found.kinds[list(self._slots[name][:2])] > _K["empty"]
        found: NDArray[np.bool_] = ~given[0] & given[-1]
        return found

    def unfit(self, name: str) -> NDArray[np.bool_]:
        """Where the member is given and is neither a text nor a number."""
        unfit: NDArray[np.bool_] = self.of(name) > _K["decimal"]
        return unfit


def _told_apart(kinds: _Kinds, fates: Fates) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are events, searches and action lines; the others are dropped, an action line without being counted."""
    whole = fates.alive
    action = kinds.of("action")
    event = whole & (action == _K["text"])
    none = whole & (action <= _K["empty"])
    attributes = kinds.of(f"= {_EVENT}") == _K["object"]
    asked = (kinds.of("query") > _K["null"]) | (kinds.of("hits") > _K["null"]) | (kinds.of("= query") > _K["null"])
    search = none & (action != _K["empty"]) & ~attributes & asked
    verbs = np.logical_or.reduce([kinds.of(f"= {verb}") == _K["object"] for verb in _BULK])
    bulk = none & ~attributes & ~asked & verbs
    fates.drop("wrong_type", whole & (action > _K["text"]))
    fates.drop("no_action", none & (attributes | (action == _K["empty"])))
    fates.drop("unknown_record", whole & ~event & ~search & ~bulk)
    return event, search, bulk


def _formatted(given: pl.Series, form: str) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Times in a format of the user's own."""
    parsed = given.str.to_datetime(form, time_unit="us", strict=False, exact=True)
    states = np.where(given.is_null(), 0, np.where(parsed.is_null(), BAD, FINE)).astype(np.uint8)
    return parsed.cast(pl.Int64).fill_null(0).to_numpy(), states


def _bits(found: Columns, reader: Reader, event: NDArray[np.bool_], counts: Counts) -> NDArray[np.uint8]:
    """What each event says, as ``rows.BITS``; the actions are counted by name."""
    action, named = found.codes["action"]
    often = np.bincount(action[event], minlength=len(named))
    counts.actions.update({name: count for name, count in zip(named, often.tolist(), strict=True) if count})
    bits: NDArray[np.uint8] = np.where(event, reader.bits(named)[action], 0).astype(np.uint8)
    return bits


def _places(
    found: Columns, reader: Reader, event: NDArray[np.bool_], bits: NDArray[np.uint8], counts: Counts
) -> pl.Series:
    """Positions as logged, null where there is none that can be read."""
    slots = reader.slots["position"]
    place, state = found.integers["0"]
    state[found.kinds[slots[0]] == _K["object"]] = 0
    for other in range(1, len(slots)):
        inner, inner_state = found.integers[str(other)]
        given = event & (inner_state > 0)
        counts.note("ordinal_as_object", int(given.sum()), found.lines[given][:3])
        place, state = np.where(given, inner, place), np.where(given, inner_state, state)
    state[np.abs(place) > _LARGEST] = BAD
    bad, missing = event & (state == BAD), event & (state == 0) & (bits == SHOWN)
    counts.note("position_unreadable", int(bad.sum()), found.lines[bad][:3])
    counts.note("position_missing", int(missing.sum()), found.lines[missing][:3])
    return pl.select(
        pl.when(pl.Series(state == FINE))
        .then(pl.Series(np.clip(place, -_LARGEST, _LARGEST)))
        .cast(pl.Int32)
        .alias("place")
    ).to_series()


def _hits(found: Columns, search: NDArray[np.bool_]) -> pl.DataFrame:
    """``row``, ``rank``, ``text``, ``hash`` and ``propensity`` of each result id of each search."""
    each = found.elements
    hits = each.filter(pl.Series(search[each["row"].to_numpy()]) & each["text"].is_not_null())
    if hits.is_empty():
        return hits.with_columns(propensity=pl.lit(None, dtype=pl.Float32))
    rows = hits["row"].unique().sort()
    own = found.texts((["propensity"], rows.to_numpy()))[0]["propensity"].str.split(",")
    listed = hits.join(pl.DataFrame({"row": rows, "own": own}), on="row", how="left", maintain_order="left")
    propensity = (
        pl.when(pl.col("own").list.len() > 1)
        .then(pl.col("own").list.get(pl.col("rank") - 1, null_on_oob=True))
        .otherwise(pl.col("own").list.first())
    )
    return listed.with_columns(propensity=propensity.cast(pl.Float32, strict=False)).drop("own")


def _firsts(known: pl.DataFrame, event: NDArray[np.bool_]) -> Counter[tuple[int, bool, int]]:
    """How often positions 0 and 1 occur, by application, in impressions and in other events."""
    near = known.filter(pl.Series(event) & pl.col("place").is_between(0, 1))
    counted = near.group_by("source", (pl.col("what") == SHOWN).alias("shown"), "place").len()
    return Counter({(source, shown, at): count for source, shown, at, count in counted.rows()})


def _note(
    counts: Counts, kinds: _Kinds, timed: NDArray[np.uint8], event: NDArray[np.bool_], visiting: NDArray[np.bool_],
    hashes: Mapping[str, NDArray[np.uint64]],
) -> None:  # fmt: skip
    counts.note("epoch_timestamp", int((visiting & (timed == EPOCH)).sum()))
    counts.note("no_zone", int((visiting & (timed == NO_ZONE)).sum()))
    counts.note("session_inside", int((visiting & kinds.second("session_id")).sum()))
    counts.note("internal_id", int((event & (hashes["product_id"] == 0)).sum()))
    as_object = int(counts.noted["ordinal_as_object"])
    for version, count in {
        "1.0 or 1.1, by positions as objects": as_object,
        "1.2 or later, by positions as numbers": int((event & (kinds.of("position") == _K["integer"])).sum())
        - as_object,
        "before 1.3, by click_through": counts.actions["click_through"],
        "as documented, by query_response_objects_ids": int(kinds.second("hits").sum()),
    }.items():
        if count > 0:
            counts.versions[version] = count
