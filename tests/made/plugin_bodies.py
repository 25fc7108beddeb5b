"""What an engine's parsers take of a body and refuse, for the stand-in of ``plugin_server`` (formats.md 1.2 and 2.1)."""

import base64
import gzip
import json
import re

import numpy as np

from made.plugin_search import ensemble, refuse

LANGUAGES = {"mustache", "derived_expression", "script_feature"}


def feature_set(body, name):
    """The checks of the plugin's parser on a feature set (1.2)."""
    value = body.get("featureset")
    if body.keys() - {"featureset", "validation"} or not isinstance(value, dict):
        refuse("Element of type [featureset] expected, the wrapper is required")
    if value.keys() - {"name", "features"} or value.get("name", name) != name:
        refuse(f"name of the body is not [{name}], or an unknown field", "illegal_argument_exception")
    names = [feature.get("name") for feature in value["features"]]
    if len(set(names)) != len(names) or None in names or len(names) > 10_000:
        refuse("Feature names must be unique", "illegal_argument_exception")
    for feature in value["features"]:
        if extra := feature.keys() - {"name", "params", "template", "template_language", "extra_script_params"}:
            refuse(f"[feature] unknown field [{min(extra)}]", "x_content_parse_exception")
        if feature.get("template_language") not in LANGUAGES or not isinstance(feature.get("params"), list):
            refuse("Field [template_language] or [params] is wrong")
        if used := set(re.findall(r"\{\{\s*(\w+)\s*\}\}", json.dumps(feature["template"]))) - set(feature["params"]):
            refuse(f"template uses {sorted(used)}, which are no params")
    # The plugin keeps a template as the text of its JSON.
    features = [
        {**each, "template": each["template"] if isinstance(each["template"], str) else json.dumps(each["template"])}
        for each in value["features"]
    ]
    return {"name": name, "features": features}


def trained(body, version):
    """The checks of the engine's parser on a trained model (2.1): its body, configuration, features and trees."""
    allowed = {"inference_config", "definition", "compressed_definition", "description", "tags", "metadata"}
    if tuple(map(int, version.split(".")[:2])) < (8, 15):
        allowed |= {"input"}
        if "input" not in body:
            refuse("[input] is required", "illegal_argument_exception")
    if extra := body.keys() - allowed:
        refuse(f"[trained_model_config] unknown field [{min(extra)}]", "x_content_parse_exception")
    config = body["inference_config"].get("learning_to_rank", {})
    if extra := config.keys() - {"feature_extractors", "default_params", "num_top_feature_importance_values"}:
        refuse(f"[learning_to_rank] unknown field [{min(extra)}]", "x_content_parse_exception")
    names = []
    for each in config["feature_extractors"]:
        one = each.get("query_extractor", {})
        if len(each) != 1 or not {"feature_name", "query"} <= one.keys() <= {
            "feature_name",
            "query",
            "default_score",
        }:
            refuse("[query_extractor] malformed", "x_content_parse_exception")
        names.append(one["feature_name"])
    if len(set(names)) != len(names):
        refuse("duplicate feature_name", "illegal_argument_exception")
    if "compressed_definition" in body:
        body["definition"] = json.loads(gzip.decompress(base64.b64decode(body.pop("compressed_definition"))))
    features, trees = ensemble(body["definition"])
    if set(features) - set(names):
        refuse(f"no extractor of {sorted(set(features) - set(names))}", "illegal_argument_exception")
    return body, config, features, trees


def parsed(data):
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        refuse("request body is required", "parse_exception")
    return value


def written(value):
    """A float32 as Java writes it: the shortest decimals that read back as the same."""
    return float(str(np.float32(value)))


def aslist(value):
    return value if isinstance(value, list) else [value]


def filtered(value, paths):
    """``filter_path``: the parts of an answer that match one of the dotted paths, * standing for any name."""
    if isinstance(value, list):
        kept = [filtered(each, paths) for each in value]
        return [each for each in kept if each not in ({}, [])]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, each in value.items():
        rest = [path[1:] for path in paths if path and path[0] in ("*", key)]
        if any(not path for path in rest):
            out[key] = each
        elif rest and isinstance(each, dict | list) and (kept := filtered(each, rest)) not in ({}, []):
            out[key] = kept
    return out
