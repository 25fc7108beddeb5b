import importlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ltr.errors import MissingExtraError
from ltr.features import kernels, list_kernels

NUMBERS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 70)), elements=st.floats(-8, 8, width=32)
)


def test_kernels_without_numba_say_which_extra_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("ltr.features.kernels", "ltr.loops"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(MissingExtraError, match=r"numba is not installed; pip install 'ltr\[serve\]'"):
        importlib.import_module("ltr.features.kernels")


def test_numba_is_loaded_by_the_first_feature_that_needs_it_and_not_before():
    code = "import ltr.features.compute, ltr.features.state, sys; print('numba' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"


def in_lanes(one, other):
    """Four lanes; of each sixteen values the last four are added first; what is left follows in order."""
    products, lanes = one * other, np.zeros(4, dtype=np.float32)
    whole = len(one) // 16 * 16
    for block in range(0, whole, 16):
        for four in (12, 8, 4, 0):
            lanes += products[block + four : block + four + 4]
    for place in range(whole, len(one)):
        lanes[place % 4] += products[place]
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])


def cosines(vectors, query, rows, known=None):
    out = np.empty(len(rows), dtype=np.float32)
    known = np.ones(len(vectors) + 1, dtype=np.bool_) if known is None else known
    lists = np.array([0, len(rows)])
    kernels.cosine(vectors, query[None], np.array(rows, dtype=np.int64), lists, known, out)
    return out


@given(NUMBERS, st.data())
def test_a_cosine_is_summed_in_one_fixed_order_whatever_rows_are_beside_it(vectors, data):
    query = data.draw(arrays.arrays(np.float32, vectors.shape[1], elements=st.floats(-8, 8, width=32)))
    rows = data.draw(st.lists(st.integers(0, len(vectors) - 1), min_size=1, max_size=7))
    expected = np.array([in_lanes(vectors[row], query) for row in rows], dtype=np.float32)
    assert cosines(vectors, query, rows).tobytes() == expected.tobytes()


def test_a_cosine_reads_vectors_that_may_not_be_written_and_tells_of_no_unknown_or_infinite_one():
    vectors = np.array([[1, 2], [3, 4], [3e38, 3e38]], dtype=np.float32)
    vectors.flags.writeable = False
    known = np.array([True, False, True, False])
    found = cosines(vectors, np.array([5, 6], dtype=np.float32), [0, 1, 2, 3], known)
    assert found[0] == 1 * 5 + 2 * 6
    assert np.isnan(found[1:]).all()
    assert np.isnan(cosines(vectors[:0], np.array([5, 6], dtype=np.float32), [0], np.array([False]))).all()


@given(st.lists(st.sampled_from([-1.5, 0.0, -0.0, 2.0, 7.0, np.inf, np.nan]), max_size=30))
def test_a_rank_counts_those_above_and_half_of_the_equals(given):
    values = np.array([1.0, *given, 3.0])  # other lists stand before and behind
    lists = np.array([0, 1, 1 + len(given), 2 + len(given)])
    ranks, shares = np.empty((2, len(values)), dtype=np.float32)
    list_kernels.ranks(values, lists, False, ranks)
    list_kernels.ranks(values, lists, True, shares)
    real = [value for value in given if value == value]
    for value, rank, share in zip(given, ranks[1:-1], shares[1:-1], strict=True):
        expected = sum(other > value for other in real) + sum(other == value for other in real) / 2 + 0.5
        if value != value:
            assert np.isnan(rank)
            assert np.isnan(share)
        else:
            assert rank == np.float32(expected)
            assert share == np.float32((len(real) + 0.5 - expected) / len(real))
    assert ranks[0] == ranks[-1] == 1
