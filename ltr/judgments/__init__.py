"""Judgments from clicks: a search log becomes impressions, a click model's attraction, and grades with their weight.

    impressions    ``read_log``: UBI or your own tables, joined, filtered and counted
    click models   CTR, COEC, PBM, UBM, DCM, SDBN, DBN: the contract ``ClickModel``; ``Prior`` for what was seen little
    fitness        log-likelihood and perplexity by rank, on searches held out
    propensity     the examination by position, by every method that the log allows
    grades         ``judge``: attraction and satisfaction to grades on a named scale; ``agreement`` compares two sets

>>> from ltr import judgments
>>> judgments.MODELS["pbm"].__name__, judgments.model("sdbn") is judgments.SDBN
('PBM', True)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from ltr.errors import ConfigError, suggestion

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ltr.judgments.statistics import Impressions

__all__ = ["COEC", "CTR", "DBN", "DCM", "MODELS", "PBM", "SDBN", "UBM", "ClickModel", "Prior", "model"]
NAMES: Final = ("ctr", "coec", "pbm", "ubm", "dcm", "sdbn", "dbn")


class ClickModel(Protocol):
    """A fitted click model; each class of ``MODELS`` has ``fit(impressions, *, prior=Prior())``.

    ``attraction`` has query_id, product_id, attraction Float64, shown, clicked UInt32, examined Float64, of some satisfaction.
    """

    @property
    def attraction(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def examination(self) -> NDArray[np.float64]: ...  # noqa: D102
    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> NDArray[np.float64]: ...  # noqa: D102
    def sample(self, lists: pl.DataFrame, *, seed: int) -> pl.DataFrame: ...  # noqa: D102


def model(name: str) -> Any:
    """The class of a click model by its name."""
    if name not in NAMES:
        raise ConfigError(f"click model {name!r} is unknown", hint=suggestion(name, NAMES, noun="models"))
    return getattr(importlib.import_module(f"ltr.judgments.{name}"), name.upper())


def __getattr__(name: str) -> Any:
    if name == "MODELS":
        return {each: model(each) for each in NAMES}
    if name.lower() in NAMES and name.isupper():
        return model(name.lower())
    if name == "Prior":
        return importlib.import_module("ltr.judgments.priors").Prior
    raise AttributeError(f"module 'ltr.judgments' has no attribute {name!r}")
