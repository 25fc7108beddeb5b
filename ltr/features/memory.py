"""What judged queries want, kept by product: the memory that the ``judged_*`` kinds read.

``Judged`` is what a bundle keeps: queries, their vectors and judgments, whatever catalogue they are asked of. ``on`` places
it on a state. A query that it was made of must not see its own judgments, nor those of the queries that share its answer:
it belongs to a fold, and the values of a list say nothing of the list's own fold (cross-fitting). So the ranker is fitted on
values that are as good, and no better, than those that a query never seen before will have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import BundleError, JudgmentError
from ltr.features.params import Floats, Offsets
from ltr.features.terms import Tokens, plain, trigrams

if TYPE_CHECKING:
    from ltr.encoders import Encoder
    from ltr.features.state import State

__all__ = ["FOLDS", "MOST", "RELEVANT", "Answers", "Judged", "Memory", "load", "remember"]

T = TypeVar("T")

FOLDS: Final = 8
RELEVANT: Final = 0.5  # of the greatest gain
MOST: Final = 512  # queries a product: what a request costs has a bound


@dataclass(frozen=True)
class Judged:
    """Judged queries.

    Args:
        queries: query_id, query, fold; a row a query.
        judgments: query (its row), product_id, value (gain ÷ greatest gain), weight.
        vectors: float32[queries, dimension]; dimension 0 where no encoder was given.
    """

    queries: pl.DataFrame
    judgments: pl.DataFrame
    vectors: Floats = field(repr=False)

    @cached_property
    def folds(self) -> dict[str, int]:
        """query_id -> the fold that its own lists must not see."""
        return dict(self.queries.select("query_id", "fold").iter_rows())

    def on(self, state: State) -> Memory:
        """The judgments by row of a state's catalogue; those of products that it lacks are left out.

        Of a product that very many queries judged, MOST are kept: those with the greatest weights.
        """
        rows = state.rows(self.judgments["product_id"].to_list())
        placed = self.judgments.with_columns(row=pl.Series(rows)).filter(pl.col("row") >= 0)
        first = pl.int_range(pl.len()).over("row") < MOST
        kept = placed.sort("row", -pl.col("weight"), "query").filter(first).sort("row", "query")
        bounds = np.zeros(len(state) + 2, dtype=np.int64)
        np.cumsum(np.bincount(kept["row"].to_numpy(), minlength=len(state) + 1), out=bounds[1:])
        return Memory(
            products=len(state),
            bounds=bounds,
            asked=kept["query"].to_numpy().astype(np.int64),
            values=kept["value"].to_numpy().astype(np.float64),
            weights=kept["weight"].to_numpy().astype(np.float64),
            folds=self.queries["fold"].to_numpy().astype(np.int64),
            vectors=np.ascontiguousarray(self.vectors),
            texts=tuple(self.queries["query"].to_list()),
        )

    def save(self, directory: Path) -> None:
        """Write queries.parquet, judgments.parquet and vectors.npy."""
        directory.mkdir(parents=True, exist_ok=True)
        self.queries.write_parquet(directory / "queries.parquet")
        self.judgments.write_parquet(directory / "judgments.parquet")
        np.save(directory / "vectors.npy", self.vectors, allow_pickle=False)


@dataclass(frozen=True, eq=False)
class Memory:
    """Judged queries placed on a catalogue, in flat arrays; the last product row stands for those that it lacks.

    Args:
        products: rows of the catalogue.
        bounds: bounds[row] to bounds[row + 1] are a product's entries.
        asked: the query of each entry.
        values: its gain, 0 to 1.
        weights: its confidence.
        folds: of each query.
        vectors: of each query.
        texts: of the queries.
    """

    products: int
    bounds: Offsets
    asked: NDArray[np.int64]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    folds: NDArray[np.int64]
    vectors: Floats
    texts: tuple[str, ...]
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returns, worked out at the first call for this key and kept."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def answers(self, key: str, tokens: Tokens, terms: Callable[[str], NDArray[np.int32]]) -> Answers:
        """Where queries with a term were answered; made once a field.

        Args:
            key: the field's name in the state.
            tokens: the field.
            terms: a query's term numbers.
        """
        return self.once(("answers", key), lambda: _answers(self, tokens, terms))

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Weighted mean of the values outside each fold; the last entry, that of fold −1, is of all."""
        folds = self.folds[self.asked]
        every = np.arange(int(self.folds.max(initial=-1)) + 1)
        return np.array([_mean(self.values, self.weights, folds != fold) for fold in (*every, -1)])

    @cached_property
    def _trigrams(self) -> list[NDArray[np.int64]]:
        return [np.sort(trigrams(plain(text))) for text in self.texts]

    @cached_property
    def grams(self) -> NDArray[np.int64]:
        """Distinct character trigrams of the queries, sorted within each."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._trigrams])

    @cached_property
    def ends(self) -> Offsets:
        """ends[query] to ends[query + 1] are a query's trigrams."""
        return np.cumsum([0, *(len(own) for own in self._trigrams)], dtype=np.int64)

    @cached_property
    def gram_weights(self) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
        """Each trigram there is, sorted, its weight log((N + 1) ÷ (df + ½)), and the weight of one that no query has."""
        known, frequencies = np.unique(self.grams, return_counts=True)
        queries = len(self.folds)
        return known, np.log((queries + 1) / (frequencies + 0.5)), float(np.log((queries + 1) / 0.5))

    @cached_property
    def weighed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weight of each entry of ``grams``, and each query's norm."""
        known, weights, _ = self.gram_weights
        each = weights[np.searchsorted(known, self.grams)] if len(known) else np.empty(0)
        squared = np.zeros(len(each) + 1)
        np.cumsum(np.square(each), out=squared[1:])
        return each, np.sqrt(squared[self.ends[1:]] - squared[self.ends[:-1]])


@dataclass(frozen=True, eq=False)
class Answers:
    """For one field, by term number and fold: how many queries have the term, and how far the field answered them.

    A query's share is that of its terms that the field has, averaged over its relevant products; queries without a relevant
    product of the catalogue say nothing.
    """

    counts: NDArray[np.float64]  # [terms, folds]
    shares: NDArray[np.float64]  # [terms, folds], sums
    means: NDArray[np.float64]  # of all queries' shares outside each fold; the last, that of fold −1, of all


def _answers(memory: Memory, tokens: Tokens, terms: Callable[[str], NDArray[np.int32]]) -> Answers:
    rows = np.repeat(np.arange(memory.products + 1), np.diff(memory.bounds))
    relevant: dict[int, list[int]] = {}
    for entry in np.flatnonzero(memory.values >= RELEVANT):
        relevant.setdefault(int(memory.asked[entry]), []).append(int(rows[entry]))
    folds = int(memory.folds.max(initial=0)) + 1
    counts = np.zeros((len(tokens.vocabulary), folds))
    shares = np.zeros_like(counts)
    total, own_folds = list[float](), list[int]()
    for query, products in relevant.items():
        own = np.unique(terms(memory.texts[query]))
        if not len(own):
            continue
        found = [np.isin(own, tokens.ids[tokens.bounds[row] : tokens.bounds[row + 1]]).mean() for row in products]
        total.append(float(np.mean(found)))
        own_folds.append(int(memory.folds[query]))
        known = own[own >= 0]
        counts[known, memory.folds[query]] += 1
        shares[known, memory.folds[query]] += total[-1]
    each, one, where = np.array(total), np.ones(len(total)), np.array(own_folds, dtype=np.int64)
    return Answers(counts, shares, np.array([_mean(each, one, where != fold) for fold in (*range(folds), -1)]))


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64], kept: NDArray[np.bool_]) -> float:
    """The weighted mean of those kept; 0 where they weigh nothing."""
    whole = float(weights[kept].sum())
    return float((values[kept] * weights[kept]).sum()) / whole if whole > 0 else 0.0


def remember(
    queries: pl.DataFrame,
    judgments: pl.DataFrame,
    *,
    gains: NDArray[np.float64],
    groups: Mapping[str, str],
    encoder: Encoder | None,
    folds: int = FOLDS,
) -> Judged:
    """Keep these queries' judgments.

    Args:
        queries: a queries frame.
        judgments: their judgments; others are left out.
        gains: gain by grade.
        groups: query_id -> what shares a fold, such as the queries that share their relevant products.
        encoder: of the query vectors; None where no feature compares meanings.
        folds: how many; a value is learnt from the queries of all but one.
    """
    queries = queries.select("query_id", "query").join(judgments, on="query_id", how="semi", maintain_order="left")
    if queries.is_empty():
        raise JudgmentError("no judged query is there to learn from", hint="judge some, or leave judged_* features out")
    named = queries.with_columns(
        fold=pl.Series([_fold(groups[query_id], folds) for query_id in queries["query_id"]], dtype=pl.Int64)
    )
    numbered = named.select("query_id", query=pl.int_range(pl.len(), dtype=pl.Int64))
    table = pl.Series(np.asarray(gains, dtype=np.float64) / max(float(np.max(gains)), 1e-300))
    kept = (
        judgments.filter(pl.col("grade").is_not_null())
        .join(numbered, on="query_id", how="inner", maintain_order="left")
        .select(
            "query",
            "product_id",
            value=pl.col("grade").cast(pl.Int64).replace_strict(dict(enumerate(table)), return_dtype=pl.Float64),
            weight=pl.col("weight").cast(pl.Float64),
        )
    )
    texts = named["query"].to_list()
    vectors = np.zeros((len(texts), 0), dtype=np.float32)
    if encoder is not None:
        vectors = np.asarray(encoder.encode_queries(texts), dtype=np.float32)
    return Judged(named, kept, vectors)


def load(directory: Path) -> Judged:
    """Read what ``Judged.save`` wrote."""
    try:
        return Judged(
            pl.read_parquet(directory / "queries.parquet"),
            pl.read_parquet(directory / "judgments.parquet"),
            np.load(directory / "vectors.npy", allow_pickle=False),
        )
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise BundleError(
            f"{directory} cannot be read: {error}", hint="train again, or copy the bundle again"
        ) from error


def _fold(group: str, folds: int) -> int:
    return int.from_bytes(hashlib.sha256(f"memory {group}".encode()).digest()[:4], "big") % folds
