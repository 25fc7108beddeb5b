"""Work that nobody waits for, such as lines to write: done by one thread, in order, from a queue that has an end.

What does not fit is counted and let go. Whoever gives work is never kept, however long the thread is.

>>> done = []
>>> behind = Background(lambda items: done.extend(items) or 0, name="example", most=10)
>>> behind.put("a"), behind.put("b"), behind.put("too large", weight=11)
(True, True, False)
>>> behind.close(), done, behind.dropped
(True, ['a', 'b'], 1)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

__all__ = ["Background", "write_all"]

T = TypeVar("T")

_CLOSE_S: Final = 2.0


class Background(Generic[T]):
    """A queue and the thread that empties it.

    Args:
        take: does what has gathered, in order, and returns how many of it came to nothing.
        name: of the thread.
        most: the weight that may wait.
        nap_s: how long the thread lets work gather once there is some: each of its awakenings takes the interpreter from
            whoever answers.
    """

    def __init__(self, take: Callable[[list[T]], int], *, name: str, most: int, nap_s: float = 0.0) -> None:
        self.dropped = 0
        self._take, self._name, self._most, self._nap_s = take, name, most, nap_s
        self._held = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        # Of C, and safe to enter again: a signal's handler may log while a line is being put.
        self._waiting: SimpleQueue[tuple[T, int] | None] = SimpleQueue()
        self._lock = threading.RLock()

    def put(self, item: T, *, weight: int = 1) -> bool:
        """Give work; False where there is no room for it."""
        with self._lock:
            if self._closed or self._held + weight > self._most or not self._manned():
                self.dropped += 1
                return False
            self._held += weight
        self._waiting.put((item, weight))
        return True

    def close(self, within_s: float = _CLOSE_S) -> bool:
        """Take no more, and wait so long for what is there to be done; whether it was."""
        with self._lock:
            already, self._closed = self._closed, True
            thread = self._thread
        if thread is None:
            return True
        if not already:
            self._waiting.put(None)
        thread.join(within_s)
        return not thread.is_alive()

    def _manned(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=f"ltr-{self._name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads, or the interpreter is ending
                return False
            self._thread = thread
        return True

    def _work(self) -> None:
        going = True
        while going:
            gathered = [self._waiting.get()]
            if self._nap_s and not self._closed:
                time.sleep(self._nap_s)
            with suppress(Empty):
                while True:
                    gathered.append(self._waiting.get_nowait())
            given = [one for one in gathered if one is not None]
            going = len(given) == len(gathered)
            try:
                lost = self._take([item for item, _ in given]) if given else 0
            # Whatever it fails of, the thread has to go on.
            except Exception:
                lost = len(given)
            with self._lock:
                self._held -= sum(weight for _, weight in given)
                self.dropped += lost


def write_all(descriptor: int, data: bytes) -> int:
    """Write, and go on where the system took a part; how many bytes were written before it refused, if it did.

    >>> write_all(-1, b"nowhere")
    0
    """
    done = 0
    with suppress(OSError):
        while done < len(data):
            done += os.write(descriptor, data[done:] if done else data)
    return done
