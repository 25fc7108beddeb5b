"""A fitted ranker as one forest of trees: what can be converted for an engine, explained or compiled.

A forest is read from the text that the ranker holds, which the library itself wrote; nothing is asked of the library. A mean
of LightGBM's forests is one forest too (``averaged.merged``).

>>> forest_of(object())
Traceback (most recent call last):
ltr.errors.RankerError: a ranker of class 'object' is no forest; fit with ranker.library = "lightgbm" or "xgboost"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ltr.errors import RankerError
from ltr.rankers import forest_lightgbm, forest_xgboost
from ltr.rankers.forest import Forest

__all__ = ["forest_of"]

_TREES: Final = 'fit with ranker.library = "lightgbm" or "xgboost"'
# The module of a ranker's class -> why it is no forest, and what to do.
_NONE: Final = {
    "linear": ("a linear ranker has no trees", _TREES),
    "started": (
        "the ranker adds its forest to a scaled start (ranker.start), which no tree expresses",
        "leave ranker.start out",
    ),
    "transferred": (
        "the ranker reads another ranker's score (transfer), which is no tree",
        "leave [transfer] out, or serve the bundle",
    ),
}


def forest_of(ranker: Any) -> Forest:
    """The one forest whose score a ranker's is.

    Raises:
        RankerError: the ranker is none, or not exactly: the message says why and what to do.
    """
    module = type(ranker).__module__.rpartition(".")[2]
    if module in _NONE:
        reason, remedy = _NONE[module]
        raise RankerError(reason, hint=remedy)
    if module not in _READ:
        raise RankerError(f"a ranker of class {type(ranker).__name__!r} is no forest", hint=_TREES)
    return _READ[module](ranker)


def _averaged(ranker: Any) -> Forest:
    from ltr.rankers.averaged import merged

    forests = [forest_of(member) for member in ranker.rankers]
    if forests[0].library != "lightgbm":
        raise RankerError(
            f"the ranker is the mean of {len(forests)} XGBoost forests, which summed in float32 are not one forest",
            hint='set ranker.seeds = 1, or ranker.library = "lightgbm"',
        )
    return merged(forests)


# The readers by the module of the ranker's class: naming the classes themselves would import the libraries.
_READ: Final[dict[str, Callable[[Any], Forest]]] = {
    "lightgbm": lambda ranker: forest_lightgbm.read_text(ranker.text),
    "xgboost": lambda ranker: forest_xgboost.read_model(ranker.text),
    "averaged": _averaged,
    "neutral": lambda ranker: ranker.forest,
}
