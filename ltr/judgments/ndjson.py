"""Files of JSON lines, in blocks of whole lines.

A block is some megabytes whatever the size of the file, so that memory does not follow it. Plain or gzip; an array with an
object a line is read as lines; a file that is one indented JSON document (an array, a search response) is read whole first.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import DataError
from ltr.judgments.jsonbytes import PADDING, padded

__all__ = ["BLOCK", "EXTENSIONS", "Damaged", "blocks"]

EXTENSIONS: Final = (".json", ".jsonl", ".ndjson")
BLOCK: Final = 32 << 20
# Of a packed file that is damaged, what follows the last whole piece is lost.
_PIECE: Final = 1 << 18
_LONGEST: Final = 256 << 20  # bytes of one line, or of a document that is read whole


class Damaged(Exception):
    """A file that breaks off or is no text: the reader counts it, and keeps what came before."""


def blocks(path: Path, *, size: int = BLOCK) -> Iterator[NDArray[np.uint8]]:
    """The file's whole lines in padded blocks of about ``size`` bytes; none where it is empty.

    Raises:
        DataError: the file does not exist or may not be read.
        Damaged: from here on it is not readable.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if path.suffix.lower() == ".gz" else raw as file:
            head = file.read(1 << 16)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise Damaged("it is UTF-16, not UTF-8")
            head = head.removeprefix(b"\xef\xbb\xbf")
            if _indented(head):
                rest = file.read(_LONGEST)
                yield padded(_rewritten(head + rest))
            else:
                yield from _lines(head, file, size)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint="check the path") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Damaged(f"it is cut short or damaged ({error})") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}", hint="give a file that may be read"
        ) from error


def _lines(head: bytes, file: BinaryIO, size: int) -> Iterator[NDArray[np.uint8]]:
    carried = np.frombuffer(head, dtype=np.uint8)
    while True:
        block = np.empty(len(carried) + size + PADDING, dtype=np.uint8)
        block[: len(carried)] = carried
        read, fault = _filled(file, block.data[len(carried) : len(carried) + size])
        end = len(carried) + read
        if fault is not None or not read:
            if end:
                block[end : end + PADDING] = ord("\n")
                yield block[: end + PADDING]
            if fault is not None:
                raise fault
            return
        cut = _behind_last_line(block, end)
        carried = block[cut:end].copy()
        if cut:
            block[cut : cut + PADDING] = ord("\n")
            yield block[: cut + PADDING]
        elif end > _LONGEST:
            raise Damaged(f"a line is longer than {_LONGEST >> 20} MiB")


def _behind_last_line(block: NDArray[np.uint8], end: int) -> int:
    """The byte behind the last line end before ``end``, 0 where there is none."""
    reach = 1 << 16
    while True:
        start = max(0, end - reach)
        found = np.flatnonzero(block[start:end] == ord("\n"))
        if len(found) or not start:
            return start + int(found[-1]) + 1 if len(found) else 0
        reach *= 16


def _filled(file: BinaryIO, room: memoryview) -> tuple[int, Exception | None]:
    """Read until the room is full or the file ends; bytes, and what broke off the reading behind them."""
    done = 0
    try:
        while done < len(room) and (read := file.readinto(room[done : done + _PIECE])):  # type: ignore[attr-defined]
            done += read
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return done, error
    return done, None


def _indented(head: bytes) -> bool:
    """Whether an object or an array opens on a line and goes on with a member, or with another opening, on the next."""
    first, _, rest = head.lstrip().partition(b"\n")
    if first.strip() not in (b"{", b"[", b"[{"):
        return False
    second = rest.lstrip().partition(b"\n")[0].strip()
    return second == b"{" or second.startswith(b'"')


def _rewritten(document: bytes) -> bytes:
    """The records of a JSON document as lines: of an array, of a search response's hits, or the document itself."""
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"it is no JSON document ({error})") from error
    if isinstance(value, dict):
        hits = value.get("hits")
        value = hits["hits"] if isinstance(hits, dict) and isinstance(hits.get("hits"), list) else [value]
    lines = io.StringIO()
    for record in value:
        json.dump(record, lines)
        lines.write("\n")
    return lines.getvalue().encode()
