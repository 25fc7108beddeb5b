"""Text files of research formats, whole in memory: UTF-8 with or without gzip, and one clear error for what is neither."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ltr.errors import DataError

__all__ = ["decode", "read_bytes", "write_bytes"]


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacked where its name ends in .gz, without a byte-order mark; DataError where it is not readable."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint="check the path") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="copy or download it again") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes)", hint="copy or export it again")
    return data.removeprefix(b"\xef\xbb\xbf")


def decode(data: bytes, path: Path) -> str:
    """UTF-8 as text; DataError names the line of the first byte that is not."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: line {line} holds byte 0x{data[error.start]:02X}", hint="save it as UTF-8"
        ) from error


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file, packed where its name ends in .gz; equal data makes equal files."""
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)
