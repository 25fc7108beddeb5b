"""A few products, a log of them, and features of what shoppers did."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ltr.features import compute, definition, state

PRODUCTS = pl.DataFrame(
    {
        "product_id": ["p1", "p2", "p3", "p4"],
        "brand": ["Ace", "ACE", None, "Zed"],
        "tags": [["new", "red"], ["new"], [], ["red"]],
    }
)
FIELDS = {"brand": "keyword", "tags": "keyword"}
MEASURES = ("clicked", "add_to_cart", "purchase")
EXAMINATION = (1.0, 0.5, 0.25)
START = datetime(2024, 1, 1, tzinfo=UTC)


def log(*rows):
    """Impressions from (query, product, position, day after START, what happened)."""
    return pl.DataFrame(
        [
            {
                "search_id": f"s{at}",
                "query_id": query,
                "query": query,
                "product_id": product,
                "position": position,
                "shown_at": START + timedelta(days=day, hours=at % 24),
                "revenue": 9.99 if "purchase" in happened else None,
                **{measure: measure in happened for measure in MEASURES},
            }
            for at, (query, product, position, day, happened) in enumerate(rows)
        ],
        schema={
            **dict.fromkeys(("search_id", "query_id", "query", "product_id"), pl.String),
            "position": pl.UInt16,
            "shown_at": pl.Datetime("us", "UTC"),
            "revenue": pl.Float64,
            **dict.fromkeys(MEASURES, pl.Boolean),
        },
    )


CLICK, CART, BUY = ("clicked",), ("clicked", "add_to_cart"), ("clicked", "add_to_cart", "purchase")
LOG = log(
    ("shoe", "p1", 1, 0, CLICK),
    ("shoe", "p2", 2, 0, ()),
    ("shoe", "p1", 1, 5, BUY),
    ("Shoe ", "p2", 3, 5, CLICK),
    ("hat", "p4", 1, 5, CART),
    ("hat", "p3", 2, 8, ()),
    ("shoe", "p1", 2, 8, ()),
    ("hat", "gone", 9, 8, CLICK),
)


def feature_set(*entries):
    return definition.parse(
        {"name": "behaviour", "feature": [{"name": f"f{at}"} | entry for at, entry in enumerate(entries)]}
    )


def built(wanted, rows=LOG, day=10, products=PRODUCTS, **more):
    as_of = (START + timedelta(days=day)).isoformat()
    more = {"impressions": rows, "examination": EXAMINATION} | more
    return state.build(products, wanted, fields=FIELDS, encoder=None, as_of=as_of, **more)


def ask(feature, query="shoe", ids=("p1", "p2", "p3", "p4", "new"), **more):
    """The values of one feature, by product."""
    wanted = feature_set(feature)
    found = compute.online(query, list(ids), wanted, built(wanted, **more))[:, 0].tolist()
    return dict(zip(ids, found, strict=True))


def same(found, expected):
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=1e-6, nan_ok=True)
    assert list(found) == list(expected)
