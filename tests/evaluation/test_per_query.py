"""evaluate: the rules for what is missing, and equality with the formulas of ltr.measures."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import measures
from ltr.errors import ConfigError, DataError, JudgmentError, MeasureError
from ltr.evaluation import evaluate
from ltr.measures import gain_table, parse, scale

GRADED = scale("0-3")
ALL = ("nDCG", "nDCG@3", "nDCG(gains=exponential)@3", "RR", "RR@2", "RR(rel=2)", "AP", "AP@3", "AP(rel=3)",
       "P@1", "P@4", "P(rel=2)@3", "Recall", "Recall@2", "Recall(rel=2)@3", "Judged@1", "Judged@4",
       "nDCG(ideal=list)", "nDCG(gains=exponential,ideal=list)@3", "ERR", "ERR@3", "RBP", "RBP(p=0.5,rel=2)@3",
       "Success@1", "Success(rel=2)@3", "bpref", "bpref(rel=2)")  # fmt: skip


def judgments_of(grades):
    rows = [(query, product, grade, 1.0) for query, judged in grades.items() for product, grade in judged.items()]
    types = {"query_id": pl.String, "product_id": pl.String, "grade": pl.Float32, "weight": pl.Float32}
    return pl.DataFrame(rows, schema=types, orient="row")


def run_of(lists):
    rows = [
        (query, product, rank, -float(rank)) for query in sorted(lists) for rank, product in enumerate(lists[query], 1)
    ]
    types = {"query_id": pl.String, "product_id": pl.String, "rank": pl.UInt32, "score": pl.Float32}
    return pl.DataFrame(rows, schema=types, orient="row")


def values(lists, grades, *names, scale=GRADED, gains="linear", **policy):
    wanted = [parse(name) for name in names]
    table = gain_table(gains, scale)
    return evaluate(run_of(lists), judgments_of(grades), wanted, gains=table, scale=scale, **policy)


def one(lists, grades, name, **policy):
    frame = values(lists, grades, name, **policy)
    return dict(zip(frame["query_id"], frame[str(parse(name))], strict=True))


# lists of up to 8 of 10 products, some judged: absent and empty queries, unjudged and unretrieved products all occur.
PRODUCTS = [f"p{i}" for i in range(9)] + ["naïve ☂"]
GRADES = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3", "Ω"]),
    st.dictionaries(st.sampled_from(PRODUCTS), st.integers(0, 3), min_size=1),
    min_size=1,
)
LISTS = st.dictionaries(
    st.sampled_from(["q0", "q1", "q2", "q3", "Ω"]),
    st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=8, unique=True),
)


def by_formula(name, products, judged):
    """The value of one list by the plain functions of ltr.measures."""
    measure = parse(name)
    grades, least, k = [judged.get(product) for product in products], measure.rel or 1, measure.cutoff
    gain = measures.exponential if measure.gains else measures.linear
    known = list(judged.values())
    ideal = [grade or 0 for grade in grades] if measure.ideal else known
    return {
        "nDCG": lambda: measures.ndcg(grades, ideal, k, gain=gain),
        "RR": lambda: measures.reciprocal_rank(grades, known, k, rel=least),
        "AP": lambda: measures.average_precision(grades, known, k, rel=least),
        "P": lambda: measures.precision(grades, k, rel=least),
        "Recall": lambda: measures.recall(grades, known, k, rel=least),
        "Judged": lambda: measures.judged_share(grades, k),
        "ERR": lambda: measures.expected_reciprocal_rank(grades, 3, k),
        "RBP": lambda: measures.rank_biased_precision(grades, k, p=measure.p, rel=least),
        "Success": lambda: measures.success(grades, known, k, rel=least),
        "bpref": lambda: measures.binary_preference(grades, known, rel=least),
    }[measure.name]()


@settings(deadline=None, max_examples=100)
@given(lists=LISTS, grades=GRADES, cut=st.booleans())
def test_evaluate_equals_the_formulas_list_by_list(lists, grades, cut):
    names = [name for name in ALL if "@" in name and "list" not in name] if cut else ALL
    frame = values(lists, grades, *names)
    assert frame["query_id"].to_list() == sorted(grades)
    for row in frame.iter_rows(named=True):
        judged, products = grades[row["query_id"]], lists.get(row["query_id"], [])
        for name in names:
            assert row[str(parse(name))] == pytest.approx(by_formula(name, products, judged), abs=1e-12, nan_ok=True), (
                name
            )


@settings(deadline=None, max_examples=50)
@given(lists=LISTS, grades=GRADES, seed=st.integers(0, 99))
def test_neither_the_order_of_the_judgments_nor_other_queries_matter(lists, grades, seed):
    wanted = [parse(name) for name in ALL]
    policy = {"gains": gain_table("linear", GRADED), "scale": GRADED, "empty": "one"}
    judgments = judgments_of(grades)
    whole = evaluate(run_of(lists), judgments, wanted, **policy)
    shuffled = evaluate(run_of(lists), judgments.sample(fraction=1, shuffle=True, seed=seed), wanted, **policy)
    alone = [evaluate(run_of(lists), part, wanted, **policy) for part in judgments.partition_by("query_id")]
    assert whole.equals(shuffled)
    assert whole.equals(pl.concat(alone).sort("query_id"))


def test_the_frame_has_a_row_a_judged_query_and_a_float_column_a_measure():
    frame = values({"b": ["p1"]}, {"b": {"p1": 1}, "a": {"p1": 1}}, "nDCG@10", "RR", "nDCG@10")
    assert frame.schema == {"query_id": pl.String, "nDCG@10": pl.Float64, "RR": pl.Float64}
    assert frame.rows() == [("a", 0.0, 0.0), ("b", 1.0, 1.0)]


# a query without a relevant product: what each measure says of it under each rule. P and Judged are defined all the same.
EMPTY_QUERY = {
    "nDCG@10": {"skip": math.nan, "zero": 0, "one": 1},
    "RR": {"skip": math.nan, "zero": 0, "one": 1},
    "AP": {"skip": math.nan, "zero": 0, "one": 1},
    "Recall@10": {"skip": math.nan, "zero": 0, "one": 1},
    "nDCG(ideal=list)@10": {"skip": math.nan, "zero": 0, "one": 1},
    "Success@10": {"skip": math.nan, "zero": 0, "one": 1},
    "bpref": {"skip": math.nan, "zero": 0, "one": 1},
    "P@10": {"skip": 0, "zero": 0, "one": 0},
    "RBP@10": {"skip": 0, "zero": 0, "one": 0},
    "ERR@10": {"skip": 0, "zero": 0, "one": 0},
    "Judged@4": {"skip": 1 / 2, "zero": 1 / 2, "one": 1 / 2},
}


@pytest.mark.parametrize("rule", ["skip", "zero", "one"])
@pytest.mark.parametrize("name", EMPTY_QUERY)
def test_the_empty_query_rule(name, rule):
    (found,) = one({"q": ["p1", "p2"]}, {"q": {"p1": 0, "p9": 0}}, name, empty=rule).values()
    assert found == pytest.approx(EMPTY_QUERY[name][rule], nan_ok=True)


@pytest.mark.parametrize("rule", ["skip", "zero", "one"])
@pytest.mark.parametrize("name", [name for name in EMPTY_QUERY if "list" not in name])
def test_a_query_that_the_run_lacks_counts_as_zero_under_every_rule(name, rule):
    assert one({"other": ["p1"]}, {"q": {"p1": 1}}, name, empty=rule) == {"q": 0}


def test_the_ideal_of_a_list_is_its_own_best_order():
    lists, grades = {"q": ["p1", "p2", "p3"]}, {"q": {"p1": 1, "p2": 3, "p9": 3}}
    best = 3 + 1 / math.log2(3)
    assert one(lists, grades, "nDCG(ideal=list)")["q"] == pytest.approx((1 + 3 / math.log2(3)) / best)
    # the best order of the whole list, of which the cutoff shows the top
    assert one(lists, grades, "nDCG(ideal=list)@1")["q"] == pytest.approx(1 / 3)
    assert one({"q": ["p2", "p1"]}, grades, "nDCG(ideal=list)")["q"] == 1
    assert math.isnan(one({"other": ["p1"]}, grades, "nDCG(ideal=list)")["q"])


@settings(max_examples=50)
@given(lists=LISTS, grades=GRADES)
def test_the_ideal_of_a_list_is_that_of_the_judgments_it_holds(lists, grades):
    kept = {query: {p: g for p, g in judged.items() if p in lists.get(query, [])} for query, judged in grades.items()}
    kept = {query: judged for query, judged in kept.items() if judged}
    found = values(lists, grades, "nDCG(ideal=list)", "nDCG(ideal=list)@2")
    expected = values(lists, kept, "nDCG", "nDCG@2")
    both = expected.join(found, on="query_id", how="left", maintain_order="left")
    assert both["nDCG"].equals(both["nDCG(ideal=list)"].rename("nDCG"))
    assert both["nDCG@2"].equals(both["nDCG(ideal=list)@2"].rename("nDCG@2"))


@settings(max_examples=50)
@given(lists=LISTS, grades=GRADES, cut=st.booleans())
def test_condensed_lists_are_measured_as_if_they_were_the_run(lists, grades, cut):
    names = [name for name in ALL if "@" in name] if cut else ALL
    condensed = {query: [p for p in shown if p in grades.get(query, {})] for query, shown in lists.items()}
    assert values(lists, grades, *names, condensed=True).equals(values(condensed, grades, *names))


def test_emptiness_is_a_matter_of_each_measure():
    found = values({"q": ["p1"]}, {"q": {"p1": 1}}, "RR", "RR(rel=2)", "nDCG", "nDCG(gains=0/0/1/2)").row(0)
    assert found == ("q", 1, pytest.approx(math.nan, nan_ok=True), 1, pytest.approx(math.nan, nan_ok=True))


def test_a_query_that_only_the_run_has_is_left_out():
    assert one({"q": ["p1"], "unjudged": ["p1"]}, {"q": {"p1": 1}}, "RR") == {"q": 1}


def test_a_relevant_product_that_was_not_retrieved_counts_in_the_ideal():
    assert one({"q": ["p1"]}, {"q": {"p1": 1, "p2": 3}}, "nDCG@10")["q"] == pytest.approx(1 / (3 + 1 / math.log2(3)))


def test_ranks_decide_whatever_the_scores_say():
    run = run_of({"q": ["p1", "p2"]}).with_columns(score=pl.lit(1.0, dtype=pl.Float32))
    frame = evaluate(
        run, judgments_of({"q": {"p1": 1}}), [parse("RR")], gains=np.array([0.0, 1.0]), scale=scale("binary")
    )
    assert frame["RR"].item() == 1


def test_a_perfect_list_has_exactly_one():
    grades = {f"p{i:03d}": i % 4 for i in range(200)}
    best = sorted(grades, key=grades.get, reverse=True)
    for gains in ("linear", "exponential", "esci", "esci-swapped"):
        order = gain_table(gains, GRADED)
        ideal = sorted(best, key=lambda product, order=order: -order[grades[product]])
        assert one({"q": ideal}, {"q": grades}, "nDCG", gains=gains)["q"] == 1.0


def test_a_measure_without_gains_or_rel_takes_those_of_the_evaluation():
    lists, grades = {"q": ["p1", "p2"]}, {"q": {"p1": 1, "p2": 3}}
    assert (
        one(lists, grades, "nDCG@2", gains="exponential")["q"]
        == one(lists, grades, "nDCG(gains=exponential)@2")["q"]
        == pytest.approx((1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3)))
    )
    assert one(lists, grades, "RR", rel=2)["q"] == one(lists, grades, "RR(rel=2)", rel=1)["q"] == 1 / 2
    assert one(lists, grades, "P(rel=1)@2", rel=3)["q"] == 1


def test_weights_of_judgments_do_not_enter():
    judgments, wanted = judgments_of({"q": {"p1": 1, "p2": 1}}), [parse("nDCG"), parse("AP")]
    policy = {"gains": np.array([0.0, 1.0]), "scale": scale("binary")}
    doubtful = judgments.with_columns(weight=pl.lit(0.1, dtype=pl.Float32))
    run = run_of({"q": ["p3", "p2"]})
    assert evaluate(run, judgments, wanted, **policy).equals(evaluate(run, doubtful, wanted, **policy))


def test_no_judgments_give_no_rows():
    assert values({"q": ["p1"]}, {}, *ALL).height == 0
    assert values({}, {}, *ALL).height == 0


@pytest.mark.parametrize("grade", [-1, 4, 1.5])
def test_a_grade_off_the_scale_is_refused(grade):
    with pytest.raises(JudgmentError, match=r"of product 'p1' for query 'q' is not on scale '0-3'; .* 0 to 3"):
        one({}, {"q": {"p0": 1, "p1": grade}}, "RR")


def test_bad_policies_are_refused():
    with pytest.raises(MeasureError, match=r"P\(rel=2\)@10 with rel=2: scale 'binary' has the grades 0 to 1"):
        one({}, {"q": {"p1": 1}}, "P(rel=2)@10", scale=scale("binary"))
    with pytest.raises(MeasureError, match="no measures are named"):
        values({}, {"q": {"p1": 1}})
    with pytest.raises(ConfigError, match=r"rule 'skipp' is unknown; did you mean 'skip'\? rules: one, skip, zero"):
        one({}, {"q": {"p1": 1}}, "RR", empty="skipp")
    with pytest.raises(ConfigError, match="have 2 values; scale '0-3' has 4 grades"):
        one({}, {"q": {"p1": 1}}, "nDCG(gains=0/1)@10")


def test_frames_that_break_their_law_are_refused_at_the_door():
    policy = {"gains": np.array([0.0, 1.0]), "scale": scale("binary")}
    judgments, run = judgments_of({"q": {"p1": 1}}), run_of({"q": ["p1"]})
    with pytest.raises(JudgmentError, match="occurs more than once"):
        evaluate(run, pl.concat([judgments, judgments]), [parse("RR")], **policy)
    with pytest.raises(DataError, match="ranks are not"):
        evaluate(run.with_columns(rank=pl.lit(2, dtype=pl.UInt32)), judgments, [parse("RR")], **policy)
