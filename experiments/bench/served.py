"""The movies' bundle behind HTTP, as the benchmarks of serving start and ask it."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import movies
import polars as pl
from load import posted

from ltr.bundle import Bundle
from ltr.bundle_manifest import read_manifest, state_directory
from ltr.errors import BundleError
from ltr.experiment.split import split

EXPERIMENT = "msrd-int8"
SHOWN = 100  # candidates
SERVER, GENERATOR = {0}, {1}  # processors


@dataclass(frozen=True)
class Service:
    """A running service and how long it took from its start until it was ready."""

    process: subprocess.Popen[str]
    port: int
    seconds: float

    def get(self, path: str) -> dict[str, object]:
        """What it says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.loads(answer.read())


def newest() -> Path:
    """The bundle that was trained last."""
    found = sorted((Path(__file__).parents[2] / "bundles").glob(f"{EXPERIMENT}-2*"))
    if not found:
        raise BundleError(f"no bundle of {EXPERIMENT} is here", hint=f"make train EXPERIMENT={EXPERIMENT}")
    return found[-1]


def settled(running: Service) -> None:
    """Wait until /search is answered: its index is built in the first seconds after the service is ready, beside the first answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{running.port}/search", b'{"query": "heist"}')
    for _ in range(300):
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except urllib.error.HTTPError:
            time.sleep(0.2)
    raise BundleError("the service does not search", hint="run ltr serve by hand to see why")


def workers(service: Service) -> list[int]:
    """The processes that answer."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text(encoding="ascii")
    return [int(one) for one in children.split()]


@contextmanager
def service(
    command: Sequence[str] = (), *, bundle: Path | None = None, cores: set[int] | None = None
) -> Iterator[Service]:
    """Start it on processors of its own, wait until it is ready, stop it at the end."""
    told = [str(bundle or newest()), "--port", "0", *command]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ltr.cli", "serve", *told],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores or SERVER),
    )
    try:
        yield Service(process, _port(process), time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait(timeout=30)


def asked(bundle: Bundle, count: int, *, deadline_ms: float | None = None) -> list[bytes]:
    """So many requests of SHOWN movies each, no query twice: the movies' queries, then two of them in one."""
    dataset = movies.load()
    parts = split({query_id: query_id for query_id in dataset.queries["query_id"]}, bundle.experiment.split)[0]
    own = dataset.queries.filter(pl.col("query_id").is_in(list(parts.test)))["query"].unique(maintain_order=True)
    queries = [*own, *(f"{one} {other}" for one, other in zip(own, own.reverse(), strict=True))]
    while len(queries) < count:
        queries += [f"{one} {len(queries)}" for one in own]
    ids = bundle.state.products["product_id"].to_list()
    more = {} if deadline_ms is None else {"deadline_ms": deadline_ms}
    return [
        posted(
            "/rerank",
            {"query": query, "candidates": [ids[(at * 7_919 + k * 97) % len(ids)] for k in range(SHOWN)]} | more,
        )
        for at, query in enumerate(queries[:count])
    ]


def vector_bytes(path: Path) -> int:
    """Of the product vectors, which are memory-mapped."""
    return sum(
        file.stat().st_size
        for file in state_directory(path, read_manifest(path)).rglob("*.npy")
        if "vector" in file.name
    )


def resident(pid: int) -> int:
    """Bytes of a process that are in memory, those that it shares divided by who shares them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1_024


def _port(process: subprocess.Popen[str]) -> int:
    """What it says once it is ready."""
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise BundleError(f"the service ended with code {process.wait()}", hint="run ltr serve by hand to see why")
