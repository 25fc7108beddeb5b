"""An export put into an engine and taken back, so that every search in between has an answer.

What is put has a name of its own version and is never changed: store, feature set, model. Then the model must answer on the
index (the smoke query). Last, in one request, the stored search template that applications call changes to it: see
``pointer``. A failure on the way leaves that template, and whatever it names, as it was; what was put stays, since
nobody calls it, and the next deployment goes on from there.

    plan(engine, export, index)        what would be sent, nothing sent
    deploy(engine, export, index=)     put it; the same export twice changes nothing
    rollback(engine, name)             the version before, in one request
    parity(engine, export)             the engine's own scores of the export's golden rows: ``proof``
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = ["Deployed", "Step", "deploy", "parity", "plan", "rollback"]

_LAZY: Final = {
    "Deployed": "rollout",
    "Step": "steps",
    "deploy": "rollout",
    "parity": "proof",
    "plan": "rollout",
    "rollback": "rollout",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"ltr.deployment.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ltr.deployment' has no attribute {name!r}")
