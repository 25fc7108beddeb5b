"""Features: a query and a product to numbers, by kinds that a TOML file puts together.

The contract of a kind, ``kind(columns, groups, *, params) -> float32``: ``columns`` holds the state, the analysed query
of each list and the catalogue row of each candidate; list i is rows groups[i] to groups[i + 1]; NaN is a missing value
and no value is infinite. How many values it returns follows from its scope:

    product         one a row; asked once a state, for the whole catalogue, without queries
    query           one a list
    query_product   one a row, from the row's own product and query
    list            one a row, from all rows of its list; may read columns.values of the other scopes

A row's value never depends on another list, so batch and online are equal bit for bit. To add a kind: write the function
with its formula as docstring, put it into its module's KINDS, test it, and run ``python -m ltr.features.page``.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = [
    "KINDS",
    "Feature",
    "FeatureSet",
    "State",
    "build",
    "catalogue_page",
    "find",
    "matrix",
    "online",
    "pairs",
    "parse",
    "read_feature_set",
]

_LAZY: Final = {
    "KINDS": "kinds",
    "Feature": "definition",
    "FeatureSet": "definition",
    "parse": "definition",
    "State": "state",
    "build": "state",
    "catalogue_page": "page",
    "find": "definition",
    "matrix": "compute",
    "online": "compute",
    "pairs": "compute",
    "read_feature_set": "definition",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"ltr.features.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ltr.features' has no attribute {name!r}")
