"""The movies into a real Elasticsearch, through ``ltr index`` beside the client's own bulk helpers in the same run.

All make the same index: ours with its digest, its checks and the move of the alias, theirs as their documentation shows them, from
the same rows in memory, with refreshes off while they load and one refresh and count at the end. Vectors are drawn at random
(``movies.Drawn``): what they say makes no difference to what sending them costs. The server is that of LTR_ELASTICSEARCH_URL,
or a private one that ends with the benchmark.
"""

import os
import shutil
import socket
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import movies
import numpy as np
from elasticsearch import Elasticsearch, helpers

from ltr.datasets import Dataset
from ltr.datasets.download import cache_home
from ltr.engine import connect, server
from ltr.engine.documents import Catalogue, vector_field
from ltr.engine.indexing import index

TURNS, FIELD = 3, "title"


def measure() -> list[dict[str, object]]:
    """Medians of the turns' ratios; each turn begins with another of the three."""
    dataset = movies.load()
    vectors = movies.Drawn().encode(dataset.products[FIELD].to_list())
    with engine_url() as url:
        rates = _rates(url, dataset, vectors)
    ours = rates.pop("ours")
    documents = f"{dataset.products.height:,} movies with vectors of {movies.DIMENSION} dimensions"
    return [
        {
            "what": f"{documents} into an index through ltr: speed ÷ that of the client's {name}",
            "value": round(statistics.median(mine / peer for mine, peer in zip(ours, theirs, strict=True)), 2),
            "unit": "×",
            "bound": 0.9,
            "better": "higher",
        }
        for name, theirs in rates.items()
    ] + [
        {
            "what": f"{documents} into an index through ltr",
            "value": round(statistics.median(ours)),
            "unit": "documents/s",
            "bound": None,
            "better": "higher",
        }
    ]


@contextmanager
def engine_url() -> Iterator[str]:
    """The URL of a real Elasticsearch: LTR_ELASTICSEARCH_URL, or a private one of 1 GiB that is ended and removed."""
    if given := os.environ.get("LTR_ELASTICSEARCH_URL"):
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = Path(tempfile.mkdtemp(prefix="ltr-elasticsearch-"))
    directory.chmod(0o755)
    try:
        yield server.start(directory=directory, port=port, cache=server.home(cache_home())).url
    finally:
        server.stop(directory)
        shutil.rmtree(directory)


def _rates(url: str, dataset: Dataset, vectors: np.ndarray) -> dict[str, list[float]]:
    """Documents a second of each way, turn by turn."""
    engine, client = connect(url), Elasticsearch(url)
    ways: dict[str, Callable[[str], object]] = {
        "ours": lambda name: index(engine, name, dataset.products, fields=dataset.fields, vectors={FIELD: vectors}),
        "helpers.bulk": lambda name: _theirs(client, name, dataset, vectors, helpers.bulk),
        "helpers.parallel_bulk": lambda name: _theirs(client, name, dataset, vectors, helpers.parallel_bulk),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    order = deque(ways)
    for turn in range(TURNS + 1):
        for way in order:
            name = f"ltr-bench-indexing-{os.getpid()}-{way.replace('_', '-').replace('.', '-')}"
            try:
                start = time.perf_counter()
                ways[way](name)
                seconds = time.perf_counter() - start
            finally:
                for made in engine.call("GET", f"/{name}*/_alias", params={"expand_wildcards": "all"}):
                    engine.call("DELETE", f"/{made}")
            # The first turn warms the server up.
            if turn:
                rates[way].append(dataset.products.height / seconds)
        order.rotate()
    engine.close()
    client.close()
    return rates


def _theirs(
    client: Elasticsearch, name: str, dataset: Dataset, vectors: np.ndarray, helper: Callable[..., Any]
) -> None:
    """What a user would write by hand."""
    body = Catalogue(dataset.products, dataset.fields, "standard", {FIELD: vectors}).body(
        shards=1, flavour="elasticsearch"
    )
    client.indices.create(index=name, settings=body["settings"], mappings=body["mappings"])
    actions = (
        {"_index": name, "_id": row.pop("product_id"), "_source": {**row, vector_field(FIELD): vector.tolist()}}
        for row, vector in zip(dataset.products.iter_rows(named=True), vectors, strict=True)
    )
    done = helper(client.options(request_timeout=120), actions)
    # bulk returns a pair, parallel_bulk an iterator that has to be run to its end.
    if not isinstance(done, tuple):
        deque(done, maxlen=0)
    client.indices.refresh(index=name)
    if client.count(index=name)["count"] != dataset.products.height:
        raise SystemExit(f"{helper.__name__} has lost documents")
