from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.datasets.columns import guess, text, typed
from ltr.errors import DataError

GUESSES = {
    "prices": (["12.50", "7", "-1e3", ".5"], "number"),
    "numbers with gaps": (["1", None, "nan"], "number"),
    "an infinite price among prices": (["1", "inf"], "number"),
    "codes with a leading zero": (["007", "100"], "keyword"),
    "article numbers too long for a float": (["1234567890123456", "12"], "keyword"),
    "truths": (["true", "FALSE", "true"], "boolean"),
    "days": (["2026-01-31", "2026-02-01"], "time"),
    "moments": (["2026-01-31T10:00:00Z", "2026-02-01 10:00"], "time"),
    "days that are none": (["2026-13-45", "2026-02-01"], "keyword"),
    "brands": (["Acme Corp", "Acme Corp", "Zeta", "Zeta"], "keyword"),
    "addresses": ([f"https://shop/{n}.jpg" for n in range(20)], "keyword"),
    "titles": (["red shoe", "blue shoe", "green hat"], "text"),
    "long texts that repeat": (["a shoe for every day of the week"] * 4, "text"),
    "nothing": ([None, None], "keyword"),
}


@pytest.mark.parametrize(("values", "kind"), GUESSES.values(), ids=GUESSES)
def test_the_type_of_strings_is_guessed_from_their_values(values, kind):
    assert guess(pl.Series(values, dtype=pl.String), strings_only=True) == kind


DTYPES = {
    "number": pl.Series([1, 2]),
    "boolean": pl.Series([True]),
    "time": pl.Series([datetime(2026, 1, 1)]),
    "keyword": pl.Series([["a", "b"], []]),
    "vector": pl.Series([[0.5, 1.0]]),
    None: pl.Series([{"width": 1}]),
}


@pytest.mark.parametrize(("kind", "column"), DTYPES.items())
def test_a_typed_column_is_what_its_type_says(kind, column):
    assert guess(column) == kind


def test_numeric_strings_are_numbers_only_where_the_file_has_no_numbers_of_its_own():
    column = pl.Series(["42", "43"])
    assert (guess(column, strings_only=True), guess(column)) == ("number", "keyword")


@given(st.lists(st.integers(1 - 2**53, 2**53 - 1) | st.none(), min_size=1))
@settings(deadline=None)
def test_identifiers_that_gaps_made_floats_are_written_as_integers(values):
    floats = pl.Series([None if value is None else float(value) for value in values], dtype=pl.Float64)
    assert text(floats).to_list() == [None if value is None else str(value) for value in values]


CONVERTED = {
    "number from strings": ("number", [" 1.5", "", "nan", "2e3"], [1.5, None, None, 2000.0]),
    "number from floats": ("number", [1.0, float("nan")], [1.0, None]),
    "number from truths": ("number", [True, False], [1.0, 0.0]),
    "boolean": ("boolean", ["yes", "0", "True", ""], [True, False, True, None]),
    "keyword from numbers": ("keyword", [7.0, None], ["7", None]),
    "text that is blank": ("text", ["a b", "  "], ["a b", None]),
    "lists with blanks": ("keyword", [["a", "", None], []], [["a"], None]),
    "vector": ("vector", [[1, 2], None], [[1.0, 2.0], None]),
    "time": (
        "time",
        ["2026-01-31", "2026-01-31T12:00:00+02:00", None],
        [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 1, 31, 10, tzinfo=UTC), None],
    ),
    "time from datetimes": ("time", [datetime(2026, 1, 31)], [datetime(2026, 1, 31, tzinfo=UTC)]),
    "time from days": ("time", [datetime(2026, 1, 31).date()], [datetime(2026, 1, 31, tzinfo=UTC)]),
}


@pytest.mark.parametrize(("kind", "values", "wanted"), CONVERTED.values(), ids=CONVERTED)
def test_values_become_what_the_field_is_declared(tmp_path, kind, values, wanted):
    frame = pl.DataFrame({"field": values})
    assert typed(frame, {"field": kind}, path=tmp_path / "t.parquet")["field"].to_list() == wanted


REFUSED = {
    "an infinite number": ("number", [1.0, float("inf")], "row 2, column 'field': is infinite; leave it empty"),
    "an infinite number in text": ("number", ["1", "-Infinity"], "row 2, column 'field': is infinite"),
    "no number": ("number", ["1", "1,299.00"], "row 2, column 'field': '1,299.00' is not a number; write 1299.50"),
    "a list as a number": ("number", [[1]], "is List.*, not a number"),
    "no boolean": ("boolean", ["yes", "perhaps"], "row 2, .*'perhaps' is not a boolean; write true or false"),
    "no time": ("time", ["2026-01-31", "yesterday"], "row 2, .*'yesterday' is not a time; write 2026-01-31"),
    "an object as text": ("text", [{"a": 1}], "a text or keyword is a string or a list of strings"),
    "lists of lists": ("keyword", [[["a"]]], "is a list of lists"),
    "no vector": ("vector", ["1 2"], "is String, not a list of numbers"),
    "vectors of two lengths": ("vector", [[1.0], [1.0, 2.0]], "row 2, .*a vector of another length"),
    "a vector with a gap": ("vector", [[1.0, 2.0], [1.0, None]], "missing or infinite values"),
    "an infinite vector": ("vector", [[1.0, float("nan")]], "missing or infinite values"),
}


@pytest.mark.parametrize(("kind", "values", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_cannot_be_converted_is_named(tmp_path, kind, values, message):
    with pytest.raises(DataError, match=message):
        typed(pl.DataFrame({"field": values}), {"field": kind}, path=tmp_path / "t.parquet")


def test_floats_too_large_to_be_integers_stay_as_they_are():
    assert text(pl.Series([1e300, 7.0])).to_list() == ["1e+300", "7.0"]
