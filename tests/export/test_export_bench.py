"""The benchmark of parity measures what it says, on rows enough to see it run."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[2] / "experiments" / "bench" / "parity.py"


def test_the_benchmark_finds_every_figure_within_its_bound(monkeypatch):
    spec = importlib.util.spec_from_file_location("bench_parity", PATH)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    monkeypatch.setattr(bench, "ROWS", 400)
    monkeypatch.setattr(bench, "TREES", (2, 5))
    figures = bench.measure()
    assert len(figures) == 8
    assert "3,200 rows" in figures[0]["what"], "two libraries, with and without missing values, two sizes"
    for figure in figures:
        assert figure["bound"] is None or figure["value"] <= figure["bound"], figure
