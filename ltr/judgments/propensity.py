"""Propensities: the examination by position, by every method that a log allows.

    randomised      from lists that luck rearranged, whose propensity is logged
    harvested       from what several rankings did to the same product (Agarwal, Zaitsev, Wang, Li, Najork & Joachims,
                    "Estimating Position Bias without Intrusive Interventions", WSDM 2019; all pairs of positions)
    by_em           the position-based model, examination and attraction in turn (``effects``)
    by_regression   attraction from features (``regression``): what a log with one ranking can support

Each is 1 at position 1 and no less than ``floor``, since one is divided by it, with a percentile interval over resampled
queries: queries fall into blocks by their hash, counts are made once a block, and a resample adds blocks up. A method that
can identify nothing raises DataError with the reason; a position that no chain of products ties to the first is NaN.

>>> log = pl.DataFrame({"query_id": "q", "product_id": "p", "position": [1, 2] * 4, "clicked": [True] * 5 + [False] * 3})
>>> harvested(log, resamples=0).examination.round(3).tolist()          # 3 clicks of 4, and 2 of 4
[1.0, 0.667]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, DataError
from ltr.judgments import kernels
from ltr.judgments.acceleration import squarem
from ltr.judgments.effects import effects
from ltr.judgments.statistics import POSITIONS, Cells, Counter, Impressions, by_position, opened, positions_of

__all__ = ["FLOOR", "Curve", "blocks_of", "by_em", "curve", "harvested", "randomised", "resampled"]

Floats = NDArray[np.float64]

FLOOR: Final = 0.01
RESAMPLES: Final = 200
LEVEL: Final = 0.95
_BLOCKS: Final = 200
# A percentile of fewer blocks is a guess.
_ENOUGH: Final = 20


@dataclass(frozen=True)
class Curve:
    """The examination by position, by one method.

    Args:
        method: its name.
        examination: by position from the first, which is 1; NaN where nothing tells.
        low: of the interval; NaN without one.
        high: likewise.
        notes: what to know about it, one sentence each.
    """

    method: str
    examination: Floats
    low: Floats
    high: Floats
    notes: tuple[str, ...] = ()


def harvested(
    impressions: Impressions | Cells, *, floor: float = FLOOR, resamples: int = RESAMPLES, seed: int = 7
) -> Curve:
    """Intervention harvesting: products that stood at two positions tell how much more the one is examined.

    Of the products seen at k and at j, the clicks at k relate to those at j as eₖ to eⱼ; all pairs of positions are
    reconciled as a Bradley–Terry model (Hunter, Annals of Statistics 2004), whose likelihood is theirs given each pair's
    clicks. A product counts by n_k n_j ÷ (n_k + n_j) of its impressions there, on both sides alike.
    """
    return _from_sets("harvested", _cells(impressions), floor=floor, resamples=resamples, seed=seed)


def randomised(
    impressions: Impressions, *, floor: float = FLOOR, resamples: int = RESAMPLES, seed: int = 7, most: int = POSITIONS
) -> Curve:
    """Logged randomisation: rows whose ``propensity``, the probability of standing where they stood, is below 1.

    Where a list's places are all equally likely, any product stands for any other: clicks are compared between positions by
    query. Where neighbours were swapped, say, they are compared by query and product.
    """
    advice = "shuffle the top of a small share of the lists, and log the probability of each product's place"
    if "propensity" not in impressions.lazy().collect_schema().names():
        raise DataError("the log has no propensity", hint=advice)
    log = opened(impressions, "search_id", "propensity")
    rows = log.filter(pl.col("propensity") < 1).collect(engine="streaming")
    if not rows.height:
        raise DataError("no list of the log was randomised: each propensity is 1 or unknown", hint=advice)
    least, count = pl.col("position").min().over("search_id"), pl.len().over("search_id")
    alike = ((pl.col("propensity") * count - 1).abs() < 0.01).all().over("search_id")
    places = positions_of(rows, most)
    counter = Counter(places)
    counter.add(
        rows.select(
            "query_id",
            pl.when(alike).then(pl.format("{} from {}", count, least)).otherwise("product_id").alias("product_id"),
            "clicked",
            place=(pl.col("position").clip(1, most) - 1).cast(pl.UInt32),
        )
    )
    searches = rows["search_id"].n_unique()
    found = _from_sets("randomised", counter.cells(), floor=floor, resamples=resamples, seed=seed)
    return Curve(
        found.method, found.examination, found.low, found.high, (f"{searches:,} randomised searches", *found.notes)
    )


def by_em(
    impressions: Impressions | Cells, *, floor: float = FLOOR, resamples: int = RESAMPLES, seed: int = 7
) -> Curve:
    """The position-based model: see ``effects``; the interval by the estimating function bootstrap.

    Hu & Kalbfleisch (Canadian Journal of Statistics 2000): blocks' scores are resampled and one Newton step is made from the
    estimate, so that no resample is fitted anew.
    """
    cells = _cells(impressions)
    found = effects(cells)
    told, block = found.cells, blocks_of(found.cells)
    score = np.zeros((block.max() + 1, cells.places))
    hessian = np.zeros((cells.places, cells.places))
    examination = np.nan_to_num(found.examination, nan=1.0)
    kernels.information(
        told.bounds,
        told.place,
        told.shown,
        told.clicked,
        told.of_pairs(told.clicked),
        examination,
        block,
        score,
        hessian,
    )
    live = np.flatnonzero(np.isfinite(found.examination))[1:]
    steps = score[:, live] @ np.linalg.pinv(hessian[np.ix_(live, live)], hermitian=True)
    draws = np.tile(found.examination, (resamples, 1))
    draws[:, live] *= np.exp(np.clip(resampled(len(steps), resamples, seed) @ steps, -20, 20))
    notes = () if found.converged else (f"not settled after {found.steps} iterations",)
    return curve("em", found.examination, draws, floor=floor, blocks=len(score), notes=(_tied(cells), *notes))


def blocks_of(cells: Cells) -> NDArray[np.int64]:
    """The block of each pair, by its query: as many blocks as queries, and at most 200."""
    queries = cells.pairs["query_id"].rle_id().to_numpy().astype(np.int64)
    if queries.max(initial=0) < _BLOCKS:
        return queries
    return (cells.pairs["query_id"].hash(6) % _BLOCKS).to_numpy().astype(np.int64)


def resampled(blocks: int, resamples: int, seed: int) -> Floats:
    """How often each resample draws each block."""
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
    return drawn.astype(np.float64)


def curve(
    method: str, examination: Floats, draws: Floats, *, floor: float, blocks: int, notes: tuple[str, ...] = ()
) -> Curve:
    """A curve and the percentile interval of its resamples, clipped at the floor."""
    if not 0 < floor < 1:
        raise ConfigError(f"a floor of {floor:g} clips no propensity", hint="give one between 0 and 1, such as 0.01")
    low = high = np.full(len(examination), np.nan)
    if len(draws) and blocks >= _ENOUGH:
        known = np.isfinite(draws).mean(axis=0) > 0.5
        low, high = low.copy(), high.copy()
        low[known], high[known] = np.nanquantile(draws[:, known], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    elif len(draws):
        notes = (*notes, f"no interval: clicks of {blocks} queries are too few to resample")
    if (clipped := np.flatnonzero(examination < floor) + 1).size:
        notes = (*notes, f"clipped to {floor:g} at position {_ranges(clipped)}")
    if (unknown := np.flatnonzero(np.isnan(examination)) + 1).size:
        notes = (*notes, f"nothing ties position {_ranges(unknown)} to the first")
    # np.maximum keeps NaN.
    return Curve(method, np.maximum(examination, floor), np.maximum(low, floor), np.maximum(high, floor), notes)


def _ranges(positions: NDArray[np.int64]) -> str:
    """4 to 14 and 17, say."""
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _cells(impressions: Impressions | Cells) -> Cells:
    return impressions if isinstance(impressions, Cells) else by_position(impressions)


def _tied(cells: Cells) -> str:
    return f"{cells.tied:.0%} of the (query, product) pairs were seen at two positions or more"


def _from_sets(method: str, cells: Cells, *, floor: float, resamples: int, seed: int) -> Curve:
    told = cells.told()
    block = blocks_of(told)
    blocks = int(block.max(initial=-1)) + 1
    clicks = np.zeros((blocks, cells.places, cells.places))
    kernels.harvest(told.bounds, told.place, told.shown, told.clicked, block, clicks)
    found = _reconciled(clicks.sum(axis=0)[None])[0]
    if np.isfinite(found).sum() < 2:
        raise DataError(
            f"nothing to harvest: {_tied(cells)}, and none of them was clicked and ties position 1 to another",
            hint="harvesting needs two rankings that differ; see by regression, or randomise some traffic",
        )
    weights = resampled(blocks, resamples, seed)
    drawn = np.tensordot(weights, clicks, axes=1)
    draws = _reconciled(drawn) if resamples else np.empty((0, cells.places))
    notes = (_tied(cells),) if method == "harvested" else ()
    return curve(method, found, draws, floor=floor, blocks=blocks, notes=notes)


def _reconciled(clicks: Floats) -> Floats:
    """Strengths of Bradley–Terry models, 1 at the first place, from clicks[model, k, j]; NaN where not tied to it."""
    played = clicks + clicks.transpose(0, 2, 1)
    models, places = clicks.shape[:2]
    reached = np.zeros((models, places), dtype=bool)
    reached[:, 0] = True
    for _ in range(places):
        # A place is comparable where it and the first each won against someone on the way.
        reached |= np.einsum("mk,mkj->mj", reached, (clicks > 0) & (clicks.transpose(0, 2, 1) > 0)) > 0
    played = played * reached[:, :, None] * reached[:, None, :]
    won = (clicks * (played > 0)).sum(axis=2)
    live = won > 0

    def step(logs: Floats) -> Floats:
        strength = np.exp(logs.reshape(models, places))
        expected = (played / (strength[:, :, None] + strength[:, None, :])).sum(axis=2)
        following = np.log(np.divide(won, expected, out=np.ones_like(won), where=live))
        moved: Floats = (following - following[:, :1] * live).ravel()
        return moved

    start = np.tile(-np.log1p(np.arange(places)), models) * live.ravel()
    settled = squarem(step, start, tolerance=1e-6, within=(-20.0, 20.0))
    strengths: Floats = np.where(live, np.exp(settled.values.reshape(models, places)), np.nan)
    return strengths
