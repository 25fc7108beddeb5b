"""An inverted index of one field, with BM25 scores by Lucene's formula (``ltr.text.bm25``, k₁ 1.2, b 0.75).

bm25s works the scores out once, when the index is built (Lù, arXiv 2407.03618, 2024), from the terms of our analyzer. A
product that lacks the field counts neither in N nor in the average length, as in Lucene; bm25s would count it with
length 0, and is therefore shown only the products that have the field.

>>> from ltr.text import analyzer
>>> index(["red shoe", "", "blue shoe, blue sole"], analyzer("standard")).scores_of(["blue", "red"]).round(4)
array([0.3648, 0.    , 0.3961], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import MissingExtraError
from ltr.text import Analyzer

__all__ = ["Postings", "index"]

K1: Final = 1.2
B: Final = 0.75


@dataclass(frozen=True)
class Postings:
    """One field inverted: term number t stands in products rows[starts[t] : starts[t + 1]], with these BM25 scores."""

    numbers: Mapping[str, int]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    products: int

    def scores_of(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of every product, summed term by term in the order of the query; 0 where no term matches."""
        total = np.zeros(self.products, dtype=np.float32)
        for term in terms:
            if (number := self.numbers.get(term)) is not None:
                span = slice(self.starts[number], self.starts[number + 1])
                total[self.rows[span]] += self.scores[span]
        return total


def index(texts: Sequence[str], terms: Analyzer) -> Postings:
    """Invert one text a product; a text without terms counts neither in N nor in the average length.

    Raises:
        MissingExtraError: bm25s is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError("bm25s", "serve") from error
    numbers: dict[str, int] = {}
    documents = [[numbers.setdefault(term, len(numbers)) for term in terms(text)] for text in texts]
    having = np.array([row for row, document in enumerate(documents) if document], dtype=np.int64)
    if not len(having):
        nothing = np.zeros(0, dtype=np.int64)
        return Postings({}, nothing, nothing, nothing.astype(np.float32), len(documents))
    # The low-level builder, since index() writes to the log at a level that applications see. Its "lucene" has no factor
    # k₁ + 1, as Lucene has none since 8.0.
    matrix = bm25s.BM25(method="lucene", k1=K1, b=B).build_index_from_ids(
        unique_token_ids=list(range(len(numbers))),
        corpus_token_ids=[documents[row] for row in having],
        show_progress=False,
    )
    return Postings(numbers, matrix["indptr"], having[matrix["indices"]], matrix["data"], len(documents))
