"""Columns of values from the members that ``scanner`` kept: whole numbers, instants, elements of arrays.

The arguments that the loops share: the members' bytes, and by row where a member begins, its bytes and its kind; what they
find and how is written into the last arguments.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ltr.judgments.jsonbytes import byte_at, compiled, equal, hash_of, unescaped

__all__ = ["BAD", "EPOCH", "FINE", "NO_ZONE", "codes", "elements", "instants", "integers", "spans"]

FINE, NO_ZONE, EPOCH, BAD = 1, 2, 3, 4

_EMPTY, _TEXT, _DECIMAL, _ARRAY = 2, 3, 5, 9
_DAY: Final = 86_400_000_000
_HIGH, _NONE = np.uint64(24), np.uint64(0)
# A number that counts from 1970 is one of seconds below the first bound, else of ms, µs, ns.
_SECONDS, _MILLIS, _MICROS = 10**11, 10**14, 10**17


@compiled
def integers(values: Any, starts: Any, lengths: Any, kinds: Any, found: Any, states: Any) -> None:
    """Whole numbers of at most 18 digits."""
    for row in range(len(kinds)):
        kind = kinds[row]
        if kind <= _EMPTY:
            continue
        states[row] = BAD
        if kind > _DECIMAL:
            continue
        at = starts[row]
        end = at + lengths[row]
        negative = byte_at(values, at) == 45
        if negative:
            at += 1
        first, number = at, 0
        while at < end and 48 <= byte_at(values, at) <= 57 and at - first < 18:
            number = number * 10 + byte_at(values, at) - 48
            at += 1
        if at == first:
            continue
        if at < end and byte_at(values, at) == 46:
            at += 1
            while at < end and byte_at(values, at) == 48:
                at += 1
        if at == end:
            found[row] = -number if negative else number
            states[row] = FINE


@compiled
def instants(values: Any, starts: Any, lengths: Any, kinds: Any, unit: int, found: Any, states: Any) -> None:
    """Microseconds since 1970 UTC; ``unit``: 1 s, 2 ms, 3 µs, 4 ns, 0 as the number's size tells."""
    for row in range(len(kinds)):
        kind = kinds[row]
        if kind <= _EMPTY:
            continue
        states[row] = BAD
        if kind > _DECIMAL:
            continue
        at = starts[row]
        end = at + lengths[row]
        if kind == _TEXT and lengths[row] >= 10 and byte_at(values, at + 4) == 45:
            _calendar(values, at, end, row, found, states)
        else:
            _epoch(values, at, end, unit, row, found, states)


@compiled
def _epoch(values: Any, at: int, end: int, unit: int, row: int, found: Any, states: Any) -> None:
    whole, first = 0, at
    while at < end and 48 <= byte_at(values, at) <= 57 and at - first < 19:
        whole = whole * 10 + byte_at(values, at) - 48
        at += 1
    if at == first:
        return
    millionths, scale = 0, 100_000
    if at < end and byte_at(values, at) == 46:
        at += 1
        while at < end and 48 <= byte_at(values, at) <= 57:
            millionths += (byte_at(values, at) - 48) * scale
            scale //= 10
            at += 1
    if at != end:
        return
    if unit == 0:
        unit = 1 if whole < _SECONDS else 2 if whole < _MILLIS else 3 if whole < _MICROS else 4
    if unit == 1:
        found[row] = whole * 1_000_000 + millionths if whole < _SECONDS * 10 else 0
    elif unit == 2:
        found[row] = whole * 1_000 + millionths // 1_000
    else:
        found[row] = whole if unit == 3 else whole // 1_000
    states[row] = EPOCH


@compiled
def _two(values: Any, at: int) -> int:
    tens, ones = byte_at(values, at) - 48, byte_at(values, at + 1) - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1


@compiled
def _calendar(values: Any, at: int, end: int, row: int, found: Any, states: Any) -> None:  # noqa: C901
    """YYYY-MM-DD, then perhaps T or a blank with HH:MM, :SS, a fraction, and Z or an offset from UTC."""
    century, years, month, day = _two(values, at), _two(values, at + 2), _two(values, at + 5), _two(values, at + 8)
    if century < 0 or years < 0 or not 1 <= month <= 12 or not 1 <= day <= 31 or byte_at(values, at + 7) != 45:
        return
    # Days since 1970 in the proleptic Gregorian calendar: Hinnant, chrono-compatible low-level date algorithms.
    year = century * 100 + years - (1 if month <= 2 else 0)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    instant = (era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468) * _DAY
    at += 10
    zoned = False
    if at < end:
        if byte_at(values, at) not in (84, 116, 32) or end - at < 6 or byte_at(values, at + 3) != 58:
            return
        hour, minute, second = _two(values, at + 1), _two(values, at + 4), 0
        at += 6
        if end - at >= 3 and byte_at(values, at) == 58:
            second = _two(values, at + 1)
            at += 3
        if not (0 <= hour <= 24 and 0 <= minute <= 59 and 0 <= second <= 60):
            return
        instant += ((hour * 60 + minute) * 60 + second) * 1_000_000
        if at < end and byte_at(values, at) in (46, 44):
            at += 1
            scale = 100_000
            while at < end and 48 <= byte_at(values, at) <= 57:
                instant += (byte_at(values, at) - 48) * scale
                scale //= 10
                at += 1
        if at < end and byte_at(values, at) in (90, 122):
            zoned = True
            at += 1
        elif at < end and byte_at(values, at) in (43, 45):
            sign = 1 if byte_at(values, at) == 43 else -1
            hours, minutes = (_two(values, at + 1) if end - at >= 3 else -1), 0
            at += 3
            if at < end and byte_at(values, at) == 58:
                at += 1
            if end - at == 2:
                minutes = _two(values, at)
                at += 2
            if hours < 0 or minutes < 0:
                return
            instant -= sign * (hours * 60 + minutes) * 60_000_000
            zoned = True
        if at != end:
            return
    found[row] = instant
    states[row] = FINE if zoned else NO_ZONE


@compiled
def _element(values: Any, found: Any, at: int, row: int, rank: int, start: int, size: int) -> None:
    found[at, 0], found[at, 1], found[at, 2], found[at, 3] = row, rank, start, size
    found[at, 4] = np.int64(hash_of(values, start, size)) if size else 0


@compiled
def elements(values: Any, starts: Any, lengths: Any, kinds: Any, found: Any) -> int:  # noqa: C901
    """Row, rank, first byte, bytes and hash of each element; only counted where ``found`` has no room.

    The arrays are whole, since ``scanner`` has proved them. Escapes are taken out in place.
    """
    count, room = 0, len(found)
    for row in range(len(kinds)):
        if kinds[row] != _ARRAY:
            continue
        at, end = starts[row] + 1, starts[row] + lengths[row] - 1
        rank, depth, start, size = 1, 0, 0, 0
        seen = False
        while at < end:
            byte = byte_at(values, at)
            if byte == 34:
                first, escaped = at + 1, False
                at += 1
                while byte_at(values, at) != 34:
                    if byte_at(values, at) == 92:
                        escaped = True
                        at += 1
                    at += 1
                if depth == 0:
                    seen, start, size = True, first, at - first
                    if escaped and room:
                        size = unescaped(values, first, at, values, first) - first
            elif byte in (91, 123):
                depth += 1
                seen = True
            elif byte in (93, 125):
                depth -= 1
            elif depth == 0 and byte == 44:
                if room:
                    _element(values, found, count, row, rank, start, size)
                count += 1
                rank += 1
                start, size, seen = 0, 0, False
            elif depth == 0 and (byte == 45 or 48 <= byte <= 57):
                first = at
                while at < end and byte_at(values, at) not in (44, 32, 9, 13):
                    at += 1
                seen, start, size = True, first, at - first
                continue
            elif byte not in (32, 9, 13):
                seen = True
            at += 1
        if seen:
            if room:
                _element(values, found, count, row, rank, start, size)
            count += 1
    return count


@compiled
def codes(
    values: Any, starts: Any, lengths: Any, kinds: Any, table: Any, begins: Any, sizes: Any, count: int, found: Any
) -> int:
    """The number of each row's text or number among those that differ, -1 where there is none.

    ``begins`` and ``sizes`` say where each of the ``count`` that are known stands, ``table`` (a power of two long, 0 where
    free) which number, from 1, a hash leads to; returns how many are known then.
    """
    mask = len(table) - 1
    for row in range(len(kinds)):
        if not _TEXT <= kinds[row] <= _DECIMAL:
            found[row] = -1
            continue
        begin, size = starts[row], lengths[row]
        place = np.int64(hash_of(values, begin, size) >> _HIGH) & mask
        while True:
            code = table[place] - 1
            if code < 0:
                begins[count], sizes[count], found[row] = begin, size, count
                count += 1
                table[place] = count
                break
            if sizes[code] == size and equal(values, begin, values, begins[code], size):
                found[row] = code
                break
            place = (place + 1) & mask
    return count


@compiled
def spans(
    values: Any, kinds: Any, starts: Any, lengths: Any, wanted: Any, hashed: Any, begins: Any, sizes: Any, hashes: Any
) -> None:
    """Where each column's text or number is, and its hash: of the first of its slots that has one; 0 where none has.

    Kinds and spans are row × slot here; ``wanted`` is column × alternative, -1 for none; ``hashed`` says of which columns the
    hash is wanted; what is found is row × column, so that a row is written in one place.
    """
    columns, alternatives = wanted.shape
    for row in range(len(kinds)):
        for column in range(columns):
            begin, size, mixed = 0, 0, _NONE
            for place in range(alternatives):
                slot = wanted[column, place]
                if slot >= 0 and _TEXT <= kinds[row, slot] <= _DECIMAL:
                    begin, size = starts[row, slot], lengths[row, slot]
                    if hashed[column]:
                        mixed = hash_of(values, begin, size)
                    break
            begins[row, column], sizes[row, column], hashes[row, column] = begin, size, mixed
