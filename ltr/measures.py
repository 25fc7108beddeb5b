"""Measures of a ranking: nDCG, RR, AP, P, Recall and Judged, as values and as functions of a list's grades.

A measure is an immutable value. Its canonical string is its equality and its hash, so that one spelling serves as
configuration, dictionary key, column name and table heading. Cutoffs are optional for nDCG, RR, AP and Recall. What a
measure does not say itself (``gains`` of nDCG, ``rel`` of the others) is the evaluation's to decide.

The functions say what each measure is, for one list: ``grades`` are those of the ranked products, best rank first, None
for a product without a judgment, which counts as grade zero; ``judged`` are the grades of all the query's judgments,
retrieved or not. A measure that is 0 ÷ 0 is NaN; ``ltr.evaluation`` does the same for whole runs, and says what
becomes of those.

>>> parse("P(rel=2)@10"), parse("nDCG@10").slug
(P(rel=2)@10, 'nDCG_10')
>>> parse("nDCG@10") == Measure("nDCG", cutoff=10)
True
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ConfigError, MeasureError, suggestion

__all__ = [
    "FAMILIES",
    "GAINS",
    "SCALES",
    "Family",
    "Gain",
    "Measure",
    "Scale",
    "average_precision",
    "dcg",
    "exponential",
    "gain_table",
    "judged_share",
    "linear",
    "ndcg",
    "parse",
    "precision",
    "recall",
    "reciprocal_rank",
    "scale",
]

Gain = Callable[[float], float]


@dataclass(frozen=True)
class Scale:
    """An ordinal scale of grades: the whole numbers 0 to maximum, 0 being irrelevant, each with a label."""

    name: str
    maximum: int
    labels: tuple[str, ...]


SCALES: Final = {
    "binary": Scale("binary", 1, ("irrelevant", "relevant")),
    "graded": Scale("graded", 4, ("bad", "fair", "good", "excellent", "perfect")),
    "esci": Scale("esci", 3, ("I", "C", "S", "E")),  # irrelevant, complement, substitute, exact
}


def scale(name: str) -> Scale:
    """The named scale, or "0-N" for N up to 30: LightGBM's own table of gains ends there.

    >>> scale("0-10").maximum
    10
    """
    if name in SCALES:
        return SCALES[name]
    found = re.fullmatch(r"0-([1-9]\d?)", name)
    if not found or int(found[1]) > 30:
        raise ConfigError(f"scale {name!r} is unknown", hint=suggestion(name, [*SCALES, "0-N (N ≤ 30)"], noun="scales"))
    maximum = int(found[1])
    return Scale(name, maximum, tuple(str(grade) for grade in range(maximum + 1)))


def linear(grade: float) -> float:
    """The grade itself (Järvelin & Kekäläinen, TOIS 2002; what trec_eval sums)."""
    return float(grade)


def exponential(grade: float) -> float:
    """2^grade − 1 (Burges et al., ICML 2005): the highest grades outweigh the rest."""
    return math.pow(2.0, grade) - 1.0


# ESCI's repository (amazon-science/esci-data, ranking/) publishes two tables: train.py fits with S .1 and C .01, while
# the command that scores its runs swaps the two. A figure set beside a published one must name the same table.
GAINS: Final[dict[str, Gain | tuple[float, ...]]] = {
    "linear": linear,
    "exponential": exponential,
    "esci": (0.0, 0.01, 0.1, 1.0),
    "esci-swapped": (0.0, 0.1, 0.01, 1.0),
}


def gain_table(gains: str | Sequence[float], scale: Scale) -> NDArray[np.float64]:
    """The gain of each grade of a scale: float64[maximum + 1], from a name of GAINS or the numbers themselves.

    A gain is finite and at least 0. That of grade zero is 0, since an unjudged product counts as grade zero.

    >>> gain_table("exponential", scale("esci"))
    array([0., 1., 3., 7.])
    """
    if isinstance(gains, str) and gains not in GAINS:
        raise ConfigError(f"gains {gains!r} are unknown", hint=suggestion(gains, GAINS, noun="gains"))
    chosen = GAINS[gains] if isinstance(gains, str) else tuple(gains)
    values = chosen if isinstance(chosen, tuple) else tuple(chosen(grade) for grade in range(scale.maximum + 1))
    if len(values) != scale.maximum + 1:
        raise ConfigError(
            f"gains {gains!r} have {len(values)} values; scale {scale.name!r} has {scale.maximum + 1} grades",
            hint="give one gain a grade, that of grade 0 first",
        )
    if not _are_gains(values):
        raise ConfigError(f"gains {gains!r} are not finite and at least 0, with 0 for grade 0 and some gain above it")
    return np.array(values, dtype=np.float64)


@dataclass(frozen=True)
class Family:
    """What the measures of one name may say: a parameter (gains or rel, or none), and whether a cutoff is needed."""

    parameter: str | None
    cutoff_required: bool


FAMILIES: Final = {
    "AP": Family("rel", cutoff_required=False),
    "Judged": Family(None, cutoff_required=True),
    "P": Family("rel", cutoff_required=True),
    "RR": Family("rel", cutoff_required=False),
    "Recall": Family("rel", cutoff_required=False),
    "nDCG": Family("gains", cutoff_required=False),
}

# What other tools call them; difflib does not see that 'ndcg' and 'nDCG' are near.
_ALIASES: Final = {name.casefold(): name for name in FAMILIES} | {
    "map": "AP",
    "mrr": "RR",
    "precision": "P",
    "r": "Recall",
}


@dataclass(frozen=True, eq=False, repr=False)
class Measure:
    """A measure and its parameters; None = no cutoff, or the evaluation's own gains or rel.

    Args:
        name: a key of FAMILIES.
        cutoff: only ranks 1 to cutoff count.
        rel: the least grade that counts as relevant.
        gains: a name of GAINS or one gain a grade.
    """

    name: str
    cutoff: int | None = None
    rel: float | None = None
    gains: str | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what no measure of this name has."""
        if self.name not in FAMILIES:
            near = _ALIASES.get(self.name.casefold(), self.name)
            raise MeasureError(f"measure {self.name!r} is unknown", hint=suggestion(near, FAMILIES, noun="measures"))
        family = FAMILIES[self.name]
        if self.cutoff is not None and self.cutoff < 1:
            raise MeasureError(f"{self.name}@{self.cutoff}: a cutoff is at least 1", hint=f"write {self.name}@10")
        if self.cutoff is None and family.cutoff_required:
            raise MeasureError(f"{self.name} needs a cutoff", hint=f"write {self.name}@10")
        for parameter, value in (("rel", self.rel), ("gains", self.gains)):
            if value is not None and parameter != family.parameter:
                raise _unknown_parameter(self.name, parameter)
        if self.rel is not None and not (math.isfinite(self.rel) and self.rel > 0):
            raise MeasureError(f"{self.name}: rel={self.rel:g} is not a grade above 0", hint="write P(rel=2)@10")
        if isinstance(self.gains, str) and self.gains not in GAINS:
            raise MeasureError(f"gains {self.gains!r} are unknown", hint=suggestion(self.gains, GAINS, noun="gains"))
        if isinstance(self.gains, tuple) and not _are_gains(self.gains):
            raise MeasureError(
                f"gains {self.gains!r} are not finite and at least 0, with 0 for grade 0 and some gain above it"
            )

    def __str__(self) -> str:
        """The canonical string, which ``parse`` reads back."""
        said = ""
        if self.rel is not None:
            said = f"(rel={_number(self.rel)})"
        if self.gains is not None:
            table = self.gains if isinstance(self.gains, str) else "/".join(map(_number, self.gains))
            said = f"(gains={table})"
        return self.name + said + (f"@{self.cutoff}" if self.cutoff is not None else "")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Measure) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def slug(self) -> str:
        """The name in letters, digits, ``_``, ``-`` and ``.``, for what refuses ``@`` and brackets, such as MLflow.

        >>> parse("P(rel=2)@10").slug
        'P_rel_2_10'
        """
        return str(self).translate(str.maketrans("@(=/", "___-", ")"))


def parse(text: str) -> Measure:
    """Read a measure: NAME, NAME@k or NAME(parameter=value)@k.

    >>> parse("nDCG(gains=0/1/3)@5").gains
    (0.0, 1.0, 3.0)
    """
    found = re.fullmatch(r"(\w+)(?:\((\w+)=([^()=,]+)\))?(?:@(\d{1,9}))?", text.strip(), flags=re.ASCII)
    if not found:
        raise MeasureError(f"measure {text!r} cannot be read", hint="write nDCG@10, RR, P(rel=2)@10, nDCG(gains=0/1/3)")
    name, parameter, value, cutoff = found.groups()
    at = int(cutoff) if cutoff is not None else None
    if parameter is None or name not in FAMILIES:
        return Measure(name, cutoff=at)
    try:
        if parameter == "rel":
            return Measure(name, cutoff=at, rel=float(value))
        if parameter == "gains":
            by_name = re.match(r"[a-z]", value)
            return Measure(name, cutoff=at, gains=value if by_name else tuple(map(float, value.split("/"))))
    except ValueError as error:
        raise MeasureError(f"measure {text!r}: {parameter} is not a number", hint="write rel=2, gains=0/1/3") from error
    raise _unknown_parameter(name, parameter)


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


def _are_gains(values: tuple[float, ...]) -> bool:
    return all(math.isfinite(value) and value >= 0 for value in values) and values[:1] == (0,) and max(values) > 0


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _unknown_parameter(name: str, parameter: str) -> MeasureError:
    allowed = FAMILIES[name].parameter
    return MeasureError(
        f"{name} has no parameter {parameter!r}", hint=f"its parameter: {allowed}" if allowed else "it has none"
    )
