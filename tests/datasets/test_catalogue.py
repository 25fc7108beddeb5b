import pytest

from ltr.config import DataConfig
from ltr.datasets.catalogue import read_products
from ltr.errors import DataError

MAPPED = DataConfig(source="files", columns={"product_id": "key", "title": "label"})
FIELDS = {"title": "text", "price": "number"}

NAMES = {
    "the mapped names": "key,label,price\n7,red shoe,5\n",
    "our names": "product_id,title,price\n7,red shoe,5\n",
    "a usual name of the id": "sku,title,price\n7,red shoe,5\n",
    "mapped and ours": "key,title,price\n7,red shoe,5\n",
}


def catalogue(tmp_path, content, *, config=MAPPED):
    path = tmp_path / "other.csv"
    path.write_text(content)
    return read_products(path, config=config, fields=FIELDS, title="title")


@pytest.mark.parametrize("content", NAMES.values(), ids=NAMES)
def test_another_catalogue_may_have_the_mapped_names_or_ours(tmp_path, content):
    products, lacking = catalogue(tmp_path, content)
    assert (products.rows(), lacking) == ([("7", "red shoe", 5.0)], [])


def test_escis_own_names_are_known(tmp_path):
    products, lacking = catalogue(tmp_path, "product_id,product_title\n7,red shoe\n", config=DataConfig(source="esci"))
    assert products.rows() == [("7", "red shoe", None)]
    assert lacking == ["price"]


FAULTS = {
    "no title": ("sku,about\n7,red shoe\n", "no column for the title; it has product_id, about; rename a column: .* label, title$"),
    "no id": ("code,title\n7,red shoe\n", "no column for product_id; .*; rename a column: product_id may be called key, product_id,"),
    "no product": ("sku,title\n", "other.csv holds no product"),
    "a product twice": ("sku,title\n7,a\n7,b\n", "other.csv: product_id occurs more than once: '7' on lines 2 and 3"),
    "words for a number": ("sku,title,price\n7,a,cheap\n", r"line 2, column 'price': 'cheap' is not a number; .*, or train with"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_with_another_catalogue_is_mended_in_its_file(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        catalogue(tmp_path, content)
