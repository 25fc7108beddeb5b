"""``ltr serve`` with the movies: latency, capacity, memory and start over HTTP, and whether it orders as the evaluation does.

One worker on one processor, the load generator on the other. Queries are never asked twice, so each is encoded; each asks for 100
movies with all features of the set. Requests of the closed loops may take as long as they like; the open loop keeps the
service's own deadline, and what came back degraded is told.
"""

import os
import statistics
from pathlib import Path

import movies
import numpy as np
import polars as pl
from load import Outcome, at_once, at_times, in_turn
from served import GENERATOR, SHOWN, asked, newest, resident, service, settled, vector_bytes, workers

from ltr import bundle as bundles
from ltr.bundle import Bundle
from ltr.experiment.split import split
from ltr.features import compute
from ltr.serving import Candidate, Request, load
from ltr.serving.rerank import rerank

WARM, ALONE, SECONDS, CLIENTS, STARTS = 200, 2_000, 10.0, 4, 3
PATIENT_MS = 5_000


def measure() -> list[dict[str, object]]:
    """Exactness first, then what it costs."""
    path = newest()
    bundle = bundles.load(path)
    orders, bits, queries = _beside_evaluation(bundle, path)
    os.sched_setaffinity(0, GENERATOR)
    requests = asked(bundle, WARM + ALONE + 20_000, deadline_ms=PATIENT_MS)
    own = asked(bundle, len(requests))
    started = []
    for _ in range(STARTS - 1):
        with service() as running:
            started.append(running.seconds)
    with service() as running:
        started.append(running.seconds)
        memory = max(resident(pid) for pid in workers(running)) - vector_bytes(path)
        settled(running)
        in_turn(running.port, requests[:WARM])
        alone = in_turn(running.port, requests[WARM : WARM + ALONE])
        rest = iter(requests[WARM + ALONE :])
        burst, seconds = at_once(running.port, list(rest), clients=CLIENTS, seconds=SECONDS)
        capacity = sum(_ranked(one) for one in burst) / seconds
        used = WARM + ALONE + len(burst)
        half = at_times(running.port, own[used : used + int(capacity / 2 * 2 * SECONDS)], rate=capacity / 2)
        after = max(resident(pid) for pid in workers(running)) - vector_bytes(path)
    what = f"/rerank, {SHOWN} movies, {len(bundle.feature_set.names)} features, a query never seen, one worker"
    return [
        _figure(f"queries of the test split that are served in another order than they are evaluated in (of {queries:,})", orders, "", 0),
        _figure("feature values of theirs that differ in any bit", bits, "", 0),
        _figure(f"{what}, one client: median", _ms(alone, 50), "ms", 2.5),
        _figure(f"{what}, one client: 99th percentile", _ms(alone, 99), "ms", 5),
        _figure(f"{what}: answers a second on one processor", round(capacity), "/s", 350, better="higher"),
        _figure(f"{what}, open loop at half of that: median", _ms(half, 50), "ms", None),
        _figure(f"{what}, open loop at half of that: 99th percentile", _ms(half, 99), "ms", 10),
        _figure("answers of that open loop that were degraded", round(1 - sum(map(_ranked, half)) / len(half), 5), "", None),
        _figure("from start to ready, median", round(statistics.median(started), 2), "s", 5),
        _figure("memory of a worker beyond the vectors, once ready", round(memory / 1e6), "MB", 400),
        _figure("memory of a worker beyond the vectors, after the load", round(after / 1e6), "MB", 400),
    ]  # fmt: skip


def _beside_evaluation(bundle: Bundle, path: Path) -> tuple[int, int, int]:
    """Of the experiment's test queries: orders that differ, feature values that differ, queries."""
    dataset = movies.load()
    test = split({query_id: query_id for query_id in dataset.queries["query_id"]}, bundle.experiment.split)[0].test
    queries = dataset.queries.filter(pl.col("query_id").is_in(list(test))).select("query_id", "query")
    judged = dataset.judgments.join(queries, on="query_id").select("query_id", "query", "product_id")
    candidates = bundle.retriever().score(judged.sort("query_id"))
    candidates = candidates.join(queries, on="query_id", maintain_order="left")
    orders = bundles.rerank(bundle, candidates)
    features = compute.pairs(candidates, bundle.feature_set, bundle.state, encoder=bundle.encoder, memory=bundle.memory)
    names = list(bundle.ranker.features)
    serving = load(path)
    differ = bits = 0
    for (query_id,), own in features.group_by("query_id", maintain_order=True):
        query = own["query"][0]
        request = Request(query, tuple(map(Candidate, own["product_id"])), features=True)
        answer = rerank(serving, request)
        offline = orders.filter(pl.col("query_id") == query_id)["product_id"].to_list()
        differ += [one.product_id for one in answer.results] != offline
        served = {one.place: one.features or {} for one in answer.results}
        rows = [[_number(served[place][name]) for name in names] for place in range(own.height)]
        online = np.array(rows, dtype=np.float32)
        batch = own.select(names).to_numpy().astype(np.float32)
        same = (online.view(np.int32) == batch.view(np.int32)) | (np.isnan(online) & np.isnan(batch))
        bits += int(np.count_nonzero(~same))
    return differ, bits, queries.height


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _ranked(outcome: Outcome) -> bool:
    """Whether the ranker ordered it: every candidate, and not degraded."""
    return outcome.status == 200 and outcome.told["degraded"] is False and len(outcome.told["results"]) == SHOWN


def _ms(outcomes: list[Outcome], percentile: float) -> float:
    return round(float(np.percentile([one.seconds for one in outcomes], percentile)) * 1_000, 2)


def _figure(what: str, value: float, unit: str, bound: float | None, *, better: str | None = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bound": bound} | ({"better": better} if better else {})
