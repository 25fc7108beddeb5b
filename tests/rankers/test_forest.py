import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import RankerError
from ltr.rankers.forest import Forest, Kind, Missing, Tree, kept_rounds

LESS_EQUAL, LESS, MEMBER = int(Kind.LESS_EQUAL), int(Kind.LESS), int(Kind.MEMBER)
NAN, INF = float("nan"), float("inf")
TINY = float(np.float32(1e-35))
AFTER_TINY = float(np.nextafter(np.float32(1e-35), np.float32(1)))


def stump(kind, threshold=0.0, *, missing=Missing.NAN, default_left=False, categories=(), values=(-1.0, 1.0)):
    """One split on column 0: -1 to the left, 1 to the right."""
    return Tree.of(
        [kind, 0, 0],
        [0, -1, -1],
        [threshold, 0, 0],
        [missing, 0, 0],
        [default_left, False, False],
        [1, -1, -1],
        [2, -1, -1],
        [0, *values],
        [10, 4, 6],
        {0: categories} if kind == MEMBER else None,
    )


def forest(*trees, library="lightgbm", **provenance):
    return Forest(library, "v4", "lambdarank", ("x",), trees, **provenance)


def sides(forest, *values):
    """Where each value of the one column goes."""
    scores = forest.predict(np.array(values, dtype=np.float64).astype(np.float32)[:, None])
    return "".join("L" if score < 0 else "R" for score in scores)


SPLITS = {
    "LightGBM's x <= t": (forest(stump(LESS_EQUAL, 0.5)), (0.5, 0.50000006, -INF, INF, NAN), "LRLRR"),
    "XGBoost's x < t": (forest(stump(LESS, 0.5), library="xgboost"), (0.5, 0.49999997, -INF, INF, NAN), "RLLRR"),
    "NaN to the left": (forest(stump(LESS_EQUAL, 0.5, default_left=True)), (0.75, NAN), "RL"),
    "every number to the left, NaN to the right": (forest(stump(LESS_EQUAL, INF)), (3e38, INF, NAN), "LLR"),
    "zero is missing": (
        forest(stump(LESS_EQUAL, 0.5, missing=Missing.ZERO)),
        (0.0, -0.0, TINY, -TINY, AFTER_TINY, -AFTER_TINY, NAN, 0.25, 0.75),
        "RRRRLLRLR",
    ),
    "LightGBM reads tiny numbers as zero": (forest(stump(LESS_EQUAL, -1e-40)), (-TINY, -AFTER_TINY), "RL"),
    "XGBoost does not": (forest(stump(LESS, -1e-40), library="xgboost"), (-TINY, -1e-45, -0.0), "LRR"),
    "a category, truncated towards zero by LightGBM": (
        forest(stump(MEMBER, categories=[0, 3, 32])),
        (0, 3, 32, 3.9, -0.9, -1, 1, 33, 64, 1e6, 3e9, INF, -INF, NAN),
        "LLLLLRRRRRRRRR",
    ),
    "a category, never negative to XGBoost": (
        forest(stump(MEMBER, categories=[0, 3]), library="xgboost"),
        (0, -0.0, 3.9, -0.9, -1e-45, 4),
        "LLLRRR",
    ),
    "no category at all": (forest(stump(MEMBER, categories=[])), (0, 1, NAN), "RRR"),
}


@pytest.mark.parametrize(("given", "values", "expected"), SPLITS.values(), ids=SPLITS.keys())
def test_a_value_goes_where_the_library_sends_it(given, values, expected):
    assert sides(given, *values) == expected


def test_lightgbm_sums_in_double_and_xgboost_in_single_from_the_base_score():
    trees = [stump(LESS_EQUAL, 0.5, values=(value, 0)) for value in (1.0, 2.0**-30, 2.0**-30)]
    rows = np.zeros((1, 1), dtype=np.float32)
    assert forest(*trees).predict(rows) == [1 + 2 * 2.0**-30]
    assert forest(*trees, library="xgboost", base_score=0.5).predict(rows) == [1.5]
    assert forest(*trees, average_output=True).predict(rows) == [(1 + 2 * 2.0**-30) / 3]


def test_a_tree_of_any_numbering_is_put_into_preorder():
    # Root 0 has children 3 (a leaf) and 1 (a split on categories, over leaves 4 and 2); node 5 is a pruned one.
    tree = Tree.of(
        [LESS, MEMBER, 0, 0, 0, LESS],
        [0, 1, 9, 9, 9, 7],
        [0.5, 0, 0, 0, 0, 1],
        [2, 2, 0, 0, 0, 2],
        [1, 0, 0, 0, 0, 0],
        [3, 4, -1, -1, -1, 2],
        [1, 2, -1, -1, -1, 3],
        [7, 7, 0.2, 0.3, 0.4, 7],
        [9, 5, 2, 4, 3, 1],
        {1: [5, 2, 5], 5: [1]},
    )
    assert tree.kind.tolist() == [LESS, 0, MEMBER, 0, 0]
    assert tree.left.tolist() == [1, -1, 3, -1, -1]
    assert tree.right.tolist() == [2, -1, 4, -1, -1]
    assert tree.feature.tolist() == [0, -1, 1, -1, -1]
    assert tree.value.tolist() == [0, 0.3, 0, 0.4, 0.2]
    assert tree.cover.tolist() == [9, 4, 5, 3, 2]
    assert {node: codes.tolist() for node, codes in tree.categories.items()} == {2: [2, 5]}
    assert len(tree) == 5
    with pytest.raises(ValueError, match="read-only"):
        tree.value[1] = 0


MALFORMED = {
    "a circle": ({"left": [0, -1, -1]}, "node 0 is reached twice"),
    "two parents": ({"right": [1, -1, -1]}, "node 1 is reached twice"),
    "a child outside": ({"right": [3, -1, -1]}, "a child is node 3 of 3"),
    "no child": ({"left": [-1, -1, -1]}, "a child is node -1 of 3"),
    "no threshold": ({"threshold": [NAN, 0, 0]}, "a threshold is NaN"),
    "no leaf": ({"value": [0, NAN, 1]}, "a leaf's value is not finite"),
    "no feature": ({"feature": [-2, -1, -1]}, "a split's feature is negative"),
    "no kind": ({"kind": [4, 0, 0]}, "a node's kind is 4, above 3"),
    "no missing": ({"missing": [3, 0, 0]}, "a node's missing is 3, above 2"),
    "no cover": ({"cover": [1, -1, 2]}, "a cover is negative"),
    "columns of two lengths": ({"cover": [1, 2]}, "its columns have"),
    "a category below 0": ({"kind": [MEMBER, 0, 0], "categories": {0: [-1]}}, "a category is not within"),
}


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_tree_is_refused(change, message):
    columns = json.loads(forest(stump(LESS, 0.5)).to_json())["trees"][0] | change
    with pytest.raises(ValueError, match=message):
        Tree.of(**columns)


def test_a_forest_that_cannot_be_scored_is_refused():
    with pytest.raises(RankerError, match="without trees"):
        forest()
    with pytest.raises(RankerError, match="library is one of lightgbm, xgboost, not 'catboost'"):
        forest(stump(LESS), library="catboost")
    with pytest.raises(RankerError, match="transform is one of identity, not 'sigmoid'"):
        forest(stump(LESS), transform="sigmoid")
    with pytest.raises(RankerError, match="base score nan"):
        forest(stump(LESS), base_score=NAN)
    leaf = Tree.of([0], [0], [0], [0], [0], [0], [0], [1.0], [0])
    with pytest.raises(RankerError, match="tree 1 splits on feature 0 of 0"):
        Forest("xgboost", "3", "rank:ndcg", (), (leaf, stump(LESS)))
    with pytest.raises(RankerError, match=r"shape \(2, 3\) was given; rows of 1 features"):
        forest(stump(LESS)).predict(np.zeros((2, 3), dtype=np.float32))


def test_no_rows_have_no_scores():
    assert forest(stump(LESS)).predict(np.empty((0, 1), dtype=np.float32)).shape == (0,)


def test_a_row_scores_the_same_in_any_company():
    rng = np.random.default_rng(3)
    many = forest(*(stump(LESS_EQUAL, t, values=rng.normal(size=2)) for t in rng.normal(size=700)))
    rows = rng.normal(size=(300, 1)).astype(np.float32)
    together = many.predict(rows)
    assert together.tolist() == [many.predict(row[None])[0] for row in rows]


@given(
    threshold=st.floats(allow_nan=False),
    values=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    codes=st.lists(st.integers(0, 2**31 - 1), max_size=5),
    name=st.text(max_size=5),
    base=st.floats(allow_nan=False, allow_infinity=False, width=32),
)
def test_json_keeps_every_bit(threshold, values, codes, name, base):
    trees = (stump(LESS_EQUAL, threshold, values=values), stump(MEMBER, categories=codes, default_left=True))
    given_forest = Forest("xgboost", "3.2.0", "rank:ndcg", (name,), trees, base_score=base, average_output=True)
    text = given_forest.to_json()
    restored = Forest.from_json(text)
    assert restored.to_json() == text
    assert restored.features == (name,)
    for before, after in zip(given_forest.trees, restored.trees, strict=True):
        assert after.threshold.tobytes() == before.threshold.tobytes()
        assert after.value.tobytes() == before.value.tobytes()
        assert after.categories.keys() == before.categories.keys()
    assert restored.trees[1].categories[0].tolist() == sorted(set(codes))


def test_malformed_json_names_the_tree():
    document = json.loads(forest(stump(LESS), stump(LESS)).to_json())
    document["trees"][1]["left"] = [7, -1, -1]
    with pytest.raises(RankerError, match=r"tree 1 of the JSON of a forest is malformed .a child is node 7 of 3"):
        Forest.from_json(json.dumps(document))
    with pytest.raises(RankerError, match=r"the JSON of a forest is malformed .Expecting"):
        Forest.from_json("{")
    with pytest.raises(RankerError, match="the JSON of a forest is malformed"):
        Forest.from_json("[]")
    with pytest.raises(RankerError, match="format 2, newer than 1; use a newer release"):
        Forest.from_json(json.dumps(document | {"format": 2}))


def test_rounds_are_counted_in_trees():
    assert kept_rounds(range(6), None) == 6
    assert kept_rounds(range(6), 2) == 2
    assert kept_rounds(range(6), 2, each=3) == 6
    with pytest.raises(RankerError, match="3 rounds were asked for; the forest has 1 to 2"):
        kept_rounds(range(6), 3, each=3)
