"""Text files of research formats, whole in memory: UTF-8 with or without gzip, and one clear error for what is neither."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltr.errors import DataError

__all__ = ["decode", "read_bytes", "whole", "write_bytes"]


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacked where its name ends in .gz, without a byte-order mark; DataError where it is not readable."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" and data else data
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint="check the path") from error
    except gzip.BadGzipFile as error:
        raise DataError(
            f"{path} cannot be read: it is not gzip", hint="take .gz off its name, or copy it again"
        ) from error
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read: it is cut short or damaged ({error})", hint="copy or download it again"
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}", hint="give a file that may be read"
        ) from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes)", hint="copy or export it again")
    return data.removeprefix(b"\xef\xbb\xbf")


def decode(data: bytes, path: Path) -> str:
    """UTF-8 as text; DataError names the line of the first byte that is not, or UTF-16 by its byte-order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16, not UTF-8", hint="save it as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: line {line} holds byte 0x{data[error.start]:02X}",
            hint="save it as UTF-8, for example with iconv -f WINDOWS-1252 -t UTF-8",
        ) from error


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file whole or not at all, packed where its name ends in .gz; equal data makes equal files."""
    with whole(path) as draft:
        draft.write_bytes(gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A draft beside the file, which takes its place when all is written; a full disk or Ctrl-C leaves the file as it was."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
