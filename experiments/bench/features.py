"""Features of ``movie_search``: text features of many queries at once, and all features of one query.

Queries are the dataset's own, each asked once; the state is warm, as other queries have been asked of it before. Query
vectors are given: encoding is no part of either. The peer is bm25s, which scores the whole catalogue for each query, on the
same terms and for the same pairs, one thread each.
"""

import statistics
import time
from pathlib import Path

import bm25s
import numpy as np
from movies import Drawn, Lists, judged, lists, load, remembered

from ltr.datasets import Dataset
from ltr.features import FeatureSet, State, build, matrix, read_feature_set
from ltr.retrieval import embedded
from ltr.text import analyzer

SET = Path(__file__).parents[2] / "features" / "movie_search.toml"
LIST, TURNS, QUERIES = 24, 5, 1_600
SHOWN, REQUESTS, WARM = 100, 1_000, 100
# The lists of one chunk: ltr.features.compute gives each chunk one thread.
ALONE = 8_192 // LIST


def measure() -> list[dict[str, object]]:
    """Pairs a second of the text features, the ratio to bm25s, and the latency of a request."""
    dataset, feature_set = load(), read_feature_set(SET)
    state = build(dataset.products, feature_set, fields=dataset.fields, encoder=Drawn())
    asked = judged(dataset, LIST)
    text = textual(feature_set)
    named = ", ".join(sorted({feature.kind for feature in text.features}))
    what = f"text features of movie_search ({len(text.features)}: {named}), {LIST} products a query"
    latencies = _latencies(dataset, feature_set, state)
    request = f"movie_search ({len(feature_set.features)} features), one query × {SHOWN} products, vectors given"
    return [
        {
            "what": what,
            "value": round(_throughput(text, state, asked), -3),
            "unit": "pairs/s",
            "bound": 250_000,
            "better": "higher",
        },
        {
            "what": f"bm25 of the title ÷ bm25s get_scores, the same {ALONE * LIST:,} pairs, one thread",
            "value": round(_beside_bm25s(feature_set.part(["title_bm25"]), state, asked), 3),
            "unit": "×",
            "bound": None,
        },
        {"what": f"{request}: median", "value": round(statistics.median(latencies), 2), "unit": "ms", "bound": 1.5},
        {
            "what": f"{request}: 99th percentile",
            "value": round(float(np.percentile(latencies, 99)), 2),
            "unit": "ms",
            "bound": None,
        },
    ]


def textual(feature_set: FeatureSet) -> FeatureSet:
    """The kinds that compare the query's words and spelling with the product's; their copies of list scope are no text."""
    wanted = (f for f in feature_set.features if f.definition.form in ("tokens", "strings"))
    return feature_set.part(f.name for f in wanted if f.definition.scope == "query_product")


def _throughput(feature_set: FeatureSet, state: State, asked: Lists) -> float:
    """Median over turns; a turn before them warms the state."""
    rates = []
    for turn in range(TURNS + 1):
        own = asked[turn * QUERIES : (turn + 1) * QUERIES]
        start = time.perf_counter()
        matrix(feature_set, state, own.queries, own.ids, own.offsets)
        rates.append(len(own.ids) / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def _beside_bm25s(feature_set: FeatureSet, state: State, asked: Lists) -> float:
    """Median of each turn's ratio of seconds."""
    analyse = analyzer(feature_set.analyzer)
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index([analyse(title or "") for title in state.products["title"].to_list()], show_progress=False)
    ratios = []
    for turn in range(TURNS + 1):
        own = asked[turn * ALONE : (turn + 1) * ALONE]
        rows = state.rows(own.ids).reshape(-1, own.size)
        seconds = {}
        for which in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
            start = time.perf_counter()
            if which == "ours":
                ours = matrix(feature_set, state, own.queries, own.ids, own.offsets)
            else:
                theirs = np.concatenate(
                    [index.get_scores(analyse(q))[near] for q, near in zip(own.queries, rows, strict=True)]
                )
            seconds[which] = time.perf_counter() - start
        _check(ours[:, 0], theirs)
        ratios.append(seconds["ours"] / seconds["theirs"])
    return statistics.median(ratios[1:])


def _check(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal but for a constant factor, (k1 + 1), which some versions of BM25 have and Lucene's does not."""
    correlation = np.corrcoef(np.nan_to_num(ours), theirs)[0, 1]
    if not correlation > 0.999:
        raise SystemExit(f"bm25 and bm25s disagree: their correlation is {correlation:.4f}")


def _latencies(dataset: Dataset, feature_set: FeatureSet, state: State) -> list[float]:
    """Milliseconds of each request, over lists that the retrieval order would ask for."""
    retriever = embedded.build(
        dataset.products,
        fields=dataset.text_fields,
        analyzer=feature_set.analyzer,
        match={},
        vectors=None,
        encoder=None,
    )
    queries = dataset.queries.sample(2 * (REQUESTS + WARM), seed=7)
    found = lists(retriever.retrieve(queries, depth=SHOWN), dataset, SHOWN)
    asked = found[0 : min(REQUESTS + WARM, len(found.queries))]
    memory = remembered(dataset, state, but=asked)
    vectors = Drawn().encode_queries(asked.queries)
    milliseconds = []
    for at in range(len(asked.queries)):
        own = asked[at : at + 1]
        start = time.perf_counter()
        matrix(feature_set, state, own.queries, own.ids, own.offsets, query_vectors=vectors[at : at + 1], memory=memory)
        milliseconds.append((time.perf_counter() - start) * 1_000)
    return milliseconds[WARM:]
