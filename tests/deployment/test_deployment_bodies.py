"""The search that applications call: the shop's own body, its page and its words, under a model; against the stand-in."""

import json
from dataclasses import replace

import pytest

from ltr import deployment
from ltr.deployment.pointer import Head, body_of, read, source
from ltr.errors import ExportError
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
def test_a_shoppers_quotes_and_braces_are_data(shop, kind):
    _, engine = shop
    put(engine, exported(kind))
    for typed in ('red "shoe" \\ {{query}} }}', "red\n{}'\t", "{{#toJson}}red{{/toJson}}"):
        assert asked(engine, query=typed)


@by_kind
def test_from_and_size_are_parameters_with_the_bodys_own_as_defaults(shop, kind):
    _, engine = shop
    deployment.deploy(engine, exported(kind), index="products", body={**BODY, "size": 4})
    whole = [hit["_id"] for hit in asked(engine, size=10)]
    assert [hit["_id"] for hit in asked(engine)] == whole[:4]
    assert [hit["_id"] for hit in asked(engine, **{"from": 3, "size": 5})] == whole[3:8]


def test_the_shops_own_body_is_kept_and_its_rescore_comes_first():
    theirs = {"window_size": 20, "query": {"rescore_query": {"match_all": {}}}}
    body = {**BODY, "track_total_hits": False, "_source": ["title"], "rescore": theirs}
    ours = {"window_size": 100, "query": {}}
    assert body_of(body, ours) == {
        **body,
        "rescore": [theirs, ours],
        "from": "{{from}}{{^from}}0{{/from}}",
        "size": "{{size}}{{^size}}10{{/size}}",
    }
    assert body_of(BODY, ours)["rescore"] == ours


@pytest.mark.parametrize("sort", [[{"price": "asc"}], ["price", "_score"], "price"])
def test_a_body_that_sorts_is_refused_since_no_engine_rescores_it(shop, sort):
    server, engine = shop
    with pytest.raises(ExportError, match="take sort out of the body"):
        deployment.deploy(engine, exported("plugin"), index="products", body={**BODY, "sort": sort})
    assert server.writes == []


@by_kind
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"size": "{{n}}"}, r"size = '\{\{n\}\}'; give a whole number from 0"),
        ({"from": -1}, r"from = -1; give a whole number"),
        ({"size": True}, "size = True"),
        ({"retriever": {"standard": {"query": BODY["query"]}}}, r"has a retriever.*--body"),
    ],
)
def test_a_body_with_no_page_or_that_no_engine_rescores_is_refused_before_anything_is_put(shop, kind, more, message):
    server, engine = shop
    with pytest.raises(ExportError, match=message):
        deployment.deploy(engine, exported(kind), index="products", body={**BODY, **more})
    assert server.writes == []


def test_a_body_whose_page_is_a_parameter_already_has_the_engines_own_where_none_is_given():
    ours = {"window_size": 100, "query": {}}
    assert body_of({**BODY, "from": "{{from}}", "size": "{{size}}"}, ours) == body_of(BODY, ours)
    assert body_of({**BODY, "size": "24"}, ours) == body_of({**BODY, "size": 24}, ours)


@pytest.mark.parametrize(
    "head", [Head("shop-a"), Head("shop-b", "shop-a"), Head("shop-b", "shop-a", ("shop-a", "shop-b"))]
)
def test_a_templates_text_says_its_version_and_the_one_before(head):
    text = source(BODY, head)
    assert read(text) == head
    assert json.loads(text.partition("}}")[2]) == BODY
    assert read(json.dumps(BODY)) is None


def test_another_search_with_the_same_model_is_another_version_that_can_be_taken_back(shop):
    server, engine = shop
    made = exported("plugin")
    first = put(engine, made)
    second = deployment.deploy(engine, made, index="products", body={**BODY, "size": 3})
    assert second.before == first.version != second.version
    assert second.model == first.model
    assert len(asked(engine)) == 3
    assert deployment.rollback(engine, "shop").version == first.version
    assert len(asked(engine)) == 10
    assert put(engine, made).changed is False
    # Rolled back from, it is still known, and goes when it is pruned.
    third = put(engine, exported("plugin", 4), prune=True)
    assert {"shop", third.version, first.version} == server.scripts.keys()


def test_the_export_says_what_is_searched_where_nobody_else_does(shop):
    server, engine = shop
    made = exported("plugin")
    deployment.deploy(engine, made, index="products")
    search = json.loads(server.scripts["shop"]["source"].partition("}}")[2])
    assert search["query"] == made.about["search"]["query"]
    assert asked(engine)
    silent = replace(made, about=made.about | {"search": None})
    assert "names no search" in deployment.deploy(engine, silent, index="products").notes[0]
    assert asked(engine)


def test_a_native_models_window_must_cover_the_page():
    with engine_for("native") as (server, engine):
        window = exported("native").rescore["rescore"]["window_size"]
        with pytest.raises(ExportError, match=rf"shows {window + 1} hits.*candidates\.depth"):
            deployment.deploy(engine, exported("native"), index="products", body={**BODY, "size": window + 1})
        assert server.writes == []
        assert f"ends after hit {window}" in put(engine, exported("native")).notes[0]
