"""The kinds of feature that a feature set may name.

>>> KINDS["bm25"].scope
'query_product'
"""

from __future__ import annotations

from typing import Final

from ltr.features import (
    behavior,
    exclusion,
    judged,
    lexical,
    listwise,
    match,
    product,
    query,
    salience,
    semantic,
    spelling,
)
from ltr.features.params import Kind

__all__ = ["KINDS"]

KINDS: Final[dict[str, Kind]] = (
    match.KINDS
    | lexical.KINDS
    | salience.KINDS
    | exclusion.KINDS
    | spelling.KINDS
    | semantic.KINDS
    | product.KINDS
    | listwise.KINDS
    | query.KINDS
    | judged.KINDS
    | behavior.KINDS
)
