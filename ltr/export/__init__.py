"""Export: a bundle's ranker and features as an engine's own documents, with the proof that they score the same.

``write`` converts, checks and writes a directory; ``read`` reads and verifies one; ``check`` proves one again. Two roads:

    plugin    the o19s plugin of Elasticsearch, and OpenSearch: feature set and ``model/xgboost+json``       no licence
    native    Elastic's ``learning_to_rank``: one trained model with its query extractors                  Enterprise

What an engine cannot express is an ExportError that names each feature; what it cannot express exactly (categories, 0 as missing,
dart, linear trees) one that says so. No socket is opened here: ``ltr.deployment`` puts an export into an engine.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = ["Export", "ParityReport", "check", "check_before_fitting", "read", "write"]

_LAZY: Final = {
    "Export": "ltr.export.directory",
    "ParityReport": "ltr.export.parity",
    "check": "ltr.export.parity",
    "check_before_fitting": "ltr.export.directory",
    "read": "ltr.export.directory",
    "write": "ltr.export.directory",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ltr.export' has no attribute {name!r}")
