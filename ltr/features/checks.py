"""What is wrong with what ``compute`` is asked: lists that are none, scores or vectors that are absent, another state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ltr.errors import BundleMismatchError, CandidateError, EncoderError, suggestion
from ltr.features.definition import FeatureSet
from ltr.features.match import MatchParams
from ltr.features.memory import Memory
from ltr.features.params import HELD, Floats, Offsets
from ltr.features.state import State

__all__ = ["check_memory", "check_state", "check_vectors", "match_scores", "offsets_of"]


def offsets_of(offsets: Offsets, lists: int, rows: int) -> Offsets:
    """Where lists begin and end; CandidateError where they do not cut the rows."""
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    if len(offsets) != lists + 1 or offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 0).any():
        raise CandidateError(
            f"offsets do not cut {rows} candidates into {lists} lists", hint="take them from ltr.frames.groups"
        )
    return offsets


def match_scores(feature_set: FeatureSet, match: Mapping[str, Floats], rows: int) -> dict[MatchParams, Floats]:
    """The engine's scores, by what it was asked."""
    for name in feature_set.match:
        if name not in match:
            raise CandidateError(
                f"the candidates lack the engine's score for feature {name!r}",
                hint=f"deliver match.{name}; there are {sorted(match)}",
            )
        if len(match[name]) != rows:
            raise CandidateError(f"match.{name} has {len(match[name])} values for {rows} candidates")
    return {params: np.asarray(match[name], dtype=np.float32) for name, params in feature_set.match.items()}


def check_vectors(feature_set: FeatureSet, state: State, vectors: Floats | None, lists: int) -> None:
    """EncoderError for query vectors that are not there, or not of the state's encoder."""
    for key in feature_set.vector_fields:
        if vectors is None:
            raise EncoderError(f"a cosine over {key!r} needs query vectors", hint="give an encoder")
        expected = (lists, (state.vectors[key] if key in state.vectors else state.sentences[key].vectors).shape[1])
        if vectors.shape != expected:
            raise EncoderError(
                f"query vectors have shape {vectors.shape}, not {expected}",
                hint="encode queries with the state's encoder",
            )


def check_memory(feature_set: FeatureSet, state: State, memory: Memory | None) -> None:
    """BundleMismatchError for a memory that is not there, or of another catalogue."""
    if feature_set.learnt and memory is None:
        raise BundleMismatchError(
            f"feature set {feature_set.name!r} has features that are learnt from judgments: {list(feature_set.learnt)}",
            hint="give the memory of the queries that it was fitted on",
        )
    if memory is not None and memory.products != len(state):
        raise BundleMismatchError(
            f"the memory is of a catalogue of {memory.products:,} products, the state of {len(state):,}",
            hint="place the memory on the state: Memory.on(state)",
        )


def check_state(feature_set: FeatureSet, state: State) -> None:
    """BundleMismatchError for a state that does not hold what the features read."""
    held = set(state.schema.sources)
    lacking = [source for source in feature_set.sources if source.form in HELD and source not in held]
    if feature_set.analyzer != state.schema.analyzer:
        raise BundleMismatchError(
            f"feature set {feature_set.name!r} has analyzer {feature_set.analyzer!r}, the state {state.schema.analyzer!r}",
            hint="build the state for this feature set",
        )
    if lacking:
        source = lacking[0]
        raise BundleMismatchError(
            f"feature set {feature_set.name!r} reads {source.form} of {source.key!r}, which the state does not hold",
            hint=suggestion(source.key, {other.key for other in held if other.form == source.form}, noun="it holds"),
        )
    _check_counts(feature_set, state)


def _check_counts(feature_set: FeatureSet, state: State) -> None:
    if not feature_set.counts:
        return
    names = [feature.name for feature in feature_set.features if feature.params.counts]
    if state.behaviour is None:
        raise BundleMismatchError(
            f"feature set {feature_set.name!r} has features of behaviour, {names}; the state has counted none",
            hint="build the state with impressions and as_of",
        )
    for key, measures in feature_set.counts.items():
        held = state.behaviour.levels[key].sums.keys() if key in state.behaviour.levels else set()
        if lacking := sorted(measures - held):
            raise BundleMismatchError(
                f"feature set {feature_set.name!r} reads {lacking} by {key.name!r}, which the state has not counted",
                hint=f"it has {sorted(other.name for other in state.behaviour.levels)}; build it for this feature set",
            )
