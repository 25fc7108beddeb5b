"""Small real things that several tests share: a trained bundle, a catalogue of one's own, the real data."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared: how long one example takes says nothing.
settings.register_profile("ltr", deadline=None)
settings.load_profile("ltr")

REPOSITORY = Path(__file__).parents[1]
SHARED = "LTR_TEST_ELASTICSEARCH"  # the directory of the server that several processes of one run share


@pytest.fixture(scope="session")
def data_home():
    """The real data; absent it is a reason to skip, but not where CI promises it."""
    home = os.environ.get("LTR_DATA_HOME")
    if home and (Path(home) / "msrd").is_dir():
        return Path(home)
    if os.environ.get("CI"):
        pytest.fail("LTR_DATA_HOME must name the real data in CI")
    pytest.skip("needs the real data: set LTR_DATA_HOME")


@pytest.fixture(scope="session")
def engine_url():
    """A real Elasticsearch for all tests: that of LTR_ELASTICSEARCH_URL, else a private one that ends with the session.

    It is shared: a test gives its indexes names of their own, and removes them.
    """
    from ltr.datasets.download import cache_home
    from ltr.engine import server
    from ltr.errors import EngineError

    if given := os.environ.get("LTR_ELASTICSEARCH_URL"):
        yield given
        return
    shared = os.environ.get(SHARED)
    directory = Path(shared) if shared else server_directory()
    try:
        try:
            running = server.start(
                directory=directory, port=free_port(), heap="512m", cache=server.home(cache_home()), timeout_s=300
            )
        except EngineError as error:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs Elasticsearch: {error}")
            pytest.skip(f"needs Elasticsearch: {error}")
        yield running.url
    finally:
        if not shared:
            end_server(directory)


def pytest_configure(config):
    """Where tests run in several processes, these share one server, which the process that started them ends."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        os.environ[SHARED] = str(server_directory())


def pytest_unconfigure(config):
    if SHARED in os.environ and not hasattr(config, "workerinput"):
        end_server(Path(os.environ.pop(SHARED)))


def end_server(directory):
    from ltr.engine import server

    server.stop(directory)
    shutil.rmtree(directory)


def server_directory():
    """A temporary directory that the server's unprivileged user may enter; pytest's own are closed."""
    directory = Path(tempfile.mkdtemp(prefix="ltr-elasticsearch-"))
    directory.chmod(0o755)
    return directory


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


@pytest.fixture(scope="session")
def counted_bundle(tmp_path_factory):
    """A bundle of 24 products whose ranker reads a month of clicks; its log ends before 2024-02-01."""
    import numpy as np
    import polars as pl

    from ltr import bundle, rankers
    from ltr.config import parse
    from ltr.encoders.hashing import HashingEncoder
    from ltr.features import compute, definition, state

    home = tmp_path_factory.mktemp("counted")
    products = pl.DataFrame(
        {
            "product_id": [f"p{at}" for at in range(24)],
            "title": [f"{('red', 'blue', 'green')[at % 3]} {('shoe', 'hat')[at % 2]} {at}" for at in range(24)],
            "brand": [("Ace", "Zed", None)[at % 3] for at in range(24)],
            "price": [float(10 + at) for at in range(24)],
            "colour": "any",  # which no feature reads
        }
    )
    wanted = definition.parse(
        {
            "name": "counted",
            "feature": [
                {"name": "title_bm25", "kind": "bm25", "field": "title"},
                {"name": "near", "kind": "cosine", "field": "title"},
                {"name": "price", "kind": "number", "field": "price"},
                {"name": "clicked", "kind": "rate", "corrected": True},
                {"name": "clicked_here", "kind": "rate", "by": "query_product", "window": 30},
                {"name": "bought", "kind": "count", "of": "purchases", "by": "field_query", "field": "brand"},
            ],
        }
    )
    generator = np.random.default_rng(7)
    clicked = generator.random(600) < 0.3
    log = pl.DataFrame(
        {
            "query": generator.choice(["red shoe", "hat", "green"], 600),
            "product_id": [f"p{at}" for at in generator.integers(0, 24, 600)],
            "position": generator.integers(1, 9, 600),
            "clicked": clicked,
            "purchase": clicked & (generator.random(600) < 0.3),
            "shown_at": pl.Series(1_704_067_200 + generator.integers(0, 31 * 86_400, 600)).cast(pl.Int64) * 1_000_000,
        }
    ).with_columns(pl.col("shown_at").cast(pl.Datetime("us", "UTC")))
    fields, encoder = {"title": "text", "brand": "keyword", "price": "number", "colour": "keyword"}, HashingEncoder()
    held = state.build(
        products, wanted, fields=fields, encoder=encoder, as_of="2024-02-01", impressions=log,
        examination=1 / np.arange(1, 9),
    )  # fmt: skip
    lists = pl.DataFrame(
        [(query, query, f"p{at}", float(at % 3)) for query in ("red shoe", "hat", "green") for at in range(24)],
        schema=["query_id", "query", "product_id", "grade"],
        orient="row",
    ).with_columns(weight=1.0)
    experiment = parse({"name": "counted", "data": {"source": "files"}, "ranker": {"rounds": 5}})
    gains = np.array([0.0, 1.0, 3.0])
    pairs = compute.pairs(lists, wanted, held, encoder=encoder)
    fitted = rankers.fit(experiment.ranker, pairs, None, features=wanted.names, gains=gains, rounds=5)
    return bundle.save(
        home,
        "bundle",
        experiment=experiment,
        facts=bundle.CatalogueFacts("files", fields, "title", {"title": 1.0}, "0-2", gains.tolist(), "table"),
        feature_set=wanted,
        ranker=fitted.ranker,
        state=held,
        encoder=encoder,
        judged=None,
        created="2024-02-01T00:00:00+00:00",
        results=lambda _directory: None,
    )


@pytest.fixture(scope="session")
def engine_trained(engine_url, tmp_path_factory):
    """A ranker whose candidates and match features come from a real server (``made.engine_experiment.Trained``)."""
    from made.engine_experiment import trained

    with trained(engine_url, tmp_path_factory.mktemp("engine")) as found:
        yield found
