"""A catalogue into a real index: whole or not at all, whatever is killed, and never over what is somebody else's."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from ltr.engine import connect, indexing, server
from ltr.engine.connection import path_of
from ltr.engine.indexing import index
from ltr.errors import ConfigError, EngineError

FIELDS = {
    "title": "text",
    "genres": "keyword",
    "year": "number",
    "price": "number",
    "sold": "boolean",
    "since": "time",
}
MOVIES = pl.DataFrame(
    {
        "product_id": ["m/1", "m 2", "é3"],
        "title": ["Iron Man", "The Iron Giant", None],
        "genres": [["Action", "Science Fiction"], ["Family"], None],
        "year": [2008.0, 1999.0, None],
        "price": [12.5, 13.0, None],
        "sold": [True, False, None],
        "since": [datetime(2008, 5, 2, tzinfo=UTC), datetime(1999, 8, 6, tzinfo=UTC), None],
    },
    schema_overrides={"genres": pl.List(pl.String), "since": pl.Datetime("us", "UTC")},
)
VECTORS = {"title": np.array([[1, 0], [0.6, 0.8], [0, 0]], dtype=np.float32)}


def catalogue(size, word="shoe"):
    return pl.DataFrame(
        {"product_id": [f"p{at}" for at in range(size)], "title": [f"{word} {at}" for at in range(size)]}
    )


def put(engine, alias, products, **more):
    return index(engine, alias, products, fields={"title": "text"}, **more)


def found(engine, alias, query):
    body = {"query": query, "size": 100}
    return [hit["_id"] for hit in engine.call("POST", path_of(alias, "_search"), body)["hits"]["hits"]]


def stands_for(engine, alias):
    answer = engine.call("GET", path_of("_alias", alias), allow=(404,))
    return sorted(answer) if "error" not in answer else []


def made_for(engine, alias):
    return sorted(engine.call("GET", path_of(f"{alias}*", "_alias")))


@pytest.mark.parametrize(
    ("query", "ids"),
    {
        "words": ({"match": {"title": "iron"}}, {"m/1", "m 2"}),
        "phrases as shingles": ({"match": {"title.shingles": "iron man"}}, {"m/1"}),
        "two words joined": ({"match": {"title.joined": "ironman"}}, {"m/1"}),
        "the whole title in lower case": ({"term": {"title.raw": "IRON man"}}, {"m/1"}),
        "a keyword whole": ({"term": {"genres": "Science Fiction"}}, {"m/1"}),
        "words of a keyword": ({"match": {"genres.text": "fiction"}}, {"m/1"}),
        "shingles of a keyword": ({"match": {"genres.shingles": "science fiction"}}, {"m/1"}),
        "a number": ({"range": {"year": {"gte": 2000}}}, {"m/1"}),
        "a year as people type it": ({"match": {"year.text": "iron 2008"}}, {"m/1"}),
        "a whole price as text": ({"match": {"price.text": "13"}}, {"m 2"}),
        "a boolean": ({"term": {"sold": False}}, {"m 2"}),
        "a time": ({"range": {"since": {"lt": "2000-01-01"}}}, {"m 2"}),
        "what is missing": ({"bool": {"must_not": {"exists": {"field": "title"}}}}, {"é3"}),
        "vectors": ({"exists": {"field": "title_vector"}}, {"m/1", "m 2"}),
    }.values(),
)
def test_every_field_can_be_searched_as_it_should(engine, movies, query, ids):
    assert set(found(engine, movies, query)) == ids


def test_near_vectors_are_found_first_and_sources_are_the_products(engine, movies):
    knn = {"field": "title_vector", "query_vector": [0.0, 1.0], "k": 2, "num_candidates": 10}
    hits = engine.call("POST", path_of(movies, "_search"), {"knn": knn})["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["m 2", "m/1"]
    assert hits[0]["_score"] == pytest.approx((1 + 0.8) / 2, abs=0.01)
    # Newer servers leave vectors out of _source.
    source = {name: value for name, value in hits[0]["_source"].items() if name != "title_vector"}
    assert source == {
        "title": "The Iron Giant", "genres": ["Family"], "year": 1999, "price": 13, "sold": False,
        "since": "1999-08-06T00:00:00.000000Z",
    }  # fmt: skip


@pytest.fixture(scope="module")
def movies(engine_url):
    engine = connect(engine_url)
    made = index(engine, "test-indexing-movies", MOVIES, fields=FIELDS, vectors=VECTORS, notes={"encoder": "drawn"})
    yield made.alias
    engine.call("DELETE", path_of(made.index))
    engine.close()


def test_the_index_says_what_it_holds_and_is_set_for_searching(engine, movies):
    ((name, told),) = engine.call("GET", path_of(movies)).items()
    meta = told["mappings"]["_meta"]["ltr"]
    assert (meta["alias"], meta["products"], meta["encoder"], meta["analyzer"]) == (movies, 3, "drawn", "standard")
    assert name == f"{movies}-{meta['catalogue'][:12]}"
    settings = told["settings"]["index"]
    assert "refresh_interval" not in settings
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("1", "0")


def test_the_same_catalogue_has_nothing_to_do_and_another_takes_its_place(engine, alias):
    first = put(engine, alias, catalogue(5))
    assert (first.documents, first.sent, first.replaced) == (5, 5, ())
    assert put(engine, alias, catalogue(5)).sent == 0
    second = put(engine, alias, catalogue(6), replicas=1, shards=2)
    assert (second.documents, second.replaced, second.kept) == (6, (first.index,), (first.index,))
    assert stands_for(engine, alias) == [second.index]
    settings = engine.call("GET", path_of(second.index, "_settings"))[second.index]["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("2", "1")
    # Back to the first, which is there still, and the other goes.
    third = put(engine, alias, catalogue(5), remove_old=True)
    assert (third.index, third.sent, third.removed) == (first.index, 0, (second.index,))
    assert made_for(engine, alias) == [first.index]


def test_what_is_live_and_has_lost_documents_is_mended(engine, alias):
    first = put(engine, alias, catalogue(5))
    engine.call("DELETE", path_of(first.index, "_doc", "p3"), params={"refresh": True})
    mended = put(engine, alias, catalogue(5))
    assert (mended.index, mended.sent) == (first.index, 1)
    assert len(found(engine, alias, {"match_all": {}})) == 5
    engine.call("PUT", path_of(first.index, "_doc", "stranger"), {"title": "shoe"}, params={"refresh": True})
    with pytest.raises(EngineError, match=r"holds 6 documents, and the catalogue 5 products"):
        put(engine, alias, catalogue(5))


class Dying:
    """An engine whose client dies at one request: it is sent, and the answer is lost.

    To die before a request is sent is to die when the one before it is answered.
    """

    def __init__(self, engine, at):
        self.engine, self.left = engine, at
        self.url, self.timeout_s, self.probe = engine.url, engine.timeout_s, engine.probe

    def call(self, *arguments, **named):
        self.left -= 1
        if self.left < -1:
            raise EngineError("dead")
        answer = self.engine.call(*arguments, **named)
        if self.left == -1:
            raise EngineError("killed")
        return answer


def test_broken_off_at_any_request_searches_see_the_old_or_the_new_and_the_next_run_ends_it(engine, alias, monkeypatch):
    monkeypatch.setattr(indexing, "_MOST_DOCUMENTS", 2)
    old = put(engine, alias, catalogue(2)).index
    survived, at = False, 0
    while not survived:
        word = f"boot{at}"
        try:
            put(Dying(engine, at), alias, catalogue(3, word))
            survived = True
        except EngineError:
            (seen,) = stands_for(engine, alias)
            assert seen == old or len(found(engine, alias, {"match": {"title": word}})) == 3
        new = put(engine, alias, catalogue(3, word), remove_old=True)
        assert stands_for(engine, alias) == made_for(engine, alias) == [new.index]
        assert sorted(found(engine, alias, {"match": {"title": word}})) == ["p0", "p1", "p2"]
        old, at = new.index, at + 1
    assert at > 10


CLIENT = """
import sys
import numpy as np, polars as pl
from ltr.engine import connect
from ltr.engine import indexing
indexing._MOST_DOCUMENTS = 200
products = pl.read_parquet(sys.argv[3])
vectors = {"title": np.load(sys.argv[4])}
print(indexing.index(connect(sys.argv[1]), sys.argv[2], products, fields={"title": "text"}, vectors=vectors).sent)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Some seconds of work."""
    home = tmp_path_factory.mktemp("large")
    products = catalogue(4_000)
    products.write_parquet(home / "products.parquet")
    vectors = np.random.default_rng(7).normal(size=(products.height, 384))
    np.save(home / "vectors.npy", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
    return home / "products.parquet", home / "vectors.npy"


def client(url, alias, large):
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, url, alias, *map(str, large)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_for(engine, alias, documents, process):
    """Until so many documents are in the index that a process is filling, refreshed or not."""
    live, deadline = stands_for(engine, alias), time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        told = engine.call("GET", path_of(f"{alias}-*", "_stats", "indexing"))["indices"]
        if (
            sum(each["primaries"]["indexing"]["index_total"] for name, each in told.items() if name not in live)
            >= documents
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"never {documents} documents; {process.poll()}: {process.communicate()}")


@pytest.mark.parametrize("documents", [1, 2_000])
def test_a_client_that_is_killed_is_gone_on_from(engine, engine_url, alias, large, documents):
    old = put(engine, alias, catalogue(3)).index
    with client(engine_url, alias, large) as process:
        wait_for(engine, alias, documents, process)
        process.kill()
    assert stands_for(engine, alias) == [old]
    with client(engine_url, alias, large) as process:
        sent, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert 0 < int(sent) <= 4_000 - documents
    assert stands_for(engine, alias) != [old]
    assert engine.call("GET", path_of(alias, "_count"))["count"] == 4_000


def test_a_server_that_is_killed_and_started_again_is_gone_on_with(own_server, large):
    engine, alias = connect(own_server.url, retries=1), "test-indexing-killed"
    old = put(engine, alias, catalogue(3)).index
    with client(own_server.url, alias, large) as process:
        wait_for(engine, alias, 1_500, process)
        os.kill(own_server.pid, signal.SIGKILL)
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"does not answer" in complaint
    assert b"run the same command again: it goes on from there" in complaint
    kept = int(re.search(rb"([\d,]+) of 4,000 documents are in index 'test-ind", complaint)[1].replace(b",", b""))
    wait_until_gone(own_server)
    restarted = start_twice_at_once(own_server)
    assert sorted(each.fresh for each in restarted) == [False, True]
    assert len({each.pid for each in restarted}) == 1
    assert stands_for(engine, alias) == [old]
    with client(own_server.url, alias, large) as process:
        sent, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    # What the server had answered for was not lost.
    assert 0 < int(sent) <= 4_000 - kept < 4_000
    assert engine.call("GET", path_of(alias, "_count"))["count"] == 4_000
    engine.close()


def wait_until_gone(own_server):
    deadline = time.monotonic() + 20
    while server.status(own_server.directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.status(own_server.directory) is None


def start_twice_at_once(own_server):
    """One starts it, the other waits and finds it."""
    named = {"directory": own_server.directory, "port": own_server.port, "heap": "512m", "cache": own_server.cache}
    found = []
    threads = [threading.Thread(target=lambda: found.append(server.start(**named))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_runs_of_one_catalogue_at_once_do_no_harm(engine, alias):
    done = []
    threads = [threading.Thread(target=lambda: done.append(put(engine, alias, catalogue(3_000)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.documents for each in done] == [3_000, 3_000]
    assert stands_for(engine, alias) == [done[0].index] == [done[1].index]


def test_no_resume_begins_again(engine, alias):
    with pytest.raises(EngineError):
        put(Dying(engine, 4), alias, catalogue(5))
    (begun,) = made_for(engine, alias)
    before = engine.call("GET", path_of(begun))[begun]["settings"]["index"]["uuid"]
    assert put(engine, alias, catalogue(5), resume=False).sent == 5
    assert engine.call("GET", path_of(begun))[begun]["settings"]["index"]["uuid"] != before
    # What is searched is never removed first.
    assert put(engine, alias, catalogue(5), resume=False).sent == 0


def test_documents_that_the_server_refuses_are_named_and_nothing_is_switched(engine, alias):
    old = put(engine, alias, catalogue(3)).index
    far = datetime(2024, 1, 1, tzinfo=UTC)
    products = catalogue(9).with_columns(
        since=pl.Series([far] * 9, dtype=pl.Datetime("us", "UTC"))
        + pl.Series([*[0] * 4, *[366 * 9_000] * 5]) * pl.duration(days=1)
    )
    with pytest.raises(EngineError) as told:
        index(engine, alias, products, fields={"title": "text", "since": "time"})
    said = str(told.value)
    assert "refuses 5 of 9 documents: 'p4': " in said
    assert all(f"'p{at}'" in said for at in (4, 5, 6))
    assert "'p7'" not in said
    assert "failed to parse" in said
    assert stands_for(engine, alias) == made_for(engine, alias) == [old]


def test_vectors_of_another_length_are_refused_by_name(engine, alias):
    products = catalogue(3).with_columns(shape=pl.Series([[0.5, 1.0], [1.0], [1.0, 0.5]]))
    with pytest.raises(EngineError, match=r"refuses 1 of 3 documents: 'p1': .*dim"):
        index(engine, alias, products, fields={"title": "text", "shape": "vector"})


def test_an_analyzer_that_the_server_lacks_is_said_with_those_it_has(engine, alias):
    with pytest.raises(ConfigError, match=r"has no analyzer 'klingon'; take one .*--analyzer.*standard, stop"):
        put(engine, alias, catalogue(3), analyzer="klingon")
    assert made_for(engine, alias) == []
    assert put(engine, alias, catalogue(3), analyzer="whitespace").sent == 3


def test_an_index_of_that_name_is_never_written_over(engine, alias):
    engine.call("PUT", path_of(alias, "_doc", "1"), {"mine": 1}, params={"refresh": True})
    with pytest.raises(EngineError, match=f"{alias!r} is an index at .*--index"):
        put(engine, alias, catalogue(3))
    assert made_for(engine, alias) == [alias]


def test_an_alias_that_somebody_else_has_made_is_never_moved(engine, alias):
    engine.call("PUT", path_of(f"{alias}-theirs"), {"aliases": {alias: {}}}, timeout_s=120)
    with pytest.raises(EngineError, match=f"stands for {alias}-theirs, which ltr has not made"):
        put(engine, alias, catalogue(3))
    assert stands_for(engine, alias) == [f"{alias}-theirs"]


def test_an_index_of_the_name_that_it_would_have_is_refused_if_it_is_not_its_own(engine, alias):
    name = put(engine, alias, catalogue(3)).index
    engine.call("DELETE", path_of(name))
    engine.call("PUT", path_of(name), timeout_s=120)
    with pytest.raises(EngineError, match=f"{name!r} at .* is none of ltr's indexes"):
        put(engine, alias, catalogue(3))


@pytest.mark.parametrize("name", ["Shop", "a b", "a*", "a,b", "_all", "-a", "..", "", "a/b", "a#b", "x" * 250])
def test_a_name_that_no_engine_allows_is_refused_before_anything_is_asked(name):
    with pytest.raises(ConfigError, match="cannot be an index's name"):
        put(connect("http://127.0.0.1:1", retries=0), name, catalogue(3))


def test_fields_that_cannot_stand_together_are_refused(engine, alias):
    products = catalogue(3).with_columns(**{"title.length": pl.lit(1.0)})
    with pytest.raises(EngineError, match=rf"cannot make index '{alias}-.*check the fields' names"):
        index(engine, alias, products, fields={"title": "text", "title.length": "number"})


def test_an_empty_catalogue_is_an_empty_index(engine, alias):
    assert put(engine, alias, catalogue(0)).documents == 0
    assert found(engine, alias, {"match_all": {}}) == []
