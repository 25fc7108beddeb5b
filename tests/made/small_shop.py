"""A small shop for a real engine: its mapping, its documents, clauses to ask of it."""

import zlib

import numpy as np
import polars as pl

TEXT = {"type": "text", "fields": {"raw": {"type": "keyword"}, "loose": {"type": "text", "similarity": "boolean"}}}
PROPERTIES = {
    "title": TEXT,
    "brand": {"type": "keyword", "fields": {"text": {"type": "text"}}},
    "price": {"type": "double", "fields": {"text": {"type": "text"}}},
    "in_stock": {"type": "boolean"},
    "group": {"type": "keyword"},
    "sku": {"type": "keyword"},
    "attributes": {"type": "nested", "properties": {"value": {"type": "text"}}},
    "title_vector": {"type": "dense_vector", "dims": 6, "similarity": "cosine", "index_options": {"type": "hnsw"}},
}
CLAUSES = {
    "title_match": {"match": {"title": {"query": "{{query}}"}}},
    "title_fuzzy": {"match": {"title": {"query": "{{query}}", "fuzziness": "AUTO"}}},
    "title_phrase": {"match_phrase": {"title": {"query": "{{query}}", "slop": 1}}},
    "brand_match": {"constant_score": {"filter": {"match": {"brand.text": {"query": "{{query}}"}}}}},
    "value_match": {"nested": {"path": "attributes", "query": {"match": {"attributes.value": "{{query}}"}}}},
    "price": {
        "function_score": {
            "query": {"range": {"price": {"gte": 0}}},
            "field_value_factor": {"field": "price"},
            "boost_mode": "replace",
        }
    },
}
# The last two say nothing of what does not match.
MISSING = {"title_match": 0.0, "title_fuzzy": 0.0, "title_phrase": 0.0, "brand_match": -1.0}
FIELDS = {"title": 2.0, "brand.text": 1.0}

COLOURS, THINGS = ("red", "blue", "green", "grey"), ("shoe", "running shoe", "hat", "rain jacket", "sock")


class Drawn:
    """An encoder that draws a text's vector, the same each time; the empty text has none."""

    name, dimension = "drawn", 6

    def encode_queries(self, texts):
        rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=6) * bool(text) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, 6)


def documents():
    """Forty products: prices are missing, negative and twice the same; p7 and p8 are one product to the eye."""
    made = {}
    for at in range(40):
        words = f"{COLOURS[at % 4]} {THINGS[at % 5]}" + (f" size {at}" if at % 3 else "") + " light" * (at % 4)
        made[f"p{at}"] = {
            "title": words,
            "brand": ("Ace", "Red Kite", "Zed")[at % 3],
            **({"price": float(at % 10) - 2} if at % 7 else {}),
            "in_stock": at % 4 != 3,
            "group": f"g{at // 3}",
            "sku": f"s-{at}",
            "attributes": [{"value": "red trim"}] if at % 6 == 0 else [],
        }
    made["p8"] |= {key: made["p7"][key] for key in ("title", "brand")}
    vectors = Drawn().encode_queries([each["title"] for each in made.values()])
    return {key: each | {"title_vector": row} for (key, each), row in zip(made.items(), vectors.tolist(), strict=True)}


def asked(*queries):
    return pl.DataFrame({"query_id": [f"q{number}" for number in range(len(queries))], "query": queries})


def pairs(query, *products, query_id="q"):
    return pl.DataFrame({"query_id": query_id, "query": query, "product_id": list(products)})
