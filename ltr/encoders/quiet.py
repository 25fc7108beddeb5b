"""Silence while other people's libraries load, download, export and quantise.

Their progress bars and log lines would run through ours, and their notes on their own old code tell our user nothing. Each
warning that is passed over is named; a new one is seen.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["quiet"]

# Message (a regular expression at its beginning) and category of what is known and of no consequence.
_KNOWN: Final[tuple[tuple[str, type[Warning]], ...]] = (
    # torch: the exporter that needs no network and whose graph can be fused is the older one.
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
    # A trace may have frozen a branch; the export is compared over texts of other lengths before it is trusted.
    ("Converting a tensor to a Python boolean might cause the trace to be incorrect", Warning),
    ("Exporting aten::index operator of advanced indexing", UserWarning),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over log lines and the warnings listed above."""
    before, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message, category in _KNOWN:
                warnings.filterwarnings("ignore", message=message, category=category)
            yield
    finally:
        logging.disable(before)
        # A library that logs through the root logger gives it a handler, which would print what others log later.
        logging.root.handlers[:] = handlers
