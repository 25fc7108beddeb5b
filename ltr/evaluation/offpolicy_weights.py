"""Importance weights of a log for a target policy: their sums by user, and what a log cannot support (``offpolicy``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from ltr.errors import ConfigError, DataError, suggestion
from ltr.evaluation.ratios import Floats, linearised, mean

__all__ = ["REWARDS", "Weighted", "weighted"]

REWARDS: Final = ("clicked", "add_to_cart", "purchase", "revenue")
# A propensity is a Float32.
_SURE: Final = 1 - 1e-4
# Standard errors, and the share, by which the weights' mean is off where something is wrong with them.
_FAR: Final = 4.0
_OFF: Final = 0.01


@dataclass(frozen=True, eq=False)
class Weighted:
    """Sums by user: what the estimators are made of.

    Args:
        reward: Σ w r.
        weight: Σ w, after clipping.
        due: what Σ w is in expectation, without clipping: the places that the target fills.
        searches: how many each user made.
        logged: Σ r, of what was shown.
        squares: Σ w² over all users.
        largest: weight before clipping.
        clipped: share of all weight that clipping took.
    """

    reward: Floats
    weight: Floats
    due: Floats
    searches: Floats
    logged: Floats
    squares: float
    largest: float
    clipped: float


def weighted(
    impressions: pl.DataFrame | pl.LazyFrame,
    target: pl.DataFrame,
    *,
    cutoff: int,
    reward: str = "clicked",
    clip: float | None = None,
    unit: str = "user_id",
) -> Weighted:
    """The sums of a log; arguments and errors as ``offpolicy.evaluate_policy`` has them."""
    if reward not in REWARDS:
        raise ConfigError(f"reward {reward!r} is unknown", hint=suggestion(reward, REWARDS, noun="rewards"))
    if cutoff < 1 or not (clip is None or clip > 0):
        raise ConfigError(f"cutoff is {cutoff} and clip {clip}", hint="give a place from 1 on, and a weight above 0")
    policy = _policy(target, cutoff)
    columns = impressions.lazy().collect_schema().names()
    needed = dict.fromkeys(("search_id", "query_id", "product_id", "position", "propensity", reward, unit))
    if lacking := [name for name in needed if name not in columns]:
        raise DataError(f"the impressions lack {lacking}", hint="log the propensity of each product at its place")
    rows = (
        impressions.lazy()
        .filter(pl.col("position") <= cutoff)
        .select(
            "search_id",
            "query_id",
            "product_id",
            pl.col("position").cast(pl.Int64),
            pl.col("propensity").cast(pl.Float64),
            unit=pl.col(unit),
            reward=pl.col(reward).cast(pl.Float64).fill_null(0.0),
        )
        .collect()
    )
    _check(rows, policy, unit)
    places = policy.group_by("query_id", "position").agg(due=pl.col("probability").sum())
    rows = (
        rows.join(policy, on=["query_id", "product_id", "position"], how="left")
        .join(places, on=["query_id", "position"], how="left")
        .with_columns(pl.col("probability", "due").fill_null(0.0))
        .with_columns(weight=pl.col("probability") / pl.col("propensity"))
        .with_columns(kept=pl.col("weight").clip(upper_bound=clip) if clip else pl.col("weight"))
    )
    _check_support(rows)
    users = (
        rows.group_by("unit")
        .agg(
            reward=(pl.col("kept") * pl.col("reward")).sum(),
            weight=pl.col("kept").sum(),
            whole=pl.col("weight").sum(),
            due=pl.col("due").sum(),
            searches=pl.col("search_id").n_unique().cast(pl.Float64),
            logged=pl.col("reward").sum(),
        )
        .sort("unit")
    )
    _check_weights(users)
    whole = float(users["whole"].sum())
    sums = {name: users[name].to_numpy() for name in ("reward", "weight", "due", "searches", "logged")}
    return Weighted(
        **sums,
        squares=float((rows["kept"] ** 2).sum()),
        largest=float(rows["weight"].to_numpy().max()),
        clipped=1 - float(users["weight"].sum()) / whole if whole else 0.0,
    )


def _policy(target: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    named = (
        target.rename({"rank": "position"}) if "position" not in target.columns and "rank" in target.columns else target
    )
    if lacking := [name for name in ("query_id", "product_id", "position") if name not in named.columns]:
        raise DataError(f"the target lacks {lacking}", hint=f"it has {target.columns}; give a run")
    probability = pl.col("probability") if "probability" in named.columns else pl.lit(1.0)
    policy = named.select(
        "query_id", "product_id", pl.col("position").cast(pl.Int64), probability=probability.cast(pl.Float64)
    ).filter(pl.col("position") <= cutoff)
    if policy.select("query_id", "product_id", "position").is_duplicated().any():
        raise DataError("the target has a product twice at a place", hint="give each its probability once")
    totals = policy.group_by("query_id", "position").agg(pl.col("probability").sum())["probability"]
    if not policy["probability"].is_between(0, 1).all() or not (totals <= 1 + 1e-6).all():
        raise DataError("the target's probabilities are no distribution", hint="at each place they sum to 1 at most")
    return policy


def _check(rows: pl.DataFrame, policy: pl.DataFrame, unit: str) -> None:
    if rows.is_empty():
        raise DataError("the log has no impression above the cutoff", hint="give a log, or a lower cutoff")
    wrong = rows.filter(~pl.col("propensity").is_between(1e-300, 1.0 + 1e-6).fill_null(False)).height
    if wrong:
        raise DataError(
            f"{wrong:,} of {rows.height:,} impressions have no propensity above 0 and up to 1",
            hint="log it, or take only the searches that were randomised",
        )
    if nobody := rows["unit"].null_count():
        raise DataError(f"{nobody:,} impressions have no {unit}", hint="take another unit, such as search_id")
    without = rows.join(policy, on="query_id", how="anti")["query_id"]
    if len(without):
        raise DataError(
            f"the target has no list for {without.n_unique():,} queries of the log, such as {without[0]!r}",
            hint="rank every query that was asked, or leave those searches out for both",
        )


def _check_support(rows: pl.DataFrame) -> None:
    """Refuse a target that shows what the log could not."""
    sure = rows.filter((pl.col("propensity") >= _SURE) & (pl.col("probability") < pl.col("due") * _SURE))
    products = rows.group_by("query_id", "position", "product_id").agg(
        pl.col("propensity").mean(), pl.col("probability", "due").first()
    )
    places = products.group_by("query_id", "position").agg(
        pl.col("propensity", "probability").sum(), pl.col("due").first()
    )
    # A sum above 1 is that of propensities which differ from search to search, and says nothing.
    whole = pl.col("propensity").is_between(_SURE, 2 - _SURE)
    never = places.filter(whole & (pl.col("probability") < pl.col("due") * _SURE))
    if sure.height or never.height:
        searches = pl.concat(
            [sure.select("search_id"), rows.join(never, on=["query_id", "position"], how="semi").select("search_id")]
        )
        place = (sure if sure.height else never).row(0, named=True)
        raise DataError(
            f"in {searches.n_unique():,} of {rows['search_id'].n_unique():,} searches the target shows what the log never could, "
            f"such as at place {place['position']} of query {place['query_id']!r}",
            hint="evaluate fewer places or a target nearer the log, or take only the searches that were randomised",
        )


def _check_weights(users: pl.DataFrame) -> None:
    whole, due = (users[name].to_numpy() for name in ("whole", "due"))
    if not due.sum():
        raise DataError("the target shows nothing at the places of the log", hint="rank the queries that were asked")
    found = mean(linearised(whole, due))
    off, error = float(found.value) - 1, float(found.standard_error)
    if not whole.sum() or (abs(off) > _OFF and abs(off) > _FAR * error):
        raise DataError(
            f"weights have the mean {1 + off:.3f} where 1 is due",
            hint="the propensities are not those of this log, or it does not support the target",
        )
