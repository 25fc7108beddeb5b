import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.retrieval.fusion import K, best, reciprocal_ranks

SCORES = st.lists(st.sampled_from([0.5, 1.0, 2.0, 2.5]), min_size=1, max_size=30)


def test_a_product_in_two_lists_sums_its_reciprocal_ranks():
    fused = reciprocal_ranks([np.array([3, 1, 2]), np.array([2])], size=5)
    expected = [0, 1 / (60 + 2), 1 / (60 + 3) + 1 / (60 + 1), 1 / (60 + 1), 0]
    assert fused.tolist() == np.float32(expected).tolist()
    assert K == 60


def test_no_lists_score_nothing():
    assert reciprocal_ranks([], size=2).tolist() == [0, 0]


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_the_order_of_the_lists_does_not_count(one, other):
    lists = [np.array(one), np.array(other)]
    assert np.array_equal(reciprocal_ranks(lists, size=6), reciprocal_ranks(lists[::-1], size=6))


@pytest.mark.parametrize("size", [10, 10_000])
def test_neighbouring_ranks_stay_apart_in_float32(size):
    fused = reciprocal_ranks([np.arange(size)], size=size)
    assert (np.diff(fused) < 0).all()


@given(SCORES, st.data())
def test_best_is_the_beginning_of_a_stable_sort(values, data):
    scores = np.float32(values)
    hits = np.array(data.draw(st.lists(st.sampled_from(range(len(values))), unique=True)), dtype=np.int64)
    depth = data.draw(st.integers(1, len(values) + 2))
    expected = sorted(hits.tolist(), key=lambda hit: -values[hit])[:depth]
    assert best(scores, hits, depth).tolist() == expected
