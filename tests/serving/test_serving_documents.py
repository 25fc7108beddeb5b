"""Documents as candidates: a product by its id, by JSON that carries one, or a text of none."""

import json
import math

import pytest

from ltr.errors import CandidateError
from ltr.serving.documents import echo, read
from ltr.serving.request import MAX_ID, Candidate


def one(document, known=lambda _: False):
    return read([document], "documents", known=known)[0]


DOCUMENTS = {
    "a product_id": ("P12", Candidate("P12")),
    "one with a space before it": (" P12", Candidate(" P12")),
    "a short text": ("how big", Candidate("how big")),
    "a text of two lines": ("how\nbig", Candidate("#0")),
    "an empty text": ("", Candidate("#0")),
    "a text longer than ids": ("x" * (MAX_ID + 1), Candidate("#0")),
    "a text with a soft hyphen": ("soft\u00adly", Candidate("soft\u00adly")),
    "JSON with an id": ('{"product_id": "P12"}', Candidate("P12")),
    "JSON with id": ('{"id": "P12", "title": "Red"}', Candidate("P12")),
    "JSON with everything": (
        ' {"product_id": "P12", "score": 2, "match": {"title": 1.5}, "fields": {"a": [1]}, "vendor": {}}',
        Candidate("P12", 2.0, {"title": 1.5}, {"a": [1]}),
    ),
    "JSON with a wrong match": ('{"product_id": "P12", "match": {"title": "high"}}', Candidate("P12")),
    "JSON with a score too large": ('{"product_id": "P12", "score": 1e300}', Candidate("P12")),
    "JSON with an id of another kind": ('{"product_id": 12}', Candidate('{"product_id": 12}')),
    "JSON with an id of control characters": ('{"product_id": "\\u0000"}', Candidate('{"product_id": "\\u0000"}')),
    "JSON without an id": ('{"title": "Red"}', Candidate('{"title": "Red"}')),
    "JSON that is none": ('{"product_id": ', Candidate('{"product_id": ')),
    "JSON far too deep": ('{"a":' * 2_000, Candidate("#0")),
    "a JSON list": ('["P12"]', Candidate('["P12"]')),
    "an object": ({"product_id": "P12"}, Candidate("P12")),
    "an object with id": ({"id": "P12", "text": "Red shoes"}, Candidate("P12")),
    "product_id before id": ({"id": "1", "product_id": "P12"}, Candidate("P12")),
    "null before id": ({"product_id": None, "id": "P12"}, Candidate("P12")),
    "an object with more": ({"product_id": "P12", "score": 1, "match": {"a": 0}}, Candidate("P12", 1.0, {"a": 0.0})),
    "keys of its sender's": ({"id": "P12", "vendor": [{"deep": 1}]}, Candidate("P12")),
    "the text of a product": ({"text": "P12"}, Candidate("P12")),
    "a text with JSON": ({"text": '{"product_id":"P12"}'}, Candidate("P12")),
    "a text of none": ({"text": "how\nbig", "score": "high"}, Candidate("#0")),
}


@pytest.mark.parametrize(("document", "candidate"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_a_candidate(document, candidate):
    assert one(document) == candidate


def test_a_feature_that_did_not_match_is_missing():
    assert math.isnan(one(json.dumps({"product_id": "P12", "match": {"title": None}})).match["title"])


WRONG = {
    "a number": (12, "documents[0] is 12; give a product_id, a text"),
    "null": (None, "documents[0] is None"),
    "a bool": (True, "documents[0] is True"),
    "a list": (["P12"], "documents[0] is ['P12']"),
    "an empty object": ({}, "documents[0] names no product; give product_id, id or text"),
    "an object of other keys": ({"sku": "P12"}, "names no product"),
    "an id that is a number": ({"id": 12}, "documents[0].product_id is 12"),
    "a product_id that is a number": ({"product_id": 12}, "documents[0].product_id is 12"),
    "an empty id": ({"product_id": ""}, "documents[0].product_id has 0 characters"),
    "a text that is a number": ({"id": "P12", "text": 5}, "documents[0].text is 5"),
    "a wrong score": ({"product_id": "P12", "score": "high"}, "documents[0].score is 'high'"),
    "a wrong match": ({"product_id": "P12", "match": [1]}, "documents[0].match is [1]"),
    "a wrong value in match": ({"product_id": "P12", "match": {"a": "b"}}, "documents[0].match['a'] is 'b'"),
    "wrong fields": ({"product_id": "P12", "fields": 3}, "documents[0].fields is 3"),
}


@pytest.mark.parametrize(("document", "message"), WRONG.values(), ids=WRONG)
def test_what_its_sender_wrote_for_us_must_be_right(document, message):
    with pytest.raises(CandidateError) as caught:
        one(document)
    assert message in str(caught.value)


@pytest.mark.parametrize("documents", [None, "P12", {"0": "P12"}, 3])
def test_documents_are_a_list(documents):
    with pytest.raises(CandidateError, match=r"input is .*; give a list of texts or objects"):
        read(documents, "input", known=lambda _: False)


def test_there_are_so_many_and_no_more():
    assert len(read(["a"] * 1_000, "documents", known=lambda _: False)) == 1_000
    with pytest.raises(CandidateError, match="documents has 1,001 entries; at most 1,000 are read"):
        read(["a"] * 1_001, "documents", known=lambda _: False)


def test_a_text_that_cannot_be_an_id_has_one_that_is_no_products():
    catalogue = {"#0", "##0", "#1"}
    texts = ["a\nb", "a\nb", "a\nb"]
    found = [candidate.product_id for candidate in read(texts, "documents", known=catalogue.__contains__)]
    assert found == ["###0", "##1", "#2"]


def test_what_is_repeated_of_a_document_is_flat():
    assert echo("how big") == {"text": "how big"}
    assert echo({"text": "Red", "n": 1, "deep": [[1]], "more": {}}) == {"text": "Red", "n": 1}
