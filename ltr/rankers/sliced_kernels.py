"""The loops of a sliced forest, compiled by numba: 128 rows at a time, one bit a row, a slice of bits two words.

First every question of the forest is answered once for all rows (``_ask``): a row's place among a feature's cuts is found by
comparing with sixteen at once, its bit is set there, and a cut's row of bits is all that is set above it. Then masks flow down
the trees (``_reach``): of the rows that reach a node, right = rows & test, left = rows & ~test. The number of a leaf is read
from bit planes, slots folded upon each other: what is in the upper half has the highest bit. Leaves are summed in the order of
the trees (``_sum``).

The vector steps are plain LLVM vector IR, which any processor's instructions carry out. They stand in this file because numba's
cache on disk knows the source of the function that is kept, and no other. Nothing is compiled with fastmath, so that no sum is
reordered, nor with the interpreter's lock. Places in arrays are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np

from ltr.errors import MissingExtraError
from ltr.loops import compiled

try:
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba.core import cgutils, types
    from numba.extending import intrinsic
except ImportError as error:
    raise MissingExtraError("numba", "serve") from error

__all__ = ["BLOCK", "score", "score_unkept"]

BLOCK: Final = 128
_BYTE, _INT, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_SLICE: Final = ir.VectorType(_WORD, 2)
_NONE: Final = ir.Constant(_SLICE, None)


def _emitted(generator: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose instructions are written here; it takes the generator's arguments but for ``typing``."""
    return cast("Callable[..., Any]", intrinsic(generator))


def _address(context: Any, builder: Any, signature: Any, given: Any, array: int, place: Any) -> Any:
    """Of an element of the argument that is this array."""
    held = context.make_array(signature.args[array])(context, builder, given[array])
    return builder.gep(held.data, [place])


def _load(builder: Any, address: Any, vector: Any) -> Any:
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=vector.element.width // 8)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=max(1, value.type.element.width // 8))


def _repeated(builder: Any, number: Any, count: int) -> Any:
    vector = ir.VectorType(number.type, count)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(_INT, 0))
    zeros = ir.Constant(ir.VectorType(_INT, count), [0] * count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


@_emitted
def _taken(typing: Any, array: Any, place: Any) -> Any:
    """An element, without the question whether the place counts from the end."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(_address(context, builder, signature, given, 0, given[1]))

    return array.dtype(array, types.int64), generate


@_emitted
def _mark(typing: Any, words: Any, place: Any, bits: Any) -> Any:
    """Set bits of a word."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = _address(context, builder, signature, given, 0, given[1])
        builder.store(builder.or_(builder.load(address), given[2]), address)
        return context.get_dummy_value()

    return types.void(words, types.int64, types.uint64), generate


@_emitted
def _keyed(typing: Any, bits: Any, tiny: Any, missing: Any, absent: Any, zero: Any, word: Any) -> Any:
    """Make keys of the bits of 64 floats, ``missing`` of NaN; which are NaN and which are zero goes into the words."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        vector = ir.VectorType(_INT, 64)
        place = _address(context, builder, signature, given, 0, ir.Constant(_WORD, 0))
        number, magnitude = _load(builder, place, vector), ir.Constant(vector, [0x7FFFFFFF] * 64)
        size = builder.and_(number, magnitude)
        turned = builder.and_(builder.ashr(number, ir.Constant(vector, [31] * 64)), magnitude)
        none = builder.icmp_signed("<=", size, _repeated(builder, given[1], 64))
        gone = builder.icmp_signed(">", size, ir.Constant(vector, [0x7F800000] * 64))
        key = builder.select(none, ir.Constant(vector, None), builder.xor(number, turned))
        _store(builder, builder.select(gone, _repeated(builder, given[2], 64), key), place)
        for array, which in ((3, gone), (4, none)):
            told = _address(context, builder, signature, given, array, given[5])
            builder.store(builder.bitcast(which, _WORD), told)
        return context.get_dummy_value()

    return types.void(bits, types.int32, types.int32, absent, zero, types.int64), generate


@_emitted
def _below(typing: Any, cuts: Any, start: Any, key: Any) -> Any:
    """How many of the 16 cuts from ``start`` on are below the key: one comparison and a count of bits."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = _address(context, builder, signature, given, 0, given[1])
        held = _load(builder, address, ir.VectorType(_INT, 16))
        mask = builder.icmp_signed("<", held, _repeated(builder, given[2], 16))
        return builder.zext(builder.ctpop(builder.bitcast(mask, ir.IntType(16))), _WORD)

    return types.int64(cuts, types.int64, types.int32), generate


@_emitted
def _accumulate(typing: Any, tests: Any, word: Any, count: Any) -> Any:
    """Of ``count`` slices down from ``word``, put each one upon all before it."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        total = cgutils.alloca_once_value(builder, _NONE)
        with cgutils.for_range(builder, given[2], intp=_WORD) as loop:
            place = builder.sub(given[1], builder.shl(loop.index, ir.Constant(_WORD, 1)))
            address = _address(context, builder, signature, given, 0, place)
            run = builder.or_(builder.load(total), _load(builder, address, _SLICE))
            _store(builder, run, address)
            builder.store(run, total)
        return context.get_dummy_value()

    return types.void(tests, types.int64, types.int64), generate


@_emitted
def _turn(typing: Any, tests: Any, made: Any, word: Any, which: Any, absent: Any, zero: Any) -> Any:
    """Make a slice of another one, with the bits of missing values (``which`` has 1) or of zeros (2) turned."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        turned = _load(builder, _address(context, builder, signature, given, 0, given[2]), _SLICE)
        for bit, array in ((1, 4), (2, 5)):
            chosen = builder.icmp_signed("!=", builder.and_(given[3], ir.Constant(_WORD, bit)), ir.Constant(_WORD, 0))
            mask = _load(builder, _address(context, builder, signature, given, array, ir.Constant(_WORD, 0)), _SLICE)
            turned = builder.xor(turned, builder.select(chosen, mask, _NONE))
        _store(builder, turned, _address(context, builder, signature, given, 0, given[1]))
        return context.get_dummy_value()

    return types.void(tests, *[types.int64] * 3, absent, zero), generate


@_emitted
def _fill(typing: Any, reach: Any, word: Any) -> Any:
    """Let all rows reach a slot; two words one by one could not be read as a slice at once."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        _store(builder, ir.Constant(_SLICE, [-1, -1]), _address(context, builder, signature, given, 0, given[1]))
        return context.get_dummy_value()

    return types.void(reach, types.int64), generate


@_emitted
def _step(typing: Any, reach: Any, node: Any, left: Any, right: Any, tests: Any, test: Any) -> Any:
    """Share the rows that reach a node between its children."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        rows = _load(builder, _address(context, builder, signature, given, 0, given[1]), _SLICE)
        test = _load(builder, _address(context, builder, signature, given, 4, given[5]), _SLICE)
        right = builder.and_(rows, test)
        _store(builder, right, _address(context, builder, signature, given, 0, given[3]))
        _store(builder, builder.xor(rows, right), _address(context, builder, signature, given, 0, given[2]))
        return context.get_dummy_value()

    return types.void(reach, *[types.int64] * 3, tests, types.int64), generate


@_emitted
def _fold(typing: Any, reach: Any, first: Any, half: Any, top: Any, planes: Any, plane: Any) -> Any:
    """Put slots ``half`` to ``top``, counted from ``first``, upon those from 0 on; together they are a bit plane."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def of(array: int, place: Any) -> Any:
            return _address(context, builder, signature, given, array, builder.shl(place, ir.Constant(_WORD, 1)))

        total = cgutils.alloca_once_value(builder, _NONE)
        with cgutils.for_range_slice(builder, given[2], given[3], ir.Constant(_WORD, 1), _WORD) as (place, _):
            upper = _load(builder, of(0, builder.add(given[1], place)), _SLICE)
            lower = of(0, builder.add(given[1], builder.sub(place, given[2])))
            builder.store(builder.or_(builder.load(total), upper), total)
            _store(builder, builder.or_(_load(builder, lower, _SLICE), upper), lower)
        _store(builder, builder.load(total), of(4, given[5]))
        return context.get_dummy_value()

    return types.void(reach, *[types.int64] * 3, planes, types.int64), generate


@_emitted
def _spread(typing: Any, planes: Any, first: Any, count: Any, out: Any, start: Any) -> Any:
    """The numbers of 64 rows, a byte each, whose bits are in ``count`` planes, the lowest first."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        vector = ir.VectorType(_BYTE, 64)
        total = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
        bit = cgutils.alloca_once_value(builder, ir.Constant(vector, [1] * 64))
        with cgutils.for_range(builder, given[2], intp=_WORD) as loop:
            place = builder.add(given[1], builder.shl(loop.index, ir.Constant(_WORD, 1)))
            word = builder.load(_address(context, builder, signature, given, 0, place))
            chosen, value = builder.bitcast(word, ir.VectorType(ir.IntType(1), 64)), builder.load(bit)
            held = builder.select(chosen, value, ir.Constant(vector, None))
            builder.store(builder.or_(builder.load(total), held), total)
            builder.store(builder.add(value, value), bit)
        _store(builder, builder.load(total), _address(context, builder, signature, given, 3, given[4]))
        return context.get_dummy_value()

    return types.void(planes, types.int64, types.int64, out, types.int64), generate


@compiled(kept=False)
def _ask(bits: Any, columns: Any, starts: Any, search: Any, extra: Any, tiny: Any, tests: Any) -> None:
    """Answer every question for every row: a row's bit in ``tests`` says that it goes right."""
    absent, zero = np.zeros(2, dtype=np.uint64), np.zeros(2, dtype=np.uint64)
    keys = np.zeros(64, dtype=np.int32)
    for column in range(columns.shape[0]):
        feature, first, cuts, levels = columns[column, 0], columns[column, 1], columns[column, 2], columns[column, 3]
        missing, top, second = np.int32(columns[column, 4]), starts[column, 0], starts[column, 1]
        for word in range(2 * first, 2 * (first + cuts + 1)):
            tests[word] = 0
        for word in range((len(bits) + 63) >> 6):
            count = min(64, len(bits) - 64 * word)
            for row in range(count):
                keys[row] = _taken(bits, (64 * word + row) * bits.shape[1] + feature)
            _keyed(keys, tiny, missing, absent, zero, word)
            at, bit = 2 * first + word, np.uint64(1)
            for row in range(count):
                key = _taken(keys, row)
                place = _below(search, top, key)
                if levels == 2:
                    place = 16 * place + _below(search, second + 16 * place, key)
                elif levels > 2:
                    for level in range(1, levels):
                        place = 16 * place + _below(search, starts[column, level] + 16 * place, key)
                _mark(tests, at + 2 * place, bit)
                bit += bit
        _accumulate(tests, 2 * (first + cuts), cuts)
        for made in range(columns[column, 5], columns[column, 6]):
            _turn(tests, 2 * extra[made, 0], 2 * extra[made, 1], extra[made, 2], absent, zero)


@compiled(kept=False)
def _reach(
    asked: Any, children: Any, group: Any, trees: Any, tests: Any, reach: Any, planes: Any, low: Any, high: Any
) -> None:
    """The number of the leaf that each row reaches in each tree of a group: its lower byte, its upper byte."""
    slot = 2 * group[2]
    for root in range(group[3]):
        _fill(reach, slot + 2 * root)
    # Level by level through all trees of the group: a step then hardly ever waits for the one before.
    for node in range(group[0], group[1]):
        left, right = np.int64(_taken(children, 2 * node)), np.int64(_taken(children, 2 * node + 1))
        _step(reach, slot, left, right, tests, np.int64(_taken(asked, node)))
        slot += 2
    for tree in range(len(trees)):
        top, bits, first = trees[tree, 0], trees[tree, 1], trees[tree, 3]
        for bit in range(bits - 1, -1, -1):
            _fold(reach, first, 1 << bit, top, planes, bit)
            top = 1 << bit
        for word in range(2):
            _spread(planes, word, min(bits, 8), low, BLOCK * tree + 64 * word)
            if bits > 8:
                _spread(planes, 16 + word, bits - 8, high, BLOCK * tree + 64 * word)


@compiled(kept=False)
def _sum(trees: Any, leaves: Any, low: Any, high: Any, scores: Any) -> None:
    """Add the leaves of a group of four trees, in their order."""
    a, b, c, d = trees[0, 2], trees[1, 2], trees[2, 2], trees[3, 2]
    if max(trees[0, 1], trees[1, 1], trees[2, 1], trees[3, 1]) <= 8:
        for row in range(len(scores)):
            total = scores[row] + _taken(leaves, a + _taken(low, row))
            total += _taken(leaves, b + _taken(low, BLOCK + row))
            total += _taken(leaves, c + _taken(low, 2 * BLOCK + row))
            scores[row] = total + _taken(leaves, d + _taken(low, 3 * BLOCK + row))
    else:
        for tree in range(4):
            upper = 256 if trees[tree, 1] > 8 else 0
            for row in range(len(scores)):
                place = BLOCK * tree + row
                scores[row] += leaves[trees[tree, 2] + low[place] + upper * high[place]]


def _score(
    bits: Any, columns: Any, starts: Any, search: Any, extra: Any, tiny: Any, asked: Any, children: Any, groups: Any,
    trees: Any, leaves: Any, words: Any, slots: Any, numbers: Any, scores: Any,
) -> None:  # fmt: skip
    """Score rows given as the bits of float32; the arguments are a layout's but for the last.

    ``scores`` hold what each sum starts from; ``words`` (32, then two a slot and a row of bits) and ``numbers`` (8 · BLOCK)
    are room to work in.
    """
    planes, reach, tests = words[:32], words[32 : 32 + 2 * slots], words[32 + 2 * slots :]
    low, high = numbers[: 4 * BLOCK], numbers[4 * BLOCK :]
    for row in range(0, len(bits), BLOCK):
        end = min(row + BLOCK, len(bits))
        _ask(bits[row:end], columns, starts, search, extra, tiny, tests)
        for group in range(len(groups)):
            own = trees[4 * group : 4 * group + 4]
            _reach(asked, children, groups[group], own, tests, reach, planes, low, high)
            _sum(own, leaves, low, high, scores[row:end])


score = compiled()(_score)
score_unkept = compiled(kept=False)(_score)
