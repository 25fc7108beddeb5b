"""The parts of experiment.toml that say where grades come from: people, a click log, or simulated shoppers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["CLICK_MODELS", "METHODS", "Frozen", "JudgmentsConfig", "Seed", "Share", "SimulationConfig"]

CLICK_MODELS: Final = ("ctr", "coec", "pbm", "ubm", "dcm", "sdbn", "dbn")
# Ways to fit a ranker on clicks: grades by a click model, and what needs no grades.
METHODS: Final = (*CLICK_MODELS, "position", "unbiased", "ips_pointwise", "ips_listwise", "regression_em")

ClickModel = Literal["ctr", "coec", "pbm", "ubm", "dcm", "sdbn", "dbn"]
Method = Literal[ClickModel, "position", "unbiased", "ips_pointwise", "ips_listwise", "regression_em"]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Frozen(BaseModel):
    """A table of experiment.toml: an unknown key is refused, and nothing changes once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class JudgmentsConfig(Frozen):
    """[judgments]: graded by people on a named scale (None = the dataset's), or learnt from a click log.

    With ``source = "clicks"`` the rankers are fitted on clicks alone, in each way that ``compare`` names, and people's
    judgments, where the data have some, only judge the test side; where there are none, the click model ``judge`` does.
    """

    source: Literal["ratings", "clicks"] = "ratings"
    scale: str | None = None
    log: str | None = None  # file or directory of the log; None = simulated, as [simulation] says
    mapping: str | None = None  # a TOML file that maps the log's own columns
    filters: dict[str, Any] = {}  # what a log passes through: ltr.judgments.filters
    model: Method = "regression_em"  # how the bundle's ranker learns from clicks
    compare: list[Method] = list(METHODS)  # further rows of the table
    judge: ClickModel = "pbm"
    satisfaction: dict[Literal["click", "satisfied", "add_to_cart", "purchase", "dwell", "revenue"], Weight] = {
        "click": 1.0
    }  # what counts, and how much beside the rest
    clip: Annotated[float, Field(gt=0, le=1)] = 0.05  # no propensity is taken to be lower
    most_searches: Annotated[int, Field(ge=1_000)] = 200_000  # that methods which fit on searches are fitted on
    features_until: Annotated[float, Field(gt=0, lt=1)] | None = (
        None  # share of the log's days: features before, grades after
    )


class SimulationConfig(Frozen):
    """[simulation]: shoppers in place of a log; with ``days`` a whole season, else each query's list so many times.

    A season has bots, trends, new products and, with more than one of ``rankers`` or a share that is ``randomised``, lists
    that differ between searches of one query.
    """

    users: Literal["pbm", "cascade", "dbn", "trust"] = "pbm"
    searches: Annotated[float, Field(gt=0, le=10_000)] = 10  # a query, on average
    eta: Annotated[float, Field(ge=0, le=5)] = 1.0  # examination of position users is position^−eta
    noise: Share | None = None  # P(click | examined) of grade 0; None = .1, and 0 with trust bias, which brings its own
    page: Annotated[int, Field(ge=1, le=1_000)] | None = None  # positions shown; None = all, and 20 in a season
    seed: Seed = 7
    days: Annotated[int, Field(ge=1, le=3_650)] | None = None
    rankers: list[Literal["retrieval", "flat", "popularity"]] = ["retrieval"]
    randomised: Share = 0.0
    bots: Share = 0.0

    @model_validator(mode="after")
    def _season_or_lists(self) -> SimulationConfig:
        if self.days is not None and self.noise is not None:
            raise ValueError("noise is of single lists: a season's shoppers have their own; leave out noise or days")
        if self.days is None and (self.randomised or self.bots):
            raise ValueError("randomised and bots are of a season: set days")
        return self
