"""The join of a run with its judgments: by hashes query by query, and right even where two hashes are one."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.evaluation import alignment
from ltr.evaluation.alignment import _joined, _matched, _pairs, align, condense

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcdefgh")), max_size=40, unique=True)


def columns(pairs):
    pairs = sorted(pairs, key=lambda pair: pair[0])
    return np.array([query for query, _ in pairs], dtype=np.int64), pl.Series([p for _, p in pairs], dtype=pl.String)


@settings(max_examples=100)
@given(left=PAIRS, right=PAIRS)
def test_pairs_are_those_of_a_join_by_names(left, right):
    left, right = columns(left), columns(right)
    found = _pairs(*left, *right, queries=5)
    expected = _joined(*left, *right)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]


@pytest.mark.parametrize("block", [1, 3, 1 << 15])
@pytest.mark.parametrize("slots", [1, 3])
def test_neither_the_block_nor_the_size_of_the_table_matters(monkeypatch, block, slots):
    monkeypatch.setattr(alignment, "_BLOCK", block)
    monkeypatch.setattr(alignment, "_SLOTS", slots)
    generator = np.random.default_rng(7)
    draw = lambda: [(q, f"p{p}") for q in range(0, 30, 2) for p in generator.permutation(60)[: generator.integers(50)]]  # noqa: E731
    left, right = columns(draw()), columns(draw())
    found, expected = _pairs(*left, *right, queries=30), _joined(*left, *right)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]


def test_rows_with_one_hash_in_different_queries_are_told_apart():
    same = np.array([5, 5], dtype=np.uint64)
    found = _matched(np.array([0, 2]), same, np.array([1, 2]), same, queries=3)
    assert found.tolist() == [-1, 1]


class EqualHashes(pl.Series):
    """Names of which any two share a hash."""

    def hash(self, *args, **seeds):
        return pl.Series(np.full(len(self), 7, dtype=np.uint64))


def test_products_that_share_a_hash_are_told_apart_by_their_names():
    query = np.zeros(3, dtype=np.int64)
    row, other = _pairs(query, EqualHashes(["a", "x", "c"]), query, EqualHashes(["c", "b", "a"]), queries=1)
    assert (row.tolist(), other.tolist()) == ([0, 2], [2, 0])


def test_condensed_lists_close_the_ranks_over_what_is_not_judged():
    run = pl.DataFrame({"query_id": ["a"] * 4 + ["b"] * 2, "product_id": list("wxyzwx")}).with_columns(
        rank=pl.Series([1, 2, 3, 4, 1, 2], dtype=pl.UInt32)
    )
    judgments = pl.DataFrame({"query_id": ["a", "a", "b"], "product_id": ["z", "x", "q"], "grade": [1.0, 0.0, 1.0]})
    lists = condense(align(run, judgments, grades=2, depth=None))
    assert (lists.rank.tolist(), lists.grade.tolist(), lists.retrieved.tolist()) == ([1, 2], [0, 1], [2, 0])
    assert lists.judged.tolist() == [[1, 1], [0, 1]]


def test_hits_stand_by_query_and_rank():
    generator = np.random.default_rng(7)
    products = [f"p{i}" for i in range(50)]
    lists = {f"q{i:02d}": generator.permutation(products).tolist() for i in range(40)}
    run = pl.DataFrame(
        [(query, product, rank) for query, found in lists.items() for rank, product in enumerate(found, 1)],
        schema={"query_id": pl.String, "product_id": pl.String, "rank": pl.UInt32},
        orient="row",
    )
    judgments = run.sample(600, seed=7, shuffle=True).select(
        "query_id", "product_id", grade=(pl.col("rank") % 4).cast(pl.Float32)
    )
    for depth in (None, 10):
        aligned = align(run, judgments, grades=4, depth=depth)
        expected = run.join(judgments, on=["query_id", "product_id"]).filter(pl.col("rank") <= (depth or 50))
        expected = expected.sort("query_id", "rank")
        assert aligned.query_ids.gather(aligned.query).to_list() == expected["query_id"].to_list()
        assert aligned.rank.tolist() == expected["rank"].to_list()
        assert aligned.grade.tolist() == expected["grade"].to_list()
        assert aligned.judged.sum() == 600
        assert set(aligned.retrieved) == {50}


def test_neither_the_order_of_the_lists_nor_that_of_the_judgments_matters():
    run = pl.DataFrame({"query_id": ["b", "b", "a", "c", "c"], "product_id": list("xyxyx")}).with_columns(
        rank=pl.Series([1, 2, 1, 1, 2], dtype=pl.UInt32)
    )
    judgments = pl.DataFrame(
        {"query_id": ["c", "a", "b", "c"], "product_id": ["x", "x", "y", "y"], "grade": [1.0, 2.0, 3.0, 0.0]}
    )
    aligned = align(run, judgments, grades=4, depth=None)
    found = list(zip(aligned.query.tolist(), aligned.rank.tolist(), aligned.grade.tolist(), strict=True))
    assert found == [(0, 1, 2), (1, 2, 3), (2, 1, 0), (2, 2, 1)]
