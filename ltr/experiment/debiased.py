"""Examination and attraction from clicks and features together, as far as a log allows.

Regression-EM (``ltr.rankers.attraction``) expects an attraction of each pair from its features; what the pair's own clicks add is
the posterior of ``ltr.judgments.posterior``. The expectation that a pair's clicks are added to never saw them: it is
cross-fitted over queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from ltr.errors import DataError
from ltr.judgments.posterior import Evidence, posterior
from ltr.rankers.attraction import Attraction, Tallies, cross_fitted, fit_attraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ltr.config import RankerConfig

__all__ = ["Debiased", "examination_of"]

FOLDS: Final = 4
# Searches that a query counts for at most where attraction is fitted to features: beyond them its clicks say more of its own
# products, which is the posterior's part, than of other queries'. Of 5, 20, 100 and no bound, 20 was best on two other shops.
_SEARCHES: Final = 20.0
_PLACE: Final = "mean position"
# Of the pairs: fewer that stood at two places are the exceptions of one ranking.
_TIED: Final = 0.05
_TOP: Final = 5


@dataclass(frozen=True)
class Debiased:
    """What was learnt.

    Args:
        examination: θ by position, 1 at the first.
        attraction: query_id, product_id, attraction: the posterior mean, of fit and dev pairs that were shown; known: how far it is
            the clicks' and not the features' word, 0 to 1.
    """

    examination: NDArray[np.float64]
    attraction: pl.DataFrame

    @classmethod
    def fit(
        cls,
        config: RankerConfig,
        fit_pairs: pl.DataFrame,
        dev_pairs: pl.DataFrame,
        counts: pl.DataFrame,
        *,
        features: Sequence[str],
        examination: NDArray[np.float64] | None,
    ) -> Debiased:
        """Learn from the fit pairs' clicks; the dev pairs' say when to stop, and get their posterior under the same prior.

        ``examination`` is that which a surer method has found; None = learnt with the attraction.
        """
        fit, dev = _Shown.of(fit_pairs, counts, features), _Shown.of(dev_pairs, counts, features)
        if examination is not None:
            # Where a product stood says what the production ranker thought of it, which our features may not know. That can be
            # told from examination only where the latter is known.
            fit, dev, features = fit.placed(), dev.placed(), (*features, _PLACE)
        folds = np.array([_fold(query_id) for query_id in fit.pairs["query_id"]])
        bounded = fit.bounded()
        whole = fit_attraction(
            config, fit.matrix, bounded, features=features, dev=(dev.matrix, dev.bounded()), examination=examination
        )

        def again(rows: NDArray[np.bool_]) -> Attraction:
            matrix, tallies = fit.matrix[rows], bounded.of(rows)
            return fit_attraction(
                config, matrix, tallies, features=features, dev=None, examination=examination, rounds=whole.rounds
            )

        expected, of_dev = cross_fitted(folds, fit.matrix, again), whole.predict(dev.matrix)
        theta = whole.examination
        told = posterior(expected, fit.evidence(theta))
        dev_told = posterior(of_dev, dev.evidence(theta), prior=told.prior)
        attraction = pl.concat(
            [
                side.pairs.with_columns(attraction=pl.Series(own.mean), known=pl.Series(own.known))
                for side, own in ((fit, told), (dev, dev_told))
            ]
        )
        return cls(theta, attraction)


@dataclass(frozen=True)
class _Shown:
    """The pairs of one side that were shown, and what became of them."""

    pairs: pl.DataFrame
    matrix: NDArray[np.float32]
    tallies: Tallies

    @classmethod
    def of(cls, pairs: pl.DataFrame, counts: pl.DataFrame, features: Sequence[str]) -> _Shown:
        shown = pairs.join(counts, on=["query_id", "product_id"], how="semi", maintain_order="left")
        numbered = shown.select("query_id", "product_id", pair=pl.int_range(pl.len(), dtype=pl.Int64))
        each = counts.join(numbered, on=["query_id", "product_id"], how="inner").sort("pair", "position")
        tallies = Tallies(
            each["pair"].to_numpy(),
            each["position"].cast(pl.Int64).to_numpy(),
            each["shown"].cast(pl.Float64).to_numpy(),
            each["clicked"].cast(pl.Float64).to_numpy(),
        )
        matrix = shown.select(features).to_numpy().astype(np.float32, copy=False)
        return cls(shown.select("query_id", "product_id"), matrix, tallies)

    def placed(self) -> _Shown:
        """With the mean position that each pair was shown at as one more column."""
        count = len(self.matrix)
        each = np.bincount(self.tallies.pair, self.tallies.shown * self.tallies.position, minlength=count)
        mean = each / np.maximum(np.bincount(self.tallies.pair, self.tallies.shown, minlength=count), 1.0)
        return replace(self, matrix=np.column_stack([self.matrix, mean.astype(np.float32)]))

    def bounded(self) -> Tallies:
        """The tallies of a query that was searched more than so often, in proportion."""
        each = self.pairs.select("query_id").with_columns(
            shown=pl.Series(np.bincount(self.tallies.pair, self.tallies.shown, minlength=self.pairs.height))
        )
        most = each.select(pl.col("shown").max().over("query_id")).to_series().to_numpy()
        share = np.minimum(1.0, _SEARCHES / np.maximum(most, 1.0))[self.tallies.pair]
        return replace(self.tallies, shown=self.tallies.shown * share, clicked=self.tallies.clicked * share)

    def evidence(self, theta: NDArray[np.float64]) -> Evidence:
        here = theta[np.minimum(self.tallies.position, len(theta)) - 1]
        return Evidence(self.tallies.pair, here, self.tallies.clicked, self.tallies.shown)


def examination_of(impressions: pl.DataFrame | pl.LazyFrame) -> tuple[str, NDArray[np.float64]] | None:
    """Examination by position by the surest method that needs no features, and that method's name; None where none can tell.

    From randomised searches, else from products that several rankings put at different places; below the positions that were
    randomised it falls as the latter says.
    """
    from ltr.judgments.propensity import harvested, randomised
    from ltr.judgments.statistics import by_position

    cells = by_position(impressions)
    moved = shuffled = np.empty(0)
    with suppress(DataError):
        moved = harvested(cells, resamples=0).examination if cells.tied >= _TIED else moved
    with suppress(DataError):
        shuffled = randomised(impressions, resamples=0).examination
    if _known(shuffled) >= _TOP:
        return "logged randomisation", _continued(shuffled[: _known(shuffled)], moved, cells.places)
    if _known(moved) >= _TOP:
        return "intervention harvesting", _continued(moved[: _known(moved)], moved, cells.places)
    return None


def _known(curve: NDArray[np.float64]) -> int:
    """Positions from the first that are told without a gap."""
    gaps = np.flatnonzero(~np.isfinite(curve))
    return int(gaps[0]) if len(gaps) else len(curve)


def _continued(curve: NDArray[np.float64], other: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """The curve, then the other in proportion as far as it goes, then as it ends."""
    end = len(curve)
    if len(other) >= end:
        curve = np.concatenate([curve, other[end : _known(other)] * (curve[-1] / other[end - 1])])
    held = np.concatenate([curve, np.full(max(places - len(curve), 0), curve[-1])])
    clipped: NDArray[np.float64] = np.clip(held, 1e-3, 1.0)
    return clipped


def _fold(query_id: str) -> int:
    return hashlib.sha256(f"clicks {query_id}".encode()).digest()[0] % FOLDS
