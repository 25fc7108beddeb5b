"""What clicks say of a pair, beside what its features say: nonparametric empirical Bayes (Kiefer & Wolfowitz, Ann. Math. Stat.
1956; Laird, JASA 1978).

    P(a | clicks) ∝ π_b(a) · Π_k (θₖ a)^cₖ (1 − θₖ a)^(nₖ − cₖ)

a is a pair's attraction on a grid, θ the examination, c and n the clicks and searches at each place. The prior π_b is that of
the pairs of which a model expects about the same attraction (bin b), and is estimated by EM: nothing is assumed of its
shape, so where products either suit a query or do not, it finds the two heaps by itself.

>>> expected = np.array([0.5, 0.5])
>>> told = posterior(expected, Evidence(np.array([0, 1]), np.ones(2), np.array([9.0, 0.0]), np.array([10.0, 10.0])))
>>> told.mean.round(2).tolist()
[0.9, 0.01]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import JudgmentError

__all__ = ["Evidence", "Posterior", "Prior", "posterior"]

Floats = NDArray[np.float64]

GRID: Final = np.linspace(0.005, 1.0, 41)
BINS: Final = 20
# The mixture's weights are settled to three digits long before; each step is cheap.
_STEPS: Final = 200
# Every attraction stays possible: a heap that no pair of a bin belongs to is not proof that none ever will.
_UNIFORM: Final = 1e-3
_ROWS_AT_ONCE: Final = 200_000


@dataclass(frozen=True)
class Evidence:
    """The clicks on pairs at places: one row a pair and place.

    Args:
        pair: number of the pair.
        examination: θ of the place, above 0 and at most 1.
        clicked: clicks.
        shown: searches.
    """

    pair: NDArray[np.int64]
    examination: Floats
    clicked: Floats
    shown: Floats


@dataclass(frozen=True)
class Prior:
    """Bins of expected attraction, by their inner edges, and the prior over GRID in each."""

    edges: Floats
    mixture: Floats


@dataclass(frozen=True)
class Posterior:
    """Mean and variance of each pair's attraction, and the prior that they follow from; ``known`` is 1 − variance ÷ prior variance, not below 0."""

    mean: Floats
    variance: Floats
    known: Floats
    prior: Prior


def posterior(expected: Floats, evidence: Evidence, *, prior: Prior | None = None) -> Posterior:
    """Attraction of each pair, given its clicks.

    Args:
        expected: what a model that has not seen the pair's clicks expects of each.
        evidence: clicks; a pair without any row keeps the prior's mean.
        prior: of other pairs, such as those fitted on; None = estimated from these.

    Raises:
        JudgmentError: examination that is no probability.
    """
    if len(evidence.examination) and not (0 < evidence.examination.min() <= evidence.examination.max() <= 1):
        raise JudgmentError("an examination is not above 0 and at most 1", hint="clip propensities from below")
    likelihood = _likelihood(evidence, len(expected))
    if prior is None:
        edges = np.quantile(expected, np.linspace(0, 1, BINS + 1)[1:-1])
        prior = Prior(edges, _mixture(likelihood, np.searchsorted(edges, expected)))
    own = prior.mixture[np.searchsorted(prior.edges, expected)]
    told = likelihood * own
    told /= told.sum(axis=1, keepdims=True)
    mean, before = told @ GRID, own @ GRID
    variance = told @ GRID**2 - mean**2
    spread = own @ GRID**2 - before**2
    known = np.clip(1 - variance / np.maximum(spread, 1e-12), 0, 1)
    return Posterior(mean, variance, known, prior)


def _likelihood(evidence: Evidence, pairs: int) -> Floats:
    """P(clicks | a) of each pair over the grid, relative to its greatest."""
    logs = np.zeros((pairs, len(GRID)))
    order = np.argsort(evidence.pair, kind="stable")
    for start in range(0, len(order), _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE]
        chance = np.clip(evidence.examination[rows, None] * GRID, 1e-9, 1 - 1e-9)
        clicked, shown = evidence.clicked[rows, None], evidence.shown[rows, None]
        told = clicked * np.log(chance) + (shown - clicked) * np.log1p(-chance)
        own, first = np.unique(evidence.pair[rows], return_index=True)
        logs[own] += np.add.reduceat(told, first, axis=0)
    likelihood: Floats = np.exp(logs - logs.max(axis=1, keepdims=True))
    return likelihood


def _mixture(likelihood: Floats, bins: NDArray[np.int64]) -> Floats:
    """The prior over the grid of each bin, by EM."""
    found = np.full((BINS, len(GRID)), 1 / len(GRID))
    for number in range(BINS):
        own = likelihood[bins == number]
        if not len(own):
            continue
        weights = found[number]
        for _ in range(_STEPS):
            weights = weights * (own.T @ (1 / (own @ weights))) / len(own)
        found[number] = (1 - _UNIFORM) * weights / weights.sum() + _UNIFORM / len(GRID)
    return found
