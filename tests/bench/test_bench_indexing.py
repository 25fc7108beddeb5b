"""The indexing benchmark over a few products: all three ways index them, and nothing of it stays."""

import importlib
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr.datasets import Dataset
from ltr.engine import connect

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def indexing(monkeypatch):
    """The benchmark's module, as ``python experiments/bench`` would import it."""
    monkeypatch.syspath_prepend(BENCH)
    before = set(sys.modules)
    yield importlib.import_module("indexing")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCH)):
            del sys.modules[name]


def few():
    products = pl.DataFrame(
        {"product_id": ["a", "b", "c"], "title": ["red shoe", "hat", "sock"], "price": [1.0, 2.5, None]}
    )
    queries = pl.DataFrame({"query_id": ["q"], "query": ["shoe"]})
    judgments = pl.DataFrame({"query_id": ["q"], "product_id": ["a"], "grade": [1.0], "weight": [1.0]})
    fields = {"title": "text", "price": "number"}
    return Dataset("few", products, queries, judgments, fields, "title", {"title": 1.0}, "binary", "linear")


def test_each_way_has_a_figure_and_leaves_no_index(indexing, engine_url, monkeypatch):
    monkeypatch.setenv("LTR_ELASTICSEARCH_URL", engine_url)
    monkeypatch.setattr(indexing, "TURNS", 1)
    monkeypatch.setattr(indexing.movies, "load", few)
    figures = indexing.measure()
    assert [figure["bound"] for figure in figures] == [0.9, 0.9, None]
    assert all(figure["better"] == "higher" and np.isfinite(figure["value"]) for figure in figures)
    assert connect(engine_url).call("GET", "/ltr-bench-indexing-*/_alias") == {}
