"""How well a click model foretells clicks: log-likelihood and perplexity by rank (Chuklin, Markov & de Rijke, Click Models for
Web Search, 2015, chapter 5).

    log-likelihood    mean over searches of Σ ln P(what was clicked or not at r | clicks above r)
    perplexity at r   2^(− mean of log₂ P(what was clicked or not at r))

Perplexity is 1 where the model is always certain and right, and 2 for a coin. The conditional one is given the clicks above,
the other is over all there may be; models whose clicks do not depend on one another have one of both. The perplexity of a log
is the mean over ranks. ``rates`` is what any model must beat: the click-through rate of each position, whatever is shown.

>>> log = pl.DataFrame({"search_id": ["s", "t"], "query_id": "q", "product_id": "p", "position": 1, "clicked": [True, False]})
>>> fitness(rates(log), log).perplexity, round(fitness(rates(log), log).log_likelihood, 4)   # 2, and ln ½
(2.0, -0.6931)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import ConfigError, DataError
from ltr.judgments.independent import at_position
from ltr.judgments.lists import parts
from ltr.judgments.statistics import POSITIONS, Impressions, opened

if TYPE_CHECKING:
    from ltr.judgments import ClickModel

__all__ = ["Fitness", "fitness", "held_out", "rates"]

Floats = NDArray[np.float64]

# What is never possible to a model costs as much as one in a million.
_NEAR: Final = 1e-6
# A share of queries is drawn from larger logs: a perplexity is known to three digits by then.
_SEARCHES: Final = 500_000
RANKS: Final = 10


class _Foretells(Protocol):
    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> Floats: ...


@dataclass(frozen=True)
class Fitness:
    """How well clicks were foretold.

    Args:
        log_likelihood: mean over searches, natural logarithm, given the clicks above.
        perplexity: mean over ranks 1 to 10, over all clicks there may be.
        conditional: the same given the clicks above.
        ranks: position, shown, perplexity, conditional; one row a position that was shown.
        searches: how many.
    """

    log_likelihood: float
    perplexity: float
    conditional: float
    ranks: pl.DataFrame
    searches: int


@dataclass(frozen=True)
class Rates:
    """The rank-based click-through rate: P(click) by position."""

    rate: Floats

    def predict_clicks(self, impressions: Impressions, *, conditional: bool = False) -> Floats:
        """P(click) of each row."""
        return at_position(self.rate, impressions.lazy().select("position").collect())


def rates(impressions: Impressions, *, most: int = POSITIONS) -> Rates:
    """The click-through rate of each position; of one that was never shown, that of the one above."""
    position = pl.col("position").clip(1, most).alias("position")
    found = opened(impressions).group_by(position).agg(pl.col("clicked").mean()).sort("position")
    by_position = found.collect(engine="streaming")
    rate = np.full(int(by_position["position"].to_numpy()[-1]), np.nan)
    rate[by_position["position"].to_numpy().astype(np.int64) - 1] = by_position["clicked"].to_numpy()
    return Rates(pl.Series(rate).fill_nan(None).forward_fill().fill_null(0.0).to_numpy())


def fitness(model: _Foretells, impressions: Impressions, *, most: int = POSITIONS) -> Fitness:
    """Foretell the clicks of a log with search_id; positions below ``most`` count as one rank."""
    total, searches = np.zeros((3, most)), 0
    for part in parts(impressions):
        rank = np.minimum(part["position"].to_numpy().astype(np.int64), most) - 1
        clicked = part["clicked"].to_numpy()
        total[0] += np.bincount(rank, minlength=most)
        for row, conditional in enumerate((False, True), start=1):
            foretold = np.clip(model.predict_clicks(part, conditional=conditional), _NEAR, 1 - _NEAR)
            total[row] += np.bincount(rank, np.log(np.where(clicked, foretold, 1 - foretold)), most)
        searches += part["search_id"].n_unique()
    shown = total[0] > 0
    perplexities = np.exp(-total[1:, shown] / total[0, shown])
    ranks = pl.DataFrame(
        {
            "position": np.flatnonzero(shown) + 1,
            "shown": total[0, shown].astype(np.int64),
            "perplexity": perplexities[0],
            "conditional": perplexities[1],
        }
    )
    first = ranks.filter(pl.col("position") <= RANKS) if shown[:RANKS].any() else ranks
    return Fitness(
        float(total[2].sum() / searches), float(np.mean(first["perplexity"].to_numpy())),
        float(np.mean(first["conditional"].to_numpy())), ranks, searches,
    )  # fmt: skip


def held_out(
    fit: Callable[[Impressions], ClickModel], impressions: Impressions, *, share: float = 0.1, searches: int = _SEARCHES
) -> tuple[Fitness, Fitness]:
    """Fitness of a model and of ``rates`` on searches that neither was fitted to.

    Args:
        fit: from a log to a model.
        impressions: the log, with search_id.
        share: of the searches that are held out, by the hash of search_id.
        searches: about as many are used in all; of a longer log, those of some of its queries.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a share of {share:g} cannot be held out", hint="give one between 0 and 1, such as 0.1")
    log = opened(impressions, "search_id")
    there = log.select(pl.col("search_id").approx_n_unique()).collect(engine="streaming").item()
    if there > searches:
        log = log.filter(pl.col("query_id").hash(4) % 1000 < max(1, round(1000 * searches / there)))
    frame = log.collect(engine="streaming")
    of_test = pl.col("search_id").hash(5) % 10_000 < round(10_000 * share)
    rest, test = frame.filter(~of_test), frame.filter(of_test)
    if not rest.height or not test.height:
        raise DataError(f"{there:,} searches are too few to hold some out", hint="fitness needs a longer log")
    return fitness(fit(rest), test), fitness(rates(rest), test)
