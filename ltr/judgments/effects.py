"""Examination by place from pairs that were seen at several: P(click) = a · e, each pair's own a a nuisance.

    eₖ = Σ clicks at k ÷ Σ shown at k · aᵢ,   aᵢ = clicks of i ÷ Σ shown at j · eⱼ

The two are iterated to their fixed point, as in EM, but of the score equations of a Poisson model with one effect a pair.
Those are unbiased however few searches a pair has, since only the mean of the clicks is assumed (Wooldridge, Journal of
Econometrics 1999), while the Bernoulli likelihood that textbook EM climbs has a bias that more pairs do not cure (Neyman &
Scott, Econometrica 1948): .024 at position 2 of the curve 1/k where a query has ten searches. Given its clicks, a pair only says how they
fall over its places; a pair seen at one place, or never clicked, says nothing and is left out. A prior on attraction would
say something of it, but something wrong: rankers show attractive products on top, and the prior would lay that on the
position.

>>> from ltr.judgments.statistics import Cells
>>> pairs = pl.DataFrame({"query_id": ["q"], "product_id": ["p"]})
>>> cells = Cells(pairs, np.array([0, 2]), np.array([0, 1], np.int32), np.array([10.0, 20.0]), np.array([8.0, 8.0]), 3)
>>> effects(cells).examination
array([1. , 0.5, nan])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError
from ltr.judgments import kernels
from ltr.judgments.acceleration import squarem
from ltr.judgments.statistics import Cells

__all__ = ["DRAWN", "LEAST", "Effects", "effects", "filled"]

Floats = NDArray[np.float64]

# What is divided by it stays finite.
LEAST: Final = 1e-4
# What a click model's curve is drawn by: nothing beside the clicks of a thousand searches.
DRAWN: Final = 20.0
# Impressions that a place's click-through rate needs to be believed.
_TYPICAL: Final = 20.0
_WIDEST: Final = 12.0  # of log e: beyond it lies no data


@dataclass(frozen=True)
class Effects:
    """The examination by place, 1 at the first; NaN where no chain of pairs ties a place to it.

    Args:
        examination: by place.
        tied: share of pairs seen at two places or more.
        cells: those of the pairs that told.
        steps: iterations.
        converged: whether the last changed no log e by more than 1e-7.
    """

    examination: Floats
    tied: float
    cells: Cells
    steps: int
    converged: bool


def effects(cells: Cells, *, drawn: float = 0.0) -> Effects:
    """Estimate the examination of each place.

    Args:
        cells: the counts.
        drawn: clicks of one more, made-up pair, seen everywhere and clicked as places are over all pairs: a log of a few
            hundred searches leaves places to a handful of clicks, and this keeps them near what positions alone say.

    Raises:
        DataError: no clicked pair was seen at the first place and at another, so nothing can be told.
    """
    told = cells.told()
    if not _tied_to_first(told)[1:].any():
        raise DataError(
            f"examination cannot be told from attraction: {cells.tied:.1%} of the (query, product) pairs were seen at two "
            "positions or more, and their clicks tie no position to the first",
            hint="log a second ranking or some randomised traffic, estimate by regression (attraction from features), give "
            "a known examination curve, or fit a model of users who go down the list (sdbn)",
        )
    if drawn:
        told = _with_made_up(told, cells, drawn)
    live = _tied_to_first(told)
    told = told.at_places(live)
    clicks, at_place = told.of_pairs(told.clicked), told.of_places(told.clicked)

    def step(logs: Floats) -> Floats:
        expected = np.zeros(cells.places)
        kernels.balance(told.bounds, told.place, told.shown, clicks, np.exp(logs), expected)
        following = logs.copy()
        following[live] = np.log(at_place[live] / expected[live])
        following[live] -= following[0]
        return following

    start = -np.log1p(np.arange(cells.places)) * live
    settled = squarem(step, start, tolerance=1e-7, within=(-_WIDEST, _WIDEST))
    examination = np.where(live, np.maximum(np.exp(settled.values), LEAST), np.nan)
    return Effects(examination, cells.tied, told, settled.steps, settled.converged)


def _tied_to_first(told: Cells) -> NDArray[np.bool_]:
    """Places that won clicks over the first, and it over them, by some chain of pairs.

    Without either, the likeliest examination is 0 or without bound (Ford, American Mathematical Monthly 1957).
    """
    won = np.zeros((told.places, told.places), dtype=bool)
    kernels.beaten(told.bounds, told.place, told.clicked, won)
    tied = np.ones(told.places, dtype=bool)
    for wins in (won, won.T):
        reached = np.zeros(told.places, dtype=bool)
        reached[0], known = True, 0
        while reached.sum() > known:
            known = int(reached.sum())
            reached |= wins[reached].any(axis=0)
        tied &= reached
    return tied


def _with_made_up(told: Cells, cells: Cells, clicks: float) -> Cells:
    shown = cells.of_places(cells.shown)
    mean = cells.clicked.sum() / shown.sum()
    place = np.flatnonzero(shown > 0).astype(np.int32)
    rate = ((cells.of_places(cells.clicked) + _TYPICAL * mean) / (shown + _TYPICAL))[place]
    rate /= rate.sum()
    return Cells(
        pl.concat([told.pairs, pl.DataFrame({"query_id": [""], "product_id": [""]})]),
        np.append(told.bounds, told.bounds[-1] + len(place)),
        np.append(told.place, place),
        np.append(told.shown, np.ones(len(place))),
        np.append(told.clicked, clicks * rate),
        told.places,
    )


def filled(examination: Floats) -> Floats:
    """The curve without gaps: on the line in log position and log examination between neighbours, level beyond the ends."""
    known = np.isfinite(examination)
    logs = np.log(np.maximum(examination[known], LEAST))
    at = np.log1p(np.arange(len(examination)))
    result: Floats = np.where(known, examination, np.exp(np.interp(at, at[known], logs)))
    return result
