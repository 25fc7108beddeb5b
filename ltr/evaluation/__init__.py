"""Evaluation: how good a run is by the judgments, and whether one ranker is better than another.

Per-query values first (``evaluate``): a row a query, with ``query_id`` and one Float64 column a measure, named by the
measure itself; NaN is a query that the empty-query rule skips. All else is of such frames:

    summarise                      means with bootstrap intervals
    compare                        a paired test of each ranker against a baseline, Holm-corrected, with its effect size
    detectable, queries_needed     the differences that so many queries would prove, and how many one takes
    by_segment, summarise_segments, compare_segments    the same for parts of the queries; by_length, by_popularity
    recovered                      the share of what biased clicks cost that a method wins back
    moved, side_by_side            the queries that moved most between two rankers, with their lists

>>> import numpy as np, polars as pl
>>> from ltr import frames, measures
>>> judgments = pl.DataFrame({"query_id": ["q", "q"], "product_id": ["a", "b"], "grade": [1, 0], "weight": [1, 1]})
>>> run = frames.ranked(pl.DataFrame({"query_id": ["q", "q"], "product_id": ["b", "a"], "score": [0.9, 0.8]}))
>>> binary = measures.scale("binary")
>>> evaluate(run, judgments, [measures.parse("RR")], gains=measures.gain_table("linear", binary), scale=binary).row(0)
('q', 0.5)
"""

from ltr.evaluation.bootstrap import Estimate, summarise
from ltr.evaluation.gap import Recovered, recovered
from ltr.evaluation.movers import moved, side_by_side
from ltr.evaluation.paired import TESTS, randomisation_p
from ltr.evaluation.per_query import EMPTY, evaluate
from ltr.evaluation.power import detectable, effect_size, queries_needed
from ltr.evaluation.segments import by_length, by_popularity, by_segment, compare_segments, summarise_segments
from ltr.evaluation.significance import ALPHA, Comparison, compare, differences, holm

__all__ = [
    "ALPHA",
    "EMPTY",
    "TESTS",
    "Comparison",
    "Estimate",
    "Recovered",
    "by_length",
    "by_popularity",
    "by_segment",
    "compare",
    "compare_segments",
    "detectable",
    "differences",
    "effect_size",
    "evaluate",
    "holm",
    "moved",
    "queries_needed",
    "randomisation_p",
    "recovered",
    "side_by_side",
    "summarise",
    "summarise_segments",
]
