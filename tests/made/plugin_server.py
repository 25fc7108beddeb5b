"""A local HTTP server that answers as an engine with a ranking plugin, or with Elastic's native one, would.

It stands in for what the minimal Elasticsearch of the tests lacks (``_ltr``, machine learning, Mustache), replaying sections 1
and 2 of formats.md; a genuine plugin it is not. Whatever it does not know it refuses. Requests that write are kept in
``writes``; ``fail`` makes the n-th of those to come fail, ``cut`` does it and loses the answer.

    server = PluginServer(flavour="opensearch", version="3.8.0", missing="missing")
    engine = connect(server.url)
"""

import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from made.plugin_bodies import feature_set, filtered, parsed, trained
from made.plugin_hits import Searching
from made.plugin_search import Refused, compiled, refuse, rendered

__all__ = ["PluginServer", "running"]

STORE = r"/_ltr(?:/(?P<store>(?!_(?:featureset|feature|model)(?:/|$))[^/]+))?"
NAME = r"(?P<name>[^/]+)"


class PluginServer(Searching):
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
