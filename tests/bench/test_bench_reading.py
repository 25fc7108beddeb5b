"""The benchmark of the log readers over little data: what it counts is what it wrote, and its figures are complete."""

import importlib
import sys
from pathlib import Path

import polars as pl
import pytest

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def reading(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    module = importlib.import_module("reading")
    for name, value in {
        "LINES": 5_000,
        "BATCH": 1_500,
        "BAD": 300,
        "EVENTS": 3_000,
        "UNIQUE": 8_000,
        "TURNS": 1,
    }.items():
        monkeypatch.setattr(module, name, value)
    yield module
    del sys.modules["reading"]


def test_ours_and_the_peer_read_the_same_rows_and_each_bad_line_has_its_reason(reading, tmp_path):
    clean, spoilt = tmp_path / "clean.ndjson", tmp_path / "spoilt.ndjson"
    assert reading.write_lines(clean, spoilt) == 5_000
    rows, dropped = reading.parsed(spoilt)
    assert rows == reading.scanned(clean) == 5_000
    assert dropped.keys() == reading.FAULTS.keys()
    assert reading.whole(spoilt, tmp_path / "out") > 4_000


def test_the_peer_stops_at_a_bad_line(reading, tmp_path):
    reading.write_lines(tmp_path / "clean.ndjson", tmp_path / "spoilt.ndjson")
    with pytest.raises(pl.exceptions.ComputeError):
        reading.scanned(tmp_path / "spoilt.ndjson")


def test_near_unique_keys_are_as_many_as_the_peer_counts(reading, tmp_path):
    reading.write_events(tmp_path / "events")
    alone = reading.near_unique_at_once(tmp_path / "events", tmp_path)
    copies = reading.near_unique(tmp_path / "events", tmp_path / "spilled")
    assert 2 * alone < copies <= 8_000


def test_figures_are_complete(reading):
    figures = reading.measure()
    assert all(figure["value"] >= 0 and figure["unit"] for figure in figures)
    assert sum(figure["bound"] is not None for figure in figures) == 5
