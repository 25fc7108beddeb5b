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
from ltr.evaluation.segments import by_column, by_unseen, unseen_share


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
    assert by_length(queries)["segment"].to_list() == ["1", "2", "3", "4+", "1", "1"]
    assert by_length(queries, longest=2)["segment"].to_list() == ["1", "2+", "2+", "2+", "1", "1"]
    assert by_length(queries)["segment"].dtype.categories.to_list() == ["1", "2", "3", "4+"]
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
    with pytest.raises(ConfigError, match="0 terms; give at least 1"):
        by_length(pl.DataFrame({"query_id": ["q"], "query": ["dress"]}), longest=0)
    with pytest.raises(DataError, match="'popularity' is empty, negative or not finite"):
        by_popularity(popularity(["often"]))


def column_of(values):
    return pl.DataFrame({"query_id": [f"q{i:03d}" for i in range(len(values))], "column": values})


def test_the_values_of_a_column_are_segments_in_their_own_order():
    found = by_column(column_of([10, 2, None, 2]), "column")
    assert found["segment"].to_list() == ["10", "2", None, "2"]
    # as numbers 2 is before 10; as texts it would be after
    assert list(by_segment(frame([1, 2, 3, 4]), found)) == ["2", "10", "(none)"]
    assert list(by_segment(frame([1, 2]), by_column(column_of([True, False]), "column"))) == ["false", "true"]


def test_the_commonest_values_keep_their_names_and_the_others_are_one_segment():
    values = ["c", "b", "b", "a", "c", "c", "d", None]
    found = by_column(column_of(values), "column", most=2)
    assert found["segment"].to_list() == ["c", "b", "b", "(other)", "c", "c", "(other)", None]
    assert list(by_segment(frame(range(8)), found)) == ["b", "c", "(other)", "(none)"]
    # of as many queries, the value that comes first
    assert by_column(column_of(["b", "a"]), "column", most=1)["segment"].to_list() == ["(other)", "a"]


@pytest.mark.parametrize(
    ("values", "said"),
    [([1.5, 2.5, 3.5], "has 3 different numbers; at most 2"), ([["a"], ["b"]], r"holds List\(String\)")],
)
def test_columns_that_make_no_segments_are_refused(values, said):
    with pytest.raises(DataError, match=said):
        by_column(column_of(values), "column", most=2)


def test_the_unseen_share_is_of_relevant_products_whoever_judged_them_before():
    judged = pl.DataFrame(
        {
            "query_id": ["a", "a", "a", "b", "c"],
            "product_id": ["p1", "p2", "p3", "p1", "p9"],
            "grade": [3.0, 2.0, 0.0, 1.0, 3.0],
        }
    )
    fitted = pl.DataFrame({"query_id": ["x", "y", "z"], "product_id": ["p1", "p1", "p3"], "grade": [0.0, 3.0, 1.0]})
    # p1 and p2 are relevant to a, of which p2 was never fitted on; p3 does not count
    assert unseen_share(judged, fitted).rows() == [("a", 1 / 2), ("b", 0.0), ("c", 1.0)]
    assert unseen_share(judged, fitted, rel=3).rows() == [("a", 0.0), ("c", 1.0)]
    assert unseen_share(judged, fitted.clear())["unseen"].to_list() == [1.0, 1.0, 1.0]


def test_only_what_is_wholly_seen_or_unseen_is_called_so():
    shares = pl.DataFrame({"query_id": list("abcd"), "unseen": [0.0, 1.0, 0.999, None]})
    assert by_unseen(shares)["segment"].to_list() == ["all seen", "all unseen", "some unseen", None]
