"""What Prometheus is told of a service: how long answers take, why they are degraded, how old the state is.

Every series but those of single statuses is there from the start, at 0, so that rates work from the first failure on. Labels
have values of the fixed lists here, whatever a caller sends. Shares are ratios of counters, which add up over workers and
restarts: ``rate(ltr_unknown_candidates_total[5m]) / rate(ltr_candidates_total[5m])``.

Workers count together through the directory PROMETHEUS_MULTIPROC_DIR (``tallies``), and any of them tells for all. The client
library's own files in that directory are not used: it finds pages for them while it counts, which on a full disk ends the
process, leaves files behind for each worker that ever lived, and costs an answer ten times as much.

>>> metrics = Metrics()
>>> metrics.refused("/rerank", 401)
>>> [line for line in metrics.render()[0].decode().splitlines() if "401" in line]
['ltr_requests_total{endpoint="/rerank",status="401"} 1.0']
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric

from ltr.serving.answer import Answer, Reason, Stage
from ltr.serving.tallies import Read, Tallies

if TYPE_CHECKING:
    from ltr.serving.loaded import Serving

__all__ = ["DIRECTORY", "ENDPOINTS", "Facts", "Metrics"]

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

ANSWERING: Final = ("/rerank", "/search", "/explain", "/v1/rerank", "/v2/rerank", "/elastic/rerank")
ENDPOINTS: Final = (
    *ANSWERING, "/health/live", "/health/ready", "/metrics", "/version", "/openapi.json", "/",
    "/admin/reload", "/admin/rollback", "/admin/off", "/admin/on",
)  # fmt: skip
STATUSES: Final = (200, 400, 401, 404, 405, 408, 409, 413, 422, 499, 500, 503)
STAGES: Final = (*(stage.value for stage in Stage), "retrieve")
REASONS: Final = tuple(reason.value for reason in Reason if reason is not Reason.NONE)
LANES: Final = ("rerank", "people")
OTHER: Final = "other"

# Seconds; of whole requests up to the longest deadline that one may ask for.
_REQUEST: Final = (.0005, .001, .0015, .002, .0025, .003, .004, .005, .0075, .01, .015, .02, .03, .05, .1, .25, .5, 1.0, 2.5, 10.0)  # fmt: skip
_STAGE: Final = (.0001, .00015, .0002, .0003, .0005, .00075, .001, .0015, .002, .003, .005, .0075, .01, .02, .03, .05, .1, .25, .5, 1.0)  # fmt: skip

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Facts:
    """What a worker serves.

    Args:
        model: SHA-256 of the model part, or the beginning of it.
        state: the state's version, likewise.
        since: what the state knows is of before then; None where nobody knows.
    """

    model: str = ""
    state: str = ""
    since: datetime | None = None

    @classmethod
    def of(cls, serving: Serving) -> Facts:
        """Of a loaded bundle. A state that read no behaviour is as old as the catalogue that it was made of."""
        manifest, state = serving.manifest, serving.bundle.state
        entry = manifest.get("state")
        renewed = entry.get("renewed") if isinstance(entry, dict) else None
        return cls(serving.model, state.version, _time(state.as_of or renewed or manifest.get("created")))


_PLAIN: Final = ("off", "answer_log_dropped", "log_dropped")


class _Slots:
    """Where each series has its numbers: a histogram its buckets' and the sum, anything else one."""

    def __init__(self) -> None:
        self.size = 0
        self.names: list[str] = []
        self.latency = {name: self._take(f"latency {name}", len(_REQUEST) + 2) for name in (*ANSWERING, OTHER)}
        self.stage = {name: self._take(f"stage {name}", len(_STAGE) + 2) for name in STAGES}
        self.status = {
            (endpoint, status): self._take(f"status {endpoint} {status}")
            for endpoint in (*ENDPOINTS, OTHER)
            for status in (*STATUSES, OTHER)
        }
        self.ok = {endpoint: self.status[endpoint, 200] for endpoint in (*ENDPOINTS, OTHER)}
        self.reason = {name: self._take(f"reason {name}") for name in REASONS}
        self.waiting, self.stuck = ({name: self._take(f"{of} {name}") for name in LANES} for of in ("waiting", "stuck"))
        self.circuit = {(lane, stage): self._take(f"circuit {lane} {stage}") for lane in LANES for stage in STAGES}
        self.one = {name: self._take(name) for name in ("candidates", "unknown", "missing", "measured", *_PLAIN)}
        # Workers whose numbers mean something else are not added up.
        told = repr((self.names, _REQUEST, _STAGE))
        self.kind = f"ltr-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def _take(self, name: str, count: int = 1) -> int:
        at, self.size = self.size, self.size + count
        self.names.append(name)
        return at


_SLOTS: Final = _Slots()
_CANDIDATES, _UNKNOWN, _MISSING, _MEASURED = (
    _SLOTS.one[name] for name in ("candidates", "unknown", "missing", "measured")
)


@dataclass(frozen=True, eq=False)
class Metrics:
    """The counters of one worker; thread-safe, and nothing that it is told makes it raise.

    Args:
        facts: of what is served.
        directory: where workers count together; None = as PROMETHEUS_MULTIPROC_DIR says, else alone.
        now: seconds since 1970.
    """

    facts: Facts = field(default_factory=Facts)
    directory: Path | None = None
    now: Callable[[], float] = time.time
    _tallies: Tallies = field(init=False, repr=False)
    _registry: CollectorRegistry = field(default_factory=CollectorRegistry, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Join those who count."""
        told = os.environ.get(DIRECTORY)
        directory = self.directory or (Path(told) if told else None)
        object.__setattr__(self, "_tallies", Tallies(_SLOTS.size, directory, kind=_SLOTS.kind))
        self._registry.register(self)

    def answered(self, endpoint: str, answer: Answer, seconds: float, *, retrieve: float | None = None) -> None:
        """Count an answer, with status 200.

        Args:
            endpoint: its path.
            answer: with its stages' seconds.
            seconds: from the request's arrival.
            retrieve: seconds of retrieval, of a search.
        """
        values, results = self._tallies.values, answer.results
        latency = _SLOTS.latency.get(endpoint)
        if latency is None:
            latency = _SLOTS.latency[OTHER]
        with self._lock:
            values[latency + bisect_left(_REQUEST, seconds)] += 1
            values[latency + len(_REQUEST) + 1] += seconds
            values[_SLOTS.ok.get(endpoint, _SLOTS.ok[OTHER])] += 1
            for stage, took in answer.timings.items():
                self._took(stage, took)
            if retrieve is not None:
                self._took("retrieve", retrieve)
            values[_CANDIDATES] += len(results)
            values[_UNKNOWN] += answer.unknown
            if answer.reason:
                values[_SLOTS.reason[answer.reason]] += 1
            elif results:
                values[_MISSING] += answer.missing
                values[_MEASURED] += 1

    def refused(self, endpoint: str, status: int) -> None:
        """Count a request that was not answered with candidates, by its status."""
        at = (endpoint if endpoint in _SLOTS.ok else OTHER, status if status in STATUSES else OTHER)
        with self._lock:
            self._tallies.values[_SLOTS.status[at]] += 1

    def state(self, facts: Mapping[str, Any]) -> None:
        """Say how this worker is; to be said each second or so, since any worker may be asked for all.

        Args:
            facts: as ``Answering.state`` has them, and beside them ``answer_log_dropped`` and ``log_dropped``, lines since the
                worker's start. What is left out stays as it was.
        """
        values = self._tallies.values
        with self._lock, suppress(TypeError, ValueError, AttributeError):
            for name in _PLAIN:
                if name in facts:
                    values[_SLOTS.one[name]] = float(facts[name])
            for lane in LANES:
                told = facts.get(lane, {})
                for name, slots in (("waiting", _SLOTS.waiting), ("stuck", _SLOTS.stuck)):
                    if name in told:
                        values[slots[lane]] = float(told[name])
                if "open" in told:
                    for stage in STAGES:
                        values[_SLOTS.circuit[lane, stage]] = float(stage in told["open"])

    def render(self) -> tuple[bytes, str]:
        """All workers' numbers in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), _CONTENT_TYPE

    def _took(self, stage: str, seconds: float) -> None:
        at = _SLOTS.stage.get(stage)
        if at is not None:
            self._tallies.values[at + bisect_left(_STAGE, seconds)] += 1
            self._tallies.values[at + len(_STAGE) + 1] += seconds

    def collect(self) -> Iterator[Metric]:
        """The families, for a registry."""
        read = self._tallies.read()
        yield from _counted(read.sums)
        yield from _felt(read)
        if self.facts.since is not None:
            age = self.now() - self.facts.since.timestamp()
            told = "Age of what the state knows of products and shoppers: since the time that it was made as of."
            yield GaugeMetricFamily("ltr_state_age_seconds", told, value=age)
        bundle = GaugeMetricFamily("ltr_bundle_info", "What is served; always 1.", labels=("model", "state"))
        bundle.add_metric((self.facts.model[:12], self.facts.state[:12]), 1)
        yield bundle


def _counted(sums: list[float]) -> Iterator[Metric]:
    """What only grows."""
    latency = HistogramMetricFamily(
        "ltr_request_duration_seconds", "From a request's arrival to its answer.", labels=("endpoint",)
    )
    for endpoint, at in _SLOTS.latency.items():
        latency.add_metric((endpoint,), *_histogram(sums, at, _REQUEST))
    yield latency
    stages = HistogramMetricFamily("ltr_stage_duration_seconds", "Of one stage of an answer.", labels=("stage",))
    for stage, at in _SLOTS.stage.items():
        stages.add_metric((stage,), *_histogram(sums, at, _STAGE))
    yield stages
    requests = CounterMetricFamily(
        "ltr_requests", "Requests by what they were answered with.", labels=("endpoint", "status")
    )
    for (endpoint, status), at in _SLOTS.status.items():
        if sums[at] or (status == 200 and endpoint in ANSWERING):
            requests.add_metric((endpoint, str(status)), sums[at])
    yield requests
    degraded = CounterMetricFamily(
        "ltr_degraded_answers", "Answers in the order received, by the reason why.", labels=("reason",)
    )
    for reason, at in _SLOTS.reason.items():
        degraded.add_metric((reason,), sums[at])
    yield degraded
    shed = "Answers in the order received because more was asked than can be answered in time."
    yield CounterMetricFamily("ltr_shed_answers", shed, value=sums[_SLOTS.reason[Reason.OVERLOADED]])
    yield CounterMetricFamily("ltr_candidates", "Candidates received.", value=sums[_CANDIDATES])
    yield CounterMetricFamily("ltr_unknown_candidates", "Candidates that the catalogue lacks.", value=sums[_UNKNOWN])
    missing = "Share of feature values that are missing, by answer that the ranker gave."
    yield SummaryMetricFamily(
        "ltr_missing_features_ratio", missing, count_value=int(sums[_MEASURED]), sum_value=sums[_MISSING]
    )
    for name, told in (
        ("answer_log_dropped", "Answers that could not be written to the answer log."),
        ("log_dropped", "Log lines that could not be written."),
    ):
        yield CounterMetricFamily(f"ltr_{name}_lines", told, value=sums[_SLOTS.one[name]])


def _felt(read: Read) -> Iterator[Metric]:
    """How the living are."""

    def over(at: int) -> float:
        return sum(one[at] for one in read.living)

    queue = GaugeMetricFamily("ltr_queue_length", "Requests that wait for their turn.", labels=("lane",))
    stuck = GaugeMetricFamily("ltr_stuck_threads", "Threads given up because they did not come back.", labels=("lane",))
    circuits = GaugeMetricFamily(
        "ltr_open_circuits", "Workers that leave a stage alone, which failed again and again.", labels=("lane", "stage")
    )
    for lane in LANES:
        queue.add_metric((lane,), over(_SLOTS.waiting[lane]))
        stuck.add_metric((lane,), over(_SLOTS.stuck[lane]))
    for key, at in _SLOTS.circuit.items():
        circuits.add_metric(key, over(at))
    yield from (queue, stuck, circuits)
    off = max(one[_SLOTS.one["off"]] for one in read.living)
    yield GaugeMetricFamily("ltr_switched_off", "1 where the kill switch is on.", value=off)


def _histogram(sums: list[float], at: int, bounds: tuple[float, ...]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets, and the sum."""
    total, buckets = 0.0, []
    for place, bound in enumerate((*bounds, math.inf)):
        total += sums[at + place]
        buckets.append(("+Inf" if bound == math.inf else repr(bound), total))
    return buckets, sums[at + len(bounds) + 1]


def _time(told: object) -> datetime | None:
    """ISO 8601 to a time; without a zone it is UTC."""
    try:
        given = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return given if given.tzinfo else given.replace(tzinfo=UTC)
