"""What a query wants and what it says it does not: "wine glasses without stem".

A query is split at its first word of negation; what stands before is wanted, what follows is not. The words are kept by
language, that of the analyzer; in a language without a row here, and with analyzer "standard", no query is split.

Known misfires: a negation that is part of a name or a wish ("listen without prejudice", "no show socks", "non stick
pan") is read as an exclusion; what stands after an excluded thing ("dress without sleeves blue") counts as excluded; an
exclusion put behind ("sugar free") is not seen. "no" before a number ("chanel no 5") is a numero sign and none.

>>> split("wine glasses without stem", "english")
('wine glasses', 'stem')
>>> split("wine glasses", "english"), split("without prejudice", "english"), split("verre sans pied", "french")
(('wine glasses', ''), ('without prejudice', 'prejudice'), ('verre sans pied', ''))
"""

from __future__ import annotations

import re
from typing import Final, Literal

from ltr.text import analyzer as analyse

__all__ = ["HONOURED", "NEGATIONS", "PREPOSITIONS", "STOP", "Part", "content", "language", "split"]

Part = Literal["wanted", "unwanted"]

_ENGLISH: Final = ("english", "porter")

# The first that stands in the query parts it.
NEGATIONS: Final = dict.fromkeys(_ENGLISH, ("without", "w/o", "not", "no", "non", "free of", "free from"))

# Where a product's text says one of these before a thing, or after it, the product is said to be without it; and the
# endings that say the same: lidless.
HONOURED: Final = dict.fromkeys(_ENGLISH, (("without", "no", "non", "free"), ("free", "not"), ("less",)))

# What follows is a circumstance: "socks for women", "shoes with laces". Others ("slip on shoes") are too often part of a name.
PREPOSITIONS: Final = dict.fromkeys(_ENGLISH, frozenset({"for", "with", "w", "from"}))

# Words that say nothing of what is excluded: "without a lid".
STOP: Final = dict.fromkeys(_ENGLISH, frozenset({"a", "an", "any", "the", "my", "your", "its", "it", "and", "or"}))


def language(analyzer: str) -> str:
    """The language of an analyzer: "english" of "english+stop"."""
    return analyzer.partition("+")[0]


def content(text: str, analyzer: str) -> list[str]:
    """Words of a text but for those that say nothing, folded and not stemmed.

    >>> content("any of the Lids", "english")
    ['of', 'lids']
    """
    stop = STOP.get(language(analyzer), frozenset())
    return [word for word in analyse("standard")(text) if word not in stop]


def split(text: str, analyzer: str) -> tuple[str, str]:
    """What the query wants, and what it excludes: "" where it excludes nothing.

    A query that begins with its negation, or ends with it, wants the whole.
    """
    found = _PATTERNS[language(analyzer)].search(text) if language(analyzer) in _PATTERNS else None
    if found is None:
        return text, ""
    unwanted = text[found.end() :].strip()
    return (text[: found.start()].strip() if unwanted else text) or text, unwanted


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    either = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)
    return re.compile(rf"(?<!\w)(?!no\.?\s*\d)(?:{either})(?!\w)", re.IGNORECASE)


_PATTERNS: Final = {name: _pattern(words) for name, words in NEGATIONS.items()}
