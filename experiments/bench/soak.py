"""Serving for long, and asked for anything: a million lists to the pure function, ten thousand over HTTP, ten minutes of load.

Requests are drawn: known and unknown products, repeated ids, pins, exclusions, wrong and missing match scores, queries of any
characters. An answer that is no permutation of what was sent, or whose pins and exclusions are not where they belong, counts.
Memory growth is that of the worker between the end of the second minute and the end of the last.
"""

import multiprocessing
import os
import random
import string
import time
from pathlib import Path

from load import at_once, at_times, posted
from served import GENERATOR, asked, newest, resident, service, workers

from ltr import bundle as bundles
from ltr.serving import Request, load, parse_request
from ltr.serving.rerank import rerank

LISTS, HTTP, SECONDS, SETTLED_S, RATE = 1_000_000, 10_000, 600.0, 120.0, 60
QUERIES = 400


def measure() -> list[dict[str, object]]:
    """Violations are counted, not shown: any is a fault to look for with the seed."""
    path = newest()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        shares = pool.map(_violations, [(str(path), seed, LISTS // 2) for seed in (1, 2)])
    os.sched_setaffinity(0, GENERATOR)
    bundle = bundles.load(path)
    ids = bundle.state.products["product_id"].to_list()
    luck = random.Random(3)
    drawn = [_drawn(luck, ids) for _ in range(HTTP)]
    with service() as running:
        done, _ = at_once(running.port, [posted("/rerank", one) for one in drawn], clients=1, seconds=1e9)
        wrong = sum(
            one.status != 200 or not _whole(request, [each["product_id"] for each in one.told["results"]])
            for request, one in zip(drawn, done, strict=True)
        )
        requests, memory = asked(bundle, int(SECONDS * RATE)), []
        start, degraded, sent = time.monotonic(), 0, 0
        while (gone := time.monotonic() - start) < SECONDS:
            part = requests[sent : sent + RATE * 10]
            answers = at_times(running.port, part, rate=RATE, seed=sent)
            sent += len(part)
            degraded += sum(one.status != 200 or one.told["degraded"] is not False for one in answers)
            memory.append((gone, sum(map(resident, workers(running)))))
            if not part:
                break
    settled = next(size for when, size in memory if when >= SETTLED_S)
    return [
        _figure(f"answers that are no permutation as asked, of {LISTS:,} drawn requests to the function", sum(shares), "", 0),
        _figure(f"the same of {HTTP:,} over HTTP, or not 200", wrong, "", 0),
        _figure(f"memory after {SECONDS / 60:g} minutes at {RATE} requests/s ÷ after {SETTLED_S / 60:g}", round(memory[-1][1] / settled, 3), "×", 1.02),
        _figure(f"answers of those minutes that were degraded, of {sent:,}", degraded, "", None),
    ]  # fmt: skip


def _violations(task: tuple[str, int, int]) -> int:
    path, seed, count = task
    serving = load(Path(path))
    ids, luck, wrong = serving.bundle.state.products["product_id"].to_list(), random.Random(seed), 0
    for _ in range(count):
        drawn = _drawn(luck, ids)
        request: Request = parse_request(drawn)
        wrong += not _whole(drawn, [one.product_id for one in rerank(serving, request).results])
    return wrong


def _whole(asked_for: dict[str, object], answered: list[str]) -> bool:
    sent = [one if isinstance(one, str) else one["product_id"] for one in asked_for["candidates"]]
    excluded = set(asked_for["excluded"])
    last = [one in excluded for one in answered]
    pins = [one for one in asked_for["pinned"] if one in sent and one not in excluded]
    # A pinned product stands first as often as it was sent.
    first = [one for one in dict.fromkeys(pins) for _ in range(sent.count(one))]
    return sorted(sent) == sorted(answered) and last == sorted(last) and answered[: len(first)] == first


def _drawn(luck: random.Random, ids: list[str]) -> dict[str, object]:
    candidates: list[object] = [_candidate(luck, ids) for _ in range(luck.choice((0, 1, 2, 3, 5, 8)))]
    names = [one if isinstance(one, str) else one["product_id"] for one in candidates]
    return {
        "query": f"{luck.choice(WORDS)} {luck.choice(WORDS)}",
        "candidates": candidates,
        "pinned": luck.sample(names, luck.randint(0, min(2, len(names)))) if luck.random() < 0.3 else [],
        "excluded": luck.sample(names, luck.randint(0, min(2, len(names)))) if luck.random() < 0.3 else [],
    }


def _candidate(luck: random.Random, ids: list[str]) -> object:
    name = luck.choice(ids) if luck.random() < 0.8 else "".join(luck.choices(string.printable[:94] + "äß日", k=6))
    if luck.random() < 0.7:
        return name
    match = {luck.choice(("title_match", "unheard_of")): luck.choice((None, 0.0, -3.5, 1e30))}
    return {"product_id": name, "score": luck.choice((None, 1.5)), "match": match, "fields": {"title": "x"}}


# So few different words that the encoder remembers the queries of a run.
WORDS = [
    "".join(random.Random(at).choices(string.ascii_lowercase + "äß日🙂'\"\\%0123456789", k=1 + at % 9))
    for at in range(int(QUERIES**0.5))
]


def _figure(what: str, value: float, unit: str, bound: float | None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bound": bound}
