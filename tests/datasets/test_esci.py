import os
from pathlib import Path

import polars as pl
import pytest

from ltr.config import DataConfig
from ltr.datasets import esci, load
from ltr.datasets.esci import FIELDS
from ltr.errors import DataError, JudgmentError

EXAMPLES = pl.DataFrame(
    {
        "example_id": [0, 1, 2, 3, 4],
        "query": ["red hat", "red hat", "red hat", "sombrero", "hut"],
        "query_id": [10, 10, 11, 12, 13],
        "product_id": ["A", "B", "A", "A", "A"],
        "product_locale": ["us", "us", "us", "es", "us"],
        "esci_label": ["E", "S", "C", "E", "I"],
        "small_version": [1, 1, 1, 1, 0],
        "large_version": [1, 1, 1, 1, 1],
        "split": ["train", "train", "test", "train", "test"],
    }
)
PRODUCTS = pl.DataFrame(
    {
        "product_id": ["B", "A", "A", "C"],
        "product_title": ["Blue hat", "Red hat", "Sombrero", "Not judged"],
        "product_description": [None, "A hat.", None, None],
        "product_bullet_point": ["", "One\nTwo", None, None],
        "product_brand": ["Acme", None, None, None],
        "product_color": ["Blue", "Red", None, None],
        "product_locale": ["us", "us", "es", "us"],
    }
)
ATTRIBUTES = pl.DataFrame(
    {
        "product_id": ["A"],
        "price": [9.99],
        "rating": [4.5],
        "rating_count": [12],
        "category": ["Clothing > Hats & Caps"],
        "is_book": [False],
    }
)


def written(directory, *, examples=EXAMPLES, products=PRODUCTS, attributes=ATTRIBUTES):
    examples.write_parquet(directory / "shopping_queries_dataset_examples.parquet")
    products.write_parquet(directory / "shopping_queries_dataset_products.parquet")
    if attributes is not None:
        attributes.write_parquet(directory / "product_attributes.parquet")
    return load(DataConfig(source="esci", path=str(directory)), base=Path())


def test_judgments_are_the_us_part_of_the_reduced_version(tmp_path):
    dataset = written(tmp_path)
    assert dataset.judgments.rows() == [("10", "A", 3.0, 1.0), ("10", "B", 2.0, 1.0), ("11", "A", 1.0, 1.0)]
    assert dataset.queries.rows() == [("10", "red hat", "train"), ("11", "red hat", "test")]
    assert (dataset.scale, dataset.gains) == ("esci", "esci")


def test_products_lose_the_prefix_and_gain_their_attributes(tmp_path):
    dataset = written(tmp_path)
    assert list(dataset.fields) == dataset.products.columns[1:] == list(FIELDS)
    assert dataset.products.row(0, named=True) == {
        "product_id": "A",
        "title": "Red hat",
        "description": "A hat.",
        "bullet_points": "One\nTwo",
        "brand": None,
        "color": "Red",
        "price": 9.99,
        "rating": 4.5,
        "rating_count": 12.0,
        "category": ["Clothing", "Hats & Caps"],
        "is_book": False,
    }
    assert dataset.products.filter(pl.col("product_id") == "B")["bullet_points"].to_list() == [None]
    assert "price is not known for 2 of 3 products." in dataset.notes


def test_the_official_set_has_the_same_fields_with_empty_attributes(tmp_path):
    bare, full = tmp_path / "bare", tmp_path / "full"
    bare.mkdir()
    full.mkdir()
    without, having = written(bare, attributes=None), written(full)
    assert without.products.schema == having.products.schema
    assert without.products["price"].null_count() == 3
    assert without.fields == having.fields


def test_a_catalogue_is_whole_up_to_a_size_and_then_cut_to_what_is_judged(tmp_path, monkeypatch):
    assert written(tmp_path).products["product_id"].to_list() == ["A", "B", "C"]
    monkeypatch.setattr(esci, "_WHOLE", 2)
    cut = written(tmp_path)
    assert cut.products["product_id"].to_list() == ["A", "B"]
    assert "The catalogue is cut to the products that have judgments." in cut.notes


def test_columns_of_versions_and_split_may_be_missing(tmp_path):
    dataset = written(tmp_path, examples=EXAMPLES.drop("small_version", "split"))
    assert dataset.judgments.height == 4
    assert dataset.queries.columns == ["query_id", "query"]


def test_missing_official_columns_are_named(tmp_path):
    with pytest.raises(DataError, match=r"examples.parquet lacks esci_label; it has .*official column names"):
        written(tmp_path, examples=EXAMPLES.drop("esci_label"))
    with pytest.raises(DataError, match=r"products.parquet lacks product_brand, product_color"):
        written(tmp_path, products=PRODUCTS.drop("product_brand", "product_color"))
    with pytest.raises(DataError, match=r"product_attributes.parquet lacks price"):
        written(tmp_path, attributes=ATTRIBUTES.drop("price"))


@pytest.mark.parametrize("name", ["examples", "products"])
def test_a_truncated_file_is_named(tmp_path, name):
    written(tmp_path)
    path = tmp_path / f"shopping_queries_dataset_{name}.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"dataset_{name}.parquet is not a whole Parquet file"):
        load(DataConfig(source="esci", path=str(tmp_path)), base=Path())


def test_an_unknown_label_is_named_by_its_row_in_the_file(tmp_path):
    labels = EXAMPLES.with_columns(esci_label=pl.Series(["E", "S", "X", "E", "I"]))
    with pytest.raises(JudgmentError, match=r"row 3: grade 'X' is not on scale 'esci' \(0 to 3: I, C, S, E\)"):
        written(tmp_path, examples=labels)


def test_a_set_without_us_judgments_is_refused(tmp_path):
    with pytest.raises(JudgmentError, match="holds no judgment"):
        written(tmp_path, examples=EXAMPLES.filter(pl.col("product_locale") == "es"))


def test_the_real_sample_loads_as_published():
    if not os.environ.get("LTR_DATA_HOME"):
        if os.environ.get("CI") == "true":
            pytest.fail("LTR_DATA_HOME is not set")
        pytest.skip("LTR_DATA_HOME is not set: the ESCI sample is not here")
    dataset = load(DataConfig(source="esci"), base=Path())
    assert (dataset.products.height, dataset.queries.height, dataset.judgments.height) == (6_764, 101, 4_507)
    counts = dict(dataset.judgments.group_by("grade").len().rows())
    assert counts == {0.0: 682, 1.0: 188, 2.0: 1_305, 3.0: 2_332}
    assert dataset.judgments.join(dataset.products, on="product_id", how="anti").height == 0
