"""experiment.toml: defaults, overrides, and one clear sentence for each fault."""

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
        r"test and dev must be above 0 and together at most 0.8",
    ),
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
        r"ranker.objective = 'lambda': input should be 'lambdarank'",
    ),
    "a name that is a path": ({"name": "../up"}, r"name = '../up': string should match pattern"),
    "no source": ({"data": {}}, r"key 'data.source' is missing; set it"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_key_and_what_is_allowed(fault):
    change, message = FAULTS[fault]
    with pytest.raises(ConfigError, match=message):
        parse(LEAST | change)


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
    with pytest.raises(ConfigError, match="cannot be read"):
        read_experiment(tmp_path)
