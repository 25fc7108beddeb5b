"""Features of candidates, in batch and online: one implementation.

``matrix`` does the work. A row's value depends on its own product, its query and its own list alone, and every sum has a
fixed order, so the same list gives the same bits whether it comes alone (``online``), among many (``pairs``) or in another
order of lists. Many lists are shared out among threads in chunks of whole lists. The first call for a state works out what
the others share, and loads the kernels: a service asks once before it takes requests.

>>> import polars as pl
>>> from ltr.features import definition, state
>>> wanted = definition.parse({"name": "tiny", "feature": [{"name": "cover", "kind": "coverage", "field": "title"}]})
>>> movies = pl.DataFrame({"product_id": ["p1", "p2"], "title": ["Iron Man", None]})
>>> built = state.build(movies, wanted, fields={"title": "text"}, encoder=None)
>>> online("the iron giant", ["p1", "p2", "p3"], wanted, built)          # 1 of 3 terms; no title; no such product
array([[0.33333334],
       [       nan],
       [       nan]], dtype=float32)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr.errors import CandidateError, EncoderError
from ltr.features import checks
from ltr.features.columns import Columns, Query
from ltr.features.definition import Feature, FeatureSet
from ltr.features.kinds import KINDS
from ltr.features.negation import Part
from ltr.features.params import Floats, Kind, Offsets, Params
from ltr.features.state import State
from ltr.frames import groups as frame_groups
from ltr.progress import bar

if TYPE_CHECKING:
    from ltr.encoders import Encoder
    from ltr.features.memory import Memory

__all__ = ["matrix", "online", "pairs"]

# A chunk's intermediate arrays stay within a processor's cache, and its fixed costs are spread over many rows.
_ROWS_AT_ONCE: Final = 8_192


def matrix(
    feature_set: FeatureSet,
    state: State,
    queries: Sequence[str],
    product_ids: Sequence[str],
    offsets: Offsets,
    *,
    match: Mapping[str, Floats] | None = None,
    query_vectors: Floats | None = None,
    part_vectors: Mapping[Part, Floats] | None = None,
    memory: Memory | None = None,
    own: NDArray[np.int64] | None = None,
    days: NDArray[np.int64] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Floats:
    """One row a candidate, one column a feature, NaN = missing.

    Args:
        feature_set: the columns.
        state: the catalogue; an unknown product has no features of its own.
        queries: the query of each list.
        product_ids: the candidates of all lists, one list after another.
        offsets: list i is candidates offsets[i] to offsets[i + 1].
        match: the engine's scores by feature, one a candidate, for features of kind match.
        query_vectors: float32[lists, dimension], for features of kind cosine.
        part_vectors: the same of the wanted or unwanted part of each query, NaN where it has none, for features that
            compare that part.
        memory: what earlier queries were judged to want, for features that are learnt.
        own: int64[lists], the fold of memory that each list must not see; None = lists of queries that it does not hold.
        days: int64[lists], the UTC day since 1970-01-01 that each list stands for: features of behaviour see what was
            counted before it; None = the state's.
        rows: int64[candidates], the candidates' rows where they are known already (``State.rows``).

    Raises:
        CandidateError: lengths that disagree, or match scores that are not there.
        EncoderError: query vectors that are not there or of another dimension.
        BundleMismatchError: a state that was built for another feature set, or without a log.
    """
    plan = _plan(feature_set, state)
    offsets = checks.offsets_of(offsets, len(queries), len(product_ids))
    scores = checks.match_scores(feature_set, match or {}, len(product_ids))
    parts = {part: (part_vectors or {}).get(part) for part in feature_set.parts}
    for vectors in (query_vectors, *parts.values()):
        checks.check_vectors(feature_set, state, vectors, len(queries))
    checks.check_memory(feature_set, state, memory)
    rows = state.rows(product_ids) if rows is None else rows
    rows = np.where(rows < 0, len(state), rows)
    analysed = {text: Query(text, feature_set.analyzer, state.vocabulary) for text in dict.fromkeys(queries)}
    asked, days = _behaviour(feature_set, state, queries, days)
    out = np.empty((len(rows), len(feature_set.features)), dtype=np.float32)

    def work(lists: slice) -> int:
        cuts = offsets[lists.start : lists.stop + 1]
        span = slice(int(cuts[0]), int(cuts[-1]))
        columns = Columns(
            state,
            [analysed[text] for text in queries[lists]],
            rows[span],
            match={params: values[span] for params, values in scores.items()},
            vectors=None if query_vectors is None else query_vectors[lists],
            part_vectors={part: vectors[lists] for part, vectors in parts.items() if vectors is not None},
            memory=memory,
            own=None if own is None else own[lists],
            asked=None if asked is None else asked[lists],
            days=None if days is None else days[lists],
        )
        _fill(out[span], plan, columns, cuts - cuts[0])
        return span.stop - span.start

    chunks = list(_chunks(offsets))
    if len(chunks) == 1:
        work(chunks[0])
        return out
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar("features", total=len(rows)) as advance:
        for done in pool.map(work, chunks):
            advance(done)
    return out


def pairs(
    candidates: pl.DataFrame,
    feature_set: FeatureSet,
    state: State,
    *,
    encoder: Encoder | None = None,
    memory: Memory | None = None,
    own: Mapping[str, int] | None = None,
) -> pl.DataFrame:
    """Return the candidates with one Float32 column a feature.

    Args:
        candidates: query_id (or search_id), query, product_id and ``match.<feature>`` columns, one list after another.
            Features of behaviour see what was counted before the UTC day of the list's as_of, where there is such a column
            and it is not null; else before the state's.
        feature_set: the columns to add.
        state: the catalogue.
        encoder: for features of kind cosine.
        memory: for features that are learnt.
        own: query_id -> the fold of memory that its lists must not see.
    """
    for column in ("query_id", "query", "product_id"):
        if column not in candidates.columns:
            raise CandidateError(f"the candidates lack column {column!r}", hint=f"they have {candidates.columns}")
        if empty := candidates[column].null_count():
            raise CandidateError(
                f"column {column!r} of the candidates is empty in {empty} rows", hint="fill or remove them"
            )
    offsets = frame_groups(candidates).offsets
    queries = candidates["query"].gather(offsets[:-1]).to_list()
    match = {
        name: candidates[f"match.{name}"].cast(pl.Float32).fill_null(np.nan).to_numpy()
        for name in feature_set.match
        if f"match.{name}" in candidates.columns
    }
    values = matrix(
        feature_set,
        state,
        queries,
        candidates["product_id"].to_list(),
        offsets,
        match=match,
        query_vectors=_query_vectors(queries, feature_set, encoder),
        part_vectors=_part_vectors(queries, feature_set, encoder),
        memory=memory,
        own=_own(candidates["query_id"].gather(offsets[:-1]), own),
        days=_days(candidates, offsets, state) if feature_set.counts and state.behaviour is not None else None,
    )
    return candidates.with_columns(pl.Series(name, values[:, at]) for at, name in enumerate(feature_set.names))


def online(
    query: str,
    product_ids: Sequence[str],
    feature_set: FeatureSet,
    state: State,
    *,
    match: Mapping[str, Floats] | None = None,
    encoder: Encoder | None = None,
    memory: Memory | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Floats:
    """The features of one query's candidates; ``rows`` are theirs in the state, where they are known already."""
    offsets = np.array([0, len(product_ids)], dtype=np.int64)
    return matrix(
        feature_set,
        state,
        [query],
        product_ids,
        offsets,
        match=match,
        query_vectors=_query_vectors([query], feature_set, encoder),
        part_vectors=_part_vectors([query], feature_set, encoder),
        memory=memory,
        rows=rows,
    )


def _own(query_ids: pl.Series, folds: Mapping[str, int] | None) -> NDArray[np.int64] | None:
    return None if folds is None else np.array([folds.get(query, -1) for query in query_ids], dtype=np.int64)


def _days(candidates: pl.DataFrame, offsets: Offsets, state: State) -> NDArray[np.int64] | None:
    """The day of each list, the state's where it has none."""
    if "as_of" not in candidates.columns:
        return None
    try:
        days = candidates["as_of"].cast(pl.Datetime("us", "UTC")).dt.date().cast(pl.Int32).cast(pl.Int64)
    except pl.exceptions.PolarsError as error:
        raise CandidateError(f"column 'as_of' of the candidates is no time: {error}", hint="give UTC times") from error
    days = days.fill_null(state.day)
    of_list = days.gather(offsets[:-1]).to_numpy()
    if not np.array_equal(np.repeat(of_list, np.diff(offsets)), days.to_numpy()):
        raise CandidateError("the products of one list have several as_of", hint="a list is shown at one time")
    return of_list


def _behaviour(
    feature_set: FeatureSet, state: State, queries: Sequence[str], days: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """The number of each list's query in the counts, and its day; no day is later than the state's."""
    if not feature_set.counts or state.behaviour is None:
        return None, None
    numbers = {text: state.behaviour.query(text) for text in dict.fromkeys(queries)}
    asked = np.array([numbers[text] for text in queries], dtype=np.int64)
    today = np.full(len(queries), state.day, dtype=np.int64)
    return asked, today if days is None else np.minimum(days, today)


@dataclass(frozen=True)
class _Plan:
    """Which column each feature fills; product scope is worked out for the whole catalogue, once a state."""

    product: Floats  # [len(state) + 1, features of product scope]
    product_at: NDArray[np.int64]
    product_names: tuple[str, ...]
    others: tuple[tuple[int, Feature, Kind], ...]  # list scope last, since it reads the others
    formed: tuple[tuple[int, Kind, Params], ...]  # those that stand for what they are worth in their list
    compared: frozenset[str]  # features that one of list scope reads
    filled: tuple[tuple[int, float], ...]


def _plan(feature_set: FeatureSet, state: State) -> _Plan:
    def make() -> _Plan:
        checks.check_state(feature_set, state)
        numbered = list(enumerate(feature_set.features))
        own = [(at, feature) for at, feature in numbered if feature.definition.scope == "product"]
        catalogue = Columns(state, [], np.arange(len(state) + 1, dtype=np.int64))
        whole = np.array([0, len(state) + 1], dtype=np.int64)
        product = np.empty((len(state) + 1, len(own)), dtype=np.float32)
        for column, (_, feature) in enumerate(own):
            product[:, column] = feature.definition.compute(catalogue, whole, params=feature.params)
        others = sorted(
            (pair for pair in numbered if pair[1].definition.scope != "product"),
            key=lambda pair: pair[1].definition.scope == "list",
        )
        formed = [(at, feature.name, KINDS[feature.form]) for at, feature in numbered if feature.form]
        return _Plan(
            product,
            np.array([at for at, _ in own], dtype=np.int64),
            tuple(feature.name for _, feature in own),
            tuple((at, feature, feature.definition) for at, feature in others),
            tuple((at, kind, kind.params.model_validate({"of": name})) for at, name, kind in formed),
            frozenset(
                [name for _, name, _ in formed] + [name for _, other in others for name in other.params.reads.values()]
            ),
            tuple((at, feature.missing) for at, feature in numbered if feature.missing is not None),
        )

    return state.once(("plan", feature_set.digest), make)


def _fill(out: Floats, plan: _Plan, columns: Columns, cuts: Offsets) -> None:
    """Write the features of some lists into their rows of the matrix."""
    if len(plan.product_at):
        own = plan.product[columns.rows]
        out[:, plan.product_at] = own
        for column, name in enumerate(plan.product_names):
            if name in plan.compared:
                columns.values[name] = own[:, column]
    sizes = cuts[1:] - cuts[:-1]
    for at, feature, kind in plan.others:
        values = kind.compute(columns, cuts, params=feature.params)
        if kind.scope == "query":
            values = np.repeat(values, sizes)
        elif feature.name in plan.compared:
            columns.values[feature.name] = values
        out[:, at] = values
    for at, form, params in plan.formed:
        out[:, at] = form.compute(columns, cuts, params=params)
    for at, missing in plan.filled:
        values = out[:, at]
        values[np.isnan(values)] = missing


def _chunks(offsets: Offsets) -> Iterator[slice]:
    """Whole lists, of about _ROWS_AT_ONCE rows together."""
    start, lists = 0, len(offsets) - 1
    while start < lists:
        stop = int(np.searchsorted(offsets, offsets[start] + _ROWS_AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), lists)
        yield slice(start, stop)
        start = stop


def _query_vectors(queries: Sequence[str], feature_set: FeatureSet, encoder: Encoder | None) -> Floats | None:
    """Vectors of the queries, each distinct one encoded once; None where no feature needs any."""
    if not feature_set.encodes:
        return None
    if encoder is None:
        raise EncoderError(
            f"feature set {feature_set.name!r} compares vectors of {list(feature_set.vector_fields)}",
            hint="give an encoder",
        )
    distinct = {query: at for at, query in enumerate(dict.fromkeys(queries))}
    vectors = np.asarray(encoder.encode_queries(list(distinct)), dtype=np.float32)
    return vectors[[distinct[query] for query in queries]]


def _part_vectors(queries: Sequence[str], feature_set: FeatureSet, encoder: Encoder | None) -> dict[Part, Floats]:
    """Vectors of the parts that features compare, each distinct text encoded once; NaN for a part without text."""
    found: dict[Part, Floats] = {}
    for part in feature_set.parts:
        texts = [Query(query, feature_set.analyzer, {}).parts[part].text for query in queries]
        said = [text for text in dict.fromkeys(texts) if text or part == "wanted"]
        vectors = _query_vectors(said, feature_set, encoder)
        if vectors is not None and encoder is not None:
            place = {text: at for at, text in enumerate(said)}
            none = np.full((1, encoder.dimension), np.nan, dtype=np.float32)
            found[part] = np.concatenate([vectors, none])[[place.get(text, len(said)) for text in texts]]
    return found
