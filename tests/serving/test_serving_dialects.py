"""Other services' words, as their callers send them, and answers that their callers can read."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import CandidateError
from ltr.serving import Answer, Reason
from ltr.serving.answer import as_received
from ltr.serving.dialects import DIALECTS, TEI
from ltr.serving.native import Signed
from made.http_service import Service

SIGNED = Signed("r-1", "0123456789ab", 1.5)
COHERE, ELASTIC = DIALECTS["/v2/rerank"], DIALECTS["/elastic/rerank"]
PARSERS = {"cohere": (COHERE, "documents"), "elastic": (ELASTIC, "input"), "tei": (TEI, "texts")}


@pytest.fixture(scope="module")
def service(counted):
    with Service(counted) as service:
        yield service


def parse(dialect, value):
    return dialect.parse(value, known=lambda _: False)


def reversed_answer(request, reason=Reason.NONE):
    """The candidates from the last to the first."""
    results = as_received(request)
    turned = zip(reversed(results), results, strict=True)
    return Answer(tuple(one._replace(rank=at.rank, score=at.score) for one, at in turned), reason)


def test_cohere_reads_as_its_callers_expect():
    request, shape = parse(
        DIALECTS["/v1/rerank"],
        {
            "model": "…", "query": "red shoes", "documents": ["p1", {"text": "a red hat"}, "p3"], "top_n": 2,
            "return_documents": True, "rank_fields": ["title"], "max_chunks_per_doc": 10, "max_tokens_per_doc": 4096,
        },
    )  # fmt: skip
    assert request.query == "red shoes"
    assert [one.product_id for one in request.candidates] == ["p1", "a red hat", "p3"]
    assert DIALECTS["/v1/rerank"].render(reversed_answer(request), shape, SIGNED) == {
        "id": "r-1",
        "results": [
            {"index": 2, "relevance_score": 1.0, "document": {"text": "p3"}},
            {"index": 1, "relevance_score": 2 / 3, "document": {"text": "a red hat"}},
        ],
        "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
        "usage": {"total_tokens": 0},
        "degraded": False,
        "reason": "",
        "request_id": "r-1",
        "model": "0123456789ab",
        "took_ms": 1.5,
    }


def test_the_second_version_says_so():
    request, shape = parse(COHERE, {"query": "q", "documents": ["p1"]})
    told = COHERE.render(Answer(as_received(request), Reason.DEADLINE), shape, SIGNED)
    assert told["meta"]["api_version"] == {"version": "2"}
    assert (told["degraded"], told["reason"]) == (True, "deadline")
    assert told["results"] == [{"index": 0, "relevance_score": 1.0}]


@pytest.mark.parametrize(("top_n", "told"), [(None, 3), (0, 3), (1, 1), (2.0, 2), (3, 3), (99, 3), (10**30, 3)])
def test_top_n_cuts_after_ranking(top_n, told):
    request, shape = parse(COHERE, {"query": "q", "documents": ["p1", "p2", "p3"], "top_n": top_n})
    assert len(request.candidates) == 3
    results = COHERE.render(reversed_answer(request), shape, SIGNED)["results"]
    assert [one["index"] for one in results] == [2, 1, 0][:told]


@pytest.mark.parametrize("key", ["documents", "input"])
def test_elastic_gets_every_score_whatever_top_n_says(key):
    request, shape = parse(
        ELASTIC, {"model": "prod", "query": "usb cable", key: ["p1", "p2", "p3"], "top_n": 1, "return_documents": True}
    )
    told = ELASTIC.render(reversed_answer(request), shape, SIGNED)
    assert [one["index"] for one in told["results"]] == [2, 1, 0]
    assert [one["document"]["text"] for one in told["results"]] == ["p3", "p2", "p1"]
    assert told["reason"] == ""


def test_elastics_arithmetic_keeps_the_order():
    scores = Answer(as_received(parse(ELASTIC, {"query": "q", "input": ["p"] * 1_000})[0])).descending
    assert all(0 < score <= 1 for score in scores)
    rewritten = [max(score, 0) + min(math.exp(score), 1) for score in scores]
    assert rewritten == sorted(set(rewritten), reverse=True)


def test_tei_is_a_list():
    request, shape = parse(
        TEI, {"query": "q", "texts": ["p1", "p2"], "raw_scores": False, "return_text": True, "truncate": False}
    )
    told = TEI.render(reversed_answer(request), shape, SIGNED)
    assert told == [{"index": 1, "score": 1.0, "text": "p2"}, {"index": 0, "score": 0.5, "text": "p1"}]
    request, shape = parse(TEI, {"query": "q", "texts": [{"product_id": "p1"}, "p2"]})
    assert TEI.render(reversed_answer(request), shape, SIGNED) == [
        {"index": 1, "score": 1.0},
        {"index": 0, "score": 0.5},
    ]


# Literally as the engines send them (formats.md 3.1 to 3.4).
PROBE = b'{"model":"prod","query":"test query","documents":["how big"]}'
OPENSEARCH = b'{ "documents": ["p3","p1","usb cable"], "query": "usb cable", "model": "prod", "top_n": 3 }'
KEY_FIELD = json.dumps(
    {"query": "usb cable", "input": [json.dumps({"product_id": "p1", "match": {"title": 2.5}}), "p2", "none\nsuch"]}
).encode()


@pytest.mark.parametrize("path", ["/elastic/rerank", "/v1/rerank", "/v2/rerank"])
def test_the_set_up_probe_of_elastic_gets_its_one_score(service, path):
    told = service.send(path, PROBE).json()
    assert told["results"] == [{"index": 0, "relevance_score": 1.0}]
    assert not told["degraded"]


def test_the_connector_of_opensearch_gets_as_many_as_it_sent(service):
    results = service.send("/v1/rerank", OPENSEARCH).json()["results"]
    assert sorted(one["index"] for one in results) == [0, 1, 2]


def test_one_field_can_carry_the_id_and_the_features(service):
    results = service.send("/elastic/rerank", KEY_FIELD).json()["results"]
    assert sorted(one["index"] for one in results) == [0, 1, 2]


def test_rerank_speaks_tei_where_there_are_texts_and_no_candidates(service):
    assert service.post("/rerank", {"query": "shoe", "texts": ["p1", "p2"]}).json()[0]["score"] == 1.0
    both = service.post("/rerank", {"query": "shoe", "texts": ["p1"], "candidates": ["p2"]})
    assert (both.status_code, "texts" in both.json()["error"]) == (422, True)


def test_all_dialects_have_the_order_of_our_own(service):
    ids = [f"p{at}" for at in range(24)]
    own = [
        one["product_id"]
        for one in service.post("/rerank", {"query": "red shoe 7", "candidates": ids}).json()["results"]
    ]
    for path, body in {
        "/v1/rerank": {"documents": ids},
        "/v2/rerank": {"documents": [{"id": one, "text": "of no matter"} for one in ids]},
        "/elastic/rerank": {"input": [json.dumps({"product_id": one}) for one in ids]},
    }.items():
        results = service.post(path, {"query": "red shoe 7", **body}).json()["results"]
        assert [ids[one["index"]] for one in results] == own
    told = service.post("/rerank", {"query": "red shoe 7", "texts": ids}).json()
    assert [ids[one["index"]] for one in told] == own
    assert own != ids


WRONG_KINDS = {"null": None, "number": 3, "float": 2.5, "bool": True, "text": "x", "list": [1], "object": {"a": 1}}
# What each key takes; anything else is an error that names the key.
TAKES = {
    "query": {"text"},
    "documents": {},
    "input": {},
    "texts": {},
    "top_n": {"null", "number"},
    "return_documents": {"null", "bool"},
    "return_text": {"null", "bool"},
    "deadline_ms": {"null", "number", "float"},
}
KEYS = [
    *(("/v1/rerank", key) for key in ("query", "documents", "top_n", "return_documents", "deadline_ms")),
    *(("/v2/rerank", key) for key in ("query", "documents", "top_n", "return_documents", "deadline_ms")),
    *(("/elastic/rerank", key) for key in ("query", "input", "top_n", "return_documents", "deadline_ms")),
    *(("/rerank", key) for key in ("query", "texts", "return_text", "deadline_ms")),
]
LISTS = {"/v1/rerank": "documents", "/v2/rerank": "documents", "/elastic/rerank": "input", "/rerank": "texts"}


@pytest.mark.parametrize(("path", "key"), KEYS)
@pytest.mark.parametrize("kind", WRONG_KINDS)
def test_a_value_of_the_wrong_kind_is_named(service, path, key, kind):
    value = {"query": "shoe", LISTS[path]: ["p1"], key: WRONG_KINDS[kind]}
    answer = service.post(path, value)
    if kind in TAKES[key]:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422
        assert key in answer.json()["error"] or (key == "input" and "documents" in answer.json()["error"])


@pytest.mark.parametrize(("dialect", "key"), PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"query": "q"}], ids=repr)
def test_what_is_no_request_is_said_to_be_none(dialect, key, value):
    with pytest.raises(CandidateError, match=r"the request (is|lacks)"):
        parse(dialect, value)


@pytest.mark.parametrize("top_n", [-1, 2.5, "3", True, -1e300])
def test_top_n_is_a_number_of_results(top_n):
    with pytest.raises(CandidateError, match=r"top_n is .*; give a whole number of results"):
        parse(COHERE, {"query": "q", "documents": [], "top_n": top_n})


TEXTS = st.sampled_from(
    [*(f"p{at}" for at in range(6)), "gone", "how\nbig", "", '{"product_id":"p2"}', "x" * 600]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DOCUMENTS = TEXTS | st.fixed_dictionaries(
    {"text": TEXTS},
    optional={"id": st.sampled_from(["p1", "p9", "gone"]), "vendor": st.integers() | st.lists(st.none())},
)


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(LISTS)),
    st.lists(DOCUMENTS, max_size=12),
    st.sampled_from(["red shoe", "", "hat 7", "靴"]),
    st.none() | st.integers(0, 15),
    st.booleans(),
    st.booleans(),
)
def test_every_dialect_answers_with_a_permutation(service, path, documents, query, top_n, returned, off):
    service.real.off = off
    try:
        keys = {"return_documents": returned, "return_text": returned, **({} if top_n is None else {"top_n": top_n})}
        answer = service.post(path, {"query": query, LISTS[path]: documents, **keys})
    finally:
        service.real.off = False
    assert answer.status_code == 200
    assert answer.headers.get("X-Degraded") == ("switched_off" if off and documents else None)
    told = answer.json()
    results = told if path == "/rerank" else told["results"]
    cut = top_n if top_n and path in ("/v1/rerank", "/v2/rerank") else len(documents)
    places = [one["index"] for one in results]
    assert len(set(places)) == len(places) == min(cut, len(documents))
    assert set(places) <= set(range(len(documents)))
    assert cut < len(documents) or sorted(places) == list(range(len(documents)))
    scores = [one.get("relevance_score", one.get("score")) for one in results]
    assert scores == sorted(set(scores), reverse=True)
    assert all(0 < score <= 1 for score in scores)
    if off:
        assert places == sorted(places)
    if returned:
        texts = [one["text"] if isinstance(one, dict) else one for one in documents]
        assert [one.get("text", one.get("document", {}).get("text")) for one in results] == [texts[at] for at in places]
