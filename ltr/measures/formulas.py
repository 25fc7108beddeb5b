"""What each measure is, as a function of one list's grades.

``grades`` are those of the ranked products, best rank first, None for a product without a judgment, which counts as
grade zero (bpref alone passes over it); ``judged`` are the grades of all the query's judgments, retrieved or not. A
measure that is 0 ÷ 0 is NaN; ``ltr.evaluation`` does the same for whole runs, and says what becomes of those.

>>> ndcg([0, 3], [3, 0]), reciprocal_rank([0, 3], [3, 0])       # 1/log₂3, 1/2
(0.6309297535714574, 0.5)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltr.errors import MeasureError
from ltr.measures.gains import Gain, exponential, linear

__all__ = [
    "average_precision",
    "binary_preference",
    "dcg",
    "expected_reciprocal_rank",
    "judged_share",
    "ndcg",
    "precision",
    "rank_biased_precision",
    "recall",
    "reciprocal_rank",
    "success",
]


def dcg(grades: Sequence[float | None], cutoff: int | None = None, *, gain: Gain = linear) -> float:
    """Discounted cumulative gain (Järvelin & Kekäläinen, TOIS 2002).

        DCG@k = Σ gain(gᵢ) / log₂(i + 1),  i = 1 … k

    >>> dcg([0, 3, 1])                       # 3/log₂3 + 1/log₂4
    2.3927892607143724
    """
    return sum((gain(grade or 0) / math.log2(i + 1) for i, grade in enumerate(_top(grades, cutoff), start=1)), 0.0)


def ndcg(
    grades: Sequence[float | None], judged: Sequence[float], cutoff: int | None = None, *, gain: Gain = linear
) -> float:
    """Normalised discounted cumulative gain: DCG@k ÷ that of the best possible order of all that is judged.

    A relevant product that was not retrieved is part of the ideal.

    >>> ndcg([0, 1], [1, 1, 0], cutoff=2)    # (1/log₂3) ÷ (1 + 1/log₂3)
    0.38685280723454163
    """
    best = sorted(judged, key=gain, reverse=True)
    ideal = dcg(best, cutoff, gain=gain)
    return dcg(grades, cutoff, gain=gain) / ideal if ideal else math.nan


def reciprocal_rank(
    grades: Sequence[float | None], judged: Sequence[float], cutoff: int | None = None, *, rel: float = 1
) -> float:
    """Reciprocal rank: 1 ÷ the rank of the first relevant product, 0 where none is within the cutoff.

    >>> reciprocal_rank([0, None, 1, 1], [1, 1, 0])
    0.3333333333333333
    """
    if not _relevant(judged, rel):
        return math.nan
    return next((1 / i for i, grade in enumerate(_top(grades, cutoff), start=1) if (grade or 0) >= rel), 0.0)


def average_precision(
    grades: Sequence[float | None], judged: Sequence[float], cutoff: int | None = None, *, rel: float = 1
) -> float:
    """Average precision: the mean, over all relevant products, of the precision at their rank; 0 if not retrieved.

        AP@k = Σ [gᵢ ≥ rel] · P@i / R,  i = 1 … k,  R = judged products with a grade of at least rel

    >>> average_precision([1, 0, 1], [1, 1, 1, 0])      # (1/1 + 2/3) ÷ 3
    0.5555555555555555
    """
    total = _relevant(judged, rel)
    if not total:
        return math.nan
    ranks = [i for i, grade in enumerate(_top(grades, cutoff), start=1) if (grade or 0) >= rel]
    return sum(found / i for found, i in enumerate(ranks, start=1)) / total


def precision(grades: Sequence[float | None], cutoff: int, *, rel: float = 1) -> float:
    """Precision: relevant products in ranks 1 … k, ÷ k, however short the list.

    >>> precision([1, None, 0], 5)
    0.2
    """
    return _relevant(_top(grades, cutoff), rel) / cutoff


def recall(
    grades: Sequence[float | None], judged: Sequence[float], cutoff: int | None = None, *, rel: float = 1
) -> float:
    """Recall: relevant products in ranks 1 … k, ÷ all relevant products that are judged.

    >>> recall([1, 0, 1], [1, 1, 1, 0], cutoff=2)
    0.3333333333333333
    """
    total = _relevant(judged, rel)
    return _relevant(_top(grades, cutoff), rel) / total if total else math.nan


def success(grades: Sequence[float | None], judged: Sequence[float], cutoff: int, *, rel: float = 1) -> float:
    """Success: 1 where a relevant product is in ranks 1 … k, else 0 (hit rate).

    >>> success([0, 1], [1, 1, 0], 1), success([0, 1], [1, 1, 0], 2)
    (0.0, 1.0)
    """
    return math.ceil(reciprocal_rank(grades, judged, cutoff, rel=rel)) * 1.0 if _relevant(judged, rel) else math.nan


def expected_reciprocal_rank(grades: Sequence[float | None], maximum: int, cutoff: int | None = None) -> float:
    """Expected reciprocal rank of the product that ends the search (Chapelle et al., CIKM 2009).

        ERR@k = Σ R(gᵢ)/i · Π (1 − R(gⱼ)),  i = 1 … k,  j = 1 … i − 1,  R(g) = (2^g − 1) ÷ 2^maximum

    >>> expected_reciprocal_rank([0, 3, 1], maximum=3)      # (7/8)/2 + (1/8)/3 · 1/8
    0.4427083333333333
    """
    value, onward = 0.0, 1.0
    for i, grade in enumerate(_top(grades, cutoff), start=1):
        stops = exponential(grade or 0) / 2.0**maximum
        value += onward * stops / i
        onward *= 1 - stops
    return value


def rank_biased_precision(
    grades: Sequence[float | None], cutoff: int | None = None, *, p: float = 0.8, rel: float = 1
) -> float:
    """Rank-biased precision: relevant products seen by one who goes on with probability p (Moffat & Zobel, TOIS 2008).

        RBP@k = (1 − p) Σ [gᵢ ≥ rel] · p^(i − 1),  i = 1 … k

    >>> rank_biased_precision([1, 0, 1], p=0.5)             # (1 + 1/4) ÷ 2
    0.625
    """
    return (1 - p) * sum(p**i for i, grade in enumerate(_top(grades, cutoff)) if (grade or 0) >= rel)


def binary_preference(grades: Sequence[float | None], judged: Sequence[float], *, rel: float = 1) -> float:
    """Binary preference (Buckley & Voorhees, SIGIR 2004, as trec_eval has it): unjudged products are passed over.

        bpref = Σ (1 − min(nᵢ, R) ÷ min(N, R)) ÷ R

    Sums over the retrieved relevant products; nᵢ: judged irrelevant products above i, R and N: relevant and irrelevant
    products that are judged. A product with nᵢ = 0 adds 1.

    >>> binary_preference([1, None, 0, 1], [1, 1, 0, 0, 0])     # (1 + (1 − 1/2)) ÷ 2
    0.75
    """
    relevant = _relevant(judged, rel)
    if not relevant:
        return math.nan
    bound, above, total = min(len(judged) - relevant, relevant), 0, 0.0
    for grade in grades:
        if grade is not None and grade >= rel:
            total += 1 - min(above, relevant) / bound if above else 1
        elif grade is not None:
            above += 1
    return total / relevant


def judged_share(grades: Sequence[float | None], cutoff: int) -> float:
    """Judged: the share of ranks 1 … k, or of the list where it is shorter, that has a judgment; 0 for an empty list.

    >>> judged_share([3, None, 0, None], 3)
    0.6666666666666666
    """
    top = _top(grades, cutoff)
    return sum(grade is not None for grade in top) / max(len(top), 1)


def _top(grades: Sequence[float | None], cutoff: int | None) -> Sequence[float | None]:
    if cutoff is not None and cutoff < 1:
        raise MeasureError(f"cutoff {cutoff} is below 1", hint="give a number of ranks, or None for the whole list")
    return grades[:cutoff]


def _relevant(grades: Sequence[float | None], rel: float) -> int:
    return sum((grade or 0) >= rel for grade in grades)
