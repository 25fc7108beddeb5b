"""Files come in whole lines, whatever their size, packing and faults."""

import gzip
import json
import random

import pytest

from ltr.errors import DataError
from ltr.judgments.jsonbytes import PADDING
from ltr.judgments.ndjson import Damaged, blocks

LINES = [json.dumps({"number": number, "text": "é" * (number % 90)}).encode() for number in range(1_500)]


def read(path, **how):
    return [block[:-PADDING].tobytes() for block in blocks(path, **how)]


@pytest.fixture
def file(tmp_path):
    def write(data, name="log.ndjson"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("size", [100, 30_000, 1 << 20])
@pytest.mark.parametrize("name", ["log.ndjson", "log.ndjson.gz"])
@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_no_byte_is_lost_and_no_line_is_cut(file, size, name, ending):
    data = b"\n".join(LINES) + ending
    found = read(file(gzip.compress(data) if name.endswith("gz") else data, name), size=size)
    assert b"".join(found) == data
    assert all(block.endswith(b"\n") for block in found[:-1])


def test_an_empty_file_has_no_block(file):
    assert read(file(b"")) == []
    assert read(file(gzip.compress(b""), "log.json.gz")) == []


def test_a_byte_order_mark_is_no_part_of_the_first_line(file):
    assert read(file(b"\xef\xbb\xbf{}\n")) == [b"{}\n"]


@pytest.mark.parametrize("text", [json.dumps({"a": 1}), "x"])
def test_utf16_is_damage(file, text):
    with pytest.raises(Damaged, match="UTF-16"):
        read(file(text.encode("utf-16")))


def test_what_stands_before_the_damage_is_read(file):
    draw = random.Random(7)
    rows = [json.dumps({"text": "".join(draw.choices("abcdefghij", k=400))}).encode() for _ in range(4_000)]
    packed = gzip.compress(b"\n".join(rows))
    path = file(packed[: len(packed) // 2], "log.ndjson.gz")
    kept: list[bytes] = []

    def keep():
        for block in blocks(path):
            kept.extend(block[:-PADDING].tobytes().split(b"\n"))

    with pytest.raises(Damaged, match="cut short"):
        keep()
    assert len(kept) > 1_000
    assert kept[:-1] == rows[: len(kept) - 1]


def test_a_file_that_is_not_gzip_is_damage(file):
    with pytest.raises(Damaged, match="damaged"):
        read(file(b"hello", "log.ndjson.gz"))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nothing.ndjson")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize(
    "document",
    [
        [{"a": 1}, {"a": {"b": [2]}}],
        {"took": 3, "hits": {"total": 2, "hits": [{"a": 1}, {"a": {"b": [2]}}]}},
    ],
)
def test_an_indented_document_is_rewritten_as_lines(file, document):
    found = b"".join(read(file(json.dumps(document, indent=2).encode(), "log.json")))
    assert [json.loads(line) for line in found.splitlines()] == [{"a": 1}, {"a": {"b": [2]}}]


def test_an_indented_document_that_breaks_off_is_damage(file):
    with pytest.raises(Damaged, match="no JSON document"):
        read(file(b'[\n  {\n    "a": 1\n  },\n  {\n', "log.json"))
