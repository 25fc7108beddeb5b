"""Measures as values and as formulas: expected numbers are written as the arithmetic they come from."""

import math
from itertools import permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import measures
from ltr.errors import ConfigError, MeasureError
from ltr.measures import (  # fmt: skip
    Measure,
    average_precision,
    binary_preference,
    dcg,
    expected_reciprocal_rank,
    exponential,
    gain_table,
    judged_share,
    linear,
    ndcg,
    parse,
    precision,
    rank_biased_precision,
    recall,
    reciprocal_rank,
    scale,
    success,
)

CANONICAL = {
    "nDCG@10": (Measure("nDCG", cutoff=10), "nDCG_10"),
    "nDCG": (Measure("nDCG"), "nDCG"),
    "nDCG(gains=exponential)@10": (Measure("nDCG", cutoff=10, gains="exponential"), "nDCG_gains_exponential_10"),
    "nDCG(gains=0/0.01/0.1/1)": (Measure("nDCG", gains=(0, 0.01, 0.1, 1)), "nDCG_gains_0-0.01-0.1-1"),
    "nDCG(ideal=list)@10": (Measure("nDCG", cutoff=10, ideal="list"), "nDCG_ideal_list_10"),
    "nDCG(gains=esci,ideal=list)": (Measure("nDCG", gains="esci", ideal="list"), "nDCG_gains_esci_ideal_list"),
    "ERR@20": (Measure("ERR", cutoff=20), "ERR_20"),
    "RBP(p=0.8)": (Measure("RBP"), "RBP_p_0.8"),
    "RBP(p=0.95,rel=2)@50": (Measure("RBP", p=0.95, rel=2, cutoff=50), "RBP_p_0.95_rel_2_50"),
    "Success(rel=2)@1": (Measure("Success", rel=2, cutoff=1), "Success_rel_2_1"),
    "bpref": (Measure("bpref"), "bpref"),
    "bpref(rel=3)": (Measure("bpref", rel=3), "bpref_rel_3"),
    "RR": (Measure("RR"), "RR"),
    "RR(rel=2)@10": (Measure("RR", rel=2, cutoff=10), "RR_rel_2_10"),
    "AP@100": (Measure("AP", cutoff=100), "AP_100"),
    "P(rel=1.5)@5": (Measure("P", rel=1.5, cutoff=5), "P_rel_1.5_5"),
    "Recall@50": (Measure("Recall", cutoff=50), "Recall_50"),
    "Judged@10": (Measure("Judged", cutoff=10), "Judged_10"),
}


@pytest.mark.parametrize("text", CANONICAL)
def test_a_measure_is_its_canonical_string(text):
    measure, slug = CANONICAL[text]
    assert parse(text) == measure
    assert hash(parse(text)) == hash(measure)
    assert str(measure) == repr(measure) == text
    assert measure.slug == slug


def test_slugs_are_as_distinct_as_the_measures():
    assert len({measure.slug for measure, _ in CANONICAL.values()}) == len(CANONICAL)


@pytest.mark.parametrize("spelling", [" P(rel=2)@10 ", "P(rel=2.0)@10", "P(rel=2)@010"])
def test_spellings_of_one_measure_are_one_dictionary_key(spelling):
    assert {parse("P(rel=2)@10"): "found"}[parse(spelling)] == "found"


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("RBP", "RBP(p=0.8)"),
        ("RBP(p=.80)", "RBP(p=0.8)"),
        ("RBP( rel = 2 , p = .5 )@10", "RBP(p=0.5,rel=2)@10"),
        ("nDCG(ideal=list,gains=0/1)", "nDCG(gains=0/1,ideal=list)"),
        ("nDCG(ideal=judgments)@10", "nDCG@10"),
    ],
)
def test_what_goes_without_saying_and_the_order_of_parameters_are_settled(spelling, canonical):
    assert str(parse(spelling)) == canonical


def test_a_measure_that_says_its_parameter_is_not_one_that_leaves_it_open():
    assert parse("P(rel=1)@10") != parse("P@10")
    assert parse("P@10") != "P@10"


FAULTS = {
    "ndcg@10": "did you mean 'nDCG'",
    "MAP": "did you mean 'AP'",
    "mrr@10": "did you mean 'RR'",
    "Recal@10": "did you mean 'Recall'",
    "Bpref": "did you mean 'bpref'",
    "hit@10": "did you mean 'Success'",
    "infAP": "measures: AP, ERR, Judged, P, RBP, RR, Recall, Success, bpref, nDCG",
    "bpref@10": "bpref has no cutoff; write bpref",
    "Success": "Success needs a cutoff",
    "RBP(p=1)": "p=1 is not between 0 and 1",
    "RBP(p=0)": "p=0 is not between 0 and 1",
    "RBP(p=nan)": "p=nan is not between 0 and 1",
    "ERR(rel=1)@10": "ERR has no parameter 'rel'; it has none",
    "nDCG(ideal=lists)@10": "did you mean 'list'? ideals: judgments, list",
    "RBP(p=0.5,p=0.6)": "cannot be read",
    "RBP(p)": "cannot be read",
    "RBP()": "cannot be read",
    "nDCG@0": "a cutoff is at least 1",
    "P": "P needs a cutoff; write P@10",
    "Judged": "Judged needs a cutoff",
    "nDCG@-1": "cannot be read",
    "nDCG@ten": "cannot be read",
    "nDCG@10@5": "cannot be read",
    "": "cannot be read",
    "nDCG(rel=2)@10": "nDCG has no parameter 'rel'; its parameters: gains, ideal",
    "P(gains=linear)@10": "P has no parameter 'gains'; its parameters: rel",
    "P(k=3)@10": "P has no parameter 'k'",
    "Judged(rel=1)@10": "Judged has no parameter 'rel'; it has none",
    "P(rel=high)@10": "rel is not a number",
    "P(rel=0)@10": "not a grade above 0",
    "P(rel=nan)@10": "not a grade above 0",
    "nDCG(gains=linaer)@10": "did you mean 'linear'",
    "nDCG(gains=0/x)@10": "gains is not a number",
    "nDCG(gains=0/-1)@10": "not finite and at least 0",
    "nDCG(gains=1/2)@10": "0 for grade 0",
    "nDCG(gains=0/0)@10": "some gain above it",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_no_measure_is_refused_with_a_remedy(text):
    with pytest.raises(MeasureError) as raised:
        parse(text)
    assert FAULTS[text] in str(raised.value)


@settings(deadline=None)
@given(
    cutoff=st.none() | st.integers(1, 10**6),
    rel=st.none() | st.floats(min_value=0, exclude_min=True, max_value=1e6),
    table=st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=1, max_size=5),
)
def test_parse_reads_back_every_string(cutoff, rel, table):
    for measure in (Measure("AP", cutoff=cutoff, rel=rel), Measure("nDCG", cutoff=cutoff, gains=(0.0, *table))):
        assert parse(str(measure)) == measure


def test_scales_are_named_or_0_to_n():
    assert [(name, known.maximum) for name, known in measures.SCALES.items()] == [
        ("binary", 1),
        ("graded", 4),
        ("esci", 3),
        ("wands", 2),
    ]
    assert all(len(known.labels) == known.maximum + 1 for known in [*measures.SCALES.values(), scale("0-30")])
    assert scale("esci").labels == ("I", "C", "S", "E")
    assert scale("0-10").labels[10] == "10"


@pytest.mark.parametrize("name", ["0-31", "0-0", "1-5", "0-010", "Graded"])
def test_other_scales_are_refused(name):
    with pytest.raises(ConfigError, match=r"is unknown; .*scales: 0-N"):
        scale(name)


def test_gain_tables():
    esci = scale("esci")
    assert gain_table("linear", esci).tolist() == [0, 1, 2, 3]
    assert gain_table("exponential", scale("0-5")).tolist() == [2**grade - 1 for grade in range(6)]
    assert dict(zip(esci.labels, gain_table("esci", esci), strict=True)) == {"I": 0, "C": 0.01, "S": 0.1, "E": 1}
    assert dict(zip(esci.labels, gain_table("esci-swapped", esci), strict=True)) == {
        "I": 0,
        "C": 0.1,
        "S": 0.01,
        "E": 1,
    }
    wands = scale("wands")
    assert dict(zip(wands.labels, gain_table("wands", wands), strict=True)) == {
        "Irrelevant": 0,
        "Partial": 0.5,
        "Exact": 1,
    }
    assert gain_table([0, 0.5], scale("binary")).dtype == np.float64


@pytest.mark.parametrize(
    ("gains", "message"),
    [
        ("exponentail", "did you mean 'exponential'"),
        ("esci", "have 4 values; scale 'binary' has 2 grades"),
        ([0, 1, 2], "have 3 values"),
        ([0.5, 1], "0 for grade 0"),
        ([0, math.inf], "not finite"),
        ([0, 0], "some gain above it"),
    ],
)
def test_gains_that_do_not_fit_the_scale_are_refused(gains, message):
    with pytest.raises(ConfigError, match=message):
        gain_table(gains, scale("binary"))


def test_dcg_is_the_sum_of_discounted_gains():
    grades = [3, 2, 3, 0, 1, 2]
    assert dcg(grades) == pytest.approx(3 + 2 / log2(3) + 3 / 2 + 0 + 1 / log2(6) + 2 / log2(7))
    assert dcg(grades, 2, gain=exponential) == pytest.approx(7 + 3 / log2(3))
    assert dcg([]) == 0


def test_the_ideal_counts_what_was_not_retrieved():
    assert ndcg([2, 0], [2, 0, 3], 2) == pytest.approx(2 / (3 + 2 / log2(3)))


def test_the_expected_reciprocal_rank_stops_at_each_product_by_its_grade():
    # of four grades 3 stops 7 of 8 searches and 1 stops 1 of 8
    assert expected_reciprocal_rank([3, 1, 3], 3) == pytest.approx(
        7 / 8 + 1 / 8 * (1 / 8) / 2 + 1 / 8 * 7 / 8 * (7 / 8) / 3
    )
    assert expected_reciprocal_rank([3, 1, 3], 3, 2) == pytest.approx(7 / 8 + 1 / 8 * (1 / 8) / 2)
    assert expected_reciprocal_rank([3], 4) == 7 / 16
    assert expected_reciprocal_rank([None, 0], 3) == expected_reciprocal_rank([], 3) == 0


def test_rank_biased_precision_has_the_values_of_cwl_eval():
    # cwl.qrels and cwl.run of ir-measures, whose values stem from "a manual execution of cwl-eval", for p = .9
    lists = {(1, 3, 4, 7, 9): 0.3501, (1, 2, 5, 7, 8, 9): 0.3996, (6, 7, 8, 10): 0.1988}
    for ranks, value in lists.items():
        assert rank_biased_precision([rank in ranks for rank in range(1, 11)], p=0.9) == pytest.approx(value, abs=5e-5)


def test_rank_biased_precision_of_relevant_products_alone_is_what_goes_on_no_further():
    assert rank_biased_precision([2] * 10, p=0.8) == pytest.approx(1 - 0.8**10)
    assert rank_biased_precision([2, 1, 2], 2, p=0.8, rel=2) == pytest.approx(0.2)


def test_binary_preference_is_the_share_of_pairs_in_the_right_order():
    # R = 2, N = 3: of each relevant product at most two irrelevant ones can be above
    assert binary_preference([1, 0, 1, 0, 0], [1, 1, 0, 0, 0]) == (1 + (1 - 1 / 2)) / 2
    assert binary_preference([0, 0, 0, 1, 1], [1, 1, 0, 0, 0]) == 0
    assert binary_preference([None, None, 1, None, 1], [1, 1, 0, 0, 0]) == 1
    assert binary_preference([1], [1, 1, 0, 0, 0]) == 1 / 2
    # R = 2, N = 1
    assert binary_preference([0, 2, 1], [2, 1, 0]) == 0
    assert binary_preference([1, 0, 2], [2, 1, 0]) == 1 / 2
    assert binary_preference([1, 2, 0], [2, 1, 0], rel=2) == 0


def test_success_is_whether_any_relevant_product_is_within_the_cutoff():
    assert [success([0, 1, 2], [1, 2], k) for k in (1, 2, 3)] == [0, 1, 1]
    assert [success([0, 1, 2], [1, 2], k, rel=2) for k in (1, 2, 3)] == [0, 0, 1]


def test_an_unjudged_product_holds_its_rank_and_counts_as_grade_zero():
    judged = [2, 1]
    for measure in (ndcg, reciprocal_rank, average_precision, recall):
        assert measure([None, 2, None, 1], judged) == measure([0, 2, 0, 1], judged)
    assert precision([None, 2], 2) == precision([0, 2], 2) == 1 / 2
    assert (judged_share([None, 2], 2), judged_share([0, 2], 2)) == (1 / 2, 1)


def test_rel_moves_what_counts_as_relevant():
    grades, judged = [1, 2, 0, 3], [1, 2, 0, 3]
    assert [reciprocal_rank(grades, judged, rel=rel) for rel in (1, 2, 3)] == [1, 1 / 2, 1 / 4]
    assert average_precision(grades, judged, rel=2) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert precision(grades, 2, rel=2) == 1 / 2
    assert recall(grades, judged, 3, rel=2) == 1 / 2


def test_a_cutoff_hides_what_is_below_but_not_what_could_have_been():
    grades, judged = [0, 0, 1, 1], [1, 1, 0, 0]
    assert reciprocal_rank(grades, judged, 2) == 0
    assert average_precision(grades, judged, 3) == pytest.approx((1 / 3) / 2)
    assert recall(grades, judged, 3) == 1 / 2


@pytest.mark.parametrize("measure", [ndcg, reciprocal_rank, average_precision, recall, binary_preference])
def test_without_a_relevant_product_nothing_is_defined(measure):
    assert math.isnan(measure([0, None], [0, 0]))
    assert math.isnan(success([0, None], [0, 0], 2))


def test_short_and_empty_lists():
    assert precision([1], 10) == 1 / 10
    assert judged_share([1, None], 10) == 1 / 2
    assert judged_share([], 10) == 0
    assert [measure([], [1]) for measure in (ndcg, reciprocal_rank, average_precision, recall)] == [0, 0, 0, 0]


@pytest.mark.parametrize("cutoff", [0, -3])
def test_a_cutoff_below_one_is_refused_by_the_functions_too(cutoff):
    with pytest.raises(MeasureError, match="below 1"):
        dcg([1], cutoff)


@pytest.mark.parametrize("gain", [linear, exponential])
def test_no_order_of_the_judged_products_beats_the_ideal(gain):
    judged = [0, 1, 1, 3]
    values = {order: ndcg(order, judged, 3, gain=gain) for order in permutations(judged)}
    assert max(values.values()) == values[3, 1, 1, 0] == 1
    assert (
        min(values.values())
        == values[0, 1, 1, 3]
        == pytest.approx(dcg([0, 1, 1], gain=gain) / dcg([3, 1, 1], gain=gain))
    )
