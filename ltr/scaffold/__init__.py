"""A working experiment from an index that is there: experiment.toml, features.toml and query.json, by reading alone.

The mapping, a sample of documents and what the server says of itself are read, and nothing is written to the cluster. What each
field is to a shop is a guess with its reason (``ltr.scaffold.fields``); every guess stands in the files, to be corrected there.

    survey → plan → write
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["FILES", "Plan", "Road", "Survey", "check_free", "name_of", "plan", "roads", "survey", "write"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("ltr.scaffold.planning"), name)
    raise AttributeError(f"module 'ltr.scaffold' has no attribute {name!r}")
