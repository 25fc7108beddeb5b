"""Features of behaviour that cannot be: each is told what is wrong and what would do."""

import math
from datetime import timedelta

import polars as pl
import pytest

from ltr.errors import BundleMismatchError, CandidateError, DataError, FeatureSetError
from ltr.features import compute, state
from made.behaviour import (
    FIELDS,
    LOG,
    PRODUCTS,
    START,
    built,
    feature_set,
)

FAULTS = {
    "no field": ({"kind": "rate", "by": "field_query"}, "by = 'field_query' needs field = '...'"),
    "a field too many": ({"kind": "count", "field": "brand"}, "by = 'product' takes no field"),
    "clicks per click": ({"kind": "rate", "per": "clicks"}, "per = 'clicks' goes with add_to_carts, purchases"),
    "impressions per impression": ({"kind": "rate", "of": "impressions"}, "of"),
    "no day": ({"kind": "count", "window": 0}, "window"),
    "unknown": ({"kind": "count", "by": "brand"}, "by"),
}


@pytest.mark.parametrize(("entry", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_parameters_that_do_not_go_together_are_refused(entry, message):
    with pytest.raises(FeatureSetError, match=message):
        feature_set(entry)


def test_a_field_that_the_catalogue_lacks_is_refused():
    with pytest.raises(FeatureSetError, match="names field 'maker', which the catalogue lacks"):
        built(feature_set({"kind": "rate", "by": "field", "field": "maker"}))


def test_a_log_needs_a_time_and_the_columns_that_are_counted():
    wanted = feature_set({"kind": "rate", "of": "revenue", "corrected": True})
    with pytest.raises(DataError, match=r"the impressions lack \['position', 'revenue'\]; they have"):
        built(wanted, rows=LOG.drop("position", "revenue"))
    with pytest.raises(DataError, match="counted up to a time, which is not given"):
        state.build(PRODUCTS, wanted, fields=FIELDS, encoder=None, impressions=LOG)
    held = built(feature_set({"kind": "count"})).behaviour
    with pytest.raises(DataError, match="counted up to a time, which is not given"):
        state.build(PRODUCTS, wanted, fields=FIELDS, encoder=None, behaviour=held)
    with pytest.raises(DataError, match="as_of = 'May' is no time"):
        state.build(PRODUCTS, wanted, fields=FIELDS, encoder=None, impressions=LOG, examination=[1], as_of="May")


def test_a_corrected_rate_needs_an_examination():
    wanted = feature_set({"kind": "rate", "corrected": True}, {"kind": "rate"})
    with pytest.raises(FeatureSetError, match=r"\['f0'\] are corrected for examination, which is not known"):
        built(wanted, examination=None)
    for curve in ([], [0.0], [1.2], [math.nan], [[1.0]]):
        with pytest.raises(DataError, match="is not one number over 0 and up to 1 for each position"):
            built(wanted, examination=curve)


def test_a_state_without_counts_or_with_others_is_refused():
    wanted = feature_set({"kind": "count"})
    with pytest.raises(BundleMismatchError, match=r"has features of behaviour, \['f0'\]; the state has counted none"):
        compute.online("shoe", ["p1"], wanted, built(wanted, impressions=None))
    other = built(feature_set({"kind": "count", "of": "purchases"}))
    with pytest.raises(BundleMismatchError, match=r"reads \['clicks'\] by 'product', which the state has not counted"):
        compute.online("shoe", ["p1"], wanted, other)
    query = built(feature_set({"kind": "count", "by": "query"}))
    with pytest.raises(BundleMismatchError, match=r"has not counted; it has \['query'\]"):
        compute.online("shoe", ["p1"], wanted, query)


def test_the_products_of_one_list_have_one_time():
    wanted = feature_set({"kind": "count"})
    lists = pl.DataFrame(
        {"query_id": "q", "query": "shoe", "product_id": ["p1", "p2"], "as_of": [START, START + timedelta(days=1)]}
    )
    with pytest.raises(CandidateError, match="one list have several as_of"):
        compute.pairs(lists, wanted, built(wanted))
    with pytest.raises(CandidateError, match="'as_of' of the candidates is no time"):
        compute.pairs(lists.with_columns(as_of=pl.lit([1])), wanted, built(wanted))
