"""The position-based click model with attraction by boosted trees: regression-EM (Wang et al., WSDM 2018).

    P(click | q, p, k) = θₖ · σ(f(x_qp)),   θ₁ = 1

Every tree follows the gradient of the clicks' likelihood, and between two trees θ takes its EM step, so the two are learnt
together: a generalised EM whose every step is one tree. Where every product of a query was always shown at one place, no
model with an attraction of its own for each pair can tell examination from attraction; one whose attraction is a function
of features can, as far as the features do not give the place away.

The prior that ``cross_fitted`` gives of a pair is that of trees that never saw a click on the pair's own query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import RankerError
from ltr.rankers.checks import check_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from ltr.config import RankerConfig

__all__ = ["Attraction", "Tallies", "cross_fitted", "fit_attraction"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A place without a single examined product among many would never be looked at again.
_LEAST: Final = 1e-3
_EM_STEPS: Final = 3


@dataclass(frozen=True)
class Tallies:
    """How often each pair was shown at each place, and clicked there; one row a pair and place.

    Args:
        pair: row of the pair in its matrix.
        position: 1 = top.
        shown: searches.
        clicked: clicks among them.
    """

    pair: Ints
    position: Ints
    shown: Floats
    clicked: Floats

    def of(self, pairs: NDArray[np.bool_]) -> Tallies:
        """Those of some pairs, renumbered as the kept pairs are."""
        kept = pairs[self.pair]
        number = np.cumsum(pairs) - 1
        return Tallies(number[self.pair[kept]], self.position[kept], self.shown[kept], self.clicked[kept])


@dataclass(frozen=True)
class Attraction:
    """A fitted model: ``predict`` gives σ(f) of rows, ``examination[k − 1]`` is θₖ, ``rounds`` how many trees it has."""

    predict: Callable[[NDArray[np.float32]], Floats]
    examination: Floats
    rounds: int


def fit_attraction(
    config: RankerConfig,
    matrix: NDArray[np.float32],
    tallies: Tallies,
    *,
    features: Sequence[str],
    dev: tuple[NDArray[np.float32], Tallies] | None,
    examination: Floats | None = None,
    rounds: int = 400,
) -> Attraction:
    """Fit attraction and examination together, or attraction alone under a known examination.

    Args:
        config: seed, patience, monotone directions, LightGBM's parameters.
        matrix: a row a pair.
        tallies: the clicks on them.
        features: the columns' names.
        dev: others, whose likelihood says when to stop; None = after ``rounds``.
        examination: θ by position, where it is known.
        rounds: at most.

    Raises:
        RankerError: no click at all.
    """
    from ltr.rankers.lightgbm import boosted

    check_matrix(matrix, features)
    if not tallies.clicked.sum() > 0:
        raise RankerError("there is no click to learn from", hint="collect a longer log, or loosen its filters")
    deepest = int(max(tallies.position.max(), 0 if dev is None else dev[1].position.max()))
    at = tallies.position - 1
    theta = 1 / np.sqrt(np.arange(1, deepest + 1)) if examination is None else _known(examination, deepest)
    held = [theta]  # of each round, since the round that is kept may not be the last
    weight = np.bincount(tallies.pair, tallies.shown, minlength=len(matrix)).mean()

    def gradient(scores: Floats) -> tuple[Floats, Floats]:
        attraction = _sigmoid(scores)
        own = attraction[tallies.pair]
        latest = held[-1]
        if examination is None and len(held) > 1:  # before the first tree, attraction is the same everywhere
            for _ in range(_EM_STEPS):
                latest = _examined(tallies, own, latest)
        held.append(latest)
        attracted = tallies.clicked + (tallies.shown - tallies.clicked) * _attracted(own, latest[at])
        slope = np.bincount(tallies.pair, tallies.shown * own - attracted, minlength=len(matrix))
        # Fisher's information of the clicks, and not that of the attraction, which nobody saw: EM's own step is so much shorter
        # that places looked at seldom would take hundreds of trees.
        here = latest[at]
        told = tallies.shown * here * own * (1 - own) ** 2 / (1 - here * own)
        curvature = np.bincount(tallies.pair, told, minlength=len(matrix))
        # By the mean number of searches, so that the library's penalties mean what they mean elsewhere.
        return slope / weight, curvature / weight + 1e-6

    def loss(scores: Floats) -> float:
        assert dev is not None
        others = dev[1]
        clicks = held[-1][others.position - 1] * _sigmoid(scores)[others.pair]
        likelihood = others.clicked * np.log(clicks) + (others.shown - others.clicked) * np.log1p(-clicks)
        return -float(likelihood.sum() / others.shown.sum())

    rate = tallies.clicked.sum() / (tallies.shown * theta[at]).sum()
    start = float(np.log(rate / (1 - rate))) if rate < 1 else 0.0
    scores, kept = boosted(
        config,
        matrix,
        gradient,
        features=features,
        start=start,
        rounds=rounds,
        dev=None if dev is None else (dev[0], loss),
    )
    return Attraction(lambda rows: _sigmoid(scores(rows)), held[min(kept, len(held) - 1)], kept)


def cross_fitted(
    folds: Sequence[int] | Ints,
    matrix: NDArray[np.float32],
    fit: Callable[[NDArray[np.bool_]], Attraction],
) -> Floats:
    """σ(f) of every row by a model that was fitted without the row's own fold.

    Args:
        folds: of each row, such as a hash of its query.
        matrix: the rows.
        fit: which rows to fit on -> the model.
    """
    own = np.asarray(folds)
    found = np.empty(len(matrix))
    for fold in np.unique(own):
        found[own == fold] = fit(own != fold).predict(matrix[own == fold])
    return found


def _known(examination: Floats, deepest: int) -> Floats:
    """As long as is needed: beyond its end it stays as it ends."""
    held = np.clip(np.asarray(examination, dtype=np.float64), _LEAST, 1.0)
    return np.concatenate([held, np.full(max(deepest - len(held), 0), held[-1])])[:deepest]


def _attracted(attraction: Floats, theta: Floats) -> Floats:
    """P(attracted | no click): it was, and nobody looked."""
    return attraction * (1 - theta) / np.maximum(1 - theta * attraction, 1e-12)


def _examined(tallies: Tallies, attraction: Floats, theta: Floats) -> Floats:
    """One EM step of θ: the share of searches in which a place was examined, as the clicks say; relative to the top's."""
    at, here = tallies.position - 1, theta[tallies.position - 1]
    looked = here * (1 - attraction) / np.maximum(1 - here * attraction, 1e-12)
    seen = np.bincount(at, tallies.clicked + (tallies.shown - tallies.clicked) * looked, minlength=len(theta))
    shown = np.bincount(at, tallies.shown, minlength=len(theta))
    share = np.divide(seen, shown, out=theta.copy(), where=shown > 0)
    relative: Floats = np.clip(share / max(share[0], _LEAST), _LEAST, 1.0)
    return relative


def _sigmoid(scores: Floats) -> Floats:
    shares: Floats = np.clip(1 / (1 + np.exp(-scores)), 1e-9, 1 - 1e-9)
    return shares
