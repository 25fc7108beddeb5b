"""Bundles loaded to serve, once for all tests."""

import pytest

from ltr.serving import load
from made.served import copied, of_an_engine


@pytest.fixture(scope="session")
def counted(counted_bundle):
    """24 products, features of text, vectors and clicks; no features of the engine's."""
    return load(counted_bundle)


@pytest.fixture(scope="session")
def shop(small_bundle):
    """The small shop, whose own engine scores its match features."""
    return load(small_bundle)


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """A ranker of match features that a search engine is to deliver."""
    from made import engine_bundle

    home = tmp_path_factory.mktemp("served")
    return load(of_an_engine(copied(engine_bundle.save(home), home / "copy")))
