"""Kinds about what a query rules out: "glasses without stem", "boots for women".

What a query excludes is its part after a word of negation; ``ltr.features.negation`` says which words, in which languages,
and what they misread. Where a query rules out nothing, all is missing (NaN), as for a product without the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ltr.features import negation
from ltr.features.columns import Columns, Query, Ragged
from ltr.features.params import Floats, Kind, Offsets, TextParams
from ltr.features.terms import UNKNOWN, Tokens
from ltr.text import analyzer

__all__ = ["KINDS", "conflict", "excluded", "exclusion_honoured"]

# No term of any field: UNKNOWN stands for a query's terms, GAP and numbers from 0 on for the fields'.
_NONE: Final = np.array([UNKNOWN], dtype=np.int32)
_ALTERNATIVES: Final = 62


class ExcludedParams(TextParams):
    """How much of the unwanted part is looked at."""

    words: int = Field(2, ge=1, le=64, description="the first so many words of what is excluded count")


class HonouredParams(TextParams):
    """How far a negation reaches."""

    reach: int = Field(3, ge=1, le=16, description="a word of negation counts up to so many words before the thing")


class ConflictParams(TextParams):
    """What rules each other out."""

    alternatives: tuple[tuple[str, ...], ...] = Field(
        description="lists of words, at least two, those of one list meaning the same: [['women', 'ladies'], ['men']]"
    )

    @field_validator("alternatives")
    @classmethod
    def _few_and_not_empty(cls, found: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        if not 2 <= len(found) <= _ALTERNATIVES or not all(words and all(map(str.strip, words)) for words in found):
            raise ValueError(f"give 2 to {_ALTERNATIVES} lists of words, none of them empty")
        return found


def excluded(columns: Columns, groups: Offsets, *, params: ExcludedParams) -> Floats:
    """Whether the field has what the query excludes: a lid, for "containers without lids".

        excluded = 1 where one of the first content words of the unwanted part occurs in the field, else 0

    A field that says "no lid" has the word too: see exclusion_honoured. Only the first words count, since what follows
    the excluded thing may be wanted again.
    """
    from ltr.features import kernels

    tokens = columns.state.tokens[params.key]
    asked, ends = _of_unwanted(columns, ("unwanted", params.words), lambda words: words[: params.words])
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.holds(tokens.ids, tokens.bounds, columns.rows, groups, asked, ends, out)
    return out


def exclusion_honoured(columns: Columns, groups: Offsets, *, params: HonouredParams) -> Floats:
    """Whether the field says that the product is without what the query excludes: "no lid", "lid free", "lidless".

        exclusion_honoured = 1 where the field has n at most r words after "without", "no", "non" or "free",
                             or just before "free" or "not", or as "n-less", else 0

    n is the first content word of the unwanted part, r the reach. An analyzer with +stop takes "no" and "not" out of the
    field, and leaves "without", "non", "free" and "less". Misread: "no spill lid", which has one.
    """
    from ltr.features import kernels

    name = columns.state.schema.analyzer
    tokens = columns.state.tokens[params.key]
    before, after, endings = negation.HONOURED.get(negation.language(name), ((), (), ()))
    asked, ends = _of_unwanted(columns, ("unwanted", 1), lambda words: words[:1])
    less, cuts = _of_unwanted(
        columns,
        ("unwanted", "endings"),
        lambda words: [stem + end for stem in _singular(words[:1]) for end in endings],
    )
    vocabulary = columns.state.vocabulary
    first = columns.state.once("negation before", lambda: _numbers(before, name, vocabulary))
    second = columns.state.once("negation after", lambda: _numbers(after, name, vocabulary))
    out = np.empty(len(columns.rows), dtype=np.float32)
    kernels.without(
        tokens.ids, tokens.bounds, columns.rows, groups, asked, ends, less, cuts, first, second, params.reach, out
    )  # fmt: skip
    return out


def conflict(columns: Columns, groups: Offsets, *, params: ConflictParams) -> Floats:
    """Whether the query names one of some alternatives and the field only others: audiences, sizes, colours.

        conflict = [Q ≠ ∅] · [F ≠ ∅] · [Q ∩ F = ∅],  Q and F the alternatives that the query and the field name

    NaN where the query names none.
    """
    named, held = columns.state.once(
        ("alternatives", params), lambda: _alternatives(params, columns.state.tokens[params.key], columns)
    )
    asked = np.array([_mask(query.words, named) for query in columns.queries], dtype=np.int64)
    mine, theirs = np.repeat(asked, groups[1:] - groups[:-1]), held[columns.rows]
    known = (mine != 0) & (columns.state.tokens[params.key].lengths[columns.rows] > 0)
    return np.where(known, (theirs != 0) & (mine & theirs == 0), np.nan).astype(np.float32)


KINDS: Final = {
    "conflict": Kind("query_product", conflict, ConflictParams, "tokens"),
    "excluded": Kind("query_product", excluded, ExcludedParams, "tokens"),
    "exclusion_honoured": Kind("query_product", exclusion_honoured, HonouredParams, "tokens"),
}


def _of_unwanted(columns: Columns, key: tuple[object, ...], chosen: Callable[[list[str]], Sequence[str]]) -> Ragged:
    """Term numbers of some words of each list's unwanted part; of a part without words, none."""

    def make() -> Ragged:
        parts = [_chosen(query.parts["unwanted"], chosen) for query in columns.queries]
        ends = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in parts], out=ends[1:])
        return np.concatenate([*parts, _NONE]), ends

    return columns.once(key, make)


def _chosen(unwanted: Query, chosen: Callable[[list[str]], Sequence[str]]) -> NDArray[np.int32]:
    if not unwanted.text:
        return np.empty(0, dtype=np.int32)
    words = negation.content(unwanted.text, unwanted.analyzer)
    return _numbers(chosen(words), unwanted.analyzer, unwanted.vocabulary)


def _numbers(words: Sequence[str], name: str, vocabulary: Mapping[str, int]) -> NDArray[np.int32]:
    analyse = analyzer(name)
    return np.array([vocabulary.get(term, UNKNOWN) for word in words for term in analyse(word)], dtype=np.int32)


def _singular(words: Sequence[str]) -> list[str]:
    """Each word, and without an s at its end: what "less" may follow."""
    return [form for word in words for form in dict.fromkeys((word, word.removesuffix("s")))]


def _alternatives(params: ConflictParams, tokens: Tokens, columns: Columns) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Which alternatives a term names, one bit each, and which each row of the catalogue names."""
    analyse = analyzer(columns.state.schema.analyzer)
    named: dict[str, int] = {}
    for bit, words in enumerate(params.alternatives):
        for term in (term for word in words for term in analyse(word)):
            named[term] = named.get(term, 0) | 1 << bit
    masks = np.zeros(len(tokens.vocabulary) + 1, dtype=np.int64)
    for term, mask in named.items():
        if term in tokens.vocabulary:
            masks[tokens.vocabulary[term]] = mask
    held = np.zeros(len(tokens.bounds) - 1, dtype=np.int64)
    telling = np.flatnonzero((tokens.ids >= 0) & (masks[tokens.ids] != 0))
    rows = np.searchsorted(tokens.bounds, telling, side="right") - 1
    np.bitwise_or.at(held, rows, masks[tokens.ids[telling]])
    return named, held


def _mask(words: Sequence[str], named: Mapping[str, int]) -> int:
    mask = 0
    for word in words:
        mask |= named.get(word, 0)
    return mask
