"""What a shop sees through the client while the service suffers: every list whole, in time, and soon well again.

Each fault lasts for FAULT_S seconds of steady calls, is taken away, and is followed by WELL_S seconds of calls, all through
``ltr.client`` with its timeout. Counted are lists that came back with an id lost or repeated, the 99.9th percentile of the
calls' times, and how long after the fault's end the first of WELL answers in a row came that were the ranker's. In an overload, another process asks for
several times what the service can answer, at times that luck chose.
"""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from load import at_once, at_times
from served import GENERATOR, SHOWN, Service, asked, newest, service, settled, workers

from ltr import bundle as bundles
from ltr.bundle import Bundle
from ltr.client import Client

WELL = 20
RATE, FAULT_S, WELL_S, TIMEOUT_MS, MARGIN_MS = 130, 8.0, 3.0, 50, 5
ADMIN = "an-admin-key-of-the-benchmark"


@dataclass
class Calls:
    """Of one fault: seconds of each call, lists that were not whole, when each answer came and whether it was degraded."""

    seconds: list[float] = field(default_factory=list)
    broken: int = 0
    answers: list[tuple[float, bool]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)


def measure() -> list[dict[str, object]]:
    """A row for the worst of all faults, then a few for each."""
    os.sched_setaffinity(0, GENERATOR)
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    path = newest()
    bundle = bundles.load(path)
    figures, broken = list[dict[str, object]](), 0
    for name, suffer in faults(bundle, path):
        calls, ended = suffer()
        late = float(np.percentile(calls.seconds, 99.9)) * 1_000
        recovery = _recovery(calls, ended)
        broken += calls.broken
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(calls.reasons.items())) or "none degraded"
        what = f"{name} ({len(calls.seconds):,} calls; {reasons})"
        figures += [
            _figure(f"{what}: 99.9th percentile", round(late, 1), "ms", TIMEOUT_MS + MARGIN_MS),
            _figure(f"{name}: well again after", round(recovery, 2), "s", 1),
        ]
    return [_figure("lists with an id lost or repeated, under all faults", broken, "", 0), *figures]


def faults(bundle: Bundle, path: Path) -> Iterator[tuple[str, Callable[[], tuple[Calls, float]]]]:
    """Each by name, and what runs it."""
    with tempfile.TemporaryDirectory() as home:
        told = Path(home) / "fault"
        told.write_text("", encoding="utf-8")
        own = Path(home) / "bundle"
        shutil.copytree(path, own)
        os.environ |= {"LTR_BENCH_FAULTS": str(told), "PYTHONPATH": str(Path(__file__).parent / "faulty")}
        os.environ["LTR_SERVE_ADMIN_KEYS"] = ADMIN
        with service(bundle=own) as running:
            settled(running)
            capacity = _capacity(running, bundle)
            for part, kind in (
                ("encoder", "hang"), ("encoder", "raise"), ("encoder", "slow"),
                ("scorer", "hang"), ("scorer", "raise"), ("scorer", "nonsense"),
            ):  # fmt: skip
                struck = f"{part} {kind}"
                yield (
                    f"{part}: {kind}",
                    lambda struck=struck: _during(
                        running, bundle, lambda: _write(told, struck), lambda: _write(told, "")
                    ),
                )
            for times in (3, 10):
                yield f"{times} × overload", lambda times=times: _overloaded(running, bundle, times * capacity)
            yield (
                "the worker stopped (SIGSTOP)",
                lambda: _during(
                    running, bundle, lambda: _signal(running, signal.SIGSTOP), lambda: _signal(running, signal.SIGCONT)
                ),
            )
            yield (
                "a reload of a corrupt bundle",
                lambda: _during(running, bundle, lambda: _corrupt_reload(running, own), lambda: None),
            )
        with service(["--workers", "2", "--answer-log", "/dev/full"], bundle=path) as running:
            settled(running)
            yield "disk full for the answers' log", lambda: _during(running, bundle, lambda: None, lambda: None)
            yield (
                "kill -9 of one of two workers",
                lambda: _during(running, bundle, lambda: os.kill(workers(running)[0], signal.SIGKILL), lambda: None),
            )


def _during(
    running: Service, bundle: Bundle, begin: Callable[[], object], end: Callable[[], object]
) -> tuple[Calls, float]:
    """Calls while a fault lasts, and after it; and when it ended."""
    calls = Calls()
    with _client(running) as client:
        _steady(client, bundle, Calls(), 1.0)
        begin()
        _steady(client, bundle, calls, FAULT_S)
        end()
        ended = time.monotonic()
        _steady(client, bundle, calls, WELL_S)
    return calls, ended


def _overloaded(running: Service, bundle: Bundle, rate: float) -> tuple[Calls, float]:
    requests = asked(bundle, 2_000)
    flood = multiprocessing.get_context("fork").Process(target=_flood, args=(running.port, requests, rate), daemon=True)
    calls = Calls()
    with _client(running) as client:
        flood.start()
        time.sleep(0.5)
        _steady(client, bundle, calls, FAULT_S)
        flood.kill()
        flood.join()
        ended = time.monotonic()
        _steady(client, bundle, calls, WELL_S)
    return calls, ended


def _flood(port: int, requests: list[bytes], rate: float) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 10)
    at_times(port, requests * int(rate * FAULT_S * 2 / len(requests) + 1), rate=rate, patience=2.0)


def _steady(client: Client, bundle: Bundle, calls: Calls, seconds: float) -> None:
    """Calls at a steady rate; one that comes late does not push the others back."""
    ids = bundle.state.products["product_id"].to_list()
    luck = random.Random(len(calls.seconds))
    start = time.monotonic()
    for turn in range(int(seconds * RATE)):
        if (left := start + turn / RATE - time.monotonic()) > 0:
            time.sleep(left)
        candidates = luck.sample(ids, SHOWN)
        query = f"{luck.choice(ids)} {turn} {luck.random()}"
        since = time.monotonic()
        answer = client.rerank(query, candidates, timeout_ms=TIMEOUT_MS)
        calls.seconds.append(time.monotonic() - since)
        calls.broken += sorted(answer.candidates) != sorted(candidates)
        calls.answers.append((time.monotonic(), answer.degraded))
        if answer.degraded:
            calls.reasons[answer.reason] = calls.reasons.get(answer.reason, 0) + 1


def _recovery(calls: Calls, ended: float) -> float:
    """Seconds after the fault's end; all of the time where it never was well again."""
    after = [(when - ended, degraded) for when, degraded in calls.answers if when > ended]
    for at in range(len(after) - WELL + 1):
        if not any(degraded for _, degraded in after[at : at + WELL]):
            return after[at][0]
    return after[-1][0]


@contextmanager
def _client(running: Service) -> Iterator[Client]:
    client = Client(f"http://127.0.0.1:{running.port}", timeout_ms=TIMEOUT_MS)
    try:
        yield client
    finally:
        client.close()


def _capacity(running: Service, bundle: Bundle) -> float:
    done, seconds = at_once(running.port, asked(bundle, 4_000, deadline_ms=5_000), clients=4, seconds=5.0)
    return len(done) / seconds


def _write(file: Path, text: str) -> None:
    """Replace it whole, so that nobody reads half."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(file)


def _signal(running: Service, which: signal.Signals) -> None:
    for pid in workers(running):
        os.kill(pid, which)


def _corrupt_reload(running: Service, bundle: Path) -> None:
    """Cut a file of the bundle that serves in half, and have it loaded again by somebody else meanwhile."""
    file = next((bundle / "model" / "encoder").glob("*.onnx"))
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    request = f"import urllib.request as u; u.urlopen(u.Request({_admin(running, 'reload')!r}, method='POST', headers={{'Authorization': 'Bearer {ADMIN}'}}))"
    subprocess.Popen([sys.executable, "-c", request], stderr=subprocess.DEVNULL)


def _admin(running: Service, action: str) -> str:
    return f"http://127.0.0.1:{running.port}/admin/{action}"


def _figure(what: str, value: float, unit: str, bound: float | None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bound": bound}
