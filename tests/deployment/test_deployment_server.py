"""The stand-in itself: it refuses what formats.md says that the plugin and Elastic's own refuse, so that our requests are proved."""

import copy
import json

import numpy as np
import pytest

from ltr.errors import EngineError
from made.plugin_exports import engine_for, exported
from made.plugin_search import added, compiled, rendered, summed

LEAVES = [{"nodeid": 1, "leaf": -1.0}, {"nodeid": 2, "leaf": 1.0}]
SPLIT = {"nodeid": 0, "depth": 0, "split": "price", "split_condition": 0.5, "yes": 1, "no": 2, "missing": 1}


def definition(**changes):
    tree = {**SPLIT, "children": copy.deepcopy(LEAVES)} | changes
    return {"objective": "rank:ndcg", "splits": [{key: value for key, value in tree.items() if value != "absent"}]}


def model(value):
    return {"model": {"name": "m", "model": {"type": "model/xgboost+json", "definition": value}}}


@pytest.fixture
def stored():
    with engine_for("plugin") as (server, engine):
        feature = {"name": "price", "params": [], "template_language": "mustache", "template": {"match_all": {}}}
        engine.call("PUT", "/_ltr")
        engine.call("PUT", "/_ltr/_featureset/f", {"featureset": {"name": "f", "features": [feature]}})
        yield server, engine


REFUSED = {
    "gain, as with_stats writes it": definition(gain=1.0),
    "no missing": definition(missing="absent"),
    "missing that names no child": definition(missing=7),
    "children in another order": definition(yes=2, no=1),
    "an unknown feature": definition(split="prize"),
    "base_score": definition() | {"base_score": 0.5},
    "missing_as_zero": definition() | {"missing_as_zero": True},
    "LightGBM's objective": definition() | {"objective": "lambdarank"},
    "squared error": definition() | {"objective": "reg:squarederror"},
    "no tree": {"objective": "rank:ndcg", "splits": []},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_definition_that_the_strict_parser_refuses_is_400(case, stored):
    for form in (REFUSED[case], json.dumps(REFUSED[case])):
        with pytest.raises(EngineError) as caught:
            stored[1].call("POST", "/_ltr/_featureset/f/_createmodel", model(form))
        assert caught.value.status == 400


def test_stores_feature_sets_and_models_answer_as_on_the_real_node(stored):
    _, engine = stored

    def status(*request):
        with pytest.raises(EngineError) as caught:
            engine.call(*request)
        return caught.value.status

    assert engine.call("GET", "/_ltr")["stores"]["_default_"]["counts"] == {"featureset": 1}
    assert status("GET", "/_ltr/_default_") == 404
    assert status("PUT", "/_ltr") == 400
    again = {"featureset": {"name": "f", "features": []}}
    assert status("PUT", "/_ltr/_featureset/f", again) == 409
    assert engine.call("POST", "/_ltr/_featureset/f", again)["result"] == "updated"
    assert status("PUT", "/_ltr/_featureset/g", again["featureset"]) == 400
    engine.call("POST", "/_ltr/_featureset/f/_createmodel", model(json.dumps({"splits": [{"nodeid": 0, "leaf": 1}]})))
    assert status("POST", "/_ltr/_featureset/f/_createmodel", model([{"nodeid": 0, "leaf": 1}])) == 405
    assert engine.call("GET", "/_ltr/_model/m")["_source"]["model"]["model"]["definition"].startswith('{"splits"')
    assert status("GET", "/_ltr/_model/none") == 404


@pytest.mark.parametrize(("rule", "expected"), [("missing", -1.0), ("nan_to_no", 1.0), ("zero", -1.0)])
def test_trees_by_hand(rule, expected):
    trees, _ = compiled(definition(), ["price"])
    assert [float(summed(trees, [value], rule)) for value in (0.25, 0.5, None)] == [-1.0, 1.0, expected]
    nodes = [
        {"node_index": 0, "decision_type": "lte", "left_child": 1, "right_child": 2, "split_feature": 0,
         "threshold": 0.5, "default_left": False},
        {"node_index": 1, "leaf_value": -1.0},
        {"node_index": 2, "leaf_value": 1.0},
    ]  # fmt: skip
    tree = dict(enumerate(nodes))
    assert [float(added([tree], ["price"], values)) for values in ({"price": 0.5}, {"price": 0.6}, {})] == [-1, 1, 1]


def test_float32_sums_run_in_the_order_of_the_trees():
    leaves, total = [0.1, 1e8, -1e8, 0.2], np.float32(0)
    for leaf in leaves:
        total = total + np.float32(leaf)
    assert summed(leaves, [], "missing") == total
    assert float(total) != pytest.approx(0.3)


def test_mustache_by_hand():
    source = '{{! a comment }}{"q": "{{query}}", "size": "{{size}}{{^size}}10{{/size}}", "x": [{{#on}}1{{/on}}]}'
    assert rendered(source, {"query": 'a "b" {{c}}'}) == {"q": 'a "b" {{c}}', "size": "10", "x": []}
    assert rendered(source, {"query": "", "size": 0, "on": True}) == {"q": "", "size": "0", "x": [1]}


def test_a_native_model_is_checked_and_its_licence_asked_for():
    made = exported("native")
    with engine_for("native") as (server, engine):
        for broken in ({"input": {"field_names": []}}, {"inference_config": {"learning_to_rank": {"what": 1}}}):
            with pytest.raises(EngineError, match="unknown field") as caught:
                engine.call("PUT", "/_ml/trained_models/m", made.model | broken)
            assert caught.value.status == 400
        engine.call("PUT", "/_ml/trained_models/m", made.model)
        with pytest.raises(EngineError, match="already exists"):
            engine.call("PUT", "/_ml/trained_models/m", made.model)
        small = {"size": 50, "rescore": {"window_size": 10, "learning_to_rank": {"model_id": "m"}}}
        with pytest.raises(EngineError, match="window_size"):
            engine.call("POST", "/products/_search", small)
        server.licence = "basic"
        with pytest.raises(EngineError) as caught:
            engine.call("PUT", "/_ml/trained_models/n", made.model)
        assert caught.value.status == 403


def test_what_it_does_not_know_it_refuses(stored):
    _, engine = stored
    for body in ({"query": {"knn": {}}}, {"unknown": 1}, {"query": {"sltr": {"model": "m"}}}):
        with pytest.raises(EngineError) as caught:
            engine.call("POST", "/products/_search", body)
        assert caught.value.status == 400
    with pytest.raises(EngineError):
        engine.call("GET", "/_unknown")
