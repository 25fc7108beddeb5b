"""What Prometheus is told: by its own rules, by all workers together, and with labels of fixed lists only."""

import asyncio
import math
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from ltr.serving import Reason, Stage, parse_request
from ltr.serving.answer import Answer, as_received
from ltr.serving.answering import Answering
from ltr.serving.metrics import ENDPOINTS, Facts, Metrics
from ltr.serving.settings import Settings

TIMINGS = {Stage.MATCH: 0.0002, Stage.ENCODE: 0.0011, Stage.FEATURES: 0.0008, Stage.SCORE: 0.00015}
SUFFIXES = {
    "histogram": {"_bucket", "_sum", "_count"},
    "summary": {"_sum", "_count"},
    "counter": {"_total"},
    "gauge": {""},
}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def answer(count=3, reason=Reason.NONE, **keys):
    request = parse_request({"query": "shoe", "candidates": [f"p{at}" for at in range(count)]})
    return Answer(as_received(request), reason, **({"timings": TIMINGS} | keys))


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.render()[0].decode())}


def values(metrics):
    """(name, labels) -> value of every sample."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families(metrics).values()
        for sample in family.samples
    }


def busy(metrics):
    """Tell it a little of everything."""
    for endpoint in (*ENDPOINTS, "/no such"):
        metrics.answered(endpoint, answer(unknown=1, missing=0.25), 0.0024, retrieve=0.03)
        metrics.refused(endpoint, 422)
    for reason in Reason:
        metrics.answered("/rerank", answer(reason=reason), 12.0)
    metrics.state({"off": True, "rerank": {"waiting": 2, "stuck": 1, "open": ["encode"]}, "answer_log_dropped": 5})
    return metrics


@pytest.mark.parametrize("told", [lambda metrics: metrics, busy], ids=["at the start", "after use"])
def test_what_is_rendered_keeps_the_rules_of_prometheus(told):
    metrics = told(Metrics(Facts("a" * 64, "b" * 64, datetime(2026, 1, 1, tzinfo=UTC))))
    content, media_type = metrics.render()
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    text = content.decode()
    assert text.endswith("\n")
    assert len(set(re.findall(r"^# TYPE (\S+)", text, re.M))) == len(re.findall(r"^# TYPE", text, re.M))
    seen = set()
    for family in families(metrics).values():
        assert re.fullmatch(r"ltr_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith(".")
        # Base units: seconds and ratios.
        assert not re.search(r"_(ms|milliseconds|percent|minutes)\b", family.name)
        for sample in family.samples:
            assert sample.name.removeprefix(family.name) in SUFFIXES[family.type]
            assert math.isfinite(sample.value)
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in seen
            seen.add(key)
        if family.type == "histogram":
            check_histogram(family)


def check_histogram(family):
    def series(sample):
        return sorted((name, value) for name, value in sample.labels.items() if name != "le")

    for labels, samples in groupby(family.samples, series):
        told = {name: list(some) for name, some in groupby(samples, lambda sample: sample.name)}
        buckets = [sample.value for sample in told[f"{family.name}_bucket"]]
        bounds = [float(sample.labels["le"]) for sample in told[f"{family.name}_bucket"]]
        assert bounds == sorted(set(bounds))
        assert bounds[-1] == math.inf
        assert buckets == sorted(buckets)
        assert told[f"{family.name}_count"][0].value == buckets[-1], labels


def test_what_is_told_is_open_metrics_too():
    metrics = busy(Metrics(Facts("a", "b", datetime(2026, 1, 1, tzinfo=UTC))))
    registry = metrics._registry
    told = {family.name: family.type for family in openmetrics_families(generate_latest(registry).decode())}
    assert told == {name: family.type for name, family in families(metrics).items()}


def test_every_reason_stage_and_endpoint_is_there_at_0_so_that_rates_work_from_the_first_failure_on():
    found = values(Metrics())
    for reason in Reason:
        if reason is not Reason.NONE:
            assert found["ltr_degraded_answers_total", reason.value] == 0
    for stage in (*(stage.value for stage in Stage), "retrieve"):
        assert found["ltr_stage_duration_seconds_count", stage] == 0
    for endpoint in ("/rerank", "/search", "/explain", "/v1/rerank", "/v2/rerank", "/elastic/rerank"):
        assert found["ltr_requests_total", endpoint, "200"] == 0
        assert found["ltr_request_duration_seconds_count", endpoint] == 0
    for name in ("shed_answers", "candidates", "unknown_candidates", "answer_log_dropped_lines", "log_dropped_lines"):
        assert found[f"ltr_{name}_total",] == 0


def test_an_answer_is_counted_once_in_everything_that_it_says():
    metrics = Metrics()
    metrics.answered("/rerank", answer(count=10, unknown=3, missing=0.25), 0.0024)
    metrics.answered("/rerank", answer(count=4, missing=0.5), 0.0076)
    metrics.answered("/rerank", answer(count=2, reason=Reason.ENCODER_FAILED, timings={Stage.MATCH: 1.5}), 0.03)
    found = values(metrics)
    assert found["ltr_requests_total", "/rerank", "200"] == 3
    assert found["ltr_candidates_total",] == 10 + 4 + 2
    assert found["ltr_unknown_candidates_total",] == 3
    # A degraded answer has no features to be missing.
    assert found["ltr_missing_features_ratio_sum",] == 0.25 + 0.5
    assert found["ltr_missing_features_ratio_count",] == 2
    assert found["ltr_degraded_answers_total", "encoder_failed"] == 1
    assert sum(value for key, value in found.items() if key[0] == "ltr_degraded_answers_total") == 1
    assert found["ltr_request_duration_seconds_sum", "/rerank"] == pytest.approx(0.0024 + 0.0076 + 0.03)
    assert found["ltr_stage_duration_seconds_count", "match"] == 3
    assert found["ltr_stage_duration_seconds_count", "encode"] == 2
    assert found["ltr_stage_duration_seconds_bucket", "1.0", "match"] == 2
    assert found["ltr_stage_duration_seconds_bucket", "+Inf", "match"] == 3


@pytest.mark.parametrize("seconds", [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.5, 1.0])
def test_a_stage_is_told_to_within_a_factor_of_two_and_a_half_from_a_tenth_of_a_millisecond_to_a_second(seconds):
    metrics = Metrics()
    metrics.answered("/rerank", answer(timings={Stage.SCORE: seconds}), 1)
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in families(metrics)["ltr_stage_duration_seconds"].samples
        if sample.labels.get("stage") == "score" and "le" in sample.labels
    }
    within = min(bound for bound, count in buckets.items() if count)
    below = max((bound for bound, count in buckets.items() if not count), default=0.00005)
    # A bound belongs to its own bucket.
    assert within == seconds
    assert within <= 2.5 * below


def test_retrieval_is_a_stage_of_a_search():
    metrics = Metrics()
    metrics.answered("/search", answer(), 0.05, retrieve=0.02)
    metrics.answered("/search", replace(answer(), timings={**TIMINGS, "retrieve": 0.03, "other": 1.0}), 0.05)
    found = values(metrics)
    assert found["ltr_stage_duration_seconds_count", "retrieve"] == 2
    assert found["ltr_stage_duration_seconds_sum", "retrieve"] == pytest.approx(0.05)


def test_callers_cannot_make_series():
    metrics = busy(Metrics())
    before = values(metrics).keys()
    for number in range(1_000):
        metrics.answered(f"/rerank/{number}", answer(), 0.001)
        metrics.refused(f'/"{number}"\n', 422)
    metrics.refused("/rerank", 999)
    found = values(metrics)
    assert found.keys() - before == {("ltr_requests_total", "/rerank", "other")}
    assert found["ltr_requests_total", "422", "other"] == 1_000 + 1
    assert found["ltr_request_duration_seconds_count", "other"] == 1_000 + len(ENDPOINTS) - 6 + 1


def test_shed_answers_are_those_that_were_refused_for_want_of_time():
    metrics = Metrics()
    for reason in (Reason.OVERLOADED, Reason.OVERLOADED, Reason.DEADLINE):
        metrics.answered("/rerank", answer(reason=reason), 0.001)
    assert values(metrics)["ltr_shed_answers_total",] == 2


def test_the_state_of_the_service_is_what_answering_says_of_itself(shop):
    async def made():
        answering = Answering(shop, Settings())
        answering.off = True
        try:
            return answering.state()
        finally:
            answering.close()

    metrics = Metrics()
    facts = asyncio.run(made())
    metrics.state(facts | {"log_dropped": 4})
    assert values(metrics)["ltr_switched_off",] == 1
    facts["rerank"] |= {"waiting": 7, "stuck": 2, "open": ["encode", "score"]}
    facts["people"] |= {"open": ["retrieve"]}
    metrics.state(facts | {"off": False, "answer_log_dropped": 3})
    found = values(metrics)
    assert found["ltr_switched_off",] == 0
    assert found["ltr_queue_length", "rerank"] == 7
    assert found["ltr_stuck_threads", "rerank"] == 2
    assert found["ltr_queue_length", "people"] == 0
    assert {key[1:] for key, value in found.items() if key[0] == "ltr_open_circuits" and value} == {
        ("encode", "rerank"), ("rerank", "score"), ("people", "retrieve"),
    }  # fmt: skip
    assert found["ltr_answer_log_dropped_lines_total",] == 3
    assert found["ltr_log_dropped_lines_total",] == 4
    metrics.state({"rerank": {"open": []}})
    assert not any(
        value for key, value in values(metrics).items() if key[:1] == ("ltr_open_circuits",) and "people" not in key
    )


@pytest.mark.parametrize(
    "facts",
    [{"off": None}, {"off": "very"}, {"rerank": 3}, {"rerank": {"waiting": []}}, {"rerank": {"open": 3}}, {"x": 1}],
)
def test_facts_that_are_none_are_passed_over(facts):
    metrics = Metrics()
    metrics.state(facts)
    assert values(metrics)["ltr_switched_off",] == 0


def test_the_state_is_as_old_as_the_time_that_it_was_made_as_of(counted):
    facts = Facts.of(counted)
    metrics = Metrics(facts, now=lambda: datetime(2024, 2, 3, tzinfo=UTC).timestamp())
    assert values(metrics)["ltr_state_age_seconds",] == 2 * 86_400
    assert values(metrics)["ltr_bundle_info", *sorted((counted.model[:12], counted.bundle.state.version[:12]))] == 1


def test_a_state_that_was_made_as_of_no_time_is_as_old_as_its_catalogue(shop):
    assert shop.bundle.state.as_of is None
    created = datetime.fromisoformat(shop.manifest["created"])
    assert Facts.of(shop).since == created
    renewed = replace(shop, manifest={**shop.manifest, "state": {"renewed": "2031-05-01T00:00:00Z"}})
    assert Facts.of(renewed).since == datetime(2031, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("created", [None, "yesterday", 3])
def test_where_nobody_knows_how_old_the_state_is_no_age_is_told(shop, created):
    unknown = replace(shop, manifest={"created": created})
    assert "ltr_state_age_seconds" not in families(Metrics(Facts.of(unknown)))


def test_nothing_is_registered_where_other_libraries_register():
    busy(Metrics()).render()
    assert not [metric.name for metric in REGISTRY.collect() if metric.name.startswith("ltr")]
    two = Metrics(), Metrics()
    two[0].refused("/rerank", 401)
    assert ("ltr_requests_total", "/rerank", "401") not in values(two[1])


def test_threads_count_together():
    metrics = Metrics()

    def count():
        for _ in range(2_000):
            metrics.answered("/rerank", answer_of_all, 0.001)

    answer_of_all = answer()
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(metrics)["ltr_requests_total", "/rerank", "200"] == 4 * 2_000


WORKER = """
import sys
from ltr.serving.answer import Answer, Reason, Result
from ltr.serving.metrics import Facts, Metrics

metrics = Metrics(Facts(sys.argv[2], "state"))
results = tuple(Result(str(at), at, at + 1, 1.0, False, False) for at in range(10))
for number in range(int(sys.argv[1])):
    metrics.answered("/rerank", Answer(results, timings={"score": .0002}, unknown=2, missing=.5), .002)
metrics.answered("/rerank", Answer(results, Reason.DEADLINE), .03)
metrics.refused("/rerank", 401)
metrics.state({"off": True, "rerank": {"waiting": 3, "open": ["encode"]}, "answer_log_dropped": 5})
print("ready", flush=True)
for line in sys.stdin:
    sys.stdout.buffer.write(metrics.render()[0] + b"end\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def workers(tmp_path):
    """Processes that count, as a supervisor starts them: (answers, model) each."""
    started = []

    def start(*told):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(count), model],
                env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for count, model in told
        ]
        started.extend(processes)
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * len(told)
        return processes

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_workers_count_together_and_what_the_dead_have_counted_stays(workers, tmp_path):
    living, dead = workers((100, "new"), (20, "old"))
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    (third,) = workers((0, "new"))
    for asked in (living, third):
        asked.stdin.write("\n")
        asked.stdin.flush()
        text = "".join(iter(asked.stdout.readline, "end\n"))
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert found["ltr_requests_total", "/rerank", "200"] == 100 + 20 + 3
        assert found["ltr_requests_total", "/rerank", "401"] == 3
        assert found["ltr_degraded_answers_total", "deadline"] == 3
        assert found["ltr_candidates_total",] == 10 * (100 + 20 + 3)
        assert found["ltr_unknown_candidates_total",] == 2 * (100 + 20)
        assert found["ltr_missing_features_ratio_sum",] == 0.5 * (100 + 20)
        assert found["ltr_stage_duration_seconds_count", "score"] == 100 + 20
        assert found["ltr_request_duration_seconds_sum", "/rerank"] == pytest.approx(0.002 * (100 + 20) + 3 * 0.03)
        assert found["ltr_answer_log_dropped_lines_total",] == 3 * 5
        # Of the living only.
        assert found["ltr_queue_length", "rerank"] == 2 * 3
        assert found["ltr_open_circuits", "encode", "rerank"] == 2
        assert found["ltr_switched_off",] == 1
        assert {key for key in found if key[0] == "ltr_bundle_info"} == {("ltr_bundle_info", "new", "state")}
    # The client library's own files, which fail on a full disk, are not made.
    assert not list(tmp_path.glob("*.db"))
