"""How long an online test takes: users, searches and days for a difference, or the difference that so many days would show.

    n = σ² f (z₁₋α⁄₂ + z_power)² ÷ δ²,   f = 1/share + 1/(1 − share) of an A/B test, 1 of an interleaving

σ is the standard deviation of one user's linearised value in a log (``ratios``), δ the difference: in a measure's own unit for
an A/B test, in Δ for an interleaving (Cohen 1988; Kohavi, Tang & Xu 2020, chapter 17). Days follow from the log's own rate:
as many days again bring as many users again, which is too hopeful where the same users come back and too cautious where what
they do on more days makes each of them more certain.

>>> traffic = Traffic(value=0.1, deviation=0.3, users=7_000, searches=21_000, days=7)
>>> plan = needed(traffic, 0.01, share=0.5)                         # 4 · .09 · 7.849 ÷ .0001
>>> plan.users, plan.searches, plan.days
(28256, 84768, 29)
>>> round(detectable(traffic, 28, share=0.5).difference, 4)
0.01
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from ltr.errors import ConfigError, DataError
from ltr.evaluation.abtest import of_users
from ltr.evaluation.abtest_users import Days, totals
from ltr.evaluation.distributions import normal_quantile
from ltr.evaluation.interleaving_outcomes import by_unit
from ltr.evaluation.ratios import linearised

__all__ = ["Plan", "Traffic", "detectable", "needed", "of_clicks", "of_interleaved", "of_log"]


@dataclass(frozen=True)
class Traffic:
    """What a log says of a measure.

    Args:
        value: of the measure; of an interleaving Δ.
        deviation: of one user's linearised value.
        users: in the log; of an interleaving those with a point.
        searches: theirs and, of an interleaving, all others'.
        days: from the first to the last.
    """

    value: float
    deviation: float
    users: int
    searches: int
    days: int


@dataclass(frozen=True)
class Plan:
    """A test that proves a difference with probability ``power``; users and searches are those of all variants together."""

    difference: float
    users: int
    searches: int
    days: int
    power: float
    alpha: float


def of_log(days: Days, measure: str) -> Traffic:
    """The traffic of a log by a measure of ``abtest.MEASURES``, over all its variants together."""
    users = totals(days.days)
    values = linearised(*of_users(users, measure))
    return _checked(Traffic(float(values.mean()), _deviation(values), *_size(days.days, users)))


def of_interleaved(searches: pl.DataFrame) -> Traffic:
    """The traffic of searches that were interleaved (``interleaving_outcomes.by_search``)."""
    users = by_unit(searches)
    values = linearised(*(users[name].to_numpy().astype(np.float64) for name in ("net", "decided"))) / 2
    dates = searches["shown_on"].drop_nulls()
    return _checked(Traffic(float(values.mean()), _deviation(values), users.height, searches.height, _span(dates)))


def of_clicks(days: Days, *, differing: float = 1.0) -> Traffic:
    """What an interleaving would be in a log without one, by the most that luck can do: each search with a point is ±1.

        σ² = users ÷ 4 (searches with a point),   searches with a point = differing · searches with a click

    Args:
        days: of ``abtest_users.by_day``.
        differing: the share of searches with a click where a product is clicked that the rankings disagree about.
    """
    if not 0 < differing <= 1:
        raise ConfigError(f"differing is {differing:g}", hint="it is a share, above 0 and at most 1")
    users = totals(days.days)
    clicked = int(users["clicked_searches"].sum())
    if not clicked:
        raise DataError("no search of the log has a click", hint="give a log with clicks")
    active = int((users["clicked_searches"] > 0).sum())
    _, searches, length = _size(days.days, users)
    return Traffic(0.0, math.sqrt(active / (4 * differing * clicked)), active, searches, length)


def needed(
    traffic: Traffic,
    difference: float,
    *,
    share: float | None = None,
    part: float = 1.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> Plan:
    """What it takes to prove a difference.

    Args:
        traffic: of a log.
        difference: in the measure's unit.
        share: of the users in the test that one of two variants gets; None = all see both, as in an interleaving.
        part: the share of all traffic that takes part in the test.
        power: the probability of proving it.
        alpha: of a two-sided test.
    """
    if not difference or not math.isfinite(difference):
        raise ConfigError(f"the difference is {difference:g}", hint="give the least that is worth finding")
    _check_shares(share, part)
    users = traffic.deviation**2 * _factor(share) * (_sum_of_quantiles(power, alpha) / difference) ** 2
    return Plan(
        difference=difference,
        users=max(2, math.ceil(users)),
        searches=math.ceil(max(2, users) * traffic.searches / traffic.users),
        days=max(1, math.ceil(users / (part * traffic.users) * traffic.days)),
        power=power,
        alpha=alpha,
    )


def detectable(
    traffic: Traffic,
    days: float,
    *,
    share: float | None = None,
    part: float = 1.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> Plan:
    """The least difference that so many days would prove; the rest as ``needed`` has it."""
    if not days > 0:
        raise ConfigError(f"{days:g} days", hint="give 1 or more")
    _check_shares(share, part)
    users = part * traffic.users * days / traffic.days
    difference = traffic.deviation * math.sqrt(_factor(share) / users) * _sum_of_quantiles(power, alpha)
    return Plan(
        difference, round(users), round(users * traffic.searches / traffic.users), math.ceil(days), power, alpha
    )


def _factor(share: float | None) -> float:
    return 1.0 if share is None else 1 / share + 1 / (1 - share)


def _sum_of_quantiles(power: float, alpha: float) -> float:
    if not 0 < alpha < power < 1:
        raise ConfigError(f"power {power:g} at alpha {alpha:g}", hint="give 0 < alpha < power < 1, such as .05 and .8")
    return normal_quantile(1 - alpha / 2) + normal_quantile(power)


def _check_shares(share: float | None, part: float) -> None:
    if (share is not None and not 0 < share < 1) or not 0 < part <= 1:
        raise ConfigError(f"share is {share} and part {part:g}", hint="they are shares, share between 0 and 1")


def _deviation(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _size(days: pl.DataFrame, users: pl.DataFrame) -> tuple[int, int, int]:
    return users.height, int(users["searches"].sum()), _span(days["day"])


def _span(dates: pl.Series) -> int:
    ordered = dates.sort()
    return (ordered[-1] - ordered[0]).days + 1 if len(ordered) else 1


def _checked(traffic: Traffic) -> Traffic:
    if not traffic.deviation > 0:
        raise DataError(
            f"{traffic.users} users do not say how much users vary", hint="give a longer log, or another measure"
        )
    return traffic
