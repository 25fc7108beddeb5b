"""Grades from clicks: attraction, and satisfaction where it is asked for, on a named scale, with the confidence in each.

    value  = a · Σ wⱼ P(j | click) ÷ Σ wⱼ,   j: click (1 by itself), satisfied, add_to_cart, purchase, dwell, revenue
    grade  = round(maximum · min(1, value ÷ top))
    weight = x ÷ (x + strength)

``top`` is the value that earns the highest grade: what the best product of the median query reaches, unless it is given.
Each P(j | click) is drawn towards what the product does for other queries, and that to the mean of all (``priors``). x are the
examinations behind the attraction and strength those that its prior is worth: the weight is 1 − E[posterior variance] ÷ prior
variance of the Beta, between 0 (nothing but the prior) and 1. Grades are whole numbers, as LightGBM's table of gains needs.

>>> from ltr.judgments.ctr import CTR
>>> from ltr.judgments.priors import Prior
>>> from ltr.measures import scale
>>> log = pl.DataFrame({"query_id": "q", "product_id": ["a"] * 9 + ["b"], "position": 1, "clicked": [True] * 9 + [False]})
>>> judge(CTR.fit(log, prior=Prior(mean=0.5, strength=1)), log, scale=scale("graded")).rows()
[('q', 'a', 4.0, 0.8999999761581421), ('q', 'b', 1.0, 0.5)]
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, DataError
from ltr.frames import check
from ltr.judgments.priors import FittedPrior, Prior
from ltr.judgments.statistics import Impressions

if TYPE_CHECKING:
    from ltr.measures import Scale

__all__ = ["Satisfaction", "judge", "values"]

Floats = NDArray[np.float64]

# A click that was followed by so many seconds counts as satisfied (Fox et al., TOIS 2005).
DWELL_S: Final = 30.0
_PAIR: Final = ("query_id", "product_id")


@dataclass(frozen=True)
class Satisfaction:
    """What a click is worth, and what may follow it; weights from 0, of which the sum is what counts as all.

    Args:
        click: the click itself.
        satisfied: the model's own satisfaction (SDBN, DBN).
        add_to_cart: P(add to cart | click).
        purchase: P(purchase | click).
        dwell: P(dwell of 30 s or more | click).
        revenue: revenue of a click, of the 95th percentile of purchases, at most 1.
    """

    click: float = 1.0
    satisfied: float = 0.0
    add_to_cart: float = 0.0
    purchase: float = 0.0
    dwell: float = 0.0
    revenue: float = 0.0

    def __post_init__(self) -> None:
        weights = {field.name: getattr(self, field.name) for field in fields(self)}
        if min(weights.values()) < 0 or not 0 < sum(weights.values()) < float("inf"):
            raise ConfigError(
                f"the weights of satisfaction {weights} are none", hint="give numbers from 0, some of them above it"
            )


class _Judged(Protocol):
    @property
    def attraction(self) -> pl.DataFrame: ...
    @property
    def prior(self) -> FittedPrior: ...


def judge(
    model: _Judged,
    impressions: Impressions,
    *,
    scale: Scale,
    weights: Satisfaction = Satisfaction(),
    top: float | None = None,
) -> pl.DataFrame:
    """Judgments (query_id, product_id, grade, weight) of every pair that a click model saw.

    Args:
        model: fitted to these impressions.
        impressions: read where more than clicks counts: clicked, and add_to_cart, purchase, dwell_s or revenue.
        scale: of the grades.
        weights: of the click and what follows it.
        top: the value of the highest grade; None = the median over queries of their best product's.
    """
    if top is not None and not 0 < top <= 1:
        raise ConfigError(f"a top value of {top:g} is no probability", hint="give one above 0 and at most 1")
    found = model.attraction.with_columns(value=pl.Series(values(model.attraction, impressions, weights=weights)))
    highest = top or _typical_best(found)
    grade = (pl.col("value") / highest).clip(0, 1) * scale.maximum
    judged = found.select(
        *_PAIR,
        grade=grade.round().cast(pl.Float32),
        weight=(pl.col("examined") / (pl.col("examined") + model.prior.strength)).cast(pl.Float32),
    )
    return check(judged, "judgments", where="judgments from clicks")


def values(pairs: pl.DataFrame, impressions: Impressions, *, weights: Satisfaction = Satisfaction()) -> Floats:
    """The value of each pair, 0 to 1.

    Args:
        pairs: query_id, product_id, attraction, and satisfaction where that counts, as a model's ``attraction`` has them.
        impressions: what followed the clicks.
        weights: of the click and what follows it.
    """
    worth = np.full(pairs.height, float(weights.click))
    if weights.satisfied:
        if "satisfaction" not in pairs.columns:
            raise ConfigError(
                "this click model knows no satisfaction", hint="use sdbn or dbn, or leave out weight satisfied"
            )
        worth += weights.satisfied * pairs["satisfaction"].to_numpy()
    counted = {
        name: weight for name in ("add_to_cart", "purchase", "dwell", "revenue") if (weight := getattr(weights, name))
    }
    if counted:
        sums = _after_clicks(impressions, tuple(counted))
        joined = pairs.select(_PAIR).join(sums, on=_PAIR, how="left", maintain_order="left").fill_null(0.0)
        for name, weight in counted.items():
            worth += weight * _rate(joined, name)
    total = sum(getattr(weights, field.name) for field in fields(weights))
    found: Floats = pairs["attraction"].to_numpy() * worth / total
    return found


def _typical_best(found: pl.DataFrame) -> float:
    """Of queries that were clicked at all, the median of their best product's value."""
    best = found.group_by("query_id").agg(pl.col("value").max(), pl.col("clicked").sum()).filter(pl.col("clicked") > 0)
    return float(
        best["value"].to_numpy().astype(np.float64).mean() if best.height < 2 else np.median(best["value"].to_numpy())
    )


def _after_clicks(impressions: Impressions, names: tuple[str, ...]) -> pl.DataFrame:
    """By pair, clicks and how many of them were followed by what is named (revenue: by how much of its full value)."""
    log = impressions.lazy()
    columns = {"dwell": "dwell_s"}
    known = log.collect_schema().names()
    if lacking := [columns.get(name, name) for name in names if columns.get(name, name) not in known]:
        raise DataError(f"the log lacks {lacking}, which the weights count", hint=f"it has {known}")
    clicks = log.filter(pl.col("clicked").cast(pl.Boolean))
    counts = {
        name: (pl.col("dwell_s") >= DWELL_S if name == "dwell" else pl.col(name)).cast(pl.Float64).fill_null(0.0)
        for name in names
        if name != "revenue"
    }
    if "revenue" in names:
        spent = pl.col("revenue").filter(pl.col("revenue") > 0)
        full = clicks.select(spent.quantile(0.95)).collect(engine="streaming").item()
        counts["revenue"] = (pl.col("revenue").cast(pl.Float64) / (full or 1.0)).clip(0, 1).fill_null(0.0)
    sums = [counts[name].sum().alias(name) for name in names]
    return clicks.group_by(_PAIR).agg(pl.len().cast(pl.Float64).alias("clicks"), *sums).collect(engine="streaming")


def _rate(joined: pl.DataFrame, name: str) -> Floats:
    counts = joined.select(*_PAIR, clicked=name, examined="clicks")
    if not counts["clicked"].sum() > 0:
        return np.zeros(counts.height)
    return Prior(levels=("product_id",)).fit(counts).smoothed(counts)
