"""The state of a bundle, replaced under an unchanged model: whole or not at all, and the last one kept.

A new state is written beside the one in use, as state-2, state-3 ...; the rename of bundle.json, which names it, is what
replaces it. A full disk, a crash or Ctrl-C before that leaves the bundle as it was. The one before stays for ``roll_back``;
older ones go. A process that has a state loaded keeps it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ltr.bundle_manifest import digests, read_manifest, state_directory, verify_files, write_manifest
from ltr.errors import BundleError, BundleMismatchError

if TYPE_CHECKING:
    from ltr.bundle import Bundle
    from ltr.features.state import State

__all__ = ["check_belongs", "renew", "roll_back"]

_OTHER: Final = re.compile(r"state(-\d+)?|\.state-.*")


def check_belongs(bundle: Bundle, state: State) -> None:
    """BundleMismatchError where the bundle's model cannot read a state."""
    from ltr.features import checks

    ours, theirs = bundle.state.schema, state.schema
    if ours.digest != theirs.digest:
        raise BundleMismatchError(
            f"{bundle.path}: the model reads {_told(ours)}, the new state holds {_told(theirs)}",
            hint="give a catalogue with the fields that it was trained on, or train again",
        )
    checks.check_state(bundle.feature_set, state)


def renew(bundle: Bundle, state: State, *, renewed: str) -> Path:
    """Put a state in the place of the bundle's, and return its directory.

    Args:
        bundle: as loaded.
        state: the new one.
        renewed: the time as ISO 8601, for people; nothing depends on it.

    Raises:
        BundleMismatchError: the model cannot read it.
        BundleError: it could not be written, or another is being written; the bundle is as it was.
    """
    check_belongs(bundle, state)
    with _alone(bundle.path) as path:
        manifest = read_manifest(path)
        _check_model(bundle, manifest)
        last = state_directory(path, manifest)
        _tidy(path, keep=[last.name, *_previous(manifest)])
        new: Path | None = None
        try:
            new = _written(path, state)
            entry = {"version": state.version, "as_of": state.as_of, "directory": new.name, "renewed": renewed}
            before = {**manifest["state"], "directory": last.name, "files": manifest["files"]["state"]}
            files = {**manifest["files"], "state": digests(new)}
            write_manifest(path, {**manifest, "state": entry, "previous": before, "files": files})
        except (OSError, pl.exceptions.PolarsError) as error:
            if new is not None:
                shutil.rmtree(new, ignore_errors=True)
            raise BundleError(
                f"the state of {path} could not be renewed: {getattr(error, 'strerror', None) or error}",
                hint="the bundle is as it was; free some space, then refresh again",
            ) from error
        _tidy(path, keep=[last.name, new.name])
        return new


def roll_back(path: Path) -> dict[str, Any]:
    """Take the state before, and keep the present one as the one before; returns bundle.json's entry of what is in use now.

    Raises:
        BundleError: there is none, or it is not what was saved.
    """
    with _alone(path):
        manifest = read_manifest(path)
        if not _previous(manifest):
            raise BundleError(f"{path} has no state before its own", hint="refresh it first")
        last = state_directory(path, manifest)
        entry = {name: value for name, value in manifest["previous"].items() if name != "files"}
        files = manifest["previous"]["files"]
        verify_files(state_directory(path, {"state": entry}), files)
        before = {**manifest["state"], "directory": last.name, "files": manifest["files"]["state"]}
        write_manifest(
            path, {**manifest, "state": entry, "previous": before, "files": {**manifest["files"], "state": files}}
        )
        return entry


def _told(schema: Any) -> str:
    sources = ", ".join(f"{source.form} of {source.key}" for source in schema.sources)
    return f"{sources or 'no field'} ({schema.analyzer}) among {sorted(schema.fields.items())}"


def _check_model(bundle: Bundle, manifest: Mapping[str, Any]) -> None:
    """The model on the disk is the one that was loaded: training may have put another bundle there."""
    if manifest["feature_set"] != bundle.feature_set.digest or manifest["files"]["model"] != digests(
        bundle.path / "model"
    ):
        raise BundleMismatchError(
            f"{bundle.path}: bundle.json is of feature set {manifest['feature_set'][:12]}, the model that was loaded of "
            f"{bundle.feature_set.digest[:12]}, or its files have changed",
            hint="refresh again",
        )


def _previous(manifest: Mapping[str, Any]) -> list[str]:
    """The directory of the state before; none where there was no other."""
    before = manifest.get("previous")
    named = isinstance(before, dict) and isinstance(before.get("files"), dict) and before.get("directory")
    return [str(named)] if named else []


def _written(path: Path, state: State) -> Path:
    """Write a state under the next name that is free."""
    draft = Path(tempfile.mkdtemp(prefix=".state-", dir=path))
    try:
        state.save(draft)
        for file in draft.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        draft.chmod(0o755)
        name = next(f"state-{number}" for number in count(2) if not (path / f"state-{number}").exists())
        return draft.rename(path / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _tidy(path: Path, *, keep: list[str]) -> None:
    """Remove states that nothing names, such as what a crash left."""
    for other in path.iterdir():
        if _OTHER.fullmatch(other.name) and other.name not in keep and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """Hold the bundle, so that no two states are written at once; the lock goes with the process."""
    read_manifest(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BundleError(f"{path} cannot be opened: {error.strerror}", hint="check its permissions") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BundleError(
                f"the state of {path} is being renewed by another process", hint="wait for it to end"
            ) from error
        yield path
    finally:
        os.close(descriptor)
