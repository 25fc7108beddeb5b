"""The join of a run with its judgments: by 64-bit keys, and right even where two keys are one."""

import numpy as np
import polars as pl

from ltr.evaluation.alignment import _SPREAD, _keys, _pairs, align


def colliding_queries(left_product, right_product):
    """Query numbers that give (number, left_product) and (other, right_product) the same key."""
    left, right = (int(pl.Series([product]).hash(seed=7).item()) for product in (left_product, right_product))
    number = ((left - right) * pow(int(_SPREAD), -1, 2**64)) % 2**64
    return np.array([0]), np.array([number], dtype=np.uint64).astype(np.int64)


def test_pairs_whose_keys_collide_are_told_apart():
    left, right = pl.Series(["a"]), pl.Series(["b"])
    zero, other = colliding_queries("a", "b")
    assert _keys(zero, left) == _keys(other, right)
    row, judgment = _pairs(zero, left, other, right)
    assert row.size == judgment.size == 0


def test_a_true_pair_is_found_beside_one_that_collides_with_it():
    zero, other = colliding_queries("a", "b")
    row, judgment = _pairs(zero, pl.Series(["a"]), np.concatenate([other, zero]), pl.Series(["b", "a"]))
    assert (row.tolist(), judgment.tolist()) == ([0], [1])


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
