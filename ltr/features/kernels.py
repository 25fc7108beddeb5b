"""Loops over candidates, compiled by numba: each row's value is summed by itself, in one fixed order.

Arguments that kernels share: ``rows`` is the catalogue row of each candidate, ``lists`` where each list of candidates
begins and ends, ``ids`` and ``bounds`` a source of the catalogue, ``asked`` and ``ends`` what the queries say and where
each list's query begins and ends; results are written into the last arguments. Compiled without fastmath, so that no sum
is reordered, and without the interpreter's lock, so that threads may share the lists out among them. The signatures keep
out other types, which would compile again.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ltr.features.terms import GAP
from ltr.loops import compiled, prefetch

__all__ = [
    "bm25",
    "contains",
    "cosine",
    "documents",
    "fetch",
    "frequencies",
    "heaviest",
    "holds",
    "runs",
    "share",
    "values",
    "weighted",
    "without",
]

LARGEST: Final = float(np.finfo(np.float32).max)
BUCKETS: Final = 256  # a power of two
AHEAD: Final = 8
LINES: Final = 64  # of a long row; the processor sees by itself how it goes on


@compiled("void(i4[::1], i8[::1], i8[::1])")
def documents(ids: Any, bounds: Any, out: Any) -> None:
    """How many rows have each term."""
    last = np.full(len(out), -1, dtype=np.int64)  # the row that a term was seen in last
    for row in range(len(bounds) - 1):
        for token in range(bounds[row], bounds[row + 1]):
            term = ids[token]
            if term != GAP and last[term] != row:
                last[term] = row
                out[term] += 1


@compiled("void(b1[::1], i4[::1], i8, i8)")
def _mark(maybe: Any, asked: Any, first: Any, width: Any) -> None:
    """Which buckets the query's terms are in: most terms of a field are in none, and need not be compared with each."""
    maybe[:] = False
    for term in range(first, first + width):
        maybe[asked[term] & (BUCKETS - 1)] = True


@compiled(["void(i4[::1], i8[::1], i8[::1], i8, i8)", "void(i8[::1], i8[::1], i8[::1], i8, i8)"])
def fetch(ids: Any, bounds: Any, rows: Any, pair: Any, last: Any) -> None:
    """Have the rows of candidates a few places on fetched: they lie anywhere, and waiting for them takes most of the time."""
    if pair + 2 * AHEAD < last:
        prefetch(bounds, rows[pair + 2 * AHEAD])
    if pair + AHEAD < last:
        row = rows[pair + AHEAD]
        start, line = bounds[row], 64 // ids.itemsize
        for place in range(start, min(bounds[row + 1], start + LINES * line), line):
            prefetch(ids, place)


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i8[::1], i4[::1], i4[::1])")
def frequencies(
    ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, starts: Any, tf: Any, hits: Any
) -> None:
    """Occurrences of each query term in each candidate, and terms of the candidate that the query has at all.

    ``tf`` holds one list after another: its candidates' rows from ``starts[list]`` on, as wide as its query.
    """
    maybe = np.zeros(BUCKETS, dtype=np.bool_)
    for group in range(len(lists) - 1):
        first, width, at = ends[group], ends[group + 1] - ends[group], starts[group]
        _mark(maybe, asked, first, width)
        for pair in range(lists[group], lists[group + 1]):
            fetch(ids, bounds, rows, pair, lists[group + 1])
            for token in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                if maybe[ids[token] & (BUCKETS - 1)]:
                    found = 0
                    for term in range(width):
                        if ids[token] == asked[first + term]:
                            tf[at + term] += 1
                            found = 1
                    hits[pair] += found
            at += width


@compiled("void(i4[::1], i8[::1], f8[::1], f8[::1], i8[::1], i8[::1], i8[::1], f4[::1])")
def bm25(tf: Any, starts: Any, idf: Any, norms: Any, rows: Any, lists: Any, ends: Any, out: Any) -> None:
    """Σ idf · tf / (tf + norm) over the query's terms; the norm is the catalogue row's, NaN where it has no terms."""
    for group in range(len(lists) - 1):
        first, width, at = ends[group], ends[group + 1] - ends[group], starts[group]
        for pair in range(lists[group], lists[group + 1]):
            norm = norms[rows[pair]]
            total = 0.0 if norm == norm else np.nan
            for term in range(width):
                if tf[at + term] > 0:
                    total += idf[first + term] * tf[at + term] / (tf[at + term] + norm)
            out[pair] = total
            at += width


@compiled("void(i4[::1], i8[::1], f8[::1], f8[::1], i8[::1], i8[::1], i8[::1], f4[::1])")
def weighted(tf: Any, starts: Any, weights: Any, lengths: Any, rows: Any, lists: Any, ends: Any, out: Any) -> None:
    """Weight of the query's terms that occur, over the weight of all of them."""
    for group in range(len(lists) - 1):
        first, width, at = ends[group], ends[group + 1] - ends[group], starts[group]
        whole = 0.0
        for term in range(width):
            whole += weights[first + term]
        for pair in range(lists[group], lists[group + 1]):
            found = 0.0
            for term in range(width):
                if tf[at + term] > 0:
                    found += weights[first + term]
            out[pair] = found / whole if whole > 0 and lengths[rows[pair]] > 0 else np.nan
            at += width


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i4[::1])")
def runs(ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, out: Any) -> None:
    """The longest run of consecutive query terms that stand in the candidate consecutively and in that order."""
    maybe = np.zeros(BUCKETS, dtype=np.bool_)
    for group in range(len(lists) - 1):
        first, width = ends[group], ends[group + 1] - ends[group]
        _mark(maybe, asked, first, width)
        # run[t] = length of the run that ends with the token just read and query term t − 1.
        run = np.zeros(width + 1, dtype=np.int32)
        for pair in range(lists[group], lists[group + 1]):
            running, longest = True, 0
            for token in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                if maybe[ids[token] & (BUCKETS - 1)]:
                    running = True
                    for term in range(width, 0, -1):
                        run[term] = run[term - 1] + 1 if ids[token] == asked[first + term - 1] else 0
                        longest = max(longest, run[term])
                elif running:
                    running = False
                    run[:] = 0
            if running:
                run[:] = 0
            out[pair] = longest


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i4[::1], i4[::1], i4[::1])")
def values(
    ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, named: Any, held: Any, covered: Any
) -> None:
    """Values of the candidate that the query names whole, values it has, query terms that named values account for."""
    maybe = np.zeros(BUCKETS, dtype=np.bool_)
    for group in range(len(lists) - 1):
        first, width = ends[group], ends[group + 1] - ends[group]
        _mark(maybe, asked, first, width)
        for pair in range(lists[group], lists[group + 1]):
            fetch(ids, bounds, rows, pair, lists[group + 1])
            # A bit a query term; a query has 64 at most.
            of_value, of_any, whole, values = np.uint64(0), np.uint64(0), True, 0
            start, end = bounds[rows[pair]], bounds[rows[pair] + 1]
            for token in range(start, end + 1 if end > start else start):
                if token == end or ids[token] == GAP:
                    values += 1
                    if whole:
                        named[pair] += 1
                        of_any |= of_value
                    of_value, whole = np.uint64(0), True
                elif maybe[ids[token] & (BUCKETS - 1)]:
                    found = np.uint64(0)
                    for term in range(width):
                        if ids[token] == asked[first + term]:
                            found |= np.uint64(1) << np.uint64(term)
                    of_value |= found
                    whole = whole and found != 0
                else:
                    whole = False
            held[pair] += values
            while of_any != 0:
                of_any &= of_any - np.uint64(1)
                covered[pair] += 1


@compiled("void(f8[::1], i8[::1], f8[::1], i8[::1], f4[::1])")
def contains(numbers: Any, lists: Any, asked: Any, ends: Any, out: Any) -> None:
    """1 where the query says the candidate's number, 0 where not, NaN where the candidate has none."""
    for group in range(len(lists) - 1):
        for pair in range(lists[group], lists[group + 1]):
            found = 0.0 if numbers[pair] == numbers[pair] else np.nan
            for said in range(ends[group], ends[group + 1]):
                if asked[said] == numbers[pair]:
                    found = 1.0
            out[pair] = found


@compiled("void(i4[::1], i8[::1], f8[::1], f8[::1], i8[::1], i8[::1], i8[::1], f4[::1])")
def heaviest(tf: Any, starts: Any, weights: Any, lengths: Any, rows: Any, lists: Any, ends: Any, out: Any) -> None:
    """The greatest weight of the query's terms that do not occur, 0 where all do."""
    for group in range(len(lists) - 1):
        first, width, at = ends[group], ends[group + 1] - ends[group], starts[group]
        for pair in range(lists[group], lists[group + 1]):
            greatest = 0.0 if width > 0 and lengths[rows[pair]] > 0 else np.nan
            for term in range(width):
                if tf[at + term] == 0:
                    greatest = max(greatest, weights[first + term])
            out[pair] = greatest if lengths[rows[pair]] > 0 else np.nan
            at += width


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], f4[::1])")
def holds(ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, out: Any) -> None:
    """1 where the candidate has one of the list's terms, 0 where none, NaN where there are no terms on either side."""
    for group in range(len(lists) - 1):
        first, last = ends[group], ends[group + 1]
        for pair in range(lists[group], lists[group + 1]):
            start, end = bounds[rows[pair]], bounds[rows[pair] + 1]
            found = 0.0 if last > first and end > start else np.nan
            for token in range(start, end):
                for term in range(first, last):
                    if ids[token] == asked[term]:
                        found = 1.0
            out[pair] = found


@compiled("b1(i4, i4[::1], i8, i8)")
def _among(term: Any, terms: Any, first: Any, last: Any) -> Any:
    """Whether a term is one of terms[first:last]."""
    found = False
    for at in range(first, last):
        found |= terms[at] == term
    return found


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i4[::1], i8[::1], i4[::1], i4[::1], i8, f4[::1])")
def without(
    ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, endings: Any, cuts: Any, before: Any,
    after: Any, reach: Any, out: Any,
) -> None:  # fmt: skip
    """1 where the candidate says that it is without the list's term, 0 where not, NaN without terms on either side.

    It says so by a term of ``before`` at most ``reach`` terms ahead of it and in the same value, by one of ``after`` just
    behind it, or by one of the list's ``endings`` (whose bounds are ``cuts``).
    """
    for group in range(len(lists) - 1):
        for pair in range(lists[group], lists[group + 1]):
            start, end = bounds[rows[pair]], bounds[rows[pair] + 1]
            said, thing = start - reach - 1, start - 2  # where a term of before, and the list's, stood last
            found = False
            for token in range(start, end if ends[group + 1] > ends[group] else start):
                term = ids[token]
                found |= _among(term, endings, cuts[group], cuts[group + 1])
                found |= thing == token - 1 and _among(term, after, 0, len(after))
                if term == GAP:
                    said = token - reach - 1
                if _among(term, asked, ends[group], ends[group + 1]):
                    thing = token
                    found |= token - said <= reach
                if _among(term, before, 0, len(before)):
                    said = token
            out[pair] = (1.0 if found else 0.0) if ends[group + 1] > ends[group] and end > start else np.nan


@compiled("void(i4[::1], f8[::1], i8[::1], i8[::1], i8[::1], b1, f4[::1])")
def share(counts: Any, lengths: Any, rows: Any, lists: Any, ends: Any, of_query: bool, out: Any) -> None:
    """A count of terms over those of the query, or over those of the field; NaN where either has none."""
    for group in range(len(lists) - 1):
        asked = float(ends[group + 1] - ends[group])
        for pair in range(lists[group], lists[group + 1]):
            has = lengths[rows[pair]]
            out[pair] = counts[pair] / (asked if of_query else has) if asked > 0 and has > 0 else np.nan


@compiled("f4(f4)")
def _finite(value: Any) -> Any:
    return value if abs(value) <= LARGEST else np.float32(np.nan)


@compiled("f4(Array(f4, 1, 'C', readonly=True), f4[::1], i8, f4, f4, f4, f4)")
def _ended(own: Any, query: Any, start: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Four lanes and what is left from ``start`` on, added up."""
    lanes = np.array([a, b, c, d])
    for at in range(start, len(query)):
        lanes[at & 3] += own[at] * query[at]
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])


@compiled("void(Array(f4, 2, 'C', readonly=True), f4[:, ::1], i8[::1], i8[::1], b1[::1], f4[::1])")
def cosine(vectors: Any, queries: Any, rows: Any, lists: Any, known: Any, out: Any) -> None:
    """Σ qᵢ · pᵢ of each candidate that is known, NaN of the others.

    The vectors may be memory-mapped, and not to be written. Summed in four lanes, the order of NumPy's einsum on x86-64; two rows at a time, so that one's sums do not wait for
    themselves.
    """
    whole = queries.shape[1] & -16
    out[:] = np.nan
    for group in range(len(lists) - 1 if len(vectors) else 0):
        query = queries[group]
        for pair in range(lists[group], lists[group + 1], 2):
            other = min(pair + 1, lists[group + 1] - 1)
            # An unknown product's row may be none.
            p = vectors[rows[pair] if known[rows[pair]] else 0]
            q = vectors[rows[other] if known[rows[other]] else 0]
            a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            e, f, g, h = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for block in range(0, whole, 16):
                for at in range(block + 12, block - 1, -4):
                    a += p[at] * query[at]
                    b += p[at + 1] * query[at + 1]
                    c += p[at + 2] * query[at + 2]
                    d += p[at + 3] * query[at + 3]
                    e += q[at] * query[at]
                    f += q[at + 1] * query[at + 1]
                    g += q[at + 2] * query[at + 2]
                    h += q[at + 3] * query[at + 3]
            if known[rows[pair]]:
                out[pair] = _finite(_ended(p, query, whole, a, b, c, d))
            if known[rows[other]]:
                out[other] = _finite(_ended(q, query, whole, e, f, g, h))
