"""Match features read from a real Elasticsearch: of judged lists for training, and along with a search.

The movies are indexed as ``ltr index`` does it, and the queries are real. The plain ways are what one writes by hand, through the
same connection: an ``_msearch`` of 50 searches after another, each clause named under a filter of the list's ids, as Elastic's own
notebook logs features but for its batches; and the search itself without any feature. Ways take turns, query by query or
turn by turn, and their values are compared.
"""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import movies
import numpy as np
import polars as pl
from indexing import engine_url

from ltr.datasets import Dataset
from ltr.engine import Engine, connect, fill
from ltr.engine.indexing import index
from ltr.retrieval import elastic
from ltr.retrieval.elastic import Elastic

LISTS, LIST, TURNS, BATCH = 1_000, 24, 5, 50
REQUESTS, WARM, DEPTH = 600, 100, 100
FIELDS = {"title": 3.0, "overview": 1.0, "director": 1.0, "actors": 1.0, "characters": 1.0}
CLAUSES = {
    f"{field}_match": {"match": {field: {"query": "{{query}}"}}}
    for field in ("title", "overview", "tags", "genres", "director", "actors", "characters")
} | {"title_phrase": {"match_phrase": {"title": {"query": "{{query}}"}}}}


def measure() -> list[dict[str, object]]:
    """Medians of ratios; the plain way is 1."""
    dataset = movies.load()
    with engine_url() as url, indexed(url, dataset) as retriever:
        logging = _logging(retriever, movies.judged(dataset, LIST)[0:LISTS])
        queries = dataset.queries["query"].sample(REQUESTS + WARM, seed=7).to_list()
        plain, ours, page = _serving(retriever, queries)
    what = f"{len(CLAUSES)} match features of {LIST} judged movies a query"
    search = f"a search of {DEPTH} hits with {len(CLAUSES)} match features"
    return [
        {
            "what": f"{what}: speed ÷ that of a plain _msearch loop of {BATCH}",
            "value": round(statistics.median(mine / peer for mine, peer in logging), 2),
            "unit": "×",
            "bound": 1.3,
            "better": "higher",
        },
        {
            "what": f"{what}",
            "value": round(statistics.median(mine for mine, _ in logging), -1),
            "unit": "queries/s",
            "bound": None,
            "better": "higher",
        },
        {
            "what": f"{search} ÷ the plain search: medians",
            "value": round(statistics.median(ours) / statistics.median(plain), 2),
            "unit": "×",
            "bound": 1.5,
        },
        {"what": f"{search}: median", "value": round(statistics.median(ours), 2), "unit": "ms", "bound": None},
        {
            "what": f"{search}: 99th percentile",
            "value": round(float(np.percentile(ours, 99)), 2),
            "unit": "ms",
            "bound": None,
        },
        {
            "what": f"a page of 10 documents out of {DEPTH} candidates ÷ the plain page of 10: medians",
            "value": round(statistics.median(page[0]) / statistics.median(page[1]), 2),
            "unit": "×",
            "bound": None,
        },
    ]


@contextmanager
def indexed(url: str, dataset: Dataset) -> Iterator[Elastic]:
    """The movies in an index of our own, which is removed afterwards."""
    engine, name = connect(url), f"ltr-bench-elastic-{os.getpid()}"
    try:
        index(engine, name, dataset.products, fields=dataset.fields)
        engine.call("POST", f"/{name}/_forcemerge", params={"max_num_segments": 1}, timeout_s=300)
        yield elastic.build(
            engine, name, fields=FIELDS, combine="sum", clauses=CLAUSES, missing=dict.fromkeys(CLAUSES, 0.0)
        )
    finally:
        for made in engine.call("GET", f"/{name}*/_alias", params={"expand_wildcards": "all"}):
            engine.call("DELETE", f"/{made}")
        engine.close()


def _logging(retriever: Elastic, asked: movies.Lists) -> list[tuple[float, float]]:
    """Queries a second of both ways, turn by turn, after a turn that warms the server up."""
    lists = np.repeat(np.arange(len(asked.queries)), asked.size)
    pairs = pl.DataFrame({"query_id": lists, "product_id": asked.ids}).with_columns(
        pl.col("query_id").cast(pl.String).str.zfill(6), query=pl.Series(asked.queries).gather(lists)
    )
    rates = []
    for turn in range(TURNS + 1):
        seconds = {}
        for which in ("ours", "plain") if turn % 2 else ("plain", "ours"):
            start = time.perf_counter()
            if which == "ours":
                ours = retriever.score(pairs)
            else:
                plain = _loop(retriever.target.engine, retriever.target.index, asked)
            seconds[which] = time.perf_counter() - start
        _check(ours.sort("query_id", "product_id"), pairs.with_columns(**plain).sort("query_id", "product_id"))
        if turn:
            rates.append((len(asked.queries) / seconds["ours"], len(asked.queries) / seconds["plain"]))
    return rates


def _loop(engine: Engine, name: str, asked: movies.Lists) -> dict[str, pl.Series]:
    """What a user would write by hand."""
    values = np.zeros((len(asked.ids), len(CLAUSES)), dtype=np.float32)
    for start in range(0, len(asked.queries), BATCH):
        own = asked[start : min(start + BATCH, len(asked.queries))]
        lines: list[object] = []
        for number, query in enumerate(own.queries):
            ids = own.ids[number * own.size : (number + 1) * own.size]
            should = [{"bool": {"_name": feature, "must": [clause]}} for feature, clause in CLAUSES.items()]
            wanted = {"bool": {"filter": [{"ids": {"values": ids}}], "should": fill(should, query=query)}}
            lines += [{}, {"size": len(ids), "_source": False, "track_total_hits": False, "query": wanted}]
        answer = engine.call("POST", f"/{name}/_msearch", lines, params={"include_named_queries_score": True})
        for number, each in enumerate(answer["responses"]):
            first = (start + number) * own.size
            rows = {product: first + place for place, product in enumerate(asked.ids[first : first + own.size])}
            for hit in each["hits"]["hits"]:
                for column, feature in enumerate(CLAUSES):
                    values[rows[hit["_id"]], column] = hit.get("matched_queries", {}).get(feature, 0.0)
    return {f"match.{feature}": pl.Series(values[:, column]) for column, feature in enumerate(CLAUSES)}


def _check(ours: pl.DataFrame, plain: pl.DataFrame) -> None:
    features = [f"match.{feature}" for feature in CLAUSES]
    if not ours.select(features).equals(plain.select(features)):
        raise SystemExit("the two ways do not read the same values")


def _serving(
    retriever: Elastic, queries: Sequence[str]
) -> tuple[list[float], list[float], tuple[list[float], list[float]]]:
    """Milliseconds of the plain search, of ours, and of both where a page of 10 documents is wanted."""
    engine, path = retriever.target.engine, retriever.target.path("_search")
    body = dict(retriever.lists.body or {})
    hits = body | {"_source": False, "size": DEPTH}
    ways = {
        "plain": lambda query: engine.call("POST", path, fill(hits, query=query)),
        "ours": lambda query: retriever.search(query, body=hits, depth=DEPTH),
        "page": lambda query: retriever.search(query, body=body, depth=DEPTH, size=10),
        "plain page": lambda query: engine.call("POST", path, fill(body, query=query)),
    }
    milliseconds: dict[str, list[float]] = {way: [] for way in ways}
    for query in queries:
        for way, call in ways.items():
            start = time.perf_counter()
            call(query)
            milliseconds[way].append((time.perf_counter() - start) * 1_000)
    kept = {way: times[WARM:] for way, times in milliseconds.items()}
    return kept["plain"], kept["ours"], (kept["page"], kept["plain page"])
