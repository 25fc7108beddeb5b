"""Products as an engine takes them: every line is the JSON that was meant, and equal catalogues have equal digests."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.engine.documents import Catalogue, vector_field
from ltr.errors import DataError

FIELDS = {
    "title": "text",
    "brand.name": "keyword",
    "price": "number",
    "sold": "boolean",
    "since": "time",
    "shape": "vector",
}
SCHEMA = {
    "product_id": pl.String,
    "title": pl.String,
    "brand.name": pl.List(pl.String),
    "price": pl.Float64,
    "sold": pl.Boolean,
    "since": pl.Datetime("us", "UTC"),
    "shape": pl.List(pl.Float32),
}
SHOE = ("p1", 'Shoe "12"', ["Ace", "Zed"], 12.5, True, datetime(2024, 5, 1, 12, 30, 1, 250, UTC), [0.5, 0.25])
BARE = ("p2", None, None, None, None, None, None)


def catalogue(*rows, vectors=None, fields=FIELDS, analyzer="standard"):
    return Catalogue(pl.DataFrame(list(rows), schema=SCHEMA, orient="row"), fields, analyzer, vectors or {})


def read(lines):
    """Ids and documents of lines, as any JSON parser reads them."""
    found = []
    for pair in lines:
        assert pair.endswith("\n")
        action, document = pair[:-1].split("\n")
        found.append((json.loads(action)["index"]["_id"], json.loads(document)))
    return found


def digest(made, shards=1, flavour="elasticsearch"):
    return made.digest(shards=shards, flavour=flavour)


def test_a_product_is_a_document_and_what_is_missing_is_left_out():
    vectors = {"title": np.array([[0.6, 0.8], [0, 0]], dtype=np.float32)}
    assert read(catalogue(SHOE, BARE, vectors=vectors).lines(0, 2)) == [
        (
            "p1",
            {
                "title": 'Shoe "12"',
                "brand.name": ["Ace", "Zed"],
                "price": 12.5,
                "sold": True,
                "since": "2024-05-01T12:30:01.000250Z",
                "shape": [0.5, 0.25],
                "title_vector": [0.6, 0.8],
            },
        ),
        ("p2", {}),
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2008.0, "2008"),
        (-3.0, "-3"),
        (-0.0, "0"),
        (12.5, "12.5"),
        (2.0**53 - 1, "9007199254740991"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_whole_numbers_are_written_whole_so_that_their_text_is_what_people_type(value, written):
    assert f'{{"price":{written}}}\n' in catalogue(("p", None, None, value, None, None, None)).lines(0, 1)[0]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
            st.none() | st.text(st.characters(codec="utf-8")),
            st.none() | st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=3),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.booleans(),
            st.none(),
            st.none() | st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2).filter(any),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda row: row[0],
    )
)
def test_any_product_comes_back_as_it_was(rows):
    for row, (product_id, document) in zip(rows, read(catalogue(*rows).lines(0, len(rows))), strict=True):
        assert product_id == row[0]
        told = dict(zip(SCHEMA, row, strict=True))
        assert document.keys() == {name for name in FIELDS if told[name] is not None}
        for name, value in document.items():
            if name == "shape":
                value = np.float32(value).tolist()
            assert value == told[name], name


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).filter(lambda row: math.hypot(*row) > 1e-30))
def test_vectors_come_back_bit_for_bit(row):
    rows = np.array([row], dtype=np.float32)
    (_, document), *_ = read(catalogue(SHOE, vectors={"title": rows}).lines(0, 1))
    assert np.array_equal(np.array(document["title_vector"], dtype=np.float32), rows[0])


def test_vectors_of_no_direction_are_left_out():
    row = (*SHOE[:-1], [0.0, 0.0])
    assert "shape" not in read(catalogue(row).lines(0, 1))[0][1]


def test_the_mapping_is_that_of_the_fields_types():
    body = catalogue(SHOE, vectors={"title": np.ones((1, 3), dtype=np.float32)}, analyzer="english").body(
        shards=2, flavour="elasticsearch", meta={"alias": "shop"}
    )
    text = {"type": "text", "analyzer": "english"}
    shingles, joined = ({"type": "text", "analyzer": f"ltr_{name}"} for name in ("shingles", "joined"))
    assert body["mappings"] == {
        "dynamic": False,
        "_meta": {"ltr": {"alias": "shop"}},
        "properties": {
            "title": {
                **text,
                "fields": {
                    "shingles": shingles,
                    "joined": joined,
                    "raw": {"type": "keyword", "normalizer": "lowercase", "ignore_above": 512},
                },
            },
            "brand.name": {"type": "keyword", "ignore_above": 8191, "fields": {"text": text, "shingles": shingles}},
            "price": {"type": "double", "fields": {"text": text}},
            "sold": {"type": "boolean"},
            "since": {"type": "date"},
            "shape": {"type": "dense_vector", "dims": 2, "similarity": "cosine"},
            "title_vector": {"type": "dense_vector", "dims": 3, "similarity": "cosine"},
        },
    }
    index = body["settings"]["index"]
    assert (index["number_of_shards"], index["number_of_replicas"], index["refresh_interval"]) == (2, 0, "-1")
    assert "knn" not in index


def test_opensearch_has_its_own_name_for_vectors():
    body = catalogue(SHOE).body(shards=1, flavour="opensearch")
    assert body["settings"]["index"]["knn"] is True
    assert body["mappings"]["properties"]["shape"] == {
        "type": "knn_vector",
        "dimension": 2,
        "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"},
    }


def test_the_digest_follows_from_the_content_and_from_how_it_is_indexed():
    vectors = {"title": np.ones((2, 3), dtype=np.float32)}
    others = {"title": np.ones((2, 3), dtype=np.float32)}
    others["title"][1, 2] = 0.5
    first = catalogue(SHOE, BARE, vectors=vectors)
    again = Catalogue(
        pl.concat([catalogue(SHOE).products, catalogue(BARE).products], rechunk=False), FIELDS, "standard", vectors
    )
    assert digest(first) == digest(again)
    different = [
        catalogue(BARE, SHOE, vectors=vectors),
        catalogue(SHOE, (*BARE[:1], "x", *BARE[2:]), vectors=vectors),
        catalogue(SHOE, BARE, vectors=others),
        catalogue(SHOE, BARE),
        catalogue(SHOE, BARE, vectors=vectors, analyzer="english"),
        catalogue(SHOE, BARE, vectors=vectors, fields={**FIELDS, "title": "keyword"}),
    ]
    digests = [*map(digest, different), digest(first, shards=2), digest(first, flavour="opensearch")]
    assert len({digest(first), *digests}) == 1 + len(digests)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("", *BARE[1:]), "product_id '' is of 0 bytes"),
        (("é" * 257, *BARE[1:]), "is of 514 bytes; 1 such; engines take 1 to 512"),
        (("p", None, None, math.inf, None, None, None), "'price' of product 'p' is not finite"),
        (("p", None, None, math.nan, None, None, None), "'price' of product 'p' is not finite"),
    ],
)
def test_what_no_engine_takes_is_refused_before_anything_is_sent(row, said):
    with pytest.raises(DataError, match=said):
        catalogue(row)


def test_fields_and_vectors_that_do_not_fit_the_products_are_refused():
    with pytest.raises(DataError, match=r"lacks the fields \['colour'\]"):
        catalogue(SHOE, fields={**FIELDS, "colour": "keyword"})
    for rows in (np.ones((2, 3)), np.ones(3), np.full((1, 3), np.nan)):
        with pytest.raises(DataError, match="one row of finite numbers a product"):
            catalogue(SHOE, vectors={"title": rows})
    with pytest.raises(DataError, match="'title_vector' of the catalogue has the name"):
        Catalogue(
            catalogue(SHOE).products.rename({"shape": vector_field("title")}),
            {"title": "text", "title_vector": "vector"},
            "standard",
            {"title": np.ones((1, 2), dtype=np.float32)},
        )
