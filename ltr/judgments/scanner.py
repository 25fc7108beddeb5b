"""One pass over lines of JSON that keeps the members asked for and says what is wrong with each line.

A projecting parser (as in Li, Katsipoulakis, Chandramouli, Goldstein & Kossmann, Mison, VLDB 2017, but it still proves each
line): every byte is checked against RFC 8259 as ``json.loads`` would, yet only the members of ``Table`` are copied out, one
after another into ``values``. Strings are skipped 32 bytes at a time. Compiled by numba without the interpreter's lock, so
that threads may share blocks out among them; ``data`` ends in ``PADDING`` line ends, so that no load needs a bound.

>>> rows = next(scan(padded(b'{"a": {"b": "x"}}\\n{"a": 1'), Table.of({"b": ("a", "b")})))
>>> [KINDS[kind] for kind in rows.kinds[:, 0]], [STATES[state] for state in rows.states]
(['text', 'missing'], ['whole', 'truncated'])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.judgments.jsonbytes import (
    PADDING,
    byte_at,
    compiled,
    copied,
    equal,
    literal,
    number,
    padded,
    place_of,
    string,
    unescaped,
    utf8,
)

__all__ = ["KINDS", "STATES", "Rows", "Table", "scan"]

KINDS: Final = ("missing", "null", "empty", "text", "integer", "decimal", "true", "false", "object", "array")
STATES: Final = ("whole", "truncated", "malformed", "not_an_object", "not_utf8")

_EMPTY, _TEXT, _INTEGER, _DECIMAL, _FALSE, _OBJECT, _ARRAY = 2, 3, 4, 5, 7, 8, 9
_WHOLE, _TRUNCATED, _MALFORMED, _NO_OBJECT, _NO_UTF8 = range(5)
_DEEPEST: Final = 256
_NEWLINE, _QUOTE, _COMMA, _COLON = 10, 34, 44, 58
_OPEN, _CLOSE, _BEGIN, _END = 123, 125, 91, 93


@dataclass(frozen=True)
class Table:
    """The members to keep as a trie: an open-addressed table of (object, key) with the slot and the inner object of each."""

    names: tuple[str, ...]
    entries: NDArray[np.int32]  # hash table: index of a key, or -1
    keys: NDArray[np.uint8]
    spans: NDArray[np.int32]  # key: first byte, bytes, object it stands in, slot or -1, object that it opens or -1

    @classmethod
    def of(cls, paths: Mapping[str, tuple[str, ...]], *, wrapper: str = "") -> Table:
        """Slots by name with the keys that lead to each.

        Args:
            paths: name of the slot -> keys from the outermost object inwards.
            wrapper: a key of the outermost object that may hold the record itself (a search engine's ``_source``).
        """
        nodes: dict[tuple[str, ...], int] = {(): 0}
        found: dict[tuple[int, str], list[int]] = {}
        for slot, path in enumerate(paths.values()):
            for depth, key in enumerate(path):
                entry = found.setdefault((nodes[path[:depth]], key), [-1, -1])
                if depth == len(path) - 1:
                    entry[0] = slot
                else:
                    entry[1] = nodes.setdefault(path[: depth + 1], len(nodes))
        if wrapper:
            found.setdefault((0, wrapper), [-1, -1])[1] = 0
        spans = np.zeros((len(found), 5), dtype=np.int32)
        keys = bytearray()
        entries = np.full(1 << (4 * len(found)).bit_length(), -1, dtype=np.int32)
        for index, ((node, key), (slot, child)) in enumerate(found.items()):
            encoded = key.encode()
            spans[index] = len(keys), len(encoded), node, slot, child
            keys += encoded
        flat = padded(bytes(keys))
        for index in range(len(found)):
            place = place_of(flat, spans[index, 0], spans[index, 1], spans[index, 2]) & (len(entries) - 1)
            while entries[place] >= 0:
                place = (place + 1) & (len(entries) - 1)
            entries[place] = index
        return cls(tuple(paths), entries, flat, spans)


@dataclass(frozen=True)
class Rows:
    """Some rows of a block, one an object, a faulty line being a row too; the next rows of the block overwrite them.

    Args:
        kinds: row × slot, an index into ``KINDS``.
        starts: row × slot, where the member's bytes begin in ``values``: a text without its escapes, a number or an array
            as written.
        lengths: row × slot, bytes.
        values: the members' bytes of the whole block, as far as it is read.
        states: an index into ``STATES`` by row.
        lines: the row's line, 0 = the block's first.
        used: bytes of ``values``.
        line_count: lines up to here, blank ones too.
    """

    kinds: NDArray[np.uint8]
    starts: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    values: NDArray[np.uint8]
    states: NDArray[np.uint8]
    lines: NDArray[np.int64]
    used: int
    line_count: int


def scan(data: NDArray[np.uint8], table: Table, *, rows: int = 2_048) -> Iterator[Rows]:
    """Read the lines of a block that ``padded`` made, so many rows at a time that they stay in the processor's cache.

    An array of objects on one line is a row each; an array spread over lines with an object a line is read as those.
    """
    size, slots = len(data) - PADDING, len(table.names)
    values = np.empty(len(data), dtype=np.uint8)
    tally = np.zeros(4, dtype=np.int64)
    done = False
    while not done:
        states, lines = np.empty(rows, np.uint8), np.empty(rows, np.int64)
        kinds = np.empty((rows, slots), np.uint8)
        starts, lengths = np.empty((2, rows, slots), np.uint32)
        arrays = kinds, starts, lengths, values, states, lines
        while not done:
            tally[1] = 0
            done = _scan(data, size, table.entries, table.keys, table.spans, *arrays, tally)
            found = int(tally[1])
            if not done and not found:
                rows *= 4  # one line has more rows than there is room for
                break
            yield Rows(
                kinds[:found],
                starts[:found],
                lengths[:found],
                values,
                states[:found],
                lines[:found],
                int(tally[3]),
                int(tally[2]),
            )


@compiled
def _find(data: Any, start: int, size: int, node: int, entries: Any, keys: Any, spans: Any) -> Any:
    """The index of a key of an object, -1 where nothing asks for it."""
    mask = len(entries) - 1
    place = place_of(data, start, size, node) & mask
    while True:
        index = entries[place]
        if index < 0:
            return -1
        if spans[index, 1] == size and spans[index, 2] == node and equal(data, start, keys, spans[index, 0], size):
            return np.int64(index)
        place = (place + 1) & mask


@compiled
def _skipped(data: Any, at: int) -> int:
    """The first byte that is no blank; a line end is none."""
    while byte_at(data, at) == 32 or byte_at(data, at) == 9 or byte_at(data, at) == 13:
        at += 1
    return at


@compiled
def _object(  # noqa: C901
    data: Any, at: int, row: int, entries: Any, keys: Any, spans: Any, kinds: Any, starts: Any, lengths: Any,
    values: Any, stack: Any, flags: Any, tally: Any,
) -> int:  # fmt: skip
    """Read the object that opens at data[at] into a row; the byte behind it, or minus the place where it breaks."""
    used = tally[3]
    depth, node, keyed, first = 0, 0, True, True
    at += 1
    while True:
        at = _skipped(data, at)
        slot, child = -1, -1
        closing = first and byte_at(data, at) == (_CLOSE if keyed else _END)
        if not closing:
            if keyed:
                if byte_at(data, at) != _QUOTE:
                    return -at
                start = at + 1
                flags[0] = 0
                at = string(data, start, flags)
                if at < 0:
                    return at
                if node >= 0:
                    index = -1
                    if flags[0]:
                        # Behind all that is used there is room for the key: it is shorter than as it is written.
                        size = unescaped(data, start, at, values, used) - used
                        values[used + size : used + size + 8] = 0
                        index = _find(values, used, size, node, entries, keys, spans)
                    else:
                        index = _find(data, start, at - start, node, entries, keys, spans)
                    if index >= 0:
                        slot, child = spans[index, 3], spans[index, 4]
                at = _skipped(data, at + 1)
                if byte_at(data, at) != _COLON:
                    return -at
                at = _skipped(data, at + 1)
            byte, start, kind, end = byte_at(data, at), at, 0, at
            if byte in (_OPEN, _BEGIN):
                if depth == _DEEPEST:
                    return -at
                stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = keyed, node, slot, start
                depth += 1
                keyed, first = byte == _OPEN, True
                node = child if keyed else -1
                at += 1
                continue
            if byte == _QUOTE:
                flags[0] = 0
                start += 1
                end = string(data, start, flags)
                if end < 0:
                    return end
                at, kind = end + 1, _TEXT if end > start else _EMPTY
            elif byte == 45 or 48 <= byte <= 57:
                flags[2] = 0
                at = number(data, at, flags)
                if at < 0:
                    return at
                end, kind = at, _DECIMAL if flags[2] else _INTEGER
            else:
                kind = literal(data, at)
                if kind == 0:
                    return -at
                at += 5 if kind == _FALSE else 4
            if slot >= 0:
                kinds[row, slot], starts[row, slot] = kind, used
                if kind == _TEXT and flags[0]:
                    used = unescaped(data, start, end, values, used)
                else:
                    used = copied(data, start, end, values, used)
                lengths[row, slot] = used - starts[row, slot]
        while True:
            at = _skipped(data, at)
            if not closing and byte_at(data, at) == _COMMA:
                at += 1
                first = False
                break
            if byte_at(data, at) != (_CLOSE if keyed else _END):
                return -at
            at += 1
            closing = False
            if depth == 0:
                tally[3] = used
                return at
            depth -= 1
            slot, start = stack[depth, 2], stack[depth, 3]
            if slot >= 0:
                kinds[row, slot], starts[row, slot] = _OBJECT if keyed else _ARRAY, used
                if not keyed:
                    used = copied(data, start, at, values, used)
                lengths[row, slot] = used - starts[row, slot]
            keyed, node = stack[depth, 0] == 1, stack[depth, 1]


@compiled
def _no_object(data: Any, at: int, flags: Any) -> int:
    """The state of a line whose next value is no object."""
    byte = byte_at(data, at)
    if byte == _BEGIN:
        return _NO_OBJECT
    if byte == _QUOTE:
        end = string(data, at + 1, flags)
        end = end + 1 if end > 0 else end
    elif byte == 45 or 48 <= byte <= 57:
        end = number(data, at, flags)
    else:
        kind = literal(data, at)
        end = -at if kind == 0 else at + (5 if kind == _FALSE else 4)
    if end < 0:
        return _TRUNCATED if byte_at(data, -end) == _NEWLINE and -end > at else _MALFORMED
    byte = byte_at(data, _skipped(data, end))
    return _NO_OBJECT if byte in (_NEWLINE, _COMMA, _END) else _MALFORMED


@compiled
def _scan(  # noqa: C901
    data: Any, size: int, entries: Any, keys: Any, spans: Any, kinds: Any, starts: Any, lengths: Any,
    values: Any, states: Any, lines: Any, tally: Any,
) -> bool:  # fmt: skip
    """Go on at tally[0] with row tally[1] of line tally[2]; False where the arrays are full before the data's end."""
    stack, flags = np.empty((_DEEPEST, 4), np.int64), np.zeros(3, np.uint8)
    row, line, capacity = tally[1], tally[2], len(states)
    at = tally[0]
    while at < size:
        began, first = at, row
        at = _skipped(data, at)
        listed = byte_at(data, at) == _BEGIN
        if listed:
            at = _skipped(data, at + 1)
        state = _WHOLE
        while byte_at(data, at) != _NEWLINE:
            if byte_at(data, at) == _END:
                at = _skipped(data, at + 1)
                if byte_at(data, at) == _COMMA:
                    at = _skipped(data, at + 1)
                if byte_at(data, at) != _NEWLINE:
                    state = _MALFORMED
                break
            if row == capacity:
                tally[0], tally[1], tally[2] = began, first, line
                return False
            if byte_at(data, at) != _OPEN:
                state = _no_object(data, at, flags)
                break
            kinds[row] = 0
            flags[1] = 0
            end = _object(
                data, at, row, entries, keys, spans, kinds, starts, lengths, values, stack, flags, tally
            )  # fmt: skip
            if end < 0:
                at = -end
                state = _TRUNCATED if byte_at(data, at) == _NEWLINE else _MALFORMED
                break
            states[row], lines[row] = _WHOLE, line
            if flags[1] and not utf8(data, at, end):
                states[row] = _NO_UTF8
                kinds[row] = 0
            row += 1
            at = _skipped(data, end)
            if byte_at(data, at) == _COMMA:
                at = _skipped(data, at + 1)
            elif byte_at(data, at) != _NEWLINE and byte_at(data, at) != _END:
                state = _MALFORMED
                break
        if state != _WHOLE:
            if not listed:
                row = first
            if row == capacity:
                tally[0], tally[1], tally[2] = began, first, line
                return False
            kinds[row] = 0
            states[row], lines[row] = state, line
            row += 1
        while byte_at(data, at) != _NEWLINE:
            at += 1
        at += 1
        line += 1
    tally[0], tally[1], tally[2] = at, row, line
    return True
