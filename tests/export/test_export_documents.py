"""The documents, field by field, as the engines' parsers take them: written from their formats, not from our code."""

import json

import numpy as np
import pytest

from ltr.errors import ExportError
from ltr.export import native, plugin, splits
from ltr.features.definition import parse
from ltr.rankers.forest import Forest, Kind, Missing, Tree
from made.engine_bundle import EVERY, FEATURES, SET, WIDTH, ranker_of

STUMP = Tree.of(
    [1, 0, 0], [0, -1, -1], [3.25, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
    [0, -0.03125, 0.0625], [812, 500, 312],
)  # fmt: skip


def forest(*trees, library="lightgbm", **about):
    return Forest(library, "v4", "lambdarank", FEATURES, trees, **about)


def nested(text):
    """JSON that a strict parser reads: no infinities, no keys twice."""

    def once(pairs):
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def never(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, object_pairs_hook=once, parse_constant=never)


def valid_plugin_tree(node, depth=0):
    """A node as XGBoostJsonParser takes it; returns the nodes of the tree."""
    assert type(node["nodeid"]) is int
    if "leaf" in node:
        assert set(node) == {"nodeid", "leaf"}
        assert isinstance(node["leaf"], float)
        assert np.isfinite(np.float32(node["leaf"]))
        return [node["nodeid"]]
    assert set(node) == {"nodeid", "depth", "split", "split_condition", "yes", "no", "missing", "children"}
    assert node["depth"] == depth
    assert node["split"] in FEATURES
    assert isinstance(node["split_condition"], float)
    first, second = node["children"]
    assert (node["yes"], node["no"]) == (first["nodeid"], second["nodeid"])
    assert node["missing"] in (node["yes"], node["no"])
    return [node["nodeid"], *valid_plugin_tree(first, depth + 1), *valid_plugin_tree(second, depth + 1)]


@pytest.mark.parametrize(("library", "name"), EVERY)
def test_a_definition_has_the_keys_that_the_plugins_parser_knows_and_no_others(library, name):
    made = splits.forest_for(ranker_of(library, name))
    document = nested(json.dumps(plugin.definition(made)))
    assert set(document) == {"objective", "splits"}
    assert document["objective"] == "rank:ndcg"
    for tree in document["splits"]:
        numbers = valid_plugin_tree(tree)
        assert len(set(numbers)) == len(numbers)
    shift, base = plugin.shift_of(made), made.base_score
    assert len(document["splits"]) == len(made.trees) + (shift > 0) + (base != 0)
    if shift:
        assert document["splits"][-1] == {"nodeid": 0, "leaf": pytest.approx(shift, rel=1e-7)}
    if base:
        assert document["splits"][0] == {"nodeid": 0, "leaf": pytest.approx(base, rel=1e-7)}


@pytest.mark.parametrize(("library", "name"), EVERY)
def test_an_ensemble_has_the_keys_that_elastics_parser_knows_and_no_others(library, name):
    made = splits.forest_for(ranker_of(library, name))
    document = nested(json.dumps(native.body(native.ensemble(made), native.extractors(parse(SET)))))
    assert set(document) == {"inference_config", "definition"}, "input.field_names is refused since 8.15"
    ensemble = document["definition"]["trained_model"]["ensemble"]
    assert set(ensemble) == {"feature_names", "target_type", "trained_models", "aggregate_output"}
    assert (ensemble["target_type"], ensemble["aggregate_output"]) == ("regression", {"weighted_sum": {}})
    assert ensemble["feature_names"] == list(FEATURES)
    assert len(ensemble["trained_models"]) == len(made.trees) + (made.base_score != 0)
    for held in ensemble["trained_models"]:
        assert set(held) == {"tree"}
        assert set(held["tree"]) == {"feature_names", "target_type", "tree_structure"}
        assert held["tree"]["target_type"] == "regression"
        valid_native_tree(held["tree"]["tree_structure"], "lte" if library == "lightgbm" else "lt")


def valid_native_tree(nodes, decision):
    seen = {0}
    for place, node in enumerate(nodes):
        assert node["node_index"] == place
        if "leaf_value" in node:
            assert set(node) - {"number_samples"} == {"node_index", "leaf_value"}
            assert isinstance(node["leaf_value"], float)
            continue
        assert set(node) == {
            "node_index", "decision_type", "left_child", "right_child", "split_feature", "threshold", "default_left",
            "number_samples",
        }  # fmt: skip
        assert node["decision_type"] == decision
        assert type(node["default_left"]) is bool
        assert node["split_feature"] in range(WIDTH)
        assert isinstance(node["threshold"], float)
        assert type(node["number_samples"]) is int
        assert node["number_samples"] >= 0
        children = {node["left_child"], node["right_child"]}
        assert not children & seen
        assert max(children) < len(nodes)
        seen |= children
    assert len(seen) == len(nodes), "no cycle, no node that nothing reaches"


def test_the_example_of_the_formats_comes_out_as_it_is_written_there():
    [tree] = native.ensemble(forest(STUMP))["trained_models"]
    assert tree["tree"]["tree_structure"] == [
        {"node_index": 0, "decision_type": "lte", "left_child": 1, "right_child": 2, "split_feature": 0,
         "threshold": 3.25, "default_left": True, "number_samples": 812},
        {"node_index": 1, "leaf_value": -0.03125, "number_samples": 500},
        {"node_index": 2, "leaf_value": 0.0625, "number_samples": 312},
    ]  # fmt: skip
    less = Tree.of(
        [2, 0, 0], [0, -1, -1], [3.25, 0, 0], [2, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
        [0, -0.03125, 0.0625], [0, 0, 0],
    )  # fmt: skip
    assert plugin.definition(forest(less, library="xgboost"), shift=False) == {
        "objective": "rank:ndcg",
        "splits": [
            {"nodeid": 0, "depth": 0, "split": "title_match", "split_condition": 3.25, "yes": 1, "no": 2, "missing": 1,
             "children": [{"nodeid": 1, "leaf": -0.03125}, {"nodeid": 2, "leaf": 0.0625}]},
        ],
    }  # fmt: skip


def test_a_feature_set_is_wrapped_and_every_template_matches_every_document():
    wanted = parse(SET)
    document = plugin.feature_set("engine-0123456789", plugin.features(wanted))
    assert set(document) == {"featureset"}
    assert document["featureset"]["name"] == "engine-0123456789"
    assert [feature["name"] for feature in document["featureset"]["features"]] == list(wanted.names)
    for feature in document["featureset"]["features"]:
        assert set(feature) == {"name", "params", "template_language", "template"}
        assert (feature["params"], feature["template_language"]) == (["query"], "mustache")
        assert feature["template"]["bool"]["must"] == [{"match_all": {"boost": 0}}]
        assert feature["template"]["bool"]["should"]
    asked = {feature["name"]: json.dumps(feature["template"]) for feature in document["featureset"]["features"]}
    assert "{{query}}" in asked["title_match"]
    assert "{{query}}" not in asked["price"]


def test_extractors_are_named_once_and_have_a_default_where_it_is_not_zero():
    found = [held["query_extractor"] for held in native.extractors(parse(SET))]
    assert [each["feature_name"] for each in found] == list(FEATURES)
    assert [each.get("default_score") for each in found] == [None, None, None, 2.5]
    document = native.body(native.ensemble(forest(STUMP)), native.extractors(parse(SET)))
    config = document["inference_config"]["learning_to_rank"]
    assert set(config) == {"feature_extractors", "default_params", "num_top_feature_importance_values"}
    assert config["num_top_feature_importance_values"] == 0
    assert config["default_params"] == {"query": ""}


def test_rescore_requests_name_the_model_and_ignore_the_first_pass():
    query = plugin.rescore("m-1", window=50)["rescore"]
    assert query["window_size"] == 50
    assert query["query"]["query_weight"] == plugin.FIRST
    assert query["query"]["rescore_query"]["sltr"] == {"model": "m-1", "params": {"query": "{{query}}"}}
    asked = native.rescore("m-1", window=50)["rescore"]
    assert asked == {"window_size": 50, "learning_to_rank": {"model_id": "m-1", "params": {"query": "{{query}}"}}}
    assert plugin.body("m-1", "[]") == {
        "model": {"name": "m-1", "model": {"type": "model/xgboost+json", "definition": "[]"}}
    }


def test_fields_in_nested_objects_are_asked_for_there():
    found = native.extractors(parse(SET), nested={"price": "offers"})
    asked = {each["query_extractor"]["feature_name"]: json.dumps(each["query_extractor"]["query"]) for each in found}
    assert '"nested": {"path": "offers"' in asked["price"]
    assert "nested" not in asked["title_match"]


def test_the_shift_is_the_running_sum_of_the_least_leaves_and_none_where_no_sum_is_negative():
    least = np.float32(-0.03125)
    assert plugin.shift_of(forest(STUMP, STUMP)) == -float(least + least)
    assert plugin.shift_of(forest(STUMP, base_score=0.5, library="xgboost")) == 0
    assert plugin.definition(forest(STUMP, STUMP))["splits"][-1] == {"nodeid": 0, "leaf": 0.0625}
    assert len(plugin.definition(forest(STUMP, base_score=0.5, library="xgboost"))["splits"]) == 2


def test_a_random_forests_leaves_are_shared_out_among_its_trees():
    made = plugin.definition(forest(STUMP, STUMP, average_output=True), shift=False)
    assert [child["leaf"] for child in made["splits"][0]["children"]] == [-0.03125 / 2, 0.0625 / 2]


def chain(levels):
    """A tree that goes down on one side."""
    count = 2 * levels + 1
    split = np.arange(count) % 2 == 0
    split[-1] = False
    place = np.arange(count)
    return Tree.of(
        split.astype(int), np.where(split, 0, -1), place, np.zeros(count), np.zeros(count, dtype=bool),
        np.where(split, place + 1, -1), np.where(split, place + 2, -1), np.ones(count), np.ones(count),
    )  # fmt: skip


def test_a_tree_deeper_than_the_parser_reads_is_refused_for_the_plugin_and_no_matter_for_elastics_own():
    json.dumps(plugin.definition(forest(chain(300))))
    with pytest.raises(ExportError, match=r"301 levels deep.*max_depth"):
        plugin.definition(forest(chain(301)))
    assert len(native.ensemble(forest(chain(301)))["trained_models"][0]["tree"]["tree_structure"]) == 603


def test_a_leaf_that_float32_cannot_hold_is_refused():
    with pytest.raises(ExportError, match="beyond float32"):
        plugin.definition(forest(Tree.of([0], [-1], [0], [0], [False], [-1], [-1], [1e39], [1])))


def test_warnings_come_where_the_compiled_model_outgrows_the_cache():
    assert plugin.warnings("x" * int(10 * 2**20 / 0.38)) == []
    [told] = plugin.warnings("x" * 30 * 2**20)
    assert "11 MB" in told
    assert "ltr.caches.max_mem" in told


def member(missing=Missing.NAN, kind=Kind.MEMBER):
    return Tree.of(
        [kind, 0, 0], [0, -1, -1], [-1.0, 0, 0], [missing, 0, 0], [True, False, False], [1, -1, -1], [2, -1, -1],
        [0, 1, 2], [1, 1, 1], {0: [1, 3]} if kind == Kind.MEMBER else None,
    )  # fmt: skip


class Fixed:
    """Stands for a ranker of a given forest."""


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        (member(), r"tree 1 asks for categories.*fit without categorical features"),
        (member(Missing.ZERO, Kind.LESS_EQUAL), r"tree 1 sends 0 another way.*zero_as_missing = false"),
    ],
    ids=["categories", "zero as missing"],
)
def test_what_cannot_be_exact_is_refused_with_the_reason(monkeypatch, tree, told):
    monkeypatch.setattr(splits, "forest_of", lambda _ranker: forest(STUMP, tree))
    with pytest.raises(ExportError, match=told):
        splits.forest_for(Fixed())
