"""Agreement of two sets of judgments: by clicks and by people, say, or by two people.

    κ = 1 − Σ wᵢⱼ oᵢⱼ ÷ Σ wᵢⱼ eᵢⱼ,   wᵢⱼ = (i − j)²

o are the pairs graded i by the one and j by the other, e what the two would have in common by chance (Cohen, Psychological
Bulletin 1968; quadratic weights). Spearman's ρ and Kendall's τ_b, with ties, compare the orders alone, over all pairs; ``within``
is the mean of Spearman's over the queries in which both tell products apart, which is what a ranking is made of.

>>> one = pl.DataFrame({"query_id": "q", "product_id": ["a", "b", "c"], "grade": [0, 1, 2]})
>>> other = pl.DataFrame({"query_id": "q", "product_id": ["a", "b", "d"], "grade": [0, 2, 2]})
>>> found = agreement(one, other)
>>> found.both, found.only_one, found.only_other, found.kappa
(2, 1, 1, 0.6666666666666667)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import JudgmentError

__all__ = ["Agreement", "agreement"]

Floats = NDArray[np.float64]

_PAIR: Final = ["query_id", "product_id"]


@dataclass(frozen=True)
class Agreement:
    """How two sets of judgments agree on the pairs that both have.

    Args:
        both: pairs that both judge.
        only_one: pairs that the first alone judges.
        only_other: likewise the second.
        queries: in which both judge a product.
        kappa: quadratically weighted; NaN where either gives one grade alone.
        spearman: over all pairs; NaN likewise.
        kendall: τ_b; NaN likewise.
        within: mean Spearman over queries; NaN where there is none.
        compared: queries that ``within`` is over.
        same: share of equal grades.
        table: pairs by (grade of one, grade of other).
        disagreements: the pairs by how far the grades are apart, most first: query_id, product_id, grade, other, apart.
    """

    both: int
    only_one: int
    only_other: int
    queries: int
    kappa: float
    spearman: float
    kendall: float
    within: float
    compared: int
    same: float
    table: NDArray[np.int64]
    disagreements: pl.DataFrame


def agreement(one: pl.DataFrame, other: pl.DataFrame) -> Agreement:
    """Compare judgments (query_id, product_id, grade: whole numbers from 0) on one scale.

    Raises:
        JudgmentError: they have no pair in common, or a grade that is not a whole number from 0.
    """
    both = one.select(*_PAIR, "grade").join(other.select(*_PAIR, other="grade"), on=_PAIR, maintain_order="left")
    if not both.height:
        raise JudgmentError(
            "the two sets of judgments have no (query, product) pair in common",
            hint="queries are compared by their text, products by product_id: write them alike",
        )
    grades = both.select(pl.col("grade", "other").cast(pl.Float64)).to_numpy()
    if not (np.isfinite(grades) & (grades >= 0) & (grades == np.round(grades))).all():
        raise JudgmentError(
            "a grade is not a whole number from 0", hint="kappa compares ordinal grades: convert them first"
        )
    size = int(grades.max()) + 1
    table = np.zeros((size, size), dtype=np.int64)
    np.add.at(table, tuple(grades.astype(np.int64).T), 1)
    within = _by_query(both)
    apart = both.with_columns(apart=(pl.col("grade").cast(pl.Float64) - pl.col("other").cast(pl.Float64)))
    return Agreement(
        both.height, one.height - both.height, other.height - both.height, both["query_id"].n_unique(), _kappa(table),
        _spearman(grades[:, 0], grades[:, 1]), _kendall(table), float(np.mean(within)) if len(within) else float("nan"),
        len(within), float(np.trace(table) / both.height), table,
        apart.filter(pl.col("apart") != 0).sort(pl.col("apart").abs(), *_PAIR, descending=[True, False, False]),
    )  # fmt: skip


def _kappa(table: NDArray[np.int64]) -> float:
    grades = np.arange(len(table))
    weight = (grades[:, None] - grades) ** 2
    chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    expected = float((weight * chance).sum())
    return 1 - float((weight * table).sum()) / expected if expected else float("nan")


def _spearman(one: Floats, other: Floats) -> float:
    ranks = np.array([pl.Series(each).rank().to_numpy() for each in (one, other)])
    if np.ptp(ranks, axis=1).min() == 0:
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def _kendall(table: NDArray[np.int64]) -> float:
    """τ_b = (C − D) ÷ √((n₀ − n₁)(n₀ − n₂)) from the table of grades: concordant, discordant, and pairs tied in each."""
    counts = table.astype(np.float64)
    below = counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
    beside = counts[::-1].cumsum(axis=0)[::-1].cumsum(axis=1)
    concordant = float((counts[:-1, :-1] * below[1:, 1:]).sum())
    discordant = float((counts[:-1, 1:] * beside[1:, :-1]).sum())
    total = counts.sum() * (counts.sum() - 1) / 2
    tied = [float((sums * (sums - 1) / 2).sum()) for sums in (counts.sum(axis=1), counts.sum(axis=0))]
    scale = np.sqrt((total - tied[0]) * (total - tied[1]))
    return (concordant - discordant) / float(scale) if scale > 0 else float("nan")


def _by_query(both: pl.DataFrame) -> Floats:
    """Spearman's ρ of each query in which both grades vary."""
    ranked = both.with_columns(pl.col("grade", "other").rank().over("query_id"))
    found = ranked.group_by("query_id", maintain_order=True).agg(
        pl.col("grade").n_unique().alias("grades"),
        pl.col("other").n_unique().alias("others"),
        pl.corr("grade", "other").alias("rho"),
    )
    return found.filter((pl.col("grades") > 1) & (pl.col("others") > 1))["rho"].to_numpy()
