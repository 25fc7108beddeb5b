"""A small real catalogue to ask single features of."""

import numpy as np
import polars as pl
import pytest

from ltr.features import compute, state
from ltr.features.definition import parse

FIELDS = {
    "title": "text",
    "overview": "text",
    "tags": "keyword",
    "brand": "keyword",
    "price": "number",
    "year": "number",
    "sold": "boolean",
}
TYPES = {
    "product_id": pl.String,
    "title": pl.String,
    "overview": pl.String,
    "tags": pl.List(pl.String),
    "brand": pl.String,
    "price": pl.Float64,
    "year": pl.Float64,
    "sold": pl.Boolean,
}


def catalogue(*products):
    """Products from dicts; fields not given are null; ids are p0, p1 ... where none is given."""
    rows = [{"product_id": f"p{number}"} | product for number, product in enumerate(products)]
    return pl.DataFrame(rows, schema=TYPES)


def feature_set(*features, analyzer="standard"):
    named = [{"name": f"f{number}"} | feature for number, feature in enumerate(features)]
    return parse({"name": "test", "analyzer": analyzer, "feature": named})


def ask(query, products, feature, *others, product_ids=None, analyzer="standard", encoder=None, match=None):
    """Values of the first feature for one query over all products, or those named."""
    wanted = feature_set(feature, *others, analyzer=analyzer)
    built = state.build(catalogue(*products), wanted, fields=FIELDS, encoder=encoder)
    ids = product_ids or built.products["product_id"].to_list()
    return compute.online(query, ids, wanted, built, match=match, encoder=encoder)[:, 0].tolist()


@pytest.fixture(name="ask")
def _ask():
    return ask


@pytest.fixture(name="catalogue")
def _catalogue():
    return catalogue


@pytest.fixture(name="feature_set")
def _feature_set():
    return feature_set


@pytest.fixture
def fields():
    return dict(FIELDS)


@pytest.fixture
def close():
    """Equal as float32, NaN equal to NaN."""

    def check(found, expected):
        np.testing.assert_allclose(found, np.array(expected, dtype=np.float32), rtol=1e-6, equal_nan=True)

    return check
