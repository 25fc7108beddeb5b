"""Rankers fitted on clicks, each in another way, from the same log: the rows of an experiment with ``judgments.source = "clicks"``.

    naive               LambdaMART on each search, a click a grade: learns the production order back
    ctr                 LambdaMART on clicks ÷ searches
    coec … dbn          LambdaMART on grades by a click model
    position            LambdaMART on each search, with LightGBM's term of the position
    unbiased            the same with XGBoost's lambdarank_unbiased
    ips_pointwise       squared error of clicks ÷ propensity, pair by pair
    ips_listwise        LambdaMART with clicks ÷ propensity as gains
    regression_em       LambdaMART on the attraction that clicks and features together tell
    true_propensities   as ips_pointwise, with the propensities that a simulation knows
    true_judgments      on people's judgments: the ceiling

References: Joachims, Swaminathan & Schnabel, WSDM 2017 (pointwise and listwise weighting); Agarwal et al., SIGIR 2019 (gains);
Hu et al., WWW 2019 (unbiased LambdaMART); Wang et al., WSDM 2018 (regression-EM).

What a click says is put on the scale 0-30 with linear gains, since LightGBM wants whole grades. No judgment of a person is read
but by ``true_judgments``. The others all stop on the same dev judgments, what the dev queries' clicks say of attraction by
regression-EM: stopped on bare clicks, which praise the production order, naive clicks would keep a single round, and so would
the methods that leave the position out of the ranker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from ltr import rankers
from ltr.config import CLICK_MODELS, RankerConfig
from ltr.errors import JudgmentError
from ltr.experiment.assemble import Assembled
from ltr.experiment.candidates import placed
from ltr.experiment.debiased import Debiased, examination_of
from ltr.experiment.split import Parts
from ltr.judgments.grades import Satisfaction, judge, values
from ltr.judgments.tally import tally
from ltr.measures import Scale
from ltr.rankers import Fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ltr.experiment.clicklog import ClickLog

__all__ = ["CEILING", "LABELS", "LINEAR", "NAIVE", "TOP", "TRUE_PROPENSITIES", "Clicks", "rows_of"]

NAIVE: Final = "naive"
CEILING: Final = "true_judgments"
TRUE_PROPENSITIES: Final = "true_propensities"

LABELS: Final = {
    NAIVE: "naive clicks",
    "ctr": "raw click rate",
    "position": "LightGBM's position term",
    "unbiased": "XGBoost lambdarank_unbiased",
    "ips_pointwise": "inverse propensity, pointwise",
    "ips_listwise": "inverse propensity, listwise",
    "regression_em": "regression-EM",
    TRUE_PROPENSITIES: "true propensities, pointwise",
    CEILING: "true judgments",
} | {model: f"{model.upper()} grades" for model in CLICK_MODELS if model != "ctr"}

_PROPENSITIES: Final = ("pbm", "ips_pointwise", "ips_listwise")

# What a click says, as whole grades; LightGBM's table of gains ends at 30.
TOP: Final = 30
LINEAR: Final = np.arange(TOP + 1, dtype=np.float64)


@dataclass(frozen=True)
class Sides:
    """What one method is fitted on: pairs with its grades, those of fit and those of dev, and the gains of those grades."""

    fit: pl.DataFrame
    dev: pl.DataFrame
    gains: NDArray[np.float64]


@dataclass(frozen=True)
class Clicks:
    """One split's pairs and its searches; only searches of fit and dev queries are looked at."""

    assembled: Assembled
    parts: Parts
    log: ClickLog

    def fitted(self, row: str, config: RankerConfig, cutoff: int) -> Fitted:
        """The ranker of one row, which is not the ceiling's."""
        sides, chosen = self._sides(row), _config(row, config)
        how: dict[str, Any] = {"features": self.assembled.inputs, "gains": sides.gains, "cutoff": cutoff}
        first = rankers.fit(chosen, sides.fit, self._judged_dev, **how)
        if row in _PROPENSITIES:
            first = replace(first, notes=(*first.notes, _curve_told(*self.examination)))
        if not config.refit:
            return first
        again = rankers.fit(chosen, pl.concat([sides.fit, sides.dev]), None, rounds=first.rounds, **how)
        return replace(first, ranker=again.ranker, seconds=first.seconds + again.seconds)

    @cached_property
    def judged(self) -> pl.DataFrame:
        """Judgments of the dev side, as its clicks tell: what all rows stop on, and a single feature is chosen by."""
        graded = self._judged_dev.filter(pl.col("grade").is_not_null())
        return graded.select("query_id", "product_id", "grade", "weight")

    @cached_property
    def _judged_dev(self) -> pl.DataFrame:
        return self._attractive().dev

    @cached_property
    def debiased(self) -> Debiased:
        """Examination, unless a surer method tells, and attraction, by regression-EM."""
        return Debiased.fit(
            self.assembled.experiment.ranker,
            self._fit,
            self._dev,
            self.counts,
            features=self.assembled.inputs,
            examination=None if self._surely is None else self._surely[1],
        )

    @cached_property
    def examination(self) -> tuple[str, NDArray[np.float64]]:
        """How the propensities were found, and θ by position, clipped."""
        how, found = self._surely or ("regression-EM", self.debiased.examination)
        return how, np.maximum(found, self.assembled.experiment.judgments.clip)

    @cached_property
    def _surely(self) -> tuple[str, NDArray[np.float64]] | None:
        return examination_of(self.impressions)

    def _sides(self, row: str) -> Sides:
        made: dict[str, Callable[[], Sides]] = {
            NAIVE: self._by_search,
            "position": self._by_search,
            "unbiased": self._by_search,
            "ctr": lambda: self._weighed(np.ones(1)),
            "ips_pointwise": lambda: self._weighed(self._examination),
            "ips_listwise": lambda: self._weighed(self._examination),
            TRUE_PROPENSITIES: lambda: self._weighed(self._true_examination),
            "regression_em": self._attractive,
        }
        return made[row]() if row in made else self._by_model(row)

    @cached_property
    def _fit(self) -> pl.DataFrame:
        return placed(self.assembled.pairs, self.assembled.dataset.products, self.parts.fit)

    @cached_property
    def _dev(self) -> pl.DataFrame:
        return placed(self.assembled.pairs, self.assembled.dataset.products, self.parts.dev)

    @cached_property
    def impressions(self) -> pl.LazyFrame:
        """The searches of fit and dev queries, of products that are candidates; perhaps larger than memory."""
        pairs = pl.concat([self._fit, self._dev]).select("query_id", "product_id").lazy()
        return self.log.impressions.join(pairs, on=["query_id", "product_id"], how="semi")

    @cached_property
    def counts(self) -> pl.DataFrame:
        """query_id, product_id, position, shown, clicked: one row a pair and place, sorted."""
        by = ["query_id", "product_id", "position"]
        found = tally(self.impressions, by, {"shown": pl.len(), "clicked": pl.col("clicked").sum()}).collect().sort(by)
        if not found["clicked"].sum():
            raise JudgmentError(
                f"the log has {found['shown'].sum():,} impressions of the fit and dev queries' candidates, and no click on them",
                hint="use a longer log, or one whose queries and products are those of the data",
            )
        return found

    @property
    def _examination(self) -> NDArray[np.float64]:
        return self.examination[1]

    @property
    def _true_examination(self) -> NDArray[np.float64]:
        if self.log.examination is None:
            raise JudgmentError(
                "this log does not say what its shoppers examined", hint="simulate position-based users"
            )
        return np.maximum(self.log.examination, self.assembled.experiment.judgments.clip)

    def _by_search(self) -> Sides:
        """A list a search that was clicked in, in the order shown."""
        clicked = self.impressions.filter("clicked").select("search_id").unique().collect(engine="streaming")
        most = self.assembled.experiment.judgments.most_searches
        if clicked.height > most:
            clicked = clicked.sort(pl.col("search_id").hash(7)).head(most)
        needed = self.impressions.select("search_id", "query_id", "product_id", "position", "clicked")
        shown = needed.join(clicked.lazy(), on="search_id", how="semi").collect()
        shown = shown.sort("query_id", "search_id", "position")
        return Sides(_searches(self._fit, shown), _searches(self._dev, shown), LINEAR)

    def _by_model(self, name: str) -> Sides:
        from ltr.judgments import model

        # Where each pair was shown at one place, the model alone cannot tell examination from attraction.
        known = {"examination": self._examination} if name == "pbm" else {}
        # With its confidence: what was hardly ever examined has the grade of the prior, which may be far from true.
        judged = judge(
            model(name).fit(self.impressions, **known),
            self.impressions,
            scale=Scale(f"0-{TOP}", TOP, ()),
            weights=self._satisfaction,
        )
        return Sides(_joined(self._fit, judged), _joined(self._dev, judged), LINEAR)

    def _weighed(self, examination: NDArray[np.float64]) -> Sides:
        """Clicks ÷ propensity of each pair, over its searches."""
        table = pl.Series(np.concatenate([examination, examination[-1:]]))
        at = (pl.col("position").cast(pl.Int64) - 1).clip(0, len(examination) - 1)
        weighed = self.counts.with_columns(examination=table.gather(self.counts.select(at).to_series()))
        rates = weighed.group_by("query_id", "product_id").agg(
            value=(pl.col("clicked") / pl.col("examination")).sum() / pl.col("shown").sum()
        )
        return self._graded(rates)

    def _attractive(self) -> Sides:
        attraction = self.debiased.attraction
        worth = values(attraction, self.impressions, weights=self._satisfaction)
        return self._graded(attraction.select("query_id", "product_id", value=pl.Series(worth)))

    @property
    def _satisfaction(self) -> Satisfaction:
        return Satisfaction(**self.assembled.experiment.judgments.satisfaction)

    def _graded(self, found: pl.DataFrame) -> Sides:
        """The value of each pair as a grade; what the best product of the median query has is the top grade."""
        best = found.group_by("query_id").agg(pl.col("value").max()).filter(pl.col("value") > 0)["value"]
        top = min(float(np.median(best.to_numpy())), 1.0) if best.len() else 1.0
        grade = ((pl.col("value") / top).clip(0, 1) * TOP).round().cast(pl.Float32)
        judged = found.select("query_id", "product_id", grade=grade, weight=pl.lit(1.0, dtype=pl.Float32))
        return Sides(_joined(self._fit, judged), _joined(self._dev, judged), LINEAR)


def rows_of(log: ClickLog, model: str, compare: Sequence[str], *, judged: bool) -> list[str]:
    """The rows to fit: naive always, then those asked for, what only a simulation or people's judgments allow, last the one kept."""
    asked = [row for row in dict.fromkeys(("ctr", *compare)) if row != model]
    known = [TRUE_PROPENSITIES] if log.examination is not None else []
    return [NAIVE, *asked, *known, *([CEILING] if judged else []), model]


def _config(row: str, config: RankerConfig) -> RankerConfig:
    """The same parameters for all, as far as a library has them."""
    if row in ("ips_pointwise", TRUE_PROPENSITIES):
        return config.model_copy(update={"objective": "regression"})
    if row == "position":
        return config.model_copy(update={"position": True})
    if row == "unbiased":
        own = config.model_dump(include={"rounds", "patience", "seed", "monotone"})
        shared = {"learning_rate", "num_leaves"}.intersection(config.parameters)
        names = {"learning_rate": "learning_rate", "num_leaves": "max_leaves"}
        own |= {names[name]: config.parameters[name] for name in shared}
        return RankerConfig.model_validate({**own, "library": "xgboost", "lambdarank_unbiased": True})
    return config


def _curve_told(how: str, examination: NDArray[np.float64]) -> str:
    first = ", ".join(f"{value:.2f}" for value in examination[:10])
    return f"Examination by {how}, from the top: {first}."


def _joined(pairs: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    bare = pairs.drop("grade", "weight")
    joined = bare.join(judged, on=["query_id", "product_id"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("weight").fill_null(1.0))


def _searches(pairs: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """The pairs of each search, top first; a click is the top grade."""
    rows = pairs.select("query_id", "product_id", row=pl.int_range(pl.len(), dtype=pl.UInt32))
    placed = shown.join(rows, on=["query_id", "product_id"], how="inner", maintain_order="left")
    gathered = pairs.drop("grade", "weight", "rank", "score", strict=False)[placed["row"]]
    return gathered.with_columns(
        placed["search_id"],
        placed["position"],
        grade=placed["clicked"].cast(pl.Float32) * TOP,
        weight=pl.lit(1.0, dtype=pl.Float32),
    )
