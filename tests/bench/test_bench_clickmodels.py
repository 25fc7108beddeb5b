"""The click model benchmark over a small log: either road finds the truth; no figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def clickmodels(monkeypatch):
    """The benchmark's module, as ``python experiments/bench`` would import it."""
    monkeypatch.syspath_prepend(BENCH)
    import clickmodels

    yield clickmodels
    del sys.modules["clickmodels"]


def test_both_roads_find_the_examination_of_the_same_log(clickmodels, tmp_path):
    clickmodels.write(tmp_path, searches=40_000, queries=100)
    truth = pytest.approx(clickmodels.TRUTH, abs=0.03)
    assert clickmodels.ours(tmp_path) == truth
    assert clickmodels.peer(tmp_path) == truth


def test_a_road_runs_in_a_process_of_its_own_and_says_what_it_took(clickmodels, tmp_path):
    clickmodels.write(tmp_path, searches=5_000, queries=20)
    told = subprocess.run(
        [sys.executable, clickmodels.__file__, "ours", tmp_path], check=True, capture_output=True, text=True
    ).stdout
    assert set(json.loads(told)) == {"seconds", "gib", "error"}
