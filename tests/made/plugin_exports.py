"""Exports of a small bundle, by kind and size, and an index of its products in the stand-in engine."""

import atexit
import shutil
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ltr import bundle, export
from ltr.engine import connect
from made.engine_bundle import save
from made.plugin_server import running

ENTERPRISE = {"licence": "enterprise", "version": "8.19.0"}
# How the stand-in has to be for each kind.
KINDS = {"plugin": {"flavour": "opensearch", "version": "3.8.0"}, "native": ENTERPRISE}
PRODUCTS = {
    f"p{at}": {
        "title": f"{('red', 'blue', 'green')[at % 3]} {('shoe', 'hat')[at % 2]} {at}",
        "price": 10 + at * 1.37,
        **({} if at % 5 == 0 else {"stock": float(at)}),
    }
    for at in range(24)
}


@cache
def home():
    path = Path(tempfile.mkdtemp(prefix="ltr-exports-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def saved(rounds):
    (home() / f"b{rounds}").mkdir()
    return save(home() / f"b{rounds}", rounds=rounds)


@cache
def exported(kind, rounds=8):
    """An export called "shop"; other rounds, another version."""
    return export.write(bundle.load(saved(rounds)), kind, home() / f"{kind}-{rounds}", name="shop")


@contextmanager
def engine_for(kind, **settings):
    """The stand-in with an index "products", and a connection to it."""
    with running(**{**KINDS[kind], **settings}) as server:
        server.indexes["products"] = {"floats": set(), "documents": {}}
        for identifier, source in PRODUCTS.items():
            server.add("products", identifier, source)
        engine = connect(server.url, retries=2, timeout_s=20)
        try:
            yield server, engine
        finally:
            engine.close()


def asked(engine, query="red shoe", **params):
    """What an application gets that calls the template "shop"."""
    body = {"id": "shop", "params": {"query": query, **params}}
    return engine.call("POST", "/products/_search/template", body)["hits"]["hits"]
