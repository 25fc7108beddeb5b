"""The demo shop in an index of a real server, and an experiment on it: what `ltr index` and `ltr train` do, whole."""

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltr import datasets
from ltr.config import read_experiment
from ltr.engine import connect, indexing
from ltr.experiment import train

EXPERIMENT = """
name = "{name}"
[data]
source = "shop"
size = 300
queries = 80
[retrieval]
engine = "elasticsearch"
url = "{url}"
[candidates]
from = "retrieval"
depth = 30
[features]
set = "engine.toml"
[ranker]
rounds = 40
patience = 10
[evaluation]
measures = ["nDCG@10"]
[tracking]
uri = ""
"""

FEATURES = """
name = "engine"
[[feature]]
name = "title_match"
kind = "match"
field = "title"
missing = 0
[[feature]]
name = "title_fuzzy"
kind = "match"
field = "title"
fuzziness = "AUTO"
missing = 0
[[feature]]
name = "description_match"
kind = "match"
field = "description"
missing = 0
[[feature]]
name = "price"
kind = "number"
field = "price"
log = true
at_least = 0
missing = 0
{more}
"""


@dataclass(frozen=True)
class Trained:
    """Where experiment.toml is, what training said, and the index."""

    home: Path
    result: Any
    url: str
    index: str

    @property
    def bundle(self) -> Path:
        """The bundle that it left."""
        return Path(self.result.bundle)


@contextmanager
def indexed(url, home, *, more=""):
    """experiment.toml and its features in ``home``, and the catalogue in an index of that name; yields the configuration."""
    name = f"test-road-{secrets.token_hex(6)}"
    (home / "experiment.toml").write_text(EXPERIMENT.format(name=name, url=url), encoding="utf-8")
    (home / "engine.toml").write_text(FEATURES.format(more=more), encoding="utf-8")
    config = read_experiment(home / "experiment.toml")
    dataset = datasets.load(config.data, base=home, quiet=True)
    engine = connect(url, timeout_s=60)
    found = indexing.index(engine, name, dataset.products, fields=dataset.fields)
    try:
        yield config
    finally:
        engine.call("DELETE", f"/{found.index}")
        engine.close()


@contextmanager
def trained(url, home, *, more=""):
    """The same, trained."""
    with indexed(url, home, more=more) as config:
        result = train(config, base=home, cache=home / "cache", bundles=home / "bundles")
        yield Trained(home, result, url, config.index)
