"""Small real things that several tests share: a trained bundle, a catalogue of one's own, the real data."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared: how long one example takes says nothing.
settings.register_profile("ltr", deadline=None)
settings.load_profile("ltr")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_home():
    """The real data; absent it is a reason to skip, but not where CI promises it."""
    home = os.environ.get("LTR_DATA_HOME")
    if home and (Path(home) / "msrd").is_dir():
        return Path(home)
    if os.environ.get("CI"):
        pytest.fail("LTR_DATA_HOME must name the real data in CI")
    pytest.skip("needs the real data: set LTR_DATA_HOME")


SMALL = """
name = "small"
[data]
source = "shop"
size = 300
queries = 80
[features]
set = "features/product_search.toml"
[candidates]
from = "retrieval"
depth = 30
[ranker]
rounds = 40
patience = 10
[encoder]
model = "hashing"
[tracking]
uri = ""
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small shop, trained with a hashing encoder: (experiment directory, its result)."""
    from ltr.config import read_experiment
    from ltr.experiment import train

    home = tmp_path_factory.mktemp("small")
    (home / "experiment.toml").write_text(SMALL, encoding="utf-8")
    (home / "features").symlink_to(REPOSITORY / "features")
    config = read_experiment(home / "experiment.toml")
    result = train(config, base=home, cache=home / "cache", bundles=home / "bundles")
    return home, result


@pytest.fixture(scope="session")
def small_bundle(small):
    """The bundle that the small shop left."""
    return Path(small[1].bundle)
