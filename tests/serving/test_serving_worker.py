"""A worker's parts: how it asks, and what it says of a start that failed. The whole of it is tested as a service."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys

import pytest

from ltr.errors import BundleError, MissingExtraError
from ltr.serving.asked import ControlError
from ltr.serving.control import Outcome, told
from ltr.serving.worker import Asking, _reason, watched


def asking(work):
    """Do some work with what asks, and the messages that it has sent."""

    async def whole():
        messages = []
        return await work(Asking(messages.append), messages)

    return asyncio.run(whole())


async def soon(coroutine):
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


def test_a_wish_that_came_true_is_told_with_what_serves_now():
    async def work(asking, messages):
        task = await soon(asking.do("reload"))
        assert messages == [{"ask": "reload", "id": 1}]
        assert json.loads(json.dumps(messages)) == messages
        asking.answered(told(Outcome(True, "it is served", {"products": 24}), 1))
        return await task

    assert asking(work) == {"message": "it is served", "products": 24}


def test_a_wish_that_is_refused_is_an_error_in_the_supervisors_words():
    async def work(asking, _messages):
        task = await soon(asking.do("rollback"))
        asking.answered(told(Outcome(False, "there has been no reload"), 1))
        with pytest.raises(ControlError, match="there has been no reload"):
            await task

    asking(work)


def test_answers_find_those_who_asked_in_any_order():
    async def work(asking, _messages):
        tasks = [await soon(asking.do(action)) for action in ("reload", "off", "on")]
        for number in (3, 1, 2):
            asking.answered(told(Outcome(True, str(number)), number))
        return [(await task)["message"] for task in tasks]

    assert asking(work) == ["1", "2", "3"]


def test_who_gave_up_asking_and_who_asks_when_all_is_lost_harm_nobody():
    async def work(asking, _messages):
        gone, waiting = [await soon(asking.do("reload")) for _ in range(2)]
        gone.cancel()
        await asyncio.sleep(0)
        asking.answered(told(Outcome(True, "too late"), 1))
        asking.answered(told(Outcome(True, "nobody asked"), 99))
        asking.lost()
        with pytest.raises(ControlError, match="the service is ending"):
            await waiting

    asking(work)


def test_what_is_ours_to_say_of_a_failed_start_is_said_and_nothing_of_the_inside(caplog):
    assert _reason(BundleError("bundles/shop is damaged", hint="train again")) == "bundles/shop is damaged; train again"
    missing = ModuleNotFoundError("No module named 'starlette.routing'", name="starlette.routing")
    assert _reason(missing) == str(MissingExtraError("starlette", "serve"))
    with caplog.at_level(logging.ERROR):
        inside = _reason(RuntimeError("/usr/lib/secret: password 1234"))
    assert inside == "a worker failed as it started (RuntimeError); the log has more"
    assert "password 1234" in caplog.text
    assert "the log has more" in _reason(ImportError("cannot import name 'x'", name="ltr.serving.loaded"))


@pytest.mark.parametrize("first", [b"", b"nonsense\n"], ids=["who hangs up", "who talks nonsense"])
def test_a_worker_whose_supervisor_is_gone_before_a_word_ends(first):
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    with ours, theirs, listener:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ltr.serving.worker", str(listener.fileno()), str(theirs.fileno())],
            pass_fds=(listener.fileno(), theirs.fileno()),
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": "/nowhere"},
        )
        theirs.close()
        ours.sendall(first)
        ours.close()
        assert process.wait(60) == 0


class Threads:
    """As much of what answers as is looked at: whether its threads are all stuck."""

    def __init__(self, blocked):
        self._blocked = iter(blocked)

    def state(self):
        return {"rerank": {"blocked": next(self._blocked)}}


@pytest.mark.parametrize(
    ("blocked", "stops"),
    [
        ([True] * 3, 1),
        ([True, True, False, True, True], 0),
        ([True] * 2, 0),
        ([False, True, True, True, True], 1),
    ],
)
def test_a_worker_whose_threads_never_come_back_is_stopped_once(blocked, stops, caplog):
    told = []
    look = watched(Threads(blocked), lambda: told.append("stop"), within=3)
    for _ in blocked:
        look()
    assert len(told) == stops
    assert caplog.text.count("another worker takes this one's place") == stops
