"""Putting exports into an engine and taking them back, against a stand-in for what the minimal server lacks.

The server is tests/made/plugin_server.py, which replays formats.md sections 1 and 2 over HTTP: no genuine plugin, no licence.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest

from ltr import deployment
from ltr.deployment.pointer import read
from ltr.engine import connect, fill
from ltr.errors import EngineError
from made.plugin_exports import KINDS, asked, engine_for, exported

BODY = {"query": {"match": {"title": "{{query}}"}}}
EVERY = pytest.mark.parametrize("kind", sorted(KINDS))


def put(engine, made, **options):
    return deployment.deploy(engine, made, index="products", body=BODY, **options)


@pytest.fixture
def shop(request):
    kind = getattr(request, "param", "plugin")
    with engine_for(kind) as (server, engine):
        yield server, engine


def by_kind(test):
    """Once for the plugin and once for Elastic's own."""
    return pytest.mark.parametrize(("shop", "kind"), [(kind, kind) for kind in sorted(KINDS)], indirect=["shop"])(test)


@by_kind
def test_a_template_answers_with_the_models_scores_in_their_order(shop, kind):
    _, engine = shop
    made = exported(kind)
    done = put(engine, made)
    assert (done.name, done.model, done.before, done.changed) == ("shop", made.version, None, True)
    assert done.version.startswith(made.version)
    hits = asked(engine, size=24)
    scores = [hit["_score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert len(hits) == sum("red" in each or "shoe" in each for each in titles())


def titles():
    from made.plugin_exports import PRODUCTS

    return [source["title"] for source in PRODUCTS.values()]


def test_hits_beyond_the_window_stay_below_it_in_the_engines_own_order(shop):
    _, engine = shop
    whole = exported("plugin")
    body = {"query": {"bool": {"must": [{"match_all": {}}], "should": [BODY["query"]]}}}
    own = engine.call("POST", "/products/_search", {"size": 24, "query": fill(body["query"], query="red shoe")})
    first = [hit["_id"] for hit in own["hits"]["hits"]]
    small = replace(whole, rescore={"rescore": {**whole.rescore["rescore"], "window_size": 5}})
    deployment.deploy(engine, small, index="products", body=body)
    found = [hit["_id"] for hit in asked(engine, size=24)]
    assert sorted(found[:5]) == sorted(first[:5])
    assert found[5:] == first[5:]
    deployment.deploy(engine, whole, index="products", body=body)
    model = {hit["_id"]: hit["_score"] for hit in asked(engine, size=24)}
    deployment.rollback(engine, "shop")
    assert {hit["_id"]: hit["_score"] for hit in asked(engine, size=5)}.items() <= model.items(), "to the bit"


@by_kind
def test_the_pointer_is_written_last_and_the_smoke_query_asked_before_it(shop, kind):
    server, engine = shop
    done = put(engine, exported(kind))
    paths = [path for _, path, _ in server.writes]
    assert paths[-2:] == [f"/_scripts/{done.version}", "/_scripts/shop"]
    smoke = [at for at, request in enumerate(server.requests) if request == ("POST", "/products/_search")]
    assert smoke
    assert smoke[-1] < server.requests.index(("PUT", f"/_scripts/{done.version}"))


@by_kind
def test_the_same_export_twice_changes_nothing_and_says_so(shop, kind):
    server, engine = shop
    first = put(engine, exported(kind))
    before = list(server.writes)
    again = put(engine, exported(kind))
    assert first.changed
    assert not again.changed
    assert all(step.done for step in again.steps)
    assert server.writes == before


@by_kind
def test_a_dry_run_says_every_request_and_its_bytes_and_writes_nothing(shop, kind):
    server, engine = shop
    made = exported(kind)
    dry = put(engine, made, dry_run=True)
    assert server.writes == []
    assert deployment.plan(engine, made, "products", body=BODY) == list(dry.steps)
    assert server.writes == []
    done = put(engine, made)
    told = [(step.method, step.path, step.size) for step in dry.steps if step.writes]
    assert told == server.writes
    assert [step.to_json() for step in done.steps] == [step.to_json() for step in dry.steps]
    assert dry.changed


@by_kind
def test_rollback_goes_back_version_by_version_from_any_machine(shop, kind):
    server, engine = shop
    versions = [put(engine, exported(kind, rounds)).version for rounds in (4, 6, 8)]
    answers = {}
    other = connect(server.url)
    for expected in (versions[1], versions[0]):
        done = deployment.rollback(other, "shop")
        assert done.version == expected
        assert read(server.scripts["shop"]["source"]).version == expected
        answers[expected] = [hit["_score"] for hit in asked(other, size=24)]
    assert answers[versions[0]] != answers[versions[1]]
    with pytest.raises(EngineError, match="no version before it"):
        deployment.rollback(other, "shop")
    assert read(server.scripts["shop"]["source"]).version == versions[0]
    other.close()


def test_rollback_is_one_write_and_a_dry_one_none(shop):
    server, engine = shop
    put(engine, exported("plugin", 4))
    put(engine, exported("plugin", 6))
    before = len(server.writes)
    dry = deployment.rollback(engine, "shop", dry_run=True)
    assert len(server.writes) == before
    done = deployment.rollback(engine, "shop")
    assert [path for _, path, _ in server.writes[before:]] == ["/_scripts/shop"]
    assert dry == done


def test_after_a_rollback_the_same_export_can_be_put_again_and_taken_back_again(shop):
    _, engine = shop
    first, second = (put(engine, exported("plugin", rounds)).version for rounds in (4, 6))
    deployment.rollback(engine, "shop")
    again = put(engine, exported("plugin", 6))
    assert (again.version, again.before) == (second, first)
    assert [step.path for step in again.steps if step.writes and not step.done] == ["/_scripts/shop"]
    assert deployment.rollback(engine, "shop").version == first


def test_an_old_version_put_again_remembers_what_it_came_after(shop):
    _, engine = shop
    first, second = (put(engine, exported("plugin", rounds)).version for rounds in (4, 6))
    again = put(engine, exported("plugin", 4))
    assert (again.version, again.before) == (first, second)
    assert deployment.rollback(engine, "shop").version == second
    assert deployment.rollback(engine, "shop").version == first


@by_kind
def test_rollback_with_nothing_to_go_back_to_is_refused_and_writes_nothing(shop, kind):
    server, engine = shop
    with pytest.raises(EngineError, match="no stored template 'shop'"):
        deployment.rollback(engine, "shop")
    put(engine, exported(kind))
    before = list(server.writes)
    with pytest.raises(EngineError, match="no version before it"):
        deployment.rollback(engine, "shop")
    assert server.writes == before


@by_kind
def test_old_versions_are_listed_and_only_pruned_when_asked(shop, kind):
    server, engine = shop
    first, second = (put(engine, exported(kind, rounds)) for rounds in (4, 6))
    third = put(engine, exported(kind, 8))
    assert third.old == (first.model,)
    assert put(engine, exported(kind, 8), dry_run=True, prune=True).steps[-1].method == "DELETE"
    pruned = put(engine, exported(kind, 8), prune=True)
    assert pruned.old == ()
    assert pruned.changed
    removed = {path for method, path, _ in server.writes if method == "DELETE"}
    assert removed == {step.path for step in pruned.steps if step.method == "DELETE"}
    assert all(first.model in path for path in removed)
    assert not [name for name in (*server.scripts, *server.trained) if first.model in name]
    assert not put(engine, exported(kind, 8), prune=True).changed
    back = deployment.rollback(engine, "shop")
    assert (back.version, back.before) == (second.version, None)
    with pytest.raises(EngineError, match="no version before it"):
        deployment.rollback(engine, "shop")
    assert asked(engine)


@by_kind
@pytest.mark.parametrize("what", ["search", "model"])
def test_a_version_that_somebody_else_removed_is_not_rolled_back_to(shop, kind, what):
    server, engine = shop
    first, second = (put(engine, exported(kind, rounds)) for rounds in (4, 6))
    if what == "search":
        del server.scripts[first.version]
    else:
        del (server.stores["_default_"]["model"] if kind == "plugin" else server.trained)[first.model]
    with pytest.raises(EngineError, match=f"{first.version}.*has been removed; 'shop' answers as before"):
        deployment.rollback(engine, "shop")
    assert read(server.scripts["shop"]["source"]).version == second.version


def test_another_name_that_begins_the_same_is_never_pruned(shop):
    server, engine = shop
    put(engine, exported("plugin", 4))
    features = server.stores["_default_"]["featureset"]
    for name in ("shop-window", "shop-window-0123456789", "shops-0123456789"):
        features[name] = {"name": name, "features": []}
    assert put(engine, exported("plugin", 6), prune=True).old == ()
    assert {"shop-window", "shop-window-0123456789", "shops-0123456789"} <= features.keys()


def test_more_versions_than_a_page_of_the_listing_are_all_found(shop):
    server, engine = shop
    put(engine, exported("plugin", 4))
    for number in range(250):
        name = f"shop-{number:010x}"
        server.stores["_default_"]["featureset"][name] = {"name": name, "features": []}
    assert len(put(engine, exported("plugin", 4)).old) == 250


def test_models_are_never_listed_since_the_plugin_sends_them_whole(shop):
    server, engine = shop
    put(engine, exported("plugin", 4))
    put(engine, exported("plugin", 6), prune=True)
    assert not [path for _, path in server.requests if path.endswith("/_model")]


@by_kind
def test_at_every_moment_a_client_gets_an_answer(shop, kind):
    _, engine = shop
    put(engine, exported(kind, 4))
    stop, answers, faults = threading.Event(), [], []

    def client():
        while not stop.is_set():
            try:
                answers.append(len(asked(engine, size=3)))
            except Exception as error:
                faults.append(error)

    thread = threading.Thread(target=client)
    thread.start()
    put(engine, exported(kind, 6))
    put(engine, exported(kind, 8), prune=True)
    deployment.rollback(engine, "shop")
    stop.set()
    thread.join()
    assert not faults
    assert set(answers) == {3}


def test_a_template_of_that_name_that_is_not_ours_is_left_alone(shop):
    server, engine = shop
    server.scripts["shop"] = {"lang": "mustache", "source": '{"query": {"match_all": {}}}'}
    with pytest.raises(EngineError, match="was not put there by ltr"):
        put(engine, exported("plugin"))
    server.scripts["shop"] = {"lang": "painless", "source": "1"}
    with pytest.raises(EngineError, match="no search template"):
        put(engine, exported("plugin"))
    assert server.writes == []


def test_plugin_and_native_of_one_name_take_turns_on_an_engine_that_has_both():
    with engine_for("native") as (server, engine):
        first, second = (put(engine, exported(kind)).version for kind in ("plugin", "native"))
        assert first != second
        assert "learning_to_rank" in server.scripts["shop"]["source"]
        assert deployment.rollback(engine, "shop").version == first
        assert "sltr" in server.scripts["shop"]["source"]
        assert asked(engine)


@pytest.mark.parametrize(
    ("flavour", "version", "heap", "settings", "expected"),
    [
        ("elasticsearch", "8.19.0", 8 * 2**30, {}, 10 * 2**20),
        ("elasticsearch", "8.19.0", 50 * 2**20, {}, 5 * 2**20),
        ("elasticsearch", "8.19.0", 8 * 2**30, {"ltr": {"caches": {"max_mem": "64mb"}}}, 64 * 2**20),
        ("elasticsearch", "8.19.0", 2**30, {"ltr": {"caches": {"max_mem": "25%"}}}, 2**28),
        ("opensearch", "3.8.0", 8 * 2**30, {}, 10 * 2**20),
        ("opensearch", "3.9.0", 8 * 2**30, {}, 8 * 2**30 // 100),
    ],
)
def test_a_model_that_outgrows_the_nodes_cache_is_said_before(flavour, version, heap, settings, expected):
    from ltr.deployment.plugin import cache_bytes, notes

    with engine_for("plugin", flavour=flavour, version=version) as (server, engine):
        server.heap, server.settings = heap, settings
        assert cache_bytes(engine) == expected
        model = {"model": {"model": {"definition": "x" * int(np.ceil(expected / 0.38) + 9)}}}
        (note,) = notes(engine, model)
        assert "compiled again at every query" in note
        assert put(engine, exported("plugin"), dry_run=True).notes == ()


def test_elasticsearch_before_8_15_is_told_the_fields_of_a_native_model():
    with engine_for("native", version="8.14.3") as (_, engine):
        step = next(step for step in deployment.plan(engine, exported("native"), "products") if "_ml" in step.path)
        assert step.body["input"] == {"field_names": list(exported("native").features)}
    with engine_for("native") as (_, engine):
        step = next(step for step in deployment.plan(engine, exported("native"), "products") if "_ml" in step.path)
        assert "input" not in step.body
