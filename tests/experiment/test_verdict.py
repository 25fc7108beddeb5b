"""A ranker that no data prove better than a simpler order is not passed over in silence."""

import numpy as np
import polars as pl

from ltr import evaluation
from ltr.experiment.result import Rows
from ltr.experiment.verdict import verdict

LABELS = {"retrieval": "retrieval order", "best_feature": "best feature: title_bm25", "lightgbm": "LightGBM"}


def said(gains, *, n=200):
    """The verdict where each row lies so much above the retrieval order, with noise of .1 a query."""
    generator = np.random.default_rng(1)
    base = generator.uniform(0.2, 0.6, n)
    per_query = {
        row: pl.DataFrame(
            {"query_id": [f"q{i}" for i in range(n)], "RR": base + gain + (generator.normal(0, 0.1, n) if gain else 0)}
        )
        for row, gain in {"retrieval": 0.0, **gains}.items()
    }
    against = [
        evaluation.compare(
            {row: per_query[row], "lightgbm": per_query["lightgbm"]}, baseline=row, measure="RR", permutations=1_000
        )[0]
        for row in per_query
        if row not in ("retrieval", "lightgbm")
    ]
    table = Rows(
        labels={row: LABELS[row] for row in per_query},
        measures={row: evaluation.summarise(frame) for row, frame in per_query.items()},
        comparisons=tuple(evaluation.compare(per_query, baseline="retrieval", measure="RR", permutations=1_000)),
        queries={"test": n},
        against=tuple(against),
    )
    return verdict(per_query, table, first="RR")


def test_a_proven_ranker_needs_no_words():
    assert said({"best_feature": 0.05, "lightgbm": 0.2}) == ""


def test_a_small_gain_over_the_best_simple_row_is_told_with_the_queries_it_takes():
    sentence = said({"best_feature": 0.1, "lightgbm": 0.104})
    assert sentence.startswith("LightGBM is not proven better than best feature: title_bm25 (+0.0")
    assert "200 queries prove differences from about 0.0" in sentence
    assert "this one would take about" in sentence


def test_a_worse_ranker_is_told_with_what_to_serve_instead():
    assert "is proven worse than best feature: title_bm25 (-0.1" in said({"best_feature": 0.2, "lightgbm": 0.05})
    assert said({"best_feature": 0.2, "lightgbm": 0.05}).endswith("serve that order, or judge more queries")
    assert "is no better than" in said({"best_feature": 0.1, "lightgbm": 0.085})


def test_the_retrieval_order_counts_as_a_simple_row():
    assert said({"lightgbm": 0.012}).startswith("LightGBM is not proven better than retrieval order (+0.0")
