"""Files of lines: what is read is what was written, and what cannot be read is named."""

import gzip

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
    with pytest.raises(DataError, match=r"cut.gz cannot be read"):
        read_bytes(tmp_path / "cut.gz")
    with pytest.raises(DataError, match="line 2 holds byte 0xE9; save it as UTF-8"):
        decode(b"one\ncaf\xe9\n", tmp_path / "latin")
