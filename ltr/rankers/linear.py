"""Linear rankers: a weighted sum of standardised features, the least that a forest has to beat.

    score(x) = Σ_f w_f (x_f - mean_f) / deviation_f,    a missing value at the mean, a constant feature left out

``ndcg`` climbs mean nDCG@k itself (``ltr.rankers.ascent``), first from the logistic solution, then from random starts;
a round is a sweep over all weights. ``logistic`` is RankNet's loss (``ltr.rankers.logistic``); a round is a step of
Newton's method. Both end by themselves, mostly within 10 rounds, and keep the round that is best on dev. ``listnet`` is
ListNet's loss (``ltr.rankers.listnet``), by Newton's method too, but keeps its last round: the solution is one, l2 is
what holds it back, and of few dev lists the best of some steps is chance. ``monotone`` fixes a weight's sign. One seed makes
one ranker on one machine; elsewhere last digits may differ, as numpy's matrix products do.

nDCG has no weights of products. A product's confidence there, and in listnet, shrinks its gain, gain × weight, and a list
counts by its mean weight; the logistic loss weighs a pair by both products' confidences.

Parameters of its own: ``l2`` (1.0) beside the logistic loss, a sum over lists, or (0.03) beside listnet's, a mean over
lists; and for ndcg ``restarts`` (2) at random, ``tolerance`` (0.0001), the gain in nDCG below which a start has arrived,
and ``sample`` (12,000,000), how many values of the matrix are climbed on: of more, that many are drawn once, list by list.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.progress import bar
from ltr.rankers import Fitted, checks, saved
from ltr.rankers.ascent import Objective, ascend, mean_ndcg
from ltr.rankers.listnet import TopOne
from ltr.rankers.lists import Lists, to_fit_on
from ltr.rankers.logistic import Loss, Pairwise, descend

__all__ = ["LinearRanker", "check", "fit", "restore"]

VERSION: Final = "1"
WEIGHTED: Final = (
    "nDCG weights lists, not products: a product's confidence shrinks its gain, and a list counts by its mean one"
)
# Parameter -> its default, whose type it has, and its smallest value.
_OPTIONS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "ndcg": {"l2": (1.0, 0.0), "restarts": (2, 0), "tolerance": (1e-4, 0.0), "sample": (12_000_000, 1)},
    "logistic": {"l2": (1.0, 0.0)},
    "listnet": {"l2": (0.03, 0.0)},
}


@dataclass(frozen=True)
class LinearRanker:
    """Weights, means and deviations; ``text`` is their JSON and all there is to it."""

    features: tuple[str, ...]
    rounds: int
    text: str = field(repr=False)
    version: str = VERSION
    _scale: _Scale = field(init=False, repr=False, compare=False)
    _weights: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the text, so that a saved ranker and a fresh one are the same thing."""
        try:
            held = json.loads(self.text)
            mean, deviation, weights = (
                np.array([float(held[name][feature]) for feature in self.features])
                for name in ("mean", "deviation", "weights")
            )
            known = set(held["weights"])
        except (ValueError, KeyError, TypeError) as error:
            raise RankerError(f"this text is no linear ranker ({error!r})", hint="restore it from a copy") from error
        if known != set(self.features) or not np.isfinite([mean, deviation, weights]).all() or (deviation < 0).any():
            raise RankerError(
                f"the weights are of {sorted(known)}, or not finite, for features {list(self.features)}",
                hint="ranker.txt and ranker.json do not belong together; restore both from one copy",
            )
        object.__setattr__(self, "_scale", _Scale(mean, deviation))
        object.__setattr__(self, "_weights", weights)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row; NaN is a missing value, an infinite one the largest that float32 holds."""
        checks.check_matrix(matrix, self.features)
        return _score(self._scale.standardised(matrix), self._weights)

    def importance(self) -> dict[str, float]:
        """The size of each weight, which is of standardised features."""
        return dict(zip(self.features, np.abs(self._weights).tolist(), strict=True))

    def save(self, directory: Path) -> None:
        """Write ranker.txt and ranker.json."""
        saved.write(saved.Saved("linear", self.version, self.features, self.rounds, self.text), directory)


def fit(
    config: RankerConfig,
    fit_pairs: pl.DataFrame,
    dev_pairs: pl.DataFrame | None,
    *,
    features: Sequence[str],
    gains: NDArray[np.float64],
    cutoff: int = 10,
    rounds: int | None = None,
) -> Fitted:
    """Fit until the objective has arrived, or (but for listnet) dev nDCG@cutoff has not risen for ``config.patience`` rounds.

    Args:
        config: objective, rounds, patience, seed, monotone directions, parameters of its own.
        fit_pairs: pairs to fit on; rows with a null grade are left out, weights are confidences.
        dev_pairs: pairs to choose the round on, unweighted as evaluation is; None, or listnet = the last round.
        features: columns of the pairs, in the ranker's order.
        gains: gain by grade, for the objective and for the dev measure.
        cutoff: the k of nDCG@k.
        rounds: how many at most, instead of config.rounds.
    """
    started = time.perf_counter()
    rounds = config.rounds if rounds is None else rounds
    table = np.asarray(gains, dtype=np.float64)
    options = _options(config)
    directions = checks.directions(config.monotone, features)
    judged, dev, dropped = to_fit_on(fit_pairs, dev_pairs, features=features, gains=table, cutoff=cutoff, rounds=rounds)
    notes: tuple[str, ...] = ()
    if config.objective == "ndcg":
        notes = (WEIGHTED,) if judged.weights is not None else ()
        judged, sampled = _sampled(judged, int(options["sample"]), seed=config.seed)
        notes += sampled
    scale = _Scale.of(judged.matrix)
    matrix = scale.standardised(judged.matrix)
    held = None if dev is None else (scale.standardised(dev.matrix), table[dev.grades], dev.sizes)

    best = (-np.inf, 1, np.zeros(matrix.shape[1]), list[float]())
    with bar("fitting") as advance:
        for climb in _climbs(config, options, judged, matrix, table, directions, cutoff=cutoff, rounds=rounds):
            curve: list[float] = []
            kept = (-np.inf, 0, best[2])
            for number, (weights, value) in enumerate(climb, start=1):
                advance(1)
                if held is not None:
                    value = mean_ndcg(_score(held[0], weights), held[1], held[2], cutoff=cutoff)
                    curve.append(value)
                if held is None or config.objective == "listnet" or value > kept[0]:
                    kept = value, number, weights
                elif number - kept[1] >= config.patience:
                    break
            if kept[0] > best[0]:
                best = *kept, curve
    _, number, weights, curve = best
    text = json.dumps(
        {
            "objective": config.objective,
            **{
                name: dict(zip(features, values.tolist(), strict=True))
                for name, values in (("weights", weights), ("mean", scale.mean), ("deviation", scale.deviation))
            },
        },
        indent=1,
    )
    ranker = LinearRanker(tuple(features), number, text + "\n")
    return Fitted(ranker, number, curve, time.perf_counter() - started, dropped, notes)


def check(config: RankerConfig, *, features: Sequence[str]) -> None:
    """Refuse, without data, what ``fit`` would refuse of the parameters and the monotone directions."""
    _options(config)
    checks.directions(config.monotone, features)


def restore(directory: Path) -> LinearRanker:
    """Load what ``save`` wrote."""
    held = saved.read(directory)
    return LinearRanker(held.features, held.rounds, held.text, held.version)


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation by feature, 0 where it is constant."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> _Scale:
        """Those of the rows, missing values left out."""
        values = matrix.astype(np.float64)
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        deviation = np.sqrt(np.where(known, np.square(values - mean), 0.0).sum(axis=0) / count)
        # What float32 cannot tell from the mean is no variation.
        return cls(mean, np.where(deviation > 1e-7 * np.abs(mean), deviation, 0.0))

    def standardised(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows in deviations from the mean; 0 where missing or constant."""
        largest = np.finfo(np.float32).max
        values = np.clip(np.ascontiguousarray(matrix, dtype=np.float64), -largest, largest)
        varies = self.deviation > 0
        values = (values - self.mean) / np.where(varies, self.deviation, 1.0)
        return np.where(varies & ~np.isnan(values), values, 0.0)


def _score(standardised: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not a matrix product, whose sums depend on how many rows there are.
    scores: NDArray[np.float64] = np.einsum("rf,f->r", np.ascontiguousarray(standardised), weights)
    return scores


def _climbs(
    config: RankerConfig,
    options: dict[str, Any],
    judged: Lists,
    matrix: NDArray[np.float64],
    gains: NDArray[np.float64],
    directions: Sequence[int],
    *,
    cutoff: int,
    rounds: int,
) -> Iterator[Iterator[tuple[NDArray[np.float64], float]]]:
    """One iterator a start, of the weights after each round and the measure on the fit lists (of a loss: 0)."""
    gain = gains[judged.grades]
    confidence = None if judged.weights is None else judged.weights.astype(np.float64)
    form = TopOne if config.objective == "listnet" else Pairwise
    loss: Loss = form(matrix, gain, judged.sizes, l2=options["l2"], weights=confidence)
    if config.objective != "ndcg":
        yield ((weights, 0.0) for weights in descend(loss, directions=directions, iterations=rounds))
        return
    shrunk, counts = gain, None
    if confidence is not None:
        shrunk = gain * confidence
        counts = np.add.reduceat(confidence, np.cumsum(judged.sizes) - judged.sizes) / judged.sizes
    objective = Objective(matrix, shrunk, judged.sizes, cutoff=cutoff, weights=counts)
    *_, start = descend(loss, directions=directions, iterations=30)
    signs, varies = np.asarray(directions), matrix.any(axis=0)
    for number in range(options["restarts"] + 1):
        rng = np.random.default_rng([config.seed, number])
        if number:
            start = rng.normal(size=len(signs)) * varies
            start = np.where(signs != 0, signs * np.abs(start), start)
        climb = {"directions": directions, "sweeps": rounds, "tolerance": options["tolerance"], "rng": rng}
        yield ascend(objective, start, **climb)


def _sampled(judged: Lists, values: int, *, seed: int) -> tuple[Lists, tuple[str, ...]]:
    """As many whole lists as have about so many values, and a note where that is not all."""
    if judged.matrix.size <= values:
        return judged, ()
    order = np.random.default_rng([seed, 2**31]).permutation(len(judged.sizes))
    rows = np.cumsum(judged.sizes[order]) * judged.matrix.shape[1]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[: max(1, int(np.searchsorted(rows, values, side="right")))]] = True
    kept = np.repeat(chosen, judged.sizes)
    weights = None if judged.weights is None else judged.weights[kept]
    note = f"climbed on {chosen.sum():,} of {len(chosen):,} lists, drawn by the seed: ranker.sample = {values:,} values"
    return Lists(judged.matrix[kept], judged.grades[kept], weights, judged.sizes[chosen], judged.dropped), (note,)


def _options(config: RankerConfig) -> dict[str, Any]:
    known = _OPTIONS[config.objective]
    elsewhere = {
        name: f"it is a parameter of objective {objective!r}, not of {config.objective!r}"
        for objective, options in _OPTIONS.items()
        for name in options
        if name not in known
    }
    names = {name: name for name in (*known, *elsewhere)}
    otherwise = f"its parameters: {', '.join(sorted(known))}"
    given = checks.own(config.parameters, names, elsewhere, library="the linear ranker", otherwise=otherwise)
    for name, value in given.items():
        default, least = known[name]
        whole = isinstance(default, int)
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else (int, float))
            or not least <= value < 2**53
        ):
            raise RankerError(
                f"ranker.{name} = {value!r}", hint=f"it is a {'whole ' * whole}number, at least {least:g}"
            )
    return {name: default for name, (default, _) in known.items()} | given
