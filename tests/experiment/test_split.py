"""Splits: seeded, whole groups, every query once."""

from itertools import combinations

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from ltr.config import SplitConfig
from ltr.errors import ConfigError, JudgmentError
from ltr.experiment.split import folds, given, holdout, split

QUERIES = {f"q{i}": f"q{i}" for i in range(100)}


def sides(parts):
    return [set(parts.fit), set(parts.dev), set(parts.test)]


@drawn(seed=st.integers(0, 1000), test=st.sampled_from([0.1, 0.2, 0.5]), dev=st.sampled_from([0.1, 0.2]))
def test_sides_are_disjoint_and_together_all_queries(seed, test, dev):
    parts = holdout(QUERIES, test=test, dev=dev, seed=seed)
    assert not any(a & b for a, b in combinations(sides(parts), 2))
    assert set().union(*sides(parts)) == QUERIES.keys()
    assert (len(parts.test), len(parts.dev)) == (round(test * 100), round(dev * 100))


@drawn(seed=st.integers(0, 1000), members=st.lists(st.integers(0, 12), min_size=40, max_size=80))
def test_a_group_is_never_on_two_sides(seed, members):
    groups = {f"q{i}": str(group) for i, group in enumerate(members)}
    try:
        parts = holdout(groups, test=0.3, dev=0.2, seed=seed)
    except ConfigError:
        return  # a few large groups may leave a side empty, which is refused
    owners = [{groups[query] for query in side} for side in sides(parts)]
    assert not any(a & b for a, b in combinations(owners, 2))


def test_a_seed_names_one_split_and_the_order_of_the_queries_does_not_matter():
    backwards = dict(reversed(QUERIES.items()))
    assert holdout(QUERIES, test=0.2, dev=0.1, seed=3) == holdout(backwards, test=0.2, dev=0.1, seed=3)
    assert holdout(QUERIES, test=0.2, dev=0.1, seed=3) != holdout(QUERIES, test=0.2, dev=0.1, seed=4)


def test_folds_test_each_query_once_and_fit_on_the_rest():
    every = folds(QUERIES, 5, dev=0.1, seed=7)
    assert sorted(query for parts in every for query in parts.test) == sorted(QUERIES)
    for parts in every:
        assert not any(a & b for a, b in combinations(sides(parts), 2))
        assert set().union(*sides(parts)) == QUERIES.keys()
        assert len(parts.dev) == round(0.1 * 80)


def test_repeated_folds_test_every_query_once_a_repetition_under_other_seeds():
    once = split(QUERIES, SplitConfig(folds=5, seed=3))
    thrice = split(QUERIES, SplitConfig(folds=5, seed=3, repeats=3))
    assert thrice[:5] == once
    assert thrice[5:10] == split(QUERIES, SplitConfig(folds=5, seed=4))
    assert sorted(query for parts in thrice for query in parts.test) == sorted([*QUERIES] * 3)


def test_the_sides_that_the_data_name_are_kept():
    sides_of = {f"q{i}": "test" if i < 20 else "train" for i in range(100)}
    parts = given(sides_of, dev=0.1, seed=7)
    assert parts.test == tuple(sorted(f"q{i}" for i in range(20)))
    assert len(parts.dev) == round(0.1 * 80)
    assert set(parts.fit) | set(parts.dev) == {f"q{i}" for i in range(20, 100)}
    named = given({**sides_of, "q99": "vali"}, dev=0.1, seed=7)
    assert named.dev == ("q99",)


def test_a_side_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="a query's split is 'holdout'; sides are called dev, fit, test"):
        given({"q1": "train", "q2": "holdout"}, dev=0.1, seed=7)


def test_too_few_queries_are_refused():
    nine = {f"q{i}": f"q{i}" for i in range(9)}
    with pytest.raises(JudgmentError, match=r"9 queries with judgments are too few.*at least 10"):
        split(nine, SplitConfig())


def test_ten_queries_are_enough():
    (parts,) = split({f"q{i}": f"q{i}" for i in range(10)}, SplitConfig())
    assert [len(side) for side in sides(parts)] == [7, 1, 2]


def test_one_group_for_all_cannot_be_split():
    with pytest.raises(ConfigError, match="without a query"):
        split(dict.fromkeys(QUERIES, "one"), SplitConfig())
    with pytest.raises(ConfigError, match="leaves a fold empty"):
        split(dict.fromkeys(QUERIES, "one"), SplitConfig(folds=5))
