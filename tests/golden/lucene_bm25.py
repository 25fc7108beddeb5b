"""Writes lucene_bm25.json: Lucene's BM25, term by term, and its standard tokens, as a running Elasticsearch explains them.

    python tests/golden/lucene_bm25.py http://localhost:9200

Titles stay within 40 terms, up to which Lucene stores a field's length exactly. Elasticsearch multiplies each score by
k₁ + 1 = 2.2 (its LegacyBM25Similarity); explain shows that factor as part of ``boost`` and it is kept apart here.
The index ``ltr-golden`` is made and removed again.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

INDEX = "ltr-golden"
MAPPINGS = {"properties": {"title": {"type": "text", "analyzer": "standard"}, "brand": {"type": "keyword"}}}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "p01": {"title": "red running shoe"},
    "p02": {"title": "red red red shoe for running in the rain"},
    "p03": {"title": "Blue Running-Shoes, size 42.5"},
    "p04": {"title": "rain jacket"},
    "p05": {"title": "jacket jacket jacket jacket jacket jacket jacket jacket"},
    "p06": {"title": "Café au lait bowl, Straßburg style"},
    "p07": {"title": "the men's waterproof jacket with a red hood and red cuffs"},
    "p08": {"title": "東京タワー puzzle 1,000 pieces"},
    "p09": {"title": "हिन्दी शब्दकोश"},
    "p10": {"brand": "a product without the field"},
    "p11": {"title": ""},
    "p12": {"title": " ".join(["shoe"] * 3 + [f"word{number}" for number in range(36)] + ["rain"])},
    "p13": {"title": "shoe"},
}

QUERIES = {
    "one term": "shoe",
    "one rare term": "hood",
    "two terms": "red shoe",
    "three terms": "red running jacket",
    "a repeated term": "red red shoe",
    "three times one term": "jacket jacket jacket",
    "an absent term": "red zeppelin",
    "nothing but absent terms": "zeppelin dirigible",
    "upper case": "RAIN Jacket",
    "a hyphen and a number": "running-shoes 42.5",
    "an apostrophe": "men's",
    "accents": "Café Straßburg",
    "kanji and katakana": "東京タワー",
    "devanagari": "हिन्दी",
    "a thousands separator": "1,000 pieces",
    "the longest title": "word7 shoe rain",
}

TEXTS = (
    "Don't stop: O'Neill's wi-fi, size 42.5, 1,000.5 m and 3D x2",
    "snake_case _ __ _private",
    "東京タワー ひらがな カタカナ・テスト 人々",
    "한국어 검색",
    "हिन्दी शब्दकोश",
    "  \t\n … — !? ",
    "Ünïted Stätes of Çedilla",
    "Привет, мир; καλημέρα κόσμε",
)


def main(server: str) -> None:
    """Index, ask, write."""
    version = next(iter(call(server, "GET", "/_nodes")["nodes"].values()))["version"]
    call(
        server, "PUT", f"/{INDEX}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": MAPPINGS}
    )
    try:
        for name, document in DOCUMENTS.items():
            call(server, "PUT", f"/{INDEX}/_doc/{name}", document)
        call(server, "POST", f"/{INDEX}/_refresh")
        golden = {
            "tool": "Elasticsearch: explain of a match query over one shard, analyzer standard",
            "version": version,
            "command": "python tests/golden/lucene_bm25.py http://localhost:9200",
            "date": datetime.date.today().isoformat(),
            "documents": DOCUMENTS,
            "queries": {name: {"query": text, "hits": hits(server, text)} for name, text in QUERIES.items()},
            "tokens": {text: tokens(server, text) for text in TEXTS},
        }
    finally:
        call(server, "DELETE", f"/{INDEX}")
    target = Path(__file__).with_suffix(".json")
    target.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def hits(server: str, text: str) -> dict[str, Any]:
    """Return product -> score and terms, best first."""
    body = {"explain": True, "size": 100, "query": {"match": {"title": {"query": text}}}}
    found = call(server, "POST", f"/{INDEX}/_search", body)["hits"]["hits"]
    return {hit["_id"]: {"score": hit["_score"], "terms": list(terms(hit["_explanation"]))} for hit in found}


def terms(node: dict[str, Any]) -> Any:
    """Walk an explanation down to its weight(field:term in doc) nodes."""
    if not (weight := re.match(r"weight\(title:(.*) in \d+\)", node["description"])):
        for child in node["details"]:
            yield from terms(child)
        return
    leaf: dict[str, float] = {}
    flatten(node, leaf)
    yield {"term": weight[1], "score": node["value"], **{name: leaf[name] for name in sorted(leaf)}}


def flatten(node: dict[str, Any], into: dict[str, float]) -> None:
    """Collect the values that explain names: 'idf, computed as …', 'dl, length of field' and so on."""
    if named := re.match(r"(?:boost|idf|tf|n|N|freq|k1|b|dl|avgdl)\b", node["description"]):
        into[named[0]] = node["value"]
    for child in node["details"]:
        flatten(child, into)


def tokens(server: str, text: str) -> list[str]:
    """Return the standard analyzer's tokens."""
    answer = call(server, "POST", "/_analyze", {"analyzer": "standard", "text": text})
    return [token["token"] for token in answer["tokens"]]


def call(server: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to the server."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(server + path, data, {"content-type": "application/json"}, method=method)) as answer:
        parsed: dict[str, Any] = json.load(answer)
        return parsed


if __name__ == "__main__":
    main(sys.argv[1])
