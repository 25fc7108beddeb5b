"""Public datasets: found on this machine, or fetched once, with a checksum and a resume.

``locate`` looks in ``[data] path``, then under $LTR_DATA_HOME, then in the cache ($LTR_CACHE_HOME or ~/.cache/ltr), and
fetches what is nowhere. A file under its own name is whole: while it is on its way it is ``NAME.part``, which a later
attempt continues (HTTP Range, bound to the same version by If-Range). Its SHA-256 is compared with the publisher's; where
the publisher states none, the first download's is written to ``NAME.sha256`` (trust on first use), and every later use
of a file that was downloaded is compared with that.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from ltr.errors import ConfigError, DownloadError
from ltr.progress import bar

__all__ = ["Remote", "cache_home", "fetch", "locate"]

_CHUNK: Final = 1 << 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Remote:
    """A public file: its name, its address, and its SHA-256 where the publisher states it."""

    name: str
    url: str
    sha256: str | None = None


def locate(
    source: str, files: Sequence[Remote], *, folders: Sequence[str] = (), path: Path | None = None, quiet: bool = False
) -> Path:
    """The directory that holds all files of a source, fetched into the cache where it has to be.

    Args:
        source: the source's name, and that of its folder in the cache.
        files: what the directory must hold.
        folders: the names that its folder may have under $LTR_DATA_HOME, the preferred first; default: the source's.
        path: the directory that the configuration names; nothing else is looked at then.
        quiet: no progress bars.
    """
    names = [file.name for file in files]
    if path is not None:
        if missing := [name for name in names if not (path / name).is_file()]:
            raise ConfigError(
                f"[data] path = {str(path)!r} lacks {', '.join(missing)}",
                hint="put them there, or remove the key to look in $LTR_DATA_HOME and the cache",
            )
        return path
    home = os.environ.get("LTR_DATA_HOME")
    for folder in folders or (source,):
        if home and all((Path(home).expanduser() / folder / name).is_file() for name in names):
            return Path(home).expanduser() / folder
    directory = cache_home() / "datasets" / source
    try:
        for file in files:
            fetch(file.name, file.url, file.sha256, directory=directory, quiet=quiet)
    except DownloadError as error:
        wanted = " and ".join(f"{file.name} (from {file.url})" for file in files)
        raise DownloadError(
            f"{error}. The files of {source!r} are not under LTR_DATA_HOME ({home or 'not set'})",
            hint=f"put {wanted} into {directory}, or into a folder {(folders or (source,))[0]!r} of a directory that "
            "LTR_DATA_HOME names, or name their directory in [data] path",
        ) from error
    return directory


def cache_home() -> Path:
    """$LTR_CACHE_HOME, or ~/.cache/ltr."""
    given = os.environ.get("LTR_CACHE_HOME")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "ltr"


def fetch(
    name: str, url: str, sha256: str | None, *, directory: Path, quiet: bool = False, timeout: float = 30.0
) -> Path:
    """Fetch a file into a directory unless it is there, and return its path.

    Args:
        name: the file's name in the directory.
        url: where it is.
        sha256: what its content must hash to; None = what the first download hashed to.
        directory: made where it is missing.
        quiet: no progress bar.
        timeout: seconds without an answer after which the attempt is given up.
    """
    target, part, record = directory / name, directory / f"{name}.part", directory / f"{name}.sha256"
    expected = sha256 or _recorded(record)
    if target.is_file():
        # A file that somebody put there by hand has no record and is taken as it is.
        if _recorded(record) and (found := _sha256(target)) != _recorded(record):
            raise DownloadError(
                f"{target} has changed since it was downloaded (SHA-256 {found}, recorded {_recorded(record)})",
                hint=f"delete it and {record.name}, and run the command again",
            )
        return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _receive(url, part, pinned=expected is not None, label=f"downloading {name}", quiet=quiet, timeout=timeout)
        found = _sha256(part)
        if expected is not None and found != expected:
            part.unlink()
            raise DownloadError(
                f"{url} came with SHA-256 {found}, expected {expected}; what came was deleted",
                hint="run the command again; if it comes out the same, the file has changed at its source",
            )
        record.write_text(f"{found}  {name}\n", encoding="ascii")
        part.replace(target)
        _version(part).unlink(missing_ok=True)
    except OSError as error:
        raise _disk_fault(error, directory) from error
    return target


def _receive(url: str, part: Path, *, pinned: bool, label: str, quiet: bool, timeout: float) -> None:
    """Append what is missing to ``part``, or start it afresh where it cannot be continued."""
    version = _version(part).read_text(encoding="utf-8") if _version(part).is_file() else ""
    # Without a checksum to hold it against, or a version to ask for, a continued file might be of two pieces.
    start = part.stat().st_size if part.is_file() and (pinned or version) else 0
    headers = {"User-Agent": "ltr", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            # All of it is here already, or more than there is: whole or not, the checksum says; if not, it starts afresh.
            _version(part).unlink(missing_ok=True)
            return
        raise DownloadError(
            f"{url} answered {error.code} {error.reason}", hint="the address may have moved, or the server may be busy"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _network_fault(url, error) from error
    with response:
        if response.status != http.client.PARTIAL_CONTENT or not _continues(response, start):
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        etag = response.headers.get("ETag", "")
        # A weak validator does not promise the same bytes (RFC 9110, 8.8.1).
        if etag and not etag.startswith("W/"):
            _version(part).write_text(etag, encoding="utf-8")
        with part.open("ab" if start else "wb", buffering=0) as file, _bar(label, total, quiet=quiet) as advance:
            advance(start)
            received = start + _copy(response, file, advance, url)
    if total is not None and received < total:
        raise DownloadError(
            f"{url} was cut off after {received:,} of {total:,} bytes",
            hint="run the command again: it goes on from there",
        )


def _copy(response: http.client.HTTPResponse, file: FileIO, advance: Callable[[int], None], url: str) -> int:
    received = 0
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _network_fault(url, error) from error
        if not chunk:
            return received
        rest = memoryview(chunk)
        while rest:
            rest = rest[file.write(rest) :]
        received += len(chunk)
        advance(len(chunk))


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    return bool(start) and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _bar(label: str, total: int | None, *, quiet: bool) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _done: None) if quiet else bar(label, total=total)


def _version(part: Path) -> Path:
    """Where the ETag of a part is kept."""
    return part.with_name(f"{part.name}.etag")


def _recorded(record: Path) -> str | None:
    return record.read_text(encoding="ascii").split()[0] if record.is_file() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _network_fault(url: str, error: Exception) -> DownloadError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return DownloadError(f"{url} cannot be reached: {reason}", hint="check the network, and run the command again")


def _disk_fault(error: OSError, directory: Path) -> DownloadError:
    if error.errno in _FULL:
        return DownloadError(
            f"the disk is full: {directory} takes no more",
            hint="free some space, or set LTR_CACHE_HOME; it goes on from there",
        )
    return DownloadError(f"{directory} cannot be written to: {error.strerror or error}", hint="set LTR_CACHE_HOME")
