"""A private Elasticsearch for development and tests: one server a directory, on the loopback interface, without a password.

Elastic publishes its own minimal server on Maven Central: BM25, kNN, rescore and bulk as in any other, without language
analyzers, scripts and machine learning. It is fetched once by ``mvn`` and compared with a checksum; what a server writes
(config, data, logs) lies in its directory, so several may share one fetched distribution.

    DIRECTORY/server.json   process, port and version of the server that was started here last
    DIRECTORY/data, logs, config, temporary
    CACHE/elasticsearch-8.19.21

Elasticsearch refuses to run as root: started by root, it runs as ``nobody``, who must be able to enter its directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ltr.engine.connection import connect
from ltr.engine.distribution import VERSION, fetched, java_home
from ltr.errors import ConfigError, EngineError

__all__ = ["Server", "home", "start", "status", "stop"]

_SETTINGS: Final = {
    "discovery.type": "single-node",
    "xpack.security.enabled": "false",
    # Without a password, nobody but this machine may ask.
    "network.host": "_local_",
    "http.host": "_local_",
    "transport.host": "_local_",
    # A development machine's disk is often over 90 % full, where indexes would be made read-only.
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}
_FOLDERS: Final = ("config", "data", "logs", "temporary")
_UNPRIVILEGED: Final = "nobody"
_POLL_S: Final = 0.1
_GRACE_S: Final = 30.0
_TAIL: Final = 12


@dataclass(frozen=True)
class Server:
    """A server that runs; ``fresh`` where this call has started it."""

    pid: int
    port: int
    version: str
    born: str  # tells the process from a later one with the same number
    directory: Path
    fresh: bool = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://localhost:{self.port}"


def home(cache: Path) -> Path:
    """The directory of the server that people share: in the cache, or for root in the system's where nobody may enter that.

    A cache that LTR_CACHE_HOME names is taken at its word.
    """
    wanted = cache / "elasticsearch"
    if _is_root() and not os.environ.get("LTR_CACHE_HOME") and _closed(wanted):
        return Path("/var/cache/ltr/elasticsearch")
    return wanted


def start(
    *,
    directory: Path,
    port: int = 9200,
    heap: str = "1g",
    cache: Path | None = None,
    closed: bool = False,
    timeout_s: float = 120.0,
) -> Server:
    """Start the directory's server and wait until it is healthy; one that runs already is returned as it is.

    Args:
        directory: for what it writes; made where it is missing.
        port: of HTTP, on the loopback interface.
        heap: of Java, such as "512m" or "1g".
        cache: where the distribution is kept; None = the directory.
        closed: with security on, so that nobody is let in: for trying what a refused login looks like.
        timeout_s: how long it may take to become healthy, after the distribution is there.

    Raises:
        ConfigError: a heap that is none.
        EngineError: Java, Maven or the distribution is missing, the port is taken, or the server gives up; with its reason.
    """
    if not re.fullmatch(r"[1-9]\d*[mg]", heap):
        raise ConfigError(f"heap {heap!r} is not a size", hint="such as 512m or 1g")
    directory = directory.absolute()
    with _locked(directory):
        if found := status(directory):
            _wait(found, time.monotonic() + timeout_s)
            return found
        _refuse_taken(port)
        java = java_home()
        distribution = fetched((cache or directory).absolute())
        for folder in (directory, distribution):
            if _is_root() and (barred := _closed(folder)):
                raise EngineError(
                    f"{barred} is closed to user {_UNPRIVILEGED!r}, as whom Elasticsearch runs when root starts it",
                    hint="choose another directory, or open that one with chmod o+x",
                )
        deadline = time.monotonic() + timeout_s
        server = _launched(directory, distribution, java, port=port, heap=heap, closed=closed, deadline=deadline)
        try:
            _wait(server, deadline)
            (directory / "server.json").write_text(json.dumps(_told(server), indent=2) + "\n", encoding="utf-8")
        except BaseException:
            _end(server)
            raise
        return server


def status(directory: Path) -> Server | None:
    """The directory's server, None where it does not run."""
    try:
        told = json.loads((directory / "server.json").read_text(encoding="utf-8"))
        found = Server(int(told["pid"]), int(told["port"]), str(told["version"]), str(told["born"]), directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if _born(found.pid) == found.born else None


def stop(directory: Path) -> Server | None:
    """End the directory's server and wait until it has ended; None where none ran. Its data stay."""
    if not directory.is_dir():
        return None
    with _locked(directory):
        found = status(directory)
        if found:
            _end(found)
        (directory / "server.json").unlink(missing_ok=True)
        return found


def _launched(
    directory: Path, distribution: Path, java: Path, *, port: int, heap: str, closed: bool, deadline: float
) -> Server:
    """Start the process and return it when it serves; its own launcher waits for that."""
    _prepare(directory, distribution)
    config, data, logs, temporary = (directory / name for name in _FOLDERS)
    record, output = temporary / "pid", directory / "started.log"
    settings = _SETTINGS | {"http.port": str(port), "path.data": str(data), "path.logs": str(logs)}
    settings |= {"xpack.security.enabled": "true"} if closed else {}
    command = [str(distribution / "bin" / "elasticsearch"), "-d", "-p", str(record)]
    command += [f"-E{name}={value}" for name, value in settings.items()]
    # Nothing else of the caller's environment, such as keys of clouds, is the server's business.
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {
        "ES_JAVA_HOME": str(java),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap}",
        "ES_PATH_CONF": str(config),
        "ES_TMPDIR": str(temporary),
    }
    with output.open("wb") as sink:
        launcher = subprocess.Popen(
            command, env=environment, cwd=logs, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            start_new_session=True, **_identity(),
        )  # fmt: skip
        try:
            code = launcher.wait(max(1.0, deadline - time.monotonic()))
        except BaseException as error:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise EngineError(
                    f"Elasticsearch did not start in time{_last_words(output, logs)}", hint=f"its logs are in {logs}"
                ) from error
            raise
    if code:
        raise EngineError(f"Elasticsearch gave up{_last_words(output, logs)}", hint=f"its logs are in {logs}")
    return _identified(record, launcher.pid, port, directory)


def _identified(record: Path, session: int, port: int, directory: Path) -> Server:
    try:
        pid = int(record.read_text(encoding="ascii"))
        # The file is the server's own: a number in it that is not of the session just started is not ours to end.
        born = _born(pid) if os.getsid(pid) == session else None
    except (OSError, ValueError):
        born = None
    if born is None:
        raise EngineError("Elasticsearch ended as soon as it had started", hint=f"its logs are in {directory / 'logs'}")
    return Server(pid, port, VERSION, born, directory, fresh=True)


def _prepare(directory: Path, distribution: Path) -> None:
    """Folders that the server may write; its configuration is the distribution's, anew each time."""
    for name in ("config", "temporary"):
        shutil.rmtree(directory / name, ignore_errors=True)
    shutil.copytree(distribution / "config", directory / "config")
    owned = [directory / name for name in _FOLDERS]
    for folder in owned:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
    if _is_root():
        user, group = _ids()
        for path in [*owned, *(directory / "config").rglob("*")]:
            os.chown(path, user, group)


def _wait(server: Server, deadline: float) -> None:
    engine = connect(server.url, timeout_s=5, retries=0)
    while True:
        try:
            health = engine.call("GET", "/_cluster/health", params={"wait_for_status": "yellow", "timeout": "2s"})
            if health.get("status") in ("yellow", "green"):
                return
            reason = f"its health is {health.get('status')}"
        except EngineError as error:
            if error.status == 401:
                return  # it is there, and lets nobody in
            reason = str(error)
        if _born(server.pid) != server.born:
            raise EngineError(f"Elasticsearch has ended{_last_words(server.directory / 'started.log', _logs(server))}")
        if time.monotonic() > deadline:
            raise EngineError(
                f"Elasticsearch at {server.url} is not healthy: {reason}", hint=f"its logs are in {_logs(server)}"
            )
        time.sleep(_POLL_S)


def _end(server: Server) -> None:
    for number, patience in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
        deadline = time.monotonic() + patience
        try:
            if _born(server.pid) == server.born:
                os.kill(server.pid, number)
        except ProcessLookupError:
            return
        while time.monotonic() < deadline:
            if _born(server.pid) != server.born:
                return
            time.sleep(_POLL_S)
    raise EngineError(f"process {server.pid} does not end", hint="end it by hand")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One start or stop of a directory at a time; the next waits."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise EngineError(
            f"{error.filename} may not be written by this user", hint="choose another directory, or its owner's account"
        ) from error


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise EngineError(
                f"port {port} cannot be had: {getattr(error, 'strerror', None) or error}",
                hint="choose another with --port; if an engine of yours is there, use it: set LTR_ELASTICSEARCH_URL",
            ) from error


def _born(pid: int) -> str | None:
    """When a process began, in the system's own words; None where there is none, or one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        # A zombie with threads has not let go of its port yet.
        return None if fields[0] in "ZX" and int(fields[17]) <= 1 else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    listed = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return listed[1].strip() if len(listed) == 2 and not listed[0].startswith("Z") else None


def _closed(folder: Path) -> Path | None:
    """The first folder on the way that others may not enter."""
    absolute = folder.absolute()
    for path in (*reversed(absolute.parents), absolute):
        if path.is_dir() and not stat.S_IMODE(path.stat().st_mode) & stat.S_IXOTH:
            return path
    return None


def _identity() -> dict[str, Any]:
    """Of a process that root starts: not root."""
    if not _is_root():
        return {}
    user, group = _ids()
    return {"user": user, "group": group, "extra_groups": []}


def _ids() -> tuple[int, int]:
    import pwd

    try:
        account = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise EngineError(f"there is no user {_UNPRIVILEGED!r}", hint="start it as a user who is not root") from error
    return account.pw_uid, account.pw_gid


def _is_root() -> bool:
    return os.geteuid() == 0


def _logs(server: Server) -> Path:
    return server.directory / "logs"


def _told(server: Server) -> dict[str, Any]:
    return {name: value for name, value in asdict(server).items() if name not in ("directory", "fresh")}


def _last_words(*places: Path) -> str:
    """The last lines that say what was wrong, of a file or of a folder's newest."""
    for place in places:
        files = sorted(place.glob("*.log"), key=lambda path: path.stat().st_mtime) if place.is_dir() else [place]
        lines = files[-1].read_text(encoding="utf-8", errors="replace").splitlines() if files else []
        if told := [line.strip() for line in lines if re.search(r"(?i)error|exception|fatal|refus|denied", line)]:
            return f": {' / '.join(told[-_TAIL:])[-600:]}"
    return ""
