"""What became of a log: every record that was read is kept or dropped for one reason, and repairs are noted.

The law: ``read = kept + Σ dropped``. A record is a line, or an element of an array on a line; a bulk request's action lines
and blank lines are none. ``noted`` counts what was repaired or is odd but kept, so that a record may be in it more than
once, or a list or a search that is no record.

>>> tally = Counts()
>>> tally.read += 2
>>> tally.drop("truncated", 1, ["events.ndjson line 2"])
>>> report = tally.report(kept=1)
>>> report.dropped, report.sentences()[1]
({'truncated': 1}, '1 record dropped: the line breaks off (events.ndjson line 2)')
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DROPPED", "NOTED", "Counts", "Fates", "LogReport"]

_EXAMPLES: Final = 3
_WIDTH: Final = 80  # characters of an example

# Why a record is dropped, in the order in which the reasons are looked for.
DROPPED: Final[dict[str, str]] = {
    "file_unreadable": "a file breaks off or is no text",
    "truncated": "the line breaks off",
    "malformed": "the line is not JSON",
    "not_utf8": "the line is not UTF-8",
    "not_an_object": "the line is JSON but no object",
    "unknown_record": "neither an event nor a search",
    "no_action": "an event without action_name",
    "wrong_type": "a field has a value of the wrong type",
    "no_timestamp": "no timestamp",
    "other_action": "an action that says nothing of a product in a list; map it if it does",
    "no_search_id": "no search id, so that it belongs to no list",
    "no_product": "no product id",
    "absurd_time": "more than ten years from the log's median day",
    "duplicate_id": "an event id that occurred before",
    "duplicate_event": "a repetition of an event, to the microsecond",
    "no_list": "a search whose list is not known: no impressions, no result ids",
    "no_query_text": "a search whose query text is not known or empty",
    "internal": "an internal user",
    "bot_rate": "more searches in an hour than a person makes",
    "bot_no_clicks": "many searches and never a click",
    "bot_click_flood": "clicks on most of every list",
    "long_session": "a session with more searches than a person makes",
    "shown_again": "a product that its list has already",
    "no_position": "an impression without a usable position, and not in the result ids",
    "beyond_max_position": "a position beyond the last that is kept",
    "not_shown": "a click or purchase of a product that its list does not have",
    "repeated_click": "a click on what was clicked in this list already",
}

NOTED: Final[dict[str, str]] = {
    "empty_file": "files of 0 bytes",
    "bulk_action_line": "action lines of a bulk request passed over",
    "zero_based": "positions counted from 0, moved to count from 1",
    "ordinal_as_object": 'positions written as {"index": n}, as UBI 1.0 and 1.1 have it',
    "position_missing": "impressions without a position",
    "position_unreadable": "positions that are no whole number or out of range, taken as missing",
    "position_recovered": "positions taken from the search's result ids",
    "epoch_timestamp": "timestamps given as numbers since 1970",
    "no_zone": "timestamps without a zone, taken as UTC",
    "internal_id": "products known by internal_id alone, or joined by it",
    "session_inside": "session ids found inside event_attributes",
    "search_repeated": "further records of a search that was recorded before",
    "search_without_events": "searches whose result ids are known and that have no event: shown, not clicked",
    "list_from_result_ids": "searches whose list is their result ids, since they have no impressions",
    "same_position": "products that share their position with another of their list",
    "query_differs": "searches recorded with more than one query text; the first is kept",
    "click_before_shown": "clicks timed before their impression",
    "late_click": "clicks more than an hour after their impression",
    "result_ids_beyond_max": "result ids beyond the last position that is kept",
    "list_action_not_shown": "clicks or purchases, told with a search, of products that its list does not have",
    "query_from_message": "events that say what was searched in their message",
    "no_session": "searches without session, client and user",
}


@dataclass(frozen=True)
class LogReport:
    """What a log held and what became of it.

    Args:
        read: records.
        kept: records that impressions were made of.
        dropped: reason -> records.
        noted: oddity -> how often.
        examples: reason or oddity -> at most three lines or ids.
        impressions: rows written; ``searches`` and ``queries`` among them.
        versions: what tells UBI's version -> how often.
        actions: action as logged -> (what it counts as, how often).
        positions: position -> (shown, clicked), the first fifty.
        first, last: time of the first and the last impression, None where there is none.
        clicks, carts, purchases: impressions with one.
        notes: sentences on the log as a whole.
    """

    read: int
    kept: int
    dropped: dict[str, int]
    noted: dict[str, int]
    examples: dict[str, list[str]]
    impressions: int = 0
    searches: int = 0
    queries: int = 0
    clicks: int = 0
    carts: int = 0
    purchases: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    actions: dict[str, tuple[str, int]] = field(default_factory=dict)
    positions: dict[int, tuple[int, int]] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As JSON, times in ISO 8601."""
        return json.dumps(asdict(self), default=lambda value: value.isoformat(), ensure_ascii=False)

    def sentences(self) -> list[str]:
        """As a person would be told: what was read, what was dropped (the most first), what was repaired."""
        lines = [self._summary()]
        for reason, count in sorted(self.dropped.items(), key=lambda each: -each[1]):
            lines.append(f"{_counted(count, 'record')} dropped: {DROPPED[reason]}{self._such_as(reason)}")
        others = {name: count for name, (ours, count) in self.actions.items() if ours == "none"}
        if others:
            listed = ", ".join(f"{name} {count:,}" for name, count in sorted(others.items(), key=lambda each: -each[1]))
            lines.append(f"actions that are not mapped: {listed}")
        lines += [
            f"{count:,} noted: {NOTED[reason]}{self._such_as(reason)}"
            for reason, count in sorted(self.noted.items(), key=lambda each: -each[1])
        ]
        lines += [f"UBI {version}: {_counted(count, 'record')}" for version, count in self.versions.items()]
        return [*lines, *self.notes]

    def faults(self) -> dict[str, int]:
        """What ``strict`` refuses: the dropped, but for what a healthy log has too."""
        return {reason: count for reason, count in self.dropped.items() if reason not in _HEALTHY}

    def _summary(self) -> str:
        when = f", {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}" if self.first and self.last else ""
        searches = (
            f" of {_counted(self.searches, 'search', 'searches')} for {_counted(self.queries, 'query', 'queries')}"
            if self.searches
            else ""
        )
        return (
            f"{_counted(self.read, 'record')} read, {self.kept:,} kept: {_counted(self.impressions, 'impression')}"
            f"{searches}, {self.clicks:,} clicked, {self.carts:,} added to cart, {self.purchases:,} bought{when}"
        )

    def _such_as(self, reason: str) -> str:
        shown = self.examples.get(reason)
        return f" ({'; '.join(shown)})" if shown else ""


# A log that nothing is wrong with has these: the filters' work, clicks repeated, actions that are about no product.
_HEALTHY: Final = frozenset(
    {
        "other_action",
        "repeated_click",
        "internal",
        "bot_rate",
        "bot_no_clicks",
        "bot_click_flood",
        "long_session",
        "beyond_max_position",
    }
)


class Counts:
    """A report in the making: added to by each block and each partition, in their order."""

    def __init__(self) -> None:
        self.read = 0
        self.dropped: Counter[str] = Counter()
        self.noted: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.versions: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()

    def drop(self, reason: str, count: int, examples: Iterable[Any] = ()) -> None:
        """Count records dropped for a reason of ``DROPPED``."""
        self._count(self.dropped, reason, count, examples)

    def note(self, reason: str, count: int, examples: Iterable[Any] = ()) -> None:
        """Count an oddity of ``NOTED``."""
        self._count(self.noted, reason, count, examples)

    def add(self, other: Counts) -> None:
        """Take in what another has counted."""
        self.read += other.read
        for name in ("dropped", "noted", "versions", "actions"):
            getattr(self, name).update(getattr(other, name))
        for reason, shown in other.examples.items():
            kept = self.examples.setdefault(reason, [])
            kept += shown[: _EXAMPLES - len(kept)]

    def locate(self, file: str, first: int, *, noun: str = "line") -> None:
        """Turn examples that are lines of a block into lines of its file, whose line ``first`` is the block's first."""
        for reason, shown in self.examples.items():
            self.examples[reason] = [f"{file} {noun} {first + int(line)}" for line in shown]

    def report(self, *, kept: int, meaning: Mapping[str, str] | None = None, **found: Any) -> LogReport:
        """The report, with the actions and what each counts as."""
        return LogReport(
            read=self.read,
            kept=kept,
            dropped={reason: self.dropped[reason] for reason in DROPPED if self.dropped[reason]},
            noted={reason: self.noted[reason] for reason in NOTED if self.noted[reason]},
            examples={reason: list(shown) for reason, shown in self.examples.items() if shown},
            versions=dict(sorted(self.versions.items())),
            actions={name: ((meaning or {}).get(name, "none"), count) for name, count in sorted(self.actions.items())},
            **found,
        )

    def _count(self, counter: Counter[str], reason: str, count: int, examples: Iterable[Any]) -> None:
        if count:
            counter[reason] += int(count)
            shown = self.examples.setdefault(reason, [])
            for example in examples:
                if len(shown) == _EXAMPLES:
                    break
                shown.append(str(example)[:_WIDTH])


class Fates:
    """The first reason that drops each record of a block."""

    def __init__(self, records: int) -> None:
        self._names: list[str] = [""]
        self._codes = np.zeros(records, np.uint8)

    def drop(self, reason: str, where: NDArray[np.bool_]) -> None:
        """Drop the records that are not dropped yet."""
        self._codes[where & (self._codes == 0)] = len(self._names)
        self._names.append(reason)

    def holding(self, reason: str) -> NDArray[np.bool_]:
        """Which records a reason has dropped."""
        codes = [code for code, name in enumerate(self._names) if name == reason]
        held: NDArray[np.bool_] = np.isin(self._codes, codes)
        return held

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which records no reason has dropped."""
        alive: NDArray[np.bool_] = self._codes == 0
        return alive

    def count(self, counts: Counts, lines: NDArray[np.int64]) -> None:
        """Tell the counts, with lines for examples."""
        for code, reason in enumerate(self._names[1:], start=1):
            places = np.flatnonzero(self._codes == code)
            counts.drop(reason, len(places), lines[places[:_EXAMPLES]])


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
