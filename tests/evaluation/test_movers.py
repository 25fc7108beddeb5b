"""The queries that moved most, and their lists side by side."""

import math

import polars as pl
import pytest

from ltr.errors import CandidateError, ConfigError, MeasureError
from ltr.evaluation import moved, side_by_side
from ltr.frames import ranked


def frame(values, name="RR"):
    return pl.DataFrame({"query_id": list(values), name: pl.Series(list(values.values()), dtype=pl.Float64)})


def run_of(**lists):
    rows = [(query, product, -rank) for query, products in lists.items() for rank, product in enumerate(products)]
    return ranked(pl.DataFrame(rows, schema=["query_id", "product_id", "score"], orient="row"))


BEFORE = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5, "e": math.nan, "f": 0.5}
AFTER = {"a": 0.7, "b": 0.5, "c": 0.0, "d": 0.3, "e": 1.0, "g": 1.0}


def test_the_largest_changes_come_first_whichever_way():
    found = moved(frame(BEFORE), frame(AFTER), "RR")
    assert found.columns == ["query_id", "before", "after", "difference"]
    assert found.rows() == [
        ("c", 0.5, 0.0, -0.5),
        ("a", 0.5, 0.7, pytest.approx(0.2)),
        ("d", 0.5, 0.3, pytest.approx(-0.2)),
    ]
    assert moved(frame(BEFORE), frame(AFTER), "RR", 1)["query_id"].to_list() == ["c"]


def test_equal_changes_stand_by_query_and_no_change_is_no_row():
    found = moved(frame({"z": 0.0, "a": 1.0, "m": 0.5}), frame({"z": 1.0, "a": 0.0, "m": 0.5}), "RR")
    assert found["query_id"].to_list() == ["a", "z"]
    assert moved(frame(BEFORE), frame(BEFORE), "RR").height == 0


def test_a_measure_that_was_not_evaluated_is_refused():
    with pytest.raises(MeasureError, match="'after' was not evaluated by 'AP'"):
        moved(frame(BEFORE), frame(AFTER), "AP")
    with pytest.raises(ConfigError, match="0 queries; give at least 1"):
        moved(frame(BEFORE), frame(AFTER), "RR", 0)


def test_lists_stand_side_by_side_with_how_far_each_product_rose():
    before, after = run_of(q=["a", "b", "c", "d"], other=["x"]), run_of(q=["d", "a", "new", "c"], other=["y"])
    found = side_by_side(before, after, "q", 3)
    assert found.columns == ["rank", "before", "after", "moved"]
    # d was at rank 4, below the top 3 that are shown
    assert found.rows() == [(1, "a", "d", 3), (2, "b", "a", -1), (3, "c", "new", None)]


def test_a_list_that_ends_early_or_is_not_there_leaves_empty_cells():
    before, after = run_of(q=["a"]), run_of(q=["b", "a"], p=["b"])
    assert side_by_side(before, after, "q").rows() == [(1, "a", "b", None), (2, None, "a", -1)]
    assert side_by_side(before, after, "p").rows() == [(1, None, "b", None)]
    with pytest.raises(CandidateError, match="neither run has a list for query 'z'"):
        side_by_side(before, after, "z")
    with pytest.raises(ConfigError, match="0 ranks"):
        side_by_side(before, after, "q", 0)


def test_grades_stand_beside_the_products_that_have_one():
    judgments = pl.DataFrame({"query_id": ["q", "q", "p"], "product_id": ["a", "c", "b"], "grade": [3.0, 0.0, 1.0]})
    found = side_by_side(run_of(q=["a", "b"]), run_of(q=["b", "c"]), "q", judgments=judgments)
    assert found.select("before_grade", "after_grade").rows() == [(3.0, None), (None, 0.0)]
