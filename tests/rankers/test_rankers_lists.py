"""Lists to fit on: what is kept, what is counted, and what is refused with its reason."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import DataError, RankerError
from ltr.rankers.lists import Lists, judged_lists, padded

GAINS = np.array([0.0, 1.0, 2.0])


def pairs(lists: dict[str, list[float | None]], **columns: object) -> pl.DataFrame:
    rows = [(query, f"p{i}", grade) for query, grades in lists.items() for i, grade in enumerate(grades)]
    frame = pl.DataFrame(
        rows, schema={"query_id": pl.String, "product_id": pl.String, "grade": pl.Float32}, orient="row"
    )
    frame = frame.with_columns(
        weight=pl.lit(1.0, dtype=pl.Float32),
        row=pl.int_range(pl.len()).cast(pl.Float32),
        other=pl.lit(None, pl.Float32),
    )
    return frame.with_columns(**columns)


def fit_lists(frame: pl.DataFrame, gains: np.ndarray = GAINS) -> Lists:
    return judged_lists(frame, features=["row", "other"], gains=gains, split="fit")


def test_lists_that_teach_nothing_are_kept_out_and_counted() -> None:
    frame = pairs(
        {
            "good": [0, 2, None],
            "single": [2],
            "equal": [1, 1],
            "unjudged": [None, None],
            "half": [None, 1],
            "more": [1, 0],
        }
    )
    lists = fit_lists(frame)
    assert lists.dropped == {"unjudged_rows": 1 + 2 + 1, "empty": 1, "one_document": 1 + 1, "all_equal": 1}
    assert lists.sizes.tolist() == [2, 2]
    assert lists.grades.tolist() == [0, 2, 1, 0]
    assert lists.matrix[:, 0].tolist() == [0, 1, 10, 11]
    assert lists.matrix.dtype == np.float32
    assert np.isnan(lists.matrix[:, 1]).all()
    assert lists.weights is None


def test_dev_keeps_every_list_that_ndcg_is_defined_for() -> None:
    frame = pairs({"good": [0, 2], "single": [2], "equal": [1, 1], "nothing": [0, 0], "unjudged": [None]})
    lists = judged_lists(frame, features=["row"], gains=GAINS, split="dev")
    assert lists.sizes.tolist() == [2, 1, 2]
    assert lists.dropped == {"dev_unjudged_rows": 1, "dev_without_gain": 2}


def test_a_grade_without_gain_is_not_relevant_on_dev() -> None:
    frame = pairs({"a": [1, 0], "b": [2, 0]})
    lists = judged_lists(frame, features=["row"], gains=np.array([0.0, 0.0, 1.0]), split="dev")
    assert lists.sizes.tolist() == [2]


def test_weights_are_kept_where_one_is_not_full() -> None:
    frame = pairs({"a": [0, None, 1]}, weight=pl.Series([1.0, 0.3, 0.5], dtype=pl.Float32))
    assert fit_lists(frame).weights.tolist() == [1.0, 0.5]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1)))
@settings(max_examples=60, deadline=None)
def test_every_row_and_list_is_kept_or_counted(lists: dict[str, list[float | None]]) -> None:
    frame = pairs({"always": [0, 1], **lists})
    kept = fit_lists(frame)
    dropped = kept.dropped
    assert len(kept.sizes) + dropped["empty"] + dropped["one_document"] + dropped["all_equal"] == len(
        {"always", *lists}
    )
    assert kept.sizes.sum() == len(kept.matrix) == len(kept.grades)
    assert dropped["unjudged_rows"] == frame["grade"].null_count()
    for grades in np.split(kept.grades, np.cumsum(kept.sizes)[:-1]):
        assert len(set(grades.tolist())) > 1


@pytest.mark.parametrize(
    ("grades", "hint"),
    [
        ([0, 0.5, 1], "multiply the grades by 2 and set judgments.scale = '0-2'"),
        ([0, 1 / 3, 2 / 3, 2], "multiply the grades by 3 and set judgments.scale = '0-6'"),
        ([0, 0.1, 0.01], "no scale up to 0-30 holds them"),
        ([-0.5, 1], "no scale up to 0-30 holds them"),
    ],
)
def test_a_fractional_grade_names_the_scale_that_would_hold_it(grades: list[float], hint: str) -> None:
    with pytest.raises(RankerError, match=f"of query 'q' is not a whole number; {hint}"):
        fit_lists(pairs({"q": grades}))


@pytest.mark.parametrize(
    ("grades", "message"),
    [
        ([0, 4], "grade 4 of query 'q' is off the scale 0-2; set judgments.scale to '0-4'"),
        ([0, -1], "grade -1 of query 'q' is off the scale 0-2; grades start at 0"),
        ([0, float("nan")], "a grade is NaN or infinite; an unjudged product has the grade null"),
    ],
)
def test_a_grade_off_the_table_of_gains_is_refused(grades: list[float], message: str) -> None:
    with pytest.raises(RankerError, match=message):
        fit_lists(pairs({"q": grades}))


def test_infinite_features_are_named_with_their_count() -> None:
    frame = pairs({"a": [0, 1, 2]}, row=pl.Series([1.0, float("inf"), float("-inf")]))
    with pytest.raises(RankerError, match="fit pairs are infinite: 'row' in 2 rows; a missing value is NaN"):
        fit_lists(frame)


def test_a_number_that_float32_cannot_hold_counts_as_infinite() -> None:
    frame = pairs({"a": [0, 1]}, row=pl.Series([1.0, 1e300]))
    with pytest.raises(RankerError, match="'row' in 1 rows"):
        fit_lists(frame)


def test_a_missing_feature_is_suggested() -> None:
    with pytest.raises(RankerError, match="the fit pairs lack feature 'rows'; did you mean 'row'"):
        judged_lists(pairs({"a": [0, 1]}), features=["rows"], gains=GAINS, split="fit")


def test_a_feature_that_is_text_is_refused() -> None:
    frame = pairs({"a": [0, 1]}, row=pl.lit("red"))
    with pytest.raises(RankerError, match="feature 'row' is String, not a number"):
        fit_lists(frame)


def test_no_features_are_refused() -> None:
    with pytest.raises(RankerError, match="no features are named"):
        judged_lists(pairs({"a": [0, 1]}), features=[], gains=GAINS, split="fit")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"a": [1], "b": [0, 0]}, "of 2 lists, 1 has one judged product and 1 has grades that are all equal;"),
        ({"a": [None, None]}, r"of 1 list, 1 has no judged product \(2 rows are unjudged\);"),
        ({"a": [2, 2], "b": [1, 1, None]}, r"of 2 lists, 2 have grades that are all equal \(1 row is unjudged\);"),
        (
            {"a": [2, 2], "b": [1], "c": [None]},
            "of 3 lists, 1 has no judged product, 1 has one judged product and 1 has grades that are all equal",
        ),
    ],
)
def test_nothing_to_fit_says_why(lists: dict[str, list[float | None]], message: str) -> None:
    with pytest.raises(RankerError, match=f"no list of the fit pairs can be used: {message}") as refused:
        fit_lists(pairs(lists))
    assert "fitting needs a list with two grades" in str(refused.value)


def test_nothing_to_stop_on_says_why() -> None:
    with pytest.raises(
        RankerError, match="of the dev pairs can be used: of 1 list, 1 has no judged product with a gain"
    ):
        judged_lists(pairs({"a": [0, 0]}), features=["row"], gains=GAINS, split="dev")


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_padded_blocks_hold_every_row_once_and_are_half_full(sizes: list[int]) -> None:
    starts = np.cumsum(sizes) - sizes
    seen = []
    for block in padded(np.array(sizes)):
        present = block >= 0
        assert block.shape[1] <= 8 or present.sum(axis=1).min() * 2 >= block.shape[1]
        for line, here in zip(block, present, strict=True):
            first = line[0]
            assert line[here].tolist() == list(range(first, first + here.sum()))
            assert sizes[starts.tolist().index(first)] == here.sum() == here.argmin() or here.all()
        seen += block[present].tolist()
    assert sorted(seen) == list(range(sum(sizes)))


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(RankerError, match="the fit pairs are empty"):
        fit_lists(pairs({}))


def test_a_list_longer_than_the_library_takes_names_the_query_and_the_depth() -> None:
    frame = pairs({"short": [0, 1], "long": [0, 1, *[None] * 9_999, *[0] * 9_999]})
    with pytest.raises(RankerError, match=r"query 'long' has 10,001 judged products, more than 10,000; .*depth"):
        fit_lists(frame)


def test_ten_thousand_rows_are_taken() -> None:
    assert fit_lists(pairs({"long": [0, 1] * 5_000})).sizes.tolist() == [10_000]


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_weights_are_finite_and_not_negative(weights: list[float]) -> None:
    with pytest.raises(RankerError, match="weights of the fit pairs run from"):
        fit_lists(pairs({"a": [0, 1]}, weight=pl.Series(weights, dtype=pl.Float32)))


def test_scattered_lists_are_refused() -> None:
    frame = pairs({"a": [0, 1], "b": [0, 1]})
    with pytest.raises(DataError, match="do not stand together"):
        fit_lists(frame[[0, 2, 1, 3]])
