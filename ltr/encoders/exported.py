"""Exported models: made once, kept in ``<cache>/encoders/<digest>``, found again by what they were made from.

The digest is the SHA-256 of weights, tokenizer, settings, precision and the version of this export. A directory under
construction has another name until it is whole; int8 is made from the float32 export, without the training library.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ltr.encoders import onnx, saved
from ltr.errors import EncoderError

__all__ = ["VERSIONS", "complete", "fingerprint", "load", "weights"]

# Of each precision, to be raised when its export changes the vectors.
VERSIONS: Final = {"float32": 1, "int8": 2}

_SETTINGS: Final = (".json", ".txt", ".model")
_TOKENIZERS: Final = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
# Notes on the training data; some models carry them.
_NOTES: Final = ("data_config.json", "README.txt")


def load(directory: Path, *, name: str, precision: str, cache: Path) -> onnx.OnnxEncoder:
    """Load the export of a sentence-transformers model, made now where it is not in the cache."""
    header, entry = _entry(directory, name=name, precision=precision, cache=cache)
    return onnx.restore(replace(header, name=name), entry)


def complete(directory: Path) -> bool:
    """Whether a directory holds a whole sentence-transformers model; a download may have been broken off."""
    try:
        modules = json.loads((directory / "modules.json").read_text(encoding="utf-8"))
        parts = [(directory / module["path"], str(module["type"])) for module in modules]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # Normalize has no settings, so its directory may be empty and missing.
    settled = all((part / "config.json").is_file() for part, kind in parts if not kind.endswith(".Normalize"))
    first = parts[0][0] if parts else directory
    return settled and bool(weights(directory)) and any((first / tokenizer).is_file() for tokenizer in _TOKENIZERS)


def weights(directory: Path) -> list[Path]:
    """Weight files of a model and its modules: safetensors, else PyTorch's own."""
    for pattern in ("*.safetensors", "*.bin"):
        found = [*directory.glob(pattern), *directory.glob(f"[0-9]*_*/{pattern}")]
        if found:
            return sorted(found)
    return []


def fingerprint(directory: Path) -> str:
    """SHA-256 of a model's weights, tokenizer and settings, whatever its directory is called."""
    settings = [
        path
        for path in (*directory.iterdir(), *directory.glob("[0-9]*_*/*"))
        if path.suffix in _SETTINGS and path.name not in _NOTES and path.is_file()
    ]
    digest = hashlib.sha256()
    for path in sorted({*settings, *weights(directory)}):
        digest.update(f"{path.relative_to(directory).as_posix()} {saved.sha256(path)}\n".encode())
    return digest.hexdigest()


def _settings(directory: Path) -> dict[str, Any]:
    """config.json of the transformer, which is the first module."""
    part = json.loads((directory / "modules.json").read_text(encoding="utf-8"))[0]["path"]
    settings: dict[str, Any] = json.loads((directory / part / "config.json").read_text(encoding="utf-8"))
    return settings


def _entry(directory: Path, *, name: str, precision: str, cache: Path) -> tuple[saved.Saved, Path]:
    digest = hashlib.sha256(f"{fingerprint(directory)} {precision} {VERSIONS[precision]}".encode()).hexdigest()
    target = cache / "encoders" / digest
    if target.is_dir():
        try:
            header = saved.read(target)
            saved.verify(header, target)
            return header, target
        except EncoderError as error:
            warnings.warn(f"the exported model in the cache is damaged and made again: {error}", stacklevel=2)
            shutil.rmtree(target, ignore_errors=True)

    def make(draft: Path) -> None:
        if precision == "int8":
            from ltr.encoders import quantisation

            header, entry = _entry(directory, name=name, precision="float32", cache=cache)
            made = quantisation.quantise(header, entry, draft, settings=_settings(directory))
        else:
            from ltr.encoders import sentence

            made = sentence.export(directory, draft, name=name)
        files = {file: saved.sha256(draft / file) for file in ("model.onnx", "tokenizer.json")}
        saved.write(replace(made, digest=digest, files=files), draft)

    _atomically(target, make)
    return saved.read(target), target


def _atomically(target: Path, make: Callable[[Path], None]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
        try:
            make(draft)
            draft.chmod(0o755)
            os.rename(draft, target)
        except OSError:
            # Another process may have made the same meanwhile; rename refuses a directory that is not empty.
            if not (target / "encoder.json").is_file():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise EncoderError(
            f"the exported model cannot be kept in {str(target.parent)!r}: {error.strerror or error}",
            hint="free some space there, or choose another cache directory",
        ) from error
