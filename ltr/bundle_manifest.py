"""What a bundle says of itself: bundle.json, and the files that it vouches for.

    {"format": 1, "created": "2024-05-01T03:00:00+00:00", "ltr": "0.1.0", "feature_set": SHA-256,
     "state": {"version": SHA-256, "as_of": "2024-05-01", "directory": "state-2"},
     "previous": {the same of the state before, and its files},
     "files": {"model": {file: SHA-256}, "state": {file: SHA-256}}}

The state's directory is named here, so that one rename of bundle.json changes the state and what vouches for it together.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ltr.errors import BundleError
from ltr.lines import whole

__all__ = [
    "FORMAT",
    "digests",
    "read_json",
    "read_manifest",
    "state_directory",
    "verify",
    "verify_files",
    "write_json",
    "write_manifest",
]

FORMAT: Final = 1

_STATE: Final = re.compile(r"state(-[1-9][0-9]{0,8})?")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read bundle.json; BundleError where it is none, or of a newer format."""
    if not path.is_dir():
        raise BundleError(f"{str(path)!r} is not a directory", hint="give a bundle, such as one under bundles/")
    if not (path / "bundle.json").is_file():
        raise BundleError(f"{str(path)!r} holds no bundle.json", hint="give a bundle that `ltr train` has saved")
    manifest = read_json(path / "bundle.json")
    number = manifest.get("format")
    if not isinstance(number, int) or number < 1 or number > FORMAT:
        raise BundleError(
            f"{path} has format {number!r}; this ltr reads 1 to {FORMAT}", hint="upgrade ltr, or train again"
        )
    return manifest


def verify(path: Path, manifest: Mapping[str, Any]) -> None:
    """Check every file of both parts against its hash."""
    parts = manifest.get("files")
    if not isinstance(parts, dict) or not parts:
        raise BundleError(f"{path}: bundle.json names no files", hint="copy the bundle again, or train again")
    if unknown := set(parts) - {"model", "state"}:
        raise BundleError(f"{path}: bundle.json names an unknown part {min(unknown)!r}")
    for part in ("model", "state"):
        if not isinstance(parts.get(part), dict):
            raise BundleError(f"{path}: bundle.json does not list the files of {part}", hint="copy the bundle again")
    for directory, files in ((path / "model", parts["model"]), (state_directory(path, manifest), parts["state"])):
        verify_files(directory, files)


def verify_files(directory: Path, files: Mapping[str, str]) -> None:
    """Check the files of one part."""
    found = digests(directory)
    for name in sorted(set(files) | set(found)):
        place = f"{directory.parent}: {directory.name}/{name}"
        if name not in found:
            raise BundleError(f"{place} is missing", hint="copy the bundle again, or train again")
        if files.get(name) != found[name]:
            raise BundleError(f"{place} is not what was saved", hint="copy the bundle again, or train again")


def state_directory(path: Path, manifest: Mapping[str, Any] | None = None) -> Path:
    """Where a bundle's state lies now; ``ltr refresh`` puts each new one beside the last."""
    manifest = read_manifest(path) if manifest is None else manifest
    told = manifest.get("state")
    name = told.get("directory", "state") if isinstance(told, dict) else "state"
    if not isinstance(name, str) or not _STATE.fullmatch(name):
        raise BundleError(f"{path}: bundle.json names a state {name!r}", hint="copy the bundle again")
    return path / name


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Put bundle.json in its place, whole, and on the disk."""
    with whole(path / "bundle.json") as draft:
        write_json(draft, manifest)
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of each file under a directory, by its path there."""
    return {
        file.relative_to(directory).as_posix(): _sha256(file) for file in sorted(directory.rglob("*")) if file.is_file()
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a value as people read it."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read an object; BundleError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}", hint="copy the bundle again, or train again") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} is not a JSON object")
    return value
