"""What engines would score, beside the boosters themselves: rows aimed at every threshold, LightGBM and XGBoost, 10 to 1,000 trees.

The documents are those that ``ltr export`` writes, read back by the emulation of the engines' evaluators. Each row arrives at a split
drawn from all and has there the last value that goes one way, the first that goes the other, or a float32 further; a third of
the rows have absent values where the booster was fitted on such. The tolerance is trees × one unit in the last place of
the largest sum on the way.
"""

import json

import numpy as np
import polars as pl

from ltr import rankers
from ltr.config import RankerConfig
from ltr.export import emulation, native, parity, plugin, rows, splits

ROWS, SIZE = 100_000, 50
TREES = (10, 100, 1_000)
FEATURES = tuple(f"f{at}" for at in range(12))
GAINS = np.array([0.0, 1.0, 3.0, 7.0])


def measure() -> list[dict[str, object]]:
    """For each road: how far from the booster as a share of the tolerance, and pairs out of order."""
    figures = []
    cases = [
        (ranker, empty)
        for library in ("lightgbm", "xgboost")
        for empty in (0.0, 0.2)
        for ranker in fitted(library, empty)
    ]
    for kind in ("plugin", "native"):
        found = [
            compare(ranker, kind, absent=0.3 if empty else 0.0, seed=at) for at, (ranker, empty) in enumerate(cases)
        ]
        count = f"{kind}, {len(found) * ROWS:,} rows on thresholds, {TREES[0]} to {TREES[-1]:,} trees"
        for what, column, unit, bound in (
            ("largest difference ÷ tolerance", "share", "×", 1.0),
            ("largest difference", "largest", "", None),
            ("pairs swapped beyond twice the difference", "beyond", "pairs", 0),
            ("pairs swapped", "swapped", "pairs", None),
        ):
            values = [each[column] for each in found]
            value = sum(values) if unit == "pairs" else float(f"{max(values):.3g}")
            figures.append({"what": f"{count}: {what}", "value": value, "unit": unit, "bound": bound})
    return figures


def fitted(library: str, empty: float) -> list[rankers.Ranker]:
    """Rankers of so many rounds each, on data of which this share is missing."""
    rng = np.random.default_rng(7)
    matrix = np.abs(rng.normal(size=(10_000, len(FEATURES)))).astype(np.float32)
    matrix[:, ::3] = np.round(4 * matrix[:, ::3])
    useful = np.sin(3 * matrix[:, 1]) + matrix[:, 0] * (matrix[:, 2] > 0.7) / 4 + np.log1p(matrix[:, 3])
    matrix[rng.random(matrix.shape) < empty] = np.nan
    grade = np.clip(np.round(useful + rng.normal(size=len(matrix)) + 0.5), 0, 3).astype(np.float32)
    ids = {"query_id": np.arange(len(matrix)) // SIZE, "product_id": np.arange(len(matrix))}
    pairs = pl.DataFrame(ids | {"grade": grade, "weight": np.ones_like(grade)}).with_columns(
        pl.col("query_id", "product_id").cast(pl.String).str.zfill(6),
        *(pl.Series(name, matrix[:, at]) for at, name in enumerate(FEATURES)),
    )
    config = RankerConfig(library=library, learning_rate=0.05)
    fit = {"features": FEATURES, "gains": GAINS}
    return [rankers.fit(config, pairs, None, rounds=count, **fit).ranker for count in TREES]


def compare(ranker: rankers.Ranker, kind: str, *, absent: float, seed: int) -> dict[str, float]:
    """One ranker and its export on rows of their own."""
    forest = splits.forest_for(ranker)
    made = plugin.definition(forest) if kind == "plugin" else native.body(native.ensemble(forest), [])
    trees = emulation.read(kind, json.loads(json.dumps(made)), FEATURES)
    shift = plugin.shift_of(forest) if kind == "plugin" else 0.0
    matrix = rows.aimed(trees, ROWS, seed=seed, absent=absent)
    expected = ranker.predict(matrix) + shift
    scores, peak = trees.score(matrix, generation=emulation.GENERATIONS[kind][0])
    largest = float(np.abs(scores - expected).max())
    swapped, beyond = parity.swaps(expected, scores, np.arange(0, ROWS, SIZE), largest)
    tolerance = len(trees.roots) * float(np.spacing(np.float32(peak)))
    return {"share": largest / tolerance, "largest": largest, "swapped": swapped, "beyond": beyond}
