"""A/B tests read from a log: first whether users are shared out as intended, then each measure's difference by user.

    CTR                  clicks ÷ products shown
    clicks_per_search    clicks ÷ searches
    clicked_searches     searches with a click ÷ searches
    conversion           users who bought ÷ users
    purchases_per_search purchases ÷ searches
    revenue_per_user     revenue ÷ users
    revenue_per_search   revenue ÷ searches

Each is a ratio of sums over users, whose difference is tested by the delta method (``ratios``) or by a bootstrap of users.
Over all measures and variants p is corrected by Holm's method. Where the shares of users are wrong (``assignment.sample_ratio``)
something loses users of one variant, and nothing is called proven.

What users did before the test takes out of a measure what they would have done anyway (CUPED: Deng, Xu, Kohavi & Walker,
WSDM 2013): lᵤ − θ (bᵤ − b̄), b the same measure's value before, θ = Cov(l, b) ÷ Var(b) within the variants; users who are new
have the mean.

>>> users = pl.DataFrame({"user_id": ["u1", "u2", "u3", "u4"], "variant": ["a", "a", "b", "b"], "clicks": [1, 0, 3, 2]})
>>> found = effects(users.with_columns(searches=2), control="a", measures=["clicks_per_search"])[0]
>>> found.variant, found.control, found.treatment, found.difference, round(found.lift, 9)       # 1/4 and 5/4
('b', 0.25, 1.25, 1.0, 4.0)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import polars as pl

from ltr.errors import ConfigError, DataError, suggestion
from ltr.evaluation.abtest_users import Days, totals
from ltr.evaluation.assignment import SampleRatio, sample_ratio
from ltr.evaluation.distributions import normal_quantile, upper_end
from ltr.evaluation.ratios import Floats, bootstrapped, bootstrapped_p, linearised, mean, percentiles, welch
from ltr.evaluation.significance import ALPHA, holm

__all__ = ["MEASURES", "METHODS", "Analysis", "Effect", "analyse", "effects", "of_users"]

# A measure -> the sums that it is the ratio of.
MEASURES: Final[dict[str, tuple[str, str]]] = {
    "CTR": ("clicks", "impressions"),
    "clicks_per_search": ("clicks", "searches"),
    "clicked_searches": ("clicked_searches", "searches"),
    "conversion": ("converted", "users"),
    "purchases_per_search": ("purchases", "searches"),
    "revenue_per_user": ("revenue", "users"),
    "revenue_per_search": ("revenue", "searches"),
}
METHODS: Final = ("delta", "bootstrap")


@dataclass(frozen=True)
class Effect:
    """One measure of one variant against the control.

    Args:
        measure: of MEASURES.
        variant: the one compared.
        control: the measure's value there.
        treatment: its value in the variant. With CUPED both are adjusted.
        difference: treatment − control, low and high its interval.
        lift: treatment ÷ control − 1, with the interval of the log ratio; NaN where either is not above 0.
        p_value: two-sided.
        p_holm: corrected for all effects.
        proven: p_holm < .05 and the users are shared out as intended.
    """

    measure: str
    variant: str
    control: float
    treatment: float
    difference: float
    low: float
    high: float
    lift: float
    lift_low: float
    lift_high: float
    p_value: float
    p_holm: float
    proven: bool


@dataclass(frozen=True)
class Analysis:
    """The shares of users first; the effects mean nothing where they are wrong.

    Args:
        sample_ratio: users by variant against the weights.
        searches: of each variant.
        several: users who saw more than one variant, left out.
        unknown: searches of nobody or of no variant, left out.
        control: the variant that others are compared with.
        method: of METHODS.
        adjusted: whether by what users did before (CUPED).
        effects: variant by variant, in the order of the measures.
    """

    sample_ratio: SampleRatio
    searches: dict[str, int]
    several: int
    unknown: int
    control: str
    method: str
    adjusted: bool
    effects: tuple[Effect, ...]


def analyse(
    days: Days,
    *,
    control: str,
    weights: Mapping[str, float] | None = None,
    measures: Sequence[str] | None = None,
    method: Literal["delta", "bootstrap"] = "delta",
    before: Days | None = None,
    seed: int = 7,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Analysis:
    """The whole test.

    Args:
        days: of ``abtest_users.by_day``.
        control: the variant that others are compared with.
        weights: variant -> the share of users intended; None = equal shares of those seen.
        measures: names of MEASURES; None = clicks_per_search, conversion, and revenue_per_user where the log has revenue.
        method: how a difference is tested.
        before: of the same users before the test, whatever their variant then.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: of the intervals.

    Raises:
        ConfigError: an unknown measure or method, or a control that nobody saw.
        DataError: one variant alone, or revenue that the log does not have.
    """
    users = totals(days.days)
    seen = users.group_by("variant").agg(pl.len(), pl.col("searches").sum()).sort("variant")
    counts = {name: count for name, count, _ in seen.rows()}
    if control not in counts:
        raise ConfigError(f"nobody saw the control {control!r}", hint=suggestion(control, counts, noun="variants"))
    if len(counts) < 2:
        raise DataError(f"the log has one variant alone, {control!r}", hint="give the log of both")
    shares = sample_ratio(counts, weights or dict.fromkeys(counts, 1.0))
    asked = list(measures) if measures else ["clicks_per_search", "conversion"]
    if not measures and users["revenue"].count():
        asked.append("revenue_per_user")
    found = effects(
        users,
        control=control,
        measures=asked,
        method=method,
        before=totals(before.days) if before else None,
        seed=seed,
        resamples=resamples,
        level=level,
    )
    return Analysis(
        sample_ratio=shares,
        searches={name: int(searches) for name, _, searches in seen.rows()},
        several=days.several,
        unknown=days.unknown,
        control=control,
        method=method,
        adjusted=before is not None,
        effects=tuple(replace(each, proven=each.proven and not shares.mismatch) for each in found),
    )


def effects(
    users: pl.DataFrame,
    *,
    control: str,
    measures: Sequence[str],
    method: Literal["delta", "bootstrap"] = "delta",
    before: pl.DataFrame | None = None,
    seed: int = 7,
    resamples: int = 10_000,
    level: float = 0.95,
) -> list[Effect]:
    """Each variant but the control by each measure, Holm-corrected; ``users`` and ``before`` as ``totals`` gives them."""
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is unknown", hint=suggestion(method, METHODS, noun="methods"))
    if method == "bootstrap" and before is not None:
        raise ConfigError("the bootstrap is not adjusted by what was before", hint="use the delta method")
    end = upper_end(level)
    variants = [each for each in users["variant"].unique().sort().to_list() if each != control]
    found = []
    for measure in measures:
        arms = {each: users.filter(pl.col("variant") == each) for each in (control, *variants)}
        values = {each: _values(part, measure) for each, part in arms.items()}
        if before is not None:
            values = _adjusted(values, {each: _before(part, before, measure) for each, part in arms.items()})
        for variant in variants:
            effect = _effect(measure, variant, values[control], values[variant], end)
            if method == "bootstrap":
                drawn = [
                    bootstrapped(*of_users(arms[each], measure), seed=seed + at, resamples=resamples)
                    for at, each in enumerate((control, variant))
                ]
                low, high = percentiles(drawn[1] - drawn[0], level=level)
                effect = replace(effect, low=low, high=high, p_value=bootstrapped_p(drawn[1] - drawn[0]))
            found.append(effect)
    corrected = holm([each.p_value for each in found])
    return [replace(each, p_holm=p, proven=p < ALPHA) for each, p in zip(found, corrected, strict=True)]


def of_users(users: pl.DataFrame, measure: str) -> tuple[Floats, Floats]:
    """The numerator and the denominator of a measure, a user each."""
    if measure not in MEASURES:
        raise ConfigError(f"measure {measure!r} is unknown", hint=suggestion(measure, MEASURES, noun="measures"))
    numerator, denominator = (users[name] for name in MEASURES[measure])
    if numerator.null_count():
        raise DataError(f"the log has no {numerator.name} for {measure}", hint="log it, or leave the measure out")
    return numerator.cast(pl.Float64).to_numpy(), denominator.cast(pl.Float64).to_numpy()


def _values(users: pl.DataFrame, measure: str) -> Floats:
    return linearised(*of_users(users, measure))


def _effect(measure: str, variant: str, control: Floats, treatment: Floats, end: float) -> Effect:
    arms, difference = (mean(control), mean(treatment)), welch(control, treatment)
    theirs, ours = (float(arm.value) for arm in arms)
    low, high = (float(bound) for bound in difference.interval(2 * end - 1))
    lift = (math.nan, math.nan, math.nan)
    if theirs > 0 and ours > 0:
        spread = math.hypot(*(float(arm.standard_error) / float(arm.value) for arm in arms)) * normal_quantile(end)
        middle = math.log(ours / theirs)
        lift = (math.expm1(middle), math.expm1(middle - spread), math.expm1(middle + spread))
    p_value = float(difference.p_value())
    return Effect(measure, variant, theirs, ours, ours - theirs, low, high, *lift, p_value, p_value, False)


def _before(users: pl.DataFrame, before: pl.DataFrame, measure: str) -> Floats:
    """The measure's value before, in each of these users; NaN in those who are new."""
    unit = users.columns[0]
    known = before.with_columns(value=pl.Series(_values(before, measure), dtype=pl.Float64)).select(unit, "value")
    return users.select(unit).join(known, on=unit, how="left", maintain_order="left")["value"].to_numpy()


def _adjusted(values: Mapping[str, Floats], before: Mapping[str, Floats]) -> dict[str, Floats]:
    every = np.concatenate(list(before.values()))
    middle = float(np.nanmean(every)) if np.isfinite(every).any() else 0.0
    centred = {each: np.nan_to_num(theirs - middle) for each, theirs in before.items()}
    covariance = sum(
        float(((each - each.mean()) * (values[name] - values[name].mean())).sum()) for name, each in centred.items()
    )
    variance = sum(float(((each - each.mean()) ** 2).sum()) for each in centred.values())
    theta = covariance / variance if variance > 0 else 0.0
    return {each: values[each] - theta * centred[each] for each in values}
