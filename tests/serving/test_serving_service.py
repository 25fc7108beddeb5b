"""A real service and what happens to one: workers killed, bundles swapped under load, disks full, clients that go."""

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ltr import bundle_state
from ltr.bundle_manifest import read_manifest
from ltr.errors import ConfigError
from ltr.serving.service import listen
from made.served import copied
from made.service import KEY, Service, alive, children, environment, sent, serving, started, until


@pytest.fixture(scope="module")
def place(tmp_path_factory, counted_bundle):
    """Two bundles that differ in their names alone, a third that is damaged, and a link to the first."""
    home = tmp_path_factory.mktemp("service")
    for name in ("first", "second", "damaged"):
        copied(counted_bundle, home / name)
    with (home / "damaged" / "state" / "products.parquet").open("r+b") as file:
        file.truncate(100)
    return home


@pytest.fixture(scope="module")
def shared(place):
    """One service of two workers for all that leaves it as it was."""
    link(place, "first")
    env = environment(place, LTR_SERVE_ADMIN_KEYS=KEY)
    with (place / "log").open("w") as log, serving(place / "current", "--workers", 2, env=env, stderr=log) as service:
        yield service


@pytest.fixture
def service(shared):
    assert until(lambda: len(shared.workers) % 2 == 0)  # those that serve, and those that rest
    return shared


def link(place, name):
    """What `ln -sfn` does."""
    new = place / "new"
    new.symlink_to(place / name)
    new.replace(place / "current")


@contextmanager
def constant_load(service, *, fresh=2, kept=2):
    """Callers that ask without pause, over kept and over new connections; what they were answered other than 200 and a ranker's order."""
    ending, faults, answers = threading.Event(), [], []
    body = {"query": "red shoe", "candidates": [f"p{at}" for at in range(24)], "deadline_ms": 10_000}

    def ask(anew):
        connection = service.connect()
        while not ending.is_set():
            try:
                status, answer = sent(connection, "POST", "/rerank", body)
                answers.append(answer)
                if status != 200 or answer["degraded"] or len(answer["results"]) != 24:
                    faults.append(answer)
            except (OSError, http.client.HTTPException) as error:
                faults.append(repr(error))
            if anew:
                connection.close()
            time.sleep(0.005)
        connection.close()

    callers = [threading.Thread(target=ask, args=(at < fresh,)) for at in range(fresh + kept)]
    for caller in callers:
        caller.start()
    try:
        yield faults, answers
    finally:
        ending.set()
        for caller in callers:
            caller.join()


def test_it_says_in_one_line_where_it_is_and_answers_there(service):
    assert service.line.startswith(f"http://127.0.0.1:{service.port} answers, with a page to try it at (")
    answer = service.rerank("p3", "nobody knows it", "p3")
    assert sorted(result["product_id"] for result in answer["results"]) == ["nobody knows it", "p3", "p3"]
    assert not answer["degraded"]


def test_workers_that_are_killed_are_replaced_and_meanwhile_others_answer(service):
    first, second = service.workers
    os.kill(first, signal.SIGKILL)
    assert until(lambda: not alive(first))
    for _ in range(20):
        assert not service.rerank()["degraded"]
    assert until(lambda: len(service.workers) == 2)
    os.kill(second, signal.SIGKILL)
    # If its place is not taken yet, this waits for it.
    assert not service.rerank()["degraded"]
    assert until(lambda: len(service.workers - {first, second}) == 2)


def test_a_swap_under_constant_load_loses_no_request_and_a_rollback_neither(place, service):
    with constant_load(service) as (faults, answers):
        until(lambda: len(answers) > 20)
        link(place, "second")
        status, told = service.admin("reload")
        assert status == 200, told
        assert told["bundle"] == str(place / "second")
        seen = len(answers)
        assert service.facts()["bundle"] == "second"
        until(lambda: len(answers) > seen + 20)
        for name in ("first", "second", "first"):
            assert service.admin("rollback")[0] == 200
            assert {service.facts()["bundle"] for _ in range(5)} == {name}
    assert faults == []


def test_a_damaged_bundle_is_refused_and_told_while_the_old_one_serves(place, service):
    name = service.facts()["bundle"]
    link(place, "damaged")
    with constant_load(service, fresh=1, kept=1) as (faults, _):
        status, told = service.admin("reload")
    assert status == 409
    assert told["error"].startswith("nothing has changed: ")
    assert str(place / "damaged") in told["error"]
    assert "site-packages" not in json.dumps(told)
    assert service.facts()["bundle"] == name
    assert faults == []
    link(place, "first")


def test_of_two_admins_at_once_one_is_refused(service):
    with ThreadPoolExecutor(2) as admins:
        statuses = sorted(admins.map(lambda _: service.admin("reload")[0], range(2)))
    assert statuses == [200, 409]


def test_the_kill_switch_reaches_all_workers_and_those_that_come_after(service):
    status, told = service.admin("off")
    assert (status, told["off"]) == (200, True)
    assert {service.rerank()["reason"] for _ in range(10)} == {"switched_off"}
    old = service.workers
    for serves in sorted(old)[-2:]:  # the others of them rest
        os.kill(serves, signal.SIGKILL)
    assert until(lambda: len(service.workers - old) == 2)
    assert until(lambda: not any(alive(pid) for pid in sorted(old)[-2:]))
    for _ in range(10):
        assert service.rerank("p5", "p4")["results"][0]["product_id"] == "p5"
    assert service.admin("on")[0] == 200
    assert {service.rerank()["reason"] for _ in range(10)} == {""}


def test_a_refreshed_state_is_served_after_a_hang_up(place, service):
    from ltr import bundle, refresh

    link(place, "first")
    before = service.facts()["state"]
    loaded = bundle.load(place / "first")
    catalogue = place / "catalogue.parquet"
    products = loaded.state.products
    products.head(20).write_parquet(catalogue)
    refresh.refresh(
        place / "first", products=catalogue, impressions=None, as_of=None, renewed="2024-02-02T00:00:00+00:00"
    )
    assert service.facts()["state"] == before
    service.process.send_signal(signal.SIGHUP)
    assert until(lambda: service.facts()["state"]["products"] == 20)
    assert (
        service.facts()["state"]["version"] == read_manifest(place / "first")["state"]["version"] != before["version"]
    )
    bundle_state.roll_back(place / "first")


def test_clients_that_go_or_dawdle_keep_nobody(service):
    head = b"POST /rerank HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n"
    open_ones = []
    for sent_of_it in (b"", head[:20], head, head + b'{"query": "red'):
        for goes in (True, False):
            client = socket.create_connection(("127.0.0.1", service.port))
            client.sendall(sent_of_it)
            client.close() if goes else open_ones.append(client)
    for _ in range(10):
        assert not service.rerank()["degraded"]
    for client in open_ones:
        client.close()


def test_wishes_without_the_admin_key_change_nothing(service):
    for headers in ({}, {"X-API-Key": "another key of the same shop"}):
        assert service.ask("POST", "/admin/off", **headers)[0] == 401
    assert not service.rerank()["degraded"]


def test_it_ends_with_0_when_what_was_asked_is_answered(shared):
    """The last: it ends the service that the others share."""
    body = json.dumps({"query": "red", "candidates": ["p1", "p2"], "deadline_ms": 10_000}).encode()
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as caller:
        caller.sendall(b"POST /rerank HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10])
        time.sleep(0.3)
        workers = shared.workers
        shared.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert shared.process.poll() is None
        caller.sendall(body[10:])
        answer = caller.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
    assert shared.process.wait(30) == 0
    assert not any(alive(worker) for worker in workers)


def test_full_disks_are_survived_and_a_supervisor_that_is_killed_leaves_nobody_and_nothing_behind(place):
    home = place / "full"
    home.mkdir()
    env = environment(place, TMPDIR=str(home))
    with (
        open("/dev/full", "w") as full,
        serving(place / "second", "--answer-log", "/dev/full", env=env, stderr=full) as service,
    ):
        for _ in range(50):
            assert not service.rerank()["degraded"]
        assert service.ask("POST", "/rerank", {"query": 7})[0] == 422
        workers = service.workers
        os.kill(service.process.pid, signal.SIGKILL)
        assert until(lambda: not any(alive(worker) for worker in workers), 10)
        assert until(lambda: not list(home.iterdir()), 10)


def test_a_second_interrupt_waits_for_nobody(place):
    with (
        serving(place / "second", env=environment(place)) as service,
        socket.create_connection(("127.0.0.1", service.port)) as caller,
    ):
        caller.sendall(b"POST /rerank HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.3)
        service.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert service.process.poll() is None
        assert service.end(signal.SIGINT) == 130


def test_an_interrupt_while_it_loads_ends_it(place):
    process = started(place / "second", "--port", "0", env=environment(place))
    assert until(lambda: "ltr.serving.service" in Path(f"/proc/{process.pid}/cmdline").read_text())
    assert until(lambda: children(process.pid))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_service_without_any_standard_descriptor_answers(place):
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]

    def closed():
        for descriptor in range(3):
            os.close(descriptor)

    process = started(
        place / "second", "--port", port, env=environment(place), stdout=None, stderr=None, preexec_fn=closed
    )
    try:
        service = Service(process, f":{port} ")
        assert until(lambda: process.poll() is None and answers(service))
        assert not service.rerank()["degraded"]
    finally:
        process.terminate()
        assert process.wait(30) == 0


def answers(service):
    try:
        return service.ask("GET", "/health/ready")[0] == 200
    except OSError:
        return False


def test_a_terminal_that_goes_ends_it(place):
    """Where somebody closes the window, a hang-up is no wish to reload."""
    ours, theirs = os.openpty()
    process = started(
        place / "second", "--port", "0", env=environment(place), stdin=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    assert until(lambda: children(process.pid))
    os.close(ours)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_port_that_is_taken_or_a_host_that_is_none_is_told():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"port {port} of 127.0.0.1 cannot be had: Address already in use; choose"
        ):
            listen("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"host 'no\.such\.host\.invalid' is no address"):
        listen("no.such.host.invalid", 0)
    with pytest.raises(ConfigError, match=r"port 0 of 192\.0\.2\.1 cannot be had"):
        listen("192.0.2.1", 0)


def test_the_supervisor_imports_nothing_that_is_heavy():
    code = "import ltr.serving.service, ltr.serving.logs, sys; print(*sys.modules)"
    loaded = set(subprocess.run(["python", "-c", code], check=True, capture_output=True, text=True).stdout.split())
    assert not loaded & {"numpy", "polars", "starlette", "uvicorn", "pydantic", "typer", "rich", "numba", "onnxruntime"}
