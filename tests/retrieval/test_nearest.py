import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ltr.retrieval import nearest
from ltr.retrieval.nearest import unit_vectors

NUMBERS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1e-30, 1e30]), st.floats(-1, 1, width=32))


@st.composite
def catalogues(draw):
    dimension = draw(st.integers(1, 19))
    vectors = draw(arrays.arrays(np.float32, (draw(st.integers(1, 12)), dimension), elements=NUMBERS))
    queries = draw(arrays.arrays(np.float32, (draw(st.integers(1, 4)), dimension), elements=st.floats(-1, 1, width=32)))
    return vectors, queries


@given(catalogues(), st.integers(1, 14))
def test_neighbours_are_a_stable_sort_by_cosine_and_cut_at_depth(catalogue, depth):
    vectors, queries = catalogue
    index = unit_vectors(vectors)
    for query, found in zip(queries, index.nearest(queries, depth), strict=True):
        cosines = index.cosines(query, np.arange(len(vectors)))
        having = [row for row in range(len(vectors)) if not np.isnan(cosines[row])]
        assert found.tolist() == sorted(having, key=lambda row: -cosines[row])[:depth]


@given(catalogues(), st.data())
def test_a_cosine_does_not_depend_on_the_products_beside_it(catalogue, data):
    vectors, queries = catalogue
    index = unit_vectors(vectors)
    rows = np.array(data.draw(st.lists(st.integers(-1, len(vectors) - 1), max_size=20)), dtype=np.int64)
    for query in queries:
        together = index.cosines(query, rows)
        alone = [index.cosines(query, np.array([row]))[0] for row in rows]
        assert together.tobytes() == np.float32(alone).tobytes()


@given(catalogues(), st.integers(1, 14))
def test_a_query_finds_the_same_alone_and_among_others(catalogue, depth):
    vectors, queries = catalogue
    index = unit_vectors(vectors)
    together = [found.tolist() for found in index.nearest(queries, depth)]
    assert together == [next(index.nearest(query[None], depth)).tolist() for query in queries]


def test_blocks_change_nothing(monkeypatch):
    random = np.random.default_rng(7)
    index, queries = unit_vectors(random.normal(size=(50, 8)).astype(np.float32)), random.normal(size=(9, 8))
    whole = [found.tolist() for found in index.nearest(queries.astype(np.float32), 10)]
    monkeypatch.setattr(nearest, "_BLOCK", 100)
    assert [found.tolist() for found in index.nearest(queries.astype(np.float32), 10)] == whole


def test_the_exact_cosine_decides_among_near_ties():
    random = np.random.default_rng(7)
    vectors = np.repeat(random.normal(size=(1, 384)), 200, axis=0) + random.normal(scale=1e-7, size=(200, 384))
    index = unit_vectors(vectors.astype(np.float32))
    query = random.normal(size=384).astype(np.float32)
    (found,) = index.nearest(query[None], 10)
    assert found.tolist() == np.argsort(-index.cosines(query, np.arange(200)), kind="stable")[:10].tolist()


def test_cosine_by_formula():
    index = unit_vectors(np.float32([[3, 4], [1, 0], [-2, 0]]))
    assert index.cosines(np.float32([1, 0]), np.arange(3)).tolist() == pytest.approx([3 / 5, 1, -1])


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_row_that_is_zero_or_not_finite_is_no_vector(row):
    index = unit_vectors(np.float32([[1, 0], row]))
    assert np.isnan(index.cosines(np.float32([1, 0]), np.array([1])))
    assert [found.tolist() for found in index.nearest(np.float32([[1, 0]]), 5)] == [[0]]


@pytest.mark.parametrize("query", [[0.0, 0.0], [np.nan, 1.0]])
def test_a_query_without_a_vector_is_near_nothing(query):
    index = unit_vectors(np.float32([[1, 0]]))
    assert [found.tolist() for found in index.nearest(np.float32([query]), 5)] == [[]]
    assert np.isnan(index.cosines(np.float32(query), np.array([0])))


def test_a_catalogue_without_any_vector_is_near_nothing():
    index = unit_vectors(np.zeros((3, 2), dtype=np.float32))
    assert [found.tolist() for found in index.nearest(np.float32([[1, 0]]), 5)] == [[]]


def test_unit_rows_are_not_copied():
    vectors = np.eye(3, dtype=np.float32)
    assert unit_vectors(vectors).unit is vectors
