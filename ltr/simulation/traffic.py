"""Randomised traffic: lists that luck has rearranged, with the propensity of each place.

shuffle   the first n at random: each product stands at each of those places with propensity 1/n
swap      FairPairs (Radlinski & Joachims, AAAI 2006): neighbours at 1-2, 3-4, ... or at 2-3, 4-5, ... change places with
          odds ½, so that each product of a pair stands at either place with propensity ½
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltr.simulation.season import Season
from ltr.simulation.users import Flags

__all__ = ["rearranged"]


def rearranged(
    position: NDArray[np.uint16], sizes: NDArray[np.int64], chosen: Flags, season: Season, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The row whose product each row shows, and the propensity of that product at this place (1 where nothing is random).

    Args:
        position: of each row; the rows of a search stand together, top first.
        sizes: rows of each search.
        chosen: whether each search is randomised.
        season: by which scheme, among how many places.
        rng: where the luck comes from.
    """
    shows = np.arange(len(position))
    propensity = np.ones(len(position), dtype=np.float32)
    places = np.repeat(np.where(chosen, np.minimum(sizes, season.top), 0), sizes)
    if season.scheme == "shuffle":
        rows = np.flatnonzero(position <= places)
        search = np.repeat(np.arange(len(sizes)), sizes)[rows]
        shows[rows] = rows[np.lexsort((rng.random(len(rows)), search))]
        propensity[rows] = 1 / places[rows]
    else:
        begins = np.repeat(rng.integers(1, 3, size=len(sizes)), sizes)
        upper = np.flatnonzero((position >= begins) & ((position - begins) % 2 == 0) & (position < places))
        propensity[upper] = propensity[upper + 1] = 0.5
        swapped = upper[rng.random(len(upper)) < 0.5]
        shows[swapped], shows[swapped + 1] = swapped + 1, swapped
    return shows, propensity
