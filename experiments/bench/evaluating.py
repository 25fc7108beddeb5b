"""``evaluate`` beside ir-measures with pytrec_eval: the same run, judgments and measures, and equal values.

Ours starts from frames and checks them. The peer's own form, dictionaries of dictionaries, is made before its clock starts.
"""

import statistics
import time

import ir_measures
import numpy as np
import polars as pl

from ltr.evaluation import evaluate
from ltr.measures import gain_table, parse, scale

# Of POOL products a query SHOWN are shown and SHOWN judged: a fifth of either is not among the other.
QUERIES, SHOWN, POOL, CATALOGUE, TURNS = 100_000, 100, 120, 200_003, 3
MEASURES = {
    "nDCG@10": ir_measures.nDCG @ 10,
    "RR": ir_measures.RR,
    "AP": ir_measures.AP,
    "P@10": ir_measures.P @ 10,
    "Recall@100": ir_measures.R @ 100,
}


def measure() -> list[dict[str, object]]:
    """Median of each turn's ratio; values that differ end the benchmark."""
    run, judgments = _frames(np.random.default_rng(7))
    docs, qrels = _nested(run, "score", pl.Float64), _nested(judgments, "grade", pl.Int64)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(TURNS):
        for which in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
            start = time.perf_counter()
            if which == "ours":
                ours = _ours(run, judgments)
            else:
                theirs = list(ir_measures.evaluator(list(MEASURES.values()), qrels).iter_calc(docs))
            seconds[which].append(time.perf_counter() - start)
    ratio = statistics.median(mine / peer for mine, peer in zip(seconds["ours"], seconds["theirs"], strict=True))
    size = f"{QUERIES:,} queries × {SHOWN}, {len(MEASURES)} measures"
    return [
        {"what": f"evaluate ÷ ir-measures, {size}", "value": round(ratio, 3), "unit": "×", "bound": 1.0},
        {
            "what": f"evaluate, {size}",
            "value": round(statistics.median(seconds["ours"]), 2),
            "unit": "s",
            "bound": None,
        },
        {
            "what": "evaluate and ir-measures, largest difference of a value",
            "value": _furthest(ours, theirs),
            "unit": "",
            "bound": 1e-9,
        },
    ]


def _ours(run: pl.DataFrame, judgments: pl.DataFrame) -> pl.DataFrame:
    grades = scale("0-3")
    gains = gain_table("linear", grades)
    return evaluate(run, judgments, [parse(name) for name in MEASURES], gains=gains, scale=grades, empty="zero")


def _frames(rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A run in random order and judgments of overlapping products, all ids strings."""
    first, step = rng.integers(CATALOGUE, size=(QUERIES, 1)), rng.integers(1, CATALOGUE, size=(QUERIES, 1))
    pool = (first + np.arange(POOL) * step) % CATALOGUE  # distinct: the catalogue's size is prime
    query_ids = pl.Series([f"q{i:06}" for i in range(QUERIES)]).gather(np.repeat(np.arange(QUERIES), SHOWN))
    names = pl.Series([f"B{i:09}" for i in range(CATALOGUE)])
    run = pl.DataFrame(
        {
            "query_id": query_ids,
            "product_id": names.gather(rng.permuted(pool[:, :SHOWN], axis=1).ravel()),
            "rank": np.tile(np.arange(1, SHOWN + 1, dtype=np.uint32), QUERIES),
            "score": np.tile(-np.arange(SHOWN, dtype=np.float32), QUERIES),
        }
    )
    judgments = pl.DataFrame(
        {
            "query_id": query_ids,
            "product_id": names.gather(pool[:, -SHOWN:].ravel()),
            "grade": rng.integers(0, 4, size=QUERIES * SHOWN).astype(np.float32),
            "weight": np.ones(QUERIES * SHOWN, dtype=np.float32),
        }
    )
    return run, judgments


def _nested(frame: pl.DataFrame, column: str, dtype: type[pl.DataType]) -> dict[str, dict[str, float]]:
    nested: dict[str, dict[str, float]] = {}
    for query_id, product_id, value in zip(
        frame["query_id"], frame["product_id"], frame[column].cast(dtype), strict=True
    ):
        nested.setdefault(query_id, {})[product_id] = value
    return nested


def _furthest(ours: pl.DataFrame, theirs: list[ir_measures.Metric]) -> float:
    places = {query_id: place for place, query_id in enumerate(ours["query_id"])}
    distances = []
    for name, peer in MEASURES.items():
        values = np.full(ours.height, np.nan)
        found = [(places[each.query_id], each.value) for each in theirs if each.measure == peer]
        values[[place for place, _ in found]] = [value for _, value in found]
        distances.append(np.abs(values - ours[name].to_numpy()))
    return float(np.max(distances))
