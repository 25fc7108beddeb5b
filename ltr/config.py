"""experiment.toml as frozen configuration: every key has a default but ``name`` and ``data.source``.

An unknown key or a value out of range is a ConfigError that names the file, the key and the nearest key that exists.
Relative paths start from the directory of experiment.toml.

>>> parse({"name": "demo", "data": {"source": "shop"}}).split.test
0.2
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ltr.errors import ConfigError, suggestion

__all__ = [
    "CandidatesConfig",
    "DataConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "Experiment",
    "FeaturesConfig",
    "JudgmentsConfig",
    "RankerConfig",
    "RetrievalConfig",
    "SplitConfig",
    "TrackingConfig",
    "parse",
    "read_experiment",
]

Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class DataConfig(_Frozen):
    """[data]: where catalogue and judgments come from; the keys beyond source serve source = "files" and "shop"."""

    source: str
    products: str | None = None
    judgments: str | None = None
    columns: dict[str, str] = {}  # ours -> the catalogue's own name, such as product_id = "sku"
    judgment_columns: dict[str, str] = {}  # query_id, query, product_id, grade, weight -> the file's own names
    fields: dict[str, Literal["text", "keyword", "number", "boolean", "time", "vector"]] = {}
    title: str | None = None
    path: str | None = None  # a directory with the source's files, instead of LTR_DATA_HOME and the cache
    size: Annotated[int, Field(ge=100, le=200_000)] = 5_000  # products of the demo shop
    queries: Annotated[int, Field(ge=20, le=100_000)] = 1_200  # queries of the demo shop
    seed: Seed = 7


class SplitConfig(_Frozen):
    """[split]: shares of queries, or folds; seeded; ``group`` keeps queries together by a column of the queries."""

    by: Literal["query"] = "query"
    test: Share = 0.2
    dev: Share = 0.1
    seed: Seed = 7
    folds: Annotated[int, Field(ge=2, le=50)] | None = None
    group: str | None = None
    also: list[str] = []  # columns of the queries: one further table each, split with that column kept together

    @model_validator(mode="after")
    def _leave_something_to_fit(self) -> SplitConfig:
        if self.folds is None and not (self.test > 0 and self.dev > 0 and self.test + self.dev <= 0.8):
            raise ValueError("test and dev must be above 0 and together at most 0.8")
        return self


class CandidatesConfig(_Frozen):
    """[candidates]: rerank each query's judged products, or the top ``depth`` of the retriever."""

    origin: Annotated[Literal["judgments", "retrieval"], Field(alias="from")] = "judgments"
    depth: Annotated[int, Field(ge=1, le=10_000)] = 100


class RetrievalConfig(_Frozen):
    """[retrieval]: BM25 over weighted fields, and one field's vectors, fused."""

    engine: Literal["embedded"] = "embedded"
    fields: dict[str, Annotated[float, Field(gt=0)]] = {}  # empty = the dataset's own default
    vector: str | None = None  # a text field whose vectors join the lexical order by reciprocal rank fusion


class JudgmentsConfig(_Frozen):
    """[judgments]: graded by people, on a named scale (None = the dataset's)."""

    source: Literal["ratings"] = "ratings"
    scale: str | None = None


class FeaturesConfig(_Frozen):
    """[features]: a feature-set file, looked up from experiment.toml's directory, then from the working directory."""

    path: Annotated[str, Field(alias="set")] = "features/product_search.toml"


class RankerConfig(BaseModel):
    """[ranker]: the library and its objective; any other key is a parameter of the library."""

    model_config = ConfigDict(frozen=True, extra="allow")

    library: Literal["lightgbm"] = "lightgbm"
    objective: Literal["lambdarank", "rank_xendcg"] = "lambdarank"
    rounds: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    patience: Annotated[int, Field(ge=1)] = 50  # rounds without a better dev measure before fitting stops
    refit: bool = False  # once dev has settled the rounds, fit that many again on fit and dev together
    seed: Seed = 7
    monotone: dict[str, Literal[-1, 0, 1]] = {}  # feature -> direction

    @property
    def parameters(self) -> dict[str, Any]:
        """The library's own parameters, as written."""
        return dict(self.model_extra or {})


class EvaluationConfig(_Frozen):
    """[evaluation]: measures, gains (None = the dataset's; fitting uses the same), what counts as relevant, empty queries."""

    measures: Annotated[list[str], Field(min_length=1)] = ["nDCG@10", "RR", "AP"]
    baseline: Literal["retrieval"] = "retrieval"
    gains: str | list[float] | None = None
    rel: Annotated[float, Field(gt=0)] = 1
    empty: Literal["skip", "zero", "one"] = "skip"


class EncoderConfig(_Frozen):
    """[encoder]: a model by path, installed name or hub name; "hashing" needs no model."""

    model: str = "all-MiniLM-L6-v2"
    precision: Literal["float32", "int8"] = "float32"


class TrackingConfig(_Frozen):
    """[tracking]: the MLflow server; relative sqlite paths start from the working directory. "" switches tracking off."""

    uri: Annotated[str, Field(repr=False)] = "sqlite:///mlflow.db"  # may hold a password


class Experiment(_Frozen):
    """One experiment.toml."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=80)]
    question: str = ""
    data: DataConfig
    split: SplitConfig = SplitConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    judgments: JudgmentsConfig = JudgmentsConfig()
    features: FeaturesConfig = FeaturesConfig()
    ranker: RankerConfig = RankerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    encoder: EncoderConfig = EncoderConfig()
    tracking: TrackingConfig = TrackingConfig()


def read_experiment(path: Path, *, overrides: list[str] | None = None) -> Experiment:
    """Read an experiment.toml; ``overrides`` are KEY=VALUE with a dotted key and a TOML value, such as ranker.num_leaves=31."""
    table = read_toml(path)
    for override in overrides or []:
        _override(table, override)
    return parse(table, where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a file that is absent, not UTF-8 or not TOML is a ConfigError that says which."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


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
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key} = {fault['input']!r}: {message[0].lower()}{message[1:]}"


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
