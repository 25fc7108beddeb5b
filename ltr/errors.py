"""Every error that ltr raises on purpose; the name says who is at fault.

    LtrError
    ├── ConfigError            experiment.toml or a command-line option
    ├── DataError              a file or a frame that is not what it should be
    │   └── JudgmentError      grades: off the scale, duplicated, too few
    ├── DownloadError          a dataset that is not here and could not be fetched
    ├── FeatureSetError        features/<set>.toml, or a field that the catalogue lacks
    ├── CandidateError         a list to rerank, or a run to evaluate
    ├── MeasureError           the name or the parameters of a measure
    ├── EncoderError           a text encoder: not found, or not loadable
    ├── RankerError            fitting or scoring
    ├── BundleError            a bundle that is missing, truncated or not writable
    │   └── BundleMismatchError    parts that do not belong together
    ├── EngineError            Elasticsearch or OpenSearch
    ├── ExportError            what an engine cannot express
    ├── TrackingError          the MLflow server
    └── MissingExtraError      an optional package that is not installed

A message says what was given, what is allowed and what to do, in one or two sentences. The command line prints it and
exits with code 2; a foreign exception is wrapped where it arises, with ``from``.

>>> raise DataError("catalogue.csv has no column 'sku'", hint="set [data.columns] product_id")
Traceback (most recent call last):
ltr.errors.DataError: catalogue.csv has no column 'sku'; set [data.columns] product_id
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BundleError",
    "BundleMismatchError",
    "CandidateError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "EncoderError",
    "EngineError",
    "ExportError",
    "FeatureSetError",
    "JudgmentError",
    "LtrError",
    "MeasureError",
    "MissingExtraError",
    "RankerError",
    "TrackingError",
    "suggestion",
]


class LtrError(Exception):
    """The root of the tree: catch it to catch everything that ltr raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Join what is wrong and, after a semicolon, what to do about it."""
        super().__init__(f"{message}; {hint}" if hint else message)


class ConfigError(LtrError):
    """experiment.toml or a command-line option."""


class DataError(LtrError):
    """A file or a frame that is not what it should be."""


class JudgmentError(DataError):
    """Grades: off the scale, duplicated, too few."""


class DownloadError(LtrError):
    """A dataset that is not here and could not be fetched."""


class FeatureSetError(LtrError):
    """A feature set, or a field that the catalogue lacks."""


class CandidateError(LtrError):
    """A list to rerank, or a run to evaluate."""


class MeasureError(LtrError):
    """The name or the parameters of a measure."""


class EncoderError(LtrError):
    """A text encoder: not found, or not loadable."""


class RankerError(LtrError):
    """Fitting or scoring."""


class BundleError(LtrError):
    """A bundle that is missing, truncated or not writable."""


class BundleMismatchError(BundleError):
    """Parts of a bundle that do not belong together."""


class EngineError(LtrError):
    """Elasticsearch or OpenSearch; ``status`` is that of its answer, None where there was none."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        """Keep the status for who can go on after it."""
        super().__init__(message, hint=hint)
        self.status = status


class ExportError(LtrError):
    """What an engine cannot express."""


class TrackingError(LtrError):
    """The MLflow server."""


class MissingExtraError(LtrError):
    """An optional package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the package and the extra that brings it."""
        super().__init__(f"{package} is not installed", hint=f"pip install 'ltr[{extra}]'")


def suggestion(given: str, allowed: Iterable[str], *, noun: str) -> str:
    """What is allowed, the nearest first; capitals do not count.

    >>> suggestion("bm52", ["cosine", "bm25"], noun="kinds")
    "did you mean 'bm25'? kinds: bm25, cosine"
    """
    choices = sorted(allowed)
    listing = f"{noun}: {', '.join(choices)}"
    folded = {choice.casefold(): choice for choice in reversed(choices)}
    nearest = difflib.get_close_matches(given.casefold(), folded, n=1)
    return f"did you mean {folded[nearest[0]]!r}? {listing}" if nearest else listing
