"""Tuning an encoder: what it learns holds for words it has not seen, and it never leaves half a model."""

import json
import logging
import re
import sys

import numpy as np
import pytest

from ltr import encoders
from ltr.config import EncoderConfig
from ltr.encoders import exported, saved
from ltr.encoders.tuning import Settings, Tuned, _batches, _fit, _open, query_hash, seen, tune
from ltr.errors import ConfigError, EncoderError, MissingExtraError

# The language of a shop that no encoder knows: each of its words stands for a kind of product.
WORDS = {"blorf": "garden hose", "quix": "winter coat", "zumble": "coffee grinder", "trelk": "desk lamp"}
QUERIES = ["{}", "cheap {}", "{} sale", "buy {}"]
PRODUCTS = ["{}", "{}, black", "premium {}"]
PAIRS = [
    (query.format(word), product.format(name)) for word, name in WORDS.items() for query in QUERIES for product in PRODUCTS
]  # fmt: skip
QUICK = Settings(epochs=1, batch=24, learning_rate=1e-3, max_length=16)


def margin(directory, asked="which {} is best for my home", offered="a {} made of steel"):
    """Cosine of each query with its product, less that with the nearest other, on phrasings that tuning has not seen."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    told = {"normalize_embeddings": True, "show_progress_bar": False}
    queries = model.encode([asked.format(word) for word in WORDS], **told)
    cosines = queries @ model.encode([offered.format(name) for name in WORDS.values()], **told).T
    return np.diag(cosines) - np.where(np.eye(len(WORDS)), -1, cosines).max(axis=1)


def bytes_of(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def left_in(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_few_steps_bring_answers_nearer_than_other_products_in_phrasings_not_seen(weights, tmp_path):
    settings = Settings(epochs=3, batch=16, learning_rate=2e-4, max_length=16)
    tuned = tune("all-MiniLM-L6-v2", PAIRS, output=tmp_path / "tuned", settings=settings)
    assert (margin(weights) > 0).sum() < len(WORDS)
    assert (margin(tuned.directory) > 0).all()
    assert tuned.last < tuned.first / 2
    assert (tuned.pairs, tuned.queries, tuned.steps, len(tuned.curve)) == (48, 16, 9, 9)


def test_the_directory_is_a_model_that_the_configuration_takes(make_model, tmp_path):
    base = make_model()
    tune(str(base), PAIRS, output=tmp_path / "tuned", settings=QUICK)
    before, after = (
        encoders.load(EncoderConfig(model=str(directory)), cache=tmp_path) for directory in (base, tmp_path / "tuned")
    )
    assert after.name == "tuned"
    assert after.digest != before.digest
    assert not np.allclose(after.encode(["shoe"]), before.encode(["shoe"]))
    # Cutting texts is for tuning; the model made of it reads as much as before.
    assert QUICK.max_length < after.engine.header.max_length == before.engine.header.max_length


def test_equal_input_and_seed_give_equal_bytes_and_another_seed_another_model(make_model, tmp_path):
    model = str(make_model())
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        tune(model, PAIRS, output=tmp_path / name, settings=Settings(batch=12, learning_rate=1e-3, seed=seed))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    assert bytes_of(tmp_path / "one")["model.safetensors"] != bytes_of(tmp_path / "other")["model.safetensors"]


def test_tuning_leaves_random_state_threads_and_logging_as_they_were_and_prints_nothing(make_model, tmp_path, capfd):
    import torch

    def state():
        return (
            torch.random.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            logging.root.manager.disable,
            list(logging.root.handlers),
        )

    model = make_model()
    capfd.readouterr()
    before = state()
    tune(str(model), PAIRS, output=tmp_path / "tuned", settings=QUICK)
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_the_loss_is_the_cross_entropy_of_scaled_cosines_without_the_known_answers(make_model):
    model, prompts = _open(make_model(), "tiny")
    for module in model.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    # "red" has two answers, neither of which counts against the other; "mug" is shared, and counts once.
    pairs = [("red", "shoe", "mug"), ("red", "shirt", "mug"), ("blue", "hat", "mug")]
    vectors = {text: model.encode(text, normalize_embeddings=True) for text in ("red", "blue", "shoe", "shirt", "hat", "mug")}  # fmt: skip

    def loss(query, own, others):
        logits = [20 * float(vectors[query] @ vectors[text]) for text in (own, *others)]
        return np.log(np.exp(logits).sum()) - logits[0]

    expected = np.mean(
        [
            loss("red", "shoe", ["hat", "mug"]),
            loss("red", "shirt", ["hat", "mug"]),
            loss("blue", "hat", ["shoe", "shirt", "mug"]),
        ]
    )
    for attention in model.modules():
        if hasattr(attention, "attention_dropout"):
            attention.attention_dropout = 0.0
    assert _fit(model, prompts, pairs, Settings(batch=3)) == [pytest.approx(expected, abs=1e-4)]


def test_prompts_are_seen_while_tuning_as_they_are_when_encoding(make_model, tmp_path):
    digests = set()
    for name, prompts in {"plain": {}, "prompted": {"query": "query: ", "document": "passage: "}}.items():
        tune(str(make_model(prompts=prompts)), PAIRS, output=tmp_path / name, settings=QUICK)
        digests.add(bytes_of(tmp_path / name)["model.safetensors"])
    assert len(digests) == 2
    assert exported.complete(tmp_path / "prompted")


def test_each_epoch_sees_every_pair_once_in_an_order_of_its_own():
    batches = list(_batches(10, Settings(epochs=2, batch=4)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(batches[:3]).tolist(), np.concatenate(batches[3:]).tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_losses_of_a_batch_are_noise_so_first_and_last_are_means_of_a_tenth(tmp_path):
    tuned = Tuned(tmp_path, 1, 1, 20, 0.0, tuple(map(float, range(20))))
    assert (tuned.first, tuned.last) == ((0 + 1) / 2, (18 + 19) / 2)
    one = Tuned(tmp_path, 1, 1, 1, 0.0, (3.0,))
    assert (one.first, one.last) == (3.0, 3.0)


def test_the_directory_says_what_it_was_made_from_and_which_queries_it_has_seen(make_model, tmp_path):
    base = make_model()
    tune(str(base), PAIRS, output=tmp_path / "tuned", settings=QUICK, facts={"experiment": "own"})
    told = json.loads((tmp_path / "tuned" / "tuned.json").read_text())
    assert told["base"] == "tiny"
    assert told["base_digest"] == exported.fingerprint(base)
    assert (told["experiment"], told["pairs"], told["seed"], told["batch"]) == ("own", 48, 7, 24)
    assert set(told["queries"]) == seen(tmp_path / "tuned") == {query_hash(query) for query, _ in PAIRS}
    assert str(tmp_path) not in json.dumps(told)
    assert seen(base) == frozenset()


def test_tuning_a_tuned_model_remembers_what_it_had_seen_before(make_model, tmp_path):
    tune(str(make_model()), PAIRS[:12], output=tmp_path / "one", settings=QUICK)
    tune(str(tmp_path / "one"), PAIRS[12:24], output=tmp_path / "two", settings=QUICK)
    assert seen(tmp_path / "two") == {query_hash(query) for query, _ in PAIRS[:24]}


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 99, "queries": []}', '{"format": 1, "queries": 3}'])  # fmt: skip
def test_a_note_that_cannot_be_read_is_an_error_and_not_no_queries(tmp_path, text):
    (tmp_path / "tuned.json").write_text(text)
    with pytest.raises(EncoderError, match=r"tune it again|use a newer ltr"):
        seen(tmp_path)


def test_a_query_is_known_again_whatever_its_capitals_accents_and_blanks():
    assert query_hash(" Amélie  FILM ") == query_hash("amelie film") != query_hash("ameliefilm")


@pytest.mark.parametrize(
    ("fault", "raised", "message"),
    [
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
        (RuntimeError("out of memory\nat ..."), EncoderError, r"failed \(out of memory\); a smaller batch"),
    ],
    ids=["Ctrl-C", "no memory"],
)
def test_what_is_broken_off_leaves_nothing(make_model, tmp_path, monkeypatch, fault, raised, message):
    import torch

    def fail(*_arguments, **_named):
        raise fault

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    with pytest.raises(raised, match=message):
        tune(str(make_model()), PAIRS, output=tmp_path / "tuned", settings=QUICK)
    assert left_in(tmp_path) == []


def test_a_directory_that_holds_something_is_refused_and_stays_as_it_was(make_model, tmp_path):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"'.*tuned' exists and is not empty; name another directory"):
        tune("no such model", PAIRS, output=tmp_path / "tuned")
    with pytest.raises(ConfigError, match="exists and is not empty"):
        tune("no such model", PAIRS, output=tmp_path / "tuned" / "notes.txt")
    assert bytes_of(tmp_path) == {"tuned/notes.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    tune(str(make_model()), PAIRS, output=tmp_path / "empty", settings=QUICK)
    assert exported.complete(tmp_path / "empty")


def test_a_disk_that_takes_nothing_is_an_encoder_error(tmp_path, make_model):
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match=r"cannot be written to .*; free some space there, or name another"):
        tune(str(make_model()), PAIRS, output=tmp_path / "file" / "tuned", settings=QUICK)


def test_weights_that_cannot_be_saved_are_an_encoder_error(tmp_path, make_model, monkeypatch):
    from sentence_transformers import SentenceTransformer

    def full(*_arguments, **_named):
        raise Exception("Error while serializing: IoError(No space left on device)")

    monkeypatch.setattr(SentenceTransformer, "save", full)
    with pytest.raises(EncoderError, match=r"cannot be written to .*No space left on device"):
        tune(str(make_model()), PAIRS, output=tmp_path / "tuned", settings=QUICK)
    assert left_in(tmp_path) == []


def test_what_has_no_weights_or_is_not_understood_is_refused_before_any_step(make_model, tmp_path):
    with pytest.raises(EncoderError, match="the hashing encoder has no weights to tune; set"):
        tune("hashing", PAIRS, output=tmp_path / "tuned")
    saved.write(saved.Saved("hashing", "hashing", "0", 256), tmp_path / "exported")
    with pytest.raises(EncoderError, match="is an exported encoder; give the model that it was exported from"):
        tune(str(tmp_path / "exported"), PAIRS, output=tmp_path / "tuned")
    with pytest.raises(EncoderError, match="made of Transformer, Pooling, Dense"):
        tune(str(make_model(dense=True)), PAIRS, output=tmp_path / "tuned")
    broken = make_model()
    (broken / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(EncoderError, match=r"'tiny' cannot be loaded \(.*\); choose another model"):
        tune(str(broken), PAIRS, output=tmp_path / "tuned")
    assert left_in(tmp_path) == ["exported"]


@pytest.mark.parametrize("pairs", [[], [("red", "shoe")], [("red", "shoe"), ("blue", "shoe")]])
def test_without_two_products_nothing_can_be_told_apart(tmp_path, pairs):
    with pytest.raises(ConfigError, match=f"{len(pairs)} pairs .* leave nothing to tune on"):
        tune("no such model", pairs, output=tmp_path / "tuned")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs = 0 cannot tune an encoder; give 1 or more"),
        ({"batch": 1}, "batch = 1 .* give 2 or more"),
        ({"max_length": 0}, "max_length = 0 .* give 8 or more"),
        ({"learning_rate": 0.0}, "learning_rate = 0 is not between 0 and 1"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Settings(**given)


def test_a_loss_that_is_no_number_ends_it(make_model, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    model = make_model()
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if re.search("word_embeddings", name))
    save_file({**weights, name: torch.full_like(weights[name], float("nan"))}, model / "model.safetensors", {"format": "pt"})  # fmt: skip
    with pytest.raises(EncoderError, match="the loss is nan after 1 steps; choose a lower learning rate"):
        tune(str(model), PAIRS, output=tmp_path / "tuned", settings=QUICK)
    assert left_in(tmp_path) == []


def test_without_sentence_transformers_the_error_names_the_extra(make_model, tmp_path, monkeypatch):
    directory = make_model()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ltr\[encoders\]'"):
        tune(str(directory), PAIRS, output=tmp_path / "tuned")
