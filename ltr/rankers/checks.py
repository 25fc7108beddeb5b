"""What every library's module asks of a request in the same words: gains, parameters, directions, rows, threads.

>>> own({"shrinkage": 0.1}, {"eta": "eta", "shrinkage": "eta"}, {"seed": "set ranker.seed"}, library="XGBoost")
{'eta': 0.1}
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltr.config import RankerConfig
from ltr.errors import RankerError, suggestion

__all__ = ["check_matrix", "check_table", "directions", "idle_threads_asleep", "own", "threads", "told"]


def check_table(gains: NDArray[np.float64], cutoff: int, rounds: int) -> None:
    """Refuse gains that are no table, and a cutoff or rounds below 1."""
    if gains.ndim != 1 or len(gains) < 2 or not np.isfinite(gains).all() or gains.min() < 0 or gains.max() <= 0:
        raise RankerError(
            f"the gains {gains.tolist()} are no table", hint="one finite gain a grade, at least 0, one above"
        )
    if cutoff < 1 or rounds < 1:
        raise RankerError(f"cutoff {cutoff} and rounds {rounds} were given", hint="both are at least 1")


def check_matrix(matrix: NDArray[np.float32], features: Sequence[str]) -> None:
    """Refuse anything but rows of the ranker's features."""
    if matrix.ndim != 2 or matrix.shape[1] != len(features):
        raise RankerError(
            f"a matrix of shape {matrix.shape} was given", hint=f"rows of {len(features)} features are scored"
        )


def directions(monotone: Mapping[str, int], features: Sequence[str]) -> list[int]:
    """-1, 0 or 1 by feature, in their order; a name that is no feature is a RankerError.

    >>> directions({"price": -1}, ["title_bm25", "price"])
    [0, -1]
    """
    for name in monotone:
        if name not in features:
            raise RankerError(
                f"ranker.monotone names {name!r}", hint=suggestion(name, features, noun="the set's features")
            )
    return [monotone.get(name, 0) for name in features]


def own(
    given: Mapping[str, Any],
    names: Mapping[str, str],
    owned: Mapping[str, str],
    *,
    library: str,
    otherwise: str = "its documentation lists them under Parameters",
) -> dict[str, Any]:
    """The user's parameters under the library's first names; what is unknown, owned by the experiment or twice is refused.

    Args:
        given: as the experiment has them.
        names: every name and alias -> the first name.
        owned: first name -> what to do instead, for what the experiment decides elsewhere.
        library: its printable name.
        otherwise: the hint where no known name is near.
    """
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {names[near[0]]!r}?" if near else otherwise
            raise RankerError(f"{library} has no parameter {name!r}", hint=hint)
        first = names[name]
        if first in owned:
            raise RankerError(f"ranker.{name} cannot be set", hint=owned[first])
        if first in chosen:
            raise RankerError(f"ranker.{name} is given twice, once under another name", hint=f"keep {first!r}")
        chosen[first] = value
    return chosen


def told(config: RankerConfig) -> str:
    """The user's parameters as a message names them."""
    return ", ".join(f"{name} = {value!r}" for name, value in config.parameters.items()) or "the defaults"


def threads(work: int, *, each: int) -> int:
    """One thread for every ``each`` units of work, at most as many as the process may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, work // each))


@contextmanager
def idle_threads_asleep() -> Iterator[None]:
    """Import a library that uses OpenMP, which reads this variable once, so that its threads sleep while they wait.

    Spinning, two threads on a busy two-core machine were measured at 30 times the time of an idle one; asleep, at the
    same time on both.
    """
    waits = os.environ.get("OMP_WAIT_POLICY")
    os.environ["OMP_WAIT_POLICY"] = waits or "PASSIVE"
    try:
        yield
    finally:
        if waits is None:
            del os.environ["OMP_WAIT_POLICY"]
