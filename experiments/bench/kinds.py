"""What each kind of feature costs: written to features/measured.json, quoted by features/README.md.

A kind is asked alone, over one field, with its default parameters; what it needs of the query is analysed within its time,
as if no other kind had asked for it before. Kinds that share work, such as those that count terms, cost less together. The
clock is the thread's own, so what else the machine does counts little.
"""

import statistics
import time
from contextlib import suppress
from typing import Any, Literal, get_args, get_origin

import numpy as np
from measured import keep
from movies import Drawn, Lists, judged, load, logged, remembered
from pydantic import ValidationError

from ltr.datasets import Dataset
from ltr.features import KINDS, State, build
from ltr.features.columns import Columns, Query
from ltr.features.definition import Feature, FeatureSet
from ltr.features.memory import Memory
from ltr.features.params import FORMS, Kind, Params

ANALYZER = "english"
# The field that a kind is asked over is the first of the type it reads; some have their natural field.
FIELDS = {"text": "title", "keyword": "genres", "number": "year", "boolean": "year"}
NATURAL = {"agreement": "genres", "keyword": "actors", "sentence_cosine": "overview"}
# Parameters without a default that no rule can guess.
NEEDED: dict[str, dict[str, Any]] = {
    "conflict": {"alternatives": [["one", "first"], ["two", "second"], ["three", "third"]]}
}
# These have nothing to do where the query excludes nothing.
EXCLUDING = ("excluded", "exclusion_honoured")
LIST, TURNS, QUERIES = 24, 7, 300
UNITS = {"product": "product", "query": "query", "query_product": "pair", "list": "pair"}
NOTE = (
    "µs of processor time, the kind alone in its default form over the movies' title (number kinds: year; "
    f"{'; '.join(f'{kind}: {field}' for kind, field in NATURAL.items())}), {LIST} products a query, the query's analysis "
    "included"
)


def measure() -> list[dict[str, object]]:
    """No figure of its own."""
    found = costs(load())
    keep("cost", found, note=NOTE, command="make bench BENCH=kinds")
    return []


def example(name: str) -> Params | None:
    """Parameters of a kind as a plain feature set would give them; None where they cannot be guessed."""
    kind = KINDS[name]
    table: dict[str, Any] = dict(NEEDED.get(name, {}))
    for key, info in kind.params.model_fields.items():
        if key == "field" and kind.form:
            table[key] = NATURAL.get(name, FIELDS[FORMS[kind.form][0]])
        elif key not in table and info.is_required() and get_origin(info.annotation) is Literal:
            table[key] = get_args(info.annotation)[0]
    # A kind may take a field only in one of its forms, which is not the plain one.
    for given in (table, {key: value for key, value in table.items() if key != "field"}):
        with suppress(ValidationError):
            return kind.params.model_validate(given)
    return None


def costs(dataset: Dataset, *, size: int = LIST, queries: int = QUERIES, turns: int = TURNS) -> dict[str, Any]:
    """Kind -> µs and what of; kinds without an example are left out."""
    chosen = {name: params for name in KINDS if (params := example(name)) is not None}
    features = tuple(Feature(name, name, params) for name, params in chosen.items())
    asked = judged(dataset, size)[0 : (turns + 1) * queries]
    log = logged(dataset)
    state = build(
        dataset.products,
        FeatureSet("all", ANALYZER, features),
        fields=dataset.fields,
        encoder=Drawn(),
        impressions=log,
        examination=[1.0],
        as_of=f"{log['shown_at'].max():%Y-%m-%d}",
    )
    memory = remembered(dataset, state, but=asked)
    parts = [asked[turn * queries : (turn + 1) * queries] for turn in range(turns + 1)]
    return {name: _cost(name, params, state, memory, parts) for name, params in chosen.items()}


def _cost(name: str, params: Params, state: State, memory: Memory, parts: list[Lists]) -> dict[str, object]:
    """Median over turns, each with queries of its own; the first warms the state."""
    kind = KINDS[name]
    found = []
    for part in parts:
        texts = [f"{text} without {text.split()[0]}" for text in part.queries] if name in EXCLUDING else part.queries
        found.append(_microseconds(kind, params, state, memory, part, texts))
    return {"value": float(f"{statistics.median(found[1:]):.3g}"), "unit": UNITS[kind.scope]}


def _microseconds(kind: Kind, params: Params, state: State, memory: Memory, part: Lists, texts: list[str]) -> float:
    """Of one product, query or pair."""
    if kind.scope == "product":
        rows, groups, asked = np.arange(len(state), dtype=np.int64), np.array([0, len(state)], dtype=np.int64), []
    else:
        rows, groups = state.rows(part.ids), part.offsets
        asked = [Query(text, ANALYZER, state.vocabulary) for text in texts]
    counted = None if state.behaviour is None else np.array([state.behaviour.query(text) for text in texts])
    columns = Columns(
        state,
        asked,
        rows,
        match={params: np.ones(len(rows), dtype=np.float32)},
        vectors=Drawn().encode_queries(texts),
        memory=memory,
        asked=counted,
        days=np.full(len(texts), state.day),
    )
    start = time.thread_time()
    values = kind.compute(columns, groups, params=params)
    return (time.thread_time() - start) * 1e6 / len(values)
