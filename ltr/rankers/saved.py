"""A saved ranker: ``ranker.txt``, the library's own text, and ``ranker.json``, which says whose text it is.

Errors of the disk while writing are left to ``ltr.bundle``, which writes the directory as one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ltr.errors import RankerError, suggestion
from ltr.rankers import LIBRARIES

__all__ = ["FORMAT", "MODULES", "Saved", "digest", "header", "read", "write"]

FORMAT: Final = 1
# The last three are no libraries to choose: they are made of fitted rankers.
MODULES: Final = {
    **LIBRARIES,
    **{made: f"ltr.rankers.{made}" for made in ("averaged", "started", "transferred")},
}


@dataclass(frozen=True)
class Saved:
    """What ranker.json holds, and the text beside it."""

    library: str
    version: str
    features: tuple[str, ...]
    rounds: int
    text: str


def write(saved: Saved, directory: Path) -> None:
    """Write both files; equal rankers give equal bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    header = {key: value for key, value in asdict(saved).items() if key != "text"}
    header = {"format": FORMAT, **header, "sha256": digest(saved.text)}
    (directory / "ranker.txt").write_text(saved.text, encoding="utf-8", newline="\n")
    (directory / "ranker.json").write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8", newline="\n")


def header(directory: Path) -> str:
    """SHA-256 of a saved ranker's ranker.json, which holds that of its text: what a ranker of rankers knows it by."""
    path = directory / "ranker.json"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RankerError(
            f"{path} cannot be read: {error.strerror}", hint="restore the directory from a copy"
        ) from error


def read(directory: Path) -> Saved:
    """Read both files; RankerError where one is absent, malformed, of a later format or of an unknown library."""
    path = directory / "ranker.json"
    again = "fit it again, or restore the directory from a copy"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        text = (directory / "ranker.txt").read_text(encoding="utf-8")
        saved = Saved(header["library"], header["version"], tuple(header["features"]), int(header["rounds"]), text)
        number, promised = int(header["format"]), header["sha256"]
    except OSError as error:
        raise RankerError(f"{error.filename} cannot be read: {error.strerror}", hint=again) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RankerError(f"{path} is not a ranker's header ({error!r})", hint=again) from error
    if number > FORMAT:
        raise RankerError(f"{path} has format {number}, newer than {FORMAT}", hint="use a newer release of ltr")
    # Not only for honesty: LightGBM ends the whole process on a truncated text.
    if promised != digest(text):
        raise RankerError(f"{directory / 'ranker.txt'} is not the text that was saved (SHA-256 differs)", hint=again)
    if saved.library not in MODULES:
        raise RankerError(
            f"{path}: library {saved.library!r} is unknown",
            hint=suggestion(saved.library, MODULES, noun="libraries"),
        )
    return saved


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
