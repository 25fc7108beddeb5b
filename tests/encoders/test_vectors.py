"""The file of vectors: nothing is made twice, and no crash, damage or neighbour ever yields a wrong vector."""

import subprocess
import sys
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import encoders
from ltr.config import EncoderConfig
from ltr.encoders.hashing import HashingEncoder
from ltr.encoders.vectors import _HEADER, _RECORD, VectorFile, key, remember
from ltr.errors import EncoderError

TEXTS = ["red shoes", "garden hose", "", "café \ud800", "red  shoes"]


@dataclass(frozen=True)
class Counting(HashingEncoder):
    """A hashing encoder that writes down what it is asked to make."""

    made: list = field(default_factory=list)

    def rows(self, texts, *, kind):
        self.made.extend((kind, text) for text in texts)
        yield from super().rows(texts, kind=kind)


def index_of(cache):
    return next(cache.glob("vectors/*/index"))


def rows_of(cache):
    return next(cache.glob("vectors/*/*.f32"))


def plain(texts):
    return HashingEncoder().encode(texts)


def test_nothing_is_encoded_twice(tmp_path):
    engine = Counting()
    encoder = remember(engine, cache=tmp_path)
    first = encoder.encode([*TEXTS, *TEXTS])
    assert engine.made == [("product", text) for text in TEXTS]
    assert np.array_equal(first, plain([*TEXTS, *TEXTS]))
    assert np.array_equal(encoder.encode([*TEXTS[::-1], "new"]), plain([*TEXTS[::-1], "new"]))
    assert engine.made[len(TEXTS) :] == [("product", "new")]
    # As a later process would, with no memory but the file.
    later = Counting()
    assert np.array_equal(remember(later, cache=tmp_path).encode([*TEXTS, "new"]), plain([*TEXTS, "new"]))
    assert later.made == []


def test_products_queries_and_runtimes_are_kept_apart(tmp_path):
    engine = Counting()
    encoder = remember(engine, cache=tmp_path)
    encoder.encode(["sofa"])
    encoder.encode_queries(["sofa"])
    remember(Counting(made=engine.made, runtime="another onnxruntime"), cache=tmp_path).encode(["sofa"])
    assert engine.made == [("product", "sofa"), ("query", "sofa"), ("product", "sofa")]
    assert len({key("sofa", kind="product", runtime=""), key("sofa", kind="query", runtime="")}) == 2


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(st.text(st.characters(exclude_categories=()), max_size=4), max_size=8), max_size=5))
def test_what_is_read_back_has_the_bits_of_what_was_made(tmp_path_factory, batches):
    cache = tmp_path_factory.mktemp("cache")
    engine = Counting()
    encoder = remember(engine, cache=cache)
    for texts in batches:
        assert np.array_equal(encoder.encode_queries(texts), HashingEncoder().encode_queries(texts))
    assert len(engine.made) == len(set(engine.made)) == len({text for texts in batches for text in texts})


def test_an_index_cut_off_anywhere_by_a_crash_loses_rows_but_not_their_truth(tmp_path):
    remember(Counting(), cache=tmp_path).encode(TEXTS)
    whole = index_of(tmp_path).read_bytes()
    for cut in range(_HEADER.size, len(whole)):
        index_of(tmp_path).write_bytes(whole[:cut])
        engine = Counting()
        encoder = remember(engine, cache=tmp_path)
        assert np.array_equal(encoder.encode([*TEXTS, "new"]), plain([*TEXTS, "new"]))
        assert len(engine.made) == len(TEXTS) + 1 - (cut - _HEADER.size) // _RECORD.size
        again = Counting()
        assert np.array_equal(remember(again, cache=tmp_path).encode([*TEXTS, "new"]), plain([*TEXTS, "new"]))
        assert again.made == []


def test_no_damaged_byte_yields_a_wrong_vector(tmp_path):
    remember(Counting(), cache=tmp_path).encode(TEXTS)
    good = {path: path.read_bytes() for path in (index_of(tmp_path), rows_of(tmp_path))}
    for path, content in good.items():
        for place in range(0, len(content), 1 if path.name == "index" else 97):
            for other, original in good.items():
                other.write_bytes(original)
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                assert np.array_equal(remember(Counting(), cache=tmp_path).encode(TEXTS), plain(TEXTS))
                assert np.array_equal(remember(Counting(), cache=tmp_path).encode(TEXTS), plain(TEXTS))


DAMAGE = {
    "rows cut off": lambda cache: rows_of(cache).write_bytes(rows_of(cache).read_bytes()[:-1]),
    "rows lost": lambda cache: rows_of(cache).unlink(),
    "rows changed": lambda cache: rows_of(cache).write_bytes(bytes(rows_of(cache).stat().st_size)),
    "another file": lambda cache: index_of(cache).write_bytes(b"PAR1" * 100),
    "an empty index": lambda cache: index_of(cache).write_bytes(b""),
    "another dimension": lambda cache: index_of(cache).write_bytes(
        _HEADER.pack(b"ltrvec 1", 3, b"0" * 32) + index_of(cache).read_bytes()[_HEADER.size :]
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_made_again_with_one_warning(tmp_path, damage):
    remember(Counting(), cache=tmp_path).encode(TEXTS)
    damage(tmp_path)
    engine = Counting()
    with pytest.warns(UserWarning, match="are damaged .*; they are made again") as warned:
        assert np.array_equal(remember(engine, cache=tmp_path).encode(TEXTS), plain(TEXTS))
    assert len(warned) == 1
    assert len(engine.made) == len(TEXTS)
    assert np.array_equal(remember(engine, cache=tmp_path).encode(TEXTS), plain(TEXTS))
    assert len(engine.made) == len(TEXTS)
    assert len(list(rows_of(tmp_path).parent.iterdir())) == 3  # index, rows, lock: nothing of the old is left


def test_a_process_that_knew_the_old_file_reads_the_new_one(tmp_path):
    old, other = remember(Counting(), cache=tmp_path), remember(Counting(), cache=tmp_path)
    old.encode(TEXTS)
    rows_of(tmp_path).write_bytes(b"")
    with pytest.warns(UserWarning, match="made again"):
        other.encode(["garden hose", "new"])
    assert np.array_equal(old.encode(["new", *TEXTS]), plain(["new", *TEXTS]))
    assert old.engine.made == [("product", text) for text in [*TEXTS, "red shoes", "", "café \ud800", "red  shoes"]]


def test_two_processes_may_write_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ltr import encoders; from ltr.config import EncoderConfig\n"
        f"encoder = encoders.load(EncoderConfig(model='hashing'), cache=Path({str(tmp_path)!r}))\n"
        "start, step = map(int, sys.argv[1:])\n"
        "for number in range(start, start + 300 * step, step): encoder.encode([f'text {number}', f'text {number + step}'])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, *given]) for given in (("0", "1"), ("300", "-1"))]
    assert [process.wait() for process in running] == [0, 0]
    texts = [f"text {number}" for number in range(301)]
    engine = Counting()
    assert np.array_equal(remember(engine, cache=tmp_path).encode(texts), plain(texts))
    assert engine.made == []
    assert index_of(tmp_path).stat().st_size == _HEADER.size + 301 * _RECORD.size


def test_ctrl_c_keeps_what_was_made(tmp_path):
    @dataclass(frozen=True)
    class Interrupted(HashingEncoder):
        def rows(self, texts, *, kind):
            for place, text in enumerate(texts):
                if place == 3:
                    raise KeyboardInterrupt
                yield np.array([place]), plain([text])

    with pytest.raises(KeyboardInterrupt):
        remember(Interrupted(), cache=tmp_path).encode(TEXTS)
    engine = Counting()
    assert np.array_equal(remember(engine, cache=tmp_path).encode(TEXTS), plain(TEXTS))
    assert engine.made == [("product", text) for text in TEXTS[3:]]


def test_a_full_disk_is_an_encoder_error_and_no_row(tmp_path):
    encoder = remember(Counting(), cache=tmp_path)
    encoder.file.append([], np.empty((0, encoder.dimension), dtype=np.float32))
    rows = rows_of(tmp_path)
    rows.unlink()
    rows.symlink_to("/dev/full")
    with pytest.raises(EncoderError, match=r"cannot be kept in .*: No space left on device; free some space there"):
        encoder.encode(TEXTS)
    assert index_of(tmp_path).stat().st_size == _HEADER.size


def test_a_cache_that_is_a_file_is_an_encoder_error(tmp_path):
    (tmp_path / "vectors").write_text("")
    with pytest.raises(EncoderError, match="choose another cache directory"):
        remember(Counting(), cache=tmp_path).encode(TEXTS)


def test_an_empty_file_has_no_rows(tmp_path):
    places, vectors = VectorFile(tmp_path / "new", 4).read([b"k" * 32])
    assert (places.shape, vectors.shape) == ((0,), (0, 4))
    assert not (tmp_path / "new").exists()


def test_load_puts_the_file_before_the_encoder_and_save_saves_the_encoder(tmp_path):
    encoder = encoders.load(EncoderConfig(model="hashing"), cache=tmp_path)
    assert np.array_equal(encoder.encode(TEXTS), plain(TEXTS))
    assert index_of(tmp_path).parent == tmp_path / "vectors" / encoder.digest
    encoder.save(tmp_path / "saved")
    restored = encoders.restore(tmp_path / "saved")
    assert (restored.name, restored.digest, restored.dimension) == ("hashing", encoder.digest, encoder.dimension)
    assert np.array_equal(restored.encode_queries(TEXTS), encoder.encode_queries(TEXTS))


@pytest.mark.parametrize(
    ("texts", "message"), [("sofa", "give a list of strings"), (["sofa", None], "a text is None, not a string")]
)
def test_what_is_no_list_of_strings_is_refused(tmp_path, texts, message):
    with pytest.raises(EncoderError, match=message):
        remember(Counting(), cache=tmp_path).encode(texts)
