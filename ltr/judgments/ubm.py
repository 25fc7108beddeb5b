"""User browsing model: what is examined depends on the position and on how far above it the last click was.

    P(click | clicks above) = γ(position, position of the click before) · a(query, product)

Dupret & Piwowarski, "A User Browsing Model to Predict Search Engine Click Data from Past Observations", SIGIR 2008. γ is 1 at
position 1; ``gamma[r − 1, j]`` is that of position r after a click at j, or without one (j = 0). The counts are by pair,
position and position of the click before, and γ is estimated from pairs seen at several such places (``effects``), each
drawn towards its position's mean by a few clicks.

>>> pairs = pl.DataFrame({"query_id": "q", "product_id": ["a", "b"], "attraction": [1.0, 0.5]})
>>> model = UBM(pairs, np.array([1.0, 0.6]), FittedPrior(0.5, 1.0), np.array([[1.0, 0.0, 0.0], [0.2, 0.6, 0.0]]))
>>> lists = pl.DataFrame({"search_id": "s", "query_id": "q", "product_id": ["a", "b"], "position": [1, 2], "clicked": [True, False]})
>>> model.predict_clicks(lists, conditional=True).tolist()
[1.0, 0.3]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.judgments.attraction import attracted, by_examination
from ltr.judgments.effects import DRAWN, LEAST, effects, filled
from ltr.judgments.lists import Lists, lists_of, parts
from ltr.judgments.priors import FROM_LOG, FittedPrior, Prior
from ltr.judgments.statistics import Cells, Counter, Impressions, opened, positions_of

__all__ = ["UBM"]

Floats = NDArray[np.float64]

# Each γ is worth this many expected clicks of its position's mean; most of the rare ones are far down.
_DRAWN: Final = 5.0
# γ has most² values: UBM's own paper reads ten results.
_MOST: Final = 30


@dataclass(frozen=True)
class UBM:
    """The user browsing model, fitted; ``examination`` is the mean of γ by position, as often as each was met."""

    attraction: pl.DataFrame
    examination: Floats
    prior: FittedPrior
    gamma: Floats
    tied: float = float("nan")

    @classmethod
    def fit(cls, impressions: Impressions, *, prior: Prior = FROM_LOG, most: int = _MOST) -> UBM:
        """Fit to a log; see ``PBM.fit``. It needs search_id."""
        log = opened(impressions, "search_id")
        places = positions_of(log, most)
        counter = Counter(places * (places + 1))
        for part in parts(log):
            lists = lists_of(part)
            rows = lists.ordered(part)
            place = _place(rows, _before(lists, rows, places), places)
            counter.add(rows.select("query_id", "product_id", "clicked", place=pl.Series(place.astype(np.uint32))))
        cells = counter.cells()
        found = effects(cells, drawn=DRAWN)
        gamma = _drawn(found.cells, found.examination, places)
        attraction, fitted = by_examination(cells, gamma.ravel(), prior)
        shown = cells.of_places(cells.shown).reshape(gamma.shape)
        mean = np.divide((shown * gamma).sum(1), shown.sum(1), out=np.full(places, np.nan), where=shown.sum(1) > 0)
        return cls(attraction, filled(mean / mean[0]), fitted, gamma, found.tied)

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> Floats:
        """P(click) of each row: over all clicks above it, or with ``conditional`` given those there were."""
        rows = impressions.lazy().collect()
        lists = lists_of(rows)
        ordered = lists.ordered(rows)
        a, position = attracted(ordered, self.attraction, self.prior), self._position(ordered)
        found = np.empty(rows.height)
        if conditional:
            place = _place(ordered, _before(lists, ordered, len(self.gamma)), len(self.gamma))
            found[lists.order] = a * self.gamma.ravel()[place]
        else:
            # Of each search, the probability that the click before was at each position (0: that there was none).
            before = np.zeros((len(lists.bounds) - 1, len(self.gamma) + 1))
            before[:, 0] = 1.0
            for searches, at in lists.ranks():
                click = np.minimum(a[at, None] * self.gamma[position[at] - 1], 1.0)
                now = (before[searches] * click).sum(1)
                before[searches] *= 1 - click
                before[searches, position[at]] += now
                found[lists.order[at]] = now
        return np.minimum(found, 1.0)

    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        """The rows with ``clicked``, drawn from the top of each list down."""
        order = lists_of(lists)
        rows = order.ordered(lists)
        a, position = attracted(rows, self.attraction, self.prior), self._position(rows)
        drawn, clicked = np.random.default_rng(seed).random(lists.height), np.zeros(lists.height, dtype=bool)
        before = np.zeros(len(order.bounds) - 1, dtype=np.int64)
        for searches, at in order.ranks():
            click = drawn[at] < a[at] * self.gamma[position[at] - 1, before[searches]]
            clicked[order.order[at]] = click
            before[searches[click]] = position[at][click]
        return lists.with_columns(clicked=pl.Series(clicked))

    def _position(self, rows: pl.DataFrame) -> NDArray[np.int64]:
        return _positions(rows, len(self.gamma))


def _before(lists: Lists, rows: pl.DataFrame, places: int) -> NDArray[np.int64]:
    """The position of the click before each row of its list, 0 without one."""
    clicked = rows["clicked"].to_numpy()
    position = _positions(rows, places)
    latest = np.maximum.accumulate(np.where(clicked, np.arange(len(clicked)), -1))
    above = np.concatenate([[-1], latest[:-1]])
    before: NDArray[np.int64] = np.where(above >= lists.bounds[lists.of_rows], position[np.maximum(above, 0)], 0)
    return before


def _place(rows: pl.DataFrame, before: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    return (_positions(rows, places) - 1) * (places + 1) + before


def _positions(rows: pl.DataFrame, places: int) -> NDArray[np.int64]:
    position: NDArray[np.int64] = np.minimum(rows["position"].to_numpy().astype(np.int64), places)
    return position


def _drawn(told: Cells, examination: Floats, places: int) -> Floats:
    """γ drawn towards its position's mean; where nothing tells, that mean."""
    across = (places, places + 1)
    known = np.where(np.isfinite(examination), examination, LEAST)
    exposure = told.of_pairs(told.shown * known[told.place])
    rate = told.of_pairs(told.clicked) / exposure
    expected = told.of_places(told.shown * np.repeat(rate, np.diff(told.bounds)))
    expected = np.where(np.isfinite(examination), expected, 0.0).reshape(across)
    clicks = (known * expected.ravel()).reshape(across)
    total = expected.sum(1)
    mean = filled(np.divide(clicks.sum(1), total, out=np.full(len(total), np.nan), where=total > 0))
    gamma: Floats = np.maximum((clicks + _DRAWN * mean[:, None]) / (expected + _DRAWN), LEAST)
    gamma /= gamma[0, 0]
    return gamma
