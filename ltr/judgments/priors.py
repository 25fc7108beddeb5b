"""Priors of a probability by pair, so that one click on one impression is not certainty.

Each pair's attraction has a Beta prior around its parent's mean, worth ``strength`` examinations:

    attraction = (strength · mean + clicks) ÷ (strength + examinations)

Both come from the log itself (empirical Bayes; Kleinman, JASA 1973; Wang et al., "Click-through rate estimation for rare
events in online advertising", 2011) unless they are given. With ``levels``, such as category, brand and product, a parent's
mean is in turn drawn towards that of the level above, so that a product that this query never showed starts from what it does
elsewhere, and a new product from its brand.

>>> counts = pl.DataFrame({"query_id": ["q", "q"], "product_id": ["a", "b"], "clicked": [1.0, 0.0], "examined": [1.0, 99.0]})
>>> fitted = Prior(mean=0.1, strength=9).fit(counts)
>>> fitted.smoothed(counts).round(3).tolist()
[0.19, 0.008]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, DataError

__all__ = ["FROM_LOG", "FittedPrior", "Prior"]

# A strength beyond the widest says that pairs do not differ; one below the least that nothing is known of their mean.
_LEAST, _MOST = 0.1, 10_000.0
_ROUNDS: Final = 10


@dataclass(frozen=True)
class Prior:
    """What is believed of a pair before its clicks.

    Args:
        mean: of all pairs; None = the log's.
        strength: examinations that the prior is worth; None = as the spread between pairs tells.
        levels: columns from coarse to fine, each within the one above; ``product_id`` may be the last.
        products: product_id and the other levels; a product that it lacks has the mean of all.
    """

    mean: float | None = None
    strength: float | None = None
    levels: tuple[str, ...] = ()
    products: pl.DataFrame | None = None

    def __post_init__(self) -> None:
        if self.mean is not None and not 0 < self.mean < 1:
            raise ConfigError(f"a prior's mean of {self.mean:g} is no probability", hint="give one between 0 and 1")
        if self.strength is not None and not 0 < self.strength < float("inf"):
            raise ConfigError(f"a prior's strength of {self.strength:g} cannot be", hint="give examinations, such as 5")
        named = {"product_id", *(self.products.columns if self.products is not None else ())}
        if lacking := [level for level in self.levels if level not in named]:
            raise DataError(f"the products lack the prior's levels {lacking}", hint=f"they have {sorted(named)}")

    def fit(self, counts: pl.DataFrame, *, squares: NDArray[np.float64] | None = None) -> FittedPrior:
        """Means by level and strengths, from query_id, product_id, clicked and examined (may be fractions).

        Args:
            counts: one row a pair.
            squares: Σ e² of each pair's impressions where ``examined`` is Σ e; None: each examination is certain.
        """
        clicked, examined = counts["clicked"].to_numpy(), counts["examined"].to_numpy()
        if not clicked.sum() > 0:
            raise DataError(
                "nothing in the log was clicked", hint="a click model needs clicks: check how they are named in the log"
            )
        y = examined if squares is None else squares
        strength = self.strength or 1.0
        mean = self.mean or _mean(clicked, examined, strength)
        for _ in range(_ROUNDS):
            strength = self.strength or _strength(clicked, examined, y, np.full(len(clicked), mean))
            mean = self.mean or _mean(clicked, examined, strength)
        found = FittedPrior(mean, strength, (), self._columns())
        for end in range(1, len(self.levels) + 1):
            found = self._deeper(found, counts.with_columns(squares=pl.Series(y)), self.levels[:end])
        if self.levels and self.strength is None:
            found = FittedPrior(
                found.mean, _strength(clicked, examined, y, found.of(counts)), found.tables, found.products
            )
        return found

    def _columns(self) -> pl.DataFrame | None:
        others = [level for level in self.levels if level != "product_id"]
        if self.products is None or not others:
            return None
        return self.products.select("product_id", *others).unique("product_id", keep="first", maintain_order=True)

    def _deeper(self, above: FittedPrior, counts: pl.DataFrame, levels: Sequence[str]) -> FittedPrior:
        """One level more: each group's mean, drawn towards its parent's."""
        groups = (
            above.joined(counts)
            .drop_nulls(levels)
            .group_by(levels, maintain_order=True)
            .agg(pl.col("clicked", "examined", "squares").sum(), pl.col("mean").first())
        )
        clicked, examined, y, parent = (groups[name].to_numpy() for name in ("clicked", "examined", "squares", "mean"))
        strength = self.strength or _strength(clicked, examined, y, parent)
        table = groups.select(*levels, mean=pl.Series((strength * parent + clicked) / (strength + examined)))
        return FittedPrior(above.mean, above.strength, (*above.tables, table), above.products)


FROM_LOG: Final = Prior()


@dataclass(frozen=True)
class FittedPrior:
    """The mean of all pairs, the strength of a pair's prior, the means by level, and what tells a product's levels."""

    mean: float
    strength: float
    tables: tuple[pl.DataFrame, ...] = ()
    products: pl.DataFrame | None = None

    def of(self, pairs: pl.DataFrame) -> NDArray[np.float64]:
        """The prior mean of each row (product_id), of pairs in the log or not."""
        means: NDArray[np.float64] = self.joined(pairs.select("product_id"))["mean"].to_numpy()
        return means

    def smoothed(self, counts: pl.DataFrame) -> NDArray[np.float64]:
        """The posterior mean of each row of clicked and examined."""
        clicked, examined = counts["clicked"].to_numpy(), counts["examined"].to_numpy()
        means: NDArray[np.float64] = (self.strength * self.of(counts) + clicked) / (self.strength + examined)
        return means

    def joined(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """The rows with their levels and ``mean``: that of the finest level that is known."""
        if not self.tables and self.products is None:
            return pairs.with_columns(mean=pl.lit(self.mean))
        if self.products is not None:
            pairs = pairs.join(self.products, on="product_id", how="left", maintain_order="left")
        finest: list[str] = []
        for depth, table in enumerate(self.tables):
            on = [name for name in table.columns if name != "mean"]
            pairs = pairs.join(table.rename({"mean": f"mean.{depth}"}), on=on, how="left", maintain_order="left")
            finest.insert(0, f"mean.{depth}")
        return pairs.with_columns(mean=pl.coalesce(*finest, pl.lit(self.mean))).drop(finest)


def _mean(clicked: NDArray[np.float64], examined: NDArray[np.float64], strength: float) -> float:
    """Mean of the pairs, each weighted by how well it is known: the best products are shown most, and are not the mean."""
    weight = 1 / (examined + strength)
    return float(np.clip(np.sum(weight * clicked) / np.sum(weight * examined), 1e-6, 1 - 1e-6))


def _strength(
    clicked: NDArray[np.float64], examined: NDArray[np.float64], squares: NDArray[np.float64], mean: NDArray[np.float64]
) -> float:
    """Of a Beta around ``mean``, by moments: E(c − xμ)² = μx − μ²y + (x² − y)σ², and strength = μ(1 − μ) ÷ σ² − 1."""
    weight = 1 / (examined + 1)
    # In units of μ(1 − μ), so that groups of different means tell of one strength.
    spread = np.sum(weight * ((clicked - examined * mean) ** 2 - mean * examined + mean**2 * squares))
    unit = np.sum(weight * (examined**2 - squares) * mean * (1 - mean))
    if not (unit > 0 and spread > 0):
        return _MOST
    return float(np.clip(unit / spread - 1, _LEAST, _MOST))
