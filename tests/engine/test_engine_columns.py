from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.engine.columns import Rows, values
from ltr.engine.mapping import EngineField

NESTED = {
    "an object": ({"brand": {"name": "Ace"}}, "brand.name", ["Ace"]),
    "a dotted key": ({"brand.name": "Ace"}, "brand.name", ["Ace"]),
    "a dotted key within an object": ({"a": {"b.c": 1}}, "a.b.c", [1]),
    "both ways at once": ({"a": {"b": 1}, "a.b": 2}, "a.b", [1, 2]),
    "an array": ({"tags": ["x", "y"]}, "tags", ["x", "y"]),
    "an array of objects": ({"p": [{"v": 1}, {"w": 2}, {"v": [3, 4]}]}, "p.v", [1, 3, 4]),
    "an array of arrays": ({"p": [[1, [2]], []]}, "p", [1, 2]),
    "nulls": ({"p": [None, {"v": None}]}, "p.v", []),
    "nothing there": ({"q": 1}, "p.v", []),
    "an object where a value should be": ({"p": {"v": {"deeper": 1}}}, "p.v", []),
    "a value where an object should be": ({"p": "flat"}, "p.v", []),
    "false and zero": ({"p": [0, False, ""]}, "p", [0, False, ""]),
}


@pytest.mark.parametrize(("source", "name", "expected"), NESTED.values(), ids=NESTED.keys())
def test_values_are_found_under_a_dotted_name(source, name, expected):
    assert values(source, name.split(".")) == expected


LEAVES = st.integers() | st.text(max_size=3) | st.booleans()


@given(st.lists(LEAVES, max_size=4), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), st.data())
def test_however_a_name_is_cut_into_keys_its_values_are_the_same(leaves, path, data):
    cuts = data.draw(st.lists(st.booleans(), min_size=len(path) - 1, max_size=len(path) - 1))
    keys = [path[0]]
    for part, cut in zip(path[1:], cuts, strict=True):
        if cut:
            keys.append(part)
        else:
            keys[-1] += f".{part}"
    source = leaves
    for key in reversed(keys):
        source = {key: source}
    assert values(source, path) == leaves


MOMENTS = {
    "a day": ("2024-02-03", datetime(2024, 2, 3, tzinfo=UTC)),
    "a year": ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
    "another zone": ("2024-02-03T01:00:00+02:00", datetime(2024, 2, 2, 23, tzinfo=UTC)),
    "milliseconds": (1_706_918_400_000, datetime(2024, 2, 3, tzinfo=UTC)),
    "milliseconds as text, with nanoseconds": ("1706918400000.5", datetime(2024, 2, 3, 0, 0, 0, 500, tzinfo=UTC)),
    "before 1970": ("-86400000", datetime(1969, 12, 31, tzinfo=UTC)),
    "beyond all calendars": ("99999999999999999", None),
    "an object": ({"y": 1}, None),
}


@pytest.mark.parametrize(("given_time", "expected"), MOMENTS.values(), ids=MOMENTS.keys())
def test_times_are_read_as_an_index_may_have_them(given_time, expected):
    frame = Rows([EngineField("at", "date")]).frame([{"_id": "1", "_source": {"at": [given_time]}}])
    assert frame["at"].to_list() == [expected]


def test_what_is_not_of_its_type_is_missing_and_counted():
    fields = [
        EngineField("price", "float"),
        EngineField("on", "boolean"),
        EngineField("at", "date"),
        EngineField("tags", "keyword"),
    ]
    rows = Rows(fields)
    frame = rows.frame(
        [
            {"_id": "1", "_source": {"price": ["9.5", 3], "on": "true", "at": "2024-02-03", "tags": [True, 7]}},
            {"_id": "2", "_source": {"price": "on request", "on": "maybe", "at": "soon", "tags": []}},
            {"_id": "3", "_source": {"price": float("inf"), "on": False, "at": 1_706_918_400_000}},
            {"_id": "4"},
        ]
    )
    assert frame["price"].to_list() == [3.0, None, None, None]  # the least, as the engine sorts
    assert frame["on"].to_list() == [True, None, False, None]
    day = datetime(2024, 2, 3, tzinfo=UTC)
    assert frame["at"].to_list() == [day, None, day, None]
    assert frame["tags"].to_list() == [["true", "7"], None, None, None]
    assert rows.unread == {"price": 2, "on": 1, "at": 1}
