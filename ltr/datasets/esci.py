"""Amazon's Shopping Queries Dataset (ESCI), US English: the full set and samples of it alike, in the official columns.

Reddy et al., Shopping Queries Dataset: A Large-Scale ESCI Benchmark for Improving Product Search, arXiv:2206.06588;
https://github.com/amazon-science/esci-data, Apache-2.0. Judgments are those of the reduced version (small_version = 1)
that the ranking task uses. Grades are I 0, C 1, S 2, E 3.

The catalogue is whole up to 250,000 US products. The full set has 1.2 million, which would take hours to encode and
gigabytes to hold; there, the products that have judgments are kept, which are all that reranking judged lists needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from ltr.datasets import Dataset, FieldType
from ltr.datasets.columns import typed
from ltr.datasets.download import Remote, locate
from ltr.datasets.files import judged
from ltr.datasets.mapping import ROW
from ltr.datasets.tables import read_table, reading_parquet
from ltr.errors import DataError
from ltr.frames import check

if TYPE_CHECKING:
    from ltr.config import DataConfig

__all__ = ["FIELDS", "FILES", "OFFICIAL", "load"]

_ADDRESS: Final = "https://github.com/amazon-science/esci-data/raw/main/shopping_queries_dataset/"

# The checksums are those of the repository's Git LFS pointers; 51 MB and 1.1 GB.
FILES: Final = (
    Remote(
        "shopping_queries_dataset_products.parquet",
        f"{_ADDRESS}shopping_queries_dataset_products.parquet",
        "25124442d064d64b26f74082d6fa09438d679efc0c183cf28d19064a2b65a265",
    ),
    Remote(
        "shopping_queries_dataset_examples.parquet",
        f"{_ADDRESS}shopping_queries_dataset_examples.parquet",
        "4a735b693b4a424a6fc67f5be6e4c811495c488bbf66d02a602d308b2744263a",
    ),
)

# Shop attributes that a sample may bring. The official set has none: there these fields are empty, so that an experiment
# runs on either.
ATTRIBUTES: Final = "product_attributes.parquet"

FIELDS: Final[dict[str, FieldType]] = {
    "title": "text",
    "description": "text",
    "bullet_points": "text",
    "brand": "text",
    "color": "text",
    "price": "number",
    "rating": "number",
    "rating_count": "number",
    "category": "text",
    "is_book": "boolean",
}

OFFICIAL: Final = {
    "title": "product_title",
    "description": "product_description",
    "bullet_points": "product_bullet_point",
    "brand": "product_brand",
    "color": "product_color",
}
_LOCALE: Final = "us"
_WHOLE: Final = 250_000


def load(config: DataConfig, *, base: Path, quiet: bool = False) -> Dataset:
    """Load the US part; queries carry ``split``, the publishers' own train or test.

    Looked for in the folders ``esci``, then ``esci-us-sample`` of LTR_DATA_HOME; the download is the full set (1.1 GB).
    """
    path = base / Path(config.path).expanduser() if config.path else None
    directory = locate("esci", FILES, folders=("esci", "esci-us-sample"), path=path, quiet=quiet)
    catalogue, examples = (directory / file.name for file in FILES)
    queries, judgments, _ = judged(_examples(examples), "esci", {}, path=examples)
    products, whole = _products(catalogue, judgments)
    attributes = directory / ATTRIBUTES
    products = _with_attributes(products, attributes if attributes.is_file() else None)
    notes = ["Amazon Shopping Queries Dataset (ESCI), US English, the reduced version (Apache-2.0)."]
    if not whole:
        notes.append("The catalogue is cut to the products that have judgments.")
    for name in FIELDS:
        if products[name].null_count() * 2 > products.height:
            notes.append(f"{name} is not known for {products[name].null_count():,} of {products.height:,} products.")
    return Dataset(
        name="esci",
        products=products,
        queries=queries.select("query_id", "query", *[name for name in ("split",) if name in queries.columns]),
        judgments=judgments,
        fields=dict(FIELDS),
        title="title",
        # A production order that nobody tuned: the title counts three times, the rest once.
        text_fields={"title": 3.0, "description": 1.0, "bullet_points": 1.0, "brand": 1.0, "color": 1.0},
        scale="esci",
        gains="esci",
        notes=tuple(notes),
    )


def _examples(path: Path) -> pl.DataFrame:
    with reading_parquet(path):
        examples = pl.scan_parquet(path, glob=False, row_index_name=ROW)
        names = examples.collect_schema().names()
        _require(names, ("query", "query_id", "product_id", "product_locale", "esci_label"), path)
        wanted = pl.col("product_locale") == _LOCALE
        if "small_version" in names:
            wanted &= pl.col("small_version") == 1
        split = ["split"] if "split" in names else []
        return examples.filter(wanted).select(ROW, "query_id", "query", "product_id", "esci_label", *split).collect()


def _products(path: Path, judgments: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """The catalogue, and whether it is whole."""
    with reading_parquet(path):
        lazy = pl.scan_parquet(path, glob=False)
        _require(lazy.collect_schema().names(), ("product_id", "product_locale", *OFFICIAL.values()), path)
        local = lazy.filter(pl.col("product_locale") == _LOCALE).select(
            "product_id", *(pl.col(theirs).alias(ours) for ours, theirs in OFFICIAL.items())
        )
        whole = int(local.select(pl.len()).collect().item()) <= _WHOLE
        kept = (
            local if whole else local.join(judgments.lazy().select("product_id").unique(), on="product_id", how="semi")
        )
        products = kept.collect(engine="streaming")
    return typed(products, {name: FIELDS[name] for name in OFFICIAL}, path=path).sort("product_id"), whole


def _with_attributes(products: pl.DataFrame, path: Path | None) -> pl.DataFrame:
    """The products with all FIELDS; null where nothing says what they are."""
    extra = {name: kind for name, kind in FIELDS.items() if name not in OFFICIAL}
    if path is not None:
        attributes = read_table(path)
        _require(attributes.columns, ("product_id", *extra), path)
        # "Electronics > Headphones": the path's steps are values, so that no phrase runs across two of them.
        attributes = attributes.with_columns(pl.col("category").str.split(" > "))
        attributes = check(
            typed(attributes.select("product_id", *extra), extra, path=path), "products", where=str(path)
        )
        return products.join(attributes, on="product_id", how="left", maintain_order="left")
    types = {"text": pl.List(pl.String), "number": pl.Float64(), "boolean": pl.Boolean()}
    return products.with_columns(pl.lit(None, dtype=types[kind]).alias(name) for name, kind in extra.items())


def _require(names: list[str], required: tuple[str, ...], path: Path) -> None:
    if missing := [name for name in required if name not in names]:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(names)}",
            hint="ESCI's official column names are needed",
        )
