"""Answers as UBI: our own reader joins clicks back to ranker, position and propensity, and no fault of a disk is a shopper's."""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta

import numpy as np
import pytest

from ltr.judgments.filters import Filters
from ltr.judgments.impressions import read_log
from ltr.judgments.mapping import LogMapping
from ltr.serving import Answer, Reason, Result, parse_request
from ltr.serving.answer import as_received
from ltr.serving.answer_log import AnswerLog
from ltr.serving.rerank import degraded, rerank
from ltr.serving.searching import retrieved
from made.ubi import event

MODEL, STATE = "1234567890abcdef", "fedcba0987654321"


def logging_to(path, **keys):
    return AnswerLog(path, **({"application": "shop", "model": MODEL, "state": STATE} | keys))


def asked(count=3, **keys):
    return parse_request({"query": "red shoe", "candidates": [f"p{at}" for at in range(count)], **keys})


def answered(request, scores=None):
    results = as_received(request)
    return Answer(
        tuple(one._replace(score=score) for one, score in zip(results, scores or [1.5] * len(results), strict=True))
    )


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(path, *answers, **keys):
    """The records of answers: (request, answer) each, numbered r0, r1, …"""
    log = logging_to(path, **keys)
    for at, (request, answer) in enumerate(answers):
        log.write(f"r{at}", request, answer)
    assert log.close()
    assert log.dropped == 0
    return lines(path)


def until(true, within_s=10.0):
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def visits(shop):
    """200 searches of the small shop, with what was asked and answered; some could not be reranked."""
    titles = shop.bundle.state.products["title"].drop_nulls().head(40).to_list()
    found = []
    for number in range(200):
        query = " ".join(titles[number % 40].split()[: 1 + number % 3])
        candidates = retrieved(shop, query, 12)
        ids = [one.product_id for one in candidates] or ["p1", "p2"]
        pinned = {"pinned": [ids[-1]]} if number % 5 == 0 else {}
        who = {"client": f"c{number % 12}", "session_id": f"s{number % 30}"}
        request = parse_request({"query": query, "candidates": ids, "context": who, **pinned})
        answer = degraded(request, Reason.DEADLINE) if number % 10 == 3 else rerank(shop, request)
        assert answer.degraded == (number % 10 == 3)
        found.append((f"request-{number}", request, answer))
    return found


@pytest.fixture(scope="module")
def read(shop, visits, tmp_path_factory):
    """Our reader's impressions of the answer log and of the clicks on every third search, and what was clicked."""
    home = tmp_path_factory.mktemp("read")
    path = home / "answers.ndjson"
    log = AnswerLog(path, application="shop", model=shop.model, state=shop.bundle.state.version)
    for number, request, answer in visits:
        log.write(number, request, answer)
    assert log.close()
    assert log.dropped == 0
    begins = datetime.fromisoformat(lines(path)[0]["timestamp"])
    events, clicked = [], set()
    for at, (number, request, answer) in enumerate(visits[::3]):
        chosen = answer.results[at % len(answer.results)]
        when = begins + timedelta(minutes=1, seconds=at)
        click = event(
            search=number, product=chosen.product_id, position=chosen.rank, user_query=request.query,
            client_id=request.context["client"], session_id=request.context["session_id"],
            timestamp=when.isoformat(timespec="milliseconds"), application="shop",
        )  # fmt: skip
        events.append(click)
        clicked.add((number, chosen.product_id, chosen.rank))
    clicks = home / "clicks.ndjson"
    clicks.write_text("".join(json.dumps(one) + "\n" for one in events))
    found = read_log([path, clicks], directory=home / "out", filters=Filters(), strict=True)
    return found.report, found.scan().collect(), clicked


def test_every_answer_and_every_click_is_read_and_nothing_is_rejected(read, visits):
    report, impressions, clicked = read
    assert report.read == report.kept == 200 + len(clicked)
    assert report.dropped == {}
    assert set(report.noted) <= {"list_from_result_ids", "search_without_events"}
    assert report.searches == 200
    assert report.clicks == len(clicked) == 67
    assert impressions.height == sum(len(answer.results) for _, _, answer in visits)


def test_every_click_joins_back_to_its_search_and_position(read):
    _, impressions, clicked = read
    joined = impressions.filter("clicked").select("search_id", "product_id", "position").rows()
    assert set(joined) == clicked
    assert len(joined) == len(clicked)


def test_every_product_stands_where_it_was_answered(read, visits):
    _, impressions, _ = read
    told = dict(impressions.sort("position").group_by("search_id").agg("product_id").rows())
    assert told == {number: [one.product_id for one in answer.results] for number, _, answer in visits}
    queries = dict(impressions.select("search_id", "query").unique().rows())
    assert queries == {number: request.query for number, request, _ in visits}


def test_who_searched_the_propensity_and_the_ranker_come_through(read, visits, shop):
    _, impressions, _ = read
    assert impressions["propensity"].to_list() == [1.0] * impressions.height
    who = {
        row[0]: row[1:] for row in impressions.select("search_id", "session_id", "user_id", "variant").unique().rows()
    }
    assert who == {
        number: (
            request.context["session_id"],
            request.context["client"],
            "received" if answer.degraded else shop.model[:12],
        )
        for number, request, answer in visits
    }


def test_a_record_says_what_formats_have_for_it(tmp_path):
    request = asked(context={"client_id": "c1", "session": "z1", "user": 7})
    (record,) = written(tmp_path / "log", (request, answered(request, [2.5, 0.1, -1e-20])))
    assert datetime.fromisoformat(record.pop("timestamp")).utcoffset() == timedelta(0)
    assert record == {
        "application": "shop",
        "query_id": "r0",
        "client_id": "c1",
        "session_id": "z1",
        "user_id": "7",
        "user_query": "red shoe",
        "query_response_id": "r0",
        "query_response_hit_ids": ["p0", "p1", "p2"],
        "query_attributes": {
            "variant": "1234567890ab",
            "ranker": "1234567890ab",
            "state": "fedcba098765",
            "degraded": "false",
            "propensity": "1",
            "scores": "2.5,0.1,-1e-20",
        },
    }


def test_scores_are_told_to_the_last_bit_of_float32(tmp_path):
    scores = np.random.default_rng(7).normal(size=100).astype(np.float32)
    request = asked(100)
    (record,) = written(tmp_path / "log", (request, answered(request, scores.tolist())))
    assert [np.float32(one) for one in record["query_attributes"]["scores"].split(",")] == scores.tolist()


def test_a_degraded_answer_says_why_and_has_no_scores(tmp_path):
    request = asked()
    (record,) = written(tmp_path / "log", (request, degraded(request, Reason.OVERLOADED)))
    told = record["query_attributes"]
    assert (told["variant"], told["degraded"], told["reason"]) == ("received", "true", "overloaded")
    assert told["ranker"] == "1234567890ab"
    assert "scores" not in told


def test_pinned_excluded_and_unknown_products_are_counted(tmp_path):
    request = asked(5, pinned=["p3"], excluded=["p0", "p1"])
    answer = Answer(as_received(request), unknown=2)
    (record,) = written(tmp_path / "log", (request, answer))
    assert record["query_response_hit_ids"] == ["p3", "p2", "p4", "p0", "p1"]
    told = record["query_attributes"]
    assert (told["pinned"], told["excluded"], told["unknown"]) == ("1", "2", "2")


def test_the_id_that_clicks_will_carry_and_the_arm_of_an_experiment_are_the_callers(tmp_path):
    request = asked(context={"query_id": "q1", "experiment_id": "a", "device": "phone", "team": "B"})
    variant = asked(context={"search_id": "q2", "variant": "b"})
    records = written(tmp_path / "log.ndjson", (request, answered(request)), (variant, answered(variant)))
    assert [one["query_id"] for one in records] == ["q1", "q2"]
    assert [one["query_response_id"] for one in records] == ["r0", "r1"]
    first = records[0]["query_attributes"]
    assert (first["device"], first["team"], first["ranker"]) == ("phone", "B", "1234567890ab")
    frames = [
        read_log(tmp_path / "log.ndjson", directory=tmp_path / name, mapping=mapping).scan().collect()
        for name, mapping in (
            ("theirs", None),
            ("ours", LogMapping(shape="ubi", columns={"variant": "query_attributes.ranker"})),
        )
    ]
    # Their arm, as UBI has it; whoever asks for the ranker maps it.
    assert dict(frames[0].select("search_id", "variant").unique().rows()) == {"q1": "a", "q2": "b"}
    assert frames[1]["variant"].unique().to_list() == ["1234567890ab"]
    assert frames[0]["device"].drop_nulls().unique().to_list() == ["phone"]


@pytest.mark.parametrize("value", ["", "x" * 101, None, True, 1.5, ["c1"], {"id": "c1"}, 2**64])
def test_what_is_no_id_is_left_out(tmp_path, value):
    request = asked(context={"client_id": value, "session_id": value, "query_id": value, "variant": value})
    (record,) = written(tmp_path / "log", (request, answered(request)))
    assert "client_id" not in record
    assert "session_id" not in record
    assert record["query_id"] == "r0"
    assert record["query_attributes"]["variant"] == "1234567890ab"


def test_a_list_that_was_cut_is_logged_as_it_was_shown(tmp_path):
    log = logging_to(tmp_path / "log")
    log.write("r", asked(5), answered(asked(5)), shown=2)
    log.close()
    assert lines(tmp_path / "log")[0]["query_response_hit_ids"] == ["p0", "p1"]


def test_explanations_are_not_kept_for_the_log(tmp_path):
    log = logging_to(tmp_path / "log")
    result = Result("p1", 0, 1, 1.0, False, False, {"price": 1.0}, {"price": 2.0})
    held = []
    log._background.put = lambda told, weight: held.append(told)
    log.write("r", asked(1), Answer((result,)))
    assert held[0].results[0].features is None
    assert held[0].results[0].contributions is None
    assert held[0].results[0][:6] == result[:6]


def test_text_of_any_kind_is_one_line(tmp_path):
    request = parse_request({"query": 'a "b"\\\n\u2028\t\x85靴', "candidates": ['p"1\\', "靴", "p 2\u2029"]})
    path = tmp_path / "log"
    written(path, (request, answered(request)))
    (line,) = path.read_bytes().removesuffix(b"\n").split(b"\n")
    assert json.loads(line)["user_query"] == request.query
    assert json.loads(line)["query_response_hit_ids"] == [one.product_id for one in request.candidates]


def test_an_answer_that_cannot_be_said_is_counted_and_the_others_are_written(tmp_path):
    log = logging_to(tmp_path / "log")
    for product_id in ("p1", "p\ud800", "p2"):
        log.write("r", asked(), Answer((Result(product_id, 0, 1, 1.0, False, False),)))
    log.write("r", None, None)
    assert log.close()
    assert [one["query_response_hit_ids"] for one in lines(tmp_path / "log")] == [["p1"], ["p2"]]
    assert log.dropped == 2


def test_a_file_that_was_moved_away_or_removed_is_made_anew(tmp_path):
    path = tmp_path / "log"
    log = logging_to(path)

    def write(number):
        log.write(number, asked(), answered(asked()))
        until(lambda: path.exists() and number in [one["query_id"] for one in lines(path)])

    write("r1")
    path.rename(tmp_path / "log.1")
    write("r2")
    path.unlink()
    write("r3")
    log.reopen()
    write("r4")
    assert log.close()
    assert [one["query_id"] for one in lines(tmp_path / "log.1")] == ["r1"]
    assert [one["query_id"] for one in lines(path)] == ["r3", "r4"]
    assert log.dropped == 0


def test_reopening_lets_go_of_the_file_at_once(tmp_path):
    path = tmp_path / "log"
    log = logging_to(path)
    log.write("r1", asked(), answered(asked()))
    until(lambda: path.exists() and path.stat().st_size)
    path.rename(tmp_path / "log.1")
    log.reopen()
    until(lambda: log._file._descriptor is None)
    assert log.close()


def test_where_the_file_cannot_be_written_answers_are_counted_until_it_can(tmp_path, caplog):
    home = tmp_path / "not yet"
    log = logging_to(home / "log")
    for number in range(3):
        log.write(f"r{number}", asked(), answered(asked()))
        until(lambda number=number: log.dropped == number + 1)
    home.mkdir()
    log.write("r3", asked(), answered(asked()))
    assert log.close()
    assert log.dropped == 3
    assert [one["query_id"] for one in lines(home / "log")] == ["r3"]
    # Once when it begins, once when it ends.
    assert [one.levelname for one in caplog.records] == ["ERROR", "WARNING"]


def test_a_full_disk_costs_answers_and_nothing_else():
    log = logging_to("/dev/full")
    for _ in range(50):
        log.write("r", asked(), answered(asked()))
    assert log.close()
    assert log.dropped == 50


FULL = """
import resource, sys, time
from pathlib import Path
from ltr.serving.answer import Answer, Result
from ltr.serving.answer_log import AnswerLog
from ltr.serving.request import Request

def limited(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

log = AnswerLog(Path(sys.argv[1]), application="shop", model="m")
answer = Answer(tuple(Result(f"p{at}", at, at + 1, .5, False, False) for at in range(100)))

def write(count):
    for number in range(count):
        log.write("r" + str(number), Request("shoe", ()), answer)
    while log._background._held:
        time.sleep(.01)

limited(10_000)
write(30)
lost = log.dropped
limited(resource.RLIM_INFINITY)
write(30)
log.close()
print(lost, log.dropped)
"""


def test_a_disk_that_fills_up_in_the_midst_of_a_line_leaves_whole_lines_and_goes_on_when_there_is_room(tmp_path):
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    lost, dropped = map(int, done.stdout.split())
    assert 0 < lost == dropped < 30
    assert len(lines(path)) == 60 - lost
    # All that fitted was written.
    line = len(path.read_bytes().splitlines()[0]) + 1
    assert 30 - lost == 10_000 // line


def test_half_a_line_that_a_crash_has_left_spoils_no_other(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'{"whole": 1}\n{"half')
    log = logging_to(path)
    log.write("r", asked(), answered(asked()))
    log.close()
    whole, half, ours = path.read_bytes().splitlines()
    assert (whole, half) == (b'{"whole": 1}', b'{"half')
    assert json.loads(ours)["query_id"] == "r"


def test_nobody_waits_for_a_file_that_takes_nothing(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    log = logging_to(pipe, waiting=5_000)
    request = asked(100)
    answer = answered(request)
    began = time.monotonic()
    for number in range(2_000):
        log.write(f"r{number}", request, answer)
    assert time.monotonic() - began < 10
    assert log.dropped >= 2_000 - 200
    began = time.monotonic()
    assert not log.close(0.1)
    assert time.monotonic() - began < 5
    # Let its thread end.
    with pipe.open("rb") as reading:
        thread = threading.Thread(target=lambda: [None for _ in iter(lambda: reading.read1(65_536), b"")])
        thread.start()
        assert log.close(10)
        log._file.close()
        thread.join()


MANY = """
import sys
from pathlib import Path
from ltr.serving.answer import Answer, Result
from ltr.serving.answer_log import AnswerLog
from ltr.serving.request import Request

log = AnswerLog(Path(sys.argv[1]), application="shop", model=sys.argv[2])
answer = Answer(tuple(Result(f"{sys.argv[2]}-{at}", at, at + 1, .5, False, False) for at in range(500)))
sys.stdin.read()
for number in range(150):
    log.write(f"{sys.argv[2]}-{number}", Request("shoe", ()), answer)
print(log.close(20), log.dropped)
"""


def test_several_workers_append_whole_lines_to_one_file(tmp_path):
    path = tmp_path / "log"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", MANY, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b", "c")
    ]
    for worker in workers:
        worker.stdin.close()
        worker.stdin = None
    assert [worker.communicate(timeout=60)[0] for worker in workers] == ["True 0\n"] * 3
    found = lines(path)
    assert {one["query_id"] for one in found} == {f"{name}-{number}" for name in "abc" for number in range(150)}
    assert len(found) == 3 * 150
    for one in found:
        assert one["query_response_hit_ids"] == [f"{one['query_attributes']['ranker']}-{at}" for at in range(500)]


def test_an_answer_without_candidates_is_logged_and_read_as_a_search_without_a_list(tmp_path):
    request = asked(0)
    written(tmp_path / "log.ndjson", (request, answered(request)))
    report = read_log(tmp_path / "log.ndjson", directory=tmp_path / "out").report
    assert report.dropped == {"no_list": 1}


def test_what_is_queued_is_bounded_by_results_not_by_answers(tmp_path):
    log = logging_to(tmp_path / "log", waiting=250)
    gate = threading.Event()
    log._background._take = lambda _some: gate.wait() and 0
    for _ in range(5):
        log.write("r", asked(100), answered(asked(100)))
    assert log.dropped == 3
    gate.set()
    assert log.close()
