"""Another catalogue with the fields of a known one: what a bundle that was trained on one is evaluated on.

The file may be in the columns that experiment.toml mapped, in the source's own (ESCI's product_title, the movies' id) or in
ours. A field that the file lacks is missing for every product; only the title has to be there.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ltr.datasets import SOURCES, FieldType
from ltr.datasets.columns import typed
from ltr.datasets.files import read_products as read_files
from ltr.errors import DataError
from ltr.frames import check

if TYPE_CHECKING:
    from ltr.config import DataConfig

__all__ = ["read_products"]

_EMPTY = {"number": pl.Float64(), "boolean": pl.Boolean(), "time": pl.Datetime("us", "UTC")}


def read_products(
    path: Path, *, config: DataConfig, fields: Mapping[str, FieldType], title: str
) -> tuple[pl.DataFrame, list[str]]:
    """Read a catalogue for a bundle: the products with all of ``fields``, and the fields that the file lacks."""
    source: Any = importlib.import_module(SOURCES[config.source])
    frame, _ = read_files(path, columns={**getattr(source, "COLUMNS", {}), **config.columns})
    official: dict[str, str] = getattr(source, "OFFICIAL", {})
    frame = frame.rename(
        {theirs: ours for ours, theirs in official.items() if theirs in frame.columns and ours not in frame.columns}
    )
    present = {name: kind for name, kind in fields.items() if name in frame.columns}
    if title not in present:
        names = dict.fromkeys([config.columns.get(title, title), title, official.get(title, title)])
        raise DataError(
            f"{path} has no column for the title; it has {', '.join(frame.columns)}",
            hint=f"rename a column: the title may be called {', '.join(names)}",
        )
    lacking = [name for name in fields if name not in present]
    whole = typed(frame.select("product_id", *present), present, path=path).with_columns(
        pl.lit(None, dtype=_EMPTY.get(fields[name], pl.String())).alias(name) for name in lacking
    )
    cleaned = getattr(source, "cleaned", lambda products: products)(whole.select("product_id", *fields))
    return check(cleaned, "products", where=str(path)), lacking
