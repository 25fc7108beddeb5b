"""A real service: `ltr serve` as a process, its workers, and what a caller and an admin send it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

KEY = "an-admin's-key-of-a-test"
PATIENCE_S = 60.0  # machines are shared


class Service:
    """A service that answers."""

    def __init__(self, process, line):
        self.process, self.line = process, line
        self.port = int(line.split()[0].rpartition(":")[2])

    @property
    def workers(self):
        """The processes that it has started and that have not ended."""
        return {pid for pid in children(self.process.pid) if alive(pid)}

    def connect(self, timeout=PATIENCE_S):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, value=None, **headers):
        """Status and value of one request over a connection of its own."""
        connection = self.connect()
        try:
            return sent(connection, method, path, value, **headers)
        finally:
            connection.close()

    def rerank(self, *candidates, query="red shoe"):
        """The answer for some candidates, in its own time."""
        value = {"query": query, "candidates": candidates or ("p3", "p1", "p2"), "deadline_ms": 10_000}
        status, answer = self.ask("POST", "/rerank", value)
        assert status == 200, answer
        return answer

    def admin(self, action):
        return self.ask("POST", f"/admin/{action}", **{"X-API-Key": KEY})

    def facts(self):
        return self.ask("GET", "/version")[1]

    def end(self, number=signal.SIGTERM):
        """The exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def sent(connection, method, path, value=None, **headers):
    body = None if value is None else json.dumps(value)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def children(pid):
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def alive(pid):
    """Whether a process has not ended; one that nobody has waited for has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def until(condition, patience=PATIENCE_S):
    """Wait until something is so; whether it is."""
    deadline = time.monotonic() + patience
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def environment(home, **given):
    """For a service of tests: without keys of ours, and with compiled modules kept where Python may not keep them beside their
    sources, since several processes start anew."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LTR_SERVE_")}
    if kept.pop("PYTHONDONTWRITEBYTECODE", None):
        kept["PYTHONPYCACHEPREFIX"] = str(home.parent / "bytecode")
    return {**kept, "TMPDIR": str(home), **given}


def started(*arguments, env, **options):
    command = [sys.executable, "-P", "-m", "ltr.cli", "serve", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, env=env, text=True, **options)


@contextmanager
def serving(*arguments, env, **options):
    """A service at a free port, for as long as it is needed; its workers do not outlive it."""
    process = started(*arguments, "--port", "0", env=env, **options)
    service = None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else "it did not become ready"
        service = Service(process, line)
        yield service
    finally:
        process.kill()
        for stream in (process.stdout, process.stderr):
            with suppress(AttributeError):
                stream.close()
        process.wait()
