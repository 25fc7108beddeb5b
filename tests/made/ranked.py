"""Graded lists for rankers: one feature that tells the grade, one that tells nothing, one with gaps."""

import numpy as np
import polars as pl


def shop(queries: int = 60, *, size: int = 12, seed: int = 1, weights: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = queries * size
    useful = rng.normal(size=rows)
    gaps = np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows))
    grade = np.clip(np.round(useful + 0.4 * rng.normal(size=rows) + 1), 0, 3)
    keys = {
        "query_id": [f"q{row // size:03}" for row in range(rows)],
        "product_id": [f"p{row}" for row in range(rows)],
        "grade": grade.astype(np.float32),
        "weight": (rng.uniform(0.1, 1, size=rows) if weights else np.ones(rows)).astype(np.float32),
    }
    columns = {"useful": useful, "noise": rng.normal(size=rows), "gaps": gaps}
    return pl.DataFrame(keys | {name: column.astype(np.float32) for name, column in columns.items()})
