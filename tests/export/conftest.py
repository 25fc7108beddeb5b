"""Bundles to export."""

import pytest

from ltr import bundle
from made import engine_bundle


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Loaded bundles by library, made once."""
    home = tmp_path_factory.mktemp("exported")
    return {
        library: bundle.load(engine_bundle.save(home / library, library=library)) for library in ("lightgbm", "xgboost")
    }
