import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import DataError, JudgmentError
from ltr.frames import SCHEMAS, check, groups, ranked

JUDGMENTS = {"query_id": ["q1", "q1"], "product_id": ["p1", "p2"], "grade": [2, 0], "weight": [1.0, 1.0]}
RUN = {"query_id": ["q1", "q1", "q2"], "product_id": ["p1", "p2", "p1"], "rank": [1, 2, 1], "score": [2.0, 1.0, 0.0]}
PAIRS = {"query_id": ["q1", "q1"], "product_id": ["p1", "p2"], "grade": [2, None], "weight": [1.0, 1.0]}
IMPRESSIONS = {
    "search_id": ["s1", "s1"],
    "query_id": ["q1", "q1"],
    "query": ["shoe", "shoe"],
    "product_id": ["p1", "p2"],
    "position": [1, 2],
    "shown_at": [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)] * 2,
    "clicked": [True, False],
    "add_to_cart": [False, False],
    "purchase": [False, False],
}
LAWFUL = {
    "products": {"product_id": ["p1", "p2"]},
    "queries": {"query_id": ["q1"], "query": ["shoe"]},
    "impressions": IMPRESSIONS,
    "judgments": JUDGMENTS,
    "run": RUN,
    "pairs": PAIRS,
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_lawful_frame_comes_back_under_the_declared_types(name):
    frame = check(pl.DataFrame(LAWFUL[name]), name)
    assert {column: frame.schema[column] for column in SCHEMAS[name].required} == SCHEMAS[name].required


@pytest.mark.parametrize("name", SCHEMAS)
def test_checking_twice_changes_nothing(name):
    once = check(pl.DataFrame(LAWFUL[name]), name)
    assert check(once, name).equals(once)


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_empty_frame_is_lawful(name):
    assert check(pl.DataFrame(LAWFUL[name]).clear(), name).height == 0


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_missing_column_is_named_with_those_that_are_there(name):
    for column in SCHEMAS[name].required:
        with pytest.raises(DataError, match=rf"lacks \['{column}'\]; it has"):
            check(pl.DataFrame(LAWFUL[name]).drop(column), name)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_null_is_refused_unless_the_column_may_be_empty(name):
    frame = pl.DataFrame(LAWFUL[name])
    for column in SCHEMAS[name].required:
        holed = frame.with_columns(pl.when(pl.int_range(pl.len()) > 0).then(pl.col(column)))
        if column in SCHEMAS[name].nullable or frame.height == 1:
            continue
        with pytest.raises(DataError, match=f"column '{column}' is empty in"):
            check(holed, name)


def test_columns_beyond_the_schema_are_kept_as_they_are():
    frame = check(pl.DataFrame({"product_id": [7], "price": [9.5]}), "products")
    assert frame.rows() == [("7", 9.5)]


def test_optional_columns_take_their_declared_type():
    pairs = check(pl.DataFrame({**PAIRS, "position": [1, 2]}), "pairs")
    assert pairs.schema["position"] == pl.UInt16


BROKEN = {
    "a judgment twice": (
        "judgments",
        {"product_id": ["p1", "p1"]},
        r"query_id 'q1', product_id 'p1'\) occurs more than",
    ),
    "a grade that is no number": ("judgments", {"grade": ["good", "bad"]}, "'grade' is String, not Float32"),
    "a grade of NaN": ("judgments", {"grade": [1.0, float("nan")]}, "NaN or infinite"),
    "an infinite grade": ("judgments", {"grade": [1.0, float("inf")]}, "NaN or infinite"),
    "a product twice": ("products", {"product_id": ["p1", "p1"]}, r"product_id 'p1'\) occurs more than once"),
    "a position beyond 65535": ("impressions", {"position": [1, 70_000]}, "'position' is Int64, not UInt16"),
    "a rank left out": ("run", {"rank": [1, 3, 1]}, r"ranks are not 1\.\.n"),
    "ranks upside down": ("run", {"rank": [2, 1, 1]}, r"ranks are not 1\.\.n"),
    "a query of a run in two places": (
        "run",
        {"query_id": ["q1", "q2", "q1"], "product_id": ["p1", "p2", "p3"]},
        "do not stand together",
    ),
}


@pytest.mark.parametrize(("name", "change", "said"), BROKEN.values(), ids=BROKEN)
def test_a_frame_that_breaks_its_law_is_refused(name, change, said):
    fault = JudgmentError if name == "judgments" else DataError
    with pytest.raises(fault, match=said) as caught:
        check(pl.DataFrame({**LAWFUL[name], **change}, strict=False), name)
    assert type(caught.value) is fault


def test_the_message_names_where_the_frame_comes_from():
    with pytest.raises(DataError, match=r"^shoes\.csv lacks"):
        check(pl.DataFrame({"sku": ["1"]}), "products", where="shoes.csv")


def test_groups_are_searches_where_there_are_any_and_queries_elsewhere():
    frame = pl.DataFrame({"query_id": ["q", "q", "q"], "search_id": ["s1", "s2", "s2"]})
    assert groups(frame).keys == ("s1", "s2")
    assert groups(frame.drop("search_id")).keys == ("q",)
    assert groups(frame.with_columns(search_id=pl.lit(None, dtype=pl.String))).keys == ("q",)


@given(st.lists(st.integers(1, 5), max_size=8))
def test_offsets_bound_the_rows_of_each_group(sizes):
    keys = [f"q{number}" for number, size in enumerate(sizes) for _ in range(size)]
    found = groups(pl.DataFrame({"query_id": keys}, schema={"query_id": pl.String}))
    assert found.sizes.tolist() == sizes
    assert len(found) == len(sizes)
    assert [keys[start] for start in found.offsets[:-1]] == list(found.keys)


def test_a_group_in_two_places_is_refused():
    with pytest.raises(DataError, match="rows of one query_id do not stand together; sort"):
        groups(pl.DataFrame({"query_id": ["q1", "q2", "q1"]}))


SCORES = st.one_of(st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf")]), st.floats(width=32))


@given(st.lists(st.tuples(st.sampled_from(["q1", "q2", "é"]), SCORES), max_size=30))
def test_ranking_is_a_stable_sort_best_first_with_nan_last(rows):
    frame = pl.DataFrame(
        {
            "query_id": [query for query, _ in rows],
            "product_id": [str(number) for number in range(len(rows))],
            "score": [score for _, score in rows],
            "received": list(range(len(rows))),
        },
        schema={"query_id": pl.String, "product_id": pl.String, "score": pl.Float64, "received": pl.Int64},
    )
    expected = sorted(
        range(len(rows)),
        key=lambda row: (
            rows[row][0],
            np.isnan(rows[row][1]),
            -np.nan_to_num(rows[row][1], nan=0, posinf=np.inf, neginf=-np.inf),
        ),
    )
    run = ranked(frame)
    assert run["received"].to_list() == expected
    assert run.columns[:4] == ["query_id", "product_id", "rank", "score"]
    assert not run["score"].is_nan().any()


def test_a_pair_scored_twice_is_refused():
    with pytest.raises(DataError, match="occurs more than once"):
        ranked(pl.DataFrame({"query_id": ["q", "q"], "product_id": ["p", "p"], "score": [1.0, 2.0]}))
