"""A saved encoder: one directory that serving needs, and the header that says what it is.

    encoder.json     kind, name, digest, dimension, precision, pooling, longest text, prompts, SHA-256 of the files beside it
    model.onnx       the exported model          (kind onnx)
    tokenizer.json   its tokenizer               (kind onnx)

Errors of the disk while writing are left to the caller, who writes the directory as one.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ltr.encoders.rows import Engine
from ltr.errors import EncoderError, suggestion

__all__ = ["FORMAT", "KINDS", "Saved", "place", "read", "restore", "sha256", "verify", "write"]

FORMAT: Final = 1

KINDS: Final = {"hashing": "ltr.encoders.hashing", "onnx": "ltr.encoders.onnx"}

_AGAIN: Final = "save it again, or take it from a copy"


@dataclass(frozen=True)
class Saved:
    """What encoder.json holds.

    Args:
        kind: a key of ``KINDS``.
        name: as the user wrote it.
        digest: names the vectors: SHA-256 of weights, tokenizer, settings, precision and the version of the export.
        dimension: columns of a vector.
        precision: float32 or int8.
        pooling: how token vectors become one, in sentence-transformers' words.
        max_length: tokens after which a text is cut, special ones included.
        prompts: "query" and "product" -> what the model was trained to see before such a text.
        files: file name -> SHA-256.
    """

    kind: str
    name: str
    digest: str
    dimension: int
    precision: str = "float32"
    pooling: str = ""
    max_length: int = 0
    prompts: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def write(header: Saved, directory: Path) -> None:
    """Write encoder.json; equal encoders give equal bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **asdict(header)}, indent=2, ensure_ascii=False)
    (directory / "encoder.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def read(directory: Path) -> Saved:
    """Read encoder.json; EncoderError where it is absent, malformed, of a later format or of an unknown kind."""
    path = directory / "encoder.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        number = table.pop("format")
        if isinstance(number, int) and number > FORMAT:
            raise EncoderError(f"{path} has format {number}; this ltr reads up to {FORMAT}", hint="use a newer ltr")
        header = Saved(**table)
        _check_types(header)
    except OSError as error:
        raise EncoderError(
            f"{path} cannot be read: {error.strerror}", hint="give a directory with an encoder"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path} is not an encoder's header ({error!r})", hint=_AGAIN) from error
    if header.kind not in KINDS:
        raise EncoderError(
            f"{path}: kind {header.kind!r} is unknown", hint=suggestion(header.kind, KINDS, noun="kinds")
        )
    return header


def verify(header: Saved, directory: Path) -> None:
    """Check every file against its SHA-256."""
    for name, expected in header.files.items():
        path = directory / name
        try:
            found = sha256(path)
        except OSError as error:
            raise EncoderError(f"{path} cannot be read: {error.strerror}", hint=_AGAIN) from error
        if found != expected:
            raise EncoderError(f"{path} is not what was saved", hint=_AGAIN)


def restore(directory: Path) -> Engine:
    """Load a saved encoder of whatever kind, verified."""
    header = read(directory)
    verify(header, directory)
    module: Any = importlib.import_module(KINDS[header.kind])
    engine: Engine = module.restore(header, directory)
    return engine


def place(source: Path, target: Path) -> None:
    """Put a file there as a hard link, or as a copy where the two are not on one file system."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_types(header: Saved) -> None:
    """Refuse values that only a hand could have written, and file names that lead out of the directory."""
    for key in ("kind", "name", "digest", "precision", "pooling"):
        if not isinstance(getattr(header, key), str):
            raise TypeError(f"{key} is not a string")
    for key in ("dimension", "max_length"):
        if not isinstance(getattr(header, key), int):
            raise TypeError(f"{key} is not a whole number")
    for key in ("prompts", "files"):
        if not all(isinstance(value, str) for value in getattr(header, key).values()):
            raise TypeError(f"{key} holds what is not a string")
    if any(Path(name).name != name for name in header.files):
        raise ValueError("files holds a path")
    if header.kind == "onnx" and not {"model.onnx", "tokenizer.json"} <= header.files.keys():
        raise KeyError("files")
