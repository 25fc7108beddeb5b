"""features/measured.json: what a kind costs and what it is worth, as features/README.md quotes it."""

import json
from datetime import UTC, datetime
from pathlib import Path

from machine import machine

from ltr.features import page

DIRECTORY = Path(__file__).parents[2] / "features"


def keep(part: str, kinds: dict[str, dict[str, object] | None], *, note: str, command: str) -> None:
    """Replace one part, ``cost`` or ``worth``, and write the page anew."""
    path = DIRECTORY / "measured.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[part] = {
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "note": note,
        "kinds": dict(sorted(kinds.items())),
    }
    path.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write(DIRECTORY)
