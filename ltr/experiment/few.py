"""Few judgments: what a forest is fitted with where 300 queries or fewer are judged, unless the experiment says otherwise.

Small trees and a strong penalty, since a leaf of a few products says little; and what is more alike to the query by the
engine's score, BM25 or cosine may not count against a product, which no hundred queries can teach and no shopper would dispute.
"""

from __future__ import annotations

from typing import Any, Final

from ltr.config import Experiment, RankerConfig
from ltr.features.definition import FeatureSet

__all__ = ["FEW", "regularised"]

FEW: Final = 300
_MATCHING: Final = ("match", "bm25", "cosine")
_SMALL: Final[dict[str, dict[str, Any]]] = {
    "lightgbm": {"num_leaves": 7, "lambda_l2": 10.0},
    "xgboost": {"max_leaves": 7, "lambda": 10.0},
}


def regularised(experiment: Experiment, feature_set: FeatureSet, *, queries: int) -> tuple[Experiment, str]:
    """The experiment with those defaults where they apply, and a sentence that says so; else as it is, and "".

    Args:
        experiment: a ranker with parameters of its own keeps them all, one with monotone features keeps those.
        feature_set: says which features match.
        queries: how many are judged.
    """
    if queries > FEW:
        return experiment, ""
    ranker = _small(experiment.ranker, feature_set)
    compare = {row: _small(config, feature_set) for row, config in experiment.compare.items()}
    if ranker == experiment.ranker and compare == experiment.compare:
        return experiment, ""
    told = (
        f"{queries:,} judged queries are few: forests without parameters of their own have 7 leaves a tree and λ = 10, and, "
        "without monotone features of their own, count more of match, BM25 and cosine never against a product."
    )
    return experiment.model_copy(update={"ranker": ranker, "compare": compare}), told


def _small(config: RankerConfig, feature_set: FeatureSet) -> RankerConfig:
    if config.library not in _SMALL:
        return config
    update: dict[str, Any] = {} if config.parameters else dict(_SMALL[config.library])
    if not config.monotone:
        update["monotone"] = {
            feature.name: 1
            for feature in feature_set.features
            if feature.kind in _MATCHING and getattr(feature.params, "part", None) != "unwanted"
        }
    return RankerConfig.model_validate({**config.model_dump(), **update})
