"""The query that a text names: compatibility forms, capitals and blanks make no other query.

``query_id`` is the normalised text itself, so that a person can read it and two logs agree on it.

>>> query_key("  Ｒｅｄ   SHOE "), query_key("STRASSE") == query_key("straße")
('red shoe', True)
"""

from __future__ import annotations

import unicodedata

import polars as pl

__all__ = ["normalise", "query_key", "query_keys"]


def normalise(query: str) -> str:
    """The text under NFKC and full case folding, without blanks at its ends and with one blank between words.

    NFKC is taken again after folding, as Unicode's NFKC_Casefold does (UAX #31), so that normalising twice changes nothing.
    """
    if query.isascii():
        return " ".join(query.lower().split())
    folded = unicodedata.normalize("NFKC", query).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def query_key(query: str) -> str:
    """The query_id of a text; empty for a text of blanks."""
    return normalise(query)


def query_keys(queries: pl.Series) -> pl.Series:
    """``query_key`` over a column; null where there is no text but blanks."""
    texts = queries.drop_nulls().unique()
    keys = pl.Series([query_key(text) or None for text in texts], dtype=pl.String)
    return queries.replace_strict(texts, keys, default=None, return_dtype=pl.String)
