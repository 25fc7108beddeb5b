"""Another ranker's features over our fields: renamed, mapped, and left out where they cannot be read."""

import pytest

from ltr.errors import FeatureSetError
from ltr.features.definition import parse
from ltr.features.transfer import joined

OURS = parse({"name": "shop", "feature": [{"name": "price", "kind": "number", "field": "price"}]})
THEIRS = parse(
    {
        "name": "movies",
        "feature": [
            {"name": "plot", "kind": "coverage", "field": "overview", "also": ["relative"]},
            {"name": "names", "kind": "bm25", "fields": ["title", "overview"]},
            {"name": "votes", "kind": "number", "field": "votes", "also": ["relative", "rank_in_list"]},
            {"name": "engine", "kind": "match", "field": "title"},
            {"name": "rate", "kind": "judged_rate"},
            {"name": "clicks", "kind": "count", "also": ["zscore"]},
            {"name": "maker_clicks", "kind": "rate", "by": "field", "field": "maker"},
        ],
    }
)
THERE = {"title", "description", "price"}


def test_features_are_renamed_and_read_our_fields():
    both = joined(OURS, THEIRS, fields={"overview": "description", "votes": ""}, there=THERE)
    assert both.names == ("price", "transfer_plot", "transfer_plot_relative", "transfer_names")
    plot, relative, names = both.features[1:]
    assert plot.params.key == "description"
    assert relative.params.of == "transfer_plot"
    assert names.params.fields == ("title", "description")


def test_what_depends_on_their_engine_judged_queries_shoppers_or_a_field_we_lack_is_left_out_with_its_copies():
    names = joined(OURS, THEIRS, fields={"overview": "title", "votes": ""}, there=THERE).names
    assert not {name for name in names if any(word in name for word in ("votes", "engine", "_rate", "clicks"))}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "the other ranker reads overview, votes, which this catalogue lacks"),
        ({"overview": "plot", "votes": ""}, "reads overview, which this catalogue lacks"),
        ({"overview": "title", "votes": "", "actors": ""}, "names 'actors', which the other ranker does not read"),
        ({"overview": "", "votes": "", "title": ""}, "nothing of the other ranker can be read here"),
    ],
)
def test_fields_that_do_not_fit_are_named(fields, message):
    with pytest.raises(FeatureSetError, match=message):
        joined(OURS, THEIRS, fields=fields, there=THERE)


def test_sets_of_two_analyzers_and_names_that_are_taken_are_refused():
    standard = parse(
        {"name": "s", "analyzer": "standard", "feature": [{"name": "a", "kind": "number", "field": "price"}]}
    )
    with pytest.raises(FeatureSetError, match="'english', ours 'standard'"):
        joined(standard, THEIRS, fields={"overview": "title", "votes": ""}, there=THERE)
    taken = parse({"name": "t", "feature": [{"name": "transfer", "kind": "number", "field": "price"}]})
    with pytest.raises(FeatureSetError, match="'transfer' has a name that transferred scores take"):
        joined(taken, THEIRS, fields={"overview": "title", "votes": ""}, there=THERE)
