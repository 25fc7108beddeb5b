"""Files of lines: what is read is what was written, and what cannot be read is named."""

import errno
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import DataError
from ltr.lines import decode, read_bytes, write_bytes


@given(data=st.binary(min_size=1).filter(lambda data: not data.startswith(b"\xef\xbb\xbf")), packed=st.booleans())
def test_what_is_read_is_what_was_written(data, packed, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / ("file.gz" if packed else "file")
    write_bytes(data, path)
    assert read_bytes(path) == data


def test_packing_twice_makes_equal_files_and_a_mark_is_no_text(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_bytes(b"\xef\xbb\xbfone\n", tmp_path / name)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert decode(read_bytes(tmp_path / "a.gz"), tmp_path / "a.gz") == "one\n"


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="none does not exist; check the path"):
        read_bytes(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match=r"empty is empty \(0 bytes\)"):
        read_bytes(tmp_path / "empty")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one\n" * 100)[:20])
    with pytest.raises(DataError, match=r"cut.gz cannot be read: it is cut short or damaged"):
        read_bytes(tmp_path / "cut.gz")
    (tmp_path / "plain.gz").write_bytes(b"one\n")
    with pytest.raises(DataError, match=r"plain.gz cannot be read: it is not gzip; take .gz off its name"):
        read_bytes(tmp_path / "plain.gz")
    with pytest.raises(DataError, match="line 2 holds byte 0xE9; save it as UTF-8"):
        decode(b"one\ncaf\xe9\n", tmp_path / "latin")


def test_a_directory_and_a_forbidden_file_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=rf"^{tmp_path} cannot be read: Is a directory; give a file that may be read$"):
        read_bytes(tmp_path)
    # Whoever runs the tests may be root, whom no permission stops.
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(DataError, match=rf"^{tmp_path}/secret cannot be read: Permission denied; give a file"):
        read_bytes(tmp_path / "secret")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_by_its_mark(tmp_path, encoding):
    data = ("" if encoding == "utf-16" else "\ufeff").encode(encoding) + "caf\xe9\n".encode(encoding)
    with pytest.raises(DataError, match="notes is UTF-16, not UTF-8; save it as UTF-8"):
        decode(data, tmp_path / "notes")


def forbidden(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
