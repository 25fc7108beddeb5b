"""The bundle: one directory that holds all that reranking needs, saved whole or not at all, verified when loaded.

    <bundle>/
      bundle.json    format number, creation time, and the SHA-256 of every file of both parts
      model/         ranker, feature set, encoder, judged queries where features are learnt from them, golden rows, and the
                     experiment that made them: may not change under its hash
      state/         products, terms, statistics, vectors, behaviour counts: replaced as one (``ltr.refresh``), with its own
                     version and time; bundle.json names its directory
      results/       what the run measured; not needed to serve

A directory under construction has another name until it is whole, so a full disk or Ctrl-C leaves earlier bundles as they were.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltr import __version__
from ltr.bundle_manifest import FORMAT, digests, read_json, read_manifest, state_directory, verify, write_json
from ltr.config import Experiment, parse
from ltr.errors import BundleError, BundleMismatchError, LtrError

if TYPE_CHECKING:
    import polars as pl

    from ltr.datasets import FieldType
    from ltr.encoders import Encoder
    from ltr.features.definition import FeatureSet
    from ltr.features.memory import Judged, Memory
    from ltr.features.state import State
    from ltr.rankers import Ranker
    from ltr.retrieval import Retriever

__all__ = ["FORMAT", "Bundle", "CatalogueFacts", "check_writable", "load", "read_experiment", "rerank", "save"]


@dataclass(frozen=True)
class CatalogueFacts:
    """What of the dataset a bundle needs when the dataset is gone."""

    source: str
    fields: dict[str, FieldType]
    title: str
    retrieval_fields: dict[str, float]
    scale: str
    gains: list[float]
    gains_name: str
    body: dict[str, Any] | None = None  # what the shop asks its search engine

    @property
    def booleans(self) -> frozenset[str]:
        """Fields of true and false."""
        return frozenset(field for field, kind in self.fields.items() if kind == "boolean")


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle."""

    path: Path
    experiment: Experiment
    facts: CatalogueFacts
    feature_set: FeatureSet
    ranker: Ranker
    state: State
    encoder: Encoder | None
    judged: Judged | None = None  # the queries that its learnt features remember

    @cached_property
    def golden(self) -> pl.DataFrame | None:
        """Feature values and scores of some of its own lists (``ltr.bundle_golden``)."""
        from ltr.bundle_golden import read

        return read(self.path)

    @cached_property
    def memory(self) -> Memory | None:
        """The judged queries placed on the bundle's own state, once and not once a request."""
        return self.judged.on(self.state) if self.judged else None

    def retriever(self, *, state: State | None = None, url: str | None = None) -> Retriever:
        """Build its engine over this state, or over another state of the same feature set; ``url`` is of a search engine."""
        from ltr.bundle_retriever import retriever_of

        state = self.state if state is None else state
        vector = self.experiment.state_vector
        return retriever_of(
            self.experiment,
            self.feature_set,
            state.products,
            fields=self.facts.retrieval_fields,
            body=self.facts.body,
            vectors=state.vectors[vector] if vector else None,
            encoder=self.encoder,
            url=url,
        )


def rerank(bundle: Bundle, candidates: pl.DataFrame, *, state: State | None = None) -> pl.DataFrame:
    """Score every candidate and order each query's list best first; ties keep the order received.

    Args:
        bundle: the ranker and its features.
        candidates: query_id, query, product_id and match columns, one list after another.
        state: another state of the same feature set, such as that of a new catalogue.
    """
    import numpy as np
    import polars as pl

    from ltr.features import compute
    from ltr.frames import ranked

    memory = bundle.memory
    if state is None:
        state = bundle.state
    elif bundle.judged is not None:
        memory = bundle.judged.on(state)
    pairs = compute.pairs(candidates, bundle.feature_set, state, encoder=bundle.encoder, memory=memory)
    matrix = pairs.select(bundle.ranker.features).to_numpy().astype(np.float32, copy=False)
    return ranked(pairs.select("query_id", "product_id", score=pl.Series(bundle.ranker.predict(matrix))))


def save(
    parent: Path,
    name: str,
    *,
    experiment: Experiment,
    facts: CatalogueFacts,
    feature_set: FeatureSet,
    ranker: Ranker,
    state: State,
    encoder: Encoder | None,
    judged: Judged | None,
    created: str,
    results: Callable[[Path], None],
    candidates: pl.DataFrame | None = None,
) -> Path:
    """Write a bundle under ``parent``/``name`` (a number is appended where that exists) and return its path.

    Args:
        created: the time as ISO 8601, for people; nothing depends on it.
        results: writes the results into the directory that it is given.
        candidates: lists with match columns, some of which become the bundle's golden rows.

    Raises:
        BundleError: it could not be written; nothing of it is left.
    """
    from ltr.bundle_golden import FILE, QUERIES, golden_queries, golden_rows

    def write(directory: Path) -> None:
        model = directory / "model"
        model.mkdir()
        write_json(model / "experiment.json", experiment.model_dump(by_alias=True, mode="json"))
        write_json(model / "catalogue.json", facts.__dict__)
        feature_set.save(model / "feature_set.json")
        ranker.save(_made(model / "ranker"))
        if encoder is not None:
            encoder.save(_made(model / "encoder"))
        if judged is not None:
            judged.save(model / "judged")
        if candidates is not None:
            memory = judged.on(state) if judged else None
            golden = golden_rows(candidates, feature_set, state, ranker, encoder=encoder, memory=memory)
            golden.write_parquet(model / FILE)
            if encoder is not None:
                golden_queries(golden, encoder).write_parquet(model / QUERIES)
        state.save(_made(directory / "state"))
        results(_made(directory / "results"))
        manifest = {
            "format": FORMAT,
            "created": created,
            "ltr": __version__,
            "feature_set": feature_set.digest,
            "state": {"version": state.version, "as_of": state.as_of, "directory": "state"},
            "files": {part: digests(directory / part) for part in ("model", "state")},
        }
        write_json(directory / "bundle.json", manifest)

    return _atomically(parent, name, write)


def load(path: Path, *, cache: Path | None = None, restore: Callable[[Path], Ranker] | None = None) -> Bundle:
    """Load a bundle after checking every file against its hash; with a cache, no text is encoded twice.

    Args:
        path: of the bundle.
        cache: for vectors.
        restore: loads the ranker; None = ``rankers.restore``, which imports the library that fitted it.

    Raises:
        BundleError: not a bundle, truncated, changed, or of a newer format.
        BundleMismatchError: model and state do not belong together.
    """
    from ltr import encoders, rankers
    from ltr.features import checks, definition, memory
    from ltr.features import state as states

    manifest = read_manifest(path)
    verify(path, manifest)
    model = path / "model"
    try:
        experiment = read_experiment(path)
        facts = CatalogueFacts(**read_json(model / "catalogue.json"))
        feature_set = definition.load(model / "feature_set.json")
        ranker = (restore or rankers.restore)(model / "ranker")
        encoder = encoders.restore(model / "encoder", cache=cache) if (model / "encoder").is_dir() else None
        judged = memory.load(model / "judged") if feature_set.learnt else None
        state = states.load(state_directory(path, manifest))
    except LtrError:
        raise
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise BundleError(f"{path} cannot be loaded: {error}", hint="train again, or take an earlier bundle") from error
    if tuple(ranker.features) != tuple(feature_set.names):
        raise BundleMismatchError(f"{path}: the ranker has {ranker.features}, the feature set {feature_set.names}")
    if state.schema.fields != facts.fields or state.schema.analyzer != feature_set.analyzer:
        raise BundleMismatchError(
            f"{path}: the state holds {sorted(state.schema.fields)} ({state.schema.analyzer}), "
            f"the model was fitted on {sorted(facts.fields)} ({feature_set.analyzer})",
            hint="put back the state of this bundle, or train again",
        )
    checks.check_state(feature_set, state)
    return Bundle(path, experiment, facts, feature_set, ranker, state, encoder, judged)


def read_experiment(path: Path) -> Experiment:
    """The experiment that made a bundle, its tracking server without credentials; nothing else is loaded or checked."""
    read_manifest(path)
    file = path / "model" / "experiment.json"
    return parse(read_json(file), where=str(file))


def check_writable(parent: Path) -> None:
    """Raise BundleError where no bundle could be saved, so that it is said before the work."""
    made = not parent.exists()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=parent).close()
        if made:
            parent.rmdir()
    except OSError as error:
        raise _unwritable(parent, error) from error


def _unwritable(parent: Path, error: OSError) -> BundleError:
    return BundleError(f"cannot write under {str(parent)!r}: {error.strerror}", hint="choose a writable directory")


def _atomically(parent: Path, name: str, write: Callable[[Path], None]) -> Path:
    import polars as pl

    try:
        parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    except OSError as error:
        raise _unwritable(parent, error) from error
    try:
        write(draft)
        draft.chmod(0o755)
        return _rename(draft, parent, name)
    except (OSError, pl.exceptions.PolarsError) as error:
        # polars says ComputeError where the disk is full while it writes Parquet.
        raise BundleError(
            f"the bundle could not be saved under {str(parent)!r}: {getattr(error, 'strerror', None) or error}",
            hint="free some space, then train again",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _rename(draft: Path, parent: Path, name: str) -> Path:
    for number in range(1, 1_000):
        target = parent / (name if number == 1 else f"{name}-{number}")
        try:
            os.rename(draft, target)
        except OSError:
            # Two runs in one second want one name; rename refuses a directory that is not empty.
            if target.exists():
                continue
            raise
        return target
    raise BundleError(f"{parent / name} and 999 more exist", hint="remove old bundles")


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
