"""The saved directory: what is written is read back, and what is not as written is refused."""

import json
import os

import pytest

from ltr import encoders
from ltr.encoders import saved
from ltr.encoders.saved import Saved
from ltr.errors import EncoderError

FILES = {"model.onnx": "0" * 64, "tokenizer.json": "1" * 64}
HEADER = Saved("onnx", "dé", "ab", 3, pooling="cls", max_length=9, prompts={"query": "q: "}, files=FILES)


def test_a_header_is_read_back_as_written_and_equal_headers_are_equal_bytes(tmp_path):
    saved.write(HEADER, tmp_path / "a")
    saved.write(HEADER, tmp_path / "b")
    assert saved.read(tmp_path / "a") == HEADER
    assert (tmp_path / "a" / "encoder.json").read_bytes() == (tmp_path / "b" / "encoder.json").read_bytes()


WRONG = {
    "not JSON": ("{", "is not an encoder's header"),
    "not an object": ("[]", "is not an encoder's header"),
    "no format": ('{"kind": "onnx"}', "is not an encoder's header"),
    "a key too many": ({"format": 1, "colour": "red"}, "is not an encoder's header"),
    "a number for a name": ({"name": 7}, "name is not a string"),
    "a string for a number": ({"dimension": "384"}, "dimension is not a whole number"),
    "a list of prompts": ({"prompts": ["query"]}, "is not an encoder's header"),
    "a file elsewhere": ({"files": FILES | {"../../etc/passwd": "0"}}, "files holds a path"),
    "no model": ({"files": {}}, "is not an encoder's header"),
    "a later format": ({"format": 2}, "has format 2; this ltr reads up to 1; use a newer ltr"),
    "a kind to come": ({"kind": "onxx"}, "kind 'onxx' is unknown; did you mean 'onnx'"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_header_that_is_not_as_written_is_refused(tmp_path, content, message):
    saved.write(HEADER, tmp_path)
    path = tmp_path / "encoder.json"
    path.write_text(content if isinstance(content, str) else json.dumps(json.loads(path.read_text()) | content))
    with pytest.raises(EncoderError, match=message):
        encoders.restore(tmp_path)


def test_a_directory_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"encoder.json cannot be read: No such file .*; give a directory"):
        encoders.restore(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_changed_or_missing_is_refused(minilm, tmp_path, name):
    minilm.save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()  # the file is a hard link into the cache: it is replaced, never written to
    with pytest.raises(EncoderError, match=f"{name} cannot be read"):
        encoders.restore(tmp_path)
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(EncoderError, match=f"{name} is not what was saved; save it again"):
        encoders.restore(tmp_path)


def test_files_are_linked_where_that_can_be_and_copied_where_not(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"model")
    saved.place(source, tmp_path / "linked")
    assert (tmp_path / "linked").samefile(source)

    def on_another_file_system(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", on_another_file_system)
    saved.place(source, tmp_path / "linked")  # and what was there is replaced, not written through
    assert not (tmp_path / "linked").samefile(source)
    assert (tmp_path / "linked").read_bytes() == source.read_bytes() == b"model"
