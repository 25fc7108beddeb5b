"""Talking to a search engine, Elasticsearch or OpenSearch, over plain HTTP; no room but this one opens a socket to it.

``connect`` gives an ``Engine``; ``Engine.call`` sends one request and returns the parsed answer, or raises an EngineError
that says what the server said. ``fill`` puts values into a JSON template, where they are always data and never syntax.

>>> from ltr.engine import fill
>>> fill({"match": {"title": "{{query}}"}}, query='shoes" OR 1')
{'match': {'title': 'shoes" OR 1'}}
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = ["Engine", "Probe", "connect", "fill"]

_LAZY: Final = {"Engine": "connection", "Probe": "connection", "connect": "connection", "fill": "template"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"ltr.engine.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ltr.engine' has no attribute {name!r}")
