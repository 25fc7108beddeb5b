"""The exported model against sentence-transformers, the authority on what its vectors are."""

import sys

import numpy as np
import pytest

from ltr import encoders
from ltr.config import EncoderConfig
from ltr.encoders import exported
from ltr.encoders.sample import SAMPLE, cosines
from ltr.errors import EncoderError

TEXTS = [
    *SAMPLE,
    "",
    "red running shoes",
    "Ridley Scott: Alien (1979)",
    "[SEP] [MASK]",
    "naïve café 日本 🙂",
    "a\x00b\x07c\td",
]


def original(directory):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(directory), device="cpu", local_files_only=True)


def test_onnx_vectors_are_those_of_sentence_transformers(minilm, weights):
    expected = original(weights).encode(TEXTS, show_progress_bar=False)
    assert cosines(minilm.encode(TEXTS), expected).min() > 1 - 1e-4
    assert cosines(minilm.encode_queries(TEXTS), expected).min() > 1 - 1e-4
    assert minilm.dimension == expected.shape[1] == 384


@pytest.mark.parametrize(("pooling", "normalise"), [("cls", True), ("max", False), ("mean", False)])
def test_every_pooling_understood_gives_the_original_vectors_normalised(make_model, tmp_path, pooling, normalise):
    directory = make_model(pooling, normalise=normalise)
    encoder = encoders.load(EncoderConfig(model=str(directory)), cache=tmp_path)
    expected = original(directory).encode(TEXTS, show_progress_bar=False)
    found = encoder.encode(TEXTS)
    assert cosines(found, expected).min() > 1 - 1e-4
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert (encoder.name, encoder.dimension) == ("tiny", 32)


def test_a_model_with_prompts_sees_them_as_encode_query_and_encode_document_have_it(make_model, tmp_path):
    directory = make_model(prompts={"query": "query: ", "document": "passage: "})
    encoder = encoders.load(EncoderConfig(model=str(directory)), cache=tmp_path)
    model = original(directory)
    queries = model.encode_query(TEXTS, show_progress_bar=False)
    products = model.encode_document(TEXTS, show_progress_bar=False)
    assert cosines(encoder.encode_queries(TEXTS), queries).min() > 1 - 1e-4
    assert cosines(encoder.encode(TEXTS), products).min() > 1 - 1e-4
    assert cosines(queries, products).min() < 1 - 1e-4


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"dense": True}, "is made of Transformer, Pooling, Dense; what is understood is"),
        ({"pooling": "lasttoken"}, "has pooling 'lasttoken'; what is understood is cls, max, mean"),
        ({"pooling": ("cls", "mean")}, "has pooling .*'cls', 'mean'.*; what is understood is cls, max, mean"),
    ],
    ids=["dense", "last token", "two poolings"],
)
def test_what_is_not_understood_is_refused_and_leaves_nothing(make_model, tmp_path, model, message):
    with pytest.raises(EncoderError, match=message):
        encoders.load(EncoderConfig(model=str(make_model(**model))), cache=tmp_path)
    assert list((tmp_path / "encoders").iterdir()) == []


def test_weights_that_cannot_be_read_are_an_encoder_error(make_model, tmp_path):
    directory = make_model()
    (directory / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(EncoderError, match=r"'tiny' cannot be exported to ONNX \(.*\); choose another model"):
        encoders.load(EncoderConfig(model=str(directory)), cache=tmp_path)


def test_an_export_whose_vectors_differ_is_refused(make_model, tmp_path, monkeypatch):
    directory = make_model("mean")
    # What a wrong reading of the modules would do: the graph has another pooling than the model.
    monkeypatch.setattr("ltr.encoders.sentence._pooling", lambda _model, _name: "cls")
    with pytest.raises(EncoderError, match="is not what it is in sentence-transformers: cosine"):
        encoders.load(EncoderConfig(model=str(directory)), cache=tmp_path)


def test_exporting_prints_nothing_and_leaves_logging_and_bars_as_they_were(make_model, tmp_path, capfd):
    import logging

    from transformers.utils.logging import is_progress_bar_enabled

    directory = make_model()
    capfd.readouterr()
    before = is_progress_bar_enabled(), logging.root.manager.disable, list(logging.root.handlers)
    encoders.load(EncoderConfig(model=str(directory), precision="int8"), cache=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert before == (is_progress_bar_enabled(), logging.root.manager.disable, list(logging.root.handlers))


QUERIES = [
    *(
        "red running shoes",
        "noise cancelling headphones",
        "alien",
        "best sci fi movies of the 80s",
        "sofa bed with storage",
    ),
    *(
        "gift for a 10 year old boy",
        "usb-c charger 65w",
        "waterproof hiking boots women",
        "garden hose 20 m",
        "star wars",
    ),
]


def test_int8_stays_close_to_float32(minilm, minilm_int8, cache):
    assert cosines(minilm_int8.encode_queries(QUERIES), minilm.encode_queries(QUERIES)).min() >= 0.98
    # In a batch, one scale for the activations of all would let a product's vector depend on its neighbours.
    assert np.array_equal(minilm_int8.encode(QUERIES), minilm_int8.encode_queries(QUERIES))
    assert minilm_int8.digest != minilm.digest
    sizes = [(cache / "encoders" / encoder.digest / "model.onnx").stat().st_size for encoder in (minilm, minilm_int8)]
    assert sizes[1] < sizes[0] / 3


def test_int8_weights_give_the_same_integers_on_processors_that_add_two_products_in_16_bits(minilm_int8, cache):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(cache / "encoders" / minilm_int8.digest / "model.onnx")
    weights = [numpy_helper.to_array(entry) for entry in model.graph.initializer]
    largest = max(int(np.abs(array.astype(np.int64)).max()) for array in weights if array.dtype == np.int8)
    assert 0 < 2 * 255 * largest < 2**15


def test_int8_is_made_from_the_float32_export_without_the_training_library(make_model, tmp_path, monkeypatch):
    directory = str(make_model())
    plain = encoders.load(EncoderConfig(model=directory), cache=tmp_path)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # makes its import fail
    int8 = encoders.load(EncoderConfig(model=directory, precision="int8"), cache=tmp_path)
    assert cosines(int8.encode(QUERIES), plain.encode(QUERIES)).min() > 0.9


def test_an_export_is_made_once_and_a_damaged_one_again(make_model, tmp_path):
    config = EncoderConfig(model=str(make_model()))
    first = encoders.load(config, cache=tmp_path)
    expected = first.encode_queries(TEXTS)
    model = tmp_path / "encoders" / first.digest / "model.onnx"
    written = model.stat().st_mtime_ns
    assert encoders.load(config, cache=tmp_path).digest == first.digest
    assert model.stat().st_mtime_ns == written
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged and made again: .*model.onnx is not what was saved"):
        again = encoders.load(config, cache=tmp_path)
    assert np.array_equal(again.engine.encode_queries(TEXTS), expected)


def test_the_digest_follows_weights_settings_and_precision_but_not_the_directory(make_model, tmp_path):
    import shutil

    directory = make_model()
    digest = exported.fingerprint(directory)
    copy = shutil.copytree(directory, tmp_path / "copy")
    assert exported.fingerprint(copy) == digest
    (copy / "README.md").write_text("notes")
    assert exported.fingerprint(copy) == digest
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert exported.fingerprint(copy) != digest
    shutil.copy(directory / "model.safetensors", copy)
    (copy / "1_Pooling" / "config.json").write_text("{}")
    assert exported.fingerprint(copy) != digest


def test_a_cache_that_cannot_be_written_is_an_encoder_error(make_model, tmp_path):
    (tmp_path / "encoders").write_text("a file where a directory should be")
    with pytest.raises(EncoderError, match=r"cannot be kept in .*; free some space there, or choose another"):
        encoders.load(EncoderConfig(model=str(make_model())), cache=tmp_path)


def test_without_sentence_transformers_the_error_names_the_extra(make_model, tmp_path, monkeypatch):
    from ltr.errors import MissingExtraError

    directory = make_model()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ltr\[encoders\]'"):
        encoders.load(EncoderConfig(model=str(directory)), cache=tmp_path)
