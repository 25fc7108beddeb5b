"""The tokens of JSON (RFC 8259) in bytes: strings, numbers, literals; and UTF-8 (RFC 3629).

Each function reads from ``data[at]`` on and returns the first byte behind, or minus the place where the token breaks.
Strings are skipped 32 bytes at a time, by vector instructions that every processor has in some width. Loads run past what
they ask for, so that ``data`` needs ``PADDING`` line ends behind it; a line end breaks any token. Compiled by numba without
the interpreter's lock; one long function each, since that is what a loop over bytes compiles well from. numba keeps what it
compiled as long as a function's own file is unchanged: after a change here, remove __pycache__.

>>> data, flags = padded(b'"a\\\\u00e9"'), np.zeros(3, dtype=np.uint8)
>>> string(data, 1, flags), flags.tolist()
(8, [1, 0, 0])
>>> values = np.zeros(64, dtype=np.uint8)
>>> bytes(values[: unescaped(data, 1, 8, values, 0)]).decode()
'aé'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ltr.errors import MissingExtraError

try:
    import numba
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba.extending import intrinsic
except ImportError as error:
    raise MissingExtraError("numba", "train") from error

__all__ = [
    "PADDING",
    "byte_at",
    "compiled",
    "copied",
    "equal",
    "hash_of",
    "literal",
    "number",
    "padded",
    "place_of",
    "string",
    "unescaped",
    "utf8",
    "word",
]

PADDING: Final = 64
_WIDE: Final = 32
_QUOTE, _BACKSLASH = 34, 92
# Kinds of literals, as ``scanner.KINDS`` numbers them.
_NULL, _TRUE, _FALSE = 1, 6, 7
_HALF, _UPPER, _ONE = np.uint64(0xFFFFFFFF), np.uint64(_WIDE), np.uint64(1)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a loop, kept on disk and without the interpreter's lock."""
    return cast("F", numba.njit(cache=True, nogil=True)(function))


def padded(data: bytes) -> NDArray[np.uint8]:
    """The bytes with ``PADDING`` line ends behind."""
    # Writable, as blocks of files are, so that numba compiles once for both.
    return np.frombuffer(bytearray(data + b"\n" * PADDING), dtype=np.uint8)


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


@intrinsic  # type: ignore[untyped-decorator]
def word(_typing: Any, data: Any, at: Any) -> Any:
    """Eight bytes from ``data[at]`` on as one number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(_pointer(context, builder, signature, args), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return numba.uint64(data, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def _stops(_typing: Any, data: Any, at: Any) -> Any:
    """A bit for each of the 32 bytes from ``data[at]`` on: below, what may end a string's run; above, what is not ASCII."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), _WIDE)

        def all_of(byte: int) -> Any:
            return ir.Constant(vector, [byte] * _WIDE)

        pointer = builder.bitcast(_pointer(context, builder, signature, args), vector.as_pointer())
        loaded = builder.load(pointer, align=1)
        stop = builder.icmp_unsigned("==", loaded, all_of(_QUOTE))
        stop = builder.or_(stop, builder.icmp_unsigned("==", loaded, all_of(_BACKSLASH)))
        stop = builder.or_(stop, builder.icmp_unsigned("<", loaded, all_of(32)))
        above = builder.icmp_unsigned(">", loaded, all_of(127))
        half, whole = ir.IntType(_WIDE), ir.IntType(2 * _WIDE)
        low = builder.zext(builder.bitcast(stop, half), whole)
        high = builder.zext(builder.bitcast(above, half), whole)
        return builder.or_(low, builder.shl(high, ir.Constant(whole, _WIDE)))

    return numba.uint64(data, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def _trailing(_typing: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; the number is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return numba.int64(numba.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _copy(_typing: Any, target: Any, to: Any, source: Any, at: Any) -> Any:
    """Copy 32 bytes, of which the caller needs the first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), _WIDE).as_pointer()
        made = []
        for place in (0, 2):
            array = context.make_array(signature.args[place])(context, builder, args[place])
            made.append(builder.bitcast(builder.gep(array.data, [args[place + 1]]), vector))
        builder.store(builder.load(made[1], align=1), made[0], align=1)
        return context.get_dummy_value()

    return numba.void(target, to, source, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def byte_at(_typing: Any, data: Any, at: Any) -> Any:
    """data[at] without a look at the bounds."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, args))

    return numba.uint8(data, at), generate


_LOW: Final = np.array([(1 << (8 * size)) - 1 for size in range(8)] + [2**64 - 1], dtype=np.uint64)
_MIX, _MIX_SIZE, _MIX_NODE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_FOLD: Final = np.uint64(29)


@compiled
def place_of(data: Any, start: int, size: int, node: int) -> Any:
    """A hash of data[start:start + size], of its size and its first eight bytes, and of the object that it stands in."""
    head = word(data, start) & _LOW[min(size, 8)]
    mixed = head * _MIX ^ np.uint64(size) * _MIX_SIZE ^ np.uint64(node) * _MIX_NODE
    mixed ^= mixed >> _FOLD
    return np.int64((mixed * _MIX) >> np.uint64(33))


@compiled
def hash_of(data: Any, start: int, size: int) -> Any:
    """A hash of data[start:start + size], of all of it; at least 1."""
    mixed, done = np.uint64(size) * _MIX_SIZE, 0
    while done < size:
        mixed = (mixed ^ (word(data, start + done) & _LOW[min(size - done, 8)])) * _MIX
        mixed ^= mixed >> _FOLD
        done += 8
    return mixed | _ONE


@compiled
def equal(data: Any, start: int, other: Any, begin: int, size: int) -> bool:
    """Whether so many bytes are the same."""
    done = 0
    while done < size and not (word(data, start + done) ^ word(other, begin + done)) & _LOW[min(size - done, 8)]:
        done += 8
    return done >= size


@compiled
def string(data: Any, at: int, flags: Any) -> int:  # noqa: C901
    """The closing quote of a string whose first byte is data[at], or minus where it breaks; flags: escaped, not ASCII."""
    while True:
        bits = _stops(data, at)
        low = bits & _HALF
        if low == 0:
            if bits != 0:
                flags[1] = 1
            at += 32
            continue
        step = _trailing(low)
        if (bits >> _UPPER) & ((_ONE << np.uint64(step)) - _ONE):
            flags[1] = 1
        at += step
        byte = byte_at(data, at)
        if byte == 34:
            return at
        if byte != 92:
            return -at
        flags[0] = 1
        byte = byte_at(data, at + 1)
        if byte == 117:
            for digit in range(at + 2, at + 6):
                if _digit(byte_at(data, digit)) < 0:
                    return -digit
            at += 6
        elif byte in (34, 92, 47, 98, 102, 110, 114, 116):
            at += 2
        else:
            return -(at + 1)


@compiled
def _digit(byte: int) -> int:
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    if 65 <= byte <= 70:
        return byte - 55
    return -1


@compiled
def number(data: Any, at: int, flags: Any) -> int:  # noqa: C901
    """The byte behind a number, or minus where it breaks; flags[2] is set where it is no integer."""
    if byte_at(data, at) == 45:
        at += 1
    if byte_at(data, at) == 48:
        at += 1
    elif 49 <= byte_at(data, at) <= 57:
        while 48 <= byte_at(data, at) <= 57:
            at += 1
    else:
        return -at
    if byte_at(data, at) == 46:
        flags[2] = 1
        at += 1
        if not 48 <= byte_at(data, at) <= 57:
            return -at
        while 48 <= byte_at(data, at) <= 57:
            at += 1
    if byte_at(data, at) in (69, 101):
        flags[2] = 1
        at += 1
        if byte_at(data, at) in (43, 45):
            at += 1
        if not 48 <= byte_at(data, at) <= 57:
            return -at
        while 48 <= byte_at(data, at) <= 57:
            at += 1
    return at


@compiled
def literal(data: Any, at: int) -> int:
    """The kind of true, false or null at data[at], 0 where it is none."""
    head = word(data, at)
    four = head & np.uint64(0xFFFFFFFF)
    if four == np.uint64(0x65757274):
        return _TRUE
    if four == np.uint64(0x6C6C756E):
        return _NULL
    if head & np.uint64(0xFFFFFFFFFF) == np.uint64(0x65736C6166):
        return _FALSE
    return 0


@compiled
def copied(data: Any, at: int, end: int, values: Any, used: int) -> int:
    """Copy data[at:end] behind what is used, and return what is used then; both have 32 bytes to spare."""
    ends, to = used + end - at, used
    while to < ends:
        _copy(values, to, data, at)
        at += 32
        to += 32
    return ends


@compiled
def _code(data: Any, at: int) -> int:
    return (
        (_digit(byte_at(data, at)) << 12)
        | (_digit(byte_at(data, at + 1)) << 8)
        | (_digit(byte_at(data, at + 2)) << 4)
        | _digit(byte_at(data, at + 3))
    )


@compiled
def unescaped(data: Any, at: int, end: int, values: Any, used: int) -> int:  # noqa: C901
    """Copy a string without its escapes; a surrogate that stands alone becomes U+FFFD. Returns what is used then."""
    while at < end:
        byte = byte_at(data, at)
        if byte != 92:
            values[used] = byte
            used, at = used + 1, at + 1
            continue
        byte = byte_at(data, at + 1)
        at += 2
        if byte != 117:
            if byte == 98:
                byte = 8
            elif byte == 102:
                byte = 12
            elif byte == 110:
                byte = 10
            elif byte == 114:
                byte = 13
            elif byte == 116:
                byte = 9
            values[used] = byte
            used += 1
            continue
        point = _code(data, at)
        at += 4
        if 0xD800 <= point < 0xE000:
            paired = False
            if point < 0xDC00 and at + 6 <= end and byte_at(data, at) == 92 and byte_at(data, at + 1) == 117:
                second = _code(data, at + 2)
                if 0xDC00 <= second < 0xE000:
                    point = 0x10000 + ((point - 0xD800) << 10) + (second - 0xDC00)
                    at += 6
                    paired = True
            if not paired:
                point = 0xFFFD
        if point < 0x80:
            values[used] = point
            used += 1
        elif point < 0x800:
            values[used], values[used + 1] = 0xC0 | point >> 6, 0x80 | point & 63
            used += 2
        elif point < 0x10000:
            values[used], values[used + 1] = 0xE0 | point >> 12, 0x80 | point >> 6 & 63
            values[used + 2] = 0x80 | point & 63
            used += 3
        else:
            values[used], values[used + 1] = 0xF0 | point >> 18, 0x80 | point >> 12 & 63
            values[used + 2], values[used + 3] = 0x80 | point >> 6 & 63, 0x80 | point & 63
            used += 4
    return used


@compiled
def utf8(data: Any, at: int, end: int) -> bool:  # noqa: C901
    """Whether data[at:end] is UTF-8: no surrogates, nothing overlong, nothing beyond U+10FFFF."""
    while at < end:
        byte = byte_at(data, at)
        at += 1
        if byte < 0x80:
            continue
        low, high, rest = 0x80, 0xBF, 1
        if 0xC2 <= byte <= 0xDF:
            pass
        elif 0xE0 <= byte <= 0xEF:
            rest = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            rest = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        # A line end follows the last byte, so that nothing is read behind it.
        for _ in range(rest):
            if not low <= byte_at(data, at) <= high:
                return False
            low, high = 0x80, 0xBF
            at += 1
    return True
