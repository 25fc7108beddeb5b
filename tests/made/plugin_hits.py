"""Indexes and searches of the stand-in of ``plugin_server``: documents, hits, rescores and logs (formats.md 1.6, 1.7 and 2.2)."""

import json
import re

import numpy as np

from made.plugin_bodies import aslist, parsed, written
from made.plugin_search import Scope, added, refuse, rendered, score, signed

SEARCH = {"query", "from", "size", "_source", "rescore", "ext", "track_total_hits", "sort", "aggs", "timeout"}


class Searching:
    """What the server does with documents; ``PluginServer`` has the models that rescore them."""

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
