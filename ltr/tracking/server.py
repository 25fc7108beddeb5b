"""Tracking URIs: where a server is, without its secrets; whether it answers, in seconds and not in minutes."""

from __future__ import annotations

import re
import shlex
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ltr.errors import TrackingError

__all__ = ["artifacts_beside", "check_reachable", "database_file", "masked", "opened_by"]

_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def masked(text: str) -> str:
    """A text without the credentials of the URIs in it.

    >>> masked("no answer from postgresql://ltr:s3cret@db/mlflow?password=s3cret")
    'no answer from postgresql://***@db/mlflow?password=***'
    """
    text = re.sub(r"://[^\s'\"]*@", "://***@", text)
    return re.sub(r"(?i)\b(password|passwd|pwd|token|secret|api_?key)=[^\s&'\"]+", r"\1=***", text)


def opened_by(uri: str) -> str:
    """What opens the MLflow UI over this URI: a command, or the address of a server that runs.

    >>> opened_by("http://mlflow.example:5000")
    'http://mlflow.example:5000'
    """
    if uri.startswith(("http://", "https://")):
        return masked(uri)
    file = database_file(uri)
    return f"mlflow ui --backend-store-uri {shlex.quote(masked(uri) if file is None else f'sqlite:///{file}')}"


def database_file(uri: str) -> Path | None:
    """The absolute path of a sqlite URI's file; None for any other URI and for a database in memory."""
    if not uri.startswith("sqlite:///"):
        return None
    path = unquote(uri.removeprefix("sqlite:///").partition("?")[0]).removeprefix("file:")
    return Path(path).absolute() if path not in ("", ":memory:") else None


def artifacts_beside(file: Path, experiment: str) -> str:
    """Where a local experiment keeps its files: ./mlruns beside the database, wherever it is later read from."""
    return (file.parent / "mlruns" / experiment).as_uri()


def check_reachable(uri: str, *, timeout: float = 5) -> None:
    """Raise TrackingError where a database can be seen at once not to answer; MLflow would try for minutes.

    An HTTP server may stand behind a proxy, so only asking it tells.
    """
    file = database_file(uri)
    if file is not None:
        _check_sqlite(file, uri, timeout)
        return
    parts = urlsplit(uri)
    port = _PORTS.get(parts.scheme.partition("+")[0])
    if port and parts.hostname:
        try:
            socket.create_connection((parts.hostname, parts.port or port), timeout=timeout).close()
        except OSError as error:
            raise TrackingError(
                f"no database answers at {masked(uri)}: {error.strerror or error}", hint="start it, or set tracking.uri"
            ) from error


def _check_sqlite(file: Path, uri: str, timeout: float) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=timeout, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except (OSError, sqlite3.Error) as error:
        hint = {
            "database is locked": "another program is writing; try again when it is done",
            "file is not a database": "move the file away, or set tracking.uri",
        }.get(str(error), "set tracking.uri to a file that can be written")
        reason = error.strerror if isinstance(error, OSError) else error
        raise TrackingError(f"{masked(uri)} cannot be written: {reason}", hint=hint) from error
