"""The supervisor over workers that do as they are told, and over such as do not: little scripts in the place of the real one."""

import asyncio
import json
import socket
import sys
from pathlib import Path

import pytest

from ltr.errors import ConfigError
from ltr.serving import processes, supervisor
from ltr.serving.control import Do
from ltr.serving.processes import Failed, Worker
from ltr.serving.settings import Settings
from ltr.serving.supervisor import Supervisor

WORKER = """
import json, os, socket, sys, time
end = socket.socket(fileno=int(sys.argv[2]))
heard, told = end.makefile("r"), end.makefile("w")
start = json.loads(heard.readline())["start"]
bundle = start["bundle"]
record = open(os.path.join(os.environ["RECORDS"], str(os.getpid())), "a", buffering=1)
def say(**message):
    told.write(json.dumps(message) + "\\n"); told.flush()
plan = open(os.path.join(bundle, "plan")).read().strip()
if plan == "dies":
    sys.exit(3)
if plan == "fails":
    say(failed=f"{bundle} is damaged"); sys.exit(1)
if plan == "nonsense":
    say(done=7); told.write("[1]\\n"); told.flush(); time.sleep(60)
record.write(f"off={start['off']} keys={start['settings']['keys']}\\n")
say(ready={"bundle": bundle, "state": os.getpid() if plan == "differs" else 0})
if plan == "silent":
    time.sleep(60)
for line in heard:
    message = json.loads(line)
    if "answer" in message:
        record.write("answer " + json.dumps(message["answer"]) + "\\n")
        continue
    what = message["do"]
    if what != "ping":
        record.write(what + "\\n")
    say(done=message.get("id"))
    if what in ("stop", "leave"):
        break
    if what.startswith("ping") and os.path.exists(os.path.join(bundle, f"ask-{os.getpid()}")):
        ask = os.path.join(bundle, f"ask-{os.getpid()}")
        say(ask=open(ask).read(), id=1); os.remove(ask)
"""


class Place:
    """Bundles whose only file says what becomes of a worker, and what workers were told."""

    def __init__(self, home):
        self.home, self.current, self.records = home, home / "current", home / "records"
        self.records.mkdir()
        self.keys = ("a key of the first day",)
        (home / "worker.py").write_text(WORKER, encoding="utf-8")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.workers = []

    def bundle(self, name, plan="serves"):
        (self.home / name).mkdir(exist_ok=True)
        (self.home / name / "plan").write_text(plan, encoding="utf-8")
        return self.home / name

    def link(self, name, plan="serves"):
        target = self.bundle(name, plan)
        self.current.unlink(missing_ok=True)
        self.current.symlink_to(target)
        return target

    def supervisor(self, number=2):
        async def start(bundle, settings, off, asked):
            start = {"bundle": str(bundle), "settings": {"keys": settings.keys}, "off": off}
            worker = await Worker.started(
                start, listener=self.listener, environment={"RECORDS": str(self.records)}, asked=asked,
                command=(sys.executable, "-S", str(self.home / "worker.py")),
            )  # fmt: skip
            self.workers.append(worker)
            return worker

        return Supervisor(self.current, lambda: Settings(workers=number, keys=self.keys), start=start)

    def told(self, worker):
        file = self.records / str(worker.pid)
        return file.read_text(encoding="utf-8").splitlines()[1:] if file.exists() else []

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_DELAYS", (0.0, 0.05))
    made = Place(tmp_path)
    made.link("first")
    yield made
    made.listener.close()


def run(place, work, number=2):
    """Do some work with a supervisor that has opened."""

    async def whole():
        held = place.supervisor(number)
        facts = await held.open()
        try:
            return await work(held, facts)
        finally:
            await held.close()
            assert all(worker.gone.is_set() for worker in place.workers)

    return asyncio.run(whole())


def test_all_workers_of_the_first_shift_accept_and_end_as_told(place):
    async def work(_held, facts):
        assert facts == {"bundle": str(place.home / "first"), "state": 0}

    run(place, work)
    assert [place.told(worker) for worker in place.workers] == [["wake", "stop"]] * 2


def test_a_reload_follows_the_link_and_lets_the_old_shift_rest_when_the_new_one_accepts(place):
    async def work(held, _facts):
        target = place.link("second")
        outcome = await held.reload()
        assert outcome.done
        assert outcome.facts["bundle"] == str(target)
        assert [place.told(worker) for worker in place.workers] == [["wake", "rest"]] * 2 + [["wake"]] * 2

    run(place, work)


def test_a_rollback_goes_back_and_another_forward_again(place):
    async def work(held, _facts):
        assert not (await held.rollback()).done
        place.link("second")
        await held.reload()
        bundles = [(await held.rollback()).facts["bundle"] for _ in range(3)]
        assert bundles == [str(place.home / name) for name in ("first", "second", "first")]

    run(place, work, 1)
    assert place.told(place.workers[0]) == ["wake", "rest", "wake", "rest", "wake", "stop"]
    assert place.told(place.workers[1]) == ["wake", "rest", "wake", "rest", "stop"]


def test_a_shift_leaves_when_the_one_after_it_rests(place):
    async def work(held, _facts):
        await held.reload()
        await held.reload()
        await place.until(place.workers[0].gone.is_set)
        assert (await held.rollback()).done

    run(place, work, 1)
    assert [place.told(worker)[-1] for worker in place.workers] == ["leave", "stop", "stop"]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("fails", "second is damaged"),
        ("dies", "ended with code 3 as it started"),
        ("nonsense", "as it started"),
        ("differs", "changed while it was loaded"),
    ],
)
def test_a_reload_that_fails_changes_nothing_and_says_why(place, plan, said, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_S", 0.1)

    async def work(held, facts):
        place.link("second", plan)
        outcome = await held.reload()
        assert not outcome.done
        assert outcome.message.startswith("nothing has changed: ")
        assert said in outcome.message
        assert outcome.facts == {**facts, "off": False}
        await place.until(lambda: all(worker.gone.is_set() for worker in place.workers[2:]))
        assert not any(worker.gone.is_set() for worker in place.workers[:2])
        place.link("second")
        assert (await held.reload()).done  # the way is free again

    run(place, work)


def test_a_first_shift_that_fails_leaves_nobody_behind_and_says_whether_the_worker_could_tell(place):
    async def opened(plan):
        place.link("first", plan)
        with pytest.raises(Failed) as failed:
            await place.supervisor().open()
        await place.until(lambda: all(worker.gone.is_set() for worker in place.workers))
        return failed.value.told

    assert asyncio.run(opened("fails"))
    assert not asyncio.run(opened("dies"))


def test_a_second_change_while_one_is_under_way_is_refused(place):
    async def work(held, _facts):
        outcomes = await asyncio.gather(held.reload(), held.reload(), held.rollback())
        assert [outcome.done for outcome in outcomes] == [True, False, False]
        assert [outcome.message for outcome in outcomes[1:]] == ["a reload is under way: ask again when it is done"] * 2

    run(place, work, 1)


def test_a_worker_that_ends_is_replaced_by_one_that_accepts_and_is_off_where_the_others_are(place):
    async def work(held, _facts):
        await held.switch(True)
        place.workers[0].kill()
        await place.until(lambda: len(place.workers) == 3 and place.told(place.workers[2]) == ["wake"])
        assert (place.records / str(place.workers[2].pid)).read_text().startswith("off=True")
        place.workers[2].kill()
        await place.until(lambda: len(place.workers) == 4 and place.told(place.workers[3]) == ["wake"])

    run(place, work)


def test_replacing_is_tried_again_and_again_until_the_bundle_is_whole(place):
    async def work(_held, _facts):
        place.bundle("first", "fails")
        place.workers[0].kill()
        await place.until(lambda: len(place.workers) >= 4)
        place.bundle("first")
        await place.until(lambda: place.told(place.workers[-1]) == ["wake"])

    run(place, work, 1)


def test_the_switch_reaches_those_who_serve_and_those_who_rest(place):
    async def work(held, _facts):
        await held.reload()
        assert (await held.switch(True)).facts["off"]
        assert not (await held.switch(False)).facts["off"]

    run(place, work, 1)
    assert [place.told(worker)[-3:-1] for worker in place.workers] == [["off", "on"]] * 2


def test_a_rollback_to_a_shift_that_has_lost_a_worker_is_refused(place):
    async def work(held, _facts):
        await held.reload()
        place.workers[0].kill()
        await place.workers[0].gone.wait()
        outcome = await held.rollback()
        assert not outcome.done
        assert "has ended" in outcome.message
        assert place.told(place.workers[1])[-1] == "rest"
        assert len(place.workers) == 4

    run(place, work)


def test_a_rollback_never_brings_back_keys_that_were_taken_away(place):
    async def work(held, _facts):
        place.keys = ("a key of the second day",)
        assert (await held.reload()).done
        outcome = await held.rollback()
        assert not outcome.done
        assert "keys have changed" in outcome.message

    run(place, work, 1)


def test_keys_that_cannot_be_read_refuse_a_reload(place, monkeypatch):
    async def work(held, _facts):
        def unreadable():
            raise ConfigError("key 1 of LTR_SERVE_KEYS is no key")

        monkeypatch.setattr(held, "_settings", unreadable)
        assert (await held.reload()).message == "nothing has changed: key 1 of LTR_SERVE_KEYS is no key"

    run(place, work, 1)


def test_a_worker_that_falls_silent_is_killed_and_replaced(place, monkeypatch):
    monkeypatch.setattr(processes, "_PING_S", 0.02)

    async def work(held, _facts):
        await place.until(place.workers[0].gone.is_set)
        place.bundle("first")
        await place.until(lambda: place.told(place.workers[-1]) == ["wake"])

    place.bundle("first", "silent")
    monkeypatch.setattr(processes, "DONE_S", 0.1)
    run(place, work, 1)


def test_what_a_worker_asks_is_done_and_answered(place, monkeypatch):
    monkeypatch.setattr(processes, "_PING_S", 0.02)

    async def work(_held, _facts):
        (place.home / "first" / f"ask-{place.workers[0].pid}").write_text("off", encoding="utf-8")
        await place.until(lambda: len(place.told(place.workers[0])) == 3)

    run(place, work, 1)
    wake, off, answer, *_ = place.told(place.workers[0])
    assert (wake, off) == ("wake", "off")
    assert json.loads(answer.removeprefix("answer "))["message"] == "the ranker is off"


def test_an_end_at_once_waits_for_nobody(place):
    async def work(held, _facts):
        await held.close(at_once=True)

    run(place, work)
    assert "signal 9" in place.workers[0].ending


def test_a_worker_is_given_one_thread_a_library_unless_its_environment_says_otherwise():
    given = {"OMP_NUM_THREADS": "4", "LTR_SERVE_KEYS": "secret", "HOME": "/home/shop"}
    made = processes.environment(given, metrics=Path("/run/metrics"), without=("LTR_SERVE_KEYS",))
    assert made["OMP_NUM_THREADS"] == "4"
    assert made["POLARS_MAX_THREADS"] == made["NUMBA_NUM_THREADS"] == "1"
    assert made["PROMETHEUS_MULTIPROC_DIR"] == "/run/metrics"
    assert "LTR_SERVE_KEYS" not in made


def test_telling_a_worker_that_has_ended_comes_to_nothing(place):
    async def work(held, _facts):
        place.workers[0].kill()
        await place.workers[0].gone.wait()
        assert not await place.workers[0].do(Do.PING)

    run(place, work)
