"""One line that says what the figures were measured on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory, interpreter."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = f"{os.cpu_count()} cores, {memory / 2**20:.0f} GiB"
    return f"{model or platform.machine()}, {cores}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
