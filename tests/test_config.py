"""experiment.toml: defaults, overrides, and one clear sentence for each fault."""

import errno
import os
from pathlib import Path

import pytest

from ltr.config import parse, read_experiment
from ltr.errors import ConfigError

LEAST = {"name": "demo", "data": {"source": "shop"}}


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_but_name_and_source_has_a_default():
    experiment = parse(LEAST)
    assert experiment.evaluation.measures == ["nDCG@10", "RR", "AP"]
    assert experiment.candidates.origin == "judgments"
    assert experiment.ranker.parameters == {}


def test_any_other_ranker_key_is_a_parameter_of_the_library():
    experiment = parse(LEAST | {"ranker": {"num_leaves": 15, "rounds": 10}})
    assert experiment.ranker.parameters == {"num_leaves": 15}
    assert experiment.ranker.rounds == 10


def test_the_repr_of_a_configuration_holds_no_password():
    assert "hunter2" not in repr(parse(LEAST | {"tracking": {"uri": "http://user:hunter2@host"}}))


def test_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse(LEAST).name = "other"


FAULTS = {
    "an unknown table": ({"evalution": {}}, r"unknown key 'evalution'; did you mean 'evaluation'\?"),
    "an unknown key": ({"split": {"tests": 0.2}}, r"unknown key 'split.tests'; did you mean 'test'\?"),
    "an alias is offered, not the attribute": ({"candidates": {"form": "judgments"}}, r"did you mean 'from'\?"),
    "a share over one": ({"split": {"test": 1.5}}, r"split.test = 1.5: input should be less than 1"),
    "nothing left to fit": (
        {"split": {"test": 0.7, "dev": 0.2}},
        r"split: test = 0.7 and dev = 0.2 must be above 0 and together at most 0.8",
    ),
    "no dev beside folds": (
        {"split": {"folds": 5, "dev": 0}},
        r"split: dev = 0 must be above 0 and at most 0.8, with folds too",
    ),
    "nearly all dev beside folds": ({"split": {"folds": 5, "dev": 0.9}}, r"split: dev = 0.9 must be above 0"),
    "a table that is a number": ({"split": 3}, r"split = 3 is not a table; write its keys under \[split\]"),
    "gains that fall": (
        {"evaluation": {"gains": [0, 1, 0.5]}},
        r"evaluation.gains = \[0, 1, 0.5\]: grade 2 has gain 0.5, less than 1 of grade 1; gains never fall",
    ),
    "a gain below zero": ({"evaluation": {"gains": [0, -1]}}, r"gains = \[0, -1\]: -1 is not a gain: .* at least 0"),
    "a gain that is no number": (
        {"evaluation": {"gains": [0, "1"]}},
        r"give the name of a table, or a list of numbers",
    ),
    "an infinite gain": ({"evaluation": {"gains": [0, float("inf")]}}, r"inf is not a gain: gains are finite"),
    "gains of no kind": ({"evaluation": {"gains": 3}}, r"evaluation.gains = 3: give the name of a table"),
    "a depth of zero": (
        {"candidates": {"depth": 0}},
        r"candidates.depth = 0: input should be greater than or equal to 1",
    ),
    "a wrong type": (
        {"evaluation": {"measures": "nDCG@10"}},
        r"evaluation.measures = 'nDCG@10': input should be a valid list",
    ),
    "an unknown objective": (
        {"ranker": {"objective": "lambda"}},
        r"ranker: lightgbm has no objective 'lambda'; did you mean 'lambdarank'\? objectives: lambdarank, rank_xendcg",
    ),
    "a name that is a path": ({"name": "../up"}, r"name = '../up': string should match pattern"),
    "no source": ({"data": {}}, r"key 'data.source' is missing; set it"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_key_and_what_is_allowed(fault):
    change, message = FAULTS[fault]
    with pytest.raises(ConfigError, match=message):
        parse(LEAST | change)


CHOICES = {
    "data.fields.price": ("nummber", r"did you mean 'number'\? values: boolean, keyword, number, text, time, vector$"),
    "split.by": ("querys", r"did you mean 'query'\? values: given, query$"),
    "candidates.from": ("retrievel", r"did you mean 'retrieval'\? values: judgments, retrieval$"),
    "evaluation.empty": ("Skip", r"did you mean 'skip'\? values: one, skip, zero$"),
    "evaluation.baseline": ("bm25", r"values: retrieval$"),
    "ranker.library": ("lightbgm", r"did you mean 'lightgbm'\? values: lightgbm, linear, xgboost$"),
    "ranker.monotone.price": ("2", r"values: -1, 0, 1$"),
    "encoder.precision": ("int", r"did you mean 'int8'\? values: float32, int8$"),
}


@pytest.mark.parametrize("key", CHOICES)
def test_a_value_of_no_choice_is_answered_by_the_nearest_and_all_choices(key, tmp_path):
    value, message = CHOICES[key]
    path = write(tmp_path / "experiment.toml", 'name = "demo"\n[data]\nsource = "shop"\n')
    with pytest.raises(ConfigError, match=rf"experiment.toml: {key} = '?{value}'? is unknown; {message}"):
        read_experiment(path, overrides=[f"{key}={value}"])


@pytest.mark.parametrize("gains", [None, "esci-swapped", [0, 0, 1], [0, 0.5, 1]])
def test_gains_are_a_named_table_or_numbers_that_never_fall(gains):
    assert parse(LEAST | {"evaluation": {"gains": gains}}).evaluation.gains == gains


def test_folds_need_no_test_share():
    assert parse(LEAST | {"split": {"folds": 5, "test": 0}}).split.folds == 5


def test_a_file_is_read_and_overridden(tmp_path):
    path = write(tmp_path / "experiment.toml", 'name = "demo"\n[data]\nsource = "shop"\n')
    experiment = read_experiment(
        path, overrides=["ranker.num_leaves=31", "split.test=0.3", "data.source=msrd", 'evaluation.measures=["RR"]']
    )
    assert experiment.ranker.parameters == {"num_leaves": 31}
    assert experiment.split.test == 0.3
    assert experiment.data.source == "msrd"
    assert experiment.evaluation.measures == ["RR"]


BAD_OVERRIDES = {
    "no equals sign": ("ranker.num_leaves", "is not KEY=VALUE"),
    "an empty part": ("ranker..x=1", "is not KEY=VALUE"),
    "a value treated as a table": ("name.x=1", "'name' is not a table"),
    "an unknown key": ("split.tset=0.1", "did you mean 'test'"),
    "no value": (
        "ranker.num_leaves=",
        r"--set 'ranker.num_leaves=' has no value; give one, or --set 'ranker.num_leaves=\"\"'",
    ),
    "only blanks": ("ranker.num_leaves= ", "has no value"),
}


@pytest.mark.parametrize("case", BAD_OVERRIDES)
def test_a_bad_override_is_named(case, tmp_path):
    override, message = BAD_OVERRIDES[case]
    path = write(tmp_path / "experiment.toml", 'name = "demo"\n[data]\nsource = "shop"\n')
    with pytest.raises(ConfigError, match=message):
        read_experiment(path, overrides=[override])


def test_files_that_are_not_toml_are_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_experiment(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"is not TOML: .*line 1"):
        read_experiment(write(tmp_path / "broken.toml", "name = \n"))
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 11\)"):
        read_experiment(tmp_path / "latin.toml")
    with pytest.raises(ConfigError, match=rf"^{tmp_path} cannot be read: Is a directory; give a file"):
        read_experiment(tmp_path)
    (tmp_path / "wide.toml").write_bytes('name = "demo"'.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"wide.toml is UTF-16, not UTF-8; save it as UTF-8"):
        read_experiment(tmp_path / "wide.toml")


def test_a_toml_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    # Whoever runs the tests may be root, whom no permission stops.
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(ConfigError, match=r"secret.toml cannot be read: Permission denied; give a file"):
        read_experiment(tmp_path / "secret.toml")


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_toml_file(tmp_path):
    (tmp_path / "experiment.toml").write_bytes(b'\xef\xbb\xbfname = "demo"\r\n[data]\r\nsource = "shop"\r\n')
    assert read_experiment(tmp_path / "experiment.toml") == parse(LEAST)


def test_an_override_may_be_the_empty_text_and_needs_no_quotes(tmp_path):
    path = write(tmp_path / "experiment.toml", 'name = "demo"\n[data]\nsource = "shop"\n')
    assert read_experiment(path, overrides=['tracking.uri=""']).tracking.uri == ""
    assert read_experiment(path, overrides=["tracking.uri=sqlite:///a=b.db"]).tracking.uri == "sqlite:///a=b.db"
