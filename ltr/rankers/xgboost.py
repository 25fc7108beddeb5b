"""LambdaMART and RankNet's pairs by XGBoost (Burges, MSR-TR-2010-82; Chen & Guestrin, KDD 2016).

``rank:ndcg`` weighs each pair of a list by the nDCG that swapping it would change, ``rank:pairwise`` all alike. XGBoost
knows two tables of gains only; here a product's label is its gain itself, which its linear table then leaves as it is,
so that any table serves the loss and the dev measure alike.

XGBoost weights lists, not products. A product's confidence therefore shrinks its label, gain × weight, and a list
counts by its mean weight; on dev all weights are 1. Parameters of the library pass through ``config.parameters`` under
XGBoost's names or aliases, except those that the experiment decides; one that XGBoost would not use is refused. One
seed makes one forest, whatever the number of threads.
"""

from __future__ import annotations

import json
import logging
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.config import RankerConfig
from ltr.errors import MissingExtraError, RankerError
from ltr.progress import bar
from ltr.rankers import Fitted, checks, saved
from ltr.rankers.lists import Lists, to_fit_on
from ltr.rankers.started import Start, Started, begin

try:
    with checks.idle_threads_asleep():
        import xgboost
except ImportError as error:
    raise MissingExtraError("xgboost", "train") from error

__all__ = ["XGBoostRanker", "check", "fit", "parameters", "restore"]

_log = logging.getLogger(__name__)

WEIGHTED: Final = (
    "XGBoost weights lists, not products: a product's confidence shrinks its gain, and a list counts by its mean one"
)

_STOPS: Final = "fitting stops on the nDCG that evaluation.measures names"
_TREES: Final = "the forest of trees, which explanation and export read, is what is fitted"
_OWNED: Final = {
    "objective": "set ranker.objective",
    "num_boost_round": "set ranker.rounds",
    "n_estimators": "set ranker.rounds",
    "early_stopping_rounds": "set ranker.patience",
    "seed": "set ranker.seed",
    "monotone_constraints": "set ranker.monotone, direction by feature name",
    "ndcg_exp_gain": "set evaluation.gains, so that fitting and evaluation use the same",
    "eval_metric": _STOPS,
    "disable_default_eval_metric": _STOPS,
    "booster": _TREES,
    "process_type": _TREES,
    "updater": "set ranker.tree_method",
    "multi_strategy": "a ranker has one score",
    "num_class": "a ranker has one score",
    "num_target": "a ranker has one score",
    "max_cat_to_onehot": "every feature is a number here",
    "max_cat_threshold": "every feature is a number here",
    "missing": "a missing value is NaN",
    "validate_parameters": "a parameter that is not used is refused",
    "verbosity": "progress is shown on a terminal",
    "silent": "progress is shown on a terminal",
    "verbose_eval": "progress is shown on a terminal",
}
_ALIASES: Final = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
    "n_jobs": "nthread",
    "random_state": "seed",
}


@dataclass(frozen=True)
class XGBoostRanker:
    """An XGBoost forest cut at its best round; ``text`` is the JSON of the model and all there is to it."""

    features: tuple[str, ...]
    rounds: int
    text: str = field(repr=False)
    version: str = xgboost.__version__
    _booster: xgboost.Booster = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load the forest from its text, so that a saved ranker and a fresh one are the same thing."""
        with _explained("this text of a forest"):
            # XGBoost itself ends the whole process on an empty text.
            learner = json.loads(self.text).get("learner", {})
            if not isinstance(learner, dict) or "gradient_booster" not in learner:
                raise ValueError("it is not the JSON of a model")
            booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(self.text, "utf-8"))
        if tuple(booster.feature_names or ()) != self.features:
            raise RankerError(
                f"the forest was fitted on {booster.feature_names}, not on {list(self.features)}",
                hint="ranker.txt and ranker.json do not belong together; restore both from one copy",
            )
        object.__setattr__(self, "_booster", booster)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row; NaN is a missing value."""
        checks.check_matrix(matrix, self.features)
        if not len(matrix):
            return np.empty(0, dtype=np.float64)
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        with _explained("the matrix"):
            scores = self._booster.inplace_predict(rows, missing=np.nan, validate_features=False)
        return scores.astype(np.float64)

    def importance(self) -> dict[str, float]:
        """Total gain of the splits on each feature."""
        gain = self._booster.get_score(importance_type="total_gain")
        return {name: float(gain.get(name, 0.0)) for name in self.features}  # type: ignore[arg-type]

    def save(self, directory: Path) -> None:
        """Write ranker.txt and ranker.json."""
        saved.write(saved.Saved("xgboost", self.version, self.features, self.rounds, self.text), directory)


def fit(
    config: RankerConfig,
    fit_pairs: pl.DataFrame,
    dev_pairs: pl.DataFrame | None,
    *,
    features: Sequence[str],
    gains: NDArray[np.float64],
    cutoff: int = 10,
    rounds: int | None = None,
) -> Fitted:
    """Fit until dev nDCG@cutoff has not risen for ``config.patience`` rounds; the ranker keeps the best round.

    Args:
        config: objective, rounds, patience, seed, monotone directions, XGBoost's own parameters.
        fit_pairs: pairs to fit on; rows with a null grade are left out, weights are confidences.
        dev_pairs: pairs to stop on, unweighted as evaluation is; None = fit exactly the rounds.
        features: columns of the pairs, in the ranker's order.
        gains: gain by grade, for the loss and for the dev measure.
        cutoff: the k of dev nDCG@k.
        rounds: instead of config.rounds.
    """
    started = time.perf_counter()
    rounds = config.rounds if rounds is None else rounds
    table = np.asarray(gains, dtype=np.float64)
    judged, dev, dropped = to_fit_on(fit_pairs, dev_pairs, features=features, gains=table, cutoff=cutoff, rounds=rounds)
    chosen = parameters(config, features=features, cutoff=cutoff, rows=len(judged.grades))
    notes = _try(chosen, judged, features, table, told=checks.told(config))
    curve: list[float] = []
    start = begin(config.start, judged, features)
    with _explained("the data"), bar("fitting", total=rounds) as advance:
        stop = xgboost.callback.EarlyStopping(
            rounds=config.patience, metric_name=chosen["eval_metric"], data_name="dev"
        )
        booster = xgboost.train(
            chosen,
            _data(judged, features, table, threads=chosen["nthread"], start=start),
            num_boost_round=rounds,
            # Evaluation counts every query once, so dev does too.
            evals=[(_data(dev, features, table, threads=chosen["nthread"], weighed=False, start=start), "dev")]
            if dev
            else [],
            verbose_eval=False,
            # In this order: the round that stops is recorded too.
            callbacks=[_Record(curve, advance)] if dev is None else [_Record(curve, advance), stop],
        )
        best = int(np.argmax(curve)) + 1 if curve else booster.num_boosted_rounds()
        booster = booster[:best]
        booster.set_attr(best_iteration=None, best_score=None)
        text = bytes(booster.save_raw("json")).decode("utf-8")
    forest = XGBoostRanker(tuple(features), best, text)
    ranker = forest if start is None else Started(forest, start)
    notes += (WEIGHTED,) if judged.weights is not None else ()
    return Fitted(ranker, best, curve, time.perf_counter() - started, dropped, notes)


def check(config: RankerConfig, *, features: Sequence[str]) -> None:
    """Refuse, without data, what ``fit`` would refuse of the parameters and the monotone directions."""
    matrix = np.eye(2, len(features), dtype=np.float32)
    lists = Lists(matrix, np.array([0, 1], dtype=np.int32), None, np.array([2]), {})
    chosen = parameters(config, features=features, cutoff=10, rows=2)
    _try(chosen, lists, features, np.array([0.0, 1.0]), told=checks.told(config))


def restore(directory: Path) -> XGBoostRanker:
    """Load what ``save`` wrote."""
    held = saved.read(directory)
    return XGBoostRanker(held.features, held.rounds, held.text, held.version)


def parameters(config: RankerConfig, *, features: Sequence[str], cutoff: int, rows: int) -> dict[str, Any]:
    """Every parameter that XGBoost is given: our defaults, then the user's own, then what the experiment decides."""
    decided = {
        "objective": config.objective,
        "eval_metric": f"ndcg@{cutoff}",
        "ndcg_exp_gain": False,
        "seed": config.seed,
        "validate_parameters": True,
        "verbosity": 0,
    }
    if config.monotone:
        decided["monotone_constraints"] = str(tuple(checks.directions(config.monotone, features)))
    defaults = {
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": 31,
        "eta": 0.05,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        # Hessian, not rows: measured, a row starts with about this much, so that a leaf holds LightGBM's 20 or so.
        "min_child_weight": {"rank:ndcg": 0.1, "rank:pairwise": 0.4}[config.objective] * min(20, max(5, rows // 100)),
        # Pairs below the cutoff move no product into it; the same level as LightGBM's.
        "lambdarank_num_pair_per_sample": 2 * cutoff,
        # What XGBoost estimates is 0 but for rounding, which depends on the number of threads.
        "base_score": 0.0,
        "nthread": checks.threads(rows * len(features), each=500_000),
    }
    given = checks.own(config.parameters, _names(), _OWNED, library="XGBoost") if config.parameters else {}
    if given.get("tree_method") == "exact" or given.get("grow_policy") == "depthwise":
        # Trees grown level by level need a limit of depth; this is XGBoost's own.
        defaults |= {"grow_policy": "depthwise", "max_depth": 6, "max_leaves": 0}
    if given.get("lambdarank_pair_method") == "mean":
        # There it is the number of pairs drawn for each product, XGBoost's own default 1.
        defaults["lambdarank_num_pair_per_sample"] = 1
    return defaults | given | decided


@cache
def _names() -> dict[str, str]:
    """Every name and alias of a parameter of a forest of trees for ranking -> its first name, as XGBoost lists them."""
    data = xgboost.DMatrix(np.eye(2), label=[0, 1], nthread=1)
    data.set_group([2])
    booster = xgboost.train({"objective": "rank:ndcg", "tree_method": "hist"}, data, num_boost_round=1)
    names = {*_OWNED, *_ALIASES, "base_score", "num_parallel_tree", *_leaves(json.loads(booster.save_config()))}
    names -= {"name", "updater_seq", "specified_updater", "version", "num_trees", "num_feature", "boost_from_average"}
    return {name: _ALIASES.get(name, name) for name in names}


def _leaves(node: Any) -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        elif isinstance(value, list) and name in ("updater", "metrics"):
            for one in value:
                yield from _leaves(one)
        elif isinstance(value, str):
            yield name


def _try(
    chosen: Mapping[str, Any], lists: Lists, features: Sequence[str], gains: NDArray[np.float64], *, told: str
) -> tuple[str, ...]:
    """Fit one round on one list, so that a parameter is refused before the work starts; what XGBoost warns of."""
    size = int(lists.sizes[0])
    one = Lists(lists.matrix[:size], lists.grades[:size], None, lists.sizes[:1], {})
    with _explained(f"these parameters: {told}"), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        xgboost.train({**chosen, "verbosity": 1}, _data(one, features, gains, threads=1), num_boost_round=1)
    messages = tuple(_sentence(str(warning.message)) for warning in raised)
    for message in messages:
        if "are not used" in message:
            names = ", ".join(re.findall(r'"([^"]+)"', message))
            raise RankerError(
                f"XGBoost would not use {names} with these parameters: {told}", hint="leave out what does not apply"
            )
    return messages


class _Record(xgboost.callback.TrainingCallback):
    """Keep the dev curve and move the bar."""

    def __init__(self, curve: list[float], advance: Any) -> None:
        self.curve, self.advance = curve, advance

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Take the round's dev measure, the only one there is."""
        for measured in evals_log.get("dev", {}).values():
            self.curve.append(float(measured[-1]))
        self.advance(1)
        return False


def _data(
    lists: Lists,
    features: Sequence[str],
    gains: NDArray[np.float64],
    *,
    threads: int,
    weighed: bool = True,
    start: Start | None = None,
) -> xgboost.DMatrix:
    label = gains[lists.grades]
    weight = None
    if weighed and lists.weights is not None:
        label = label * lists.weights
        starts = np.cumsum(lists.sizes) - lists.sizes
        weight = np.add.reduceat(lists.weights.astype(np.float64), starts) / lists.sizes
    data = xgboost.DMatrix(lists.matrix, label=label, missing=np.nan, feature_names=list(features), nthread=threads)
    margin = None if start is None else start.of(lists.matrix, features)
    data.set_info(group=lists.sizes, weight=weight, base_margin=margin)
    return data


@contextmanager
def _explained(given: str) -> Iterator[None]:
    """Make XGBoost's refusals a RankerError."""
    try:
        yield
    except (xgboost.core.XGBoostError, ValueError, TypeError, AttributeError) as error:
        raise RankerError(f"XGBoost refuses {given}: {_sentence(str(error))}") from error


def _sentence(message: str) -> str:
    """XGBoost's message without the hour, the source file's path on the machine that built it, and the stack.

    >>> _sentence("[14:30:40] WARNING: /src/learner.cc:782: \\nParameters: { foo } are not used.\\n")
    'Parameters: { foo } are not used.'
    """
    message = message.partition("Stack trace:")[0]
    message = re.sub(r"^\[[\d:]+\] (WARNING: )?(/\S+:\d+: ?)?", "", message.strip())
    return " ".join(message.split())
