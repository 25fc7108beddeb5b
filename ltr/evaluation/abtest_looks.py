"""An A/B test or an interleaving looked at after each of its days: always-valid p-values and confidence sequences.

Each look takes all users and all their searches so far. The number of users may grow slowly, as they come back: what counts is
that the first look at which p is below α may be the last (``sequential``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from ltr.errors import DataError
from ltr.evaluation.abtest import of_users
from ltr.evaluation.abtest_users import totals
from ltr.evaluation.interleaving_outcomes import by_unit, ratio_of
from ltr.evaluation.ratios import linearised, welch
from ltr.evaluation.sequential import always_valid

__all__ = ["Look", "abtest_looks", "interleaving_looks"]

_TOO_FEW: Final = (float("nan"), float("nan"), 0)


@dataclass(frozen=True)
class Look:
    """What is known at the end of a day: the difference so far, its always-valid p, and the confidence sequence."""

    day: date
    users: int
    difference: float
    p_value: float
    low: float
    high: float


def abtest_looks(
    days: pl.DataFrame, *, control: str, variant: str, measure: str, planned: float, alpha: float = 0.05
) -> list[Look]:
    """A measure after each day.

    Args:
        days: of ``abtest_users.by_day``.
        control: the variant compared with.
        variant: the one compared.
        measure: of ``abtest.MEASURES``.
        planned: users of both at which the interval is narrowest; set before the first look.
        alpha: of the confidence sequence.
    """
    seen = []
    dates = days["day"].unique().sort().to_list()
    for day in dates:
        users = totals(days, until=day)
        arms = [users.filter(pl.col("variant") == each) for each in (control, variant)]
        if min(arm.height for arm in arms) < 2:
            seen.append(_TOO_FEW)
            continue
        found = welch(*(linearised(*of_users(arm, measure)) for arm in arms))
        seen.append((float(found.value), float(found.standard_error), sum(arm.height for arm in arms)))
    return _looks(dates, seen, planned=planned, alpha=alpha)


def interleaving_looks(searches: pl.DataFrame, *, planned: float, alpha: float = 0.05) -> list[Look]:
    """Δ after each day, of the searches of ``interleaving_outcomes.by_search``; ``planned`` users with a point."""
    if searches["shown_on"].null_count():
        raise DataError("the impressions have no shown_at", hint="log when each list was shown")
    seen = []
    dates = searches["shown_on"].unique().sort().to_list()
    for day in dates:
        users = by_unit(searches.filter(pl.col("shown_on") <= day))
        if users.height < 2:
            seen.append(_TOO_FEW)
            continue
        found = ratio_of(*(users[name].to_numpy().astype(np.float64) for name in ("net", "decided")))
        seen.append((float(found.value), float(found.standard_error), users.height))
    return _looks(dates, seen, planned=planned, alpha=alpha)


def _looks(dates: list[date], seen: Sequence[tuple[Any, ...]], *, planned: float, alpha: float) -> list[Look]:
    difference, error, users = (np.array(column, dtype=np.float64) for column in zip(*seen, strict=True))
    found = always_valid(difference, error, users, planned=planned, alpha=alpha)
    return [
        Look(
            day,
            int(users[at]),
            float(difference[at]),
            *(float(each[at]) for each in (found.p_value, found.low, found.high)),
        )
        for at, day in enumerate(dates)
    ]
