"""Numbers that several processes count together: each in a file of doubles of its own; whoever is asked adds them up.

A process holds its file by a lock (flock) that ends with it, however it ends, so that nobody mistakes another process of the
same number for it. What the dead have counted stays, folded into one file, so that sums never fall and files do not become
more with each restart. A file is written in full before it is mapped: where the disk is full there is none, and the process
counts for itself; a page that has to be found later would be a fault of memory (SIGBUS), in the middle of an answer.

>>> alone = Tallies(2)
>>> alone.values[1] += 3
>>> alone.read()
Read(sums=[0.0, 3.0], living=[[0.0, 3.0]])
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

__all__ = ["Read", "Tallies"]

_log = logging.getLogger(__name__)

_AGAIN: Final = 10
# Of the disk, and of a file that is not what was written.
_FAULTS: Final = (OSError, ValueError, LookupError)


class Read(NamedTuple):
    """What was counted by all, dead and living; and what each of the living counted."""

    sums: list[float]
    living: list[list[float]]


class Tallies:
    """This process's numbers, and the way to the others'.

    Args:
        size: how many; they start at 0.
        directory: where the processes meet; None where there are no others.
        kind: what the numbers mean. Only those of one kind are added up.
    """

    def __init__(self, size: int, directory: Path | None = None, *, kind: str = "tally") -> None:
        self._form = Struct(f"={size}d")
        self._directory, self._kind, self._name = directory, kind, ""
        self._living = re.compile(rf"{re.escape(kind)}-\d+-[0-9a-f]+")
        self._folded = re.compile(rf"{re.escape(kind)}\.dead-(\d+)")
        room: mmap.mmap | bytearray = bytearray(self._form.size)
        if directory is not None:
            try:
                room = self._made(directory)
            except OSError as error:
                _log.warning("numbers are not shared with other processes: %s: %s", directory, error.strerror or error)
            with suppress(*_FAULTS):  # the next process to start folds
                self._fold(directory)
        self.values = memoryview(room).cast("d")

    @property
    def shared(self) -> bool:
        """Whether other processes see these numbers."""
        return bool(self._name)

    def read(self) -> Read:
        """Add up."""
        own = [float(value) for value in self.values]
        for _ in range(_AGAIN if self._directory is not None else 0):
            # A file may be folded while others are read: what is then missing is in the newer fold.
            with suppress(*_FAULTS):
                return self._everyone(own)
        return Read(own, [own])

    def _everyone(self, own: list[float]) -> Read:
        directory = self._directory or Path()
        names = os.listdir(directory)
        of, sums = self._dead(directory, names)
        sums = _added(sums, own)
        living = [own]
        for name in names:
            if name == self._name or name in of or not self._living.fullmatch(name):
                continue
            with _opened(directory / name) as descriptor:
                data = os.pread(descriptor, self._form.size, 0)
                if len(data) < self._form.size:
                    continue
                theirs = list(self._form.unpack(data))
                sums = _added(sums, theirs)
                if _held(descriptor):
                    living.append(theirs)
        return Read(sums, living)

    def _made(self, directory: Path) -> mmap.mmap:
        """A file of zeros, locked before it can be seen; its descriptor stays open, as the lock does."""
        name = f"{self._kind}-{os.getpid()}-{secrets.token_hex(8)}"
        draft = directory / f"{name}.draft"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._form.size)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            room = mmap.mmap(descriptor, self._form.size)
            draft.rename(directory / name)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        self._name = name
        return room

    def _fold(self, directory: Path) -> None:
        """Put what the dead have counted into one file. It names theirs, so that a crash before they go counts nothing twice."""
        with _opened(directory) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            names = os.listdir(directory)
            dead = [name for name in names if self._living.fullmatch(name) and not self._alive(directory / name)]
            if not dead:
                return
            of, sums = self._dead(directory, names)
            for name in dead:
                data = (directory / name).read_bytes()
                if name not in of and len(data) >= self._form.size:
                    sums = _added(sums, list(self._form.unpack_from(data)))
            number, last = self._last(names)
            draft = directory / f"{self._kind}.draft"
            draft.write_text(json.dumps({"of": dead, "sums": sums}))
            draft.rename(directory / f"{self._kind}.dead-{number + 1}")
            for name in (*dead, *last):
                (directory / name).unlink(missing_ok=True)

    def _dead(self, directory: Path, names: list[str]) -> tuple[set[str], list[float]]:
        """Whose numbers are folded, and their sums."""
        zeros = [0.0] * (self._form.size // 8)
        number, _ = self._last(names)
        if not number:
            return set(), zeros
        told = json.loads((directory / f"{self._kind}.dead-{number}").read_text())
        return set(told["of"]), _added(zeros, told["sums"])

    def _last(self, names: list[str]) -> tuple[int, list[str]]:
        """The number of the newest fold, 0 where there is none, and the names of all."""
        found = [match for match in map(self._folded.fullmatch, names) if match]
        return max((int(match[1]) for match in found), default=0), [match[0] for match in found]

    def _alive(self, path: Path) -> bool:
        if path.name == self._name:
            return True
        with _opened(path) as descriptor:
            return _held(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _held(descriptor: int) -> bool:
    """Whether a living process holds the file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _added(sums: list[float], others: list[float]) -> list[float]:
    return [one + other for one, other in zip(sums, others, strict=True)]
