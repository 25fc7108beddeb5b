"""Texts, numbers, times and elements come out of lines as other parsers have them."""

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.judgments.columns import BAD, EPOCH, FINE, NO_ZONE, Table, Wanted, columns, padded

TABLE = Table.of({"id": ("id",), "at": ("at",), "n": ("n",), "ids": ("ids",), "other": ("other",)})
MOMENT = datetime(2026, 11, 21, 6, 35, 29, 123_456, UTC)
MICROSECONDS = (MOMENT - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def read(*records, unit=""):
    wanted = Wanted(TABLE, texts={"id": [0, 4]}, codes={"id": 0}, integers={"n": 2}, instant=1, unit=unit, arrays=[3])
    return columns(padded("\n".join(json.dumps(record) for record in records).encode()), wanted)


def instant(value, unit=""):
    found, state = read({"at": value}, unit=unit).instants
    return found[0], state[0]


@settings(deadline=None, max_examples=200)
@given(
    st.datetimes(min_value=datetime(1600, 1, 1), max_value=datetime(2300, 1, 1)),
    st.sampled_from([None, 0, 330, -480, 60, 845]),
    st.sampled_from(["auto", "seconds", "milliseconds", "microseconds", "minutes"]),
    st.sampled_from("T "),
)
def test_times_are_those_of_the_standard_library(moment, offset, precision, between):
    zone = None if offset is None else timezone(timedelta(minutes=offset))
    text = moment.replace(tzinfo=zone).isoformat(between, timespec=precision)
    expected = datetime.fromisoformat(text)
    expected = expected if zone else expected.replace(tzinfo=UTC)
    microseconds = (expected - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert instant(text) == (microseconds, FINE if zone else NO_ZONE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T06:35:29.123456Z", (MICROSECONDS, FINE)),
        ("2026-11-21T06:35:29.123456789z", (MICROSECONDS, FINE)),
        ("2026-11-21T07:35:29,123456+0100", (MICROSECONDS, FINE)),
        ("2026-11-21T05:35:29.123456-01", (MICROSECONDS, FINE)),
        ("2026-11-21", (MICROSECONDS // 86_400_000_000 * 86_400_000_000, NO_ZONE)),
        (MICROSECONDS // 10**6, (MICROSECONDS // 10**6 * 10**6, EPOCH)),
        (MICROSECONDS // 10**3, (MICROSECONDS // 10**3 * 10**3, EPOCH)),
        (MICROSECONDS, (MICROSECONDS, EPOCH)),
        (MICROSECONDS * 1_000, (MICROSECONDS, EPOCH)),
        (str(MICROSECONDS // 10**3), (MICROSECONDS // 10**3 * 10**3, EPOCH)),
        (1_717_527_762.5, (1_717_527_762_500_000, EPOCH)),
        (None, (0, 0)),
        ("", (0, 0)),
        *(
            (value, (0, BAD))
            for value in (
                *(
                    "yesterday",
                    "2026-13-01",
                    "2026-00-01",
                    "2026-11-32",
                    "2026-11-21T25:00",
                    "2026-11-21T06:61",
                    "21.11.2026",
                ),
                *(
                    "2026-11-21T06:35:29Zx",
                    "2026-11-21T06:35:29+xx",
                    "2026-11-21T",
                    "2026-11-21T06",
                    -5,
                    True,
                    {"a": 1},
                    [1],
                ),
            )
        ),
    ],
    ids=str,
)
def test_times_in_every_form_that_logs_have(value, expected):
    assert instant(value) == expected


def test_a_unit_that_is_given_settles_what_a_number_counts():
    assert instant(5_000, "ms") == (5_000_000, EPOCH)
    assert instant(5_000, "s") == instant(5_000) == (5_000_000_000, EPOCH)
    assert instant(5_000, "us") == (5_000, EPOCH)
    assert instant(5_000, "ns") == (5, EPOCH)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, (int(value), FINE)) for value in (0, 7, -3, 10**17, "12", "-4")),
        *((value, (3, FINE)) for value in (3.0, "3.000")),
        *((value, (0, BAD)) for value in (3.5, "x")),
        *((value, (0, BAD)) for value in (10**18, True, {"index": 1}, [1], "3 ")),
        *((value, (0, 0)) for value in (None, "")),
    ],
    ids=str,
)
def test_whole_numbers_are_read_from_numbers_and_texts(value, expected):
    found, state = read({"n": value}).integers["n"]
    assert (found[0], state[0]) == expected


def test_a_text_is_that_of_the_first_slot_that_has_one_and_empty_is_null():
    found = read(
        {"id": "a", "other": "b"}, {"id": "", "other": "b"}, {"id": 7}, {"id": {}, "other": "ü"}, {"id": None}, {}
    )
    texts = found.texts((["id"], None))[0]["id"]
    assert texts.to_list() == ["a", "b", "7", "ü", None, None]
    assert found.texts((["id"], np.array([3, 0])))[0]["id"].to_list() == ["ü", "a"]
    hashes = found.hashes["id"]
    assert hashes[4] == hashes[5] == 0
    assert len(set(hashes[:4].tolist())) == 4
    assert min(hashes[:4]) > 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=20), max_size=300))
def test_equal_texts_have_equal_hashes_and_codes(texts):
    found = read(*({"id": text} for text in texts))
    whole = ["".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text) for text in texts]
    codes, names = found.codes["id"]
    assert [names[code] if code >= 0 else "" for code in codes] == whole
    assert len({*found.hashes["id"].tolist()}) == len({*whole})


def test_elements_are_ranked_and_only_texts_and_numbers_are_ids():
    found = read(
        {"ids": ["a", 'b\n"é', 3, None, {"x": ["deep", "}"]}, [1, 2], -2.5, "", True, "z"]},
        {"ids": []},
        {"ids": "a"},
        {"ids": ["q"]},
    )
    rows = found.elements.select("row", "rank", "text").rows()
    expected = ["a", 'b\n"é', "3", None, None, None, "-2.5", None, None, "z"]
    assert rows == [*((0, rank, text) for rank, text in enumerate(expected, 1)), (3, 1, "q")]
    own = read({"id": "q"}).hashes["id"][0]
    assert found.elements["hash"][-1] == own


def test_a_block_of_more_rows_than_were_guessed_grows():
    found = columns(
        padded(b'{"id":1}\n' * 5_000), Wanted(TABLE, texts={"id": [0]}, codes={"id": 0}, integers={}, instant=1)
    )
    assert len(found.states) == found.line_count == 5_000
    assert found.texts((["id"], None))[0]["id"].to_list() == ["1"] * 5_000


def test_an_empty_block_has_no_rows():
    found = read()
    assert len(found.states) == 0
    assert found.elements.is_empty()
    assert found.texts((["id"], None))[0].height == 0
