"""Indexes on a real server that last for one test."""

import secrets
from contextlib import contextmanager

from ltr.engine import connect


@contextmanager
def made_index(url, documents, properties, *, aliases=(), **settings):
    """An index of these documents, id -> source, under a name that nobody else has; yields the name."""
    engine, name = connect(url, timeout_s=60), f"test-made-{secrets.token_hex(6)}"
    body = {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0} | settings,
        "mappings": {"dynamic": False, "properties": properties},
        "aliases": {alias: {} for alias in aliases},
    }
    engine.call("PUT", f"/{name}", body)
    try:
        lines = [line for key, source in documents.items() for line in ({"index": {"_id": key}}, source)]
        if lines and engine.call("POST", f"/{name}/_bulk", lines, params={"refresh": True})["errors"]:
            raise ValueError(f"not all of {len(documents)} documents could be indexed")
        yield name
    finally:
        engine.call("DELETE", f"/{name}")
        engine.close()
