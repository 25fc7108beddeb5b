"""Serving: a bundle answers requests to rerank, and never breaks the search that asks.

``load`` reads a bundle, proves that it scores as on the day that it was saved, and warms it; ``parse_request`` makes a
request of plain JSON values, or says what is wrong with it; ``rerank.rerank`` answers it. The answer is always a permutation of the
candidates: whatever fails on the way, they come back in the order received, ``degraded``, with a reason from a fixed list.
No library that fits rankers is imported here.

    from ltr.serving import load, parse_request
    from ltr.serving.rerank import rerank
    serving = load(Path("bundles/shop"))
    answer = rerank(serving, parse_request({"query": "red shoes", "candidates": ["p12", "p7"]}))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ltr.serving.answer import Answer, Reason, Result, Stage
    from ltr.serving.loaded import Serving, load
    from ltr.serving.request import Candidate, Request, parse_request

__all__ = ["Answer", "Candidate", "Reason", "Request", "Result", "Serving", "Stage", "load", "parse_request"]

_PLACES: Final = {
    **dict.fromkeys(("Answer", "Reason", "Result", "Stage"), "answer"),
    **dict.fromkeys(("Serving", "load"), "loaded"),
    **dict.fromkeys(("Candidate", "Request", "parse_request"), "request"),
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"ltr.serving.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'ltr.serving' has no attribute {name!r}")
