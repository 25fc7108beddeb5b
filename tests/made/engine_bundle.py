"""A bundle whose every feature an engine expresses, and forests of any make to convert."""

from functools import cache

import lightgbm
import numpy as np
import polars as pl
import xgboost

from ltr import bundle, rankers
from ltr.config import parse
from ltr.features import definition, state

FEATURES = ("title_match", "title_phrase", "price", "stock")
WIDTH = len(FEATURES)
GAINS = np.array([0.0, 1.0, 3.0])
FIELDS = {"title": "text", "price": "number", "stock": "number"}
SET = {
    "name": "engine",
    "analyzer": "standard",
    "feature": [
        {"name": "title_match", "kind": "match", "field": "title", "missing": 0},
        {"name": "title_phrase", "kind": "match", "field": "title", "query": "match_phrase", "missing": 0},
        {"name": "price", "kind": "number", "field": "price", "log": True, "at_least": 0, "missing": 0},
        {"name": "stock", "kind": "number", "field": "stock", "at_least": 0, "missing": 2.5},
    ],
}


def lists(queries=40, size=12, seed=3):
    """Graded lists with an engine's scores."""
    rng = np.random.default_rng(seed)
    rows = queries * size
    score = np.abs(rng.normal(size=rows)).astype(np.float32)
    grade = np.clip(np.round(score + 0.3 * rng.normal(size=rows)), 0, 2)
    return pl.DataFrame(
        {
            "query_id": [f"q{row // size:03}" for row in range(rows)],
            "query": [f"red shoe {row // size}" for row in range(rows)],
            "product_id": [f"p{row % 24}" for row in range(rows)],
            "grade": grade.astype(np.float32),
            "weight": np.ones(rows, dtype=np.float32),
            "match.title_match": score,
            "match.title_phrase": np.where(rng.random(rows) < 0.5, score, 0).astype(np.float32),
        }
    )


def save(parent, *, features=SET, rounds=20, golden=True, **ranker):
    """Fit a small ranker and save its bundle; returns its path."""
    from ltr.features import compute

    products = pl.DataFrame(
        {
            "product_id": [f"p{at}" for at in range(24)],
            "title": [f"{('red', 'blue', 'green')[at % 3]} {('shoe', 'hat')[at % 2]} {at}" for at in range(24)],
            "price": [float(10 + at * 1.37) for at in range(24)],
            "stock": [None if at % 5 == 0 else float(at) for at in range(24)],
        }
    )
    wanted = definition.parse(features)
    held = state.build(products, wanted, fields=FIELDS, encoder=None)
    experiment = parse(
        {
            "name": "engine",
            "data": {"source": "files"},
            "candidates": {"from": "retrieval", "depth": 50},
            "ranker": {"rounds": rounds} | ranker,
        }
    )
    graded = lists()
    pairs = compute.pairs(graded, wanted, held, encoder=None)
    fitted = rankers.fit(experiment.ranker, pairs, None, features=wanted.names, gains=GAINS, rounds=rounds)
    return bundle.save(
        parent,
        "bundle",
        experiment=experiment,
        facts=bundle.CatalogueFacts("files", FIELDS, "title", {"title": 1.0}, "0-2", GAINS.tolist(), "table"),
        feature_set=wanted,
        ranker=fitted.ranker,
        state=held,
        encoder=None,
        judged=None,
        created="2024-02-01T00:00:00+00:00",
        results=lambda _directory: None,
        candidates=graded if golden else None,
    )


# What the data and the parameters are; ``empty`` is the share of missing cells.
LIGHTGBM = {
    "missing none": {},
    "missing nan": {"empty": 0.3},
    "missing only against all numbers": {"empty": 0.6, "numbers": "one"},
    "missing not used": {"empty": 0.2, "use_missing": False},
    "stumps": {"num_leaves": 2, "rounds": 40},
    "single leaves": {"min_data_in_leaf": 10_000},
    "whole numbers": {"numbers": "whole"},
    "tiny numbers": {"numbers": "tiny", "empty": 0.1},
    "huge numbers": {"numbers": "huge"},
    "xendcg": {"objective": "rank_xendcg"},
    "dart": {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.0},
    "random forest": {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "objective": "regression"},
}
XGBOOST = {
    "hist": {},
    "hist, missing": {"empty": 0.3},
    "exact": {"tree_method": "exact", "empty": 0.1},
    "base score": {"base_score": 3.25},
    "pairwise": {"objective": "rank:pairwise", "empty": 0.2},
    "stumps": {"max_depth": 1, "rounds": 40},
    "single leaves": {"gamma": 1e9, "base_score": 0.75},
    "parallel trees": {"num_parallel_tree": 3, "subsample": 0.5},
    "tiny numbers": {"numbers": "tiny"},
}
_ROWS = 360


def data(seed, *, empty=0.0, numbers="any"):
    """Float32 rows, and grades that three of the columns tell something of."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(_ROWS, WIDTH))
    matrix[:, 0] = np.abs(matrix[:, 0])
    if numbers == "whole":
        matrix = np.round(3 * matrix)
    elif numbers == "tiny":
        matrix *= 10.0 ** rng.integers(-44, -30, size=matrix.shape)
    elif numbers == "huge":
        matrix *= 1e37
    elif numbers == "one":
        matrix[:] = 1.0
    matrix[rng.random(matrix.shape) < empty] = np.nan
    told = np.nan_to_num(np.sign(matrix[:, 0] - 0.5)) + np.isnan(matrix[:, 1]) + np.nan_to_num(np.sign(matrix[:, 2]))
    return matrix.astype(np.float32), np.clip(told + rng.normal(size=_ROWS) + 1, 0, 4).astype(int)


@cache
def lightgbm_booster(name, seed=0):
    own = dict(LIGHTGBM[name])
    matrix, grades = data(seed, empty=own.pop("empty", 0.0), numbers=own.pop("numbers", "any"))
    rounds = own.pop("rounds", 12)
    chosen = {"verbosity": -1, "num_threads": 1, "objective": "lambdarank", "num_leaves": 12, "min_data_in_leaf": 3}
    chosen |= {"seed": seed} | own
    held = lightgbm.Dataset(matrix, grades, group=[12] * (_ROWS // 12), feature_name=list(FEATURES), params=chosen)
    return lightgbm.train(chosen, held, num_boost_round=rounds)


@cache
def xgboost_booster(name, seed=0):
    own = dict(XGBOOST[name])
    matrix, grades = data(seed, empty=own.pop("empty", 0.0), numbers=own.pop("numbers", "any"))
    rounds = own.pop("rounds", 12)
    chosen = {"nthread": 1, "objective": "rank:ndcg", "tree_method": "hist", "max_depth": 5, "seed": seed} | own
    held = xgboost.DMatrix(matrix, grades, qid=np.repeat(np.arange(_ROWS // 12), 12), feature_names=list(FEATURES))
    return xgboost.train(chosen, held, num_boost_round=rounds)


def ranker_of(library, name, seed=0):
    """A restored ranker of any of these boosters."""
    if library == "lightgbm":
        from ltr.rankers.lightgbm import LightGBMRanker

        booster = lightgbm_booster(name, seed)
        return LightGBMRanker(FEATURES, booster.num_trees(), booster.model_to_string())
    from ltr.rankers.xgboost import XGBoostRanker

    booster = xgboost_booster(name, seed)
    return XGBoostRanker(FEATURES, booster.num_boosted_rounds(), bytes(booster.save_raw("json")).decode())


EVERY = [("lightgbm", name) for name in LIGHTGBM] + [("xgboost", name) for name in XGBOOST]
