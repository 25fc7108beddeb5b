"""Counts by key are the same in one pass and in parts, and parts follow an estimate of the groups."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import DataError
from ltr.judgments import tally as module
from ltr.judgments.tally import groups_of, parts_for, tally

SUMS = {"shown": pl.len(), "clicked": pl.col("clicked").sum()}
BY = ["query_id", "product_id"]


def rows(count, keys, seed=7):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(keys, size=count)
    return pl.DataFrame(
        {
            "query_id": pl.Series(drawn // 10).cast(pl.String),
            "product_id": pl.Series(drawn % 10).cast(pl.String),
            "position": pl.Series(drawn % 7, dtype=pl.UInt16),
            "clicked": pl.Series(rng.random(count) < 0.3),
        }
    )


def counted(frame, by=BY, **how):
    return tally(frame.lazy(), by, SUMS, **how).collect().sort(by)


def expected(frame, by=BY):
    return frame.group_by(by).agg(**SUMS).sort(by)


def test_few_groups_are_counted_in_one_pass():
    frame = rows(5_000, 300)
    assert counted(frame).equals(expected(frame))


def test_parts_count_the_same_and_lie_where_they_are_told(tmp_path):
    frame = rows(60_000, 50_000)
    assert parts_for(frame.lazy(), BY, 2, memory_mib=1) > 1
    assert counted(frame, memory_mib=1, directory=tmp_path / "spilled").equals(expected(frame))
    (own,) = (tmp_path / "spilled").iterdir()
    assert {path.suffix for path in own.iterdir()} == {".parquet"}
    again = tally(frame.lazy(), BY, SUMS, memory_mib=1, directory=tmp_path / "spilled")
    assert again.select(pl.col("shown").sum()).collect().item() == frame.height


def test_without_a_directory_parts_lie_in_a_temporary_one():
    frame = rows(30_000, 25_000)
    assert counted(frame, memory_mib=1).equals(expected(frame))


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-3, 3), st.booleans()), max_size=60),
    st.integers(2, 5),
)
def test_any_key_is_counted_in_any_number_of_parts(keys, parts):
    frame = pl.DataFrame(
        keys, schema={"query_id": pl.String, "product_id": pl.Int64, "clicked": pl.Boolean}, orient="row"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "parts_for", lambda *_, **__: parts)
        found = counted(frame)
    assert found.equals(expected(frame).cast(found.schema))


def test_the_schema_is_that_of_one_pass(tmp_path):
    frame = rows(30_000, 25_000)
    assert counted(frame, memory_mib=1, directory=tmp_path).schema == expected(frame).schema
    by = [*BY, "position"]
    assert counted(frame, by, memory_mib=1, directory=tmp_path).equals(expected(frame, by))


def test_groups_are_estimated_to_some_per_cent():
    frame = rows(200_000, 100_000)
    assert groups_of(frame.lazy(), BY) == pytest.approx(frame.select(BY).n_unique(), rel=0.05)


def test_parts_follow_the_groups_and_not_the_rows():
    many, few = rows(400_000, 300_000), rows(400_000, 50)
    assert parts_for(few.lazy(), BY, 2, memory_mib=8) == 1
    assert 1 < parts_for(many.lazy(), BY, 2, memory_mib=32) < parts_for(many.lazy(), BY, 2, memory_mib=8)


def test_a_key_that_is_not_there_is_an_error_that_helps():
    with pytest.raises(DataError, match="no column 'qury_id' to count by; did you mean 'query_id'"):
        tally(rows(3, 3).lazy(), ["qury_id"], SUMS)
