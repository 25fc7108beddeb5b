"""A local HTTP server that answers as an engine with a ranking plugin, or with Elastic's native one, would.

It stands in for what the minimal Elasticsearch of the tests lacks (``_ltr``, machine learning, Mustache), replaying sections 1
and 2 of formats.md; a genuine plugin it is not. Whatever it does not know it refuses. Requests that write are kept in
``writes``; ``fail`` makes the n-th of those to come fail, ``cut`` does it and loses the answer.

    server = PluginServer(flavour="opensearch", version="3.8.0", missing="missing")
    engine = connect(server.url)
"""

import base64
import gzip
import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from made.plugin_search import Refused, Scope, added, compiled, ensemble, refuse, rendered, score, signed

__all__ = ["PluginServer", "running"]

LANGUAGES = {"mustache", "derived_expression", "script_feature"}
SEARCH = {"query", "from", "size", "_source", "rescore", "ext", "track_total_hits", "sort", "aggs", "timeout"}
STORE = r"/_ltr(?:/(?P<store>(?!_(?:featureset|feature|model)(?:/|$))[^/]+))?"
NAME = r"(?P<name>[^/]+)"


class PluginServer:
    """The engine's state and its answers; it lives on while the HTTP server before it is stopped and started again.

    Args:
        flavour, version: what it says of itself.
        plugin: whether ``_ltr`` is there.
        licence: Elasticsearch's; native models need "enterprise" or "trial".
        missing: what trees see where a feature does not match: "zero" (o19s before 2024, OpenSearch up to 3.1), "nan_to_no" (3.2 to
            3.7: always the no branch), or "missing" (as the model says).
        max_bytes: of a request, over which it answers 413 with an empty body.
    """

    def __init__(
        self, *, flavour="elasticsearch", version="8.19.0", plugin=True, licence="basic", missing="missing",
        max_bytes=100 * 2**20, mustache=True,
    ):  # fmt: skip
        self.flavour, self.version, self.plugin, self.licence = flavour, version, plugin, licence
        self.missing, self.max_bytes, self.mustache = missing, max_bytes, mustache
        self.stores, self.trained, self.scripts, self.indexes = {}, {}, {}, {}
        self.settings, self.heap = {}, 8 * 2**30
        self.writes, self.requests = [], []
        self.faults = {}  # number of the write -> (status, kind, done) ; status None cuts the connection
        self.compiled = {}
        self.lock = threading.RLock()
        self.http, self.port, self.connections = None, 0, set()

    # -- life

    def start(self):
        """Listen; on the same port again after a stop."""
        plugin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # header and body in one packet

            def setup(self):
                super().setup()
                plugin.connections.add(self.connection)

            def finish(self):
                plugin.connections.discard(self.connection)
                with suppress(OSError):
                    super().finish()

            def log_message(self, *_):
                pass

            def answer(self):
                plugin.serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.http.server_port
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self):
        """As a server that is killed: no new connection, and those there are lost."""
        self.http.shutdown()
        self.http.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def fail(self, nth=1, *, status=500, kind="internal_error"):
        """The nth write from now on is refused and not done; what follows goes on."""
        self.faults[len(self.writes) + nth] = (status, kind)

    def cut(self, nth=1):
        """The nth write from now on is done, and the connection lost before the answer."""
        self.faults[len(self.writes) + nth] = (None, "")

    # -- HTTP

    def serve(self, http):
        size = int(http.headers.get("content-length") or 0)
        data = http.rfile.read(size)
        parts = urlsplit(http.path)
        params = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            if size > self.max_bytes:
                raise Refused(413, "", "")
            with self.lock:
                status, answer = self.routed(http.command, parts.path, params, data)
        except Refused as error:
            cause = {"type": error.kind, "reason": error.reason}
            status, answer = error.status, {"error": {"root_cause": [cause], **cause}, "status": error.status}
            if error.status == 413:
                answer = None
        if status is None:
            http.close_connection = True
            http.connection.shutdown(socket.SHUT_RDWR)
            return
        if isinstance(answer, dict) and "filter_path" in params and status < 400:
            answer = filtered(answer, [path.split(".") for path in params["filter_path"].split(",")])
        body = b"" if answer is None or http.command == "HEAD" else json.dumps(answer).encode()
        http.send_response(status)
        http.send_header("content-type", "application/json")
        http.send_header("content-length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def routed(self, method, path, params, data):
        self.requests.append((method, path))
        for methods, pattern, name, writes in ROUTES:
            found = re.fullmatch(pattern, path)
            if not found or method not in methods.split():
                continue
            lost = False
            if writes:
                self.writes.append((method, path, len(data)))
                fault = self.faults.pop(len(self.writes), None)
                if fault and fault[0] is not None:
                    refuse("failed on demand", fault[1], fault[0])
                lost = fault is not None
            given = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
            status, answer = getattr(self, name)(method, params=params, data=data, **given)
            return (None, None) if lost else (status, answer)
        if path.startswith("/_"):
            refuse(f"no handler found for uri [{path}] and method [{method}]", "illegal_argument_exception")
        return refuse(f"Incorrect HTTP method for uri [{path}]", "", 405)

    # -- what it is

    def root(self, method, **_):
        number = {"number": self.version, "lucene_version": "9.12.0"}
        return 200, {"version": number | ({"distribution": "opensearch"} if self.flavour == "opensearch" else {})}

    def nodes(self, method, **_):
        name = "opensearch-ltr" if self.flavour == "opensearch" else "ltr"
        plugins = [{"name": name, "version": f"1.5.10-es{self.version}"}] if self.plugin else []
        modules = [{"name": "lang-mustache"}] if self.mustache else []
        node = {"version": self.version, "plugins": plugins, "modules": modules, "settings": self.settings}
        return 200, {"nodes": {"n1": node | {"jvm": {"mem": {"heap_max_in_bytes": self.heap}}}}}

    def cluster_settings(self, method, **_):
        return 200, {"persistent": {}, "transient": {}}

    def license(self, method, **_):
        if self.flavour == "opensearch":
            refuse("no handler found for uri [/_license] and method [GET]", "illegal_argument_exception")
        return 200, {"license": {"status": "active", "type": self.licence}}

    # -- _ltr (1.1 to 1.3)

    def store_named(self, store, *, needed=True):
        self.needs_plugin()
        key = store or "_default_"
        if needed and key not in self.stores:
            refuse(f"no such index [.ltrstore{'_' + store if store else ''}]", "index_not_found_exception", 404)
        return key

    def needs_plugin(self):
        if not self.plugin:
            refuse("Invalid index name [_ltr], must not start with '_'.", "invalid_index_name_exception")

    def ltr(self, method, store=None, **_):
        key = self.store_named(store, needed=method == "DELETE")
        index = ".ltrstore" if store is None else f".ltrstore_{store}"
        if method == "GET" and store is None:
            count = lambda kept: {kind: len(named) for kind, named in kept.items() if named}  # noqa: E731
            told = {"version": 2, "index": index}
            return 200, {"stores": {k: {"store": k, **told, "counts": count(kept)} for k, kept in self.stores.items()}}
        if method == "GET":
            # The default store is not there under its own name.
            there = key in self.stores and store != "_default_"
            return (200 if there else 404), {"exists": there}
        if method == "POST":
            refuse("Updating a feature store is not yet supported.", "illegal_argument_exception")
        if method == "DELETE":
            del self.stores[key]
            return 200, {"acknowledged": True}
        if key in self.stores:
            refuse(f"index [{index}/x] already exists", "resource_already_exists_exception")
        if store and re.fullmatch(r"(features?[*]?|feature_[sS]ets?|models?)", store):
            refuse(f"A featurestore name cannot be based on the words [{store}]", "illegal_argument_exception")
        self.stores[key] = {"featureset": {}, "model": {}}
        return 200, {"acknowledged": True, "shards_acknowledged": True, "index": index}

    def listed(self, method, kind, params, store=None, **_):
        kept = self.stores[self.store_named(store)][kind]
        start, size = int(params.get("from", 0)), int(params.get("size", 20))
        names = [name for name in sorted(kept) if name.startswith(params.get("prefix", ""))]
        hits = [self.element(kind, name, kept[name]) for name in names[start : start + size]]
        return 200, {"hits": {"total": {"value": len(names), "relation": "eq"}, "hits": hits}}

    def element(self, kind, name, value):
        return {"_index": ".ltrstore", "_id": f"{kind}-{name}", "_source": {"name": name, "type": kind, kind: value}}

    def stored(self, method, kind, name, data, store=None, **_):
        kept = self.stores[self.store_named(store)][kind]
        if method in ("GET", "HEAD", "DELETE"):
            if name not in kept:
                return 404, {"_index": ".ltrstore", "_id": f"{kind}-{name}", "found": False}
            if method == "DELETE":
                del kept[name]
                return 200, {"_id": f"{kind}-{name}", "result": "deleted"}
            return 200, self.element(kind, name, kept[name]) | {"found": True}
        if kind == "model":
            refuse("use _createmodel here", "illegal_argument_exception")
        value = feature_set(parsed(data), name)
        if method == "PUT" and name in kept:
            refuse(
                f"[featureset-{name}]: version conflict, document already exists",
                "version_conflict_engine_exception",
                409,
            )
        status = 200 if name in kept else 201
        kept[name] = value
        return status, {"_id": f"featureset-{name}", "result": "updated" if status == 200 else "created"}

    def createmodel(self, method, name, data, store=None, **_):
        kept = self.stores[self.store_named(store)]
        if name not in kept["featureset"]:
            refuse(f"Stored feature set [{name}] does not exist", "illegal_argument_exception")
        body = parsed(data)
        model = body.get("model")
        if body.keys() - {"model", "validation"} or not isinstance(model, dict) or model.keys() - {"name", "model"}:
            refuse("[createModelFromSet] unknown field", "x_content_parse_exception")
        if "name" not in model or not isinstance(model.get("model"), dict):
            refuse("Field [model] is mandatory")
        if extra := model["model"].keys() - {"type", "definition", "feature_normalizers"}:
            refuse(f"[model] unknown field [{min(extra)}]", "x_content_parse_exception")
        if model["model"].get("type") != "model/xgboost+json" or "definition" not in model["model"]:
            refuse("Field [model.type] or [model.definition] is no model/xgboost+json", "illegal_argument_exception")
        if model["name"] in kept["model"]:
            refuse(
                "Element of type [model] are not updatable, please create a new one instead.",
                "illegal_argument_exception",
                405,
            )
        features = kept["featureset"][name]["features"]
        trees, sigmoid = compiled(model["model"]["definition"], [feature["name"] for feature in features])
        self.compiled[store or "_default_", model["name"]] = features, trees, sigmoid
        kept["model"][model["name"]] = {
            "name": model["name"],
            "feature_set": kept["featureset"][name],
            "model": {"feature_normalizers": {}, **model["model"]},
        }
        return 201, {"_id": f"model-{model['name']}", "result": "created"}

    def ranker(self, body):
        """Features, trees and whether a sigmoid closes, of an sltr query."""
        self.needs_plugin()
        key = body.get("store") or "_default_"
        if (name := body.get("model")) is not None:
            if name not in self.stores.get(key, {}).get("model", {}):
                refuse(f"Unknown model [{name}]", "illegal_argument_exception")
            return self.compiled[key, name]
        name = body.get("featureset")
        if name not in self.stores.get(key, {}).get("featureset", {}):
            refuse(f"Unknown featureset [{name}]", "illegal_argument_exception")
        return self.stores[key]["featureset"][name]["features"], None, False

    # -- Elastic's trained models (2.1)

    def trained_model(self, method, name, params, data, **_):
        if self.flavour == "opensearch":
            refuse(f"no handler found for uri [/_ml/trained_models/{name}]", "illegal_argument_exception")
        if method == "GET":
            pattern = re.compile(re.escape(name).replace(r"\*", ".*"))
            kept = {
                each: self.trained[each].get("metadata", {}) for each in sorted(self.trained) if pattern.fullmatch(each)
            }
            found = [{"model_id": each, "metadata": metadata} for each, metadata in kept.items()]
            if not found and "*" not in name:
                refuse(f"No known trained model with model_id [{name}]", "resource_not_found_exception", 404)
            start = int(params.get("from", 0))
            page = found[start : start + int(params.get("size", 100))]
            return 200, {"count": len(found), "trained_model_configs": page}
        if method == "DELETE":
            if self.trained.pop(name, None) is None:
                refuse(f"No known trained model with model_id [{name}]", "resource_not_found_exception", 404)
            return 200, {"acknowledged": True}
        if self.licence not in ("enterprise", "trial"):
            refuse("current license is non-compliant for [ml]", "security_exception", 403)
        if name in self.trained:
            refuse(f"Trained machine learning model [{name}] already exists", "resource_already_exists_exception")
        body, config, features, trees = trained(parsed(data), self.version)
        self.trained[name] = body
        self.compiled["native", name] = config, features, trees
        return 200, {"model_id": name}

    # -- stored search templates

    def script(self, method, name, data, **_):
        if method == "GET":
            kept = self.scripts.get(name)
            return (200 if kept else 404), {"_id": name, "found": bool(kept)} | ({"script": kept} if kept else {})
        if method == "DELETE":
            if self.scripts.pop(name, None) is None:
                refuse(f"stored script [{name}] does not exist", "resource_not_found_exception", 404)
            return 200, {"acknowledged": True}
        script = parsed(data).get("script", {})
        if not self.mustache or script.get("lang") != "mustache" or script.keys() != {"lang", "source"}:
            refuse(
                f"unable to put stored script with unsupported lang [{script.get('lang')}]",
                "illegal_argument_exception",
            )
        source = script["source"]
        self.scripts[name] = {"lang": "mustache", "source": source if isinstance(source, str) else json.dumps(source)}
        return 200, {"acknowledged": True}

    def template(self, body):
        if not self.mustache:
            refuse("no handler found for uri [/_render/template] and method [POST]", "illegal_argument_exception")
        if body.keys() - {"id", "source", "params"}:
            refuse("[search_template] unknown field", "x_content_parse_exception")
        if "id" in body and body["id"] not in self.scripts:
            refuse(f"unable to find script [{body['id']}] in cluster state", "resource_not_found_exception", 404)
        source = self.scripts[body["id"]]["source"] if "id" in body else body["source"]
        return rendered(source, body.get("params", {}))

    def render(self, method, data, **_):
        return 200, {"template_output": self.template(parsed(data))}

    def search_template(self, method, index, params, data, **_):
        return self.searched(index, self.template(parsed(data)), params)

    # -- indexes

    def index(self, method, index, data, **_):
        if method == "PUT":
            if index in self.indexes:
                refuse(f"index [{index}] already exists", "resource_already_exists_exception")
            body = parsed(data) if data else {}
            if extra := body.keys() - {"mappings", "settings", "aliases"}:
                refuse(f"unknown key [{min(extra)}] for create index", "parse_exception")
            fields = body.get("mappings", {}).get("properties", {})
            floats = {name for name, one in fields.items() if one.get("type") == "float"}
            self.indexes[index] = {"floats": floats, "documents": {}}
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": index}
        self.documents(index)
        if method == "DELETE":
            del self.indexes[index]
            return 200, {"acknowledged": True}
        return 200, {index: {}}

    def documents(self, index):
        if index not in self.indexes:
            refuse(f"no such index [{index}]", "index_not_found_exception", 404)
        return self.indexes[index]["documents"]

    def add(self, index, identifier, source):
        """Index one document; float fields round to float32, and refuse what is not finite."""
        documents, floats = self.documents(index), self.indexes[index]["floats"]
        kept = {"_id": identifier}
        for name, value in source.items():
            if name in floats:
                with np.errstate(over="ignore"):
                    value = float(np.float32(value))
                if not np.isfinite(value):
                    return {"type": "document_parsing_exception", "reason": "[float] supports only finite values"}
            if value is not None:
                kept[name] = value
        documents[identifier] = kept
        return None

    def bulk(self, method, data, index=None, **_):
        lines = iter(data.splitlines())
        items = []
        for line in lines:
            action = json.loads(line)["index"]
            where, identifier = action.get("_index", index), action["_id"]
            error = self.add(where, identifier, json.loads(next(lines)))
            told = {"_index": where, "_id": identifier}
            items.append({"index": told | ({"status": 400, "error": error} if error else {"status": 201})})
        return 200, {"took": 1, "errors": any("error" in item["index"] for item in items), "items": items}

    def refresh(self, method, index, **_):
        self.documents(index)
        return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}

    def count(self, method, index, **_):
        return 200, {"count": len(self.documents(index)), "_shards": {"total": 1, "successful": 1, "failed": 0}}

    # -- search (1.6, 1.7, 2.2)

    def search(self, method, index, params, data, **_):
        return self.searched(index, parsed(data) if data else {}, params)

    def searched(self, index, body, params):
        if extra := body.keys() - SEARCH:
            refuse(f"unknown key [{min(extra)}] in search")
        if "rescore" in body and body.get("sort") not in (None, ["_score"], "_score"):
            refuse("Cannot use [sort] option in conjunction with [rescore].", "illegal_argument_exception")
        start, size = int(body.get("from", 0)), int(body.get("size", 10))
        if start + size > 10_000:
            refuse("Result window is too large", "illegal_argument_exception")
        hits = []
        for document in self.documents(index).values():
            scope = Scope(self)
            if (value := score(body.get("query", {"match_all": {}}), document, scope)) is not None:
                hits.append([value, document, scope])
        hits.sort(key=lambda hit: -hit[0])
        total = len(hits)
        for one in aslist(body.get("rescore", [])):
            hits = self.rescored(hits, one, start + size)
        page = [self.hit(index, hit, body, params) for hit in hits[start : start + size]]
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        found = {"total": {"value": total, "relation": "eq"}, "max_score": written(hits[0][0]) if hits else None}
        return 200, {"took": 1, "timed_out": False, "_shards": shards, "hits": found | {"hits": page}}

    def hit(self, index, hit, body, params):
        value, document, scope = hit
        told = {"_index": index, "_id": document["_id"], "_score": written(value)}
        if body.get("_source", True):
            told["_source"] = {name: each for name, each in document.items() if name != "_id"}
        if scope.named or scope.logged:
            named = {name: written(each) for name, each in scope.named.items()}
            scored = params.get("include_named_queries_score") == "true"
            told["matched_queries"] = named if scored else sorted(named.keys() | scope.logged.keys())
        logs = {}
        for log in aslist(body.get("ext", {}).get("ltr_log", {}).get("log_specs", [])):
            if log.keys() - {"name", "named_query", "missing_as_zero"}:
                refuse(f"[log_specs] unknown field in {log}", "x_content_parse_exception")
            if log["named_query"] not in scope.logged:
                refuse(f"No query named [{log['named_query']}] found", "illegal_argument_exception")
            logs[log["name"]] = [
                {"name": name} | ({} if each is None else {"value": written(each)})
                for name, each in scope.logged[log["named_query"]].items()
            ]
        return told | ({"fields": {"_ltrlog": [logs]}} if logs else {})

    def rescored(self, hits, rescore, page):
        if "learning_to_rank" in rescore:
            return self.ranked(hits, rescore, page)
        if rescore.keys() - {"window_size", "query"} or "query" not in rescore:
            refuse("rescore doesn't support that", "illegal_argument_exception")
        told, window = rescore["query"], rescore.get("window_size", 10)
        if extra := told.keys() - {"rescore_query", "query_weight", "rescore_query_weight", "score_mode"}:
            refuse(f"[query] unknown field [{min(extra)}]", "x_content_parse_exception")
        if window > 10_000:
            refuse("Rescore window is too large", "illegal_argument_exception")
        first, second = np.float32(told.get("query_weight", 1)), np.float32(told.get("rescore_query_weight", 1))
        out = []
        for place, (value, document, scope) in enumerate(hits):
            more = signed(told["rescore_query"], document, scope) if place < window else None
            weighted = np.float32(value) * first
            out.append([weighted if more is None else weighted + np.float32(more) * second, document, scope])
        return sorted(out, key=lambda hit: -hit[0])

    def ranked(self, hits, rescore, page):
        told, window = rescore["learning_to_rank"], rescore.get("window_size")
        if rescore.keys() != {"window_size", "learning_to_rank"} or told.keys() - {"model_id", "params"}:
            refuse("window_size is required for rescorer of type [learning_to_rank]")
        if window < page:
            refuse(f"rescorer [window_size] is too small and should be at least the value of [from + size: {page}]")
        key = ("native", told["model_id"])
        if told["model_id"] not in self.trained:
            refuse(f"Could not find trained model [{told['model_id']}]", "resource_not_found_exception", 404)
        config, names, trees = self.compiled[key]
        params = config.get("default_params", {}) | told.get("params", {})
        out = []
        for _, document, scope in hits[:window]:
            values = {}
            for each in config["feature_extractors"]:
                one = each["query_extractor"]
                needed = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", json.dumps(one["query"])))
                got = score(rendered(one["query"], params), document, Scope(self)) if needed <= params.keys() else None
                got = one.get("default_score") if got is None else got
                if got is not None:
                    values[one["feature_name"]] = float(np.float32(got))
            out.append([added(trees, names, values), document, scope])
        return sorted(out, key=lambda hit: -hit[0])


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


# Methods, path, what answers, whether it writes; the first that fits is taken.
ROUTES = [
    ("GET HEAD", r"/", "root", False),
    ("GET", r"/_nodes/_local(?:/[^/]+)?", "nodes", False),
    ("GET", r"/_cluster/settings", "cluster_settings", False),
    ("GET", r"/_license", "license", False),
    ("GET", STORE, "ltr", False),
    ("PUT POST DELETE", STORE, "ltr", True),
    ("GET", STORE + r"/_(?P<kind>featureset|model)", "listed", False),
    ("GET HEAD", STORE + rf"/_(?P<kind>featureset|model)/{NAME}", "stored", False),
    ("PUT POST DELETE", STORE + rf"/_(?P<kind>featureset|model)/{NAME}", "stored", True),
    ("POST", STORE + rf"/_featureset/{NAME}/_createmodel", "createmodel", True),
    ("GET", rf"/_ml/trained_models/{NAME}", "trained_model", False),
    ("PUT DELETE", rf"/_ml/trained_models/{NAME}", "trained_model", True),
    ("GET", rf"/_scripts/{NAME}", "script", False),
    ("PUT POST DELETE", rf"/_scripts/{NAME}", "script", True),
    ("GET POST", r"/_render/template", "render", False),
    ("GET POST", r"/(?P<index>[^/_][^/]*)/_search/template", "search_template", False),
    ("GET POST", r"/(?P<index>[^/_][^/]*)/_search", "search", False),
    ("POST", r"/(?P<index>[^/_][^/]*)/_bulk", "bulk", True),
    ("POST", r"/_bulk", "bulk", True),
    ("GET POST", r"/(?P<index>[^/_][^/]*)/_count", "count", False),
    ("POST", r"/(?P<index>[^/_][^/]*)/_refresh", "refresh", False),
    ("GET HEAD", r"/(?P<index>[^/_][^/]*)", "index", False),
    ("PUT DELETE", r"/(?P<index>[^/_][^/]*)", "index", True),
]


@contextmanager
def running(**settings):
    """A server for the time of a with block."""
    server = PluginServer(**settings).start()
    try:
        yield server
    finally:
        server.stop()
