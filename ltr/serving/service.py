"""The service as a process: its socket, its signals and its end. ``ltr serve`` becomes it.

    python -m ltr.serving.service JSON        (``becoming``)

    SIGTERM, SIGINT   finish what is asked, end with 0; a second time: at once
    SIGHUP            reload; where the terminal that it was started from has gone, end

Exit codes: 0 ended as told; 1 a worker ended as it started, without a word; 2 what was given cannot be served, with one
sentence on standard error. Standard output has one line, when it answers. The process is light and stays so: numbers,
frames and HTTP are its workers' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from ltr.errors import ConfigError, LtrError, MissingExtraError
from ltr.serving.processes import Asked, Failed, Worker, environment
from ltr.serving.settings import ADMIN_KEYS, KEYS, Settings, read_keys
from ltr.serving.supervisor import Supervisor

__all__ = ["become", "listen", "main"]

_BACKLOG: Final = 1024  # connections that wait for a worker
_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130


def become(bundle: Path, settings: Settings) -> NoReturn:
    """Take the place of this process, so that what it has imported takes no memory while the service runs."""
    # Keys stay in the environment: other users of the machine see arguments.
    told = _plain(replace(settings, keys=(), admin_keys=()))
    given = json.dumps({"bundle": str(bundle.absolute()), "settings": told})
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # full, or closed
            stream.flush()
    # -P: a module in the working directory is not to stand in for one of ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "ltr.serving.service", given])


def listen(host: str, port: int) -> socket.socket:
    """A socket on which connections may wait for a worker; ConfigError where the address cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"host {host!r} is no address of this machine", hint="such as 127.0.0.1 or 0.0.0.0"
        ) from error
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        opened = None
        try:
            opened = socket.socket(family, kind, protocol)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(_BACKLOG)
            opened.setblocking(False)
        except OSError as error:
            failure = failure or error
            if opened is not None:
                opened.close()
        else:
            return opened
    told = failure.strerror if failure else "no such address"
    hint = "choose another with --port" if failure and failure.errno == errno.EADDRINUSE else "see --host and --port"
    raise ConfigError(f"port {port} of {host} cannot be had: {told}", hint=hint) from failure


@dataclass(frozen=True)
class _Service:
    """What workers are started with."""

    options: Settings
    listener: socket.socket
    metrics: Path

    def settings(self) -> Settings:
        """The options, and the keys as they are now: a file may hold others than at the start."""
        return replace(self.options, keys=read_keys(os.environ, KEYS), admin_keys=read_keys(os.environ, ADMIN_KEYS))

    async def start(self, bundle: Path, settings: Settings, off: bool, asked: Asked) -> Worker:
        """Start a worker."""
        secrets = (KEYS, ADMIN_KEYS, f"{KEYS}_FILE", f"{ADMIN_KEYS}_FILE")
        return await Worker.started(
            {"bundle": str(bundle), "settings": _plain(settings), "off": off},
            listener=self.listener,
            environment=environment(os.environ, metrics=self.metrics, without=secrets),
            asked=asked,
        )


def _plain(settings: Settings) -> dict[str, Any]:
    """Settings as JSON has them."""
    log = settings.answer_log
    return {**asdict(settings), "answer_log": None if log is None else str(log.absolute())}


async def _serve(bundle: Path, service: _Service) -> int:
    supervisor = Supervisor(bundle, service.settings, start=service.start)
    loop, told, code = asyncio.get_running_loop(), asyncio.Event(), 0
    terminal = os.isatty(0)
    tasks: set[asyncio.Task[Any]] = set()

    def end(number: int) -> None:
        nonlocal code
        if told.is_set() and number == signal.SIGINT:
            code = _INTERRUPTED
            tasks.add(loop.create_task(supervisor.close(at_once=True)))
        told.set()

    def hung_up() -> None:
        if terminal and not os.isatty(0):
            told.set()
        else:
            tasks.add(loop.create_task(supervisor.reload()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, hung_up)
    opening, ending = loop.create_task(supervisor.open()), loop.create_task(told.wait())
    await asyncio.wait({opening, ending}, return_when=asyncio.FIRST_COMPLETED)
    if opening.done():
        _say(1, _ready(opening.result(), service))
        await ending
    await supervisor.close()
    with contextlib.suppress(Failed):
        await opening
    return code


def _ready(facts: Mapping[str, Any], service: _Service) -> str:
    host, port = service.listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    page = ", with a page to try it at" if service.options.page else ""
    return f"{address} answers{page} ({facts['bundle']}, {facts['products']:,} products)"


def _say(descriptor: int, line: str) -> None:
    """Tell people; a terminal that has gone or a disk that is full is no reason to end."""
    with contextlib.suppress(OSError):
        os.write(descriptor, (line + "\n").encode())


def main(arguments: list[str]) -> int:
    """Serve until told to end."""
    _open_standard()
    given = json.loads(arguments[0])
    log = given["settings"]["answer_log"]
    options = Settings(**{**given["settings"], "keys": (), "admin_keys": (), "answer_log": log and Path(log)})
    try:
        with _opened(options) as service:
            return asyncio.run(_serve(Path(given["bundle"]), service))
    except LtrError as error:
        _say(2, f"error: {error}")
        return _FAILED if isinstance(error, Failed) and not error.told else _BAD_INPUT


@contextlib.contextmanager
def _opened(options: Settings) -> Iterator[_Service]:
    """The socket, the log, and a directory that goes with the service."""
    try:
        from ltr.serving import logs
    except ImportError as error:
        raise MissingExtraError(str(error.name), "serve") from error
    try:
        metrics = tempfile.TemporaryDirectory(prefix="ltr-serve-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(f"no temporary directory can be made: {error.strerror}", hint="set TMPDIR") from error
    with metrics, listen(options.host, options.port) as listener:
        service = _Service(options, listener, Path(metrics.name))
        known = service.settings()
        _allow_connections()
        handler = logs.configure(secrets=(*known.keys, *known.admin_keys))
        try:
            yield service
        finally:
            handler.close()


def _open_standard() -> None:
    """Open what was closed of standard input, output and error: the socket would get its number, and the log with it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _allow_connections() -> None:
    """As many open files as the system allows, a connection being one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
