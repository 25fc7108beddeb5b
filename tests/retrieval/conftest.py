"""A small shop in an index of the real server, and retrievers over it."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest

from ltr.engine import connect
from ltr.retrieval import elastic
from made.indexes import made_index
from made.small_shop import CLAUSES, FIELDS, MISSING, PROPERTIES, Drawn, documents


@dataclass(frozen=True)
class Shop:
    """Where the index is, and what is in it."""

    engine: Any
    url: str
    index: str
    documents: dict[str, dict[str, Any]] = field(repr=False)
    products: pl.DataFrame = field(repr=False)


@pytest.fixture(scope="session")
def shop(engine_url):
    """The small shop on the real server."""
    own = documents()
    engine = connect(engine_url)
    with made_index(engine_url, own, PROPERTIES) as index:
        products = pl.DataFrame([{"product_id": key, "title": each["title"]} for key, each in own.items()])
        yield Shop(engine, engine_url, index, own, products)
    engine.close()


@pytest.fixture(scope="session")
def build(shop):
    """Build a retriever over the shop, by fields unless told otherwise."""

    def made(*, engine=shop.engine, index=shop.index, **policy):
        given = {"fields": {} if "body" in policy else FIELDS, "clauses": CLAUSES, "missing": MISSING} | policy
        if given.get("vector"):
            given.setdefault("encoder", Drawn())
        return elastic.build(engine, index, **given)

    return made
