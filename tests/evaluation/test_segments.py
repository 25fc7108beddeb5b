"""Figures of parts of the queries."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.evaluation import (
    by_length,
    by_popularity,
    by_segment,
    compare,
    compare_segments,
    holm,
    summarise,
    summarise_segments,
)


def frame(values, name="RR"):
    return pl.DataFrame(
        {"query_id": [f"q{i:03d}" for i in range(len(values))], name: pl.Series(values, dtype=pl.Float64)}
    )


def segments_of(names):
    return pl.DataFrame({"query_id": [f"q{i:03d}" for i in range(len(names))], "segment": names})


def test_parts_hold_each_query_once_and_the_columns_of_the_whole():
    parts = by_segment(frame([0.1, 0.2, 0.3, 0.4]), segments_of(["b", "a", "b"]))
    assert {name: part.rows() for name, part in parts.items()} == {
        "a": [("q001", 0.2)],
        "b": [("q000", 0.1), ("q002", 0.3)],
        "(none)": [("q003", 0.4)],
    }


@settings(max_examples=30)
@given(names=st.lists(st.sampled_from(["x", "y", None]), min_size=1, max_size=20))
def test_the_parts_make_up_the_whole(names):
    whole = frame(np.arange(len(names)))
    parts = by_segment(whole, segments_of(pl.Series(names, dtype=pl.String)))
    assert pl.concat(parts.values()).sort("query_id").equals(whole)
    assert all(part.height for part in parts.values())


def test_an_enum_keeps_its_order_and_any_column_can_be_one():
    order = pl.Series(["tail", "head", "tail"], dtype=pl.Enum(["head", "torso", "tail"]))
    assert list(by_segment(frame([1, 2, 3]), segments_of(order))) == ["head", "tail"]
    assert list(by_segment(frame([1, 2, 3]), segments_of([True, False, None]))) == ["false", "true", "(none)"]


def test_segments_that_are_none_are_refused():
    with pytest.raises(DataError, match=r"the segments lack \['segment'\]; they have \['query_id', 'intent'\]"):
        by_segment(frame([1]), segments_of(["a"]).rename({"segment": "intent"}))
    with pytest.raises(DataError, match="query 'q000' is in two segments"):
        by_segment(frame([1]), pl.concat([segments_of(["a"]), segments_of(["b"])]))


def test_estimates_of_a_part_are_those_of_its_queries_alone():
    values, segments = frame(np.random.default_rng(7).uniform(size=60)), segments_of(["a", "b"] * 30)
    found = summarise_segments(values, segments, resamples=200)
    assert found == {name: summarise(part, resamples=200) for name, part in by_segment(values, segments).items()}
    assert [estimate["RR"].n for estimate in found.values()] == [30, 30]


def test_comparisons_of_parts_are_corrected_over_all_of_them():
    generator = np.random.default_rng(7)
    base = generator.uniform(size=80)
    rankers = {name: frame(base + generator.normal(shift, 0.2, 80)) for name, shift in (("a", 0.1), ("b", 0.05))}
    rankers["base"], segments = frame(base), segments_of(["x", "y"] * 40)
    policy = {"baseline": "base", "measure": "RR", "permutations": 500, "resamples": 50}
    found = compare_segments(rankers, segments, **policy)
    rows = [row for part in found.values() for row in part]
    assert [(name, [row.ranker for row in part]) for name, part in found.items()] == [
        ("x", ["a", "b"]),
        ("y", ["a", "b"]),
    ]
    assert [row.p_holm for row in rows] == holm([row.p_value for row in rows])
    assert [row.proven for row in rows] == [row.p_holm < 0.05 for row in rows]
    alone = compare({name: by_segment(values, segments)["x"] for name, values in rankers.items()}, **policy)
    assert [row.p_value for row in alone] == [row.p_value for row in found["x"]]


def test_a_segment_that_one_ranker_lacks_has_no_pairs():
    found = compare_segments(
        {"a": frame([0.5, 0.6]), "base": frame([0.5])}, segments_of(["x", "y"]), baseline="base", measure="RR"
    )
    assert {name: rows[0].n for name, rows in found.items()} == {"x": 1, "y": 0}


def test_length_is_in_terms():
    queries = pl.DataFrame(
        {"query_id": list("abcdef"), "query": ["dress", " red  dress ", "a b c", "a b c d", "", "röd-ny"]}
    )
    assert by_length(queries)["segment"].to_list() == ["1", "2", "3+", "3+", "1", "1"]
    assert list(by_segment(frame([1]), by_length(queries).with_columns(query_id=pl.lit("q000")).head(1))) == ["1"]


def popularity(counts):
    return pl.DataFrame({"query_id": [f"q{i}" for i in range(len(counts))], "popularity": counts})


def test_head_torso_and_tail_are_shares_of_the_searches():
    # of 90 searches q0 has the first 40, q1 and q2 begin at 40/90 and 60/90 = 2/3, the others below
    found = by_popularity(popularity([40, 20, 10, 10, 5, 5]))["segment"].to_list()
    assert found == ["head", "torso", "tail", "tail", "tail", "tail"]
    # 46 of 91 searches are more than half: the next query begins in the torso, and no share is left for a tail
    found = by_popularity(popularity([5, 40, 46]), head=0.5, torso=0.5)["segment"].to_list()
    assert found == ["torso", "torso", "head"]


@settings(max_examples=50)
@given(counts=st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_popularity_alone_decides_and_the_most_popular_is_in_the_head(counts):
    found = by_popularity(popularity(counts))["segment"]
    places = found.to_physical().to_list()
    assert places[int(np.argmax(counts))] == 0
    for count, place in zip(counts, places, strict=True):
        for other, its in zip(counts, places, strict=True):
            assert (count > other) <= (place <= its)
            assert (count == other) <= (place == its)


@pytest.mark.parametrize("counts", [[1.0, None], [1.0, -1.0], [1.0, float("nan")]])
def test_popularity_that_is_no_count_is_refused(counts):
    with pytest.raises(DataError, match="'popularity' is empty, negative or not finite"):
        by_popularity(popularity(counts))


def test_impossible_shares_and_columns_are_refused():
    with pytest.raises(DataError, match="the queries have no column 'searches'"):
        by_popularity(popularity([1]), column="searches")
    with pytest.raises(ConfigError, match="at most 1 together"):
        by_popularity(popularity([1]), head=0.8, torso=0.3)
