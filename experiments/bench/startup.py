"""What ``import ltr`` costs beside an interpreter that imports nothing."""

import statistics
import subprocess
import sys
import time

ROUNDS = 15


def measure() -> list[dict[str, object]]:
    """Medians over rounds in which both take turns."""
    bare, with_ltr = [], []
    for _ in range(ROUNDS):
        bare.append(_seconds("pass"))
        with_ltr.append(_seconds("import ltr"))
    cost = statistics.median(with_ltr) - statistics.median(bare)
    return [{"what": "import ltr, beyond a bare interpreter", "value": round(cost, 4), "unit": "s", "bound": 0.3}]


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
