"""What a kind reads: the state, the queries as analysed, and the lists of candidates.

A ``Query`` analyses each of its aspects when it is first asked for, so a set without spelling features never folds a
string. Only the first MAX_CHARACTERS characters and MAX_TERMS terms of a query count: queries come from outside, and the
work that one may cause has a bound.

>>> Query("Iron Man 2008", "english", {"iron": 7}).terms.tolist()      # −1: no product has the term
[7, -1, -1]
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ltr.features import negation
from ltr.features.negation import Part
from ltr.features.params import Floats, Offsets, Params
from ltr.features.terms import UNKNOWN, characters, plain
from ltr.text import analyzer

if TYPE_CHECKING:
    from ltr.features.memory import Memory
    from ltr.features.state import State

__all__ = ["MAX_CHARACTERS", "MAX_TERMS", "Columns", "Query", "Ragged"]

MAX_CHARACTERS: Final = 1_000
MAX_TERMS: Final = 64

# Fifteen digits are exact in float64.
_DIGITS: Final = 15

T = TypeVar("T")

Ragged = tuple[NDArray[Any], Offsets]


@dataclass(frozen=True)
class Query:
    """One query text, analysed as the state's products are."""

    text: str
    analyzer: str
    vocabulary: Mapping[str, int] = field(repr=False)

    @cached_property
    def words(self) -> list[str]:
        """Terms in order, as the analyzer makes them."""
        return analyzer(self.analyzer)(self.text[:MAX_CHARACTERS])[:MAX_TERMS]

    @cached_property
    def terms(self) -> NDArray[np.int32]:
        """Term numbers in order, repeated where the query repeats them; UNKNOWN where no product has the term."""
        return np.array([self.vocabulary.get(term, UNKNOWN) for term in self.words], dtype=np.int32)

    @cached_property
    def parts(self) -> Mapping[Part, Query]:
        """What the query wants and what it excludes, each as a query of its own; see ``ltr.features.negation``."""
        wanted, unwanted = negation.split(self.text[:MAX_CHARACTERS], self.analyzer)
        return {
            "wanted": replace(self, text=wanted) if unwanted else self,
            "unwanted": replace(self, text=unwanted),
        }

    @cached_property
    def plain(self) -> str:
        """The text in the form in which spelling is compared."""
        return plain(self.text[:MAX_CHARACTERS])

    @cached_property
    def characters(self) -> NDArray[np.int32]:
        """Code points of the plain form."""
        return characters(self.plain)

    @cached_property
    def trigrams(self) -> NDArray[np.int64]:
        """Distinct trigrams of the plain form."""
        from ltr.features import spelling_kernels

        found: NDArray[np.int64] = spelling_kernels.trigrams(self.characters)
        return found

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Whole numbers that stand as words of their own."""
        words = [word for word in self.plain.split() if word.isdecimal() and len(word) <= _DIGITS]
        return np.array([float(word) for word in words], dtype=np.float64)


@dataclass(frozen=True)
class Columns:
    """The rows that a kind works on.

    Args:
        state: the catalogue.
        queries: the query of each list.
        rows: the catalogue row of each candidate; ``len(state)`` for a product that the catalogue lacks.
        match: scores that the engine delivered, by what it was asked (the params of kind match).
        vectors: the query vector of each list.
        part_vectors: the same of the queries' wanted and unwanted parts; NaN where a query has none.
        values: features worked out before those of list scope, by name.
        memory: what earlier queries were judged to want, for the kinds that are learnt from judgments.
        own: the fold of memory that each list's query was judged in, and must not see; −1 = none.
        asked: the number of each list's query in the state's behaviour counts; −1 = none.
        days: the UTC day that each list stands for, since 1970-01-01: behaviour counts of earlier days may be seen.
    """

    state: State
    queries: Sequence[Query]
    rows: NDArray[np.int64]
    match: Mapping[Params, Floats] = field(default_factory=dict)
    vectors: Floats | None = None
    part_vectors: Mapping[Part, Floats] = field(default_factory=dict)
    values: dict[str, Floats] = field(default_factory=dict)
    memory: Memory | None = None
    own: NDArray[np.int64] | None = None
    asked: NDArray[np.int64] | None = None
    days: NDArray[np.int64] | None = None
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returns, shared by the kinds that ask for the same key."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def part(self, part: Part | None) -> Columns:
        """The same rows asked for one part of each query alone; None = for the whole."""
        if part is None or (part == "wanted" and all(query.parts["wanted"] is query for query in self.queries)):
            return self
        return self.once(
            ("part", part),
            lambda: replace(
                self,
                queries=[query.parts[part] for query in self.queries],
                vectors=self.part_vectors.get(part),
                _made={},
            ),
        )

    @property
    def terms(self) -> Ragged:
        """Terms of all lists' queries, and where each list's begin and end."""
        return self.once("terms", lambda: _ragged([query.terms for query in self.queries], np.int32))

    @property
    def characters(self) -> Ragged:
        """Code points of all lists' queries."""
        return self.once("characters", lambda: _ragged([query.characters for query in self.queries], np.int32))

    @property
    def trigrams(self) -> Ragged:
        """Trigrams of all lists' queries."""
        return self.once("trigrams", lambda: _ragged([query.trigrams for query in self.queries], np.int64))

    @property
    def numbers(self) -> Ragged:
        """Whole numbers of all lists' queries."""
        return self.once("numbers", lambda: _ragged([query.numbers for query in self.queries], np.float64))

    def of_query(self, name: str, groups: Offsets) -> NDArray[np.int64]:
        """For each row, how many terms, characters, trigrams or numbers its query has."""

        def spread() -> NDArray[np.int64]:
            ends: Offsets = getattr(self, name)[1]
            return np.repeat(ends[1:] - ends[:-1], groups[1:] - groups[:-1])

        return self.once(("of_query", name), spread)


def _ragged(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> Ragged:
    bounds = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=bounds[1:])
    return (np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.empty(0, dtype=dtype)), bounds
