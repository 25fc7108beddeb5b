"""Kinds that compare how a query and a field are spelt.

Both are brought into plain form first: folded words without apostrophes, one space between (``terms.plain``), so that
"Spider-Man" is "spider man". Of a list's values the best counts. A product that the catalogue lacks, and a field that is
null or empty in plain form, is missing (NaN); so is everything for a query that is empty in plain form.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rapidfuzz import fuzz, process
from rapidfuzz.distance import JaroWinkler

from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, TextParams
from ltr.features.terms import Strings

__all__ = ["KINDS", "exact", "initials", "ngram", "prefix", "similarity"]

# rapidfuzz's scorer and the value that means equal.
_METHODS: Final[dict[str, tuple[Any, float]]] = {
    "ratio": (fuzz.ratio, 100.0),
    "partial": (fuzz.partial_ratio, 100.0),
    "token_sort": (fuzz.token_sort_ratio, 100.0),
    "token_set": (fuzz.token_set_ratio, 100.0),
    "jaro_winkler": (JaroWinkler.similarity, 1.0),
}


_ARTICLES: Final = frozenset(["the", "a", "an"])


class SimilarityParams(TextParams):
    """The measure of likeness."""

    method: Literal["ratio", "partial", "token_sort", "token_set", "jaro_winkler"] = Field(
        "ratio", description="how likeness is measured"
    )


class NgramParams(TextParams):
    """The denominator."""

    per: Annotated[Literal["query", "field", "both"], Field(description="what the count is divided by")] = "both"


def exact(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """Equality of the query and the field, or one of its values, in plain form.

    exact = 1 where equal, else 0
    """
    _, equal = _beginnings(columns, groups, params.key)
    return _share(equal, columns.state.strings[params.key], columns, groups)


def prefix(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """The share of the query's characters, from the first on, that the field begins with, in plain form.

        prefix = (characters that query and field begin with alike) / (characters of the query)

    1 where the field starts with the query, even in the middle of a word.
    """
    alike, _ = _beginnings(columns, groups, params.key)
    return _share(alike, columns.state.strings[params.key], columns, groups, query=1)


def similarity(columns: Columns, groups: Offsets, *, params: SimilarityParams) -> Floats:
    """String similarity of the query and the field in plain form (rapidfuzz); 1 = equal, symmetrical.

    ratio         1 − (insertions and deletions) / (length of both)
    partial       the ratio of the shorter and the best window of the longer
    token_sort    the ratio of the words in alphabetical order
    token_set     the best ratio of the common words, and these with either rest
    jaro_winkler  Jaro's similarity, raised by a common beginning (Winkler 1990)
    """
    strings = columns.state.strings[params.key]
    scorer, equal = _METHODS[params.method]
    out = np.zeros(len(columns.rows), dtype=np.float32)
    choices, cuts = columns.once(("choices", params.key), lambda: _choices(columns, strings))
    firsts = cuts[groups].tolist()
    for group, query in enumerate(columns.queries):
        start, stop, first, last = groups[group], groups[group + 1], firsts[group], firsts[group + 1]
        if stop > start:
            likeness = process.cdist([query.plain], choices[first:last], scorer=scorer, dtype=np.float32, workers=1)[0]
            out[start:stop] = np.maximum.reduceat(likeness, cuts[start:stop] - first)
    return _known(out / np.float32(equal), columns, groups, strings)


def ngram(columns: Columns, groups: Offsets, *, params: NgramParams) -> Floats:
    """Character trigrams that the query and the field share, in plain form with a space at both ends: robust to misspelling.

        ngram = |Q ∩ F| / |Q| with per = "query",  / |F| with "field",  2 |Q ∩ F| / (|Q| + |F|) with "both" (Dice 1945)

    Q and F are sets of distinct trigrams; those of a list are the union of its values'.
    """
    from ltr.features import spelling_kernels

    strings = columns.state.strings[params.key]
    grams, bounds, sizes = strings.trigrams
    asked, ends = columns.trigrams

    def count() -> NDArray[np.int32]:
        out = np.zeros(len(columns.rows), dtype=np.int32)
        spelling_kernels.common(grams, bounds, columns.rows, groups, asked, ends, out)
        return out

    shared = columns.once(("trigrams", params.key), count)
    query, field = {"query": (1, 0), "field": (0, 1), "both": (0.5, 0.5)}[params.per]
    out = np.empty(len(shared), dtype=np.float32)
    spelling_kernels.share_spelt(shared, sizes, strings.counts, columns.rows, groups, ends, query, field, out)
    return out


def initials(columns: Columns, groups: Offsets, *, params: TextParams) -> Floats:
    """Whether the query is the field's initials, or those of one of its values: "lotr" is The Lord of the Rings.

        initials = 1 where the query without blanks = the words' first characters, all of them or but a leading article's

    A field of one word has none, so that a query of one letter names nothing.
    """
    strings = columns.state.strings[params.key]
    choices, cuts = columns.once(("choices", params.key), lambda: _choices(columns, strings))
    known = columns.once(("initials", params.key), lambda: [_initials(value) for value in choices])
    out = np.zeros(len(columns.rows), dtype=np.float32)
    for group, query in enumerate(columns.queries):
        asked = query.plain.replace(" ", "")
        for row in range(groups[group], groups[group + 1]):
            out[row] = any(asked in known[value] for value in range(cuts[row], cuts[row + 1]))
    return _known(out, columns, groups, strings)


KINDS: Final = {
    "initials": Kind("query_product", initials, TextParams, "strings"),
    "exact": Kind("query_product", exact, TextParams, "strings"),
    "prefix": Kind("query_product", prefix, TextParams, "strings"),
    "similarity": Kind("query_product", similarity, SimilarityParams, "strings"),
    "ngram": Kind("query_product", ngram, NgramParams, "strings"),
}


def _initials(value: str) -> tuple[str, ...]:
    """What a value may be abbreviated to.

    >>> _initials("the lord of the rings"), _initials("jaws")
    (('tlotr', 'lotr'), ())
    """
    words = value.split()
    whole = "".join(word[0] for word in words)
    if len(words) < 2:
        return ()
    return (whole, whole[1:]) if words[0] in _ARTICLES and len(words) > 2 else (whole,)


def _choices(columns: Columns, strings: Strings) -> tuple[list[str], NDArray[np.int64]]:
    """The values of all candidates, "" for one without, and where each candidate's begin."""
    values, firsts, counts = strings.values, strings.bounds[columns.rows], strings.counts[columns.rows]
    cuts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(np.maximum(counts, 1), out=cuts[1:])
    choices: list[str] = []
    for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
        choices.extend(values[first : first + count] if count else ("",))
    return choices, cuts


def _beginnings(columns: Columns, groups: Offsets, key: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    from ltr.features import spelling_kernels

    def compare() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        strings = columns.state.strings[key]
        codes, cuts = strings.characters
        asked, ends = columns.characters
        alike, equal = np.zeros((2, len(columns.rows)), dtype=np.int32)
        spelling_kernels.beginnings(codes, cuts, strings.bounds, columns.rows, groups, asked, ends, alike, equal)
        return alike, equal

    return columns.once(("beginnings", key), compare)


def _share(
    counts: NDArray[np.int32], strings: Strings, columns: Columns, groups: Offsets, *, query: float = 0
) -> Floats:
    """A count, over the query's characters with ``query`` 1; NaN where the query or the field is empty."""
    from ltr.features import spelling_kernels

    out = np.empty(len(counts), dtype=np.float32)
    ends, values = columns.characters[1], strings.counts
    spelling_kernels.share_spelt(counts, values, values, columns.rows, groups, ends, query, 0, out)
    return out


def _known(values: Floats, columns: Columns, groups: Offsets, strings: Strings) -> Floats:
    """The values, NaN where the query or the field is empty."""
    return np.where(
        (columns.of_query("characters", groups) > 0) & (strings.counts[columns.rows] > 0), values, np.float32(np.nan)
    )
