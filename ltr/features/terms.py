"""Terms and characters of the catalogue's text, product after product in flat arrays.

``Tokens`` holds a source's term numbers, for kinds that compare terms; ``Strings`` its values in plain form with their
characters and trigrams, for kinds that compare spelling. Both end with one empty row, which stands for a product that
the catalogue lacks. Between two values of a list (or two fields read as one) stands GAP, so that no phrase crosses it.

>>> plain("Ocean’s  Twelve: Spider-Man")
'oceans twelve spider man'
>>> vocabulary = {}
>>> tokens = tokenise([["Iron Man"], ["Robert Downey", "Iron"]], "standard", vocabulary)
>>> tokens.ids.tolist(), tokens.bounds.tolist()
([0, 1, 2, 3, -2, 0], [0, 2, 6, 6])
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr import text
from ltr.text import TermStatistics, analyzer

__all__ = [
    "GAP",
    "MAX_SENTENCES",
    "UNKNOWN",
    "Strings",
    "Tokens",
    "characters",
    "join",
    "plain",
    "read",
    "sentences",
    "spell",
    "tokenise",
    "trigrams",
]

GAP: Final = -2
MAX_SENTENCES: Final = 64  # of one product: the work of encoding it has a bound
UNKNOWN: Final = -1  # a query's term that no product has; never in Tokens

# A line, or what ends in a mark and a space; a point within a number or a name's initial is no end before a small letter.
_SENTENCE: Final = re.compile(r"[\r\n]+|(?<=[.!?…])\s+(?=[^\sa-z])|(?<=[。！？])")
_APOSTROPHES: Final = str.maketrans("", "", "'’")
# A code point has 21 bits, so three fit one int64 without a table of trigrams.
_BITS: Final = 21


@dataclass(frozen=True)
class Tokens:
    """Term numbers of one source; ``bounds[row]`` to ``bounds[row + 1]`` are a product's."""

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]
    vocabulary: Mapping[str, int]

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """Terms of each row, gaps not counted."""
        terms = np.zeros(len(self.ids) + 1, dtype=np.int64)
        np.cumsum(self.ids != GAP, out=terms[1:])
        return np.diff(terms[self.bounds]).astype(np.float64)

    @cached_property
    def documents(self) -> int:
        """Products that have the field (Lucene's docCount)."""
        return int(np.count_nonzero(self.lengths))

    @cached_property
    def average_length(self) -> float:
        """Terms a product, over the products that have the field; 1 where none has."""
        return float(self.lengths.sum()) / self.documents if self.documents else 1.0

    @cached_property
    def frequencies(self) -> NDArray[np.int64]:
        """Products by term number."""
        from ltr.features import kernels

        out = np.zeros(len(self.vocabulary), dtype=np.int64)
        kernels.documents(self.ids, self.bounds, out)
        return out

    @cached_property
    def idf(self) -> NDArray[np.float64]:
        """Lucene's idf by term number; the last entry is that of a term no product has (index UNKNOWN)."""
        return text.idf(np.append(self.frequencies, 0), self.documents)

    @property
    def statistics(self) -> TermStatistics:
        """The same counts under their terms, as ``ltr.text`` has them."""
        named = {term: int(self.frequencies[number]) for term, number in self.vocabulary.items()}
        return TermStatistics(
            self.documents, int(self.lengths.sum()), {term: count for term, count in named.items() if count}
        )


@dataclass(frozen=True)
class Strings:
    """Values of one source in plain form; ``bounds[row]`` to ``bounds[row + 1]`` are a product's. None is empty."""

    values: Sequence[str]
    bounds: NDArray[np.int64]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Values of each row."""
        return np.diff(self.bounds)

    @cached_property
    def characters(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Code points of all values, and the bounds of each value."""
        bounds = np.zeros(len(self.values) + 1, dtype=np.int64)
        np.cumsum([len(value) for value in self.values], out=bounds[1:])
        return characters("".join(self.values)), bounds

    @cached_property
    def trigrams(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Distinct trigrams of each row in ascending order, the bounds of each row, and how many it has."""
        padded = [f" {value} " for value in self.values]
        sizes = np.fromiter((len(value) for value in padded), dtype=np.int64, count=len(padded))
        rows = np.repeat(np.arange(len(self.bounds) - 1), self.counts)
        ends = np.repeat(np.cumsum(sizes), sizes)
        inside = np.flatnonzero(np.arange(len(ends)) + 2 < ends)
        grams = _packed(characters("".join(padded)), inside)
        owner = np.repeat(rows, sizes)[inside]
        order = np.lexsort((grams, owner))
        grams, owner = grams[order], owner[order]
        first = np.ones(len(grams), dtype=np.bool_)
        first[1:] = (grams[1:] != grams[:-1]) | (owner[1:] != owner[:-1])
        bounds = np.zeros(len(self.bounds), dtype=np.int64)
        np.cumsum(np.bincount(owner[first], minlength=len(self.bounds) - 1), out=bounds[1:])
        return grams[first], bounds, np.diff(bounds)


def read(products: pl.DataFrame, fields: Sequence[str]) -> list[list[str]]:
    """Each product's values of the fields, one field after another; a null has none.

    >>> import polars as pl
    >>> read(pl.DataFrame({"title": ["Iron Man", None], "tags": [["suit", None], []]}), ["title", "tags"])
    [['Iron Man', 'suit'], []]
    """
    columns = [_strings(products[field]).to_list() for field in fields]
    return [[value for cell in row for value in _values(cell) if value] for row in zip(*columns, strict=True)]


def sentences(cells: Sequence[str]) -> list[str]:
    """Sentences and lines of a product's values, at most the first MAX_SENTENCES.

    >>> sentences(["Holds 1.5 l. Has no lid!", "Steel\\nDishwasher safe"])
    ['Holds 1.5 l.', 'Has no lid!', 'Steel', 'Dishwasher safe']
    """
    found = (part.strip() for cell in cells for part in _SENTENCE.split(cell))
    return list(islice((part for part in found if any(map(str.isalnum, part))), MAX_SENTENCES))


def tokenise(values: Sequence[Sequence[str]], name: str, vocabulary: dict[str, int]) -> Tokens:
    """Analyse each product's values; terms that the vocabulary lacks are added to it."""
    analyse = analyzer(name)
    known: dict[str, list[int]] = {}
    ids = array("i")
    bounds = np.zeros(len(values) + 2, dtype=np.int64)
    for row, cells in enumerate(values):
        start = len(ids)
        for value in cells:
            numbers = known.get(value)
            if numbers is None:
                numbers = [vocabulary.setdefault(term, len(vocabulary)) for term in analyse(value)]
                if len(value) <= 64:  # genres and people come again, descriptions do not
                    known[value] = numbers
            if numbers:
                if len(ids) > start:
                    ids.append(GAP)
                ids.extend(numbers)
        bounds[row + 1] = len(ids)
    bounds[-1] = len(ids)
    return Tokens(np.array(ids, dtype=np.int32), bounds, vocabulary)


def join(parts: Sequence[Tokens]) -> Tokens:
    """Tokens of several sources read as one: product by product the terms of each, a gap between.

    >>> both = [tokenise([["iron man"], []], "standard", words := {}), tokenise([["tony"], ["man"]], "standard", words)]
    >>> join(both).ids.tolist()
    [0, 1, -2, 2, 1]
    """
    if len(parts) == 1:
        return parts[0]
    sources = [(array("i", part.ids.tobytes()), part.bounds.tolist()) for part in parts]
    ids = array("i")
    bounds = np.zeros_like(parts[0].bounds)
    for row in range(len(bounds) - 1):
        start = len(ids)
        for terms, cuts in sources:
            if cuts[row] < cuts[row + 1]:
                if len(ids) > start:
                    ids.append(GAP)
                ids.extend(terms[cuts[row] : cuts[row + 1]])
        bounds[row + 1] = len(ids)
    return Tokens(np.array(ids, dtype=np.int32), bounds, parts[0].vocabulary)


def spell(values: Sequence[Sequence[str]]) -> Strings:
    """Each product's values in plain form."""
    plains = [[form for value in cells if (form := plain(value))] for cells in values]
    bounds = np.zeros(len(values) + 2, dtype=np.int64)
    np.cumsum([*map(len, plains), 0], out=bounds[1:])
    return Strings([value for cells in plains for value in cells], bounds)


def plain(value: str) -> str:
    """The form in which spelling is compared: folded words without apostrophes, one space between."""
    return " ".join(analyzer("standard")(value)).translate(_APOSTROPHES)


def characters(value: str) -> NDArray[np.int32]:
    """Code points of a string."""
    return np.frombuffer(value.encode("utf-32-le", "surrogatepass"), dtype=np.int32).copy()


def trigrams(value: str) -> NDArray[np.int64]:
    """Distinct character trigrams of a plain string, a space before and after it, in ascending order; none of "".

    >>> len(trigrams("man")), len(trigrams(""))     # " ma", "man", "an "
    (3, 0)
    """
    codes = characters(f" {value} ")
    grams = np.sort(_packed(codes, np.arange(len(codes) - 2)))
    first = np.ones(len(grams), dtype=np.bool_)
    np.not_equal(grams[1:], grams[:-1], out=first[1:])
    return grams[first]


def _packed(codes: NDArray[np.int32], at: NDArray[np.int64]) -> NDArray[np.int64]:
    wide = codes.astype(np.int64)
    return (wide[at] << 2 * _BITS) | (wide[at + 1] << _BITS) | wide[at + 2] if len(at) else np.empty(0, dtype=np.int64)


def _strings(column: pl.Series) -> pl.Series:
    return column.cast(pl.List(pl.String) if isinstance(column.dtype, pl.List) else pl.String)


def _values(cell: str | list[str] | None) -> list[str]:
    if cell is None:
        return []
    return [cell] if isinstance(cell, str) else cell
