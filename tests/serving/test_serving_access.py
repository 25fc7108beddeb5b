"""Keys and request ids: who is let in, and what is taken over from a caller."""

import hmac
import re

import pytest

from ltr.serving.access import Keys, header, request_id

FIRST, SECOND = "first-of-two-keys", "second-of-two-keys"

CARRIED = {
    "bearer": ([(b"authorization", b"Bearer " + FIRST.encode())], True),
    "the other one": ([(b"authorization", b"Bearer " + SECOND.encode())], True),
    "scheme in lower case": ([(b"authorization", b"bearer " + FIRST.encode())], True),
    "spaces around": ([(b"authorization", b"Bearer   " + FIRST.encode() + b" ")], True),
    "x-api-key": ([(b"x-api-key", FIRST.encode())], True),
    "right in one of two places": ([(b"x-api-key", b"no"), (b"authorization", b"Bearer " + FIRST.encode())], True),
    "none": ([], False),
    "empty": ([(b"x-api-key", b""), (b"authorization", b"")], False),
    "scheme alone": ([(b"authorization", b"Bearer")], False),
    "without a scheme": ([(b"authorization", FIRST.encode())], False),
    "another scheme": ([(b"authorization", b"Basic " + FIRST.encode())], False),
    "a beginning": ([(b"x-api-key", FIRST[:-1].encode())], False),
    "one longer": ([(b"x-api-key", FIRST.encode() + b"x")], False),
    "other capitals": ([(b"x-api-key", FIRST.upper().encode())], False),
    "both together": ([(b"authorization", f"Bearer {FIRST} {SECOND}".encode())], False),
    "not ASCII": ([(b"x-api-key", b"\xff\xfe")], False),
    "in another header": ([(b"x-key", FIRST.encode())], False),
}


@pytest.mark.parametrize(("headers", "allowed"), CARRIED.values(), ids=CARRIED)
def test_a_key_opens_where_it_is_whole_and_in_its_place(headers, allowed):
    assert Keys([FIRST, SECOND]).allow(headers) is allowed


def test_without_keys_it_is_open_to_all():
    assert Keys([]).allow([])
    assert Keys(()).allow([(b"x-api-key", b"any")])


def test_a_key_that_was_replaced_opens_nothing():
    assert not Keys([SECOND]).allow([(b"x-api-key", FIRST.encode())])


@pytest.mark.parametrize("given", [FIRST, SECOND, "neither of the two"])
def test_every_key_is_compared_and_all_in_constant_time(given, monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((len(one), len(other)))
        return same(one, other)

    same = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    Keys([FIRST, SECOND]).allow([(b"x-api-key", given.encode())])
    # Digests, so not even the length of a key makes a difference.
    assert compared == [(32, 32), (32, 32)]


def test_the_first_header_of_a_name_counts():
    assert header([(b"a", b"1"), (b"b", b"2"), (b"b", b"3")], b"b") == b"2"
    assert header([], b"b") is None


@pytest.mark.parametrize("given", ["a", "x" * 64, "4bf92f35-77b3.0_1:9"])
def test_a_request_id_that_a_log_can_carry_is_kept(given):
    assert request_id([(b"x-request-id", given.encode())]) == given


@pytest.mark.parametrize("given", [b"", b"x" * 65, b"a b", b"a\n", b'a"', b"\xe9", "é".encode(), b"<script>"])
def test_any_other_is_replaced(given):
    made = request_id([(b"x-request-id", given)])
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != request_id([])
