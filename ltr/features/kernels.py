"""Loops over candidates, compiled by numba: each row's value is summed by itself, in one fixed order.

Arguments that kernels share: ``rows`` is the catalogue row of each candidate, ``lists`` where each list of candidates
begins and ends, ``ids`` and ``bounds`` a source of the catalogue, ``asked`` and ``ends`` what the queries say and where
each list's query begins and ends; results are written into the last arguments. Compiled without fastmath, so that no sum
is reordered, and without the interpreter's lock, so that threads may share the lists out among them. The signatures keep
out other types, which would compile again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np

from ltr.errors import MissingExtraError
from ltr.features.terms import GAP

try:
    import numba
except ImportError as error:
    raise MissingExtraError("numba", "serve") from error

__all__ = [
    "beginnings",
    "bm25",
    "common",
    "compiled",
    "contains",
    "frequencies",
    "heaviest",
    "holds",
    "ranks",
    "relative",
    "runs",
    "softmax",
    "values",
    "weighted",
    "without",
    "zscore",
]

LARGEST: Final = float(np.finfo(np.float32).max)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(signature: str | list[str], *, reordered: bool = False) -> Callable[[F], F]:
    """Compile a loop for these types (or each of these) alone, kept on disk and without the interpreter's lock.

    ``reordered`` lets one row's own sum be taken in several lanes: the same bits for the same row wherever it stands, but
    perhaps others on another processor, as with numpy's einsum.
    """
    fast = {"reassoc"} if reordered else False
    return cast("Callable[[F], F]", numba.njit(signature, cache=True, nogil=True, fastmath=fast))


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i8[::1], i4[::1], i4[::1])")
def frequencies(
    ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, starts: Any, tf: Any, hits: Any
) -> None:
    """Occurrences of each query term in each candidate, and terms of the candidate that the query has at all.

    ``tf`` holds one list after another: its candidates' rows from ``starts[list]`` on, as wide as its query.
    """
    # Most terms of a field are not in the query: their last bits say so without looking at each query term.
    maybe = np.zeros(64, dtype=np.bool_)
    for group in range(len(lists) - 1):
        first, width, at = ends[group], ends[group + 1] - ends[group], starts[group]
        maybe[:] = False
        for term in range(width):
            maybe[asked[first + term] & 63] = True
        for pair in range(lists[group], lists[group + 1]):
            for token in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                if maybe[ids[token] & 63]:
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
    for group in range(len(lists) - 1):
        first, width = ends[group], ends[group + 1] - ends[group]
        # run[t] = length of the run that ends with the token just read and query term t − 1.
        run = np.zeros(width + 1, dtype=np.int32)
        for pair in range(lists[group], lists[group + 1]):
            run[:] = 0
            longest = 0
            for token in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                for term in range(width, 0, -1):
                    run[term] = run[term - 1] + 1 if ids[token] == asked[first + term - 1] else 0
                    longest = max(longest, run[term])
            out[pair] = longest


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i4[::1], i4[::1], i4[::1])")
def values(
    ids: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, named: Any, held: Any, covered: Any
) -> None:
    """Values of the candidate that the query names whole, values it has, query terms that named values account for."""
    for group in range(len(lists) - 1):
        first, width = ends[group], ends[group + 1] - ends[group]
        of_value = np.zeros(width, dtype=np.bool_)
        of_any = np.zeros(width, dtype=np.bool_)
        for pair in range(lists[group], lists[group + 1]):
            end = bounds[rows[pair] + 1]
            token = bounds[rows[pair]]
            of_any[:] = False
            while token < end:
                whole = True
                of_value[:] = False
                while token < end and ids[token] != GAP:
                    found = False
                    for term in range(width):
                        if ids[token] == asked[first + term]:
                            of_value[term] = True
                            found = True
                    whole = whole and found
                    token += 1
                token += 1
                held[pair] += 1
                if whole:
                    named[pair] += 1
                    of_any |= of_value
            for term in range(width):
                covered[pair] += of_any[term]


@compiled("void(i4[::1], i8[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[::1], i4[::1], b1[::1])")
def beginnings(
    codes: Any, cuts: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, prefix: Any, equal: Any
) -> None:
    """Characters that the query and the candidate's best value begin with alike, and whether a value is the query.

    ``cuts`` is where each value begins and ends in ``codes``; ``bounds`` which values are a row's.
    """
    for group in range(len(lists) - 1):
        first, width = ends[group], ends[group + 1] - ends[group]
        for pair in range(lists[group], lists[group + 1]):
            for value in range(bounds[rows[pair]], bounds[rows[pair] + 1]):
                size = cuts[value + 1] - cuts[value]
                alike = 0
                while alike < width and alike < size and codes[cuts[value] + alike] == asked[first + alike]:
                    alike += 1
                prefix[pair] = max(prefix[pair], alike)
                equal[pair] |= alike == width and alike == size


@compiled("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i4[::1])")
def common(grams: Any, bounds: Any, rows: Any, lists: Any, asked: Any, ends: Any, out: Any) -> None:
    """Trigrams that the query and the candidate share; both are ascending without repetition."""
    for group in range(len(lists) - 1):
        for pair in range(lists[group], lists[group + 1]):
            here, end = bounds[rows[pair]], bounds[rows[pair] + 1]
            there = ends[group]
            while here < end and there < ends[group + 1]:
                if grams[here] == asked[there]:
                    out[pair] += 1
                    here += 1
                    there += 1
                elif grams[here] < asked[there]:
                    here += 1
                else:
                    there += 1


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


@compiled("void(f8[::1], i8[::1], f4[::1])")
def relative(values: Any, lists: Any, out: Any) -> None:
    """Each value over the mean of its list's values that are not NaN; NaN where that is none, 0, or beyond float32."""
    for group in range(len(lists) - 1):
        total, count = 0.0, 0
        for pair in range(lists[group], lists[group + 1]):
            if values[pair] == values[pair]:
                total += values[pair]
                count += 1
        mean = total / count if count else np.nan
        for pair in range(lists[group], lists[group + 1]):
            share = values[pair] / mean if mean != 0 and abs(mean) < np.inf else np.nan
            out[pair] = share if abs(share) <= LARGEST else np.nan


@compiled("void(f8[::1], i8[::1], b1, f4[::1])")
def ranks(values: Any, lists: Any, share: bool, out: Any) -> None:
    """Rank of each value among its list's values that are not NaN, 1 the greatest, equals sharing the mean of theirs.

    With ``share`` the part of the list that is below, half of the equals counted.
    """
    for group in range(len(lists) - 1):
        start, stop = lists[group], lists[group + 1]
        count = 0
        for pair in range(start, stop):
            count += values[pair] == values[pair]
        for pair in range(start, stop):
            above, equal = 0, 0
            for other in range(start, stop):
                above += values[other] > values[pair]
                equal += values[other] == values[pair]
            rank = above + equal / 2 + 0.5
            if equal == 0:
                out[pair] = np.nan
            elif share:
                out[pair] = (count + 0.5 - rank) / count
            else:
                out[pair] = rank


@compiled("void(f8[::1], i8[::1], f4[::1])")
def zscore(values: Any, lists: Any, out: Any) -> None:
    """Each value in standard deviations from the mean of its list's values that are not NaN; 0 for NaN and no deviation."""
    for group in range(len(lists) - 1):
        total, count, greatest = 0.0, 0, 0.0
        for pair in range(lists[group], lists[group + 1]):
            if values[pair] == values[pair]:
                total += values[pair]
                count += 1
                greatest = max(greatest, abs(values[pair]))
        mean = total / count if count else 0.0
        squares = 0.0
        for pair in range(lists[group], lists[group + 1]):
            if values[pair] == values[pair]:
                squares += (values[pair] - mean) ** 2
        deviation = math.sqrt(squares / count) if count else 0.0
        for pair in range(lists[group], lists[group + 1]):
            # What float32 hardly tells apart is no variation; neither is what overflows.
            score = (values[pair] - mean) / deviation if 1e-6 * greatest < deviation < np.inf else 0.0
            out[pair] = score if abs(score) <= LARGEST else 0.0


@compiled("void(f4[::1], b1[::1], i8[::1], f8[::1])")
def softmax(scores: Any, known: Any, lists: Any, out: Any) -> None:
    """exp(score) over the sum of these in the list; 0 for a row that is not known."""
    for group in range(len(lists) - 1):
        greatest = -np.inf
        for pair in range(lists[group], lists[group + 1]):
            if known[pair]:
                greatest = max(greatest, scores[pair])
        total = 0.0
        for pair in range(lists[group], lists[group + 1]):
            out[pair] = math.exp(scores[pair] - greatest) if known[pair] else 0.0
            total += out[pair]
        for pair in range(lists[group], lists[group + 1]):
            out[pair] = out[pair] / total if total > 0 else 0.0


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
