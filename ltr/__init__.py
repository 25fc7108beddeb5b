"""Learning to rank for shop search: from catalogue, judgments and clicks to a LambdaMART reranker.

Public names load on first use, so that ``import ltr`` costs next to nothing and a service needs no training library.

>>> import ltr
>>> ltr.measures.parse("nDCG@10")
nDCG@10
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__version__ = "0.1.0"

_MODULES: Final = (
    "bundle",
    "config",
    "datasets",
    "encoders",
    "errors",
    "evaluation",
    "experiment",
    "features",
    "frames",
    "measures",
    "rankers",
    "retrieval",
    "text",
    "tracking",
)

__all__ = [
    "bundle",
    "config",
    "datasets",
    "encoders",
    "errors",
    "evaluation",
    "experiment",
    "features",
    "frames",
    "measures",
    "rankers",
    "retrieval",
    "text",
    "tracking",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"ltr.{name}")
    raise AttributeError(f"module 'ltr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
