"""One page of a search, before and after its window has been reranked.

A list of hits has two parts: the window, always the first ``depth`` hits, which a ranker puts into its own order, and what
comes after, which stays as the engine has it. Every page is cut out of that one list, so none repeats or loses a hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import CandidateError
from ltr.frames import check

__all__ = ["Page"]


@dataclass(frozen=True, eq=False)
class Page:
    """What an engine answered; get one from ``Elastic.search``.

    Args:
        answer: the engine's, its hits those of the page in the engine's order.
        product_ids: the window's candidates in the engine's order; empty where nothing may be reranked.
        scores: the engine's, one a candidate.
        match: feature -> the engine's score of its clause, one a candidate.
        notes: what a caller should know: shards that failed, a search that ran out of time, a text that was cut.
    """

    answer: dict[str, Any]
    product_ids: tuple[str, ...] = ()
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    match: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _window: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    _after: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    _cut: tuple[int, int] = field(default=(0, 0), repr=False)  # of the window, what is on the page

    @property
    def rerankable(self) -> bool:
        """Whether a ranker may order the window: not where the shopper has chosen a sort, nor beyond the window."""
        return bool(self.product_ids)

    def run(self, query_id: str = "query") -> pl.DataFrame:
        """The candidates as a run frame with match columns."""
        columns = {"rank": np.arange(1, len(self.product_ids) + 1, dtype=np.uint32), "score": self.scores}
        columns |= {f"match.{feature}": values for feature, values in self.match.items()}
        ids = pl.DataFrame({"product_id": self.product_ids}, schema={"product_id": pl.String})
        frame = ids.select(pl.lit(query_id).alias("query_id"), "product_id")
        return check(frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()}), "run")

    def reranked(self, order: Sequence[str]) -> dict[str, Any]:
        """The engine's answer with this page's hits where that order puts them; only hits change, not their scores.

        Args:
            order: all of ``product_ids``, best first; a page that may not be reranked stays as it is.

        Raises:
            CandidateError: other products than the candidates, or one twice.
        """
        if not self.rerankable:
            return self.answer
        by_id = dict(zip(self.product_ids, self._window, strict=True))
        if len(order) != len(by_id) or by_id.keys() != set(order):
            raise CandidateError(
                f"the order has {len(order)} products, and not each of the {len(by_id)} candidates once",
                hint="order all that Page.product_ids has",
            )
        hits = [*[by_id[product] for product in order][slice(*self._cut)], *self._after]
        return {**self.answer, "hits": {**self.answer["hits"], "hits": hits}}
