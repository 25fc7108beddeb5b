"""LambdaMART, XE-NDCG and pointwise regression by LightGBM (Burges, MSR-TR-2010-82; Bruch et al., WWW 2021; Ke et al., NeurIPS 2017).

``lambdarank`` weighs each pair of a list by the nDCG that swapping it would change, under the table of gains; the loss
of ``rank_xendcg`` has gains of its own (2^grade), so there the table serves only to stop; ``regression`` is the squared error
of the gain, product by product. With ``position`` the score of a pair of ``lambdarank`` has a term of the place that the
product was shown at, which the ranker does not keep. One seed makes one forest,
whatever the number of threads: histograms are summed by column, each in one thread. Parameters of the library pass
through ``config.parameters`` under LightGBM's names or aliases, except those that the experiment decides elsewhere.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
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
        import lightgbm
except ImportError as error:
    raise MissingExtraError("lightgbm", "train") from error

__all__ = ["LightGBMRanker", "boosted", "check", "fit", "parameters", "restore"]

_log = logging.getLogger(__name__)

_ELSEWHERE: Final = "ltr hands the data over in memory; this is for LightGBM's command line"
_OWNED: Final = {
    "objective": "set ranker.objective",
    "num_iterations": "set ranker.rounds",
    "early_stopping_round": "set ranker.patience",
    "early_stopping_min_delta": "set ranker.patience",
    "first_metric_only": "there is one measure to stop on",
    "seed": "set ranker.seed",
    "monotone_constraints": "set ranker.monotone, direction by feature name",
    "label_gain": "set evaluation.gains, so that fitting and evaluation use the same",
    "metric": "fitting stops on the nDCG that evaluation.measures names",
    "eval_at": "fitting stops on the nDCG that evaluation.measures names",
    "is_provide_training_metric": "fitting stops on dev alone",
    "deterministic": "one seed makes one ranker",
    "verbosity": "progress is shown on a terminal",
    "num_class": "a ranker has one score",
    "categorical_feature": "every feature is a number here",
} | dict.fromkeys(
    [
        "config", "convert_model", "convert_model_language", "data", "group_column", "header", "ignore_column",
        "input_model", "label_column", "local_listen_port", "machine_list_filename", "machines", "metric_freq",
        "num_iteration_predict", "num_machines", "output_model", "output_result", "parser_config_file",
        "precise_float_parser", "pre_partition", "predict_contrib", "predict_disable_shape_check",
        "predict_leaf_index", "predict_raw_score", "pred_early_stop", "pred_early_stop_freq",
        "pred_early_stop_margin", "save_binary", "snapshot_freq", "start_iteration_predict", "task", "time_out",
        "tree_learner", "two_round", "valid", "weight_column",
    ],
    _ELSEWHERE,
)  # fmt: skip


@dataclass(frozen=True)
class LightGBMRanker:
    """A LightGBM forest cut at its best round; ``text`` is the library's own and all there is to it."""

    features: tuple[str, ...]
    rounds: int
    text: str = field(repr=False)
    version: str = lightgbm.__version__
    _booster: lightgbm.Booster = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load the forest from its text, so that a saved ranker and a fresh one are the same thing."""
        with _explained("this text of a forest"):
            booster = lightgbm.Booster(model_str=self.text)
        if tuple(booster.feature_name()) != self.features:
            raise RankerError(
                f"the forest was fitted on {booster.feature_name()}, not on {list(self.features)}",
                hint="ranker.txt and ranker.json do not belong together; restore both from one copy",
            )
        object.__setattr__(self, "_booster", booster)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score each row; NaN is a missing value."""
        checks.check_matrix(matrix, self.features)
        if not len(matrix):
            return np.empty(0, dtype=np.float64)
        with _explained("the matrix"):
            threads = checks.threads(len(matrix) * self.rounds, each=100_000)
            scores: NDArray[np.float64] = self._booster.predict(
                np.asarray(matrix, dtype=np.float32), num_threads=threads
            )
        return scores

    def importance(self) -> dict[str, float]:
        """Total gain of the splits on each feature."""
        gain = self._booster.feature_importance(importance_type="gain")
        return dict(zip(self.features, gain.tolist(), strict=True))

    def save(self, directory: Path) -> None:
        """Write ranker.txt and ranker.json."""
        saved.write(saved.Saved("lightgbm", self.version, self.features, self.rounds, self.text), directory)


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
        config: objective, rounds, patience, seed, monotone directions, LightGBM's own parameters.
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
    chosen = parameters(config, features=features, gains=table, cutoff=cutoff, rows=len(judged.grades))
    curve: list[float] = []
    _try(chosen, judged, features, told=checks.told(config))
    _check_position(config, judged)
    if config.objective == "regression" and _varies(judged.matrix):
        chosen |= {"objective": _squared_error(judged, table), "feature_pre_filter": False}
    with _explained("the data"), bar("fitting", total=rounds) as advance:

        def record(env: lightgbm.callback.CallbackEnv) -> None:
            curve.extend(float(result[2]) for result in env.evaluation_result_list)
            advance(1)

        start = begin(config.start, judged, features)
        fitting = _dataset(judged, features, start=start, position=config.position)
        # After `record`, which must see the last round too: stopping leaves the loop at once.
        stop = lightgbm.early_stopping(config.patience, verbose=False)
        booster = lightgbm.train(
            chosen,
            fitting,
            num_boost_round=rounds,
            valid_sets=[] if dev is None else [_dataset(dev, features, reference=fitting, start=start)],
            valid_names=[] if dev is None else ["dev"],
            callbacks=[record] if dev is None else [record, stop],
            keep_training_booster=True,  # else LightGBM writes and reads the text once more than needed
        )
        # DART rewrites earlier trees, so no earlier round can be gone back to: LightGBM then names no best one.
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        # The number of threads decides nothing, so the text does not depend on the machine that it was fitted on.
        text = re.sub(r"(?m)^\[num_threads: \d+\]$", "[num_threads: 0]", booster.model_to_string(num_iteration=best))
    forest = LightGBMRanker(tuple(features), best, text)
    ranker = forest if start is None else Started(forest, start)
    return Fitted(ranker, best, curve, time.perf_counter() - started, dropped)


def boosted(
    config: RankerConfig,
    matrix: NDArray[np.float32],
    gradient: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    *,
    features: Sequence[str],
    start: float,
    rounds: int,
    dev: tuple[NDArray[np.float32], Callable[[NDArray[np.float64]], float]] | None = None,
) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float64]], int]:
    """Trees that follow a gradient of the caller's, and how many rounds of them.

    Args:
        config: seed, patience, monotone directions, LightGBM's own parameters.
        matrix: rows to fit on.
        gradient: scores of all rows -> first and second derivatives of the loss.
        features: the columns' names.
        start: the score of every row before the first tree.
        rounds: at most.
        dev: other rows, and their loss by their scores: fitting stops when it no longer falls.
    """
    if not len(matrix) or not _varies(matrix):
        raise RankerError("no feature of the rows to fit on varies", hint="use other features, or a longer log")
    chosen = parameters(config, features=features, gains=np.array([0.0, 1.0]), cutoff=10, rows=len(matrix))
    chosen |= {"objective": lambda scores, _data: gradient(scores), "metric": "none", "feature_pre_filter": False}
    chosen.pop("lambdarank_truncation_level", None)

    def data(rows: NDArray[np.float32], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        nothing = np.zeros(len(rows), dtype=np.float32)
        return lightgbm.Dataset(rows, label=nothing, init_score=np.full(len(rows), start), reference=reference)

    with _explained("the data"), bar("fitting clicks", total=rounds) as advance:
        fitting = data(matrix)
        callbacks: list[Callable[..., None]] = [lambda _env: advance(1)]
        if dev is not None:
            callbacks.append(lightgbm.early_stopping(config.patience, verbose=False))
        booster = lightgbm.train(
            chosen,
            fitting,
            num_boost_round=rounds,
            valid_sets=[] if dev is None else [data(dev[0], fitting)],
            feval=None if dev is None else lambda scores, _data: ("loss", dev[1](scores), False),
            callbacks=callbacks,
        )
    best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = booster.predict(rows, num_iteration=best, raw_score=True)
        return start + scores

    return predict, best


def check(config: RankerConfig, *, features: Sequence[str]) -> None:
    """Refuse, without data, what ``fit`` would refuse of the parameters and the monotone directions."""
    width = len(features)
    lists = Lists(np.eye(2, width, dtype=np.float32), np.array([0, 1], dtype=np.int32), None, np.array([2]), {})
    chosen = parameters(config, features=features, gains=np.array([0.0, 1.0]), cutoff=10, rows=2)
    _try(chosen, lists, features, told=checks.told(config))


def restore(directory: Path) -> LightGBMRanker:
    """Load what ``save`` wrote."""
    held = saved.read(directory)
    return LightGBMRanker(held.features, held.rounds, held.text, held.version)


def parameters(
    config: RankerConfig, *, features: Sequence[str], gains: NDArray[np.float64], cutoff: int, rows: int
) -> dict[str, Any]:
    """Every parameter that LightGBM is given: our defaults, then the user's own, then what the experiment decides."""
    decided = {
        "objective": config.objective,
        "metric": "ndcg",
        "eval_at": [cutoff],
        "label_gain": gains.tolist(),
        "seed": config.seed,
        "deterministic": True,
        "verbosity": -1,
    }
    if config.monotone:
        decided["monotone_constraints"] = checks.directions(config.monotone, features)
    defaults = {
        "learning_rate": 0.05,
        "num_leaves": 31,
        # 20 is LightGBM's own; with fewer than 2,000 rows it would leave too few splits to learn from.
        "min_data_in_leaf": min(20, max(5, rows // 100)),
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
    }
    if config.objective == "lambdarank":
        # Pairs below the cutoff move no product into it; LightGBM advises somewhat more than the cutoff.
        defaults["lambdarank_truncation_level"] = 2 * cutoff
    defaults["num_threads"] = checks.threads(rows * len(features), each=500_000)
    own = checks.own(config.parameters, _names(), _OWNED, library="LightGBM") if config.parameters else {}
    if not own.get("force_row_wise"):
        defaults["force_col_wise"] = True
    return defaults | own | decided


def _check_position(config: RankerConfig, lists: Lists) -> None:
    if config.position and config.objective != "lambdarank":
        raise RankerError(
            f"ranker.position with objective {config.objective!r}", hint="a term of the position is lambdarank's"
        )
    if config.position and lists.positions is None:
        raise RankerError(
            "ranker.position: the pairs do not say where each product was shown",
            hint="fit on searches from a click log",
        )


def _varies(matrix: NDArray[np.float32]) -> bool:
    """Whether any feature does: LightGBM ends with an error of its own where it is to follow a gradient on none."""
    return bool(((matrix != matrix[:1]) & ~(np.isnan(matrix) & np.isnan(matrix[:1]))).any())


Gradient = Callable[[NDArray[np.float64], lightgbm.Dataset], tuple[NDArray[np.float64], NDArray[np.float64]]]


def _squared_error(lists: Lists, table: NDArray[np.float64]) -> Gradient:
    """Half the squared error of the gain ÷ the greatest gain; LightGBM's own would be that of the grade."""
    wanted = (table / table.max())[lists.grades]
    weights = np.ones(len(wanted)) if lists.weights is None else lists.weights.astype(np.float64)

    def gradient(
        scores: NDArray[np.float64], _data: lightgbm.Dataset
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return weights * (scores - wanted), weights

    return gradient


@cache
def _names() -> dict[str, str]:
    """Every name and alias of a parameter -> its name, by the C interface (Python has no public list of them)."""
    call = lightgbm.basic._LIB.LGBM_DumpParamAliases
    length = ctypes.c_int64(0)
    buffer = ctypes.create_string_buffer(1 << 20)
    if call(ctypes.c_int64(len(buffer)), ctypes.byref(length), buffer) or length.value > len(buffer):
        raise RankerError("LightGBM does not list its parameters", hint="install the release in requirements.lock")
    aliases = json.loads(buffer.value)
    return {alias: name for name, others in aliases.items() for alias in (name, *others)}


def _try(chosen: dict[str, Any], lists: Lists, features: Sequence[str], *, told: str) -> None:
    """Fit one round on one list, so that a parameter is refused before the work starts, and in one place."""
    size = int(lists.sizes[0])
    one = Lists(lists.matrix[:size], lists.grades[:size], None, lists.sizes[:1], {})
    with _explained(f"these parameters: {told}"), _silent():
        lightgbm.train(chosen, _dataset(one, features), num_boost_round=1)


@contextmanager
def _silent() -> Iterator[None]:
    """Send the process's standard error nowhere: LightGBM writes what is fatal there, whatever logger it was given."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _dataset(
    lists: Lists,
    features: Sequence[str],
    *,
    reference: lightgbm.Dataset | None = None,
    start: Start | None = None,
    position: bool = False,
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        lists.matrix,
        init_score=None if start is None else start.of(lists.matrix, features),
        label=lists.grades,
        # Evaluation counts every query once, so dev does too.
        weight=lists.weights if reference is None else None,
        group=lists.sizes,
        position=lists.positions if position else None,
        feature_name=list(features),
        categorical_feature=[],
        reference=reference,
    )


@contextmanager
def _explained(given: str) -> Iterator[None]:
    """Keep LightGBM's messages at debug level, and make its refusals a RankerError."""
    lightgbm.register_logger(_log, info_method_name="debug", warning_method_name="debug")
    try:
        yield
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        # LightGBM's checks end in the source file's path on the machine that built it.
        message = re.sub(r" at /\S+, line \d+ \.?", "", str(error)).strip()
        raise RankerError(f"LightGBM refuses {given}: {message}") from error
