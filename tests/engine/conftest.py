"""A server of one's own that tests may kill, and names that no other test has."""

import dataclasses
import os
import secrets
import shutil

import pytest

from conftest import free_port, server_directory
from ltr.datasets.download import cache_home
from ltr.engine import connect, server
from ltr.engine.connection import path_of
from ltr.errors import EngineError


@dataclasses.dataclass(frozen=True)
class Own(server.Server):
    cache: object = None


@pytest.fixture(scope="session")
def _own_directory():
    directory = server_directory()
    yield directory
    server.stop(directory)
    shutil.rmtree(directory)


@pytest.fixture
def own_server(_own_directory):
    """A private server that a test may kill; the next test finds it started again."""
    cache = server.home(cache_home())
    try:
        found = server.start(directory=_own_directory, port=free_port(), heap="512m", cache=cache, timeout_s=300)
    except EngineError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs Elasticsearch: {error}")
        pytest.skip(f"needs Elasticsearch: {error}")
    return Own(**{**vars(found), "fresh": False, "cache": cache})


@pytest.fixture
def engine(engine_url):
    """A connection to the server that all tests share."""
    made = connect(engine_url)
    yield made
    made.close()


@pytest.fixture
def alias(engine):
    """A name of one's own, whose indexes are removed afterwards."""
    name = f"test-indexing-{secrets.token_hex(4)}"
    yield name
    for index in engine.call("GET", path_of(f"{name}*", "_alias")):
        engine.call("DELETE", path_of(index), allow=(404,))
