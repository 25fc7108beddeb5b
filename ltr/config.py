"""experiment.toml as frozen configuration: every key has a default but ``name`` and ``data.source``.

An unknown key or a value out of range is a ConfigError that names the file, the key and the nearest key that exists.
Relative paths start from the directory of experiment.toml.

>>> parse({"name": "demo", "data": {"source": "shop"}}).split.test
0.2
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ltr.config_clicks import CLICK_MODELS, METHODS, Frozen, JudgmentsConfig, Seed, SimulationConfig
from ltr.config_data import CandidatesConfig, DataConfig, RetrievalConfig, SplitConfig
from ltr.errors import ConfigError, suggestion

__all__ = [
    "CLICK_MODELS",
    "METHODS",
    "OBJECTIVES",
    "ROWS",
    "CandidatesConfig",
    "DataConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "Experiment",
    "FeaturesConfig",
    "JudgmentsConfig",
    "RankerConfig",
    "RetrievalConfig",
    "SimulationConfig",
    "SplitConfig",
    "TrackingConfig",
    "TransferConfig",
    "compared",
    "parse",
    "read_experiment",
]

OBJECTIVES: Final = {
    "lightgbm": ("lambdarank", "rank_xendcg", "regression"),
    "xgboost": ("rank:ndcg", "rank:pairwise"),
    "linear": ("ndcg", "logistic", "listnet"),
}

# The rows that every table has beside the fitted ones.
ROWS: Final = ("retrieval", "best_feature", "cosine")

Row = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]


class FeaturesConfig(Frozen):
    """[features]: a feature-set file, looked up from experiment.toml's directory, then from the working directory.

    Data whose features are made already (svmlight) need none.
    """

    path: Annotated[str, Field(alias="set")] = "features/product_search.toml"
    leave_out: list[str] = []  # features of the set that this experiment does without


class RankerConfig(BaseModel):
    """[ranker]: the library and its objective; any other key is a parameter of the library."""

    model_config = ConfigDict(frozen=True, extra="allow")

    library: Literal["lightgbm", "xgboost", "linear"] = "lightgbm"
    objective: str = ""  # one of OBJECTIVES; "" = the library's first
    rounds: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    patience: Annotated[int, Field(ge=1)] = 50  # rounds without a better dev measure before fitting stops
    refit: bool = False  # once dev has settled the rounds, fit that many again on fit and dev together
    seed: Seed = 7
    seeds: Annotated[int, Field(ge=1, le=50)] = 1  # the mean of the rankers of as many seeds, from seed on
    monotone: dict[str, Literal[-1, 0, 1]] = {}  # feature -> direction
    start: str | None = None  # a feature whose order the forest begins from, such as the first pass's score
    position: bool = (
        False  # LightGBM, from clicks: learn what each place adds to a score, and leave it out of the ranker
    )

    @model_validator(mode="after")
    def _know_the_objective(self) -> RankerConfig:
        if self.start is not None and self.library == "linear":
            raise ValueError("a linear ranker begins from nothing: it weighs the feature itself, so leave out start")
        if self.position and self.library != "lightgbm":
            raise ValueError(f"{self.library} has no term of the position; xgboost has lambdarank_unbiased = true")
        known = OBJECTIVES[self.library]
        if not self.objective:
            object.__setattr__(self, "objective", known[0])  # frozen for users, not yet while it is being made
        elif self.objective not in known:
            raise ValueError(
                f"{self.library} has no objective {self.objective!r}; "
                + suggestion(self.objective, known, noun="objectives")
            )
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The library's own parameters, as written."""
        return dict(self.model_extra or {})


class EvaluationConfig(Frozen):
    """[evaluation]: measures, gains (None = the dataset's; fitting uses the same), what counts as relevant, empty queries."""

    measures: Annotated[list[str], Field(min_length=1)] = ["nDCG@10", "RR", "AP"]
    baseline: Literal["retrieval"] = "retrieval"
    gains: str | list[float] | None = None
    rel: Annotated[float, Field(gt=0)] = 1
    empty: Literal["skip", "zero", "one"] = "skip"

    @field_validator("gains", mode="before")
    @classmethod
    def _never_fall(cls, gains: object) -> object:
        if gains is None or isinstance(gains, str):
            return gains
        if not isinstance(gains, list | tuple) or not all(type(gain) in (int, float) for gain in gains):
            raise ValueError("give the name of a table, or a list of numbers: one gain a grade, that of grade 0 first")
        if odd := next((gain for gain in gains if not 0 <= gain < math.inf), None):
            raise ValueError(f"{odd:g} is not a gain: gains are finite and at least 0")
        for grade, (lower, higher) in enumerate(pairwise(gains)):
            if higher < lower:
                raise ValueError(
                    f"grade {grade + 1} has gain {higher:g}, less than {lower:g} of grade {grade}; "
                    "gains never fall as grades rise"
                )
        return gains


class EncoderConfig(Frozen):
    """[encoder]: a model by path, installed name or hub name; "hashing" needs no model."""

    model: str = "all-MiniLM-L6-v2"
    precision: Literal["float32", "int8"] = "float32"


class TrackingConfig(Frozen):
    """[tracking]: the MLflow server; relative sqlite paths start from the working directory. "" switches tracking off."""

    uri: Annotated[str, Field(repr=False)] = "sqlite:///mlflow.db"  # may hold a password


class TransferConfig(Frozen):
    """[transfer]: another experiment's bundle, whose score of each pair becomes a feature of ours."""

    bundle: str  # its directory, from experiment.toml's or the working directory
    fields: dict[str, str] = {}  # its field -> ours, "" = we have none


class Experiment(Frozen):
    """One experiment.toml."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=80)]
    question: str = ""
    data: DataConfig
    split: SplitConfig = SplitConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    judgments: JudgmentsConfig = JudgmentsConfig()
    simulation: SimulationConfig | None = None
    features: FeaturesConfig = FeaturesConfig()
    ranker: RankerConfig = RankerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compare: dict[Row, RankerConfig] = {}  # further rankers of the same pairs: row of the table -> its [ranker]
    transfer: TransferConfig | None = None
    encoder: EncoderConfig = EncoderConfig()
    tracking: TrackingConfig = TrackingConfig()

    @field_validator("compare", mode="before")
    @classmethod
    def _a_row_is_its_library(cls, tables: object) -> object:
        if not isinstance(tables, dict):
            return tables
        return {
            row: {"library": row, **table} if row in OBJECTIVES and isinstance(table, dict) else table
            for row, table in tables.items()
        }

    @model_validator(mode="after")
    def _name_rows_once(self) -> Experiment:
        if taken := next((row for row in self.compare if row in (self.ranker.library, *ROWS)), None):
            raise ValueError(f"compare.{taken} has the name of a row that the table has already; rename it")
        return self

    @model_validator(mode="after")
    def _have_clicks(self) -> Experiment:
        clicks = self.judgments
        if clicks.log is not None and self.simulation is not None:
            raise ValueError("clicks come from judgments.log or from [simulation]: give one of them")
        if clicks.source == "ratings":  # what is logged serves the features of behaviour
            return self
        if clicks.log is None and self.simulation is None:
            raise ValueError("clicks come from judgments.log or from [simulation]: give one of them")
        if (
            clicks.features_until is not None
            and clicks.log is None
            and (self.simulation and self.simulation.days) is None
        ):
            raise ValueError("judgments.features_until needs days to cut between: set simulation.days")
        if self.compare or self.ranker.library != "lightgbm" or self.ranker.seeds > 1 or self.ranker.start:
            raise ValueError(
                "rankers are fitted on clicks by LightGBM (xgboost in row unbiased): leave out [compare], ranker.seeds and start"
            )
        if self.split.folds is not None:
            raise ValueError("a ranker is fitted on clicks with one split: leave out split.folds")
        if self.transfer is not None or self.data.source == "svmlight":
            raise ValueError("clicks are of queries and products: leave out [transfer] and feature files")
        return self

    @model_validator(mode="after")
    def _copy_from_an_index(self) -> Experiment:
        if self.data.source == "elasticsearch" and self.data.index is None:
            raise ValueError("data.index is missing: name the index that the catalogue is copied from")
        return self

    @property
    def index(self) -> str:
        """The index that candidates come from."""
        return self.retrieval.index or self.data.index or self.name

    @property
    def state_vector(self) -> str | None:
        """The field whose vectors the state holds for retrieval; a search engine holds its own."""
        return self.retrieval.vector if self.retrieval.engine == "embedded" else None

    @property
    def engine_url(self) -> str | None:
        """Where the engine is; None = as the environment says."""
        return self.retrieval.url or self.data.url

    @property
    def rankers(self) -> dict[str, RankerConfig]:
        """Row of the table -> what is fitted for it; the last is the one that the bundle keeps."""
        return {**self.compare, self.ranker.library: self.ranker}

    @property
    def kept(self) -> str:
        """The row of the ranker that the bundle keeps."""
        return self.judgments.model if self.judgments.source == "clicks" else self.ranker.library


def compared(experiment: Experiment, names: Sequence[str]) -> Experiment:
    """The experiment with these rankers beside its own: rows under [compare], or libraries as they are by default.

    A library that has no table of its own takes over what [ranker] says of seeds, rounds, patience and monotone features.
    """
    rankers = {}
    for name in names:
        if name in experiment.compare:
            rankers[name] = experiment.compare[name]
        elif name in OBJECTIVES:
            own = experiment.ranker.model_dump(
                include={"rounds", "patience", "refit", "seed", "seeds", "monotone"}
                | (set() if name == "linear" else {"start"})
            )
            rankers[name] = RankerConfig.model_validate({**own, "library": name})
        else:
            known = [*OBJECTIVES, *experiment.compare]
            raise ConfigError(f"{name!r} is no ranker to compare", hint=suggestion(name, known, noun="rankers"))
    rankers.pop(experiment.ranker.library, None)
    return experiment.model_copy(update={"compare": rankers})


def read_experiment(path: Path, *, overrides: list[str] | None = None) -> Experiment:
    """Read an experiment.toml; ``overrides`` are KEY=VALUE with a dotted key and a TOML value, such as ranker.num_leaves=31."""
    table = read_toml(path)
    for override in overrides or []:
        _override(table, override)
    return parse(table, where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with a byte-order mark or without; ConfigError where it is absent, not UTF-8 or not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist", hint="check the path") from error
    except UnicodeDecodeError as error:
        wide = error.object.startswith((b"\xff\xfe", b"\xfe\xff"))
        told = "is UTF-16, not UTF-8" if wide else f"is not UTF-8 (byte {error.start})"
        raise ConfigError(f"{path} {told}", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}", hint="give a file that may be read"
        ) from error


def parse(table: dict[str, Any], *, where: str = "experiment.toml") -> Experiment:
    """Validate a table; the first fault is raised as a ConfigError that names its key."""
    try:
        return Experiment.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Experiment)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a pydantic error in one sentence, with the nearest key where one is unknown."""
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {suggestion(place[-1], _keys(model, place[:-1]), noun='keys')}"
    if fault["type"] == "missing":
        return f"key {key!r} is missing; set it"
    if fault["type"] == "model_type":
        return f"{key} = {fault['input']!r} is not a table; write its keys under [{key}]"
    if fault["type"] == "literal_error":
        allowed = [one or other for one, other in re.findall(r"'([^']*)'|(-?\d+)", fault["ctx"]["expected"])]
        return f"{key} = {fault['input']!r} is unknown; {suggestion(str(fault['input']), allowed, noun='values')}"
    message = fault["msg"].removeprefix("Value error, ")
    # A rule over several keys of a table names them itself.
    given = "" if isinstance(fault["input"], dict | BaseModel) else f" = {fault['input']!r}"
    return f"{key}{given}: {message[0].lower()}{message[1:]}"


def _keys(model: type[BaseModel], place: list[str]) -> list[str]:
    for part in place:
        for name, info in model.model_fields.items():
            nested = info.annotation
            if part in (name, info.alias) and isinstance(nested, type) and issubclass(nested, BaseModel):
                model = nested
    return [info.alias or name for name, info in model.model_fields.items()]


def _override(table: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text!r} is not KEY=VALUE", hint="for example --set ranker.num_leaves=31")
    if not value.strip():
        raise ConfigError(f"--set {text!r} has no value", hint=f"give one, or --set '{key}=\"\"' for the empty text")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *parents, leaf = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {text!r}: {parent!r} is not a table")
    table[leaf] = parsed
