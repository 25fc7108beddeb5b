"""Lines are told apart as ``json.loads`` would, and the members asked for are what it would find."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltr.judgments.jsonbytes import padded
from ltr.judgments.scanner import KINDS, STATES, Table, scan

ANY = Table.of({"a": ("a",), "b": ("b", "c")})


def read(data, table=ANY, rows=2_048):
    """Each row's state and its members as (kind, bytes)."""
    found = []
    for chunk in scan(padded(data), table, rows=rows):
        for at, state in enumerate(chunk.states):
            members = {}
            for slot, name in enumerate(table.names):
                start, length = int(chunk.starts[at, slot]), int(chunk.lengths[at, slot])
                kind = KINDS[chunk.kinds[at, slot]]
                if kind not in ("missing", "object"):
                    members[name] = kind, chunk.values[start : start + length].tobytes()
                elif kind == "object":
                    members[name] = kind, b""
            found.append((STATES[state], members))
    return found


def states(data):
    return [state for state, _ in read(data)]


def accepted(line):
    """What the standard library says of a line, without the constants that JSON does not have."""

    def no_constant(name):
        raise ValueError(name)

    try:
        value = json.loads(line.decode(), parse_constant=no_constant)
    except (ValueError, RecursionError):
        return None
    return value


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abcdé\\") | st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3), st.booleans())
def test_every_object_is_read_as_the_standard_library_reads_it(value, ascii_only):
    line = json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace")
    value = accepted(line)
    ((state, members),) = read(line)
    assert state == "whole"
    told = {"a": value.get("a", ...)} | {"b": value["b"].get("c", ...) if isinstance(value.get("b"), dict) else ...}
    for name, expected in told.items():
        kind, found = members.get(name, ("missing", b""))
        if isinstance(expected, str):
            whole = "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in expected)
            assert (kind, found.decode()) == ("text" if expected else "empty", whole)
        elif isinstance(expected, bool) or expected is None:
            assert kind == {True: "true", False: "false", None: "null"}[expected]
        elif isinstance(expected, int | float):
            assert float(found) == expected
            assert (kind == "integer") == isinstance(expected, int)
        elif isinstance(expected, list):
            assert kind == "array"
            assert json.loads(found) == expected
        else:
            assert kind == ("object" if isinstance(expected, dict) else "missing")


@settings(deadline=None, max_examples=400)
@given(
    st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2),
    st.integers(0, 400),
    st.sampled_from([b"", b"x", b'"', b"{", b"}", b",", b"\\", b"0", b"\x01", b"\xff", b"tru", b":"]),
)
@example({"a": 1}, 6, b"x")
def test_a_line_that_is_cut_or_spoilt_is_refused_as_the_standard_library_refuses_it(value, cut, put):
    line = json.dumps(value).encode()
    at = cut % (len(line) + 1)
    for spoilt in (line[:at] + put, line[:at] + put + line[at:], line[:at] + line[at + 1 :]):
        if not spoilt.strip(b" \t\r") or spoilt.strip().startswith(b"[") or spoilt.strip().endswith((b",", b"]")):
            continue  # blank lines and arrays over lines have rules of their own
        try:
            expected = accepted(spoilt)
        except UnicodeDecodeError:
            expected = None
        found = states(spoilt)
        assert found != [], spoilt
        if isinstance(expected, dict):
            assert found == ["whole"], spoilt
        elif expected is None and spoilt.strip() != b"null":
            assert found[0] in ("truncated", "malformed", "not_utf8", "not_an_object"), spoilt
        else:
            assert found == ["not_an_object"], spoilt


@pytest.mark.parametrize(
    ("line", "state"),
    {
        b'{"a": "x': "truncated",
        b'{"a": ': "truncated",
        b'{"a": 1': "truncated",
        b'{"a"': "truncated",
        b"{": "truncated",
        b'{"a": 1}}': "malformed",
        b'{"a": 1} {"a": 2}': "malformed",
        b'{"a": 01}': "malformed",
        b'{"a": 1.}': "malformed",
        b'{"a": 1e}': "malformed",
        b'{"a": NaN}': "malformed",
        b'{"a": "\\x"}': "malformed",
        b'{"a": "\\u12g4"}': "malformed",
        b'{"a": "\t"}': "malformed",
        b"{'a': 1}": "malformed",
        b'{"a": 1,}': "malformed",
        b'{"a" 1}': "malformed",
        b'{"a": [1,]}': "malformed",
        b"hello": "malformed",
        b"7": "not_an_object",
        b"null": "not_an_object",
        b'"text"': "not_an_object",
        b"[[1]]": "not_an_object",
        b"[1, 2]": "not_an_object",
        b'{"a": "\xff"}': "not_utf8",
        b'{"\xed\xa0\x80": 1}': "not_utf8",
        b'{"a": "\xf4\x90\x80\x80"}': "not_utf8",
        b'{"a": "\xc0\xaf"}': "not_utf8",
        b'{"a": "\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9"}': "whole",
        b'{"a": -0.5e+3}': "whole",
        b"{}": "whole",
        b" \t{ } \r": "whole",
    }.items(),
)
def test_what_is_wrong_with_a_line_is_named(line, state):
    assert states(line) == [state]
    # Its neighbours are none the worse for it.
    assert states(b'{"a": 1}\n' + line + b'\n{"a": 2}') == ["whole", state, "whole"]


def test_nesting_has_a_bound():
    assert states(b'{"a": ' + b"[" * 255 + b"]" * 255 + b"}") == ["whole"]
    assert states(b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}") == ["malformed"]


def test_blank_lines_are_no_rows_and_lines_are_counted():
    found = list(scan(padded(b'\n{"a": 1}\n\r\n  \n{"a": 2}\n'), ANY))
    assert found[0].lines.tolist() == [1, 4]
    assert found[0].line_count == 5


def test_an_array_is_a_row_an_object_on_one_line_or_spread_over_lines():
    one = read(b'[{"a": 1}, {"a": 2} ,{"a": 3}]')
    many = read(b'[\n{"a": 1},\n  {"a": 2},\n{"a": 3}\n]\n')
    glued = read(b'[{"a": 1},\n{"a": 2},\n{"a": 3}]')
    assert one == many == glued == [("whole", {"a": ("integer", str(n).encode())}) for n in (1, 2, 3)]
    assert read(b"[]") == []


def test_the_whole_objects_of_a_broken_array_are_kept():
    assert [state for state, _ in read(b'[{"a": 1}, {"a": 2}, {"a"')] == ["whole", "whole", "truncated"]
    assert [state for state, _ in read(b'[{"a": 1}, 7, {"a": 2}]')] == ["whole", "not_an_object"]
    assert [state for state, _ in read(b'[{"a": 1}] x')] == ["whole", "malformed"]


def test_a_wrapper_and_an_escaped_key_lead_to_the_same_members():
    table = Table.of({"a": ("a",), "deep": ("b", "c")}, wrapper="_source")
    plain = read(b'{"a": "x", "b": {"c": 1, "d": {"c": 9}}}', table)
    assert read(b'{"_id": "1", "_source": {"a": "x", "b": {"c": 1}}}', table) == plain
    assert read(b'{"\\u0061": "x", "b": {"\\u0063": 1}}', table) == plain


def test_the_last_of_two_equal_keys_counts_as_the_standard_library_has_it():
    assert read(b'{"a": 1, "a": "x"}') == [("whole", {"a": ("text", b"x")})]


def test_a_lone_surrogate_becomes_the_replacement_character():
    found = read(rb'{"a": "\ud83d\ude00|\ud83d|\ude00\ud83d\u0041"}')
    assert found[0][1]["a"][1].decode() == "😀|\ufffd|\ufffd\ufffdA"


def test_long_keys_that_begin_alike_are_told_apart():
    table = Table.of({name: (name,) for name in ("query_response_id", "query_response_hit_ids", "query_re")})
    found = read(b'{"query_response_id": 1, "query_response_hit_ids": 2, "query_re": 3, "query_response_iD": 4}', table)
    assert [value for _, value in found[0][1].values()] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64])
def test_a_handful_of_rows_at_a_time_is_the_same_as_all_at_once(rows):
    data = b'{"a": 1}\n[{"a": 2},{"a": 3},{"a": 4},{"a": 5}]\nbad\n{"a": "six", "b": {"c": [6]}}\n' * 3
    assert read(data, rows=rows) == read(data)


def test_strings_of_every_length_around_the_vectors_width_are_whole():
    lines = [json.dumps({"a": "x" * size + "é" * (size % 3)}, ensure_ascii=False).encode() for size in range(140)]
    found = read(b"\n".join(lines))
    assert [members["a"][1].decode() for _, members in found] == [json.loads(line)["a"] for line in lines if line] or (
        found[0][1]["a"] == ("empty", b"")
    )
    assert np.all([state == "whole" for state, _ in found])
