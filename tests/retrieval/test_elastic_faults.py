import os
import secrets
import shutil
import threading
import time
from contextlib import contextmanager

import polars as pl
import pytest

from conftest import free_port, server_directory
from ltr.datasets.download import cache_home
from ltr.engine import connect, server
from ltr.errors import EngineError
from made.front_door import HANG_UP, front_door
from made.indexes import made_index
from made.small_shop import CLAUSES, FIELDS, MISSING, PROPERTIES, TEXT, asked, documents, pairs

MATCH = {"match": {"title": {"query": "{{query}}"}}}


def many(shop, count=250):
    """Lists that take several requests."""
    queries = pl.DataFrame({"query_id": [f"q{at:04}" for at in range(count)], "query": "red light shoe"})
    return queries.join(shop.products.select("product_id"), how="cross")


@contextmanager
def behind(shop, build, rule, *, retries=2, **policy):
    """A retriever behind a door; yields it and the requests that came."""
    with front_door(shop.url, rule) as (url, came):
        engine = connect(url, retries=retries)
        try:
            yield build(engine=engine, **policy), came
        finally:
            engine.close()


def test_an_index_that_is_not_there_names_the_way_to_make_it(build):
    with pytest.raises(EngineError, match=r"has no index 'moveis'.*`ltr index` puts the catalogue there"):
        build(index="moveis")


WRONG = {
    "a field that is not there": ({"match": {"titel": "{{query}}"}}, "feature 'f' asks for field 'titel'.*'title'"),
    "a subfield that is not there": ({"match": {"title.shingles": "{{query}}"}}, "'title.shingles', which index"),
    "words asked of a number": ({"match": {"price": "{{query}}"}}, "'price' is number; take 'price.text'"),
    "a number asked of words": (
        {"function_score": {"field_value_factor": {"field": "title"}}},
        "'title' is text; number fields: in_stock, price",
    ),
    "nested without its object": ({"match": {"attributes.value": "{{query}}"}}, r"set \[retrieval.nested\]"),
}


@pytest.mark.parametrize(("clause", "told"), WRONG.values(), ids=WRONG)
def test_a_clause_that_the_index_cannot_answer_is_found_before_anything_is_asked(build, clause, told):
    with pytest.raises(EngineError, match=told):
        build(clauses={"f": clause}, missing={})


def test_fields_and_vectors_of_the_experiment_are_looked_up_too(build):
    with pytest.raises(EngineError, match=r"\[retrieval\] fields asks for field 'name'"):
        build(fields={"name": 1.0})
    with pytest.raises(EngineError, match=r"\[retrieval\] fields: multi_match is for text .* 'in_stock' is boolean"):
        build(fields={"in_stock": 1.0})
    with pytest.raises(EngineError, match=r"'brand_vector' of index .* is not there"):
        build(vector="brand")


def test_numbers_below_zero_fail_with_the_way_out(build):
    price = {"function_score": {"field_value_factor": {"field": "price", "missing": 0}, "boost_mode": "replace"}}
    retriever = build(clauses={"price": price}, missing={})
    with pytest.raises(EngineError, match=r"negative.*declare at_least = 0"):
        retriever.score(pairs("red", "p10"))
    assert retriever.score(pairs("red", "p0")).height == 1


def test_a_type_that_a_clause_cannot_take_is_told_with_the_query(build):
    retriever = build(clauses={"price": {"term": {"price": "{{query}}"}}}, missing={})
    with pytest.raises(
        EngineError, match=r"refuses the search for 'red shoe' in .*For input string: \"red shoe\""
    ) as told:
        retriever.score(pairs("red shoe", "p0"))
    assert told.value.status == 400


def test_an_answer_of_some_shards_only_is_an_error_in_training_and_a_note_in_serving(engine_url, shop, build):
    """Behind one alias the price is a number in one index and a word in the other."""
    alias = f"test-alias-{secrets.token_hex(4)}"
    price = {"function_score": {"field_value_factor": {"field": "price", "missing": 1}}}
    numbers = {"title": TEXT, "price": {"type": "double"}}
    words = {"title": TEXT, "price": {"type": "text"}}
    with (
        made_index(engine_url, {"d1": {"title": "red shoe", "price": 2}}, numbers, aliases=[alias]) as good,
        made_index(engine_url, {"d2": {"title": "red hat", "price": "two"}}, words, aliases=[alias]),
    ):
        policy = {"fields": {"title": 1.0}, "clauses": {"price": price}, "missing": {}}
        retriever = build(index=good, **policy)
        object.__setattr__(retriever.target, "index", alias)
        with pytest.raises(EngineError, match=r"1 of 2 shards of 'test-alias-.*Fielddata is disabled on \[price\]"):
            retriever.score(pairs("red", "d1", "d2"))
        page = retriever.search("red", body={"query": {"match": {"title": "red"}}})
        assert {hit["_id"] for hit in page.answer["hits"]["hits"]} == {"d1", "d2"}
        assert not page.rerankable
        assert "1 of 2 shards failed: failed to create query: Fielddata is disabled on [price]" in page.notes[0]
        # Where the shop's own query is what fails, what is left of it is reranked.
        own = {"query": {"bool": {"must": {"match": {"title": "red"}}, "should": price}}}
        page = retriever.search("red", body=own)
        assert page.product_ids == ("d1",)
        assert "1 of 2 shards failed: failed to create query: Fielddata is disabled on [price]" in page.notes[0]


def test_an_index_that_is_closed_or_has_gone_since_is_one_clear_error(engine_url, build):
    with made_index(engine_url, {"d1": {"title": "red shoe"}}, {"title": TEXT}) as index:
        retriever = build(index=index, fields={"title": 1.0}, clauses={"m": MATCH}, missing={})
        engine = retriever.target.engine
        engine.call("POST", f"/{index}/_close")
        with pytest.raises(EngineError, match=r"closed.*open the index"):
            retriever.score(pairs("red", "d1"))
        with pytest.raises(EngineError, match="closed"):
            retriever.search("red")
        engine.call("DELETE", f"/{index}")
        with pytest.raises(EngineError, match="no such index"):
            retriever.score(pairs("red", "d1"))
        with pytest.raises(EngineError, match="no such index"):
            retriever.search("red")
        engine.call("PUT", f"/{index}", {"mappings": {"properties": {"title": TEXT}}}, timeout_s=120)
        assert retriever.retrieve(asked("red"), depth=5).height == 0
        assert retriever.score(pairs("red", "d1"))["score"].to_list() == [float("-inf")]
        assert retriever.lacking(["d1"]) == ["d1"]


def test_ids_that_no_field_of_numbers_can_have_are_said_to_be_so(engine_url, build):
    properties = {"title": TEXT, "number": {"type": "long"}}
    with made_index(engine_url, {"d1": {"title": "red shoe", "number": 7}}, properties) as index:
        retriever = build(index=index, fields={"title": 1.0}, clauses={"m": MATCH}, missing={}, id_field="number")
        assert retriever.lacking(["7", "8"]) == ["8"]
        assert retriever.retrieve(asked("red"), depth=5)["product_id"].to_list() == ["7"]
        with pytest.raises(EngineError, match=r"'judged products'.*For input string.*id_field is of numbers"):
            retriever.lacking(["7", "a/b,1"])


def test_a_search_out_of_time_is_an_error_in_training_and_a_note_in_serving(shop, build):
    def late(request, forward):
        if "search" not in request.path:
            return None
        status, answer = forward(request.method, request.path, request.body)
        for each in answer.get("responses", [answer]):
            each["timed_out"] = True
        return status, answer

    with behind(shop, build, late) as (retriever, _):
        with pytest.raises(EngineError, match="runs out of its time and is answered in part"):
            retriever.score(pairs("red", "p0"))
        page = retriever.search("red", body={"query": MATCH})
        assert page.rerankable
        assert "hits may be missing" in page.notes[0]


def test_searches_that_the_server_was_too_busy_for_are_sent_again(shop, build):
    turns = iter([[0, 3], [1], []])

    def busy(request, forward):
        if "_msearch" not in request.path:
            return None
        status, answer = forward(request.method, request.path, request.body)
        for number in next(turns):
            answer["responses"][number] = {"status": 429, "error": {"type": "es_rejected_execution_exception"}}
        return status, answer

    lists = pl.concat([pairs(text, "p0", "p3", query_id=text) for text in ("red", "blue", "grey", "light", "shoe")])
    with behind(shop, build, busy) as (retriever, came):
        assert retriever.score(lists).equals(build().score(lists))
    sizes = [request.body.count(b"\n") // 2 for request in came if "_msearch" in request.path]
    assert sizes == [5, 2, 1]


def test_a_server_that_stays_too_busy_is_an_error(shop, build, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)

    def busy(request, forward):
        rejected = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}
        return (200, {"responses": [rejected]}) if "_msearch" in request.path else None

    with behind(shop, build, busy) as (retriever, came):
        with pytest.raises(EngineError, match="queue is full; the server is busy: try again later") as told:
            retriever.score(pairs("red", "p0"))
        assert told.value.status == 429
    assert sum("_msearch" in request.path for request in came) == 5


def test_a_connection_lost_in_the_middle_is_made_again(shop, build):
    turn = iter(range(1_000))

    def shaky(request, forward):
        return HANG_UP if "_msearch" in request.path and next(turn) % 3 == 1 else None

    with behind(shop, build, shaky) as (retriever, _):
        assert retriever.score(many(shop)).equals(build().score(many(shop)))


def test_a_server_that_is_gone_in_the_middle_is_one_clear_error(shop, build, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    turn = iter(range(1_000))

    def dying(request, forward):
        return HANG_UP if "_msearch" in request.path and next(turn) >= 2 else None

    before = threading.active_count()
    with behind(shop, build, dying, retries=1) as (retriever, came):
        with pytest.raises(EngineError, match=r"does not answer: .*check the URL and that the server runs"):
            retriever.score(many(shop, 2_000))
        # Nothing new is begun once it is known: of twenty requests a few were under way.
        assert sum("_msearch" in request.path for request in came) < 12
    # The stand-in's threads end once they have read that nobody is there.
    until = time.monotonic() + 10
    while threading.active_count() > before + 1 and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert threading.active_count() <= before + 1


def test_an_answer_that_is_not_the_engine_s_is_an_error(shop, build):
    def proxy(request, forward):
        return (200, {"responses": []}) if "_msearch" in request.path else None

    with behind(shop, build, proxy) as (retriever, _), pytest.raises(EngineError, match="answers 0 of 1 searches"):
        retriever.score(pairs("red", "p0"))


def test_a_key_that_may_only_search_is_enough(shop, build):
    def refusing(request, forward):
        if "_settings" in request.path or "_mapping" in request.path:
            return 403, {"error": {"type": "security_exception", "reason": "is unauthorized"}, "status": 403}
        return None

    with behind(shop, build, refusing) as (retriever, _):
        assert retriever.target.results == 10_000
        assert retriever.score(pairs("red", "p0", "p3")).equals(build().score(pairs("red", "p0", "p3")))


def test_opensearch_has_another_knn_and_that_is_said(shop, build):
    def other(request, forward):
        if request.path != "/":
            return None
        return 200, {"version": {"distribution": "opensearch", "number": "3.1.0"}}

    with behind(shop, build, other) as (retriever, _), pytest.raises(EngineError, match="is opensearch, whose kNN"):
        build(engine=retriever.target.engine, vector="title")


def test_a_server_killed_in_a_training_run_and_started_again_gives_the_same_values(engine_url, build):
    """A server of its own: killed between two calls, the run ends with an error; on the restarted one it goes through."""
    del engine_url  # whoever has no server skips or fails there
    directory, port = server_directory(), free_port()
    policy = {
        "directory": directory,
        "port": port,
        "heap": "512m",
        "cache": server.home(cache_home()),
        "timeout_s": 300,
    }
    try:
        try:
            url = server.start(**policy).url
        except EngineError as error:
            told = f"needs a server that may be killed: {error}"
            pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
        engine = connect(url, retries=1, timeout_s=30)
        index = "test-killed"
        engine.call("PUT", f"/{index}", {"mappings": {"properties": PROPERTIES}}, timeout_s=120)
        lines = [line for key, each in documents().items() for line in ({"index": {"_id": key}}, each)]
        engine.call("POST", f"/{index}/_bulk", lines, params={"refresh": True})
        retriever = build(engine=engine, index=index, fields=FIELDS, clauses=CLAUSES, missing=MISSING)
        run = retriever.retrieve(asked("red shoe", "rain"), depth=20)
        server.stop(directory)
        with pytest.raises(EngineError, match="does not answer"):
            retriever.retrieve(asked("red shoe", "rain"), depth=20)
        server.start(**policy)
        engine.call("GET", "/_cluster/health", params={"wait_for_status": "yellow", "timeout": "30s"})
        assert retriever.retrieve(asked("red shoe", "rain"), depth=20).equals(run)
        engine.close()
    finally:
        server.stop(directory)
        shutil.rmtree(directory)
