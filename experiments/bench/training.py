"""LightGBM through the product beside plain LightGBM: the same matrix, parameters, rounds and early stopping."""

import statistics
import time

import lightgbm
import numpy as np
import polars as pl

from ltr.config import RankerConfig
from ltr.measures import gain_table, scale
from ltr.rankers import fit
from ltr.rankers.lightgbm import parameters

QUERIES, PRODUCTS, FEATURES, ROUNDS, TURNS = 4_000, 24, 40, 200, 5


def measure() -> list[dict[str, object]]:
    """Median of each turn's ratio; both see the same data in the same turn."""
    rng = np.random.default_rng(7)
    names = [f"f{i}" for i in range(FEATURES)]
    train, dev = _pairs(rng, QUERIES, names), _pairs(rng, QUERIES // 8, names)
    gains = gain_table("linear", scale("binary"))
    config = RankerConfig(rounds=ROUNDS, patience=ROUNDS)
    ratios = []
    for turn in range(TURNS):
        order = ("ours", "plain") if turn % 2 else ("plain", "ours")
        seconds = {}
        for which in order:
            start = time.perf_counter()
            if which == "ours":
                fit(config, train, dev, features=names, gains=gains)
            else:
                _plain(config, train, dev, names, gains)
            seconds[which] = time.perf_counter() - start
        ratios.append(seconds["ours"] / seconds["plain"])
    return [
        {
            "what": f"fit through ltr ÷ plain LightGBM ({QUERIES * PRODUCTS:,} × {FEATURES}, {ROUNDS} rounds)",
            "value": round(statistics.median(ratios), 3),
            "unit": "×",
            "bound": 1.1,
        }
    ]


def _pairs(rng: np.random.Generator, queries: int, names: list[str]) -> pl.DataFrame:
    """Pairs whose grade follows from the features with noise."""
    rows = queries * PRODUCTS
    matrix = rng.normal(size=(rows, len(names))).astype(np.float32)
    utility = matrix[:, :5].sum(axis=1) + rng.normal(scale=2.0, size=rows)
    ids = np.repeat(np.arange(queries), PRODUCTS)
    frame = pl.DataFrame(matrix, schema=names)
    return frame.with_columns(
        query_id=pl.Series([f"q{i:06}" for i in ids]),
        query=pl.lit("words"),
        product_id=pl.Series([f"p{i}" for i in range(rows)]),
        grade=pl.Series((utility > 3).astype(np.float32)),
        weight=pl.lit(1.0, dtype=pl.Float32),
    )


def _plain(config: RankerConfig, train: pl.DataFrame, dev: pl.DataFrame, names: list[str], gains: np.ndarray) -> None:
    """What a user would write by hand with the same parameters."""
    datasets = []
    for frame in (train, dev):
        matrix, grades = frame.select(names).to_numpy(), frame["grade"].to_numpy()
        group = [PRODUCTS] * (frame.height // PRODUCTS)
        datasets.append((matrix, grades, group))
    chosen = parameters(config, features=names, gains=gains, cutoff=10, rows=train.height)
    (x, y, g), (dev_x, dev_y, dev_g) = datasets
    fitted = lightgbm.Dataset(x, label=y, group=g, params=chosen, free_raw_data=True)
    held = lightgbm.Dataset(dev_x, label=dev_y, group=dev_g, reference=fitted, params=chosen)
    stop = lightgbm.early_stopping(config.patience, verbose=False)
    lightgbm.train(chosen, fitted, num_boost_round=config.rounds, valid_sets=[held], callbacks=[stop])
