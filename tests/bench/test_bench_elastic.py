import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark over few lists and requests, as ``python experiments/bench`` would import it."""
    monkeypatch.syspath_prepend(BENCH)
    before = set(sys.modules)
    import elastic

    for name, small in {"LISTS": 8, "TURNS": 1, "REQUESTS": 3, "WARM": 1, "BATCH": 5}.items():
        monkeypatch.setattr(elastic, name, small)
    yield elastic
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCH)):
            del sys.modules[name]


def test_both_ways_read_the_same_values_and_the_index_is_gone_afterwards(bench, data_home, engine_url, monkeypatch):
    from ltr.engine import connect

    monkeypatch.setenv("LTR_ELASTICSEARCH_URL", engine_url)
    monkeypatch.setenv("LTR_DATA_HOME", str(data_home))
    whole = bench.movies.load()
    few = whole.judgments.join(whole.queries.head(40), on="query_id", how="semi")
    part = replace(whole, judgments=few, products=whole.products.join(few, on="product_id", how="semi"))
    monkeypatch.setattr(bench.movies, "load", lambda: part)
    figures = bench.measure()
    assert [figure["bound"] for figure in figures] == [1.3, None, 1.5, None, None, None]
    assert all(figure["value"] > 0 for figure in figures)
    engine = connect(engine_url)
    assert engine.call("GET", "/ltr-bench-elastic-*/_alias") == {}
    engine.close()
    ours = bench.pl.DataFrame({f"match.{feature}": [1.0] for feature in bench.CLAUSES})
    with pytest.raises(SystemExit, match="do not read the same values"):
        bench._check(ours, ours.with_columns(bench.pl.col("match.title_phrase") + 1))
