"""Progress bars on a terminal, silence elsewhere.

Bars go to standard error, so that ``--json`` keeps standard output to itself.

>>> with bar("encoding", total=2) as advance:
...     advance(2)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]


@contextmanager
def bar(label: str, *, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar for ``total`` units of work (None = not known); yields the function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    # rich is imported where a person is looking: a batch job does not pay for it.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)
