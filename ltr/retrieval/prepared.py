"""What the shopper typed goes into a request: query templates that are filled thousands of times, and how much text they take.

``ltr.engine.fill`` puts one text into parsed JSON; here the JSON is written once with a hole in it, and each text is written
into the hole as JSON writes strings, so that it is data and never syntax just the same.

>>> print(prepare({"match": {"title": "{{query}}"}}).filled('red "shoe"'))
{"match":{"title":"red \\"shoe\\""}}
"""

from __future__ import annotations

import bisect
import json
from dataclasses import dataclass
from typing import Any, Final

from ltr.engine import fill
from ltr.text import analyzer

__all__ = ["CHARACTERS", "WORDS", "Prepared", "bounded", "cleaned", "prepare", "written"]

# An engine refuses a query of more clauses than indices.query.bool.max_clause_count, 1,024 at least, and every word is one
# clause a field, or up to fifty of a fuzzy field.
WORDS: Final = 64
CHARACTERS: Final = 1_024

_HOLE: Final = "\ue000ltr.query\ue000"


@dataclass(frozen=True)
class Prepared:
    """A template as the pieces of its JSON between the holes; get one from ``prepare``."""

    pieces: tuple[str, ...]

    def filled(self, text: str) -> str:
        """The JSON with this text in every hole."""
        return written(text)[1:-1].join(self.pieces)


def prepare(template: Any) -> Prepared:
    """Write a template, ``{{query}}`` being the hole."""
    return Prepared(tuple(written(fill(template, query=_HOLE)).split(_HOLE)))


def written(value: Any) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def cleaned(text: str) -> str:
    """The text as requests can carry it: halves of surrogate pairs become U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def bounded(text: str) -> str:
    """As much of a text, cleaned, as an engine is asked for: its first 64 words, and no more than 1,024 characters.

    Training and serving cut alike.

    >>> len(bounded("very " * 1_000 + "long").split())
    64
    """
    text = cleaned(text)
    if len(text) <= WORDS:
        return text
    words = analyzer("standard")
    if len(text) > CHARACTERS:
        cut = text[:CHARACTERS]
        text = cut if text[CHARACTERS].isspace() else (cut.rsplit(None, 1) or [""])[0]
    if len(words(text)) <= WORDS:
        return text
    ends = range(len(text))
    end = bisect.bisect_right(ends, WORDS, key=lambda end: len(words(text[:end])))
    return text[: end - 1].rstrip()
