"""A bundle ready to answer: verified file by file, proven by its golden rows, warmed, and without a library that fits rankers.

The ranker is read as neutral trees and compiled (``ltr.rankers.sliced``); product vectors stay memory-mapped, so that
processes share them; queries are encoded by the bundle's own ONNX file. Two of these may live side by side, which is how a new
bundle takes the place of an old one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr import bundle as bundles
from ltr.bundle import Bundle
from ltr.bundle_manifest import read_manifest
from ltr.errors import BundleError
from ltr.rankers import neutral
from ltr.rankers.sliced import scorer_of
from ltr.retrieval import Retriever
from ltr.serving import golden
from ltr.serving.encoding import KEPT, HeadQueries
from ltr.serving.request import Candidate, Request

__all__ = ["Score", "Serving", "load"]

Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]

# More than one block of rows of a compiled scorer, and an id that no catalogue has.
_WARM: Final = 100
_UNKNOWN: Final = "\x00"


@dataclass(frozen=True, eq=False)
class Serving:
    """What scoring needs.

    Args:
        bundle: its ranker neutral, its encoder with the head queries' vectors.
        score: rows of the ranker's features to scores, bit for bit as the library that fitted it.
        model: SHA-256 of the model part: equal models answer alike.
        manifest: bundle.json.
        proven: how many golden rows and golden query vectors were checked.
    """

    bundle: Bundle
    score: Score
    model: str
    manifest: dict[str, Any]
    proven: tuple[int, int]

    @property
    def embedded(self) -> bool:
        """Whether the engine of the match features is in this process."""
        return self.bundle.experiment.retrieval.engine != "elasticsearch"

    @cached_property
    def retriever(self) -> Retriever:
        """The bundle's engine: an index in this process, or a search engine that is asked here whether it answers."""
        return self.bundle.retriever()

    def matched(self, query: str, product_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The match features of one query's products, by the engine in this process."""
        engine: Any = self.retriever
        found: dict[str, NDArray[np.float32]] = engine.matched(query, product_ids)
        return found

    def warm(self) -> None:
        """Answer once, so that no shopper waits for what is worked out or compiled at the first request.

        Raises:
            BundleError: it cannot answer.
        """
        from ltr.serving.rerank import rerank

        products = self.bundle.state.products["product_id"].head(_WARM).to_list()
        match = dict.fromkeys(() if self.embedded else self.bundle.feature_set.match, 0.0)
        asked = tuple(Candidate(product_id, match=match) for product_id in (*products, _UNKNOWN))
        answer = rerank(self, Request("warm up", asked))
        if answer.degraded:
            raise BundleError(
                f"{self.bundle.path} does not answer ({answer.reason.value})",
                hint="see the log; serve the bundle before it",
            )
        rerank(self, Request("warm up", asked[:1], explain=True))


def load(path: Path, *, kept: int = KEPT) -> Serving:
    """Load, prove and warm a bundle; ``kept`` is how many query vectors are remembered.

    Raises:
        BundleError: it is no bundle, damaged, of a newer format, or does not score or encode as when it was saved.
        BundleMismatchError: its parts do not belong together.
        RankerError: its forest is one that is not understood.
        MissingExtraError: what the bundle needs is not installed.
    """
    manifest = read_manifest(path)
    bundle = bundles.load(path, restore=neutral.restore)
    if bundle.encoder is not None:
        bundle = replace(bundle, encoder=HeadQueries(bundle.encoder, kept))
    score = scorer_of(bundle.ranker)
    rows = golden.check_rows(bundle, score)
    vectors = golden.read_vectors(path) if bundle.encoder is not None else None
    queries = 0
    if vectors is not None and bundle.encoder is not None:
        queries = golden.check_vectors(bundle.encoder, vectors, where=str(path))
    serving = Serving(bundle, score, _digest(manifest), manifest, (rows, queries))
    serving.warm()
    return serving


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest["files"]["model"], sort_keys=True).encode()).hexdigest()
