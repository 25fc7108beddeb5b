"""What the stand-in for an engine with a ranking plugin searches and scores with.

Trees are walked one by one in float32, as formats.md 1.4 says that the plugin does, by each release's rule for a feature that
does not match; Elastic's ensembles in float64 (2.1). Written from those pages and not from ltr/export, so that the two roads to
a score have nothing in common. Text queries count shared words: no BM25, but a score that differs from document to document.
Whatever is not named here is refused, as a strict peer does.
"""

import json
import math
import re
from dataclasses import dataclass, field

import numpy as np

OBJECTIVES = {"rank:ndcg", "rank:map", "rank:pairwise", "binary:logitraw", "reg:linear"}
NODE = {"nodeid", "depth", "split", "split_condition", "yes", "no", "missing", "children", "leaf"}
TAG = re.compile(r"\{\{\s*([!#^/]?)\s*([^{}]*?)\s*\}\}")


class Refused(Exception):
    """An answer of 400 and above, as the engines write it."""

    def __init__(self, status, kind, reason):
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason


def refuse(reason, kind="parsing_exception", status=400):
    raise Refused(status, kind, reason)


# ---------------------------------------------------------------- mustache


def rendered(source, params):
    """Mustache with JSON's escapes: comments, variables, {{#name}} and {{^name}} sections that do not nest in themselves."""
    text = source if isinstance(source, str) else json.dumps(source)
    for mark in ("#", "^"):
        section = re.compile(r"\{\{" + re.escape(mark) + r"(\w+)\}\}(.*?)\{\{/\1\}\}", re.DOTALL)
        text = section.sub(lambda found, mark=mark: found[2] if (mark == "#") == truthy(params, found[1]) else "", text)
    text = TAG.sub(lambda found: "" if found[1] == "!" else escaped(found, params), text)
    try:
        return json.loads(text)
    except ValueError as error:
        return refuse(f"Failed to parse rendered template: {error}", "x_content_parse_exception")


def truthy(params, name):
    value = params.get(name)
    return not (value is None or value is False or value == "" or value == [])


def escaped(found, params):
    if found[1] or not re.fullmatch(r"\w+", found[2]):
        refuse(f"Improperly closed variable {found[0]}", "general_script_exception")
    value = params.get(found[2], "")
    return json.dumps(value if isinstance(value, str) else json.dumps(value), ensure_ascii=False)[1:-1]


# ---------------------------------------------------------------- model/xgboost+json (1.3, 1.4)


def compiled(definition, features):
    """The trees of a definition, or Refused: strict about keys, names, children and the objective."""
    value = json.loads(definition) if isinstance(definition, str) else definition
    sigmoid = False
    if isinstance(value, dict):
        if extra := value.keys() - {"objective", "splits"}:
            refuse(f"[xgboost] unknown field [{min(extra)}]", "x_content_parse_exception")
        objective = value.get("objective", "rank:ndcg")
        sigmoid = objective in {"binary:logistic", "reg:logistic"}
        if objective not in OBJECTIVES and not sigmoid:
            refuse(f"Objective [{objective}] is not a valid XGB objective", "illegal_argument_exception")
        value = value.get("splits")
    if not isinstance(value, list) or not value:
        refuse("XGBoost model is missing required field [splits]")
    return [node(tree, features) for tree in value], sigmoid


def node(given, features):
    if not isinstance(given, dict) or (extra := given.keys() - NODE):
        refuse(
            f"[node] unknown field [{min(extra) if isinstance(given, dict) else given}]", "x_content_parse_exception"
        )
    if "leaf" in given:
        if "nodeid" not in given or "split" in given or "children" in given:
            refuse("a leaf has nodeid and leaf alone")
        return float(np.float32(given["leaf"]))
    if lacking := (NODE - {"leaf"}) - given.keys():
        refuse(f"This split does not have all the required fields: {sorted(lacking)}")
    if given["split"] not in features:
        refuse(f"Unknown feature [{given['split']}]")
    children = given["children"]
    if [given["yes"], given["no"]] != [child.get("nodeid") for child in children]:
        refuse("Split structure is invalid, yes and no branches are not the children")
    if given["missing"] not in (given["yes"], given["no"]):
        refuse("missing is neither yes nor no")
    with np.errstate(over="ignore"):
        threshold = float(np.float32(given["split_condition"]))
    ways = tuple(node(child, features) for child in children)
    return features.index(given["split"]), threshold, given["missing"] == given["yes"], *ways


def summed(trees, values, rule):
    """The float32 running sum of the leaves; values are float32 scores, None where the feature does not match."""
    total = np.float32(0)
    for tree in trees:
        while not isinstance(tree, float):
            at, threshold, missing_left, yes, no = tree
            value = values[at]
            if value is None and rule == "zero":
                value = 0.0
            # threshold > NaN is false.
            left = threshold > value if value is not None else rule == "missing" and missing_left
            tree = yes if left else no
        total = total + np.float32(tree)
    return total


# ---------------------------------------------------------------- Elastic's ensemble (2.1)

DECISIONS = {
    "lt": lambda value, threshold: value < threshold,
    "lte": lambda value, threshold: value <= threshold,
    "gt": lambda value, threshold: value > threshold,
    "gte": lambda value, threshold: value >= threshold,
}


def ensemble(definition):
    """The ensemble of a trained model, checked as strictly as the engine's named objects."""
    model = _only(_only(definition, "trained_model"), "ensemble")
    if model.keys() - {"feature_names", "target_type", "trained_models", "aggregate_output", "classification_labels"}:
        refuse("[ensemble] unknown field", "x_content_parse_exception")
    if model.get("target_type") != "regression" or _only(model.get("aggregate_output", {}), "weighted_sum") != {}:
        refuse("learning_to_rank needs a regression with weighted_sum")
    names, trees = model["feature_names"], []
    for each in model["trained_models"]:
        tree = _only(each, "tree")
        if tree["feature_names"] != names or tree["target_type"] != "regression":
            refuse("trees have the ensemble's features and target")
        nodes = {}
        for one in tree["tree_structure"]:
            leaf = {"node_index", "leaf_value", "number_samples"}
            split = {"node_index", "decision_type", "left_child", "right_child", "split_feature", "threshold"}
            allowed = leaf if "leaf_value" in one else split | {"default_left", "number_samples", "split_gain"}
            if (extra := one.keys() - allowed) or ("leaf_value" not in one and split - one.keys()):
                refuse(f"[tree_node] unknown or missing field {sorted(extra)}", "x_content_parse_exception")
            nodes[one["node_index"]] = one
        trees.append(nodes)
    return names, trees


def added(trees, names, values):
    """The sum of the leaves (exact: the engine's is compensated), as a float32 score; a feature that does not match is not in ``values``."""
    leaves = []
    for nodes in trees:
        at = nodes[0]
        while "leaf_value" not in at:
            value = values.get(names[at["split_feature"]])
            if value is None:
                left = at.get("default_left", False)
            else:
                left = DECISIONS[at["decision_type"]](value, float(at["threshold"]))
            at = nodes[at["left_child" if left else "right_child"]]
        leaves.append(at["leaf_value"])
    return np.float32(math.fsum(leaves))


def _only(value, key):
    if not isinstance(value, dict) or list(value) != [key]:
        refuse(f"expected [{key}] alone in {str(value)[:60]}")
    return value[key]


# ---------------------------------------------------------------- queries


@dataclass
class Scope:
    """What a query is evaluated within: the engine, for sltr, and the scores of named clauses of this document."""

    engine: object
    named: dict = field(default_factory=dict)
    logged: dict = field(default_factory=dict)


def score(query, document, scope):
    """The float32 score of a document, None where the query does not match it."""
    if not isinstance(query, dict) or len(query) != 1:
        refuse(f"[query] malformed query, expected one name in {str(query)[:80]}")
    kind, body = next(iter(query.items()))
    if kind not in QUERIES:
        refuse(f"unknown query [{kind}]")
    value = QUERIES[kind](body, document, scope)
    if value is None:
        return None
    if not value >= 0:
        refuse(f"score must be positive or zero, got [{value}]", "illegal_argument_exception")
    name = body.get("_name") if isinstance(body, dict) else None
    if name is not None:
        scope.named[name] = value
    return np.float32(value)


def values_of(document, name):
    """The values of a field; a subfield that the document does not spell out has its parent's."""
    while name:
        if name in document:
            return document[name] if isinstance(document[name], list) else [document[name]]
        name = name.rpartition(".")[0]
    return []


def words(text):
    return re.findall(r"\w+", str(text).lower())


def _known(body, *keys):
    if extra := body.keys() - {*keys, "boost", "_name"}:
        refuse(f"unknown field [{min(extra)}]", "x_content_parse_exception")


def _field(body, *keys):
    body = {name: value for name, value in body.items() if name not in ("boost", "_name")}
    if len(body) != 1:
        refuse("[query] doesn't support multiple fields")
    name, wanted = next(iter(body.items()))
    wanted = wanted if isinstance(wanted, dict) else {keys[0]: wanted}
    _known(wanted, *keys)
    return name, wanted


def signed(query, document, scope):
    """The score of a rescoring query, which for sltr may be negative."""
    return _sltr(query["sltr"], document, scope) if list(query) == ["sltr"] else score(query, document, scope)


def _match_all(body, _document, _scope):
    _known(body)
    return float(body.get("boost", 1.0))


def _ids(body, document, _scope):
    _known(body, "values")
    return 1.0 if document["_id"] in body["values"] else None


def _term(body, document, _scope):
    name, wanted = _field(body, "value", "fuzziness")
    text = str(wanted["value"]).lower()
    hit = any(str(value).lower() == text or text in words(value) for value in values_of(document, name))
    return 1.0 if hit else None


def _terms(body, document, _scope):
    wanted = {name: value for name, value in body.items() if name not in ("boost", "_name")}
    name, listed = next(iter(wanted.items()))
    return 1.0 if any(value in listed for value in values_of(document, name)) else None


def _exists(body, document, _scope):
    _known(body, "field")
    return 1.0 if values_of(document, body["field"]) else None


def _range(body, document, _scope):
    name, wanted = _field(body, "gte", "gt", "lte", "lt")
    tests = {"gte": "gte", "gt": "gt", "lte": "lte", "lt": "lt"}
    values = [value for value in values_of(document, name) if isinstance(value, int | float)]
    hit = any(all(DECISIONS[test](value, wanted[test]) for test in tests if test in wanted) for value in values)
    return 1.0 if hit else None


def _bool(body, document, scope):
    _known(body, "must", "should", "filter", "must_not", "minimum_should_match")
    parts = {key: body.get(key, []) for key in ("must", "should", "filter", "must_not")}
    parts = {key: [value] if isinstance(value, dict) else value for key, value in parts.items()}
    if any(score(each, document, scope) is not None for each in parts["must_not"]):
        return None
    needed = [score(each, document, scope) for each in parts["must"]]
    if None in needed or any(score(each, document, scope) is None for each in parts["filter"]):
        return None
    optional = [score(each, document, scope) for each in parts["should"]]
    optional = [value for value in optional if value is not None]
    least = body.get("minimum_should_match", 0 if parts["must"] or parts["filter"] or not parts["should"] else 1)
    if len(optional) < int(least):
        return None
    return sum(map(float, needed + optional)) * body.get("boost", 1.0)


def _constant_score(body, document, scope):
    _known(body, "filter")
    return None if score(body["filter"], document, scope) is None else float(body.get("boost", 1.0))


MODIFIERS = {"none": float, "ln1p": math.log1p, "log1p": lambda value: math.log10(1 + value), "sqrt": math.sqrt}


def _function_score(body, document, scope):
    _known(body, "query", "field_value_factor", "boost_mode")
    inner = score(body.get("query", {"match_all": {}}), document, scope)
    if inner is None:
        return None
    factor = body["field_value_factor"]
    if extra := factor.keys() - {"field", "missing", "factor", "modifier"}:
        refuse(f"field_value_factor query does not support [{min(extra)}]")
    values = values_of(document, factor["field"])
    if not values and "missing" not in factor:
        refuse(f"Missing value for field [{factor['field']}]", "illegal_argument_exception")
    value = values[0] if values else factor["missing"]
    value = MODIFIERS[factor.get("modifier", "none")](float(value) * factor.get("factor", 1.0))
    if value < 0:
        refuse(
            f"field value function must not produce negative scores, but got: [{value}]", "illegal_argument_exception"
        )
    mode = body.get("boost_mode", "multiply")
    if mode not in ("multiply", "replace"):
        refuse(f"no boost_mode [{mode}] here")
    return value if mode == "replace" else float(np.float32(inner) * np.float32(value))


def _text(body, document, _scope):
    """match and its kin: each shared word counts tf / (tf + 1.2), over the root of the field's length."""
    keys = ("query", "operator", "fuzziness", "slop", "boost")
    name, wanted = _field(body, *keys)
    held = [word for value in values_of(document, name) for word in words(value)]
    asked = words(wanted["query"])
    counts = [held.count(word) for word in asked]
    if not any(counts) or (wanted.get("operator") == "and" and not all(counts)):
        return None
    return sum(count / (count + 1.2) for count in counts) / math.sqrt(len(held)) * wanted.get("boost", 1.0)


def _multi_match(body, document, scope):
    _known(body, "query", "fields", "type", "operator", "fuzziness", "tie_breaker", "lenient")
    scores = []
    for each in body.get(
        "fields", [name for name, value in document.items() if isinstance(value, str) and name != "_id"]
    ):
        name, _, boost = each.partition("^")
        clause = {name: {"query": body["query"], "operator": body.get("operator", "or")}}
        if (value := _text(clause, document, scope)) is not None:
            scores.append(value * float(boost or 1))
    if not scores:
        return None
    return max(scores) if body.get("type", "best_fields") == "best_fields" else sum(scores)


def _nested(body, document, scope):
    _known(body, "path", "query", "score_mode", "ignore_unmapped")
    return score(body["query"], document, scope)


def _sltr(body, document, scope):
    _known(body, "model", "featureset", "store", "params", "active_features", "cache")
    if "params" not in body:
        refuse("[sltr] query requires params to be set")
    features, trees, sigmoid = scope.engine.ranker(body)
    values = [feature_value(feature, body["params"], document, scope.engine) for feature in features]
    active = body.get("active_features")
    if active is not None:
        values = [value if one["name"] in active else None for one, value in zip(features, values, strict=True)]
    if (name := body.get("_name")) is not None:
        scope.logged[name] = {feature["name"]: value for feature, value in zip(features, values, strict=True)}
    if trees is None:
        return sum(value or 0.0 for value in values)
    total = summed(trees, [None if value is None else float(value) for value in values], scope.engine.missing)
    return float(1 / (1 + math.exp(-float(total)))) if sigmoid else total


def feature_value(feature, params, document, engine):
    """A stored feature's score of a document."""
    if lacking := [name for name in feature["params"] if name not in params]:
        refuse(f"Missing required param(s): [{', '.join(lacking)}]", "illegal_argument_exception")
    return score(rendered(feature["template"], params), document, Scope(engine))


QUERIES = {
    "match_all": _match_all, "match_none": lambda *_: None, "ids": _ids, "term": _term, "terms": _terms, "exists": _exists,
    "range": _range, "bool": _bool, "constant_score": _constant_score, "function_score": _function_score, "match": _text,
    "match_phrase": _text, "match_phrase_prefix": _text, "match_bool_prefix": _text, "fuzzy": _term,
    "multi_match": _multi_match, "nested": _nested, "sltr": _sltr,
}  # fmt: skip
