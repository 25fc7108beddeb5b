"""One query at a time through MiniLM, on one thread: float32, int8, and the road of sentence-transformers itself.

Queries are the movie dataset's own, each asked of all three in turn, so that noise meets all alike. What int8 costs in nDCG
is what the experiments ``msrd`` and ``msrd-int8`` differ by.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from movies import load

from ltr import encoders
from ltr.cli.output import cache_home
from ltr.config import EncoderConfig
from ltr.encoders.quiet import quiet
from ltr.encoders.resolve import find

MODEL = "all-MiniLM-L6-v2"
QUERIES, WARM = 500, 20


def measure() -> list[dict[str, object]]:
    """Median and 99th percentile of a query, ratios to sentence-transformers, and how far int8 is from float32."""
    texts = load().queries.sample(QUERIES + WARM, seed=7)["query"].to_list()
    roads = {"float32": _ours("float32"), "int8": _ours("int8"), "sentence-transformers": _theirs()}
    vectors: dict[str, list[Any]] = {road: [] for road in roads}
    seconds: dict[str, list[float]] = {road: [] for road in roads}
    for text in texts:
        for road, encode in roads.items():
            # Once before, so that a road does not pay for the memory that the one before it has filled the caches with.
            encode(text)
            start = time.perf_counter()
            vectors[road].append(encode(text))
            seconds[road].append(time.perf_counter() - start)
    kept = {road: own[WARM:] for road, own in seconds.items()}
    figures: list[dict[str, object]] = []
    for road in ("float32", "int8"):
        ratio = statistics.median(kept["sentence-transformers"]) / statistics.median(kept[road])
        what = f"one query through {MODEL}, {road}, one thread"
        figures += [
            _figure(f"{what}: speed ÷ that of sentence-transformers", round(ratio, 1), "×"),
            _figure(f"{what}: median", round(statistics.median(kept[road]) * 1_000, 2), "ms"),
            _figure(f"{what}: 99th percentile", round(float(np.percentile(kept[road], 99)) * 1_000, 2), "ms"),
        ]
    cosines = np.einsum("ij,ij->i", np.array(vectors["int8"]), np.array(vectors["float32"]))
    return [*figures, _figure("cosine of int8 and float32 queries, mean", round(float(cosines.mean()), 4), "")]


def _ours(precision: Any) -> Callable[[str], Any]:
    # The engine itself: the file of vectors before it would remember each query.
    engine = encoders.load(EncoderConfig(model=MODEL, precision=precision), cache=cache_home()).engine
    return lambda text: engine.encode_queries([text])[0]


def _theirs() -> Callable[[str], Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    with quiet():
        model = SentenceTransformer(str(find(MODEL)), device="cpu", local_files_only=True)
    return lambda text: model.encode([text], normalize_embeddings=True, show_progress_bar=False)[0]


def _figure(what: str, value: float, unit: str) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bound": None}
