"""``make bench``: each speed and memory claim, measured beside its peers in one run.

A benchmark is a function that returns figures; what it prints here and writes to measured.json is what the README
quotes. The machine is noisy: quote the ratios.
"""

import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from ltr.experiment import page

BENCHMARKS = ("startup", "training", "runs", "evaluating")
MEASURED = Path(__file__).with_name("measured.json")


def machine() -> str:
    """One line that says what the figures were measured on."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = f"{os.cpu_count()} cores, {memory / 2**20:.0f} GiB"
    return f"{model or platform.machine()}, {cores}, Python {platform.python_version()}"


def main(wanted: list[str]) -> int:
    """Run the named benchmarks (default: all); exit code 1 where a figure misses its bound."""
    unknown = sorted(set(wanted) - set(BENCHMARKS))
    if unknown:
        sys.stderr.write(f"error: no benchmark {unknown}; benchmarks: {', '.join(BENCHMARKS)}\n")
        return 2
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    missed = 0
    sys.stdout.write(f"{machine()}\n")
    for name in wanted or BENCHMARKS:
        figures = importlib.import_module(name).measure()
        for figure in figures:
            within = figure["bound"] is None or figure["value"] <= figure["bound"]
            missed += not within
            bound = "" if figure["bound"] is None else f" (bound {figure['bound']:g}{'' if within else ': MISSED'})"
            sys.stdout.write(f"{name:>9}  {figure['what']}: {figure['value']:g} {figure['unit']}{bound}\n")
            sys.stdout.flush()
        measured[name] = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "figures": figures}
        MEASURED.write_text(json.dumps(measured, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        page.write(Path(__file__).parents[2])
    return 1 if missed else 0


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


sys.exit(main(sys.argv[1:]))
