import math

import numpy as np
import pytest

from ltr.errors import CandidateError, FeatureSetError
from ltr.features.definition import parse

NAN = math.nan
MOVIES = [{"title": "Iron Man"}, {"title": "Iron"}, {"title": None}]


def refused(message, **feature):
    with pytest.raises(FeatureSetError, match=message):
        parse({"name": "test", "feature": [{"name": "m", "kind": "match", **feature}]})


def test_match_is_the_score_delivered_with_the_candidates(ask, close):
    feature = {"name": "title_match", "kind": "match", "field": "title"}
    scores = np.array([3.5, np.nan, np.inf], dtype=np.float32)
    close(ask("iron", MOVIES, feature, match={"title_match": scores}), [3.5, NAN, NAN])


def test_two_questions_of_one_field_are_two_features(ask, close):
    one = {"name": "terms", "kind": "match", "field": "title", "missing": 0}
    other = {"name": "phrase", "kind": "match", "field": "title", "query": "match_phrase", "slop": 2}
    match = {"terms": np.float32([1, np.nan, 2]), "phrase": np.float32([7, 8, 9])}
    close(ask("iron", MOVIES, one, other, match=match), [1, 0, 2])
    close(ask("iron", MOVIES, other, one, match=match), [7, 8, 9])


def test_scores_that_are_not_delivered_are_an_error_that_names_the_column(ask):
    feature = {"name": "title_match", "kind": "match", "field": "title"}
    with pytest.raises(CandidateError, match=r"'title_match'; deliver match\.title_match; there are \['other'\]"):
        ask("iron", MOVIES, feature, match={"other": np.zeros(3, dtype=np.float32)})


def test_settings_that_a_query_does_not_have_are_refused():
    refused("slop does not go with query = 'match' and field", field="title", slop=2)
    refused("operator does not go with query = 'match_phrase'", field="title", query="match_phrase", operator="and")
    refused("fuzziness does not go with query = 'term'", field="title", query="term", fuzziness="AUTO")
    refused("type does not go with query = 'match' and field", field="title", type="best_fields")
    refused("fields does not go with query = 'term'", fields=["title", "tags"], query="term")
    refused("fuzziness does not go with type = 'cross_fields'", fields=["a", "b"], type="cross_fields", fuzziness="1")
    refused("query = 'mtach' is unknown; did you mean 'match'", field="title", query="mtach")
    refused("needs either field", query="term")


def test_only_the_score_of_one_field_is_known_to_the_embedded_engine():
    plain = parse({"name": "test", "feature": [{"name": "m", "kind": "match", "field": "title", "missing": 0}]})
    assert plain.matched_fields == {"m": "title"}
    for asked in ({"operator": "and"}, {"constant": True}, {"subfield": "raw"}, {"query": "match_phrase"}):
        wanted = parse({"name": "test", "feature": [{"name": "m", "kind": "match", "field": "title", **asked}]})
        with pytest.raises(FeatureSetError, match="'m' asks more of the engine than the score of one field"):
            _ = wanted.matched_fields
    several = parse({"name": "test", "feature": [{"name": "m", "kind": "match", "fields": ["title", "tags"]}]})
    with pytest.raises(FeatureSetError, match='set \\[retrieval\\] engine = "elasticsearch"'):
        _ = several.matched_fields
