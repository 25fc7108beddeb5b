"""Regression-EM: the position-based model with attraction from features (Wang, Golbandi, Bendersky, Metzler & Najork,
"Position Bias Estimation for Unbiased Learning to Rank in Personal Search", WSDM 2018).

    P(click) = eₖ · f(x),   x the features of the (query, product) pair

With one ranking each pair stands at one position, and eₖ and its own attraction cannot be told apart; an attraction that is a
function of features can, as far as products of like features stand at several positions. The curve is then no better than the
features: what they do not know of attraction, and the old ranker did, is laid on the position.

``regress(features, labels, weights)`` fits f and returns it: float32[n, F], labels float64[n] in [0, 1] (clicks ÷
examinations expected), weights float64[n] (examinations expected). ``logistic`` is a small one.

>>> f = logistic(np.array([[0.0], [1.0]], np.float32), np.array([0.2, 0.6]), np.array([1e6, 1e6]))
>>> f(np.array([[0.0], [1.0]], np.float32)).round(2).tolist()
[0.2, 0.6]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import DataError
from ltr.judgments.propensity import FLOOR, Curve, blocks_of, curve, resampled
from ltr.judgments.statistics import Cells, Impressions, by_position

__all__ = ["Predictor", "Regressor", "by_regression", "logistic"]

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Predictor = Callable[[Matrix], Floats]
Regressor = Callable[[Matrix, Floats, Floats], Predictor]

_NEAR: Final = 1e-4
_TOLERANCE: Final = 1e-4
_ROUNDS: Final = 200
# A resample starts from the estimate, and moves less far than its own interval is wide.
_SOONER: Final = 20
_RIDGE: Final = 1e-3


def by_regression(
    impressions: Impressions | Cells,
    features: pl.DataFrame,
    regress: Regressor,
    *,
    floor: float = FLOOR,
    resamples: int = 20,
    seed: int = 7,
) -> Curve:
    """The examination by position.

    Args:
        impressions: the log, or its counts by position.
        features: query_id, product_id and a numeric column a feature; pairs that it lacks are left out.
        regress: fits the attraction.
        floor: the least examination.
        resamples: of queries, for the interval; each calls ``regress`` some more times.
        seed: of the resamples.

    Raises:
        DataError: no feature, none of the pairs has features, or none that has was clicked at position 1.
    """
    cells, matrix, missing = _joined(impressions, features)
    pair = np.repeat(np.arange(cells.pairs.height), np.diff(cells.bounds))
    at_first = cells.of_places(cells.clicked)
    if not at_first[0]:
        raise DataError("nothing with features was clicked at position 1", hint="check that position 1 is the top")
    examination, attraction, converged = _climb(cells, pair, matrix, regress, None, None, _ROUNDS)
    block = blocks_of(cells)
    draws = []
    for weights in resampled(int(block.max()) + 1, resamples, seed):
        times = weights[block]
        if (times[pair] * cells.clicked)[cells.place == 0].any():
            draws.append(_climb(cells, pair, matrix, regress, times, (examination, attraction), _SOONER)[0])
    notes = [f"attraction from {matrix.shape[1]} features: what they do not know of it is laid on the position"]
    if missing:
        notes.append(f"{missing:,} (query, product) pairs have no features and are left out")
    if not converged:
        notes.append(f"not settled after {_ROUNDS} rounds")
    drawn = np.array(draws).reshape(-1, cells.places)
    return curve("regression", examination, drawn, floor=floor, blocks=int(block.max()) + 1, notes=tuple(notes))


def logistic(features: Matrix, labels: Floats, weights: Floats, *, steps: int = 25) -> Predictor:
    """Logistic regression by Newton's method on standardised features, with a small ridge."""
    mean, deviation = np.nanmean(features, axis=0), np.nanstd(features, axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)

    def rows(matrix: Matrix) -> Floats:
        scaled = np.nan_to_num((matrix - mean) / deviation, nan=0.0)
        return np.column_stack([np.ones(len(scaled)), scaled]).astype(np.float64)

    x, total = rows(features), float(weights.sum())
    beta = np.zeros(x.shape[1])
    rate = np.clip(float(weights @ labels) / total, _NEAR, 1 - _NEAR)
    beta[0] = np.log(rate / (1 - rate))
    ridge = np.diag([0.0] + [_RIDGE] * (x.shape[1] - 1))
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (weights * (labels - p)) / total - ridge @ beta
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x / total + ridge + 1e-9 * np.eye(len(beta))
        move = np.clip(np.linalg.solve(curvature, gradient), -5, 5)
        beta = beta + move
        if np.abs(move).max() < 1e-6:
            break
    return lambda matrix: 1 / (1 + np.exp(-np.clip(rows(matrix) @ beta, -30, 30)))


def _joined(impressions: Impressions | Cells, features: pl.DataFrame) -> tuple[Cells, Matrix, int]:
    cells = impressions if isinstance(impressions, Cells) else by_position(impressions)
    pair = ["query_id", "product_id"]
    names = [
        name
        for name, dtype in features.schema.items()
        if name not in pair and (dtype.is_numeric() or dtype == pl.Boolean)
    ]
    if not names:
        raise DataError(
            f"there is no feature among {features.columns}", hint="give numeric columns beside query_id and product_id"
        )
    unique = features.select(*pair, *names, known=pl.lit(True)).unique(pair, keep="first", maintain_order=True)
    joined = cells.pairs.join(unique, on=pair, how="left", maintain_order="left")
    known = joined["known"].fill_null(False).to_numpy()
    if not known.any():
        raise DataError(
            "none of the log's (query, product) pairs has features",
            hint="give features of the products that were shown",
        )
    matrix = joined.filter(pl.Series(known)).select(pl.col(names).cast(pl.Float32)).to_numpy()
    return cells.kept(known), np.ascontiguousarray(matrix), int((~known).sum())


def _climb(
    cells: Cells, pair: NDArray[np.int64], matrix: Matrix, regress: Regressor, times: Floats | None,
    start: tuple[Floats, Floats] | None, rounds: int,
) -> tuple[Floats, Floats, bool]:  # fmt: skip
    """Examination and attraction in turn; ``times`` is how often each pair counts."""
    often = np.ones(len(cells.place)) if times is None else times[pair]
    shown, clicked = cells.shown * often, cells.clicked * often
    at_place, of_pair = cells.of_places(clicked), cells.of_pairs(clicked)
    e, a = start or (1 / np.arange(1.0, cells.places + 1), np.full(len(matrix), 0.5))
    for _ in range(rounds):
        at, attracts = np.minimum(np.nan_to_num(e)[cells.place], 1.0), a[pair]
        # E: without a click an impression was examined with probability e(1 − a) ÷ (1 − ea).
        read = clicked + (shown - clicked) * at * (1 - attracts) / np.maximum(1 - at * attracts, _NEAR)
        examined = cells.of_pairs(read)
        counted = examined > 0
        fitted = regress(matrix[counted], np.minimum(of_pair[counted] / examined[counted], 1.0), examined[counted])
        a = np.clip(fitted(matrix), _NEAR, 1 - _NEAR)
        expected = cells.of_places(shown * a[pair])
        following = np.divide(at_place, expected, out=np.full(cells.places, np.nan), where=expected > 0)
        following = following / following[0]
        moved, e = np.nanmax(np.abs(following - e)), following
        if moved < _TOLERANCE:
            return e, a, True
    return e, a, False
