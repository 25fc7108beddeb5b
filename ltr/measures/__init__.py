"""Measures of a ranking, as values: nDCG, ERR, RBP, RR, AP, bpref, P, Success, Recall and Judged.

A measure is an immutable value. Its canonical string is its equality and its hash, so that one spelling serves as
configuration, dictionary key, column name and table heading. ``FAMILIES`` says what each may say; ``gains`` and ``rel`` that
it leaves open are the evaluation's to decide:

    gains    of nDCG: a name of GAINS, or one gain a grade
    ideal    of nDCG: the best order of all that is judged (default), or ``list``: of the products that the list holds,
             which is what LightGBM, XGBoost, scikit-learn and TF-Ranking call nDCG
    p        of RBP: the probability of going on to the next product, default .8
    rel      the least grade that counts as relevant

``formulas`` says what each is. infAP is not among them: where no product is known to be pooled but unjudged, it is AP.

>>> parse("P(rel=2)@10"), parse("nDCG(ideal=list, gains=esci)@10"), parse("RBP"), parse("nDCG@10").slug
(P(rel=2)@10, nDCG(gains=esci,ideal=list)@10, RBP(p=0.8), 'nDCG_10')
"""

from ltr.measures.formulas import (
    average_precision,
    binary_preference,
    dcg,
    expected_reciprocal_rank,
    judged_share,
    ndcg,
    precision,
    rank_biased_precision,
    recall,
    reciprocal_rank,
    success,
)
from ltr.measures.gains import GAINS, SCALES, Gain, Scale, exponential, gain_table, linear, scale
from ltr.measures.measure import FAMILIES, Family, Measure, parse

__all__ = [
    "FAMILIES",
    "GAINS",
    "SCALES",
    "Family",
    "Gain",
    "Measure",
    "Scale",
    "average_precision",
    "binary_preference",
    "dcg",
    "expected_reciprocal_rank",
    "exponential",
    "gain_table",
    "judged_share",
    "linear",
    "ndcg",
    "parse",
    "precision",
    "rank_biased_precision",
    "recall",
    "reciprocal_rank",
    "scale",
    "success",
]
