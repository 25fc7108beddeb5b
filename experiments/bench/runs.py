"""Whole training runs as a user starts them: seconds and peak memory, with an empty cache and with vectors kept."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure() -> list[dict[str, object]]:
    """The demo shop and the movies; each bound is what issue and README promise."""
    figures = []
    with tempfile.TemporaryDirectory() as cache:
        seconds, _ = _train("shop", cache)
        figures.append({"what": "train shop, empty cache", "value": seconds, "unit": "s", "bound": 120})
        if os.environ.get("LTR_DATA_HOME"):
            seconds, memory = _train("msrd", cache)
            figures.append({"what": "train msrd, empty cache", "value": seconds, "unit": "s", "bound": 600})
            figures.append({"what": "train msrd, peak memory", "value": memory, "unit": "GiB", "bound": 3})
            seconds, memory = _train("msrd", cache)
            figures.append({"what": "train msrd, vectors cached", "value": seconds, "unit": "s", "bound": 180})
    return figures


def _train(experiment: str, cache: str) -> tuple[float, float]:
    """Wall-clock seconds and the process's peak resident GiB."""
    code = (
        "import resource, sys; from ltr.cli import run; code = run(sys.argv[1:]);"
        "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)); sys.exit(code)"
    )
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        arguments = [
            "train",
            experiment,
            "--json",
            "--bundles",
            out,
            "--set",
            f"tracking.uri=sqlite:///{out}/mlflow.db",
        ]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | {"LTR_CACHE_HOME": cache},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    return round(seconds, 1), round(int(done.stderr.splitlines()[-1].split()[-1]) / 2**20, 2)
