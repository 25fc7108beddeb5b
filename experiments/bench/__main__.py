"""``make bench``: each speed and memory claim, measured beside its peers in one run.

A benchmark is a function that returns figures; what it prints here and writes to measured.json is what the README
quotes. A figure's bound is the most that it may be, or the least with ``"better": "higher"``. ``kinds`` and ``worth`` have
no figures of their own: they write features/measured.json, which features/README.md quotes. The machine is noisy: quote the
ratios.
"""

import importlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from machine import machine

from ltr.errors import LtrError
from ltr.experiment import page

BENCHMARKS = (
    "startup",
    "training",
    "runs",
    "evaluating",
    "features",
    "encoding",
    "kinds",
    "scoring",
    "reading",
    "clickmodels",
    "behaviour",
    "indexing",
    "elastic",
    "parity",
    "online",
    "serving",
    "faults",
)
SLOW = ("clicks", "drift", "soak", "worth")  # only where it is asked for
ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "experiments" / "bench" / "measured.json"


def main(wanted: list[str]) -> int:
    """Run the named benchmarks (default: all but the slow); exit code 1 where a figure misses its bound."""
    unknown = sorted(set(wanted) - {*BENCHMARKS, *SLOW})
    if unknown:
        sys.stderr.write(f"error: no benchmark {unknown}; benchmarks: {', '.join((*BENCHMARKS, *SLOW))}\n")
        return 2
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    missed = 0
    sys.stdout.write(f"{machine()}\n")
    for name in wanted or BENCHMARKS:
        try:
            figures = importlib.import_module(name).measure()
        except LtrError as error:
            sys.stderr.write(f"error: {name}: {error}\n")
            return 2
        for figure in figures:
            missed += page.met(figure) is False
            sys.stdout.write(
                f"{name:>10}  {figure['what']}: {page.amount(figure)}; {page.bound(figure) or 'no bound'}\n"
            )
            sys.stdout.flush()
        if figures:
            measured[name] = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "figures": figures}
            MEASURED.write_text(json.dumps(measured, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            page.write(ROOT)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
