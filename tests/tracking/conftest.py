"""A training run as the experiment room would describe it, small and made up."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from ltr.tracking import Record

MEASURES = ("nDCG@10", "RR", "P(rel=2)@10")
PER_QUERY = {"retrieval": [0.4, 0.5, math.nan, 0.9], "lightgbm": [0.8, 0.5, math.nan, 0.7]}


def estimate(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05, "n": 3}


def comparison(ranker: str, difference: float, p: float) -> dict[str, Any]:
    return {
        "ranker": ranker,
        "baseline": "retrieval",
        "measure": "nDCG@10",
        "difference": difference,
        "low": difference - 0.02,
        "high": difference + 0.02,
        "p_value": p / 2,
        "p_holm": p,
        "n": 3,
        "proven": p < 0.05,
    }


@pytest.fixture(scope="session")
def record() -> Record:
    return Record(
        experiment="shop",
        ranker="lightgbm",
        started="2026-11-21T10:15:00+00:00",
        question="Does it beat the shop's own order?",
        dataset="shop",
        dataset_digest="0123456789abcdef" * 4,
        feature_set="product_search",
        feature_set_digest="fedcba9876543210" * 4,
        gains="exponential",
        empty="skip",
        labels={"retrieval": "retrieval order", "lightgbm": "LightGBM lambdarank"},
        measures={
            "retrieval": {"nDCG@10": estimate(0.6), "RR": estimate(0.5), "P(rel=2)@10": estimate(math.nan)},
            "cosine": {"nDCG@10": estimate(0.62), "RR": estimate(0.55), "P(rel=2)@10": estimate(0.2)},
            "lightgbm": {"nDCG@10": estimate(0.75), "RR": estimate(0.7), "P(rel=2)@10": estimate(math.nan)},
        },
        comparisons=[comparison("cosine", 0.02, 0.3), comparison("lightgbm", 0.15, 0.00002)],
        curve=[0.5, 0.6, math.nan, 0.7, 0.65],
        rounds=4,
        importance={f"feature_{place:02}": float(place) for place in range(25)},
        queries={"fit": 840, "dev": 120, "test": 240},
        dropped={"one_document": 3, "all_equal": 0},
        parameters={
            "ranker.num_leaves": 31,
            "evaluation.measures": list(MEASURES),
            "split.folds": None,
            "data.columns.Preis (€)": "price",
            "tracking.uri": "postgresql://ltr:s3cret@db/mlflow",
        },
        seconds={"fit and evaluate": 12.5, "save": 0.5},
        revision="a" * 40 + "+dirty",
        tags={"engine": "embedded"},
    )


@pytest.fixture(scope="session")
def per_query(tmp_path_factory: pytest.TempPathFactory) -> str:
    frames = [
        pl.DataFrame({"query_id": [f"q{i}" for i in range(4)], "nDCG@10": values, "ranker": [row] * 4})
        for row, values in PER_QUERY.items()
    ]
    path = tmp_path_factory.mktemp("results") / "per_query.parquet"
    pl.concat(frames).write_parquet(path)
    return str(path)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    model = tmp_path_factory.mktemp("shop bundle") / "model"
    model.mkdir(parents=True)
    (model / "ranker.txt").write_text("tree\n")
    return str(model.parent)
