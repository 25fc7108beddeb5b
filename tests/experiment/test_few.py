"""Defaults for few judgments: for forests that say nothing of their own, told, and never beyond 300 queries."""

import pytest

from ltr import rankers
from ltr.config import parse
from ltr.experiment.few import FEW, regularised
from ltr.features import definition

SET = definition.parse(
    {
        "name": "set",
        "feature": [
            {"name": "title_bm25", "kind": "bm25", "field": "title", "also": ["relative"]},
            {"name": "unwanted", "kind": "bm25", "field": "title", "part": "unwanted"},
            {"name": "price", "kind": "number", "field": "price"},
        ],
    }
)


def experiment(**tables):
    return parse({"name": "own", "data": {"source": "files"}, **tables})


@pytest.mark.parametrize(("library", "leaves"), [("lightgbm", "num_leaves"), ("xgboost", "max_leaves")])
def test_a_forest_of_few_queries_is_small_and_never_holds_a_match_against_a_product(library, leaves):
    few, told = regularised(experiment(ranker={"library": library}), SET, queries=FEW)
    assert few.ranker.parameters[leaves] == 7
    assert few.ranker.monotone == {"title_bm25": 1}
    assert told.startswith("300 judged queries are few")
    rankers.check(few.ranker, features=SET.names)


def test_more_queries_a_linear_ranker_and_what_the_experiment_says_itself_stay_as_they_are():
    plain = experiment()
    assert regularised(plain, SET, queries=FEW + 1) == (plain, "")
    linear = experiment(ranker={"library": "linear"})
    assert regularised(linear, SET, queries=30) == (linear, "")
    own = experiment(ranker={"num_leaves": 15, "monotone": {"price": -1}})
    assert regularised(own, SET, queries=30) == (own, "")
    half, _ = regularised(experiment(ranker={"num_leaves": 15}), SET, queries=30)
    assert (half.ranker.parameters, half.ranker.monotone) == ({"num_leaves": 15}, {"title_bm25": 1})


def test_rankers_that_are_compared_are_treated_alike():
    few, _ = regularised(experiment(compare={"xgboost": {}}), SET, queries=30)
    assert few.compare["xgboost"].parameters["lambda"] == 10.0
    assert few.ranker.parameters["lambda_l2"] == 10.0
