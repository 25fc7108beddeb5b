"""A small world of queries and products whose attraction is known, and lists of it by rankers that are partly right."""

import json

import numpy as np
import polars as pl
import pytest

from ltr.frames import check
from ltr.judgments.impressions import read_log


def make(queries, searches, *, products=12, shown=10, rankings=2, seed=0):
    """(pairs with their true attraction and satisfaction, the lists of all searches)."""
    rng = np.random.default_rng(seed)
    attraction = rng.choice([0.1, 0.1, 0.3, 0.6, 0.9], size=(queries, products))
    satisfaction = rng.choice([0.2, 0.5, 0.8], size=(queries, products))
    order = np.stack(
        [np.argsort(-(attraction + rng.normal(0, 0.3, attraction.shape)), axis=1)[:, :shown] for _ in range(rankings)]
    )
    query = rng.integers(queries, size=searches)
    listed = order[rng.integers(rankings, size=searches), query]
    query_ids, product_ids = (np.array([f"{letter}{at:04}" for at in range(5000)]) for letter in "qp")
    pairs = pl.DataFrame(
        {
            "query_id": np.repeat(query_ids[:queries], products),
            "product_id": np.tile(product_ids[:products], queries),
            "attraction": attraction.ravel(),
            "satisfaction": satisfaction.ravel(),
        }
    )
    lists = pl.DataFrame(
        {
            "search_id": np.repeat(np.array([f"s{at:06}" for at in range(searches)]), shown),
            "query_id": np.repeat(query_ids[query], shown),
            "product_id": product_ids[listed.ravel()],
            "position": np.tile(np.arange(1, shown + 1, dtype=np.uint16), searches),
        }
    )
    return pairs, lists


@pytest.fixture(scope="session")
def world():
    """The function that makes worlds."""
    return make


@pytest.fixture(scope="session")
def two_rankings():
    """50,000 searches over two rankings of 200 queries, clicked by position-based users: (pairs, log, examination)."""
    from ltr.judgments import PBM
    from ltr.judgments.priors import FittedPrior

    pairs, lists = make(200, 50_000)
    examination = 1 / np.arange(1, 11)
    return pairs, PBM(pairs, examination, FittedPrior(0.4, 2.0)).sample(lists, seed=1), examination


@pytest.fixture
def log(tmp_path):
    """Read lines as a log: (impressions, report); the law of the report holds."""
    count = iter(range(1_000_000))

    def read(lines, *, name="log.ndjson", **how):
        number = next(count)
        path = tmp_path / f"{number}-{name}"
        if isinstance(lines, list):
            lines = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
        path.write_bytes(lines)
        found = read_log(path, directory=tmp_path / f"out{number}", **how)
        report = found.report
        assert report.read == report.kept + sum(report.dropped.values())
        assert set(report.examples) <= set(report.dropped) | set(report.noted)
        impressions = check(found.scan().collect(), "impressions")
        assert impressions.height == report.impressions
        return impressions, report

    return read
