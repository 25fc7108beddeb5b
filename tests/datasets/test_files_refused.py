"""Catalogues that are refused, and judgments of another one: what was given, where it stands, what to do."""

import polars as pl
import pytest

from ltr.config import DataConfig
from ltr.datasets.files import load, read_products
from ltr.errors import DataError, JudgmentError


def config(**keys):
    return DataConfig(source="files", **{"products": "catalogue.csv", "judgments": "ratings.csv"} | keys)


BAD_CATALOGUES = {
    "no product_id": (
        "title\nred shoe\n",
        {},
        "no column for product_id; it has title; rename a column: product_id may be called product_id, doc_id",
    ),
    "no product": ("sku,title\n", {}, r"catalogue.csv holds no product; give one row a product$"),
    "a product without id": ("sku,title\n1,a\n,red shoe\n", {}, r"catalogue.csv line 3: product_id is empty; fill or"),
    "many products without id": (
        "sku,title\n,a\n1,b\n , \n,c\n,d\n",
        {},
        r"catalogue.csv lines 2, 4 and 5: product_id is empty \(4 rows\)",
    ),
    "a product twice": (
        "sku,title\n1,red shoe\n1,blue shoe\n",
        {},
        r"catalogue.csv: product_id occurs more than once: '1' on lines 2 and 3; keep one row a product",
    ),
    "many products twice": (
        "sku\n" + "a\nb\nc\nd\ne\n" * 2 + "a\na\n",
        {},
        "more than once: 'a' on lines 2, 7 and 12, 'b' on lines 3 and 8, 'c' on lines 4 and 9, and 2 more; keep",
    ),
    "an infinite price": ("sku,price\n1,5\n2,inf\n", {}, "line 3, column 'price': is infinite; leave it empty"),
    "a price in words": (
        "sku,price\n1,5\n2,cheap\n",
        {"price": "number"},
        "line 3, column 'price': 'cheap' is not a number",
    ),
    "a type for no field": ("sku,price\n1,5\n", {"prise": "number"}, "no field 'prise', .*did you mean 'price'"),
    "bytes of latin-1": (b"sku,title\n1,caf\xe9\n", {}, "not UTF-8: line 2 holds byte 0xE9"),
}


@pytest.mark.parametrize(("content", "fields", "message"), BAD_CATALOGUES.values(), ids=BAD_CATALOGUES)
def test_bad_catalogues_are_refused(tmp_path, content, fields, message):
    path = tmp_path / "catalogue.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_products(path, fields=fields)


def test_products_of_parquet_are_named_by_row(tmp_path):
    path = tmp_path / "catalogue.parquet"
    pl.DataFrame({"sku": [1, 2, 1]}).write_parquet(path)
    with pytest.raises(DataError, match="more than once: '1' on rows 1 and 3"):
        read_products(path)
    pl.DataFrame({"sku": [1.0, float("nan"), None]}).write_parquet(path)
    with pytest.raises(DataError, match="parquet rows 2 and 3: product_id is empty"):
        read_products(path)


STRANGERS = {
    "ids of another shop": (
        "A1,4\nA2,1",
        r"the 2 judged .*/ratings.csv names 'A1', .*/catalogue.csv has '007'; name the",
    ),
    "ids that were floats": ("9.0,4\n11,1", "names '9.0', .* has '9'; write the ids alike in both files$"),
    "ids that lost their zeros": ("5,1\n7,4", "names '7', .* has '007'; write the ids alike in both files$"),
}


@pytest.mark.parametrize(("rows", "message"), STRANGERS.values(), ids=STRANGERS)
def test_judgments_of_products_that_are_all_unknown_are_refused(shop, rows, message):
    (shop / "ratings.csv").write_text(
        "query,docid,rating\n" + "".join(f"hat,{row}\nshoe,{row}\n" for row in rows.split("\n"))
    )
    with pytest.raises(JudgmentError, match=f"^none of .*{message}"):
        load(config(), base=shop)


def test_one_known_product_among_strangers_is_enough(shop):
    (shop / "ratings.csv").write_text("query,docid,rating\nhat,9,1\nhat,no,1\n")
    assert load(config(), base=shop).judgments.height == 2


def test_a_catalogue_and_judgments_between_semicolons_load(shop):
    for name in ("catalogue.csv", "ratings.csv"):
        (shop / name).write_text((shop / name).read_text().replace(",", ";"))
    dataset = load(config(), base=shop)
    assert dataset.products["price"].to_list() == [59.9, None, 19.0, 25.0]
    assert dataset.judgments["grade"].to_list() == [4.0, 1.0, 3.0]


def test_a_catalogue_without_text_asks_for_a_type(shop):
    (shop / "catalogue.csv").write_text("sku,price\n1,5\n")
    with pytest.raises(DataError, match=r"no text field; its fields are .*; declare one: \[data.fields\]"):
        load(config(), base=shop)
