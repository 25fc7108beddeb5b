"""The catalogue of an Elasticsearch or OpenSearch index, copied once; judgments as ``files`` reads them.

    [data]                  source = "elasticsearch"  index = "products"  judgments = "judgments.csv"
                            url = "https://search.shop:9200"        # else LTR_ELASTICSEARCH_URL
                            products = "catalogue.parquet"          # the copy, beside experiment.toml
    [data.columns]          product_id = "sku"                      # else the documents' _id

A copy that is there is read and nothing is asked of the engine; remove it to copy anew. Fields have the engine's own names, and
the types of its mapping, which the copy carries: none is guessed from values. What a copy holds is said in ``ltr.engine.scan``.

>>> COLUMNS
{'product_id': '_id'}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ltr.datasets import Dataset, files
from ltr.datasets.tables import reading_parquet
from ltr.engine import connect
from ltr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ltr.config import DataConfig
    from ltr.engine import Engine

__all__ = ["CATALOGUE", "COLUMNS", "Origin", "copy", "load", "origin"]

CATALOGUE: Final = "catalogue.parquet"

# Ours -> the copy's own, where [data.columns] does not say otherwise.
COLUMNS: Final = {"product_id": "_id"}

_KEY: Final = "ltr"


@dataclass(frozen=True)
class Origin:
    """What a copy is of; ``fields`` are the types of its columns, ``at`` the time of the copy in UTC."""

    url: str
    index: str
    documents: int
    at: str
    fields: dict[str, Any]
    notes: tuple[str, ...] = ()


def load(
    config: DataConfig, *, base: Path, quiet: bool = False, scale: str | None = None, needs_judgments: bool = True
) -> Dataset:
    """Copy the catalogue where it is not there yet, and load it with the judgments that ``[data]`` names.

    Args:
        config: ``[data]`` of experiment.toml.
        base: the directory that relative paths start from.
        quiet: see ``files.load``.
        scale: see ``files.load``.
        needs_judgments: see ``files.load``.
    """
    if config.index is None:
        raise ConfigError("[data] index is missing", hint="name the index that the catalogue is copied from")
    path = base / Path(config.products or CATALOGUE).expanduser()
    if path.suffix != ".parquet":
        raise ConfigError(f"[data] products = {config.products!r} is no Parquet file", hint="name it FILE.parquet")
    if not path.exists():
        _check_judged(config, base, needed=needs_judgments)  # before minutes of copying
        copy(connect(config.url), config.index, path)
    made = origin(path)
    if made is not None and made.index != config.index:
        raise DataError(
            f"{path} is a copy of index {made.index!r}, and [data] index = {config.index!r}",
            hint="remove it, or name another file: [data] products",
        )
    types = made.fields if made else {}
    ours = {theirs: name for name, theirs in {**COLUMNS, **config.columns}.items()}
    types = {ours.get(name, name): kind for name, kind in types.items() if ours.get(name) != "product_id"}
    dataset = files.load(
        config.model_copy(
            update={
                "products": str(path.resolve()),
                "columns": {**COLUMNS, **config.columns},
                "fields": {**types, **config.fields},
            }
        ),
        base=base,
        quiet=quiet,
        scale=scale,
        needs_judgments=needs_judgments,
    )
    products = dataset.products
    if isinstance(products.schema[dataset.title], pl.List):  # a product has one title for people
        products = products.with_columns(pl.col(dataset.title).list.join(" "))
    return replace(dataset, name="elasticsearch", products=products, notes=(*_told(made, path), *dataset.notes))


def copy(engine: Engine, index: str, path: Path) -> Origin:
    """Copy an index into a Parquet file that says what it is of; whole or not at all.

    Raises:
        EngineError: see ``ltr.engine.scan.copy``.
    """
    from ltr.engine import mapping, scan

    told = mapping.read(engine, index)
    fields = {
        scan.ID: "keyword",
        **{each.name: each.kind for each in scan.copied_fields(told)},
    }
    at = datetime.now(UTC).isoformat(timespec="seconds")

    def described(documents: int, notes: Sequence[str]) -> dict[str, str]:
        made = Origin(engine.url, index, documents, at, fields, tuple(notes))
        return {_KEY: json.dumps(asdict(made), ensure_ascii=False)}

    documents, notes = scan.copy(engine, told, path, describe=described)
    return Origin(engine.url, index, documents, at, fields, notes)


def origin(path: Path) -> Origin | None:
    """What a Parquet file is a copy of; None where it is somebody else's."""
    with reading_parquet(path):
        told = pl.read_parquet_metadata(path).get(_KEY)
    if told is None:
        return None
    try:
        table = json.loads(told)
        return Origin(**{**table, "notes": tuple(table["notes"])})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} does not say what it is a copy of: {error}", hint="remove it, and it is copied again"
        ) from error


def _check_judged(config: DataConfig, base: Path, *, needed: bool) -> None:
    if config.judgments is None:
        if needed:
            raise ConfigError(
                "[data] judgments is missing", hint='set judgments = "FILE", or learn from a log: [judgments] log'
            )
    elif not (path := base / Path(config.judgments).expanduser()).exists():
        raise DataError(f"{path} does not exist", hint="put the judgments there: [data] judgments names the file")


def _told(made: Origin | None, path: Path) -> tuple[str, ...]:
    if made is None:
        return ()
    return (
        f"The catalogue is a copy of {made.documents:,} documents of index {made.index!r}, made {made.at}; "
        f"remove {path.name} to copy it anew.",
        *made.notes,
    )
