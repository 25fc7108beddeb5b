"""Experiments: from experiment.toml to a compared, tracked and saved ranker.

``find`` turns EXPERIMENT, a name under experiments/ or a path, into the file; ``train`` runs it. What an experiment found
last is kept in ``results/last.json`` beside it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from ltr.errors import ConfigError, suggestion

__all__ = ["Reduced", "Result", "find", "names", "retrain_without", "train"]

_LAZY: Final = {
    "Reduced": "ltr.experiment.reduced",
    "Result": "ltr.experiment.result",
    "retrain_without": "ltr.experiment.reduced",
    "train": "ltr.experiment.training",
}


def find(text: str, *, root: Path) -> Path:
    """The experiment.toml of a name under ``root``/experiments, of a directory, or of a path."""
    given = Path(text)
    for path in (root / "experiments" / text / "experiment.toml", given / "experiment.toml", given):
        if path.is_file():
            return path
    raise ConfigError(
        f"experiment {text!r} is neither a name under {root / 'experiments'} nor a path to an experiment.toml",
        hint=suggestion(text, names(root), noun="experiments"),
    )


def names(root: Path) -> list[str]:
    """The experiments under ``root``/experiments, sorted."""
    return sorted(path.parent.name for path in (root / "experiments").glob("*/experiment.toml"))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ltr.experiment' has no attribute {name!r}")
