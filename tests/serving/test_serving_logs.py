"""Log lines: one object a line whatever is said, never a key, and never in the way of who logs."""

import asyncio
import contextvars
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.serving.logs import Handler, Limit, Lines, request_id

KEY = "k\"\\e-y'of_the_shop"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def record(message, *arguments, level=logging.INFO, name="ltr.serving.app", error=None, **extra):
    made = logging.LogRecord(
        name, level, __file__, 7, message, arguments, error and (type(error), error, error.__traceback__)
    )
    made.__dict__.update(extra)
    return made


def raised(make=lambda: ValueError("no vector")):
    try:
        raise make()
    except Exception as error:
        return error


def told(one, secrets=()):
    line = Lines(secrets).json(one)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


@pytest.fixture
def log():
    """A logger of its own that writes into memory: (logger, its handler, what it wrote)."""
    stream = io.StringIO()
    handler = Handler(stream, Lines((KEY,)).json)
    logger = logging.Logger("test", logging.INFO)
    logger.addHandler(handler)

    def written():
        handler.close()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield logger, handler, written
    handler.close()


def test_a_line_says_when_how_grave_where_and_what():
    line = told(record("asked for %d", 3))
    assert list(line) == ["time", "level", "logger", "message"]
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "ltr.serving.app", "asked for 3")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - time.time()) < 60


def test_what_was_raised_is_a_field_of_the_line():
    line = told(record("stage failed", error=raised(), level=logging.ERROR))
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: no vector\n")


def test_what_a_record_is_given_besides_is_told_with_it():
    line = told(record("asked", endpoint="/rerank", took_ms=1.5, odd=[KEY], level_=2**70, none=None), (KEY,))
    assert line["message"] == "asked"
    assert (line["endpoint"], line["took_ms"], line["none"]) == ("/rerank", 1.5, None)
    assert line["level_"] == str(2**70)
    assert line["odd"] == "['***']"


@settings(max_examples=300)
@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=50))
def test_whatever_is_said_is_one_line_that_moves_no_terminal(text, more):
    one = record("%s", text, endpoint=more, error=ValueError(text))
    line = Lines().json(one)
    assert line.count(b"\n") == 1
    assert not UNSAFE.search(line.decode().removesuffix("\n"))
    json.loads(line)
    in_short = Lines().text(record("%s", text)).decode()
    assert in_short.count("\n") == 1
    assert not UNSAFE.search(in_short.removesuffix("\n").replace("\t", ""))


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is used",
        f"{KEY}{KEY}",
        f"headers {[(b'authorization', b'Bearer ' + KEY.encode())]}",
        f"headers {json.dumps({'X-API-Key': KEY})}",
        "Authorization: Bearer another-secret-key",
        "headers [(b'authorization', b'Bearer another-secret-key')]",
        "{'x-api-key': 'another-secret-key'}",
        'X-API-KEY=another-secret-key"',
        "authorization: Basic another-secret-key",
        "bearer  another-secret-key, and so on",
    ],
)
def test_no_key_is_ever_written_right_or_wrong(text):
    lines = Lines((KEY, KEY[:8]))
    for one in (
        record(text),
        record("%s", text),
        record("x", endpoint=text),
        record("x", error=raised(lambda: ValueError(text))),
    ):
        for line in (lines.json(one).decode(), lines.text(one).decode()):
            # A terminal is not told what records have besides.
            assert "***" in line or line.endswith(" x\n")
            assert "another-secret" not in line
            for form in (KEY, repr(KEY)[1:-1], json.dumps(KEY)[1:-1], "of_the_shop"):
                assert form not in line


def test_what_is_long_is_cut_in_the_middle():
    line = told(record("%s", "a" * 40_000 + "b" * 40_000))
    assert len(line["message"]) < 33_000
    assert line["message"].startswith("aaaa")
    assert line["message"].endswith("bbbb")


def test_a_record_that_cannot_be_put_into_words_does_no_harm(log):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    class Wordless:
        def __str__(self):
            raise RuntimeError("no words")

    logger, handler, written = log
    logger.info("%d of %d", "one")
    logger.error("it failed", exc_info=raised(Silent))
    logger.info("an extra", extra={"odd": Wordless()})
    logger.info("the next")
    lines = written()
    assert [line["message"] for line in lines] == ["'%d of %d' % tuple", "it failed", "the next"]
    assert "Silent" in lines[1]["exception"]
    assert handler.dropped == 1


def test_each_line_has_the_id_of_the_request_that_it_is_about(log):
    logger, _, written = log

    async def answer(number):
        request_id.set(number)
        await asyncio.sleep(0.01)
        logger.info("in a task")
        await asyncio.to_thread(logger.info, "in its thread")

    async def main():
        await asyncio.gather(*(answer(f"r{at}") for at in range(5)))

    asyncio.run(main())
    context = contextvars.copy_context()
    context.run(request_id.set, "evil\nid")
    context.run(logger.info, "in a context")
    logger.info("outside")
    lines = written()
    assert [
        sorted(line["request_id"] for line in lines if line["message"] == m) for m in ("in a task", "in its thread")
    ] == [["r0", "r1", "r2", "r3", "r4"]] * 2
    assert [line.get("request_id") for line in lines[-2:]] == ["evil\nid", None]


def test_a_failure_again_and_again_is_told_a_few_times_a_second_and_counted(log):
    logger, handler, written = log

    def stage(kind):
        try:
            raise kind("encoder")
        except kind:
            logger.exception("stage encode failed")

    began = time.monotonic()
    for _ in range(500):
        stage(ValueError)
    stage(KeyError)  # another failure, though in the same place
    logger.info("what is no failure is not held back")
    most = 3 * (1 + int(time.monotonic() - began))
    lines = written()
    failures = [line for line in lines if "ValueError" in line.get("exception", "")]
    assert 3 <= len(failures) <= most
    assert any("KeyError" in line.get("exception", "") for line in lines)
    rest = 500 - len(failures) - sum(line.get("suppressed", 0) for line in failures)
    assert lines[-1]["message"] == f"{rest} more of the failures above were not written"
    assert handler.dropped == 0


def test_a_failure_that_was_held_back_is_counted_when_it_is_told_next():
    now = iter([*[0.0] * 10, 1.0, 1.1, 5.0]).__next__
    limit = Limit(most=2, per_s=1.0, clock=now)
    assert [limit.admit("here") for _ in range(10)] == [0, 0, *[None] * 8]
    assert limit.admit("here") == 8
    assert limit.admit("there") == 0
    assert limit.admit("here") == 0
    assert limit.end() == 0


def test_places_without_number_do_not_fill_the_memory():
    limit = Limit()
    for place in range(100_000):
        limit.admit(place)
    assert len(limit._told) <= 1_001


def test_who_logs_does_not_wait_for_a_pipe_that_nobody_reads_and_lost_lines_are_told():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        handler = Handler(stream, Lines().json)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    slowest = 0.0
    for _ in range(1_000):
        began = time.perf_counter()
        logger.info("x" * 20_000)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 2
    lost = handler.dropped
    assert lost > 500
    read = []
    thread = threading.Thread(target=lambda: read.append(b"".join(iter(lambda: os.read(reading, 65_536), b""))))
    thread.start()
    while handler._background._held:
        time.sleep(0.01)
    logger.info("the last")
    handler.close()
    os.close(handler._descriptor)
    thread.join()
    os.close(reading)
    messages = [json.loads(line)["message"] for line in read[0].splitlines()]
    assert messages.count("x" * 20_000) == 1_000 - lost
    assert f"{lost:,} lines of this log could not be written" in messages


def test_a_terminal_is_told_in_short():
    token = request_id.set("r1")
    try:
        error = record("stage %s failed\nbadly", "encode", level=logging.ERROR, error=raised(), suppressed=3)
        first, *rest = Lines((KEY,)).text(error).decode().splitlines()
    finally:
        request_id.reset(token)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d error    serving\.app stage encode failed\\nbadly \[r1\] \(and 3 times since\)", first
    )
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    ValueError: no vector"


PROGRAM = """
import logging, sys, threading, time, warnings
from ltr.serving.logs import configure
handler = configure(secrets=("a-key-of-the-shop",))
log = logging.getLogger("ltr.serving.test")
"""
EVERYTHING = (
    PROGRAM
    + """
logging.getLogger("uvicorn.error").warning("of uvicorn, a-key-of-the-shop")
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", "/", "1.1", 200)
logging.getLogger("uvicorn").info("coloured", extra={"color_message": "\\x1b[1mcoloured"})
log.debug("not asked for")
warnings.warn("deprecated")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise SystemError("a-key-of-the-shop")
"""
)
FLOOD = (
    PROGRAM
    + """
began = time.monotonic()
for number in range(1000):
    log.info("x" * 1000)
handler.close()
print(handler.dropped, time.monotonic() - began < 20)
"""
)


def program(code, stderr=subprocess.PIPE, **keys):
    return subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, **keys
    )


def test_all_that_a_process_says_is_lines_of_json_what_it_dies_of_too():
    done = program(EVERYTHING)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("uvicorn.error", "WARNING"),
        ("uvicorn.access", "INFO"),
        ("uvicorn", "INFO"),
        ("py.warnings", "WARNING"),
        ("ltr.serving", "ERROR"),
        ("ltr.serving", "CRITICAL"),
    ]
    assert lines[0]["message"] == "of uvicorn, ***"
    assert lines[1]["message"] == '1.2.3.4 - "GET / HTTP/1.1" 200'
    assert "color_message" not in lines[2]
    assert lines[4]["exception"].endswith("ZeroDivisionError: division by zero\n")
    assert lines[5]["exception"].endswith("SystemError: ***\n")


def test_who_knows_more_secrets_later_configures_again_and_no_line_is_lost_or_told_twice():
    done = program(
        PROGRAM + "log.error('first'); configure(secrets=['later-key'], form='text'); log.error('later-key')"
    )
    first, second = done.stderr.splitlines()
    assert json.loads(first)["message"] == "first"
    assert second.endswith("error    serving.test ***")


def test_a_log_that_cannot_be_written_ends_nothing():
    with open("/dev/full", "w") as full:
        assert program(FLOOD, stderr=full).stdout == "1000 True\n"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        assert program(FLOOD, stderr=broken).stdout == "1000 True\n"
    closed = program(FLOOD, stderr=None, preexec_fn=lambda: os.close(2))
    assert (closed.returncode, closed.stdout) == (0, "1000 True\n")


def test_a_file_that_takes_the_number_of_a_closed_stderr_gets_no_log_lines(tmp_path):
    code = (
        PROGRAM
        + f"import os; os.close(2); own = open({str(tmp_path / 'own')!r}, 'w'); print(own.fileno()); log.error('x')"
    )
    assert program(code).stdout == "2\n"
    assert (tmp_path / "own").read_text() == ""


def test_the_log_needs_neither_numbers_nor_http():
    code = PROGRAM + "print(sorted({'numpy', 'polars', 'starlette', 'uvicorn', 'pydantic'} & sys.modules.keys()))"
    assert program(code).stdout == "[]\n"
