"""Simplified DBN: the dynamic Bayesian network model of users who never tire (γ = 1).

Chapelle & Zhang, WWW 2009, section 5, who count: a is clicks ÷ impressions down to the last click, s last clicks ÷ clicks.
That takes each last click for the end, while some users read on and clicked nothing; EM starts from those counts and weighs
that too.

>>> import polars as pl
>>> log = pl.DataFrame({"search_id": ["s"] * 3, "query_id": "q", "product_id": ["a", "b", "c"], "position": [1, 2, 3], "clicked": [False, True, False]})
>>> SDBN.fit(log, prior=Prior(mean=0.5, strength=2)).attraction.select("product_id", "shown", "clicked").rows()
[('a', 1, 0), ('b', 1, 1), ('c', 1, 0)]
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ltr.judgments.dbn import DBN
from ltr.judgments.priors import FROM_LOG, Prior
from ltr.judgments.statistics import POSITIONS, Impressions

__all__ = ["SDBN"]


@dataclass(frozen=True)
class SDBN(DBN):
    """The simplified DBN, fitted."""

    @classmethod
    def fit(
        cls,
        impressions: Impressions,
        *,
        prior: Prior = FROM_LOG,
        continuation: float | None = 1.0,
        most: int = POSITIONS,
    ) -> SDBN:
        """Fit to a log with search_id; γ is 1 unless another is known."""
        fitted = DBN.fit(impressions, prior=prior, continuation=continuation or 1.0, most=most)
        return cls(**{field.name: getattr(fitted, field.name) for field in fields(fitted)})
