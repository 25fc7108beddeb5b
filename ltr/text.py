"""Text analysis and BM25: one tokenizer and one formula for every room.

An analyzer is named: ``standard`` (fold accents, lower case, split into words), a Snowball language such as ``english``
(the same, then possessives off and stems), and either with ``+stop`` (Lucene's English stop words out). What it makes of a
text depends on the text and the name alone, so that a bundle can carry the name instead of code.

>>> analyzer("english")("Café's Running-Shoes, size 42.5")
['cafe', 'run', 'shoe', 'size', '42.5']
>>> round(float(bm25(1.0, 4.0, df=2, documents=10, average_length=4.0)), 6)    # ln(1 + 8.5/2.5) · 1/2.2
0.673457
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import Stemmer
from numpy.typing import ArrayLike, NDArray

from ltr.errors import ConfigError, suggestion

__all__ = ["ANALYZERS", "Analyzer", "TermStatistics", "analyzer", "bm25", "fold", "idf"]

ANALYZERS: Final = ("standard", *sorted(Stemmer.algorithms()))

# Lucene, EnglishAnalyzer.ENGLISH_STOP_WORDS_SET; split, since a list of 33 strings reads worse than its words.
STOP_WORDS: Final = frozenset(
    """
    a an and are as at be but by for if in into is it no not of on or such
    that the their then there these they this to was will with
    """.split()  # noqa: SIM905
)

# As UAX #29 has it, Han and hiragana stand alone and katakana runs together; marks (the vowel signs of Hindi or Thai, which
# Python's \w leaves out) belong to their word, and underscores alone are none. Numbers keep their inner point or comma, words
# their inner apostrophe. Unlike UAX #29, a point or colon between letters parts them, and 4.5mm is 4.5 and mm.
_ALONE: Final = r"\u3005-\u3007\u3041-\u3096\u309d-\u309f\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_KATAKANA: Final = r"\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_MARKS: Final = "".join(chr(point) for point in range(0x300, 0x1D00) if unicodedata.category(chr(point))[0] == "M")
_LETTER: Final = rf"[^\W{_ALONE}{_KATAKANA}]"
_LETTERS: Final = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*"
_WORD: Final = re.compile(
    # The look-behind keeps a long row of underscores from being scanned once from each of them.
    rf"\d+(?:[.,]\d+)+|(?=\w)[{_ALONE}]|[{_KATAKANA}]+|(?<!_)(?=_*(?!_){_LETTER}){_LETTERS}(?:'{_LETTERS})*"
)
_POSSESSIVE: Final = re.compile(r"'s$")

# Canonical combining classes: 0 no mark over another, 7 nukta, 8 kana voicing, 9 virama.
_KEPT: Final = frozenset({0, 7, 8, 9})


def fold(text: str) -> str:
    """Lower-case text without accents: NFKD, combining marks removed, case folded, NFC; ’ is written '.

    Marks that make another letter rather than accent one stay: nukta, the voicing of kana, virama.

    >>> fold("Straße CAFÉ’S ﬁ ガラス")
    "strasse cafe's fi ガラス"
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).replace("’", "'")
    kept = "".join(character for character in decomposed if unicodedata.combining(character) in _KEPT)
    return unicodedata.normalize("NFC", kept.casefold())


@dataclass(frozen=True)
class Analyzer:
    """Text to terms; equal names make equal analyzers. Get one from ``analyzer(name)``."""

    name: str
    _stems: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, text: str) -> list[str]:
        """Return the terms of a text, in order."""
        language, _, stop = self.name.partition("+")
        words = _WORD.findall(fold(text))
        if language == "standard":
            return [word for word in words if word not in STOP_WORDS] if stop else words
        return [stem for word in words if (stem := self._stem(word, language)) and not (stop and word in STOP_WORDS)]

    def _stem(self, word: str, language: str) -> str:
        stem = self._stems.get(word)
        if stem is None:
            stem = _stemmer(language).stemWord(_POSSESSIVE.sub("", word))
            # A bound, since queries come from outside and the cache lives as long as the process.
            if len(self._stems) < 1_000_000 and len(word) <= 64:
                self._stems[word] = stem
        return stem


def analyzer(name: str) -> Analyzer:
    """Look up the analyzer of that name; ConfigError for a name that is none."""
    language, plus, stop = name.partition("+")
    if language not in ANALYZERS or (plus and stop != "stop"):
        raise ConfigError(
            f"analyzer {name!r} is unknown",
            hint=suggestion(language, ANALYZERS, noun="analyzers (each also with +stop)"),
        )
    return _analyzer(name)


@lru_cache(maxsize=64)
def _analyzer(name: str) -> Analyzer:
    return Analyzer(name)


@lru_cache(maxsize=64)
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)


@dataclass(frozen=True)
class TermStatistics:
    """What BM25 knows of one field: products that have the field, terms in all, products by term."""

    documents: int
    terms: int
    frequency: dict[str, int]

    @classmethod
    def count(cls, texts: Iterable[Sequence[str]]) -> TermStatistics:
        """Count analysed texts; an empty one does not count as having the field (Lucene's docCount).

        >>> TermStatistics.count([["red", "shoe"], ["red", "red"], []])
        TermStatistics(documents=2, terms=4, frequency={'red': 2, 'shoe': 1})
        """
        documents = terms = 0
        frequency: Counter[str] = Counter()
        for text in texts:
            if text:
                documents += 1
                terms += len(text)
                frequency.update(dict.fromkeys(text, 1))
        return cls(documents, terms, dict(frequency))

    @property
    def average_length(self) -> float:
        """Terms a product, over the products that have the field; 1 where none has."""
        return self.terms / self.documents if self.documents else 1.0

    def idf(self, term: str) -> float:
        """Lucene's idf of a term in this field."""
        return float(idf(self.frequency.get(term, 0), self.documents))


def idf(df: ArrayLike, documents: ArrayLike) -> NDArray[np.float64]:
    """Inverse document frequency as Lucene's BM25Similarity has it: ln(1 + (N − df + ½) / (df + ½))."""
    df, documents = np.asarray(df, dtype=np.float64), np.asarray(documents, dtype=np.float64)
    weight: NDArray[np.float64] = np.log1p((documents - df + 0.5) / (df + 0.5))
    return weight


def bm25(
    tf: ArrayLike,
    length: ArrayLike,
    *,
    df: ArrayLike,
    documents: ArrayLike,
    average_length: float,
    k1: float = 1.2,
    b: float = 0.75,
) -> NDArray[np.float64]:
    """BM25 of one term in one field (Robertson & Zaragoza, FnTIR 2009; without the factor k₁ + 1, as Lucene since 8.0).

        idf(df) · tf / (tf + k₁ · (1 − b + b · length / average_length))

    A query's score is the sum over its terms, a repeated term counted as often as it stands there.
    """
    tf, length = np.asarray(tf, dtype=np.float64), np.asarray(length, dtype=np.float64)
    score: NDArray[np.float64] = idf(df, documents) * tf / (tf + k1 * (1 - b + b * length / average_length))
    return score
